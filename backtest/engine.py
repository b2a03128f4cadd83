"""From a signal to returns: weights, delay, costs, gate.

A signal formed at the close of bar t is traded at the open of t+1 and earns from there to the open of t+2. Every
series of a `Backtest` is aligned to the decision bar t.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numba import njit

from backtest.costs import Costs
from backtest.ic import MIN_PAIRS, filled_prices, forward_returns, rank_ic
from market.errors import Rejection
from market.panel import BoolArray, FloatArray, Panel
from market.ranking import average_ranks

Weighting = Literal["rank", "zscore", "timeseries"]
MAX_SMALL_UNIVERSE = 10
ZSCORE_CAP = 3.0
_SERIES_WINDOW = 240
# Without an open for this many bars an asset counts as delisted, and the position as settled at its last price.
DELISTED_AFTER = 48


@dataclass(frozen=True, slots=True)
class BacktestSpec:
    """The trading rules.

    Attributes
    ----------
    weighting
        ``rank`` or ``zscore``: dollar-neutral across assets, gross 1. ``timeseries``: each asset on its own z-score
        over time, a share of 1 / assets each.
    holding
        Targets are averaged over this many bars, which is the same as holding that many overlapping books
        (Jegadeesh & Titman 1993).
    """

    weighting: Weighting = "rank"
    holding: int = 1
    costs: Costs = field(default_factory=Costs)


@dataclass(frozen=True, eq=False)
class Backtest:
    """What a signal would have earned, per decision bar t.

    Attributes
    ----------
    weights
        (T, N) held from the open of t+1 to the open of t+2, as a fraction of capital.
    gross, cost, funding, net
        (T,) returns; net = gross - cost - funding. The last two bars have no return yet: NaN.
    turnover
        (T,) sum of absolute weight changes.
    exposure
        (T,) sum of absolute weights.
    ic
        (T,) rank IC of signal and next return, NaN in time-series mode.
    """

    weights: FloatArray
    gross: FloatArray
    cost: FloatArray
    funding: FloatArray
    net: FloatArray
    turnover: FloatArray
    exposure: FloatArray
    ic: FloatArray
    spec: BacktestSpec


def run_backtest(
    values: FloatArray, panel: Panel, spec: BacktestSpec, gate: FloatArray | None = None
) -> Backtest | Rejection:
    """Backtest a signal.

    Parameters
    ----------
    values
        (T, N) signal known at the close of each bar; NaN is no opinion.
    gate
        (T, N) exposures in [0, 1] known at the close of each bar; None is all open.

    Returns
    -------
    Backtest or Rejection
        ``small_universe`` when a cross-section is asked of ten assets or fewer.
    """
    refused = small_universe(values, panel, spec)
    if refused is not None:
        return refused
    signal = np.where(panel.universe, values, np.nan)
    return trade(target_weights(signal, spec), panel, spec, gate, ic=_ic(signal, panel, spec))


def small_universe(values: FloatArray, panel: Panel, spec: BacktestSpec) -> Rejection | None:
    """Return why a cross-section of this panel means nothing, or None."""
    if spec.weighting == "timeseries":
        return None
    widest = int(np.max((np.isfinite(values) & panel.universe).sum(axis=1), initial=0))
    if panel.shape[1] > MAX_SMALL_UNIVERSE and widest >= MIN_PAIRS:
        return None
    return Rejection(
        "backtest",
        "small_universe",
        f"a cross-section over {min(panel.shape[1], widest)} assets says nothing: ranks of so few are mostly noise",
        'set weighting = "timeseries" in alphaglow.toml [backtest], or use more than 10 assets',
    )


def _ic(signal: FloatArray, panel: Panel, spec: BacktestSpec) -> FloatArray:
    if spec.weighting == "timeseries":
        return np.full(len(signal), np.nan)
    return rank_ic(signal, forward_returns(panel, 1))


def target_weights(signal: FloatArray, spec: BacktestSpec) -> FloatArray:
    """Return (T, N) target weights from a signal, before the gate; 0 where there is no opinion."""
    if spec.weighting == "timeseries":
        weights = np.clip(causal_zscore(signal, _SERIES_WINDOW), -ZSCORE_CAP, ZSCORE_CAP) / ZSCORE_CAP
        weights = np.where(np.isfinite(weights), weights, 0.0) / signal.shape[1]
    else:
        weights = _neutral(signal, spec.weighting)
    return _held(weights, spec.holding)


def _neutral(signal: FloatArray, weighting: str) -> FloatArray:
    known = np.isfinite(signal)
    count = known.sum(axis=1, keepdims=True)
    raw = average_ranks(signal) if weighting == "rank" else signal
    with np.errstate(all="ignore"):
        mean = np.where(known, raw, 0.0).sum(axis=1, keepdims=True) / count
        centred = np.where(known, raw - mean, 0.0)
        if weighting == "zscore":
            deviation = np.sqrt((centred**2).sum(axis=1, keepdims=True) / np.maximum(count - 1, 1))
            capped = np.clip(centred / deviation, -ZSCORE_CAP, ZSCORE_CAP)
            capped = np.where(known & np.isfinite(capped), capped, 0.0)
            centred = np.where(known, capped - capped.sum(axis=1, keepdims=True) / count, 0.0)
        gross = np.abs(centred).sum(axis=1, keepdims=True)
        weights = centred / gross
    # Equal ranks leave rounding dust; that is not a position.
    tradable = (count > 1) & (gross > 1e-9)
    return np.where(tradable & np.isfinite(weights), weights, 0.0)


def _held(weights: FloatArray, holding: int) -> FloatArray:
    """Average the targets of the last `holding` bars, bars before the first counting as flat."""
    if holding == 1:
        return weights
    out = np.zeros_like(weights)
    # Summed afresh for each bar: a running total would carry rounding from bar to bar.
    for age in range(min(holding, len(weights))):
        out[age:] += weights[: len(weights) - age]
    return out / holding


@njit(cache=True, error_model="numpy")
def causal_zscore(signal: FloatArray, window: int) -> FloatArray:
    """Return (T, N) z-scores against the last `window` values (at least 20 of them finite); NaN where undefined."""
    length, width = signal.shape
    out = np.full((length, width), np.nan)
    for i in range(width):
        for t in range(length):
            if not np.isfinite(signal[t, i]):
                continue
            first = max(0, t - window + 1)
            count = 0
            total = 0.0
            for s in range(first, t + 1):
                if np.isfinite(signal[s, i]):
                    count += 1
                    total += signal[s, i]
            if count < 20:
                continue
            mean = total / count
            square = 0.0
            for s in range(first, t + 1):
                if np.isfinite(signal[s, i]):
                    square += (signal[s, i] - mean) ** 2
            deviation = np.sqrt(square / (count - 1))
            if deviation > 1e-12 * abs(mean) and deviation > 0.0:
                out[t, i] = (signal[t, i] - mean) / deviation
    return out


def apply_gate(weights: FloatArray, gate: FloatArray, *, neutral: bool) -> FloatArray:
    """Return weights scaled by the gate, per asset; a dollar-neutral book stays neutral.

    Where the gate shuts one side more than the other, the larger side is scaled down to the smaller: the gate may only
    take exposure away.
    """
    gated = weights * gate
    if not neutral:
        return gated
    longs, shorts = np.maximum(gated, 0.0), np.maximum(-gated, 0.0)
    long_sum, short_sum = longs.sum(axis=1, keepdims=True), shorts.sum(axis=1, keepdims=True)
    kept = np.minimum(long_sum, short_sum)
    with np.errstate(all="ignore"):
        up = np.where(long_sum > 0, kept / long_sum, 0.0)
        down = np.where(short_sum > 0, kept / short_sum, 0.0)
    neutral_book: FloatArray = longs * up - shorts * down
    return neutral_book


def trade(
    targets: FloatArray, panel: Panel, spec: BacktestSpec, gate: FloatArray | None, *, ic: FloatArray
) -> Backtest:
    """Return what target weights (T, N) earn after gate, trading halts, costs and funding."""
    weights = targets if gate is None else apply_gate(targets, gate, neutral=spec.weighting != "timeseries")
    tradable, returns = market_returns(panel)
    weights = _executed(np.ascontiguousarray(weights), tradable)
    before = np.vstack([np.zeros((1, weights.shape[1])), weights[:-1]])
    turnover = np.abs(weights - before).sum(axis=1)
    gross = (weights * returns).sum(axis=1)
    borrow = spec.costs.borrow_bp_year * 1e-4 / panel.bars_per_year * np.maximum(-weights, 0.0).sum(axis=1)
    cost = turnover * spec.costs.per_trade + borrow
    funding = _funding(weights, panel)
    # The last two decisions have not been paid yet.
    gross[-2:] = np.nan
    net = gross - cost - funding
    return Backtest(weights, gross, cost, funding, net, turnover, np.abs(weights).sum(axis=1), ic, spec)


def market_returns(panel: Panel) -> tuple[BoolArray, FloatArray]:
    """Return which assets can be traded at the open of t+1, and the return of holding them to the open of t+2.

    Positions are marked at the last known open: a halted asset returns 0, and the jump is taken when it trades again
    (by what is still held then; see `DELISTED_AFTER`).
    """
    prices = filled_prices(panel)
    tradable = np.zeros(panel.shape, dtype=bool)
    tradable[:-1] = np.isfinite(panel["open"][1:])
    returns = np.zeros(panel.shape)
    with np.errstate(all="ignore"):
        returns[:-2] = prices[2:] / prices[1:-1] - 1.0
    return tradable, np.where(np.isfinite(returns), returns, 0.0)


@njit(cache=True, error_model="numpy")
def _executed(targets: FloatArray, tradable: BoolArray) -> FloatArray:
    """Keep the old weight where an asset cannot be traded, until it counts as delisted."""
    length, width = targets.shape
    out = targets.copy()
    for i in range(width):
        held = 0.0
        halted = 0
        for t in range(length):
            halted = 0 if tradable[t, i] else halted + 1
            if halted == 0:
                held = targets[t, i]
            elif halted > DELISTED_AFTER:
                held = 0.0
            out[t, i] = held
    return out


def _funding(weights: FloatArray, panel: Panel) -> FloatArray:
    """Return (T,) funding paid by longs and received by shorts, as a fraction of capital.

    `funding` is the rate a settlement at the bar's open. The position of decision t is entered at the open of t+1, just
    after that settlement, and held through the one at the open of t+2.
    """
    if "funding" not in panel.fields:
        return np.zeros(len(weights))
    rate = np.zeros(panel.shape)
    rate[:-2] = np.nan_to_num(panel["funding"][2:], nan=0.0)
    paid: FloatArray = (weights * rate).sum(axis=1)
    return paid
