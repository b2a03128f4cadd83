"""Words of other languages as formulas of ours: a signature with its defaults, and the text that takes its place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from factors.dialects.base import Rewrite
from factors.limits import Limits
from factors.operators.row import Kind, Param
from factors.syntax import NATIVE, Fault, Raw, RawCall, RawName, RawNumber, read_tree

_WINDOWS = frozenset({"d", "n", "p", "window", "lookback", "period"})
_NUMBERS = frozenset({"f", "k", "q", "a", "level", "share", "scale", "std", "lower", "upper", "constant", "sigma"})
# Comparisons and what is made of them, in any of the languages.
CONDITIONS = frozenset({
    "lt", "le", "gt", "ge", "eq", "ne", "and_", "or_", "not_", "and", "or", "not", "less", "less_equal", "lessequal",
    "greater", "greater_equal", "greaterequal", "equal", "not_equal", "is_nan", "is_not_nan",
})  # fmt: skip
_PART = re.compile(r"(\w+)(?:(=|~)([-\w.]+))?(\?)?")


def formula(text: str, at: int, given: Mapping[str, Raw] | None = None) -> Raw:
    """Return the tree of a text of ours, at the place `at`, with `given` in the places of its names."""
    return _placed(_tree(text), at, given or {})


@cache
def _tree(text: str) -> Raw:
    return read_tree(text, Limits(max_chars=100_000, max_nodes=10_000))


def _placed(raw: Raw, at: int, given: Mapping[str, Raw]) -> Raw:
    if isinstance(raw, RawNumber):
        return RawNumber(raw.value, raw.unit, at)
    if isinstance(raw, RawName):
        return given.get(raw.name, RawName(raw.name, at))
    name = raw.name if raw.name.startswith(NATIVE) else NATIVE + raw.name
    return RawCall(name, tuple(_placed(arg, at, given) for arg in raw.args), at)


@dataclass(frozen=True, slots=True)
class _Slot:
    """A parameter: its name, its default, whether it may be anything without an effect, whether it is a condition."""

    name: str
    default: str | None
    ignored: bool
    condition: bool


def _slots(signature: str) -> tuple[str, tuple[_Slot, ...]]:
    word, _, rest = signature.rstrip(")").partition("(")
    slots = []
    for part in rest.split(", ") if rest else []:
        found = _PART.fullmatch(part)
        assert found is not None, part
        slots.append(_Slot(found[1], found[3], found[2] == "~", found[4] is not None))
    return word, tuple(slots)


@dataclass(frozen=True, slots=True)
class Templates:
    """What a table of signatures gives a dialect; see `factors.dialects.base.Dialect` for each."""

    calls: dict[str, Rewrite]
    parameters: dict[str, tuple[Param, ...]]
    defaults: dict[str, tuple[str | None, ...]]


def templates(table: Mapping[str, str | tuple[str, str]]) -> Templates:
    """Return rewritings, parameters and defaults from signatures with formulas (and notes).

    In a signature, ``k=2`` has a default; ``rate~2`` has no effect here, whatever it is; ``c?`` is a condition, for
    which a number or series above 0 may stand. What has a default and is not in the formula may only be given as it is.
    """
    made = Templates({}, {}, {})
    for signature, value in table.items():
        text, note = (value, "") if isinstance(value, str) else value
        word, slots = _slots(signature)
        made.calls[word] = _rewriting(signature, slots, text, note)
        made.parameters[word] = tuple(Param(slot.name, _kind(slot.name)) for slot in slots)
        made.defaults[word] = tuple(slot.default for slot in slots)
    return made


def _kind(name: str) -> Kind:
    return "window" if name in _WINDOWS else "number" if name in _NUMBERS else "panel"


def _rewriting(signature: str, slots: Sequence[_Slot], text: str, note: str) -> Rewrite:
    used = set(re.findall(r"[A-Za-z_]\w*", text))
    least = sum(slot.default is None for slot in slots)
    form = signature.replace("~", "=").replace("?", "")

    def rewrite(raw: RawCall, notes: list[str]) -> Raw:
        if not least <= len(raw.args) <= len(slots):
            takes = str(least) if least == len(slots) else f"{least} to {len(slots)}"
            raise Fault("arity", f"{raw.name} takes {takes} arguments, not {len(raw.args)}", f"write {form}", raw.at)
        given: dict[str, Raw] = {}
        for slot, arg in zip(slots, raw.args, strict=False):
            if slot.name not in used and not slot.ignored and shown(arg).lower() != (slot.default or ""):
                why = f"{raw.name}: {slot.name} = {shown(arg)} is not read here, only {slot.default}"
                raise Fault("dialect", why, f"write {form}", arg.at)
            given[slot.name] = as_condition(arg) if slot.condition else arg
        for slot in slots[len(raw.args) :]:
            given[slot.name] = default_of(slot.default or "0", raw.at)
        if note:
            notes.append(f"{raw.name}: {note}")
        return formula(text, raw.at, given)

    return rewrite


def default_of(text: str, at: int) -> Raw:
    """Return a default as an argument at the place `at`: a number, or a word."""
    return RawName(text, at) if text[0].isalpha() else RawNumber(float(text), "", at)


def shown(raw: Raw) -> str:
    """Return an argument that is a word or number as it was written; of others, what they are."""
    if isinstance(raw, RawNumber):
        return f"{raw.value:g}{raw.unit}"
    if isinstance(raw, RawCall):
        return "an expression"
    return raw.name.strip("\"'")


def as_condition(raw: Raw) -> Raw:
    """Return a condition as it is; of a series, whether it is above 0, as languages without conditions mean it."""
    if isinstance(raw, RawNumber):
        return RawNumber(float(raw.value > 0), "", raw.at)
    if isinstance(raw, RawCall):
        word = raw.name.removeprefix(NATIVE).lower()
        if word == "neg" and isinstance(raw.args[0], RawNumber):
            return RawNumber(float(raw.args[0].value < 0), "", raw.at)
        if word in CONDITIONS:
            return raw
    return RawCall(f"{NATIVE}gt", (raw, RawNumber(0.0, "", raw.at)), raw.at)
