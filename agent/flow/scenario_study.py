"""Scenarios of market states: draws from the flow, paths from the newest state on, and how like history they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from agent.drawing import svg
from agent.drawing.axes import format_number
from agent.flow.opened import OpenFlow
from agent.review.findings import Findings, Grid, grid
from flows.scenarios import Drawn, correlation_gap, draw_paths, draw_states, moments, successors
from market.errors import InputError
from market.panel import FloatArray, Panel

_HISTORY = 50_000
_LIBRARY = 20_000
# Neighbours of which the worst hundredth is ten outcomes.
_ENOUGH = 1_000
# Shocks that come together: features, and the side of each.
_SHOCKS = (
    (("return_1", -1), ("volatility_5", 1)),
    (("return_1", -1), ("volume_ratio", 1)),
    (("return_1", -1), ("volatility_5", 1), ("volume_ratio", 1)),
    (("return_20", -1), ("volatility_20", 1)),
)
_JOINT_KEYS = ("history", "drawn", "by_chance")
# Bars of the newest panel that a state and its path are read from.
_NEWEST = 600


def draw_scenarios(
    opened: OpenFlow,
    *,
    asset: str | None,
    count: int,
    steps: int,
    temperature: float,
    neighbours: int,
    seed: int,
    out: Path | None,
) -> Findings:
    """Draw states from the flow and compare them with history; from an asset's newest state, draw paths as well."""
    drawn = draw_states(opened.density, count, seed, temperature)
    train = opened.sample_rows(opened.trained_rows, _HISTORY, 4)
    history = opened.density.standardiser.invert(train)
    gaps = correlation_gap(history, drawn.states)
    paths, name = None, asset
    if asset is not None or steps > 0:
        name, paths = _paths(opened, asset, count, steps, temperature, neighbours, seed)
    if out is not None:
        _write(out, opened.density.names, drawn, paths)
    share = drawn.rejected / (drawn.rejected + count)
    sentences = [
        f"{drawn.rejected} draws ({share:.1%}) lay beyond what the fitted tails allow and were drawn again",
        f"correlations of the features differ from history by {gaps[0]:.3f} on average, {gaps[1]:.3f} at most",
    ]
    if paths is not None:
        sentences.append(f"{paths.rejected} steps of paths lay beyond the tails and were drawn from other neighbours")
    charts = [] if paths is None else [_fan(opened, str(name), paths)]
    joint = joint_shocks(opened.density.names, history, drawn.states)
    grids = [_moments_grid(opened, history, drawn), *([_joint_grid(joint)] if joint else [])]
    grids += [] if paths is None else [_path_grid(opened, paths, neighbours)]
    return Findings(
        title=f"Scenarios of {opened.name}",
        lead=f"{count} states drawn at temperature {temperature:g}, seed {seed}.",
        grids=grids,
        charts=charts,
        sentences=[*sentences, *([f"written: {out}"] if out is not None else [])],
        document={
            "data": opened.study.dataset,
            "temperature": temperature,
            "seed": seed,
            "rejected": drawn.rejected,
            "correlation_gap_mean_max": list(gaps),
            "moments": _moment_rows(opened, history, drawn),
            "joint_shocks": joint,
            "paths": None
            if paths is None
            else {"asset": name, "rejected": paths.rejected, **_quantiles(opened, paths)},
        },
        simulated=opened.panel.simulated,
    )


def _paths(
    opened: OpenFlow, asset: str | None, count: int, steps: int, temperature: float, neighbours: int, seed: int
) -> tuple[str, Drawn]:
    newest = opened.whole.rows(max(0, len(opened.whole.times) - _NEWEST), len(opened.whole.times))
    latents = opened.density.latents(opened.density.states(newest))
    place = _asset(newest, latents, asset)
    past = successors(
        opened.density.latents(opened.states[opened.trained_rows]), _LIBRARY, np.random.default_rng([seed, 1])
    )
    drawn = draw_paths(
        opened.density,
        past,
        latents[-1, place],
        paths=count,
        steps=max(1, steps),
        neighbours=neighbours,
        temperature=temperature,
        rng=np.random.default_rng([seed, 2]),
    )
    return newest.assets[place], drawn


