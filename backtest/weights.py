"""From a signal to target weights: portfolio construction, bar by bar and without a look ahead."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from backtest.asset_facts import AssetFacts
from backtest.kernel_rules import LONG_ONLY, QUANTILE, ZSCORE, WeightRules, weight_rules
from backtest.trading_rules import BacktestSpec
from market.panel import FloatArray
from market.ranking import average_ranks

ZSCORE_CAP = 3.0
SERIES_WINDOW = 240
# Kelly's fraction is read from this many bars, and positions have unit size until the fewer of them are known.
_KELLY_BARS, _KELLY_LEAST = 2000, 250
# Rounding leaves less than this of a weight, as a share of what it was made of.
_NO_WEIGHT = 1e-9


def target_weights(
    signal: FloatArray,
    spec: BacktestSpec,
    volatility: FloatArray | None = None,
    groups: FloatArray | None = None,
    ranks: FloatArray | None = None,
    *,
    facts: AssetFacts | None = None,
) -> FloatArray:
    """Return (T, N) target weights from a signal, before the gate; 0 where there is no opinion.

    Parameters
    ----------
    signal
        (T, N), NaN outside the universe and where there is no opinion.
    volatility
        (T, N) trailing volatility, for volatility-scaled portfolios.
    groups
        (T, N) group numbers known at the bar: positions are neutral within each; NaN is no group and no position.
    ranks
        (T, N) average ranks of `signal` over each bar, where they are known already.
    facts
        Of the assets at each bar; rules that read any cannot do without (`BacktestSpec.reads_facts`).
    """
    if spec.reads_facts and facts is None:
        raise ValueError("these rules read facts of the assets, and none are given")
    none = np.zeros((0, signal.shape[1]))
    scale = volatility if spec.volatility_scaled and volatility is not None else none
    liquid = facts.liquid if facts is not None and spec.liquid_half else None
    if spec.is_cross_sectional:
        if liquid is not None:
            signal, ranks = np.where(liquid, signal, np.nan), None
        ranks = average_ranks(signal) if ranks is None else ranks
        by_group = none if groups is None else groups
        beta = facts.beta if facts is not None and spec.market_neutral else none
        weights = _cross_section(signal, ranks, weight_rules(spec), (by_group, scale, beta))
    else:
        weights = _time_series(signal, scale)
        # Its own past is read all the same: an asset that joins the half is not new.
        weights = weights if liquid is None else np.where(liquid, weights, 0.0)
    return average_over(weights, spec.holding) if spec.holding > 1 else weights


@njit(cache=True, error_model="numpy", nogil=True)
def _cross_section(
    signal: FloatArray, ranks: FloatArray, rules: WeightRules, known: tuple[FloatArray, FloatArray, FloatArray]
) -> FloatArray:
    """Return the target weights of each bar; `known` are groups, volatility and beta, each perhaps without rows."""
    groups, volatility, beta = known
    out = np.zeros(signal.shape)
    nothing = np.zeros(0)
    for t in range(len(signal)):
        count = 0
        for i in range(signal.shape[1]):
            count += 1 if signal[t, i] == signal[t, i] else 0
        group = groups[t] if len(groups) else nothing
        scale = volatility[t] if len(volatility) else nothing
        slope = beta[t] if len(beta) else nothing
        target_row(signal[t], ranks[t], count, rules, (group, scale, slope), out[t])
    return out


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"reassoc"})
def target_row(
    line: FloatArray,
    ranks: FloatArray,
    count: int,
    rules: WeightRules,
    known: tuple[FloatArray, FloatArray, FloatArray],
    out: FloatArray,
) -> None:
    """Write the target weights of one bar to `out`: gross 1, all 0 where no portfolio can be made.

    `line` (N,) has `count` finite values; `ranks` are their average ranks. `known` are group, volatility and beta of
    each asset, (N,) or empty.
    """
    kind = rules.kind
    group, volatility, beta = known
    _spread_out(line, ranks, count, rules, out)
    if len(group):
        _demean_groups(line, group, out)
    if len(volatility):
        for i in range(len(line)):
            out[i] = out[i] / volatility[i] if volatility[i] > 0.0 else 0.0
    if len(beta):
        _free_of_market(line, group, beta, kind == QUANTILE, out)
    ups = 0.0
    downs = 0.0
    for i in range(len(line)):
        ups += max(out[i], 0.0)
        downs += max(-out[i], 0.0)
    # Equal ranks leave rounding dust; that is not a position.
    whole = count > 1 and 1e-9 < ups + downs < np.inf and (kind == LONG_ONLY or min(ups, downs) > 0.0)
    if kind == LONG_ONLY:
        up, down = 1.0 / ups if whole else 0.0, 0.0
    elif (len(volatility) or kind == QUANTILE) and not len(beta):
        up, down = (0.5 / ups, 0.5 / downs) if whole else (0.0, 0.0)
    else:
        up = 1.0 / (ups + downs) if whole else 0.0
        down = up
    for i in range(len(line)):
        out[i] = (out[i] * up if out[i] > 0.0 else out[i] * down) if up > 0.0 else 0.0
    if rules.max_weight < 1.0:
        _cap(rules.max_weight, kind != LONG_ONLY, out)


@njit(cache=True, error_model="numpy", nogil=True)
def _spread_out(line: FloatArray, ranks: FloatArray, count: int, rules: WeightRules, out: FloatArray) -> None:
    """Write weights of any size by the kind of weighting; what has no opinion has none."""
    kind = rules.kind
    middle = 0.5 * (count + 1)
    for i in range(len(line)):
        out[i] = ranks[i] - middle if ranks[i] == ranks[i] else 0.0
    if kind == ZSCORE:
        _standardise(line, count, out)
    elif kind >= QUANTILE:
        _ends(ranks, count, rules.quantiles, kind == LONG_ONLY, out)


@njit(cache=True, error_model="numpy", nogil=True)
def _free_of_market(line: FloatArray, group: FloatArray, beta: FloatArray, held_only: bool, out: FloatArray) -> None:
    """Take from weights their fit on a constant and on beta, within groups where there are any.

    The fit is over the assets with an opinion and a beta or, `held_only`, over those of them with a weight; others have
    no position. What is left sums to 0, times beta as well; where the fit leaves nothing, nothing is left.
    """
    members, slope = np.full(len(line), np.nan), np.zeros(len(line))
    one = np.zeros(len(line))
    for i in range(len(line)):
        if line[i] == line[i] and beta[i] == beta[i] and not (held_only and abs(out[i]) <= _NO_WEIGHT):
            members[i] = line[i]
            slope[i] = beta[i]
        else:
            out[i] = 0.0
    groups = group if len(group) else one
    _demean_groups(members, groups, out)
    _demean_groups(members, groups, slope)
    shared, square, before = 0.0, 0.0, 0.0
    for i in range(len(line)):
        shared += out[i] * slope[i]
        square += slope[i] * slope[i]
        before += abs(out[i])
    share = shared / square if square > _NO_WEIGHT else 0.0
    after = 0.0
    for i in range(len(line)):
        out[i] -= share * slope[i]
        after += abs(out[i])
    if after <= _NO_WEIGHT * before:
        out[:] = 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def _standardise(line: FloatArray, count: int, out: FloatArray) -> None:
    mean = 0.0
    for i in range(len(line)):
        mean += line[i] if line[i] == line[i] else 0.0
    mean /= max(count, 1)
    square = 0.0
    for i in range(len(line)):
        square += (line[i] - mean) ** 2 if line[i] == line[i] else 0.0
    deviation = np.sqrt(square / max(count - 1, 1))
    total = 0.0
    for i in range(len(line)):
        place = min(max((line[i] - mean) / deviation, -ZSCORE_CAP), ZSCORE_CAP)
        out[i] = place if abs(place) <= ZSCORE_CAP else 0.0
        total += out[i]
    for i in range(len(line)):
        out[i] = out[i] - total / max(count, 1) if line[i] == line[i] else 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def quantile_of(rank: float, count: int, quantiles: int) -> int:
    """Return the quantile, 0 the lowest, of an average rank among `count`: tied values stay together."""
    return min(int((rank - 0.5) / count * quantiles), quantiles - 1)


@njit(cache=True, error_model="numpy", nogil=True)
def _ends(ranks: FloatArray, count: int, quantiles: int, long_only: bool, out: FloatArray) -> None:
    """Take the top quantile at 1 and, unless long only, the bottom one at -1."""
    for i in range(len(ranks)):
        out[i] = 0.0
        if ranks[i] == ranks[i] and count >= quantiles:
            place = quantile_of(ranks[i], count, quantiles)
            if place == quantiles - 1:
                out[i] = 1.0
            elif place == 0 and not long_only:
                out[i] = -1.0


@njit(cache=True, error_model="numpy", nogil=True)
def _demean_groups(line: FloatArray, group: FloatArray, out: FloatArray) -> None:
    """Subtract from each value the mean of its group; what has no group, or is alone in it, becomes 0."""
    done = np.zeros(len(line), dtype=np.bool_)
    for i in range(len(line)):
        if done[i]:
            continue
        if not (line[i] == line[i] and group[i] == group[i]):
            out[i] = 0.0
            continue
        total = 0.0
        count = 0
        for k in range(i, len(line)):
            if group[k] == group[i] and line[k] == line[k]:
                total += out[k]
                count += 1
        for k in range(i, len(line)):
            if group[k] == group[i] and line[k] == line[k]:
                out[k] -= total / count
                done[k] = True


@njit(cache=True, error_model="numpy", nogil=True)
def _cap(cap: float, neutral: bool, out: FloatArray) -> None:
    ups = 0.0
    downs = 0.0
    for i in range(len(out)):
        out[i] = min(max(out[i], -cap), cap)
        ups += max(out[i], 0.0)
        downs += max(-out[i], 0.0)
    if neutral and ups > 0.0 and downs > 0.0:
        kept = min(ups, downs)
        for i in range(len(out)):
            out[i] *= kept / ups if out[i] > 0.0 else kept / downs


@njit(cache=True, error_model="numpy", nogil=True)
def average_over(weights: FloatArray, holding: int) -> FloatArray:
    """Return the mean of the targets of the last `holding` bars, bars before the first counting as flat."""
    out = np.zeros_like(weights)
    # Summed afresh for each bar: a running total would carry rounding from bar to bar.
    for t in range(len(weights)):
        for s in range(max(0, t - holding + 1), t + 1):
            out[t] += weights[s]
        out[t] /= holding
    return out


def _time_series(signal: FloatArray, volatility: FloatArray) -> FloatArray:
    weights = np.clip(causal_zscore(signal, SERIES_WINDOW), -ZSCORE_CAP, ZSCORE_CAP) / ZSCORE_CAP
    weights = np.where(np.isfinite(weights), weights, 0.0)
    if len(volatility):
        with np.errstate(all="ignore"):
            share = np.where(volatility > 0, 1.0 / volatility, 0.0)
            total = share.sum(axis=1, keepdims=True)
            scaled: FloatArray = weights * np.where(total > 0, share / total, 0.0)
            return scaled
    plain: FloatArray = weights / signal.shape[1]
    return plain


@njit(cache=True, error_model="numpy", nogil=True)
def causal_zscore(signal: FloatArray, window: int) -> FloatArray:
    """Return (T, N) z-scores against the last `window` values (at least 20 of them finite); NaN where undefined."""
    length, width = signal.shape
    out = np.full((length, width), np.nan)
    for i in range(width):
        pivot, count, one, two = 0.0, 0, 0.0, 0.0
        for t in range(length):
            x = signal[t, i]
            if t % window == 0:
                # Summed afresh, about a value of the window: sums that run for ever gather rounding.
                pivot, count, one, two = 0.0, 0, 0.0, 0.0
                for s in range(max(0, t - window + 1), t):
                    if signal[s, i] == signal[s, i]:
                        pivot = signal[s, i] if count == 0 else pivot
                        gap = signal[s, i] - pivot
                        count, one, two = count + 1, one + gap, two + gap * gap
            elif t >= window and signal[t - window, i] == signal[t - window, i]:
                gap = signal[t - window, i] - pivot
                count, one, two = count - 1, one - gap, two - gap * gap
            if x != x:
                continue
            pivot = x if count == 0 else pivot
            one = 0.0 if count == 0 else one
            two = 0.0 if count == 0 else two
            gap = x - pivot
            count, one, two = count + 1, one + gap, two + gap * gap
            if count < 20:
                continue
            mean = one / count
            square = two - one * mean
            deviation = np.sqrt(max(square, 0.0) / (count - 1))
            if deviation > 1e-7 * abs(mean) and deviation > 1e-9 * abs(pivot + mean) and deviation > 0.0:
                out[t, i] = (gap - mean) / deviation
    return out


@njit(cache=True, error_model="numpy", nogil=True)
def _gated(weights: FloatArray, gate: FloatArray, neutral: bool) -> FloatArray:
    out = np.empty_like(weights)
    for t in range(len(weights)):
        ups = 0.0
        downs = 0.0
        for i in range(weights.shape[1]):
            out[t, i] = weights[t, i] * gate[t, i]
            ups += max(out[t, i], 0.0)
            downs += max(-out[t, i], 0.0)
        if neutral:
            kept = min(ups, downs)
            up = kept / ups if ups > 0.0 else 0.0
            down = kept / downs if downs > 0.0 else 0.0
            for i in range(weights.shape[1]):
                out[t, i] *= up if out[t, i] > 0.0 else down
    return out


def apply_gate(weights: FloatArray, gate: FloatArray, *, neutral: bool) -> FloatArray:
    """Return weights scaled by the gate, per asset; a dollar-neutral portfolio stays neutral.

    Where the gate shuts one side more than the other, the larger side is scaled down to the smaller: the gate may only
    take exposure away.
    """
    out: FloatArray = _gated(weights, gate, neutral)
    return out


def kelly_leverage(net: FloatArray, fraction: float, largest: float) -> FloatArray:
    """Return (T,) sizes of a portfolio: a fraction of mean / variance of its own net returns, known at each close.

    The return of decision t is paid at bar t+2, so bar t knows those up to t-2. The last 2 000 of them count; until 250
    are known the size is 1, or `largest` where that is less. Kelly 1956; Thorp 2006, eq. 7.
    """
    paid = np.concatenate([[0.0, 0.0], np.where(np.isfinite(net), net, 0.0)[:-2]])
    one, two = np.cumsum(paid), np.cumsum(paid**2)
    ends = np.arange(len(net))
    starts = np.maximum(ends - _KELLY_BARS, 1)
    count = np.maximum(ends - starts, 1)
    mean = (one[ends] - one[starts]) / count
    variance = (two[ends] - two[starts]) / count - mean**2
    with np.errstate(all="ignore"):
        size = np.clip(fraction * np.where(variance > 1e-18, mean / variance, 0.0), 0.0, largest)
    return np.where(ends - 1 < _KELLY_LEAST, min(1.0, largest), size)


def cap_risk(weights: FloatArray, volatility: FloatArray, largest: float, *, neutral: bool) -> FloatArray:
    """Return weights with no position's volatility a bar above `largest`; without a volatility, no position."""
    if math.isinf(largest):
        return weights
    with np.errstate(all="ignore"):
        bound = np.where(volatility > 0, largest / volatility, 0.0)
        keep = np.where(weights == 0, 1.0, np.minimum(bound / np.abs(weights), 1.0))
    return apply_gate(weights, keep, neutral=neutral)
