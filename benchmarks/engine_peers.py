"""Other engines on the same trees: pandas, Bottleneck, torch windows as AlphaGen has them, Polars and KunQuant.

Each peer is given its operators in its own idiom; values are compared with ours, so that all are known to compute the
same thing. KunQuant, Bottleneck and Polars come with the extra `bench`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from factors.engine import evaluate
from factors.parse import parse
from factors.table import OPERATORS
from factors.tree import Call, Expression, Field, Node, Number
from market.panel import FloatArray, Panel

# What every peer can say; KunQuant has no mean or deviation across assets.
USUAL = (
    "add", "sub", "mul", "div", "neg", "abs", "sign", "log", "max", "min", "ts_delay", "ts_delta", "ts_sum", "ts_mean",
    "ts_std", "ts_max", "ts_min", "ts_argmax", "ts_argmin", "ts_rank", "ts_zscore", "ts_corr", "ts_cov",
    "ts_decay_linear", "ts_ema", "ts_skew", "ts_median", "cs_rank", "cs_scale", "cs_zscore", "cs_demean",
)  # fmt: skip
COMPILED = tuple(name for name in USUAL if name not in ("cs_zscore", "cs_demean"))
FIELDS = ("open", "high", "low", "close", "volume", "vwap", "amount", "returns")
Table = Mapping[str, Callable[..., Any]]


def peer_fields(panel: Panel) -> dict[str, FloatArray]:
    """Return all fields that drawn expressions use, derived ones included, so that no peer has to derive them."""
    found = {}
    for name in FIELDS:
        expression = parse(name, dialect="native")
        assert isinstance(expression, Expression)
        found[name] = evaluate(expression, panel).values
    return found


def walk(node: Node, fields: Mapping[str, Any], table: Table) -> Any:  # noqa: ANN401 - any peer's own array
    """Evaluate a tree with a peer's operators."""
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Field):
        return fields[node.name]
    kinds = [param.kind for param in OPERATORS[node.op].params]
    args = [
        int(arg.value) if kind == "window" and isinstance(arg, Number) else walk(arg, fields, table)
        for arg, kind in zip(node.args, kinds, strict=True)
    ]
    return table[node.op](*args)


_ARITHMETIC: Table = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "neg": lambda x: -x,
}


def _weighted_roll(x: pd.DataFrame, d: int) -> pd.DataFrame:
    weights = np.arange(1, d + 1) / (d * (d + 1) / 2)
    return sum((x.shift(d - 1 - i) * w for i, w in enumerate(weights)), start=pd.DataFrame(0.0, x.index, x.columns))


PANDAS: Table = {
    **_ARITHMETIC,
    "abs": lambda x: x.abs(),
    "sign": np.sign,
    "log": np.log,
    "max": np.maximum,
    "min": np.minimum,
    "ts_delay": lambda x, d: x.shift(d),
    "ts_delta": lambda x, d: x.diff(d),
    "ts_sum": lambda x, d: x.rolling(d).sum(),
    "ts_mean": lambda x, d: x.rolling(d).mean(),
    "ts_std": lambda x, d: x.rolling(d).std(),
    "ts_max": lambda x, d: x.rolling(d).max(),
    "ts_min": lambda x, d: x.rolling(d).min(),
    "ts_argmax": lambda x, d: d - 1 - x.rolling(d).apply(np.argmax, raw=True),
    "ts_argmin": lambda x, d: d - 1 - x.rolling(d).apply(np.argmin, raw=True),
    "ts_rank": lambda x, d: x.rolling(d).rank(pct=True),
    "ts_zscore": lambda x, d: (x - x.rolling(d).mean()) / x.rolling(d).std(),
    "ts_corr": lambda x, y, d: x.rolling(d).corr(y),
    "ts_cov": lambda x, y, d: x.rolling(d).cov(y),
    "ts_decay_linear": _weighted_roll,
    "ts_ema": lambda x, d: x.ewm(span=d, adjust=False, min_periods=d).mean(),
    "ts_skew": lambda x, d: x.rolling(d).skew(),
    "ts_median": lambda x, d: x.rolling(d).median(),
    "cs_rank": lambda x: x.rank(axis=1, pct=True),
    "cs_scale": lambda x: x.div(x.abs().sum(axis=1), axis=0),
    "cs_zscore": lambda x: x.sub(x.mean(axis=1), axis=0).div(x.std(axis=1), axis=0),
    "cs_demean": lambda x: x.sub(x.mean(axis=1), axis=0),
}


