"""A device beside two threads of a processor: the engine's values and speed, quick scores, and flows.

    python -m benchmarks.device [--device cuda] [--quick] [--only SECTION ...] [--profile] [--panel FILE.npz]
    python -m benchmarks.device --data FILE.parquet --save-panel FILE.npz

Panels A (50 assets, 17 520 hourly bars) and B (500 assets, 2 520 daily ones) and the factors are those of
`benchmarks.engine`. Each section prints as soon as it is done, one that fails is printed and the others go on, and the
last line is one line of JSON. A panel as a file of arrays is a real one for the section of equality; --save-panel
writes the last bars of a file of bars as one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("NUMBA_NUM_THREADS", "2")

import numpy as np
import torch

from agent.device.bar_kernels import BarKernels
from agent.device.raw_kernels import RawKernels, card_compiler
from agent.device.tensor_engine import DeviceEngine
from agent.device.tensor_scores import BatchScorer, OnTheWay, figure_table, read_figures, scorable
from backtest.quick import QuickScore, QuickScorer
from backtest.quick_kernels import GROSS, IC, NET, PAYOFF, PEARSON, TURNOVER
from backtest.target import prepare_target
from backtest.trading_rules import BacktestSpec
from benchmarks.device_timing import median_seconds, print_profile, seconds_of, wait_for
from benchmarks.engine_setup import draw_batch, make_market
from factors.batch import Engine
from factors.engine import evaluate
from factors.parse import parse
from factors.tree import Expression
from flows.fit_rules import TrainConfig
from flows.train import log_likelihood, torch_threads, train_flow
from market.panel import Panel

THREADS = 2
# One expression an operator; windows short and long, for both ways that the engine has of computing some of them.
SERIES = (
    "ts_sum", "ts_mean", "ts_product", "ts_decay_linear", "ts_var", "ts_std", "ts_zscore", "ts_ir", "ts_skew",
    "ts_kurt", "ts_slope", "ts_resid", "ts_rsquare", "ts_min", "ts_max", "ts_scale", "ts_argmin", "ts_argmax",
    "ts_rank", "ts_median", "ts_mad", "ts_ema", "ts_delay", "ts_delta", "ts_returns", "ts_log_return", "ts_backfill",
    "rsi",
)  # fmt: skip
OTHERS = (
    "close + volume", "close - open", "close * volume", "close / open", "-close", "abs(returns)", "sign(returns)",
    "log(close)", "log1p(returns)", "exp(returns)", "sqrt(volume)", "tanh(returns)", "sigmoid(returns)", "floor(close)",
    "power(close, 1.5)", "signed_power(returns, 0.7)", "max(close, vwap)", "min(close, vwap)",
    "clip(returns, -0.01, 0.02)",
    "close > open", "close >= open", "close < open", "close <= open", "close == open", "close != open",
    "close > open ? high : low", "(close > open) && (volume > adv20)", "(close > open) || (volume > adv20)",
    "!(close > open)", "ts_decay_exp(close, 12, 0.8)", "ts_moment(returns, 12, 3)", "ts_moment(returns, 12, 5)",
    "ts_quantile(close, 12, 0.3)", "ts_quantile(close, 90, 0.3)", "ts_sma(close, 12, 2)",
    "bars_since(close > open, 12)",
    "ts_count(close > open, 12)", "ts_sumif(volume, 12, close > open)", "ts_autocorr(returns, 12, 2)",
    "ts_corr(close, volume, 12)", "ts_cov(close, volume, 12)", "ts_beta(close, volume, 12)",
    "ts_corr(close, volume, 90)", "cum_sum(returns)", "cum_mean(returns)", "cum_max(close)", "cum_min(close)",
    "cum_product(1 + returns)", "cum_count(close > open)", "atr(high, low, close, 12)", "adx(high, low, close, 12)",
    "cs_rank(close)", "cs_zscore(close)", "cs_demean(close)", "cs_mean(close)", "cs_scale(returns)",
    "cs_winsorize(returns, 1.5)", "cs_quantile(close, 0.3)", "cs_top_bottom(close, 0.2)",
    "cs_resid(close, volume)",
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """What all sections work on."""

    device: str
    quick: bool
    panel: Path | None
    torch_windows: bool = False
    profile: bool = False

    def engine(self, panel: Panel, together: int | None = None) -> DeviceEngine:
        """Return the engine on the device, with its own kernels unless windows are to be computed by torch."""
        kernels = RawKernels(_none) if self.torch_windows else None
        return DeviceEngine(panel, self.device, together=together, kernels=kernels)


def _none(_: str) -> Callable[..., object]:
    raise RuntimeError("windows by torch were asked for")


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)


def _read(text: str) -> Expression:
    expression = parse(text, dialect="native")
    if not isinstance(expression, Expression):
        raise ValueError(f"{text}: {expression.message}")
    return expression


def save_panel(panel: Panel, path: Path) -> None:
    """Write a panel as arrays, without objects."""
    arrays = {f"field/{name}": values for name, values in panel.fields.items()}
    head = {"assets": list(panel.assets), "bar": int(panel.bar.astype(np.int64)), "calendar": panel.calendar}
    np.savez_compressed(
        path, times=panel.times.astype(np.int64), universe=panel.universe, head=np.array(json.dumps(head)), **arrays
    )  # type: ignore[arg-type]


def load_panel(path: Path) -> Panel:
    """Read what `save_panel` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        head = json.loads(str(arrays["head"]))
        return Panel(
            times=arrays["times"].astype("datetime64[ns]"),
            assets=tuple(head["assets"]),
            fields={name[6:]: arrays[name] for name in arrays.files if name.startswith("field/")},
            universe=arrays["universe"],
            bar=np.timedelta64(head["bar"], "ns"),
            calendar=head["calendar"],
        )


