"""Which stream computes which operator: the engine's side of the operator table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from factors.kernels import cross, elementwise, extremes, moments, orders, pairs, recursive, sums
from factors.kernels import deviations as windows
from factors.operator_plugin import as_operator
from factors.streams import Array, Calls, Chain, Kernel, Layout, Maker, RowQuantiles, Sliding, Sorted, Stream, stretch
from market.plugins import Registry
from market.ranking import KeySorter, key_bits, rank_rows

# Nanoseconds a cell, measured in benchmarks/engine: to compare with one bar of the window, to move one bar of a window
# in order, and to slide over sorted values, each of which is sorted the more often the shorter the stretch is.
_COMPARE, _SWEEP = 0.17, 0.85
_SLIDE, _SORT = 5.0, 10.0


def _clock() -> NDArray[np.int64]:
    return np.zeros(1, dtype=np.int64)


def _ufunc(function: Callable[..., object]) -> Maker:
    chain = Chain(lambda args, out: [(function, (*args, out))])
    return lambda layout, numbers: chain


def _plain(kernel: Callable[..., object], *extra: object, sees_universe: bool = False) -> Maker:
    """Return the maker of a kernel without state; the call's own numbers come after `extra`."""
    return lambda layout, numbers: Kernel(kernel, (*extra, *(float(n) for n in numbers)), sees_universe)


def _sigmoid(args: Sequence[Array], out: Array) -> Calls:
    return [
        (np.multiply, (args[0], 0.5, out)),
        (np.tanh, (out, out)),
        (np.add, (out, 1.0, out)),
        (np.multiply, (out, 0.5, out)),
    ]


def _signed_power(layout: Layout, numbers: Sequence[float]) -> Stream:
    size = layout.zeros(layout.rows)

    def steps(args: Sequence[Array], out: Array) -> Calls:
        part = size[: len(out)]
        return [(np.abs, (args[0], part)), (np.power, (part, args[1], part)), (np.sign, (args[0], out)),
                (np.multiply, (part, out, out))]  # fmt: skip

    return Chain(steps, size.nbytes)


def _blocks(kernel: Callable[..., object], nothing: float) -> Maker:
    return lambda at, n: Kernel(kernel, (_block(at, n[0], nothing), at.zeros(), _clock()))


def _block(at: Layout, d: float, nothing: float = 0.0, *shape: int) -> Array:
    """Return memory of a block, (..., d + 1, N): nothing is known of the old one, and the last row sums up nothing."""
    kept = at.missing(*shape, int(d) + 1)
    kept[..., -1, :] = nothing
    return kept


def _mean(at: Layout, n: Sequence[float]) -> Stream:
    return Kernel(sums.means, (_block(at, n[0]), at.zeros(), at.zeros(), _clock(), at.constants(1.0 / n[0])))


def _decay_exp(at: Layout, n: Sequence[float]) -> Stream:
    d = int(n[0])
    powers = np.power(float(n[1]), np.arange(d + 1, dtype=np.float64))
    scale = at.constants(1.0 / powers[:d].sum())
    state = (_block(at, d), at.zeros(), at.zeros(), _clock(), powers.astype(at.dtype), scale)
    return Kernel(sums.fading, state)


def _spread(mode: int) -> Maker:
    def make(at: Layout, n: Sequence[float]) -> Stream:
        d = int(n[0])
        share = at.constants(1.0 / d, 1.0 / (d - 1) if d > 1 else np.nan)
        state = (_block(at, d, 0.0, 2), at.zeros(3), _clock(), share, mode)
        return Kernel(moments.spreads, state)

    return make


def _shape(mode: int | None) -> Maker:
    def make(at: Layout, n: Sequence[float]) -> Stream:
        d = int(n[0])
        which = int(n[1]) - 1 if mode is None else mode
        state = (_block(at, d), _block(at, d, 0.0, 3), at.zeros(), at.zeros(8), _clock(), which)
        return Kernel(moments.shapes, state)

    return make


def _trend(mode: int) -> Maker:
    def make(at: Layout, n: Sequence[float]) -> Stream:
        d = int(n[0])
        sums = _block(at, d, 0.0, 3 if mode == moments.RSQUARE else 2)
        state = (sums, at.zeros(5), _clock(), mode)
        return Kernel(moments.trends, state)

    return make


