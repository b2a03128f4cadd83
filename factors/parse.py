"""Text to a checked `Expression`, or a `Rejection` that helps."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np

from factors.canonical import canonical, number_text, to_text
from factors.dialects import DIALECTS, NATIVE, Dialect
from factors.limits import Limits
from factors.measure import depth_of, fields_of, lookback_of, size_of
from factors.syntax import Fault, Raw, RawCall, RawName, RawNumber, read_tree
from factors.table import GROUP_FIELDS, OPERATORS, STANDARD_FIELDS, Kind, Operator, Param
from factors.tree import Call, Expression, Field, Node, Number
from market.errors import Rejection

DialectName = Literal["native", "auto", "worldquant", "gtja", "qlib"]
_UNITS: Mapping[str, np.timedelta64] = {
    "min": np.timedelta64(1, "m"),
    "h": np.timedelta64(1, "h"),
    "d": np.timedelta64(1, "D"),
    "w": np.timedelta64(7, "D"),
}
_LOOKS_BACK = ("ts_delay", "ts_delta", "ts_returns", "ts_log_return")


def parse(
    text: str,
    *,
    fields: Collection[str] | None = None,
    bar: np.timedelta64 | None = None,
    limits: Limits | None = None,
    dialect: DialectName = "auto",
) -> Expression | Rejection:
    """Read a factor.

    Parameters
    ----------
    text
        The expression. It is read, never executed.
    fields
        Names the panel offers; None allows the standard ones. ``adv{d}`` is always known.
    bar
        Length of a bar, by which durations such as ``20d`` become bars; without it they are refused.
    dialect
        ``native`` is our language alone; ``auto`` adds the loose forms that models write; the others read published
        dialects. What a translation changed is in the expression's `notes`.

    Returns
    -------
    Expression or Rejection
        Never raises for anything that `text` may hold.
    """
    bounds = limits or Limits()
    try:
        raw = read_tree(text, bounds)
        reader = _Resolver(frozenset(STANDARD_FIELDS if fields is None else fields), bar, bounds, DIALECTS[dialect])
        node = reader.node(raw, 1)
        if isinstance(node, Number):
            raise Fault("type", "a number alone is not a factor", "use a field, such as close", 0)
        if isinstance(node, Field) and node.name in GROUP_FIELDS:
            raise Fault(
                "type", f"{node.name} names groups; alone it is not a factor", "use it in group_neutralize(x, g)", 0
            )
        root = canonical(node)
        if isinstance(root, Number):
            raise Fault("type", f"the expression is always {number_text(root.value)}", "use a field, such as close", 0)
        return _checked(root, text, bounds, tuple(dict.fromkeys(reader.notes)))
    except Fault as fault:
        return fault.rejection(text)


def _checked(root: Node, source: str, limits: Limits, notes: tuple[str, ...]) -> Expression:
    size, depth = size_of(root), depth_of(root)
    if size > limits.max_nodes:
        raise Fault(
            "too_large", f"the expression has {size} nodes, at most {limits.max_nodes} are allowed", "simplify it"
        )
    if depth > limits.max_depth:
        raise Fault(
            "too_deep", f"the expression is {depth} levels deep, at most {limits.max_depth} are allowed", "simplify it"
        )
    return Expression(
        root=root,
        text=to_text(root),
        source=source,
        lookback=lookback_of(root),
        depth=depth,
        size=size,
        fields=fields_of(root),
        notes=notes,
    )


@dataclass
class _Resolver:
    """Gives names their meaning; one for each parse."""

    fields: frozenset[str]
    bar: np.timedelta64 | None
    limits: Limits
    dialect: Dialect
    notes: list[str] = field(default_factory=list)
    made: int = 0

    def node(self, raw: Raw, depth: int) -> Node:
        self.made += 1
        # Dialect macros may multiply nodes, so the bound is checked while they are made.
        if depth > self.limits.max_depth * 2 or self.made > self.limits.max_nodes * 4:
            raise Fault("too_large", "the expression is too large or too deep", "simplify it", raw.at)
        if isinstance(raw, RawNumber):
            return Number(raw.value if not raw.unit else float(self._bars(raw)))
        if isinstance(raw, RawName):
            return self._name(raw, depth)
        if raw.name.startswith(NATIVE):
            return self._call(RawCall(raw.name[1:], raw.args, raw.at), depth)
        rewritten = self.dialect.rewrite(raw, self.notes)
        if rewritten is not None:
            return self.node(rewritten, depth + 1)
        return self._call(raw, depth)

    def _bars(self, raw: RawNumber) -> int:
        if self.bar is None:
            raise Fault("window", f"{raw.value:g}{raw.unit} needs a bar size", "write the window in bars", raw.at)
        bars = raw.value * float(_UNITS[raw.unit] / self.bar)
        if bars < 1 or bars != round(bars):
            raise Fault(
                "window", f"{raw.value:g}{raw.unit} is {bars:g} bars here", "choose a whole number of bars", raw.at
            )
        return round(bars)

    def _name(self, raw: RawName, depth: int) -> Node:
        name = raw.name.removeprefix("$")
        spoken = name.lower() if self.dialect.folds_case else name
        if spoken in self.fields or _is_adv(spoken):
            return Field(spoken)
        rewritten = self.dialect.rewrite_name(RawName(spoken, raw.at), self.notes)
        if rewritten is not None:
            return self.node(rewritten, depth + 1)
        if name in self.fields:
            return Field(name)
        if spoken in ("nan", "inf", "infinity", "none", "null", "true", "false"):
            raise Fault("bad_number", f"{raw.name} is not a value here", "missing data is handled for you", raw.at)
        if name in OPERATORS:
            raise Fault("syntax", f"{name} needs its arguments", f"write {OPERATORS[name].signature}", raw.at)
        known = sorted(self.fields)
        if spoken in GROUP_FIELDS:
            raise Fault("unknown_field", f"this data has no {spoken}", "groups need a panel that carries them", raw.at)
        raise Fault("unknown_field", f"unknown field {raw.name!r}", _guess(spoken, known, "fields"), raw.at)

    def _call(self, raw: RawCall, depth: int) -> Node:
        operator = OPERATORS.get(raw.name) or (OPERATORS.get(raw.name.lower()) if self.dialect.folds_case else None)
        if operator is None:
            known = sorted({*OPERATORS, *self.dialect.names})
            raise Fault(
                "unknown_operator",
                f"unknown operator {raw.name!r}",
                _guess(raw.name.lower(), known, "operators"),
                raw.at,
            )
        if len(raw.args) != len(operator.params):
            given = f"{len(raw.args)} argument{'' if len(raw.args) == 1 else 's'}"
            raise Fault(
                "arity",
                f"{operator.name} takes {len(operator.params)}, not {given}",
                f"write {operator.signature}",
                raw.at,
            )
        make = partial(self._argument, operator, depth=depth)
        args = tuple(make(param, arg) for param, arg in zip(operator.params, raw.args, strict=True))
        _check_values(operator, args, raw)
        return Call(operator.name, args)

    def _argument(self, operator: Operator, param: Param, raw: Raw, *, depth: int) -> Node:
        node = self.node(raw, depth + 1)
        if param.kind in ("number", "window"):
            return self._literal(operator, param, canonical(node), raw)
        kind = kind_of(node)
        if param.kind == "group" and kind != "group":
            raise Fault("type", f"{operator.name} groups by a group field", f"one of {', '.join(GROUP_FIELDS)}", raw.at)
        if param.kind != "group" and kind == "group":
            raise Fault(
                "type", f"{to_text(node)} names groups and cannot be computed with", "use it as a group", raw.at
            )
        if param.kind == "bool" and kind != "bool":
            raise Fault("type", f"{operator.name} needs a condition for {param.name}", "such as close > open", raw.at)
        if isinstance(node, Number) and operator.family not in ("arithmetic", "logic"):
            raise Fault(
                "type",
                f"{operator.name} needs an expression for {param.name}, not a number",
                f"write {operator.signature}",
                raw.at,
            )
        return node

    def _literal(self, operator: Operator, param: Param, node: Node, raw: Raw) -> Number:
        if not isinstance(node, Number):
            what = "a whole number of bars" if param.kind == "window" else "a number"
            raise Fault("type", f"{operator.name} needs {what} for {param.name}", f"write {operator.signature}", raw.at)
        value = node.value
        if param.kind == "number":
            return node
        if value < 0 and operator.name in _LOOKS_BACK:
            raise Fault(
                "look_ahead",
                f"{operator.name} with {value:g} would look into the future",
                "only the past is known",
                raw.at,
            )
        if self.dialect.floors_windows and value != int(value):
            self.notes.append("non-integer windows are floored, as the paper says")
            value = float(int(value))
        if value != int(value):
            raise Fault("window", f"a window is a whole number of bars, not {value:g}", "round it", raw.at)
        if not 1 <= value <= self.limits.max_window:
            raise Fault(
                "window",
                f"a window lies between 1 and {self.limits.max_window} bars, not {value:g}",
                "choose another",
                raw.at,
            )
        return Number(value)


_Check = Callable[[tuple[float, ...]], str | None]
_VALUES: Mapping[str, _Check] = {
    "ts_quantile": lambda n: None if 0 <= n[1] <= 1 else "level lies in [0, 1]",
    "ts_decay_exp": lambda n: None if 0 < n[1] <= 1 else "a lies in (0, 1]",
    "ts_sma": lambda n: None if 0 < n[1] <= n[0] else "m lies in (0, n]",
    "clip": lambda n: None if n[0] <= n[1] else "lo must not be above hi",
    "cs_winsorize": lambda n: None if n[0] > 0 else "k must be above 0",
}
# Statistics that a single value does not have: the window would only ever give NaN.
_NEEDS: Mapping[str, int] = {
    "ts_std": 2, "ts_var": 2, "ts_zscore": 2, "ts_ir": 2, "ts_scale": 2, "ts_corr": 2, "ts_cov": 2, "ts_beta": 2,
    "ts_slope": 2, "ts_rsquare": 2, "ts_resid": 2, "ts_autocorr": 2, "ts_skew": 3, "ts_kurt": 4,
}  # fmt: skip


def _check_values(operator: Operator, args: tuple[Node, ...], raw: RawCall) -> None:
    # Only for operators with literal parameters: elsewhere a number is an operand.
    literal = [
        a.value
        for a, p in zip(args, operator.params, strict=True)
        if p.kind in ("number", "window") and isinstance(a, Number)
    ]
    wrong = _VALUES[operator.name](tuple(literal)) if operator.name in _VALUES else None
    if wrong is not None:
        raise Fault("bad_number", f"{operator.name}: {wrong}", f"write {operator.signature}", raw.at)
    least = _NEEDS.get(operator.name)
    if least is not None and literal[0] < least:
        raise Fault(
            "window",
            f"{operator.name} needs a window of at least {least}, not {literal[0]:g}",
            "choose a longer one",
            raw.at,
        )


def kind_of(node: Node) -> Kind:
    """Return what a tree yields: panel, bool, group or number."""
    if isinstance(node, Number):
        return "number"
    if isinstance(node, Field):
        return "group" if node.name in GROUP_FIELDS else "panel"
    return OPERATORS[node.op].result


def _is_adv(name: str) -> bool:
    digits = name.removeprefix("adv")
    return name.startswith("adv") and digits.isdecimal() and 1 <= int(digits[:6]) <= 10_000


def _guess(name: str, known: list[str], what: str) -> str:
    close = difflib.get_close_matches(name[:64], known, n=3, cutoff=0.55)
    if close:
        return f"did you mean {' or '.join(close)}?"
    shown = ", ".join(known[:30])
    return f"the {what} are {shown}{', …' if len(known) > 30 else ''}"