def _shift(x: FloatArray, d: int) -> FloatArray:
    out = np.full_like(x, np.nan)
    out[d:] = x[: len(x) - d]
    return out


def bottleneck_table() -> Table:
    """Return Bottleneck's moving windows, with numpy for what it lacks (correlations are made of its means)."""
    import bottleneck as bn

    def mean(x: FloatArray, d: int) -> FloatArray:
        found: FloatArray = bn.move_mean(x, d, min_count=d, axis=0)
        return found

    def cov(x: FloatArray, y: FloatArray, d: int) -> FloatArray:
        return (mean(x * y, d) - mean(x, d) * mean(y, d)) * (d / (d - 1))

    def std(x: FloatArray, d: int) -> FloatArray:
        found: FloatArray = bn.move_std(x, d, min_count=d, axis=0, ddof=1)
        return found

    def skew(x: FloatArray, d: int) -> FloatArray:
        m, two, three = mean(x, d), mean(x * x, d), mean(x * x * x, d)
        third = three - 3 * m * two + 2 * m**3
        return third / (two - m * m) ** 1.5 * np.sqrt(d * (d - 1.0)) / (d - 2.0)

    def decay(x: FloatArray, d: int) -> FloatArray:
        total = np.zeros_like(x)
        for age in range(d):
            total += (d - age) * _shift(x, age)
        return total / (d * (d + 1) / 2)

    def ema(x: FloatArray, d: int) -> FloatArray:
        out, level, alpha = np.empty_like(x), x[0].copy(), 2.0 / (d + 1)
        for t in range(len(x)):
            level = np.where(np.isnan(level), x[t], alpha * x[t] + (1 - alpha) * level)
            out[t] = level
        return out

    def row(x: FloatArray, f: Callable[..., FloatArray]) -> FloatArray:
        return f(x, axis=1)[:, None]

    return {
        **_ARITHMETIC,
        "abs": np.abs, "sign": np.sign, "log": np.log, "max": np.maximum, "min": np.minimum,
        "ts_delay": _shift,
        "ts_delta": lambda x, d: x - _shift(x, d),
        "ts_sum": lambda x, d: bn.move_sum(x, d, min_count=d, axis=0),
        "ts_mean": mean,
        "ts_std": std,
        "ts_max": lambda x, d: bn.move_max(x, d, min_count=d, axis=0),
        "ts_min": lambda x, d: bn.move_min(x, d, min_count=d, axis=0),
        "ts_argmax": lambda x, d: bn.move_argmax(x, d, min_count=d, axis=0),
        "ts_argmin": lambda x, d: bn.move_argmin(x, d, min_count=d, axis=0),
        "ts_rank": lambda x, d: (bn.move_rank(x, d, min_count=d, axis=0) * (d - 1) / 2 + (d + 1) / 2) / d,
        "ts_zscore": lambda x, d: (x - mean(x, d)) / std(x, d),
        "ts_corr": lambda x, y, d: cov(x, y, d) / (std(x, d) * std(y, d)),
        "ts_cov": cov,
        "ts_decay_linear": decay,
        "ts_ema": ema,
        "ts_skew": skew,
        "ts_median": lambda x, d: bn.move_median(x, d, min_count=d, axis=0),
        "cs_rank": lambda x: bn.nanrankdata(x, axis=1) / row(np.isfinite(x).astype(float), np.sum),
        "cs_scale": lambda x: x / row(np.abs(x), bn.nansum),
        "cs_zscore": lambda x: (x - row(x, bn.nanmean)) / bn.nanstd(x, axis=1, ddof=1)[:, None],
        "cs_demean": lambda x: x - row(x, bn.nanmean),
    }  # fmt: skip


