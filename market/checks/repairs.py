"""Repairing what the checks found, only when asked, and saying what was done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from market.checks.finding import Finding, stamp
from market.errors import InputError
from market.panel import OHLCV, FloatArray, Panel

# Kind -> what repairing does; the rest of the kinds have no honest repair.
REPAIRS: dict[str, str] = {
    "order": "widen high and low to enclose open and close",
    "partial": "leave the bar out",
    "zero_volume": "leave the bars out",
    "stale": "leave the bars out",
    "stuck_volume": "leave the bars out",
    "copied": "leave the bars out, of both assets",
    "spike": "leave the bars out",
    "redenomination": "carry earlier prices and volumes into the new unit",
    "adjustment": "scale earlier prices by the jump (an estimate: the day's own move is in it)",
    "reuse": "make what lies after the hole an asset of its own, NAME~2",
}
_PRICES = OHLCV[:4]


def repair_panel(panel: Panel, findings: Sequence[Finding], kinds: Sequence[str]) -> tuple[Panel, list[str]]:
    """Return the panel with the defects of `kinds` repaired, and a sentence for each.

    Only findings of severity ``defect`` are touched. A bar left out is missing (NaN) and outside the universe; no price
    is ever made up.

    Raises
    ------
    InputError
        For a kind that cannot be repaired.
    """
    unknown = [kind for kind in kinds if kind not in REPAIRS]
    if unknown:
        raise InputError(f"no repair for {', '.join(unknown)}", f"there is one for {', '.join(REPAIRS)}")
    # The latest first: each scaling then reaches back over all that lies before it.
    chosen = sorted(
        (f for f in findings if f.kind in kinds and f.severity == "defect" and f.asset in panel.assets),
        key=lambda f: (f.kind == "reuse", -int(f.start.astype("int64"))),
    )
    state = _State(panel)
    notes = []
    for finding in chosen:
        _REPAIRERS[finding.kind](state, finding)
        notes.append(f"{finding.kind}: {finding.asset} {_span(finding)}: {finding.sentence}; {REPAIRS[finding.kind]}")
    return state.panel(), notes


class _State:
    """Writable copies of a panel's arrays."""

    def __init__(self, panel: Panel) -> None:
        self.source = panel
        self.assets = list(panel.assets)
        self.fields = {name: values.copy() for name, values in panel.fields.items()}
        self.universe = panel.universe.copy()

    def place(self, finding: Finding) -> tuple[int, slice]:
        times = self.source.times
        first, stop = np.searchsorted(times, [finding.start, finding.end + np.timedelta64(1, "ns")])
        return self.assets.index(finding.asset), slice(int(first), int(stop))

    def panel(self) -> Panel:
        return replace(self.source, assets=tuple(self.assets), fields=self.fields, universe=self.universe)


def _leave_out(state: _State, finding: Finding) -> None:
    column, rows = state.place(finding)
    for values in state.fields.values():
        values[rows, column] = np.nan
    state.universe[rows, column] = False


def _leave_out_pair(state: _State, finding: Finding) -> None:
    column, rows = state.place(finding)
    columns = [column, state.assets.index(finding.other)]
    bars = [state.fields[name][rows] for name in OHLCV]
    same = np.all([values[:, columns[0]] == values[:, columns[-1]] for values in bars], axis=0)
    hit = np.arange(rows.start, rows.stop)[same]
    for one in columns:
        for values in state.fields.values():
            values[hit, one] = np.nan
        state.universe[hit, one] = False


def _widen(state: _State, finding: Finding) -> None:
    column, rows = state.place(finding)
    prices = np.stack([state.fields[name][rows, column] for name in _PRICES])
    state.fields["high"][rows, column] = np.where(np.isfinite(prices[1]), np.fmax.reduce(prices), np.nan)
    state.fields["low"][rows, column] = np.where(np.isfinite(prices[2]), np.fmin.reduce(prices), np.nan)


def _rescale(state: _State, finding: Finding) -> None:
    """Carry all that lies before into the new unit: a redenomination's factor is the round one."""
    column, rows = state.place(finding)
    before = slice(0, rows.start)
    factor = finding.figure
    if finding.kind == "redenomination":
        factor = _round_factor(factor)
        state.fields["volume"][before, column] /= factor
    prices = [*_PRICES, *(name for name in ("vwap", "adj_close") if name in state.fields)]
    for name in prices:
        state.fields[name][before, column] *= factor


def _round_factor(factor: float) -> float:
    """Return the power of ten, or small whole number or its inverse, nearest to `factor`."""
    whole = np.array([2.0, 3.0, 4.0, 5.0, 7.0, 8.0, 15.0, 20.0, 25.0, 50.0, *(10.0**k for k in range(1, 10))])
    known: FloatArray = np.concatenate([whole, 1 / whole])
    return float(known[np.argmin(np.abs(np.log(known) - np.log(factor)))])


def _split_asset(state: _State, finding: Finding) -> None:
    column, rows = state.place(finding)
    after = slice(rows.stop - 1, None)
    number = 2
    while f"{finding.asset}~{number}" in state.assets:
        number += 1
    state.assets.append(f"{finding.asset}~{number}")
    for name, values in state.fields.items():
        fresh = np.full((len(values), 1), np.nan)
        fresh[after, 0] = values[after, column]
        values[after, column] = np.nan
        state.fields[name] = np.hstack([values, fresh])
    inside = np.zeros((len(state.universe), 1), dtype=bool)
    inside[after, 0] = state.universe[after, column]
    state.universe[after, column] = False
    state.universe = np.hstack([state.universe, inside])


def _span(finding: Finding) -> str:
    start, end = stamp(finding.start) or "", stamp(finding.end) or ""
    return start if start == end else f"{start} to {end}"


_REPAIRERS: dict[str, Callable[[_State, Finding], None]] = {
    "order": _widen,
    "partial": _leave_out,
    "zero_volume": _leave_out,
    "stale": _leave_out,
    "stuck_volume": _leave_out,
    "copied": _leave_out_pair,
    "spike": _leave_out,
    "redenomination": _rescale,
    "adjustment": _rescale,
    "reuse": _split_asset,
}
