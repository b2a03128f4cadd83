"""`df.eval('(close - open) / high')`: an expression in a text, whose names are columns of the frame."""

from __future__ import annotations

import ast
import re

from factors.pycode.values import FrameValue, Reader, SeriesValue, Value
from factors.syntax import Raw

_LOCAL = "its_own_"


def evaluated(reader: Reader, node: ast.Call, frame: FrameValue) -> Value:
    """Return what `df.eval(text)` stands for: a column, or for `name = ...` the frame with that column."""
    text = node.args[0] if len(node.args) == 1 and not node.keywords else None
    if not isinstance(text, ast.Constant) or not isinstance(text.value, str):
        why = "df.eval is read of one text"
        raise reader.places.fault(node, why, "write df.eval('close / open - 1'), or the expression without eval")
    frame = frame.copy()
    lines = [line for line in re.split(r"[\n;]", text.value) if line.strip()]
    found: Value | None = None
    for line in lines:
        target, value = _parsed(reader, node, line)
        found = SeriesValue(_column(reader, node, frame, value))
        if target is not None:
            frame.columns.pop(target, None)
            frame.columns[target] = found
            found = frame
    if found is None or (len(lines) > 1 and not isinstance(found, FrameValue)):
        raise reader.places.fault(node, "df.eval is read of one expression, or of lines such as a = b", "write it so")
    return found


def _parsed(reader: Reader, node: ast.Call, line: str) -> tuple[str | None, ast.expr]:
    """Return the name that is assigned to, if any, and the expression."""
    # pandas reads & and | there as `and` and `or`, below comparisons; @name is a name outside of the frame.
    said = line.strip().replace("&", " and ").replace("|", " or ").replace("@", _LOCAL)
    try:
        (statement,) = ast.parse(said).body
    except (SyntaxError, ValueError) as error:
        raise reader.places.fault(node, f"df.eval({line.strip()[:40]!r}) is no expression", "check it") from error
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        if isinstance(target, ast.Name):
            return target.id, statement.value
    if isinstance(statement, ast.Expr):
        return None, statement.value
    raise reader.places.fault(node, "df.eval is read of expressions, and of a = b", "write it without eval")


def _column(reader: Reader, node: ast.Call, frame: FrameValue, value: ast.expr) -> Raw:
    """Return the column that an expression gives, its names being columns of the frame."""
    before = dict(reader.names)
    called = {part.func for part in ast.walk(value) if isinstance(part, ast.Call)}
    try:
        for part in ast.walk(value):
            ast.copy_location(part, node)
            if not isinstance(part, ast.Name) or part in called:
                continue
            if part.id.startswith(_LOCAL):
                outside = before.get(part.id.removeprefix(_LOCAL))
                if outside is None:
                    raise reader.places.fault(node, f"@{part.id.removeprefix(_LOCAL)[:40]} is unknown", "set it before")
                reader.names[part.id] = outside
            else:
                reader.names[part.id] = reader.column(node, part.id, frame)
        return reader.series(value).raw
    finally:
        reader.names.clear()
        reader.names.update(before)
