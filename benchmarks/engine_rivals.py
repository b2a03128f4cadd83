"""The sections of the engine's benchmark that run beside peers."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import engine_peers as others
from benchmarks.engine_sections import THREADS, Setting
from benchmarks.engine_setup import Nothing, draw_batch, interleaved, seconds_of
from factors.batch import Engine
from factors.corpora import read_corpus
from factors.engine import evaluate
from factors.parse import parse
from factors.tree import Expression
from market.errors import InputError
from market.panel import FloatArray, Panel


def peers(setting: Setting) -> dict[str, Any]:
    """Milliseconds a factor on panel B, evaluation only: ours on one and two threads, and the peers."""
    import torch

    torch.set_num_threads(THREADS)
    panel = setting.daily
    batch = draw_batch(4 if setting.quick else 24, seed=1)
    fields = others.peer_fields(panel)
    frames = {name: pd.DataFrame(values) for name, values in fields.items()}
    tensors = {name: torch.tensor(values) for name, values in fields.items()}
    bottleneck, unfolded = others.bottleneck_table(), others.torch_table()
    runs: dict[str, Callable[[Expression], FloatArray]] = {
        "bottleneck": lambda e: np.asarray(others.walk(e.root, fields, bottleneck)),
        "torch_unfold_as_alphagen": lambda e: others.walk(e.root, tensors, unfolded).numpy(),
        "pandas": lambda e: others.walk(e.root, frames, others.PANDAS).to_numpy(),
    }
    agree = {name: _agreement(run, batch, panel) for name, run in runs.items()}

    def ours(threads: int) -> Callable[[], None]:
        return lambda: [None for _ in Engine(panel, threads=threads, cache_bytes=0).run(batch * 4, Nothing)].clear()

    works: dict[str, Callable[[], object]] = {"ours_2": ours(2), "ours_1": ours(1)}
    works |= {name: (lambda run=run: [run(e) for e in batch]) for name, run in runs.items()}  # type: ignore[misc]
    taken = interleaved(1 if setting.quick else 3, **works)
    # Ours goes over the batch four times, sharing nothing, so that two threads end together.
    each = {name: 1e3 * s / (len(batch) * (4 if name.startswith("ours") else 1)) for name, s in taken.items()}
    each["polars"] = _polars(setting, panel, fields)
    return {
        "ours_2_threads_ms_each": each["ours_2"],
        "ours_1_thread_ms_each": each["ours_1"],
        **{
            name: {
                "ms_each": each[name],
                "times_ours": each[name] / each["ours_2"],
                "agrees": agree.get(name, "see tests"),
            }
            for name in ("bottleneck", "torch_unfold_as_alphagen", "polars", "pandas")
        },
    }


def _agreement(run: Callable[[Expression], FloatArray], batch: list[Expression], panel: Panel) -> str:
    """Return on how many expressions nearly all values agree with ours; conventions differ on the rest."""
    good = 0
    for expression in batch:
        mine, theirs = evaluate(expression, panel).values, run(expression)
        both = np.isfinite(mine) & np.isfinite(theirs)
        close = np.abs(mine - theirs)[both] <= 1e-6 * np.maximum(np.abs(mine[both]), 1e-9)
        good += bool(len(close) == 0 or close.mean() > 0.99)
    return f"{good} of {len(batch)}"


def _polars(setting: Setting, panel: Panel, fields: dict[str, FloatArray]) -> float:
    """Milliseconds a factor of our own Polars exports, over those that Polars can say."""
    import polars as pl

    from factors.writers.polars_code import to_polars

    bars, width = panel.shape
    columns: dict[str, Any] = {"asset": np.repeat(panel.assets, bars), "time": np.tile(np.arange(bars), width)}
    frame = pl.LazyFrame({**columns, **{name: values.T.ravel() for name, values in fields.items()}})
    written = []
    for expression in draw_batch(40, seed=1):
        try:
            source = to_polars(expression)
        except InputError:
            continue
        space: dict[str, Any] = {}
        exec(compile(source, "exported", "exec"), space)
        written.append(space["factor"])
    written = written[: 2 if setting.quick else 8]
    taken = [seconds_of(lambda made=made: made(frame).collect()) for made in written]  # type: ignore[misc]
    return 1e3 * statistics.mean(taken)


def kunquant(setting: Setting) -> dict[str, Any]:
    """Time new expressions on panel A, one at a time and in batches of 40; KunQuant compiles, NaN-safe, in double."""
    panel = setting.hourly
    fields = {name: np.ascontiguousarray(v) for name, v in others.peer_fields(panel).items()}
    singles = draw_batch(2 if setting.quick else 8, operators=others.COMPILED, seed=2)

    def theirs(batch: list[Expression]) -> Callable[[], object]:
        def work() -> object:
            made = others.compile_expressions(batch)
            return made.run({name: fields[name] for name in made.names}, THREADS)

        return work

    for expression in singles:
        evaluate(expression, panel)
    one = interleaved(
        1,
        theirs=lambda: [theirs([e])() for e in singles],
        ours=lambda: [evaluate(e, panel) for e in singles],
    )
    figures: dict[str, Any] = {
        "one_at_a_time": {
            "kunquant_s_each": one["theirs"] / len(singles),
            "ours_s_each": one["ours"] / len(singles),
            "times_ours": one["theirs"] / one["ours"],
        }
    }
    if not setting.quick:
        batch = draw_batch(40, operators=others.COMPILED, seed=3)
        taken = interleaved(
            2,
            theirs=theirs(batch),
            ours=lambda: [None for _ in Engine(panel, threads=THREADS).run(batch, Nothing)],
        )
        figures["batches_of_40"] = {
            "kunquant_per_s": 40 / taken["theirs"],
            "ours_per_s": 40 / taken["ours"],
            "times": taken["theirs"] / taken["ours"],
        }
    return figures


def worldquant(setting: Setting) -> dict[str, Any]:
    """Time the WorldQuant alphas that KunQuant has, compile time not counted, on two threads."""
    made = others.compile_worldquant()
    texts = {
        f"alpha{int(f.name.split('#')[1]):03d}": f
        for f in read_corpus(setting.shared / "corpora/worldquant_alpha101.txt")
    }
    figures: dict[str, Any] = {}
    for label, panel in (("A", setting.hourly), ("B", setting.daily)):
        fields = {name: np.ascontiguousarray(v) for name, v in others.peer_fields(panel).items()}
        inputs = {name: fields[name] for name in made.names}
        names = list(made.run({name: v[:600] for name, v in inputs.items()}, 1))
        batch = []
        for name in names:
            expression = parse(texts[name].text, dialect="worldquant", fields=others.FIELDS)
            assert isinstance(expression, Expression)
            batch.append(expression)

        def ours(panel: Panel = panel, batch: list[Expression] = batch) -> None:
            for _ in Engine(panel, threads=THREADS).run(batch, Nothing):
                pass

        ours()
        taken = interleaved(3, ours=ours, theirs=lambda inputs=inputs: made.run(inputs, THREADS))  # type: ignore[misc]
        figures[label] = {
            "alphas": len(names), "ours_s": taken["ours"], "kunquant_s": taken["theirs"],
            "ours_over_kunquant": taken["ours"] / taken["theirs"],
        }  # fmt: skip
    return figures
