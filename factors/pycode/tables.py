"""Tables of dates by assets in pandas code: turned ones, and statistics of a row beside whole tables."""

from __future__ import annotations

import ast

from factors.pycode.arguments import Arguments
from factors.pycode.column_methods import method_of, ranked_across
from factors.pycode.methods import PAIR_METHODS
from factors.pycode.values import Reader, SeriesValue, Turned, Value, Whole
from factors.pycode.wholes import ACROSS, statistic_of
from factors.syntax import NATIVE, Raw, RawCall, RawNumber

_ONE_A_BAR = frozenset(f"{NATIVE}{name}" for name in ("cs_mean", "cs_quantile"))
_VALUE_BY_VALUE = frozenset({"abs", "clip", "fillna", "round", "pow", "notna", "isna", "astype"})


def turned_method(reader: Reader, node: ast.Call, table: Turned, method: str) -> Value:
    """Return what a method of a turned table stands for: down its columns run the assets of a bar."""
    arguments = Arguments(reader, node)
    if method == "transpose":
        arguments.done()
        return SeriesValue(table.raw)
    if method in PAIR_METHODS:
        other, axis = arguments.value("other"), arguments.plain("axis")
        arguments.done()
        if axis in (None, 1.0, "columns") and (found := _beside(other)) is not None:
            return Turned(reader.ours(PAIR_METHODS[method], node, table.raw, found))
        raise _mixed(reader, node)
    if method in _VALUE_BY_VALUE:
        found_value = method_of(reader, node, SeriesValue(table.raw), method)
        assert isinstance(found_value, SeriesValue)
        return Turned(found_value.raw)
    if arguments.plain("axis") not in (None, 0.0, "index", "rows"):
        why = "this statistic of a turned table is of all bars, the future included"
        raise reader.places.fault(node, why, "turn it back with .T first", "look_ahead")
    if method == "rank":
        arguments.named["axis"] = ast.Constant(1)
        ranks = ranked_across(reader, node, table.raw, arguments)
        arguments.done()
        return Turned(ranks)
    if method in ACROSS:
        ddof = arguments.number("ddof", 1.0) if method in ("std", "var") else None
        level = arguments.number("q", 0.5) if method == "quantile" else 0.5
        arguments.named.pop("skipna", None)
        arguments.done()
        reader.wide = True
        return SeriesValue(statistic_of(reader, node, table.raw, method, Whole(), ddof, level or 0.0))
    why = f".{method[:40]}() of a turned table is not read"
    raise reader.places.fault(node, why, "turn it back with .T first, or use axis=1 without .T")


def turned_operation(reader: Reader, node: ast.AST, word: str, x: Value, y: Value) -> Turned:
    """Return an operation of a turned table and another, a number, or one value a bar."""
    left, right = _beside(x), _beside(y)
    if left is None or right is None:
        raise _mixed(reader, node)
    return Turned(reader.ours(word, node, left, right))


def _beside(value: Value | None) -> Raw | None:
    """Return what pandas lays along the dates of a turned table; None for a table that is not turned."""
    if isinstance(value, Turned):
        return value.raw
    if isinstance(value, SeriesValue) and (isinstance(value.raw, RawNumber) or one_a_bar(value.raw)):
        return value.raw
    return None


def _mixed(reader: Reader, node: ast.AST) -> Exception:
    why = "a turned table is put together with one that is not"
    return reader.places.fault(node, why, "turn both or none: write x.sub(x.mean(axis=1), axis=0)")


def note_of_rows(reader: Reader, node: ast.AST, x: Raw, y: Raw) -> None:
    """Say where pandas would match a statistic of each row with the names of the columns."""
    if not reader.wide or isinstance(x, RawNumber) or isinstance(y, RawNumber) or one_a_bar(x) == one_a_bar(y):
        return
    line = getattr(node, "lineno", 1)
    note = f"line {line}: pandas matches a row's statistic with the columns here; read bar by bar, as .sub(x, axis=0)"
    if note not in reader.notes:
        reader.notes.append(note)


def one_a_bar(raw: Raw) -> bool:
    """Whether a tree has one value for all assets of a bar."""
    seen: set[int] = set()
    rest, found = [raw], False
    while rest:
        one = rest.pop()
        if isinstance(one, RawNumber) or id(one) in seen:
            continue
        if not isinstance(one, RawCall):
            return False
        seen.add(id(one))
        if one.name in _ONE_A_BAR or _of_all(one):
            found = True
        else:
            rest.extend(one.args)
    return found


def _of_all(call: RawCall) -> bool:
    """Whether a call is a statistic of the one group of all assets."""
    group = call.args[-1] if call.args else None
    whole = isinstance(group, RawCall) and group.name == f"{NATIVE}bucket"
    return call.name.startswith(f"{NATIVE}group_") and whole and getattr(group.args[1], "value", 0) == 1  # type: ignore[union-attr]
