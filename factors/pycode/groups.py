"""Groups of pandas code: by asset or by time, by a column's name, a level's name, or a level's number.

Which of two levels is the asset's, a number does not say. What is done within the groups says it: a lag or a window
runs along one asset, and a statistic of all of a group is one of a bar, since of an asset it would see the future.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from factors.pycode.arguments import Arguments
from factors.pycode.constants import number_of
from factors.pycode.harmless import GROUPBY
from factors.pycode.methods import ASSET_KEYS, TIME_KEYS
from factors.pycode.values import FrameValue, Grouped, Listed, Plain, Reader, SeriesValue, Value
from factors.syntax import RawNumber

_ALONG_TIME = frozenset({"shift", "diff", "pct_change", "rolling", "ewm", "expanding", "ffill", "cumsum", "cumprod",
                         "cummax", "cummin"})  # fmt: skip
_NAME_IT = "name it: groupby(level='symbol') or groupby(level='date')"


def groupby(reader: Reader, node: ast.Call, of: SeriesValue | FrameValue) -> Grouped:
    """Return groups of the frame, or of a column, by asset or by time."""
    arguments = Arguments(reader, node)
    level = _one(arguments.value("level") if "level" in arguments.named else None)
    key: object = level.value if isinstance(level, Plain) else number_of(level)
    if key is None:
        by = _one(arguments.value("by"))
        if isinstance(by, SeriesValue) and not isinstance(by.raw, RawNumber):
            key = getattr(by.raw, "name", None)
        key = by.value if isinstance(by, Plain) else key
    for ignored in GROUPBY:
        arguments.named.pop(ignored, None)
    arguments.done()
    word = str(key).lower()
    series, frame = (None, of) if isinstance(of, FrameValue) else (of, None)
    if isinstance(key, float):
        return Grouped(_by_number(reader, node, key), series, frame)
    if word in ASSET_KEYS:
        return Grouped("asset", series, frame)
    if word in TIME_KEYS:
        return Grouped("time", series, frame)
    hint = "group by the asset ('symbol') or by the time ('date'); for sectors write group_neutralize(x, sector)"
    raise reader.places.fault(node, f"groups by {word[:40]!r} are not read", hint)


def _one(value: Value | None) -> Value | None:
    """Return the only part of a list of one, and all else as it is."""
    return value.parts[0] if isinstance(value, Listed) and len(value.parts) == 1 else value


def _by_number(reader: Reader, node: ast.Call, key: float) -> str:
    """Return whose level a number is, with a note."""
    found = reader.levels.get(key)
    if found is None:
        why = f"whether level {key:g} is the asset's or the time's, this text does not say"
        raise reader.places.fault(node, why, _NAME_IT)
    note = f"groupby(level={key:g}): read as groups by {found}, from what is done within them"
    if note not in reader.notes:
        reader.notes.append(note)
    return found


def levels_of(module: ast.Module) -> dict[float, str]:
    """Return, by number, which level of the rows is the asset's and which the time's, as far as a text says it.

    What contradicts itself is left out, and refused where it is used.
    """
    uses: dict[float, bool] = {}
    nodes = list(ast.walk(module))
    bodies = {node.name: node for node in nodes if isinstance(node, ast.FunctionDef)}
    parents = {child: node for node in nodes for child in ast.iter_child_nodes(node)}
    named = {node.value: node.targets[0].id for node in nodes
             if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)}  # fmt: skip
    loads: dict[str, list[ast.AST]] = {}
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            loads.setdefault(node.id, []).append(node)
    for node in nodes:
        number = _number(node)
        if number is None:
            continue
        groups = _top(node, parents)
        name = named.get(groups, "") if isinstance(groups, ast.expr) else ""
        said = {word for start in (node, *loads.get(name, ())) for word in _chain(start, parents, bodies)}
        uses[number] = uses.get(number, False) or bool(said & _ALONG_TIME)
    return _labelled(module) or _decided(uses)


def _labelled(module: ast.Module) -> dict[float, str]:
    """Return the levels by number as `df.set_index(['date', 'symbol'])` names them; none without it."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "set_index":
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            try:
                names = [str(name).lower() for name in ast.literal_eval(given[0])]
            except (ValueError, TypeError, IndexError):
                return {}
            kinds = ["asset" if name in ASSET_KEYS else "time" if name in TIME_KEYS else "" for name in names]
            if sorted(kinds) == ["asset", "time"]:
                return {0.0: kinds[0], 1.0: kinds[1], -1.0: kinds[1], -2.0: kinds[0]}
    return {}


def _decided(uses: dict[float, bool]) -> dict[float, str]:
    """Return the levels by number; none where both, or neither of two, have lags or windows."""
    assets = {number % 2 for number, along in uses.items() if along}
    places = {number % 2 for number in uses}
    if set(uses) - {0.0, 1.0, -1.0, -2.0} or len(assets) > 1 or (not assets and len(places) > 1):
        return {}
    asset = next(iter(assets)) if assets else 1.0 - next(iter(places), 1.0)
    return {number: "asset" if number % 2 == asset else "time" for number in uses}


def _number(node: ast.AST) -> float | None:
    """Return the number of `x.groupby(level=0)`, None of all else."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "groupby"):
        return None
    level = next((keyword.value for keyword in node.keywords if keyword.arg == "level"), None)
    if isinstance(level, ast.List | ast.Tuple) and len(level.elts) == 1:
        level = level.elts[0]
    try:
        number = None if level is None else ast.literal_eval(level)
    except ValueError:
        return None
    return float(number) if isinstance(number, int) and not isinstance(number, bool) else None


def _chain(node: ast.AST, parents: dict[ast.AST, ast.AST], bodies: dict[str, ast.FunctionDef]) -> Iterator[str]:
    """Yield the first method that is called of groups, and what its lambda or function calls."""
    above = parents.get(node)
    while isinstance(above, ast.Subscript) and above.value is node:
        node, above = above, parents.get(above)
    if not (isinstance(above, ast.Attribute) and above.value is node):
        return
    yield above.attr
    call = parents.get(above)
    if isinstance(call, ast.Attribute):
        # A column by its name: df.groupby(level=0).close.shift(1).
        yield from _chain(above, parents, bodies)
        return
    for given in (*call.args, *(keyword.value for keyword in call.keywords)) if isinstance(call, ast.Call) else ():
        body = bodies.get(given.id) if isinstance(given, ast.Name) else given
        if isinstance(given, ast.Constant):
            yield str(given.value)
        yield from (part.attr for part in ast.walk(body) if isinstance(part, ast.Attribute)) if body else ()


def _top(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> ast.AST:
    """Return groups with the column that is taken of them: the value of `g = df.groupby(level=0)['close']`."""
    above = parents.get(node)
    while isinstance(above, ast.Subscript) and above.value is node:
        node, above = above, parents.get(above)
    return node
