"""Evaluating expressions on a panel, and checking what came out.

Every value depends on its own bar and earlier ones only. That is so by construction, and `check_truncation` tests it
for a given factor: on a shortened panel its values must be the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from factors.kernels import cross, pairs, recursive, rolling
from factors.measure import estimate
from factors.table import GROUP_FIELDS, MARKET_FIELDS, OPERATORS
from factors.tree import Call, Expression, Field, Node, Number, Signal
from market.errors import InputError, Rejection
from market.panel import BoolArray, FloatArray, Panel

Value = FloatArray | float
Kernel = Callable[..., FloatArray]
MIN_FINITE = 0.2


def _along_time(kernel: Callable[..., FloatArray], *arrays: FloatArray, extra: tuple[object, ...]) -> FloatArray:
    """Call a rolling kernel on (T, N) arrays: it wants each asset's series contiguous."""
    turned = (np.ascontiguousarray(array.T) for array in arrays)
    return np.ascontiguousarray(kernel(*turned, *extra).T)


def _moment(mode: int) -> Kernel:
    return lambda x, d: _along_time(rolling.moments, x, extra=(int(d), mode))


def _order(mode: int) -> Kernel:
    return lambda x, d: _along_time(rolling.orders, x, extra=(int(d), mode))


def _trend(mode: int) -> Kernel:
    return lambda x, d: _along_time(rolling.trends, x, extra=(int(d), mode))


def _pair(mode: int) -> Kernel:
    return lambda x, y, d: _along_time(pairs.pairs, x, y, extra=(int(d), mode))


def delay(x: FloatArray, d: float) -> FloatArray:
    """Return x, d bars ago; NaN for the first d bars."""
    out = np.full_like(x, np.nan)
    if int(d) < len(x):
        out[int(d) :] = x[: len(x) - int(d)]
    return out


def _divide(x: FloatArray, y: FloatArray) -> FloatArray:
    quotient: FloatArray = np.where(y == 0, np.nan, x / np.where(y == 0, 1.0, y))
    return quotient


def _power(x: FloatArray, y: FloatArray) -> FloatArray:
    # 0 to a negative power is a division by zero; numpy would say inf.
    return np.where((x == 0) & (y < 0), np.nan, np.power(x, y))


def _truth(test: Callable[[FloatArray, FloatArray], BoolArray]) -> Kernel:
    def kernel(x: FloatArray, y: FloatArray) -> FloatArray:
        return np.where(np.isnan(x) | np.isnan(y), np.nan, test(x, y).astype(np.float64))

    return kernel