def _asset(newest: Panel, latents: FloatArray, asset: str | None) -> int:
    """Return the column of an asset whose newest state is known: the one that was asked for, or the most traded."""
    known = np.isfinite(latents[-1]).all(axis=1)
    if asset is None:
        if not known.any():
            raise InputError("no asset's newest state is known", "are the newest bars complete?")
        money = np.where(known, np.nan_to_num(newest.money[-24:]).sum(axis=0), -1.0)
        return int(money.argmax())
    if asset not in newest.assets:
        raise InputError(f"no asset {asset!r} in this data set", f"there are {', '.join(newest.assets[:20])}")
    place = newest.assets.index(asset)
    if not known[place]:
        raise InputError(f"the newest state of {asset} is not known: it has too few bars, or has ceased to trade")
    return place


def _moment_rows(opened: OpenFlow, history: FloatArray, drawn: Drawn) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for k, name in enumerate(opened.density.names):
        past, new = moments(history[:, k]), moments(drawn.states[:, k])
        rows.append({"feature": name, "history": vars(past).copy(), "drawn": vars(new).copy()})
    return rows


def _moments_grid(opened: OpenFlow, history: FloatArray, drawn: Drawn) -> Grid:
    rows = []
    for k, name in enumerate(opened.density.names):
        past, new = moments(history[:, k]), moments(drawn.states[:, k])
        pairs = [
            (past.mean, new.mean, "ic"),
            (past.deviation, new.deviation, "ic"),
            (past.skewness, new.skewness, "plain"),
            (past.kurtosis, new.kurtosis, "plain"),
            (past.low, new.low, "ic"),
            (past.high, new.high, "ic"),
        ]
        rows.append([name, *(f"{format_number(a, style)} / {format_number(b, style)}" for a, b, style in pairs)])
    columns = ["feature", "mean", "deviation", "skewness", "kurtosis", "1 %", "99 %"]
    return grid("History / drawn", columns, rows, note="In the units of the features; history is train.")


def joint_shocks(names: tuple[str, ...], history: FloatArray, drawn: FloatArray) -> list[dict[str, object]]:
    """Return how often shocks of several features come together: in history (M, D), as drawn (n, D), by chance.

    A shock is a value beyond history's 1st (``-``) or 99th (``+``) percentile; of features that the state lacks, none.
    """
    rows: list[dict[str, object]] = []
    for shocks in _SHOCKS:
        if not all(name in names for name, _ in shocks):
            continue
        found = []
        for states in (history, drawn):
            beyond = np.ones(len(states), dtype=bool)
            for name, sign in shocks:
                column = names.index(name)
                edge = float(np.percentile(history[:, column], 99 if sign > 0 else 1))
                beyond &= sign * (states[:, column] - edge) > 0
            found.append(float(beyond.mean()))
        text = ", ".join(f"{name} {'+' if sign > 0 else '-'}" for name, sign in shocks)
        rows.append({"shocks": text, "history": found[0], "drawn": found[1], "by_chance": 0.01 ** len(shocks)})
    return rows


def _joint_grid(rows: list[dict[str, object]]) -> Grid:
    cells = [[str(row["shocks"]), *(f"{1e4 * float(str(row[k])):.2f}" for k in _JOINT_KEYS)] for row in rows]
    note = "In 10 000 states; a shock lies beyond history's 1st (-) or 99th (+) percentile; by chance: were they apart."
    return grid("Joint shocks", ["shocks", "history", "drawn", "by chance"], cells, note=note)


def _returns(opened: OpenFlow, paths: Drawn) -> FloatArray:
    """Return (paths, steps) growth along each path, less 1."""
    if "return_1" not in opened.density.names:
        raise InputError("paths of price need the feature return_1 in the state", "see [gate] features")
    column = opened.density.names.index("return_1")
    steps = 1.0 + np.maximum(paths.states[:, :, column], -0.99)
    growth: FloatArray = np.cumprod(steps, axis=1, dtype=np.float64) - 1.0
    return growth


def _quantiles(opened: OpenFlow, paths: Drawn) -> dict[str, object]:
    growth = _returns(opened, paths)
    levels = (1, 5, 25, 50, 75, 95, 99)
    return {f"p{level}": row.tolist() for level, row in zip(levels, np.percentile(growth, levels, axis=0), strict=True)}


