"""Fields beside prices: funding never settled, splits that only adjusted prices know, sight of the future."""

from __future__ import annotations

import numpy as np

from market.checks.finding import Finding
from market.checks.tracks import Track
from market.panel import OHLCV, FloatArray, Panel

# Correlation with the next bar's return from which a field holds it, and the bars that it takes.
_KNOWS, _LEAST = 0.99, 50
# An adjusted close that parts from the raw one by this much in one bar marks a split; dividends are smaller.
_SPLIT = 1.15
_ADJUSTED = ("adj_close", "adjclose", "adjusted_close")
_NOT_LOOKED_AT = (*OHLCV, "amount", "funding", "funding_rate")


def check_fields(panel: Panel, tracks: list[Track]) -> list[Finding]:
    """Return what is wrong with fields beside open, high, low, close and volume."""
    return find_unsettled(panel, tracks) + find_raw_splits(panel, tracks) + find_foresight(panel)


def find_unsettled(panel: Panel, tracks: list[Track]) -> list[Finding]:
    """Return assets without a settlement in a panel that has funding: theirs is unknown, not none."""
    if "funding" not in panel.fields:
        return []
    out = []
    for track in tracks:
        values = panel["funding"][track.rows, panel.assets.index(track.asset)]
        if not (np.isfinite(values) & (values != 0)).any():
            what = "no settlement of it" if not np.isfinite(values).any() else "every settlement is 0"
            text = f"{what}: its funding is unknown, and a backtest charges none"
            out.append(Finding("missing", track.asset, track.times[0], track.times[-1], "doubtful", 0.0, text))
    return out


def find_raw_splits(panel: Panel, tracks: list[Track]) -> list[Finding]:
    """Return bars at which the close jumps and the adjusted close beside it does not."""
    adjusted = next((name for name in _ADJUSTED if name in panel.fields), None)
    if adjusted is None:
        return []
    out = []
    for track in tracks:
        column = panel.assets.index(track.asset)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = panel[adjusted][track.rows, column] / panel["close"][track.rows, column]
            steps = ratio[1:] / ratio[:-1]
        for at in np.flatnonzero(np.isfinite(steps) & ((steps > _SPLIT) | (steps < 1 / _SPLIT))):
            factor = float(steps[at])
            text = (
                f"the close is divided by {factor:.4g} here and {adjusted} is not: a split, no loss or gain "
                f"(import with --column close={adjusted})"
            )
            when = track.times[at + 1]
            out.append(Finding("adjustment", track.asset, when, when, "defect", factor, text))
    return out


def find_foresight(panel: Panel) -> list[Finding]:
    """Return fields that go with the next bar's return over all assets."""
    names = [name for name in panel.fields if name not in _NOT_LOOKED_AT]
    if not names or panel.shape[0] < 3:
        return []
    with np.errstate(divide="ignore", invalid="ignore"):
        coming = panel["close"][1:] / panel["close"][:-1] - 1
    out = []
    for name in names:
        fit = _correlation(panel[name][:-1], coming)
        if abs(fit) >= _KNOWS:
            text = f"{name} goes with the next bar's return (correlation {fit:.3f}): leave it out"
            out.append(Finding("foresight", "", panel.times[0], panel.times[-1], "defect", fit, text))
    return out


def _correlation(values: FloatArray, returns: FloatArray) -> float:
    known = np.isfinite(values) & np.isfinite(returns)
    one, other = values[known], returns[known]
    if len(one) < _LEAST or np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