def _if_else(c: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    return np.where(np.isnan(c), np.nan, np.where(c != 0, x, y))


def _decay(weights: FloatArray) -> FloatArray:
    shares: FloatArray = weights / weights.sum()
    return shares


def _decay_linear(x: FloatArray, d: float) -> FloatArray:
    return _along_time(rolling.weighted, x, extra=(_decay(np.arange(int(d), 0, -1, dtype=np.float64)),))


def _decay_exp(x: FloatArray, d: float, a: float) -> FloatArray:
    return _along_time(rolling.weighted, x, extra=(_decay(np.power(float(a), np.arange(int(d), dtype=np.float64))),))


def _true_range(high: FloatArray, low: FloatArray, close: FloatArray) -> FloatArray:
    before = delay(close, 1)
    return np.maximum(np.maximum(high - low, np.abs(high - before)), np.abs(low - before))


def _in_groups(mode: int) -> Callable[[FloatArray, FloatArray], FloatArray]:
    def kernel(x: FloatArray, g: FloatArray) -> FloatArray:
        codes, count = group_codes(g)
        return cross.standards(x, codes, count, mode)

    return kernel


def _over_all(mode: int) -> Callable[[FloatArray], FloatArray]:
    return lambda x: cross.standards(x, np.zeros(x.shape, dtype=np.int64), 1, mode)


def group_codes(g: FloatArray) -> tuple[np.ndarray, int]:
    """Return (T, N) int64 codes from 0 (-1 where `g` is NaN) and how many groups there are."""
    names = np.unique(g[np.isfinite(g)])
    codes = np.searchsorted(names, np.where(np.isfinite(g), g, names[0] if len(names) else 0.0))
    return np.where(np.isfinite(g), codes, -1).astype(np.int64), max(len(names), 1)


def _group_cross(g: FloatArray, h: FloatArray) -> FloatArray:
    # Codes of groups are whole numbers far below this.
    return g * 1e6 + h


def _cumulative(mode: int) -> Kernel:
    return lambda x: _along_time(recursive.cumulative, x, extra=(mode,))


def _adx(high: FloatArray, low: FloatArray, close: FloatArray, d: float) -> FloatArray:
    """Wilder's average directional index; his average true range cancels out of the index itself."""
    # A bar without a close trades no range: the index waits for it like every other price.
    up, down = high - delay(high, 1) + 0.0 * close, delay(low, 1) - low + 0.0 * close
    plus = np.where(np.isnan(up + down), np.nan, np.where((up > down) & (up > 0), up, 0.0))
    minus = np.where(np.isnan(up + down), np.nan, np.where((down > up) & (down > 0), down, 0.0))
    plus, minus = (_along_time(recursive.recursive, side, extra=(1.0 / d, int(d))) for side in (plus, minus))
    total = plus + minus
    index = np.where(total == 0.0, 0.0, 100.0 * np.abs(plus - minus) / np.where(total == 0.0, 1.0, total))
    return _along_time(recursive.recursive, index, extra=(1.0 / d, int(d)))


def _autocorr(x: FloatArray, d: float, lag: float) -> FloatArray:
    return _along_time(pairs.pairs, x, delay(x, lag), extra=(int(d), pairs.CORR))


_mean = _moment(rolling.MEAN)
_sum = _moment(rolling.SUM)

KERNELS: Mapping[str, Kernel] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": _divide,
    "neg": lambda x: -x,
    "power": _power,
    "signed_power": lambda x, y: np.sign(x) * _power(np.abs(x), y),
    "abs": np.abs,
    "sign": np.sign,
    "log": lambda x: np.log(np.where(x > 0, x, np.nan)),
    "log1p": lambda x: np.log1p(np.where(x > -1, x, np.nan)),
    "exp": np.exp,
    "sqrt": lambda x: np.sqrt(np.where(x >= 0, x, np.nan)),
    "tanh": np.tanh,
    "sigmoid": lambda x: 0.5 * (1.0 + np.tanh(0.5 * x)),
    "floor": np.floor,
    "max": np.maximum,
    "min": np.minimum,
    "clip": lambda x, lo, hi: np.clip(x, lo, hi),
    "lt": _truth(np.less),
    "le": _truth(np.less_equal),
    "gt": _truth(np.greater),
    "ge": _truth(np.greater_equal),
    "eq": _truth(np.equal),
    "ne": _truth(np.not_equal),
    "and_": _truth(lambda p, q: (p != 0) & (q != 0)),
    "or_": _truth(lambda p, q: (p != 0) | (q != 0)),
    "not_": lambda p: np.where(np.isnan(p), np.nan, (p == 0).astype(np.float64)),
    "if_else": _if_else,
    "ts_delay": delay,
    "ts_delta": lambda x, d: x - delay(x, d),
    "ts_returns": lambda x, d: _divide(x, delay(x, d)) - 1.0,
    "ts_log_return": lambda x, d: KERNELS["log"](_divide(x, delay(x, d))),
    "ts_sum": _sum,
    "ts_mean": _mean,
    "ts_std": _moment(rolling.STD),
    "ts_var": _moment(rolling.VAR),
    "ts_skew": _moment(rolling.SKEW),
    "ts_kurt": _moment(rolling.KURT),
    "ts_moment": lambda x, d, k: _along_time(rolling.central_moment, x, extra=(int(d), int(k))),
    "ts_backfill": lambda x, d: _along_time(recursive.backfill, x, extra=(int(d),)),
    "ts_kama": lambda x, d: _along_time(recursive.adaptive, x, extra=(int(d),)),
    "cum_sum": _cumulative(recursive.CUM_SUM),
    "cum_mean": _cumulative(recursive.CUM_MEAN),
    "cum_max": _cumulative(recursive.CUM_MAX),
    "cum_min": _cumulative(recursive.CUM_MIN),
    "cum_product": _cumulative(recursive.CUM_PRODUCT),
    "cum_count": lambda c: KERNELS["cum_sum"](np.where(np.isnan(c), np.nan, (c != 0).astype(np.float64))),
    "ts_min": _order(rolling.MIN),
    "ts_max": _order(rolling.MAX),
    "ts_argmax": _order(rolling.ARGMAX),
    "ts_argmin": _order(rolling.ARGMIN),
    "ts_rank": _order(rolling.RANK),
    "ts_zscore": _moment(rolling.ZSCORE),
    "ts_median": lambda x, d: _along_time(rolling.quantiles, x, extra=(int(d), 0.5)),
    "ts_mad": _moment(rolling.MAD),
    "ts_product": _moment(rolling.PRODUCT),
    "ts_quantile": lambda x, d, level: _along_time(rolling.quantiles, x, extra=(int(d), float(level))),
    "ts_scale": _order(rolling.SCALE),
    "ts_decay_linear": _decay_linear,
    "ts_decay_exp": _decay_exp,
    "ts_ema": lambda x, d: _along_time(recursive.recursive, x, extra=(2.0 / (d + 1.0), int(d))),
    "ts_sma": lambda x, n, m: _along_time(recursive.recursive, x, extra=(m / n, int(n))),
    "ts_slope": _trend(rolling.SLOPE),
    "ts_rsquare": _trend(rolling.RSQUARE),
    "ts_resid": _trend(rolling.RESID),
    "ts_ir": _moment(rolling.IR),
    "ts_autocorr": _autocorr,
    "ts_count": lambda c, d: _sum(np.where(np.isnan(c), np.nan, (c != 0).astype(np.float64)), d),
    "ts_sumif": lambda x, d, c: _sum(np.where(np.isnan(c), np.nan, np.where(c != 0, x, x * 0.0)), d),
    "ts_corr": _pair(pairs.CORR),
    "ts_cov": _pair(pairs.COV),
    "ts_beta": _pair(pairs.BETA),
    "bars_since": lambda c, d: _along_time(recursive.since, c, extra=(int(d),)),
    "rsi": lambda x, d: _along_time(recursive.strength, x, extra=(int(d),)),
    "atr": lambda high, low, close, d: _mean(_true_range(high, low, close), d),
    "cs_rank": cross.ranks,
    "cs_zscore": _over_all(cross.ZSCORE),
    "cs_demean": _over_all(cross.DEMEAN),
    "adx": _adx,
    "cs_mean": _over_all(cross.MEAN),
    "cs_quantile": lambda x, level: cross.row_quantiles(x, float(level)),
    "cs_top_bottom": lambda x, share: cross.top_bottom(x, float(share)),
    "cs_resid": cross.residuals,
    "bucket": lambda x, n: cross.buckets(x, int(n)),
    "group_cross": _group_cross,
    "cs_scale": cross.scaled,
    "cs_winsorize": lambda x, k: cross.winsorized(x, float(k)),
    "group_neutralize": _in_groups(cross.DEMEAN),
    "group_mean": _in_groups(cross.MEAN),
    "group_rank": lambda x, g: cross.group_ranks(x, group_codes(g)[0]),
    "group_zscore": _in_groups(cross.ZSCORE),
}