def _path_grid(opened: OpenFlow, paths: Drawn, neighbours: int) -> Grid:
    growth = _returns(opened, paths)
    steps = growth.shape[1]
    shown = sorted({1, steps // 4, steps // 2, steps} - {0})
    rows = []
    for step in shown:
        at = growth[:, step - 1]
        low5, low1 = (float(x) for x in np.percentile(at, [5, 1]))
        tail5, tail1 = at[at <= low5].mean(), at[at <= low1].mean()
        cells = [float(np.median(at)), float(at.std(ddof=1)), -low5, -tail5, -low1, -tail1]
        rows.append([str(step), *(format_number(float(cell), "fine_percent") for cell in cells)])
    columns = ["bars ahead", "median", "deviation", "VaR 95 %", "CVaR 95 %", "VaR 99 %", "CVaR 99 %"]
    note = ""
    if neighbours < _ENOUGH:
        note = (
            f"The first step of a path has {neighbours} outcomes: too few to tell the worst hundredth, where VaR "
            f"and CVaR are nearly the same number. Ask for --neighbours {_ENOUGH} to read 99 %."
        )
    return grid("Paths from the newest state", columns, rows, note=note)


def _fan(opened: OpenFlow, name: str, paths: Drawn) -> tuple[str, str, str]:
    growth = np.concatenate([np.zeros((len(paths.states), 1)), _returns(opened, paths)], axis=1)
    levels: FloatArray = np.percentile(growth, [1, 5, 25, 50, 75, 95, 99], axis=0)
    low1, low5, low25, middle, high25, high5, high1 = levels
    past = _history_of(opened, name, 2 * growth.shape[1])
    ahead = opened.whole.times[-1] + opened.whole.bar * np.arange(growth.shape[1])
    times = np.concatenate([opened.whole.times[-len(past) :], ahead[1:]]) if len(past) else ahead
    before = max(len(past) - 1, 0)

    def later(values: FloatArray) -> FloatArray:
        return np.concatenate([np.full(before, np.nan), values])

    ribbons = [svg.Ribbon(later(a), later(b), "c1") for a, b in ((low1, high1), (low5, high5), (low25, high25))]
    history = np.concatenate([past, np.full(growth.shape[1] - 1, np.nan)]) if len(past) else np.full(len(times), np.nan)
    chart = svg.LineChart(
        f"Paths of {name}",
        "What came before, then the median of paths, with the 25th to 75th, 5th to 95th and 1st to 99th percentile.",
        times,
        [svg.Line(f"{name} until now", history, "c6"), svg.Line("median of paths", later(middle))],
        ribbons=ribbons,
        keys=[svg.Key("25–75 %, 5–95 % and 1–99 % of paths, dark to light", "area c1")],
        spans=[svg.Span(before, len(times), "seg-validation", "FROM NOW ON")] if before else [],
        percent=True,
    )
    caption = "Return from the newest bar. Each step is what followed a past state near to the path's."
    return (f"Paths of {name}", svg.line_chart(chart), caption)


def _history_of(opened: OpenFlow, name: str, bars: int) -> FloatArray:
    """Return the asset's return to the newest bar, of the last bars, as paths go on from it; empty where unknown."""
    if name not in opened.whole.assets:
        return np.empty(0)
    closes = opened.whole["close"][-bars:, opened.whole.assets.index(name)]
    if not np.isfinite(closes[-1]):
        return np.empty(0)
    past: FloatArray = closes / closes[-1] - 1.0
    return past


def _write(out: Path, names: tuple[str, ...], drawn: Drawn, paths: Drawn | None) -> None:
    """Write the drawn states, or the paths' states, as CSV."""
    if paths is None:
        table = pd.DataFrame(drawn.states, columns=list(names))
    else:
        count, steps, dim = paths.states.shape
        table = pd.DataFrame(paths.states.reshape(-1, dim), columns=list(names))
        table.insert(0, "step", np.tile(np.arange(1, steps + 1), count))
        table.insert(0, "path", np.repeat(np.arange(count), steps))
    try:
        table.to_csv(out, index=False)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}", "is its folder there and writable?") from error
