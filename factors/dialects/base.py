"""What every dialect is made of: words, each rewritten into calls of the one table.

A dialect never adds meanings. Where a word means something else elsewhere, the rewriting spells the difference out in
our operators, and a note says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from factors.operators.row import Param
from factors.syntax import NATIVE, Fault, Raw, RawCall, RawName, RawNumber

Rewrite = Callable[[RawCall, list[str]], Raw]
NameRewrite = Callable[[RawName, list[str]], Raw]
_LAGGED = re.compile(r"(\w+?)_lag_?(\d{1,4})")


@dataclass(frozen=True)
class Dialect:
    """How one family of texts is read.

    Attributes
    ----------
    calls
        Lower-case word to its rewriting.
    fields
        Lower-case field to its rewriting.
    targets
        Lower-case word to the operator of ours whose parameters it has, for arguments given by keyword.
    parameters
        Lower-case word to its parameters, where they are not those of an operator of ours; for arguments by keyword.
    defaults
        Lower-case word to the defaults of its parameters, None for those without, for arguments left out in the middle.
    takes_keywords
        Words whose rewritings read keywords themselves.
    floors_windows
        Whether 3.92795 as a window means 3.
    stands_in
        Whether groups that the data lacks are stood in for by clusters, with a note.
    adv_in_shares
        Whether ``adv20`` is an average of shares; it is of money else.
    """

    calls: Mapping[str, Rewrite] = field(default_factory=dict)
    fields: Mapping[str, NameRewrite] = field(default_factory=dict)
    targets: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Sequence[Param]] = field(default_factory=dict)
    defaults: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    takes_keywords: frozenset[str] = frozenset()
    floors_windows: bool = False
    folds_case: bool = True
    stands_in: bool = False
    adv_in_shares: bool = False

    @property
    def names(self) -> list[str]:
        """Words that the dialect adds."""
        return list(self.calls)

    def rewrite(self, raw: RawCall, notes: list[str]) -> Raw | None:
        """Return our form of a call, or None when it is ours already."""
        handler = self.calls.get(raw.name.lower())
        return handler(raw, notes) if handler else None

    def rewrite_name(self, raw: RawName, notes: list[str]) -> Raw | None:
        """Return our form of a field, or None when it is none of the dialect's."""
        handler = self.fields.get(raw.name.lower())
        if handler is not None:
            return handler(raw, notes)
        lagged = _LAGGED.fullmatch(raw.name) if self.calls else None
        if lagged:
            return ours("ts_delay", raw, RawName(lagged[1], raw.at), number_node(float(lagged[2]), raw))
        return None


def ours(name: str, where: Raw, *args: Raw) -> RawCall:
    """Return a call of our own operator, at the place of `where`."""
    return RawCall(NATIVE + name, args, where.at)


def number_node(value: float, where: Raw) -> RawNumber:
    """Return a number at the place of `where`."""
    return RawNumber(value, "", where.at)


def named(name: str, where: Raw) -> RawName:
    """Return a field at the place of `where`."""
    return RawName(name, where.at)


def same(name: str, note: str = "", *, defaults: tuple[float, ...] = (), first: str = "") -> Rewrite:
    """Return the rewriting of a word that is one of ours under another name.

    Missing arguments at the end get `defaults`; where the series itself may be left out, it is the field `first`.
    """
    wanted = len(defaults)

    def rewrite(raw: RawCall, notes: list[str]) -> Raw:
        if note:
            notes.append(f"{raw.name}: {note}")
        args = raw.args
        if first and (not args or is_number(args[0])):
            args = (named(first, raw), *args)
        missing = max(0, arity(name) - len(args))
        filled = defaults[wanted - missing :] if 0 < missing <= wanted else ()
        return ours(name, raw, *args, *(number_node(value, raw) for value in filled))

    return rewrite


def arity(name: str) -> int:
    """Return how many arguments an operator of ours takes."""
    from factors.table import OPERATORS

    return len(OPERATORS[name].params)