def with_gaps(panel: Panel, seed: int = 1) -> Panel:
    """Return a panel with missing bars, constant prices, and assets that end, halt or come late."""
    dead = np.random.default_rng(seed).random(panel.shape) < 0.01
    bars = len(dead)
    dead[bars // 2 :, 3] = True
    dead[bars // 4 : bars // 4 + 30, 4] = True
    changed = {name: np.where(dead, np.nan, values) for name, values in panel.fields.items()}
    for values in changed.values():
        values[bars // 3 : bars // 3 + 40, 6] = values[bars // 3, 6]
    universe = panel.universe & ~dead
    universe[: bars // 3, 5] = False
    return replace(panel, fields=changed, universe=universe)


def kernels(setting: Setting) -> dict[str, Any]:
    """Compile the kernels for windows, and say which do not compile."""
    if not setting.device.startswith("cuda"):
        return {"skipped": "they are for cards"}
    begun = time.perf_counter()
    faults = RawKernels().compile_all()
    faults |= {f"bars of {width}": fault for width in (50, 500) if (fault := BarKernels(width, card_compiler).fault)}
    for name, fault in faults.items():
        say(f"  {name}: {fault}")
    return {"seconds": time.perf_counter() - begun, "faults": faults}


def equality(setting: Setting) -> dict[str, Any]:
    """Compare each operator on the device with the engine on a processor, in float64."""
    panels = {"drawn": with_gaps(make_market(600, 40, "h"))}
    if setting.panel is not None:
        panels["real"] = load_panel(setting.panel)
    texts = [f"{name}(close, {d})" for name in SERIES for d in (5, 12, 90)] + list(OTHERS)
    found: dict[str, Any] = {}
    for name, panel in panels.items():
        engine = setting.engine(panel, 16)
        say(f"  windows by {'their own kernels' if engine.kernels else 'torch'} {engine.note}")
        expressions = [_read(text) for text in texts]
        left = [e.text for e in expressions if not engine.supports(e)]
        worst: dict[str, float] = {}
        begun = time.perf_counter()
        for batch in engine.run([e for e in expressions if e.text not in left]):
            for expression, values in zip(batch.expressions, batch.values.cpu().numpy(), strict=True):
                worst[expression.text] = _difference(evaluate(expression, panel).values, values)
        far = {text: gap for text, gap in worst.items() if not gap <= 1e-9}
        for text, gap in sorted(worst.items(), key=lambda item: -item[1])[:12]:
            say(f"    {gap:9.1e}  {text}")
        say(
            f"  {name} {panel.shape}: {len(worst)} compared, {len(far)} differ by more than 1e-9, not supported: {left}"
        )
        series = _series_apart(engine, panel)
        say(f"  {name}: series of scores, by kernels of the card and by torch: {series}")
        found[name] = {
            "series": series, "compared": len(worst), "largest": max(worst.values()), "beyond_1e-9": far,
            "not_supported": left, "seconds": time.perf_counter() - begun,
        }  # fmt: skip
    return found


def _series_apart(engine: DeviceEngine, panel: Panel) -> dict[str, float]:
    """Return the largest difference of each series of scores, from the same values with and without kernels of bars."""
    target = prepare_target(panel, BacktestSpec())
    if engine.bar_kernels is None or not scorable(target):
        return {}
    values = engine.values(
        [_read(text) for text in ("ts_rank(close, 5)", "cs_mean(close)", "-returns", "rsi(close, 12)")]
    )
    pair = [
        BatchScorer(target, engine.device, engine.stop, kernels).series(values).cpu().numpy()
        for kernels in (None, engine.bar_kernels)
    ]
    names = {"rank IC": IC, "IC": PEARSON, "payoff": PAYOFF, "gross": GROSS, "net": NET, "turnover": TURNOVER}
    return {name: _difference(pair[0][:, row], pair[1][:, row]) for name, row in names.items()}


def _difference(mine: np.ndarray, theirs: np.ndarray) -> float:
    """Return the largest difference, relative above 1; infinite where one has a value and the other none."""
    if (np.isnan(mine) != np.isnan(theirs)).any():
        return float("inf")
    gaps = np.abs(mine - theirs) / np.maximum(1.0, np.abs(mine))
    return float(np.nanmax(gaps)) if np.isfinite(gaps).any() else 0.0


def _on_device(engine: DeviceEngine, scorer: BatchScorer, batch: list[Expression], year: float) -> list[QuickScore]:
    """Score as `DeviceScoring` does: a batch is read while the device works on the next."""
    whole, found = slice(0, engine.stop), []
    before: OnTheWay | None = None
    for part in engine.run(batch):
        coming = OnTheWay(figure_table(scorer.series(part.values), whole, engine.bar_kernels))
        found += [] if before is None else read_figures(before.read(), whole, year)
        before = coming
    return found + ([] if before is None else read_figures(before.read(), whole, year))


def _on_processor(engine: Engine, target: Any, batch: list[Expression]) -> list[QuickScore]:  # noqa: ANN401
    whole, found = slice(0, engine.stop), []
    for outcome in engine.run(batch, lambda _: QuickScorer(target, engine.rows)):
        assert isinstance(outcome.result, QuickScorer)
        found.append(outcome.result.result(whole))
    return found


def factors_a_second(setting: Setting) -> dict[str, Any]:
    """Factors a second, evaluated and quick-scored, on panels A and B, with the ratio to two threads."""
    shapes = {"A": (17_520, 50, "h"), "B": (2_520, 500, "D")}
    if setting.quick:
        shapes = {"A": (2_000, 50, "h"), "B": (400, 200, "D")}
    count, beside = (24, 12) if setting.quick else (1_000, 60)
    batch, found = draw_batch(count), {}
    for name, (bars, assets, bar) in shapes.items():
        panel = make_market(bars, assets, bar)
        target = prepare_target(panel, BacktestSpec())
        assert scorable(target)
        # Compiled before it is timed.
        _on_processor(Engine(panel, stop=min(bars, 400), threads=THREADS), target, batch[:beside])
        begun = time.perf_counter()
        theirs = _on_processor(Engine(panel, threads=THREADS), target, batch[:beside])
        processor = (time.perf_counter() - begun) / beside
        say(f"  {name}: two threads take {1e3 * processor:.2f} ms a factor")
        engine = setting.engine(panel)
        scorer = BatchScorer(target, engine.device, engine.stop, engine.bar_kernels)
        supported = [e for e in batch if engine.supports(e)]
        year = panel.bars_per_year
        # Kernels are compiled, and memory is taken, before it is timed.
        mine = _on_device(engine, scorer, supported, year)[:beside]
        alone = seconds_of(setting.device, partial(_values_alone, engine, supported)) / len(supported)
        work = partial(_on_device, engine, scorer, supported, year)
        each = seconds_of(setting.device, work) / len(supported)
        say(f"  {name}: {1e3 * alone:.3f} ms a factor, {1e3 * each:.3f} ms with quick scores")
        say(f"  {name}: {processor / alone:.1f} and {processor / each:.1f} times as fast as two threads")
        if setting.profile:
            print_profile(setting.device, work)
        found[name] = {
            "processor_ms_each": 1e3 * processor, "device_ms_each": 1e3 * each, "device_ms_values_alone": 1e3 * alone,
            "factors_a_second": 1.0 / each, "ratio": processor / each, "ratio_values_alone": processor / alone,
            "bars_by_kernels": engine.bar_kernels is not None, "note": engine.note, "together": engine.together,
            "own_kernels": engine.kernels is not None,
            "supported": len(supported), "of": len(batch), "scores": _apart(theirs, mine),
        }  # fmt: skip
        say(f"  {name}: {found[name]}")
        del engine, scorer
    return found


def _values_alone(engine: DeviceEngine, batch: list[Expression]) -> None:
    for _part in engine.run(batch):
        pass


def _apart(theirs: list[QuickScore], mine: list[QuickScore]) -> dict[str, float]:
    """Return the largest difference of each figure that has one beyond 1e-9, and how many factors have any."""
    apart: dict[str, float] = {}
    differing = 0
    for a, b in zip(theirs, mine, strict=False):
        gaps = {f.name: abs(getattr(a, f.name) - getattr(b, f.name)) for f in fields(QuickScore)}
        one = {name: gap for name, gap in gaps.items() if gap > 1e-9 * max(1.0, abs(getattr(a, name)))}
        differing += bool(one)
        for name, gap in one.items():
            apart[name] = max(apart.get(name, 0.0), gap)
    return {"compared": len(theirs), "differing": differing, **apart}


def flows(setting: Setting) -> dict[str, Any]:
    """Training steps and likelihoods a second on the device and on two threads."""
    rng = np.random.default_rng(3)
    mix = rng.standard_normal((16, 16)) / 4.0
    states = (rng.standard_t(5.0, (60_000, 16)) @ mix).astype(np.float64)
    train, validation = states[:40_000], states[40_000:]
    epochs = 1 if setting.quick else 4
    config = TrainConfig(epochs=epochs, threads=THREADS)
    found: dict[str, Any] = {}
    steps = epochs * (len(train) // config.batch)
    for device in dict.fromkeys(("cpu", setting.device)):
        train_flow(train[:3_000], validation[:500], replace(config, epochs=1, device=device))
        begun = time.perf_counter()
        trained = train_flow(train, validation[:5_000], replace(config, device=device))
        wait_for(device)
        seconds = time.perf_counter() - begun
        model = trained.model.to(device)
        rows = torch.from_numpy(states.astype(np.float32)).repeat(1 if device == "cpu" else 10, 1).to(device)
        with torch_threads(THREADS):
            taken = median_seconds(lambda m=model, r=rows: log_likelihood(m, r).cpu())  # type: ignore[misc]
        found[device] = {
            "steps_a_second": steps / seconds, "log_prob_rows_a_second": len(rows) / taken,
            "nll_validation": trained.nll_validation,
        }  # fmt: skip
        say(f"  {device}: {found[device]}")
    for name in ("steps_a_second", "log_prob_rows_a_second"):
        found[f"ratio_{name}"] = found[setting.device][name] / found["cpu"][name]
    return found


def mixed(setting: Setting) -> dict[str, Any]:
    """Train in bfloat16 and in float32 from one seed: validation NLL, and how far one model's likelihoods move."""
    rng = np.random.default_rng(3)
    states = rng.standard_t(5.0, (30_000, 16)) @ (rng.standard_normal((16, 16)) / 4.0)
    config = TrainConfig(epochs=1 if setting.quick else 4, threads=THREADS, device=setting.device)
    found: dict[str, Any] = {}
    for precision in ("float32", "bfloat16"):
        begun = time.perf_counter()
        trained = train_flow(states[:20_000], states[20_000:25_000], replace(config, precision=precision))
        found[precision] = {"nll_validation": trained.nll_validation, "seconds": time.perf_counter() - begun}
        say(f"  {precision}: {found[precision]}")
    rows = torch.from_numpy(states[25_000:].astype(np.float32)).to(setting.device)
    model = trained.model.to(setting.device).train()
    with torch.no_grad():
        exact = model.log_prob(rows)
        model.set_half(True)
        moved = (model.log_prob(rows) - exact).abs()
    found["nll_difference"] = found["bfloat16"]["nll_validation"] - found["float32"]["nll_validation"]
    found["same_model_mean_change_nats"] = float(moved.mean())
    return found


SECTIONS: dict[str, Callable[[Setting], dict[str, Any]]] = {
    "kernels": kernels,
    "equality": equality,
    "factors": factors_a_second,
    "flows": flows,
    "mixed": mixed,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the sections; a failure is printed, and the next section is run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="*", choices=list(SECTIONS))
    parser.add_argument("--torch-windows", action="store_true", help="leave the card's own kernels out")
    parser.add_argument("--profile", action="store_true", help="print what takes the time of factors")
    parser.add_argument("--panel", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--save-panel", type=Path)
    args = parser.parse_args(argv)
    np.seterr(all="ignore")
    if args.save_panel is not None:
        from market.files import import_files

        panel = import_files([args.data], repair=True)
        save_panel(panel.rows(max(0, len(panel.times) - 3_000), len(panel.times)), args.save_panel)
        return
    card = torch.cuda.get_device_name() if args.device.startswith("cuda") else "processor"
    say(f"torch {torch.__version__}, numpy {np.__version__}, Python {sys.version.split()[0]}, {card}")
    found: dict[str, Any] = {"benchmark": "device", "device": card, "torch": torch.__version__}
    for name in args.only or SECTIONS:
        say(f"{name} ...")
        begun = time.perf_counter()
        try:
            found[name] = SECTIONS[name](Setting(args.device, args.quick, args.panel, args.torch_windows, args.profile))
        except Exception:  # noqa: BLE001 - what one section meets must not cost the others their turn on a lent device
            found[name] = {"failed": traceback.format_exc(limit=-3)}
            say(traceback.format_exc())
        say(f"{name} took {time.perf_counter() - begun:.1f} s")
        print(json.dumps({name: found[name]}), flush=True)
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