def evaluate(expression: Expression, panel: Panel, *, cache: dict[Node, FloatArray] | None = None) -> Signal:
    """Return the expression's values on `panel`; equal subtrees are computed once.

    Outside the universe, assets take no part in ``cs_`` and ``group_`` operators. Whatever is not finite becomes NaN at
    every step, so that an overflow cannot turn into a value further on. Intermediate values are freed after their last
    use, so that memory stays within `factors.measure.estimate`.

    Parameters
    ----------
    cache
        Subtree values of this very panel from earlier calls, which are used, added to, and kept.

    Raises
    ------
    InputError
        When the panel lacks a field that the expression names.
    """
    values = _Evaluation(panel, cache).run(expression.root)
    return Signal(expression, values, panel.id)


def check_cost(expression: Expression, panel: Panel, *, seconds: float, gigabytes: float) -> Rejection | None:
    """Return why an expression is too costly to evaluate on `panel`, by its estimate, or None."""
    need = estimate(expression.root, *panel.shape)
    if need.seconds > seconds:
        return Rejection(
            "check",
            "too_costly",
            f"the factor needs about {need.seconds:.0f} s on this data, at most {seconds:g} s are allowed",
            "shorten the windows or drop a part",
        )
    if need.bytes > gigabytes * 1e9:
        return Rejection(
            "check",
            "too_costly",
            f"the factor needs about {need.bytes / 1e9:.1f} GB on this data, at most {gigabytes:g} GB are allowed",
            "simplify it",
        )
    return None


class _Evaluation:
    """One walk over a tree. Without a cache, each value is dropped once nothing waits for it."""

    def __init__(self, panel: Panel, cache: dict[Node, FloatArray] | None) -> None:
        self.panel = panel
        self.keeps = cache is not None
        self.values: dict[Node, FloatArray] = {} if cache is None else cache
        self.waiting: dict[Node, int] = {}

    def run(self, root: Node) -> FloatArray:
        if not self.keeps:
            self._count(root)
        return self._value(root)

    def _count(self, node: Node) -> None:
        self.waiting[node] = self.waiting.get(node, 0) + 1
        if self.waiting[node] == 1 and isinstance(node, Call):
            for arg in node.args:
                self._count(arg)

    def _value(self, node: Node) -> FloatArray:
        known = self.values.get(node)
        if known is None:
            if isinstance(node, Field):
                known = panel_field(self.panel, node.name)
            elif isinstance(node, Number):
                known = np.full(self.panel.shape, node.value)
            else:
                known = self._applied(node)
            self.values[node] = known
        if not self.keeps:
            self.waiting[node] -= 1
            if self.waiting[node] == 0:
                del self.values[node]
        return known

    def _applied(self, call: Call) -> FloatArray:
        operator = OPERATORS[call.op]
        args: list[Value] = []
        for arg, param in zip(call.args, operator.params, strict=True):
            if param.kind in ("number", "window"):
                assert isinstance(arg, Number)
                args.append(arg.value)
            elif isinstance(arg, Number):
                # An operand that is one number everywhere broadcasts; no array is needed.
                args.append(np.full((1, 1), arg.value))
            else:
                args.append(self._value(arg))
        if operator.family in ("cross-section", "group"):
            args[0] = np.where(self.panel.universe, args[0], np.nan)
        with np.errstate(all="ignore"):
            values = np.broadcast_to(KERNELS[call.op](*args), self.panel.shape)
        return np.ascontiguousarray(np.where(np.isfinite(values), values, np.nan))


