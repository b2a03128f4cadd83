"""Calls of pandas that change nothing here, and with which arguments: all others are followed or refused."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from factors.pycode.methods import ASSET_KEYS, TIME_KEYS
from factors.pycode.values import Listed, Plain, Reader, SeriesValue, Value, code_of
from factors.syntax import RawName, RawNumber

_KEYS = TIME_KEYS | ASSET_KEYS
_ORDER = "rows turned or put in another order are not in the order of time"
_ORDER_HINT = "leave it out: bars come in the order of time, oldest first"


@dataclass(frozen=True, slots=True)
class Harmless:
    """A method without an effect here.

    Attributes
    ----------
    order
        Its arguments by place.
    anything
        Those that may have any value.
    only
        Those that may have these values; in a list, each of its parts.
    why, hint
        Of the refusal of all others.
    reorders
        Whether what is refused could show later bars.
    """

    order: tuple[str, ...] = ()
    anything: frozenset[str] = frozenset()
    only: Mapping[str, frozenset[object]] | None = None
    why: str = "it is not read with this argument"
    hint: str = "leave the argument out"
    reorders: bool = False


_SORTS = {"ascending": frozenset({True}), "axis": frozenset({0.0, "index", "rows"})}
FRAME_METHODS: Mapping[str, Harmless] = {
    "copy": Harmless(("deep",), frozenset({"deep"})),
    "reset_index": Harmless(
        ("level", "drop", "inplace"), frozenset({"level", "drop", "inplace", "names", "allow_duplicates"})
    ),
    "sort_index": Harmless(
        ("axis", "level", "ascending", "inplace", "kind"),
        frozenset({"level", "inplace", "kind", "na_position", "sort_remaining"}),
        _SORTS, _ORDER, _ORDER_HINT, reorders=True,
    ),
    "sort_values": Harmless(
        ("by", "axis", "ascending", "inplace", "kind"),
        frozenset({"inplace", "kind", "na_position", "ignore_index"}),
        {**_SORTS, "by": frozenset(_KEYS)}, _ORDER, _ORDER_HINT, reorders=True,
    ),
    "set_index": Harmless(
        ("keys", "drop", "append", "inplace"), frozenset({"drop", "append", "inplace", "verify_integrity"}),
        {"keys": frozenset(_KEYS)}, "rows are labelled by their asset and time only", "leave it out",
    ),
}  # fmt: skip
COLUMN_METHODS: Mapping[str, Harmless] = {
    "copy": FRAME_METHODS["copy"],
    "reset_index": Harmless(
        ("level", "drop", "name", "inplace"), frozenset({"level", "drop", "name", "inplace", "allow_duplicates"})
    ),
    "sort_index": Harmless(
        ("axis", "level", "ascending", "inplace", "kind"),
        frozenset({"level", "inplace", "kind", "na_position", "sort_remaining"}),
        _SORTS, _ORDER, _ORDER_HINT, reorders=True,
    ),
    "rename": Harmless(("index",), frozenset({"copy"}), None, "rows cannot be given other labels", "leave it out"),
    "to_frame": Harmless(("name",), frozenset({"name"})),
    "to_numpy": Harmless(("dtype",), frozenset({"copy"}), {"dtype": frozenset({"float", "float64", "float32"})}),
    "droplevel": Harmless(("level",), frozenset({"level"})),
    "swaplevel": Harmless(("i", "j"), frozenset({"i", "j"})),
    "unstack": Harmless(("level",), frozenset({"level"})),
    "stack": Harmless(("level",), frozenset({"level", "future_stack", "dropna"})),
    "infer_objects": Harmless(),
    "squeeze": Harmless(("axis",), frozenset({"axis"})),
}  # fmt: skip
# Arguments of pandas' groupby that change the shape of a result, and no value of it.
GROUPBY = frozenset({"group_keys", "sort", "as_index", "observed"})


def check_harmless(reader: Reader, node: ast.Call, method: str, rules: Harmless) -> None:
    """Refuse a call of a harmless method with an argument that is not on its list."""
    given = dict(zip(rules.order, node.args, strict=False))
    if len(node.args) > len(rules.order):
        raise reader.places.fault(node, f"{method}: too many arguments", "leave them out")
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in given:
            raise reader.places.fault(node, f"{method}: stars and arguments given twice are not read", "write them out")
        given[keyword.arg] = keyword.value
    for name, value in given.items():
        if name in rules.anything or _allowed(reader, method, name, value, rules):
            continue
        shown = f"{method}({name}={code_of(value)[:40]})"
        code = "look_ahead" if rules.reorders else "python"
        raise reader.places.fault(node, f"{shown}: {rules.why}", rules.hint, code)


def _allowed(reader: Reader, method: str, name: str, value: ast.expr, rules: Harmless) -> bool:
    if method == "rename" and name == "index":
        found = reader.expr(value)
        return isinstance(found, Plain) and isinstance(found.value, str)
    allowed = (rules.only or {}).get(name)
    if allowed is None:
        return False
    found = reader.expr(value)
    parts = found.parts if isinstance(found, Listed) else (found,)
    return bool(parts) and all(_constant(part) in allowed for part in parts)


def _constant(value: Value) -> object:
    """Return a literal; names such as `float` stand for themselves."""
    if isinstance(value, Plain):
        return value.value.lower() if isinstance(value.value, str) else value.value
    if isinstance(value, SeriesValue) and isinstance(value.raw, RawNumber):
        return value.raw.value
    if isinstance(value, SeriesValue) and isinstance(value.raw, RawName):
        return value.raw.name
    return None