def torch_table() -> Table:
    """Return windows by `unfold` in torch, the way AlphaGen's expressions compute them. Arrays are (T, N) tensors."""
    import torch

    T = torch.Tensor

    def rolled(f: Callable[[T], T]) -> Callable[[T, int], T]:
        def apply(x: T, d: int) -> T:
            out = torch.full_like(x, torch.nan)
            if d <= len(x):
                out[d - 1 :] = f(x.unfold(0, d, 1))
            return out

        return apply

    def delay(x: T, d: int) -> T:
        out = torch.full_like(x, torch.nan)
        out[d:] = x[:-d]
        return out

    def cov(x: T, y: T, d: int) -> T:
        out = torch.full_like(x, torch.nan)
        a, b = x.unfold(0, d, 1), y.unfold(0, d, 1)
        gap = (a - a.mean(-1, keepdim=True)) * (b - b.mean(-1, keepdim=True))
        out[d - 1 :] = gap.sum(-1) / (d - 1)
        return out

    def std(w: T) -> T:
        return w.std(-1)

    def skew(w: T) -> T:
        d = w.shape[-1]
        gap = w - w.mean(-1, keepdim=True)
        m2, m3 = (gap**2).mean(-1), (gap**3).mean(-1)
        return m3 / m2**1.5 * float(np.sqrt(d * (d - 1.0)) / (d - 2.0))

    def ranked(w: T) -> T:
        below = (w < w[..., -1:]).sum(-1) + (w <= w[..., -1:]).sum(-1)
        return (below + 1) / 2 / w.shape[-1]

    def weighted(w: T) -> T:
        weights = torch.arange(1, w.shape[-1] + 1, dtype=w.dtype)
        return (w * (weights / weights.sum())).sum(-1)

    def faded(w: T) -> T:
        # A window for what is recursive: the rest is forgotten, as AlphaGen does.
        ages = torch.arange(w.shape[-1] - 1, -1, -1, dtype=w.dtype)
        weights = (1 - 2 / (w.shape[-1] + 1)) ** ages
        return (w * (weights / weights.sum())).sum(-1)

    def cs_rank(x: T) -> T:
        known = ~x.isnan()
        places = x.nan_to_num(torch.inf).argsort(1).argsort(1).to(x.dtype) + 1
        return torch.where(known, places / known.sum(1, keepdim=True), torch.nan)

    deviation = rolled(std)
    return {
        **_ARITHMETIC,
        "abs": torch.abs, "sign": torch.sign, "log": torch.log,
        "max": lambda x, y: torch.maximum(torch.as_tensor(x), torch.as_tensor(y)),
        "min": lambda x, y: torch.minimum(torch.as_tensor(x), torch.as_tensor(y)),
        "ts_delay": delay,
        "ts_delta": lambda x, d: x - delay(x, d),
        "ts_sum": rolled(lambda w: w.sum(-1)),
        "ts_mean": rolled(lambda w: w.mean(-1)),
        "ts_std": deviation,
        "ts_max": rolled(lambda w: w.max(-1)[0]),
        "ts_min": rolled(lambda w: w.min(-1)[0]),
        "ts_argmax": rolled(lambda w: (w.shape[-1] - 1 - w.argmax(-1)).to(w.dtype)),
        "ts_argmin": rolled(lambda w: (w.shape[-1] - 1 - w.argmin(-1)).to(w.dtype)),
        "ts_rank": rolled(ranked),
        "ts_zscore": rolled(lambda w: (w[..., -1] - w.mean(-1)) / w.std(-1)),
        "ts_corr": lambda x, y, d: cov(x, y, d) / (deviation(x, d) * deviation(y, d)),
        "ts_cov": cov,
        "ts_decay_linear": rolled(weighted),
        "ts_ema": rolled(faded),
        "ts_skew": rolled(skew),
        "ts_median": rolled(lambda w: w.median(-1)[0]),
        "cs_rank": cs_rank,
        "cs_scale": lambda x: x / x.abs().nansum(1, keepdim=True),
        "cs_zscore": lambda x: (x - x.nanmean(1, keepdim=True)) / x.std(1, keepdim=True),
        "cs_demean": lambda x: x - x.nanmean(1, keepdim=True),
    }  # fmt: skip