def panel_field(panel: Panel, name: str) -> FloatArray:
    """Return a field of the panel, (T, N), derived where it is not carried.

    vwap is traded value over volume where the panel carries `amount`, else the typical price (high + low + close) / 3;
    amount is volume times vwap; returns is close / previous close - 1; adv{d} is the d-bar mean of amount;
    market_close and market_open are an equal-weighted index of the universe that stands at 1 on the first bar.
    """
    carried = panel.fields.get(name)
    if carried is not None:
        return np.where(np.isfinite(carried), carried, np.nan)
    with np.errstate(all="ignore"):
        if name == "returns":
            return KERNELS["ts_returns"](panel["close"], 1)
        if name == "vwap":
            if "amount" in panel.fields:
                return _divide(panel["amount"], panel["volume"])
            return (panel["high"] + panel["low"] + panel["close"]) / 3.0
        if name == "amount":
            return panel["volume"] * panel_field(panel, "vwap")
        if name in MARKET_FIELDS:
            return _market_index(panel)[name]
        if name.startswith("adv") and name[3:].isdecimal():
            return _mean(np.ascontiguousarray(panel_field(panel, "amount")), int(name[3:]))
    hint = (
        "groups need a panel that carries them" if name in GROUP_FIELDS else f"it has {', '.join(sorted(panel.fields))}"
    )
    raise InputError(f"the data has no field {name!r}", hint)


def _market_index(panel: Panel) -> dict[str, FloatArray]:
    """Return open and close of the equal-weighted index, the same for every asset."""
    before = delay(np.asarray(panel["close"]), 1)
    moves = {}
    for side in ("open", "close"):
        change = np.where(panel.universe, _divide(np.asarray(panel[side]), before) - 1.0, np.nan)
        known = np.isfinite(change)
        total = np.where(known, change, 0.0).sum(axis=1)
        moves[side] = total / np.maximum(known.sum(axis=1), 1)
    close = np.cumprod(1.0 + moves["close"])
    opened = np.concatenate([[np.nan], close[:-1] * (1.0 + moves["open"][1:])])
    shape = panel.shape
    return {
        "market_close": np.ascontiguousarray(np.broadcast_to(close[:, None], shape)),
        "market_open": np.ascontiguousarray(np.broadcast_to(opened[:, None], shape)),
    }


def check_signal(signal: Signal, panel: Panel) -> Rejection | None:
    """Return why a signal cannot be traded at all, or None: only NaN, mostly NaN, or constant."""
    values = np.where(panel.universe, signal.values, np.nan)
    after = values[min(signal.expression.lookback, len(values) - 1) :]
    traded = panel.universe[-len(after) :]
    finite = np.isfinite(after)
    if not finite.any():
        return Rejection(
            "evaluate",
            "all_nan",
            "the factor is NaN everywhere",
            "look for a division by zero, a log of negatives, or too long windows",
        )
    share = finite.sum() / max(int(traded.sum()), 1)
    if share < MIN_FINITE:
        return Rejection(
            "evaluate",
            "mostly_nan",
            f"the factor is NaN for {1 - share:.0%} of the bars after warm-up",
            "conditions or gaps leave too little",
        )
    known = after[finite]
    if known.max() - known.min() <= 1e-12 * max(1.0, float(np.abs(known).max())):
        return Rejection("evaluate", "constant", f"the factor is constant ({known[0]:g})", "it cannot rank anything")
    return None


def check_truncation(expression: Expression, panel: Panel, cuts: Sequence[int]) -> Rejection | None:
    """Return a rejection if values on the first k bars change when later bars are added, for any k in `cuts`."""
    whole = evaluate(expression, panel).values
    for cut in cuts:
        part = evaluate(expression, panel.rows(0, cut)).values
        same = (part == whole[:cut]) | (np.isnan(part) & np.isnan(whole[:cut]))
        if not same.all():
            bar, asset = np.argwhere(~same)[0]
            return Rejection(
                "evidence",
                "look_ahead",
                f"values of past bars change when later bars are added (bar {bar}, {panel.assets[asset]})",
                "this is a defect of alphaglow: please report the expression",
            )
    return None
