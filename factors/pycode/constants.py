"""What is known before any data are seen: lists of numbers, conditions on options, texts put together."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence

from factors.pycode.values import Listed, Mapped, Plain, Reader, SeriesValue, Value, dotted
from factors.syntax import Fault, RawNumber
from factors.table import STANDARD_FIELDS

# Of a loop or a list: more are refused.
_LONGEST = 60
_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "Add": operator.add, "Sub": operator.sub, "Mult": operator.mul, "Div": operator.truediv, "Pow": operator.pow,
    "Mod": operator.mod, "FloorDiv": operator.floordiv,
}  # fmt: skip
_COMPARED: Mapping[type, Callable[[object, object], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,  # type: ignore[dict-item]
    ast.Gt: operator.gt, ast.GtE: operator.ge,  # type: ignore[dict-item]
    ast.Is: operator.is_, ast.IsNot: operator.is_not,
}  # fmt: skip


def number_of(value: Value | None) -> float | None:
    """Return a number as it is, None for all else."""
    return value.raw.value if isinstance(value, SeriesValue) and isinstance(value.raw, RawNumber) else None


def constant_of(reader: Reader, node: ast.expr) -> tuple[bool, object]:
    """Return whether an expression is known before any data are seen, and its value."""
    if not _may_be_known(reader, node):
        return False, None
    try:
        value = reader.expr(node)
    except Fault:
        return False, None
    if isinstance(value, Plain):
        return value.value not in ("nan", "inf", "index"), value.value
    number = number_of(value)
    return number is not None, number


def _may_be_known(reader: Reader, node: ast.expr) -> bool:
    """Whether nothing but constants and options takes part."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call | ast.Subscript | ast.Lambda):
            return False
        if isinstance(part, ast.Name) and part.id not in ("self", "cls"):
            known = reader.names.get(part.id)
            if not isinstance(known, Plain) and (known is None or number_of(known) is None):
                return False
    return True


def truth_of(reader: Reader, test: ast.expr) -> bool | None:
    """Return whether a condition on options holds, None where it depends on data."""
    if isinstance(test, ast.BoolOp):
        parts = [truth_of(reader, part) for part in test.values]
        if None in parts:
            return None
        return all(parts) if isinstance(test.op, ast.And) else any(parts)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = truth_of(reader, test.operand)
        return None if inner is None else not inner
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return _compared(reader, test)
    known, value = constant_of(reader, test)
    return bool(value) if known else None


def _compared(reader: Reader, test: ast.Compare) -> bool | None:
    known, left = constant_of(reader, test.left)
    if not known:
        return None
    other = test.comparators[0]
    if isinstance(test.ops[0], ast.In | ast.NotIn) and isinstance(other, ast.List | ast.Tuple | ast.Set):
        parts = [constant_of(reader, part) for part in other.elts]
        if not all(each for each, _ in parts):
            return None
        return (left in [value for _, value in parts]) == isinstance(test.ops[0], ast.In)
    if isinstance(test.ops[0], ast.In | ast.NotIn):
        # A standard column is there, or made of those that are.
        named = isinstance(other, ast.Attribute) and other.attr == "columns" and isinstance(left, str)
        if not named or str(left).lower() not in STANDARD_FIELDS:
            return None
        reader.notes.append(f"the data are taken to have {left}")
        return isinstance(test.ops[0], ast.In)
    also, right = constant_of(reader, other)
    compare = _COMPARED.get(type(test.ops[0]))
    if not also or compare is None:
        return None
    try:
        return compare(left, right)
    except TypeError:
        return None


def chosen_part(reader: Reader, node: ast.BoolOp) -> Value | None:
    """`fast or 10`: the part that Python takes where its options are known; None where data decide."""
    for part in node.values[:-1]:
        known, value = constant_of(reader, part)
        if not known:
            return None
        if bool(value) == isinstance(node.op, ast.Or):
            return reader.expr(part)
    return reader.expr(node.values[-1])


def mapping(reader: Reader, node: ast.Dict) -> Mapped:
    """Return a dictionary with texts or numbers for keys."""
    found: dict[object, Value] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        known, word = (False, None) if key is None else constant_of(reader, key)
        if not known:
            raise reader.places.fault(node, "keys of a dictionary are texts or numbers", "write them out")
        found[word] = reader.expr(value)
    return Mapped(found)


def formatted(reader: Reader, node: ast.JoinedStr) -> Plain:
    """`f"ma_{n}"`, of options."""
    said = ""
    for part in node.values:
        if isinstance(part, ast.Constant):
            said += str(part.value)
            continue
        assert isinstance(part, ast.FormattedValue)
        known, value = constant_of(reader, part.value)
        if not known or part.format_spec is not None:
            raise reader.places.fault(node, "this f-string is not read", "name the column as it is")
        said += f"{value:g}" if isinstance(value, float) else str(value)
    return Plain(said)