def _pair(mode: int) -> Maker:
    return lambda at, n: Kernel(pairs.pairs, (_block(at, n[0], 0.0, 5), at.zeros(2), at.zeros(8), _clock(), mode))


def _extreme(sign: float) -> Maker:
    def make(at: Layout, n: Sequence[float]) -> Stream:
        state = (_block(at, n[0], np.inf), at.zeros(), at.zeros(), _clock(), at.constants(sign)[0])
        return Kernel(extremes.lows, state)

    return make


def _age(sign: float) -> Maker:
    def make(at: Layout, n: Sequence[float]) -> Stream:
        shape = (at.width, int(n[0]))
        ends = np.zeros((3, at.width), dtype=np.int64)
        state = (np.zeros(shape, dtype=at.dtype), np.zeros(shape, dtype=np.int64), ends, _clock(), sign)
        return Kernel(extremes.ages, state)

    return make


def _recent_age(sign: float) -> Maker:
    return lambda at, n: Kernel(
        extremes.recent_ages, (at.missing(int(n[0])), at.zeros(2), _clock(), at.constants(sign)[0])
    )


def _sliding_cost(d: int, rows: int) -> float:
    bars = min(stretch(d), rows)
    return _SLIDE + _SORT * (d + bars) / bars


def slides(d: int, rows: int) -> bool:
    """Whether ranks over d bars are found faster by sliding over pieces of this many rows than by comparing."""
    return _sliding_cost(d, rows) < _COMPARE * d


def sweeps(d: int, rows: int) -> bool:
    """Whether quantiles over d bars are found faster by keeping the window in order than by sliding."""
    return _SWEEP * d < _sliding_cost(d, rows)


def _time_rank(at: Layout, n: Sequence[float]) -> Stream:
    d = int(n[0])
    if at.live or not slides(d, at.rows):
        return Kernel(orders.ranks, (at.missing(d), at.zeros(), at.zeros(3), _clock()))
    return Sliding(np.full((d - 1, at.width), np.nan), d, 0.0, orders.RANK)


def _time_quantile(at: Layout, n: Sequence[float]) -> Stream:
    d = int(n[0])
    if at.live or sweeps(d, at.rows):
        ring, ascending = at.filled(np.inf, d), at.filled(np.inf, d + 1)
        state = (ring, ascending, at.zeros(), at.zeros(3), _clock(), float(n[1]))
        return Kernel(orders.short_quantiles, state)
    return Sliding(np.full((d - 1, at.width), np.nan), d, float(n[1]), orders.QUANTILE)


def _deviation(at: Layout, n: Sequence[float]) -> Stream:
    return Kernel(windows.deviations, (at.missing(int(n[0])), at.zeros(), _clock(), int(n[1])))


def _lag(mode: int) -> Maker:
    return lambda at, n: Kernel(recursive.lags, (at.missing(int(n[0])), _clock(), mode))


def _average(at: Layout, alpha: float, warm: float) -> Stream:
    return Kernel(recursive.recursive, (at.zeros(), at.zeros(), at.constants(alpha, 1.0 - alpha), int(warm)))


def _cumulative(mode: int) -> Maker:
    def make(at: Layout, n: Sequence[float]) -> Stream:
        level = at.filled(1.0 if mode == recursive.CUM_PRODUCT else 0.0)
        return Kernel(recursive.cumulative, (level, at.zeros(), mode))

    return make


def _aging(kernel: Callable[..., object]) -> Maker:
    """Return the maker of a kernel whose second state counts bars from d on."""

    def make(at: Layout, n: Sequence[float]) -> Stream:
        late = at.filled(n[0])
        state = (late, at.zeros()) if kernel is recursive.since else (at.missing(), late)
        return Kernel(kernel, (*state, int(n[0])))

    return make


def _row_order(kernel: Callable[..., object], *extra: object) -> Maker:
    def make(at: Layout, n: Sequence[float]) -> Stream:
        return Sorted(kernel, KeySorter.make(at.rows, at.width), (key_bits(at.width), *n, *extra))

    return make