def is_number(raw: Raw) -> bool:
    """Whether `raw` is written as a number."""
    return isinstance(raw, RawNumber)


def whole(raw: Raw, what: str) -> int:
    """Return a window written as a whole number, for rewritings that compute with it."""
    if isinstance(raw, RawNumber) and not raw.unit and raw.value == int(raw.value) and raw.value >= 1:
        return int(raw.value)
    raise Fault("window", f"{what} needs a whole number of bars", "write the window as a number", raw.at)


def exactly(raw: RawCall, count: int, form: str) -> None:
    """Refuse a call with another number of arguments; `form` is how it is written."""
    if len(raw.args) != count:
        raise Fault("arity", f"{raw.name} takes {count} arguments, not {len(raw.args)}", f"write {form}", raw.at)


def by_arity(one: str, two: str) -> Rewrite:
    """Return the rewriting of a word that means `one` of a series alone and `two` with a window."""
    return lambda raw, _notes: ours(one if len(raw.args) == 1 else two, raw, *raw.args)


def extreme(elementwise: str, rolling: str) -> Rewrite:
    """`max(x, 5)` looks back over 5 bars; `max(x, y)` and `max(x, 0)` compare bar by bar."""

    def rewrite(raw: RawCall, notes: list[str]) -> Raw:
        if len(raw.args) == 2:
            window = raw.args[1]
            if isinstance(window, RawNumber) and window.value >= 2:
                notes.append(f"{raw.name}(x, number) is read as {rolling} over that many bars")
                return ours(rolling, raw, *raw.args)
        return chained(elementwise)(raw, notes)

    return rewrite


def chained(name: str) -> Rewrite:
    """Return the rewriting of max(a, b, c) as max(max(a, b), c)."""

    def rewrite(raw: RawCall, _notes: list[str]) -> Raw:
        if len(raw.args) < 2:
            return ours(name, raw, *raw.args)
        found = raw.args[0]
        for other in raw.args[1:]:
            found = ours(name, raw, found, other)
        return found

    return rewrite


def from_oldest(name: str, what: str) -> Rewrite:
    """Return the rewriting of an age counted 1..d from the oldest bar: d minus ours."""

    def rewrite(raw: RawCall, notes: list[str]) -> Raw:
        notes.append(
            f"{what} counts 1 to d from the oldest bar; ours counts bars back from now, so it is d - {name}; "
            "of equal values ours takes the newest"
        )
        if len(raw.args) != 2:
            return ours(name, raw, *raw.args)
        window = raw.args[1]
        size = number_node(float(int(window.value)), raw) if isinstance(window, RawNumber) else window
        return ours("sub", raw, size, ours(name, raw, *raw.args))

    return rewrite


def scale(raw: RawCall, _notes: list[str]) -> Raw:
    """`scale(x, a)`: sizes sum to a, 1 where it is not given."""
    if len(raw.args) > 2:
        raise Fault("arity", f"{raw.name} takes 1 or 2 arguments, not {len(raw.args)}", "write scale(x, a)", raw.at)
    scaled = ours("cs_scale", raw, *raw.args[:1])
    return scaled if len(raw.args) == 1 else ours("mul", raw, raw.args[-1], scaled)


def refused(reason: str, hint: str) -> Rewrite:
    """Return the rewriting of a word that has no meaning here."""

    def rewrite(raw: RawCall, _notes: list[str]) -> Raw:
        raise Fault("dialect", f"{raw.name}: {reason}", hint, raw.at)

    return rewrite


def renamed(name: str, note: str = "") -> NameRewrite:
    """Return the rewriting of a field under another name."""

    def rewrite(raw: RawName, notes: list[str]) -> Raw:
        if note:
            notes.append(f"{raw.name}: {note}")
        return RawName(name, raw.at)

    return rewrite


GROUPS: Mapping[str, NameRewrite] = {
    f"indclass.{name}": renamed(name) for name in ("sector", "industry", "subindustry")
}