def of_constants(reader: Reader, node: ast.AST, kind: str, left: ast.expr, right: ast.expr) -> Value | None:
    """Return texts joined and lists of numbers computed with; None of all else."""
    if kind not in _ARITHMETIC or not _may_be_listed(reader, left, right):
        return None
    x, y = reader.expr(left), reader.expr(right)
    if isinstance(x, Plain) and isinstance(y, Plain) and isinstance(x.value, str) and isinstance(y.value, str):
        return Plain(x.value + y.value) if kind == "Add" else None
    if not isinstance(x, Listed) and not isinstance(y, Listed):
        return None
    one, other = _numbers(x), _numbers(y)
    if one is None or other is None:
        raise reader.places.fault(node, "lists are computed with where they hold numbers", "write the steps out")
    size = max(len(one), len(other))
    if {len(one), len(other)} - {1, size}:
        raise reader.places.fault(node, "these lists have different lengths", "give them the same length")
    pairs = zip(one * (size // len(one)), other * (size // len(other)), strict=True)
    try:
        return listed_numbers(reader, node, [float(_ARITHMETIC[kind](a, b)) for a, b in pairs])
    except (ZeroDivisionError, OverflowError) as error:
        raise reader.places.fault(node, "this is no number", "check the divisor") from error


def _may_be_listed(reader: Reader, *nodes: ast.expr) -> bool:
    """Whether one of two operands is a text or list by its form: others are read once only, elsewhere."""
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return True
        if isinstance(node, ast.Name) and isinstance(reader.names.get(node.id), Plain | Listed):
            return True
        if isinstance(node, ast.Call) and dotted(node.func) in ("np.arange", "np.array"):
            return True
    return False


def _numbers(value: Value) -> list[float] | None:
    parts = value.parts if isinstance(value, Listed) else (value,)
    found = [number_of(part) for part in parts]
    return [number for number in found if number is not None] if None not in found and found else None


def numbers_of(value: Value | None) -> list[float] | None:
    """Return the numbers of a list that holds nothing else, None of all else."""
    return _numbers(value) if isinstance(value, Listed) else None


def listed_numbers(reader: Reader, node: ast.AST, numbers: Sequence[float]) -> Listed:
    """Return a list of numbers, at the place of `node`."""
    if len(numbers) > 10_000:
        raise reader.places.fault(node, "a list that is too long", "make it shorter", "too_large")
    at = reader.places.at(node)
    return Listed(tuple(SeriesValue(RawNumber(float(number), "", at)) for number in numbers))


def spaced(reader: Reader, node: ast.Call) -> Listed:
    """`range(1, 6)` and `np.arange(1, n + 1)`: whole numbers."""
    given = [number_of(reader.expr(part)) for part in node.args]
    whole = [int(number) for number in given if number is not None and number == int(number)]
    if node.keywords or len(whole) != len(given) or not 1 <= len(whole) <= 3 or (len(whole) == 3 and whole[2] == 0):
        raise reader.places.fault(node, "a range is of whole numbers that are known", "write range(1, 6)")
    return listed_numbers(reader, node, range(*whole)[:10_001])


def comprehended(reader: Reader, node: ast.ListComp | ast.GeneratorExp) -> Listed:
    """`[f(n) for n in (5, 10)]`, written out."""
    (first, *others) = node.generators
    if others or first.ifs or first.is_async:
        raise reader.places.fault(node, "one loop without a condition is read", "write the steps out")
    before = dict(reader.names)
    found = []
    for item in items_of(reader, first.iter):
        reader.assign(first.target, item)
        found.append(reader.expr(node.elt))
    reader.names.clear()
    reader.names.update(before)
    return Listed(tuple(found))


def mapped(reader: Reader, node: ast.DictComp) -> Mapped:
    """`{n: f(n) for n in (5, 10)}`, written out."""
    both = ast.copy_location(ast.Tuple([node.key, node.value], ast.Load()), node)
    rows = comprehended(reader, ast.copy_location(ast.ListComp(both, node.generators), node))
    found: dict[object, Value] = {}
    for row in rows.parts:
        key, value = row.parts if isinstance(row, Listed) else (row, row)
        word = key.value if isinstance(key, Plain) else number_of(key)
        if word is None:
            raise reader.places.fault(node, "keys of a dictionary are texts or numbers", "write them out")
        found[word] = value
    return Mapped(found)


def items_of(reader: Reader, node: ast.expr) -> Sequence[Value]:
    """Return what a loop runs over, where that is known before any data are seen."""
    found = tuple(_items(reader, node))
    if len(found) > _LONGEST:
        raise reader.places.fault(
            node, f"a loop of {len(found)} steps, at most {_LONGEST} are followed", "use .rolling(n)"
        )
    return found


def _items(reader: Reader, node: ast.expr) -> Iterator[Value]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        if node.func.id == "zip":
            for row in zip(*(items_of(reader, part) for part in node.args), strict=False):
                yield Listed(tuple(row))
            return
        if node.func.id == "enumerate" and len(node.args) == 1:
            for place, item in enumerate(items_of(reader, node.args[0])):
                yield Listed((*listed_numbers(reader, node, [place]).parts, item))
            return
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not node.args:
        owner = reader.expr(node.func.value)
        if isinstance(owner, Mapped):
            for key, value in owner.parts.items():
                word = _as_value(reader, node, key)
                yield {"items": Listed((word, value)), "values": value}.get(node.func.attr, word)
            return
    found = reader.expr(node)
    if isinstance(found, Mapped):
        yield from (_as_value(reader, node, key) for key in found.parts)
    elif isinstance(found, Listed):
        yield from found.parts
    else:
        raise reader.places.fault(node, "loops over data are not read", "use .rolling(n), .shift(n) and np.where")


def _as_value(reader: Reader, node: ast.AST, key: object) -> Value:
    return listed_numbers(reader, node, [key]).parts[0] if isinstance(key, float) else Plain(key)
