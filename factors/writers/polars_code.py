"""A factor as Polars expressions, in steps where it changes between looking along time and across assets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from factors.operator_plugin import as_operator
from factors.printing import number_text
from factors.table import GROUP_FIELDS, OPERATORS
from factors.tree import Call, Expression, Field, Node, Number
from market.errors import InputError
from market.plugins import Registry

_BUILT_ELEMENTWISE: Mapping[str, str] = {
    "add": "({0} + {1})",
    "sub": "({0} - {1})",
    "mul": "({0} * {1})",
    "div": "pl.when({1} != 0).then({0} / {1})",
    "neg": "(-{0})",
    "abs": "{0}.abs()",
    "sign": "{0}.sign()",
    "log": "pl.when({0} > 0).then({0}.log())",
    "log1p": "pl.when({0} > -1).then({0}.log1p())",
    "exp": "{0}.exp()",
    "sqrt": "pl.when({0} >= 0).then({0}.sqrt())",
    "tanh": "{0}.tanh()",
    "atan": "{0}.arctan()",
    "sigmoid": "(1 / (1 + (-{0}).exp()))",
    "floor": "{0}.floor()",
    "round": "{0}.round(mode='half_to_even')",
    "is_nan": "{0}.is_null().cast(pl.Float64)",
    "signed_power": "({0}.sign() * {0}.abs().pow({1}))",
    "max": "pl.when({0} >= {1}).then({0}).when({0} < {1}).then({1})",
    "min": "pl.when({0} <= {1}).then({0}).when({0} > {1}).then({1})",
    "clip": "{0}.clip({1}, {2})",
    "lt": "({0} < {1}).cast(pl.Float64)",
    "le": "({0} <= {1}).cast(pl.Float64)",
    "eq": "({0} == {1}).cast(pl.Float64)",
    "ne": "({0} != {1}).cast(pl.Float64)",
    "and_": "({0} * {1})",
    "or_": "pl.when({0} + {1} >= 0).then(({0} + {1} > 0).cast(pl.Float64))",
    "not_": "(1 - {0})",
    "if_else": "pl.when({0} != 0).then({1}).when({0} == 0).then({2})",
}
_BUILT_ALONG_TIME: Mapping[str, str] = {
    "ts_delay": "{0}.shift({1})",
    "ts_delta": "({0} - {0}.shift({1}))",
    "ts_returns": "pl.when({0}.shift({1}) != 0).then({0} / {0}.shift({1}) - 1)",
    "ts_log_return": "pl.when({0} / {0}.shift({1}) > 0).then(({0} / {0}.shift({1})).log())",
    "ts_sum": "{0}.rolling_sum({1})",
    "ts_mean": "{0}.rolling_mean({1})",
    "ts_std": "{0}.rolling_std({1})",
    "ts_var": "{0}.rolling_var({1})",
    "ts_min": "{0}.rolling_min({1})",
    "ts_max": "{0}.rolling_max({1})",
    "ts_median": "{0}.rolling_median({1})",
    "ts_quantile": "{0}.rolling_quantile({2}, interpolation='linear', window_size={1})",
    "ts_skew": "{0}.rolling_skew({1}, bias=False)",
    "ts_zscore": "pl.when({0}.rolling_std({1}) > 0).then(({0} - {0}.rolling_mean({1})) / {0}.rolling_std({1}))",
    "ts_ir": "pl.when({0}.rolling_std({1}) > 0).then({0}.rolling_mean({1}) / {0}.rolling_std({1}))",
    "ts_scale": "pl.when({0}.rolling_max({1}) > {0}.rolling_min({1}))"
                ".then(({0} - {0}.rolling_min({1})) / ({0}.rolling_max({1}) - {0}.rolling_min({1})))",
    "ts_decay_linear": "sum({0}.shift({1} - i) * (2 * i / ({1} * ({1} + 1))) for i in range(1, {1} + 1))",
    "ts_ema": "{0}.ewm_mean(span={1}, adjust=False, min_samples={1})",
    "ts_sma": "{0}.ewm_mean(alpha={2} / {1}, adjust=False, min_samples={1})",
    "ts_corr": "pl.rolling_corr({0}, {1}, window_size={2}).fill_nan(None)",
    "ts_cov": "pl.rolling_cov({0}, {1}, window_size={2})",
    "ts_beta": "pl.when({1}.rolling_var({2}) > 0)"
               ".then(pl.rolling_cov({0}, {1}, window_size={2}) / {1}.rolling_var({2}))",
    "ts_count": "{0}.rolling_sum({1})",
    "ts_sumif": "({0} * {2}).rolling_sum({1})",
    "cum_sum": "{0}.cum_sum()",
    "cum_max": "{0}.cum_max()",
    "cum_min": "{0}.cum_min()",
    "cum_product": "{0}.cum_prod()",
}  # fmt: skip
_ACROSS: Mapping[str, str] = {
    "cs_rank": "({0}.rank() / {0}.count())",
    "cs_zscore": "pl.when({0}.std() > 0).then(({0} - {0}.mean()) / {0}.std())",
    "cs_mean": "pl.when({0}.is_not_null()).then({0}.mean())",
    "cs_demean": "({0} - {0}.mean())",
    "cs_scale": "pl.when({0}.abs().sum() > 0).then({0} / {0}.abs().sum())",
    "group_neutralize": "({0} - {0}.mean())",
    "group_mean": "pl.when({0}.is_not_null()).then({0}.mean())",
    "group_rank": "({0}.rank() / {0}.count())",
    "group_zscore": "pl.when({0}.std() > 0).then(({0} - {0}.mean()) / {0}.std())",
}


def _added(value: object, along_time: bool) -> str | None:
    new = as_operator(value)
    return new.polars if new.polars and new.along_time is along_time else None


_ELEMENTWISE = Registry("operators", _BUILT_ELEMENTWISE, lambda value: _added(value, False))
_ALONG_TIME = Registry("operators", _BUILT_ALONG_TIME, lambda value: _added(value, True))
_HEAD = '''import polars as pl


def factor(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Add the column `factor`: {text}

    frame: long, sorted by asset and time, missing values null; columns {columns}. Comparisons across assets are over
    the rows of a bar.
    """
