"""Names get their meaning: an untyped tree becomes a typed one, or a fault at its place."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from factors.canonical import canonical
from factors.dialects.base import Dialect
from factors.dialects.families import family_formula
from factors.dialects.templates import default_of, formula
from factors.limits import Limits
from factors.measure import numbers_of
from factors.nearest import nearest_words
from factors.printing import to_text
from factors.syntax import NATIVE, Fault, Raw, RawCall, RawName, RawNumber
from factors.table import GROUP_FIELDS, MARKET_FIELDS, NAMED_GROUPS, OPERATORS, Kind, Operator, Param
from factors.tree import Call, Field, Node, Number

if TYPE_CHECKING:
    import numpy as np

# In seconds.
_UNITS: Mapping[str, int] = {
    "min": 60,
    "h": 3_600,
    "d": 86_400,
    "w": 604_800,
}
# Of an exchange; no unit of time, since its length in bars is known of data alone.
_SESSIONS = "s"
_LOOKS_BACK = ("ts_delay", "ts_delta", "ts_returns", "ts_log_return")
_NOT_VALUES = ("nan", "inf", "infinity", "none", "null", "true", "false")
# What stands in, in dialects whose factors need it, for what the data lacks: clusters, finer and finer, for groups, and
# the money traded for size.
_STAND_INS: Mapping[str, str] = {
    "cap": "ts_mean(amount, 60)",
    "sector": NAMED_GROUPS["beta_group"],
    "industry": "group_cross(bucket(ts_beta(returns, cs_mean(returns), 60), 4), bucket(ts_mean(amount, 60), 3))",
    "subindustry": "group_cross(bucket(ts_beta(returns, cs_mean(returns), 60), 5), bucket(ts_mean(amount, 60), 5))",
}
_GROUP_HINT = f"use {', '.join(NAMED_GROUPS)} or bucket(x, n), or a panel that carries it"
_WITHOUT_SERIES = ("arithmetic", "logic")


@dataclass
class Resolver:
    """Gives names their meaning; one for each parse."""

    fields: frozenset[str]
    bar: np.timedelta64 | Callable[[], np.timedelta64] | None
    limits: Limits
    dialect: Dialect
    blocks: Mapping[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    made: int = 0
    calls: dict[Call, Call] = field(default_factory=dict)
    session: int | Callable[[], int | None] | None = None

    def node(self, raw: Raw, depth: int) -> Node:
        """Return the typed tree of `raw`; raises `Fault`."""
        self.made += 1
        # Macros and code may multiply nodes, so the bound is checked while they are made.
        if depth > self.limits.max_depth * 2 or self.made > 1.6 * self.limits.max_nodes:
            raise Fault("too_large", "the expression is too large or too deep", "simplify it", raw.at)
        if isinstance(raw, RawNumber):
            return Number(raw.value if not raw.unit else float(self._bars(raw)))
        if isinstance(raw, RawName):
            return self._name(raw, depth)
        if raw.name.startswith(NATIVE):
            return self._call(RawCall(raw.name[1:], raw.args, raw.at), depth)
        if raw.names and raw.name.lower() not in self.dialect.takes_keywords:
            raw = self._in_order(raw)
        rewritten = self.dialect.rewrite(raw, self.notes)
        if rewritten is not None:
            return self.node(rewritten, depth + 1)
        return self._call(raw, depth)

    def _bars(self, raw: RawNumber) -> int:
        if raw.unit == _SESSIONS:
            return self._session_bars(raw)
        if self.bar is None:
            raise Fault("window", f"{raw.value:g}{raw.unit} needs a bar size", "write the window in bars", raw.at)
        # Who names a bar size has imported NumPy for it; a text that is refused by its names costs no such import.
        import numpy as np

        bar = self.bar() if callable(self.bar) else self.bar
        bars = raw.value * float(np.timedelta64(_UNITS[raw.unit], "s") / bar)
        if bars < 1 or bars != round(bars):
            raise Fault(
                "window", f"{raw.value:g}{raw.unit} is {bars:g} bars here", "choose a whole number of bars", raw.at
            )
        return round(bars)

    def _session_bars(self, raw: RawNumber) -> int:
        written = f"{raw.value:g}{raw.unit}"
        session = self.session() if callable(self.session) else self.session
        if session is None:
            why = f"{written} is in sessions of an exchange, and no bars of an exchange's calendar are at hand"
            raise Fault("window", why, f"write {raw.value:g}d, or the window in bars", raw.at)
        if raw.value < 1 or raw.value != round(raw.value):
            raise Fault("window", f"{written} is no whole number of sessions", "write 1s or more", raw.at)
        bars = round(raw.value) * session
        said = f"{written} is {bars} bars: {session} in a usual session, fewer on a half day"
        if session > 1 and said not in self.notes:
            self.notes.append(said)
        return bars

    def _name(self, raw: RawName, depth: int) -> Node:
        name = raw.name.removeprefix("$")
        spoken = name.lower() if self.dialect.folds_case else name
        if self.dialect.adv_in_shares and _is_adv(spoken) and spoken not in self.fields:
            self.notes.append(f"{raw.name}: in shares, as this language has it; adv{spoken[3:]} of ours is in money")
            return self.node(formula(f"ts_mean(volume, {spoken[3:]})", raw.at), depth + 1)
        if spoken in self.fields or spoken in MARKET_FIELDS or _is_adv(spoken):
            return Field(spoken)
        if name in self.fields:
            return Field(name)
        rewritten = self.dialect.rewrite_name(RawName(spoken, raw.at), self.notes)
        if rewritten is not None:
            return self.node(rewritten, depth + 1)
        if spoken in NAMED_GROUPS:
            return self.node(formula(NAMED_GROUPS[spoken], raw.at), depth + 1)
        if name in self.blocks:
            return self._block(self.blocks[name], raw, depth)
        family = family_formula(spoken, lambda: self.bar is not None) if self.dialect.folds_case else None
        if family is not None:
            self.notes.append(f"{raw.name} is read as {family}")
            return self.node(formula(family, raw.at), depth + 1)
        if spoken in _STAND_INS and self.dialect.stands_in:
            self.notes.append(f"this data has no {spoken}: in its place stands {_STAND_INS[spoken]}")
            return self.node(formula(_STAND_INS[spoken], raw.at), depth + 1)
        raise self._unknown(raw, name, spoken)

    def _unknown(self, raw: RawName, name: str, spoken: str) -> Fault:
        if spoken in ("true", "false"):
            return Fault("bad_number", f"{raw.name} is not a value here", "write 1 or 0", raw.at)
        if spoken in _NOT_VALUES:
            hint = "missing data is handled for you; a branch may be nan: if_else(close > open, close, nan)"
            return Fault("bad_number", f"{raw.name} is not a value here", hint, raw.at)
        if name in OPERATORS:
            return Fault("syntax", f"{name} needs its arguments", f"write {OPERATORS[name].signature}", raw.at)
        if spoken in GROUP_FIELDS:
            return Fault("unknown_field", f"this data has no {spoken}", _GROUP_HINT, raw.at)
        known = sorted({*self.fields, *self.blocks, *NAMED_GROUPS})
        return Fault("unknown_field", f"unknown field {_brief(raw.name)!r}", _guess(spoken, known, "fields"), raw.at)

    def _block(self, text: str, raw: RawName, depth: int) -> Node:
        """Put a known factor in the place of its name; its text is canonical and names fields only."""
        plain = Resolver(self.fields, self.bar, self.limits, Dialect(folds_case=False), {}, self.notes, self.made)
        try:
            node = plain.node(formula(text, raw.at), depth)
        except Fault as fault:
            why = f"the factor {raw.name} cannot be used here: {fault.message}"
            raise Fault("block", why, fault.hint, raw.at) from fault
        self.made = plain.made
        return node

    def _call(self, raw: RawCall, depth: int) -> Node:
        operator = OPERATORS.get(raw.name) or (OPERATORS.get(raw.name.lower()) if self.dialect.folds_case else None)
        if operator is None:
            raise Fault(
                "unknown_operator",
                f"unknown operator {_brief(raw.name)!r}",
                nearest_words(raw.name, self.dialect.targets),
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
        if operator.name == "if_else" and any(_is_nan(arg) for arg in raw.args[1:]):
            return self.node(_half_missing(raw), depth)
        if operator.formula:
            return self._expanded(operator, raw, depth)
        if operator.name in _SUMS and _is_sum(raw.args[0]):
            return self._sum(operator, raw, depth)
        args = tuple(self._argument(operator, p, arg, depth) for p, arg in zip(operator.params, raw.args, strict=True))
        call = Call(operator.name, args)
        _check_values(operator, numbers_of(call), raw)
        # Equal subtrees become one object: comparing them later is then a glance, not a walk.
        return self.calls.setdefault(call, call)

    def _sum(self, operator: Operator, raw: RawCall, depth: int) -> Node:
        """Return a sum of many terms, which is one level, however many they are."""
        steps = [(operator, raw.args[1], raw)]
        first = raw.args[0]
        while _is_sum(first):
            assert isinstance(first, RawCall)
            steps.append((OPERATORS[first.name.removeprefix(NATIVE)], first.args[1], first))
            first = first.args[0]
        if len(steps) >= _MOST_TERMS:
            raise Fault("too_deep", f"more than {_MOST_TERMS} terms in a sum", "simplify it", raw.at)
        node = self._argument(steps[-1][0], steps[-1][0].params[0], first, depth)
        for each, term, whole in reversed(steps):
            call = Call(each.name, (node, self._argument(each, each.params[1], term, depth)))
            self.made += 1
            node = self.calls.setdefault(call, call)
            if self.made > 1.6 * self.limits.max_nodes:
                raise Fault("too_large", "the expression is too large or too deep", "simplify it", whole.at)
        return node

    def _expanded(self, operator: Operator, raw: RawCall, depth: int) -> Node:
        """Put the formula of a macro in its place, with the arguments where its parameters stand."""
        for param, arg in zip(operator.params, raw.args, strict=True):
            if param.kind in ("number", "window"):
                number = self._literal(operator, param, self.node(arg, depth + 1), arg)
                if param.kind == "window" and number.value < operator.least:
                    raise _too_short(operator, number.value, raw)
        given = {param.name: arg for param, arg in zip(operator.params, raw.args, strict=True)}
        return self.node(formula(operator.formula, raw.at, given), depth + 1)

    def _in_order(self, raw: RawCall) -> RawCall:
        """Put arguments given by keyword where they belong: macd(close, slow=26, fast=12)."""
        word = raw.name.lower()
        operator = OPERATORS.get(self.dialect.targets.get(word, word))
        params = self.dialect.parameters.get(word) or (operator.params if operator is not None else ())
        signature = f"{word}({', '.join(param.name for param in params)})"
        places: dict[int, Raw] = {}
        for place, (keyword, arg) in enumerate(zip(raw.names, raw.args, strict=True)):
            where = place if not keyword else _place_of(keyword.lower(), params, places)
            if where is None or where in places:
                known = f"write {signature}" if params else "give its arguments by place"
                raise Fault("arity", f"{word} has no free argument {_brief(keyword)!r}", known, arg.at)
            places[where] = arg
        for place, value in enumerate(self.dialect.defaults.get(word, ())[: max(places)]):
            if value is not None and place not in places:
                places[place] = default_of(value, raw.at)
        if sorted(places) != list(range(len(places))):
            # A gap in the middle: said so rather than filled with a neighbour.
            missing = next(i for i in range(len(params)) if i not in places)
            raise Fault("arity", f"{word} lacks its argument {params[missing].name}", f"write {signature}", raw.at)
        return RawCall(raw.name, tuple(places[i] for i in sorted(places)), raw.at)

    def _argument(self, operator: Operator, param: Param, raw: Raw, depth: int) -> Node:
        node = self.node(raw, depth + 1)
        if param.kind in ("number", "window"):
            return self._literal(operator, param, node, raw)
        kind = kind_of(node)
        if param.kind == "group" and kind != "group":
            raise Fault("type", f"{operator.name} needs groups for {param.name}, not numbers", _GROUP_HINT, raw.at)
        if param.kind != "group" and kind == "group":
            raise Fault(
                "type", f"{to_text(node)} names groups and cannot be computed with", "use it as a group", raw.at
            )
        if param.kind == "bool" and kind != "bool" and not (kind == "number" and operator.name == "trade_when"):
            raise Fault("type", f"{operator.name} needs a condition for {param.name}", "such as close > open", raw.at)
        if kind == "number" and param.kind != "bool" and operator.family not in _WITHOUT_SERIES:
            raise Fault(
                "type",
                f"{operator.name} needs an expression for {param.name}, not a number",
                f"write {operator.signature}",
                raw.at,
            )
        return node

    def _literal(self, operator: Operator, param: Param, node: Node, raw: Raw) -> Number:
        node = canonical(node)
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
            raise Fault(
                "window",
                f"a window is a whole number of bars, not {value:g}",
                f"round it: write {max(1, round(value))}",
                raw.at,
            )
        if not 1 <= value <= self.limits.max_window:
            raise Fault(
                "window",
                f"a window lies between 1 and {self.limits.max_window} bars, not {value:g}",
                "write a number of bars, such as 20",
                raw.at,
            )
        return Number(value)


# What people call a window, a second series and a level.
_WINDOW_WORDS = frozenset(
    {"window", "period", "periods", "length", "timeperiod", "lookback", "days", "bars", "span", "n", "d"}
)
_KEYWORDS = {
    "other": "y", "series": "x", "data": "x", "value": "x", "q": "level", "quantile": "level", "weight": "m",
    "min": "lo", "max": "hi", "lower": "lo", "upper": "hi", "exponent": "y", "group": "g", "fastperiod": "fast",
    "slowperiod": "slow", "signalperiod": "signal", "std": "k", "condition": "c",
}  # fmt: skip


# Terms of one sum: trees are walked by recursion.
_MOST_TERMS = 250
_SUMS = frozenset({"add", "sub"})


def _is_sum(raw: Raw) -> bool:
    return isinstance(raw, RawCall) and raw.name.removeprefix(NATIVE) in _SUMS and len(raw.args) == 2 and not raw.names


def _place_of(keyword: str, params: Sequence[Param], taken: Mapping[int, Raw]) -> int | None:
    """Return which parameter a keyword means, by its own name, a usual other one, or as the first free window."""
    names = [param.name for param in params]
    for word in (keyword, _KEYWORDS.get(keyword, "")):
        if word in names:
            return names.index(word)
    if keyword in _WINDOW_WORDS:
        windows = [i for i, param in enumerate(params) if param.kind == "window" and i not in taken]
        return windows[0] if windows else None
    return None


def _check_values(operator: Operator, numbers: list[float], raw: RawCall) -> None:
    wrong = operator.check(numbers) if operator.check is not None else None
    if wrong is not None:
        raise Fault("bad_number", f"{operator.name}: {wrong}", f"write {operator.signature}", raw.at)
    if operator.least > 1 and numbers[0] < operator.least:
        raise _too_short(operator, numbers[0], raw)


def _too_short(operator: Operator, value: float, raw: RawCall) -> Fault:
    return Fault(
        "window",
        f"{operator.name} needs a window of at least {operator.least}, not {value:g}",
        f"write {operator.least} or more",
        raw.at,
    )


def kind_of(node: Node) -> Kind:
    """Return what a tree yields: panel, bool, group or number. A constant without any field is a number."""
    if isinstance(node, Number):
        return "number"
    if isinstance(node, Field):
        return "group" if node.name in GROUP_FIELDS else "panel"
    result = OPERATORS[node.op].result
    if (
        result == "panel"
        and OPERATORS[node.op].family == "arithmetic"
        and all(kind_of(a) == "number" for a in node.args)
    ):
        return "number"
    return result


def _is_nan(raw: Raw) -> bool:
    return isinstance(raw, RawName) and raw.name.lower() in ("nan", "null", "none")


def _half_missing(raw: RawCall) -> Raw:
    """Return if_else(c, x, nan) as x / c: x / 1 is x, and x / 0 is missing."""
    condition, yes, no = raw.args
    if _is_nan(yes) and _is_nan(no):
        raise Fault("constant", "both branches are missing", "give one of them a value", raw.at)
    if _is_nan(yes):
        return RawCall(f"{NATIVE}div", (no, RawCall(f"{NATIVE}not_", (condition,), raw.at)), raw.at)
    return RawCall(f"{NATIVE}div", (yes, condition), raw.at)


def _is_adv(name: str) -> bool:
    digits = name.removeprefix("adv")
    return name.startswith("adv") and digits.isdecimal() and len(digits) < 6 and 1 <= int(digits) <= 10_000


def _brief(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:60]}…"


def _guess(name: str, known: list[str], what: str) -> str:
    close = difflib.get_close_matches(name[:64], known, n=3, cutoff=0.55)
    if close:
        return f"did you mean {' or '.join(close)}?"
    shown = ", ".join(known[:30])
    return f"the {what} are {shown}{', …' if len(known) > 30 else ''}"