def _numbering(at: Layout) -> tuple[object, ...]:
    numbering = np.full((2, at.width + 1), np.nan, dtype=at.dtype)
    # No row has been numbered: there is no count of groups yet.
    numbering[1] = -1.0
    return (numbering, np.full(at.width, -1, dtype=np.int64))


def _in_groups(mode: int) -> Maker:
    return lambda at, n: Kernel(cross.in_groups, (*_numbering(at), at.zeros(4), mode), True)


def _group_rank(at: Layout, n: Sequence[float]) -> Stream:
    state = (*_numbering(at), key_bits(at.width))
    return Sorted(cross.group_ranks, KeySorter.make(at.rows, at.width), state)


def _market(at_open: bool) -> Maker:
    return lambda at, n: Kernel(recursive.market, (at.missing(), np.array([1.0, 0.0]), at_open), True)


def _compare(mode: int) -> Maker:
    return _plain(elementwise.compare, mode)


# How many arguments are arrays (the others are numbers), and the maker. Names with a leading _ come from lowering.
_BUILT_IN: Mapping[str, tuple[int, Maker]] = {
    "add": (2, _plain(elementwise.plus)),
    "sub": (2, _plain(elementwise.sub)),
    "mul": (2, _plain(elementwise.mul)),
    "div": (2, _plain(elementwise.div)),
    "neg": (1, _ufunc(np.negative)),
    "power": (2, _ufunc(np.power)),
    "signed_power": (2, _signed_power),
    "abs": (1, _ufunc(np.abs)),
    "sign": (1, _ufunc(np.sign)),
    "log": (1, _ufunc(np.log)),
    "log1p": (1, _ufunc(np.log1p)),
    "exp": (1, _ufunc(np.exp)),
    "sqrt": (1, _ufunc(np.sqrt)),
    "tanh": (1, _ufunc(np.tanh)),
    "atan": (1, _ufunc(np.arctan)),
    "sigmoid": (1, lambda at, n: Chain(_sigmoid)),
    "floor": (1, _ufunc(np.floor)),
    "round": (1, _ufunc(np.rint)),
    "mod": (2, _ufunc(np.mod)),
    "is_nan": (1, _plain(elementwise.missing)),
    "max": (2, _plain(elementwise.larger)),
    "min": (2, _plain(elementwise.smaller)),
    "clip": (1, _plain(elementwise.clip)),
    "lt": (2, _compare(elementwise.LT)),
    "le": (2, _compare(elementwise.LE)),
    "gt": (2, _compare(elementwise.GT)),
    "ge": (2, _compare(elementwise.GE)),
    "eq": (2, _compare(elementwise.EQ)),
    "ne": (2, _compare(elementwise.NE)),
    "and_": (2, _compare(elementwise.AND)),
    "or_": (2, _compare(elementwise.OR)),
    "not_": (1, _plain(elementwise.negate, 1.0)),
    "_truth": (1, _plain(elementwise.negate, 0.0)),
    "if_else": (3, _plain(elementwise.if_else)),
    "ts_delay": (1, _lag(recursive.DELAY)),
    "ts_delta": (1, _lag(recursive.DELTA)),
    "ts_returns": (1, _lag(recursive.RETURNS)),
    "_ratio": (1, _lag(recursive.RATIO)),
    "ts_sum": (1, _blocks(sums.totals, 0.0)),
    "ts_mean": (1, _mean),
    "ts_product": (1, _blocks(sums.products, 1.0)),
    "ts_decay_exp": (1, _decay_exp),
    "ts_decay_linear": (1, _trend(moments.DECAY)),
    "ts_var": (1, _spread(moments.VAR)),
    "ts_std": (1, _spread(moments.STD)),
    "ts_zscore": (1, _spread(moments.ZSCORE)),
    "ts_ir": (1, _spread(moments.IR)),
    "ts_skew": (1, _shape(moments.SKEW)),
    "ts_kurt": (1, _shape(moments.KURT)),
    "_moment": (1, _shape(None)),
    "_deviation": (2, _deviation),
    "ts_slope": (1, _trend(moments.SLOPE)),
    "ts_resid": (1, _trend(moments.RESID)),
    "ts_rsquare": (1, _trend(moments.RSQUARE)),
    "ts_corr": (2, _pair(pairs.CORR)),
    "ts_cov": (2, _pair(pairs.COV)),
    "ts_beta": (2, _pair(pairs.BETA)),
    "ts_min": (1, _extreme(1.0)),
    "ts_max": (1, _extreme(-1.0)),
    "_place": (3, _plain(extremes.share_of_range)),
    "ts_argmin": (1, _age(1.0)),
    "ts_argmax": (1, _age(-1.0)),
    "_recent_low": (2, _recent_age(1.0)),
    "_recent_high": (2, _recent_age(-1.0)),
    "ts_rank": (1, _time_rank),
    "ts_quantile": (1, _time_quantile),
    "ts_ema": (1, lambda at, n: _average(at, 2.0 / (n[0] + 1.0), n[0])),
    "ts_sma": (1, lambda at, n: _average(at, n[1] / n[0], n[0])),
    "_wilder": (1, lambda at, n: _average(at, 1.0 / n[0], n[0])),
    "_adaptive": (3, lambda at, n: Kernel(recursive.adaptive, (at.zeros(), at.zeros(), int(n[0])))),
    "ts_backfill": (1, _aging(recursive.backfill)),
    "bars_since": (1, _aging(recursive.since)),
    "trade_when": (3, _aging(recursive.taken_when)),
    "hump": (1, lambda at, n: Kernel(recursive.humped, (at.missing(), float(n[0])), True)),
    "cum_sum": (1, _cumulative(recursive.CUM_SUM)),
    "cum_mean": (1, _cumulative(recursive.CUM_MEAN)),
    "cum_max": (1, _cumulative(recursive.CUM_MAX)),
    "cum_min": (1, _cumulative(recursive.CUM_MIN)),
    "cum_product": (1, _cumulative(recursive.CUM_PRODUCT)),
    "_rise": (1, _plain(recursive.one_sided, 1.0)),
    "_fall": (1, _plain(recursive.one_sided, -1.0)),
    "_strength": (2, _plain(recursive.strength)),
    "_true_range": (3, lambda at, n: Kernel(recursive.true_ranges, (at.missing(),))),
    "_up_move": (3, lambda at, n: Kernel(recursive.movements, (at.missing(2), True))),
    "_down_move": (3, lambda at, n: Kernel(recursive.movements, (at.missing(2), False))),
    "_balance": (2, _plain(recursive.balance)),
    "_market_open": (2, _market(True)),
    "_market_close": (2, _market(False)),
    "_inside": (1, _plain(cross.masked, sees_universe=True)),
    "cs_rank": (1, _row_order(rank_rows, True)),
    "cs_zscore": (1, _plain(cross.standards, cross.ZSCORE, sees_universe=True)),
    "cs_demean": (1, _plain(cross.standards, cross.DEMEAN, sees_universe=True)),
    "cs_mean": (1, _plain(cross.standards, cross.MEAN, sees_universe=True)),
    "cs_scale": (1, _plain(cross.scale_rows, sees_universe=True)),
    "cs_winsorize": (1, _plain(cross.winsorized, sees_universe=True)),
    "cs_quantile": (1, lambda at, n: RowQuantiles(at.zeros(at.rows), float(n[0]))),
    "cs_top_bottom": (1, _row_order(cross.places, cross.TOP_BOTTOM)),
    "cs_resid": (2, _plain(cross.residuals, sees_universe=True)),
    "bucket": (1, _row_order(cross.places, cross.BUCKET)),
    "group_cross": (2, _plain(cross.crossed)),
    "group_neutralize": (2, _in_groups(cross.DEMEAN)),
    "group_mean": (2, _in_groups(cross.MEAN)),
    "group_zscore": (2, _in_groups(cross.ZSCORE)),
    "group_std": (2, _in_groups(cross.STD)),
    "group_count": (2, _in_groups(cross.COUNT)),
    "group_max": (2, _in_groups(cross.MAX)),
    "group_min": (2, _in_groups(cross.MIN)),
    "group_rank": (2, _group_rank),
}


def _added(value: object) -> tuple[int, Maker]:
    new = as_operator(value)
    return new.arrays, new.stream


STREAMS: Mapping[str, tuple[int, Maker]] = Registry("operators", _BUILT_IN, _added)