@cache
def _kunquant_table() -> Table:
    from KunQuant import ops
    from KunQuant.Op import ConstantOp, Rank, Scale

    def binary(op: Any) -> Callable[[Any, Any], Any]:  # noqa: ANN401 - the peer's own
        return lambda x, y: op(*(ConstantOp(v) if isinstance(v, float) else v for v in (x, y)))

    return {
        "add": binary(ops.Add), "sub": binary(ops.Sub), "mul": binary(ops.Mul), "div": binary(ops.Div),
        "max": binary(ops.Max), "min": binary(ops.Min),
        "neg": lambda x: ops.MulConst(x, -1.0),
        "abs": ops.Abs, "sign": ops.Sign, "log": ops.Log,
        "ts_delay": ops.BackRef,
        "ts_delta": lambda x, d: ops.Sub(x, ops.BackRef(x, d)),
        "ts_sum": ops.WindowedSum, "ts_mean": ops.WindowedAvg, "ts_std": ops.WindowedStddev, "ts_max": ops.WindowedMax,
        "ts_min": ops.WindowedMin, "ts_argmax": ops.TsArgMax, "ts_argmin": ops.TsArgMin, "ts_rank": ops.TsRank,
        "ts_zscore": lambda x, d: ops.Div(ops.Sub(x, ops.WindowedAvg(x, d)), ops.WindowedStddev(x, d)),
        "ts_corr": lambda x, y, d: ops.WindowedCorrelation(x, d, y),
        "ts_cov": lambda x, y, d: ops.WindowedCovariance(x, d, y),
        "ts_decay_linear": ops.DecayLinear, "ts_ema": ops.ExpMovingAvg, "ts_skew": ops.WindowedSkew,
        "ts_median": lambda x, d: ops.WindowedQuantile(x, d, 0.5),
        "cs_rank": Rank, "cs_scale": Scale,
    }  # fmt: skip


class Compiled:
    """Expressions compiled by KunQuant into one library; NaN-safe, in double."""

    def __init__(self, build: Callable[[Mapping[str, Any]], Mapping[str, Any]], names: tuple[str, ...]) -> None:
        from KunQuant.Driver import KunCompilerConfig
        from KunQuant.jit import cfake
        from KunQuant.Op import Builder, Input, Output
        from KunQuant.Stage import Function

        builder = Builder()
        with builder:
            for name, op in build({name: Input(name) for name in names}).items():
                Output(op, name)
        config = KunCompilerConfig(
            dtype="double", input_layout="TS", output_layout="TS", options={"no_fast_stat": True}
        )  # fmt: skip
        self.names = names
        self._folder = tempfile.TemporaryDirectory()
        self.library = cfake.compileit(
            [("peer", Function(builder.ops), config)], "peer", cfake.CppCompilerConfig(), tempdir=self._folder.name
        )

    def run(self, fields: Mapping[str, FloatArray], threads: int) -> dict[str, FloatArray]:
        """Compute all outputs, (T, N)."""
        from KunQuant.runner import KunRunner

        executor = (
            KunRunner.createSingleThreadExecutor() if threads == 1 else KunRunner.createMultiThreadExecutor(threads)
        )
        module = self.library.getModule("peer")
        found: dict[str, FloatArray] = KunRunner.runGraph(
            executor, module, dict(fields), 0, len(next(iter(fields.values())))
        )
        return found


def compile_expressions(expressions: list[Expression]) -> Compiled:
    """Compile drawn expressions; outputs are named e0, e1, …."""
    table = _kunquant_table()
    used = tuple(sorted(set().union(*(_fields_of(e.root) for e in expressions))))
    return Compiled(lambda inputs: {f"e{i}": walk(e.root, inputs, table) for i, e in enumerate(expressions)}, used)


def compile_worldquant() -> Compiled:
    """Compile the WorldQuant alphas that KunQuant has."""
    from KunQuant.predefined import Alpha101

    def build(inputs: Mapping[str, Any]) -> dict[str, Any]:
        data = Alpha101.AllData(**inputs)
        return {alpha.__name__: alpha(data) for alpha in Alpha101.all_alpha}

    return Compiled(build, ("open", "high", "low", "close", "volume", "amount", "vwap"))


def _fields_of(node: Node) -> set[str]:
    if isinstance(node, Field):
        return {node.name}
    return set().union(*(_fields_of(arg) for arg in node.args)) if isinstance(node, Call) else set()