'''
_ASSET, _TIME = "asset", "time"


def to_polars(expression: Expression) -> str:
    """Return Python source with ``factor(frame)``, which adds the factor to a long Polars frame.

    An exponential average goes on over gaps there, where ours begins again.

    Raises
    ------
    InputError
        When an operator has no form there.
    """
    writer = _Writer()
    last = writer.write(expression.root)
    columns = ", ".join([_ASSET, _TIME, *sorted(writer.columns)])
    lines = [f"    frame = frame.with_columns({name}={text})" for name, text in writer.steps]
    lines.append(f"    return frame.with_columns(factor={last.text})")
    return _HEAD.format(text=expression.text, columns=columns) + "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Part:
    """An expression, and over what its windows run: nothing, asset, time."""

    text: str
    over: frozenset[str] = frozenset()


@dataclass
class _Writer:
    steps: list[tuple[str, str]] = field(default_factory=list)
    columns: set[str] = field(default_factory=set)
    made: dict[Node, _Part] = field(default_factory=dict)

    def write(self, node: Node) -> _Part:
        known = self.made.get(node)
        if known is None:
            known = self.made[node] = self._write(node)
        return known

    def _write(self, node: Node) -> _Part:
        if isinstance(node, Number):
            return _Part(number_text(node.value))
        if isinstance(node, Field):
            return self._field(node.name)
        operator = OPERATORS[node.op]
        parts = [self.write(arg) for arg in node.args]
        if node.op in _ELEMENTWISE:
            # A bare number has no methods: it becomes a literal where it is an operand.
            texts = [
                f"pl.lit({part.text})" if isinstance(arg, Number) and param.kind == "panel" else part.text
                for arg, part, param in zip(node.args, parts, operator.params, strict=True)
            ]
            return self._named(_ELEMENTWISE[node.op].format(*texts), frozenset().union(*(p.over for p in parts)))
        if node.op in _ALONG_TIME:
            texts = [self._within(part, _ASSET) for part in parts]
            return self._named(f"({_ALONG_TIME[node.op].format(*texts)}).over('{_ASSET}')", frozenset({_ASSET}))
        if node.op in _ACROSS:
            return self._across(node, parts)
        raise InputError(f"the Polars writer cannot say {node.op}", "write it as pandas: --to pandas")

    def _across(self, call: Call, parts: list[_Part]) -> _Part:
        keys = f"'{_TIME}'"
        if call.op.startswith("group_"):
            group = call.args[1]
            if not (isinstance(group, Field) and group.name in GROUP_FIELDS):
                raise InputError("the Polars writer groups by carried fields only", "write it as pandas: --to pandas")
            keys += f", '{group.name}'"
        text = _ACROSS[call.op].format(self._within(parts[0], _TIME))
        return self._named(f"({text}).over({keys})", frozenset({_TIME}))

    def _within(self, part: _Part, over: str) -> str:
        """Return a text that may stand inside a window over `over`: Polars does not nest windows of another kind."""
        if part.over <= {over}:
            return part.text
        return f"pl.col('{self._step(part.text)}')"

    def _named(self, text: str, over: frozenset[str]) -> _Part:
        # What is used twice is written twice; a long text becomes a step of its own.
        if len(text) > 160:
            return _Part(f"pl.col('{self._step(text)}')")
        return _Part(text, over)

    def _step(self, text: str) -> str:
        for name, known in self.steps:
            if known == text:
                return name
        name = f"step_{len(self.steps) + 1}"
        self.steps.append((name, text))
        return name

    def _field(self, name: str) -> _Part:
        if name == "returns":
            return self.write(Call("ts_returns", (Field("close"), Number(1.0))))
        if name.startswith("adv") and name[3:].isdecimal():
            return self.write(Call("ts_mean", (Field("amount"), Number(float(name[3:])))))
        self.columns.add(name)
        return _Part(f"pl.col('{name}')")
