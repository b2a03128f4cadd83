"""What is assigned in pandas code: names, columns of frames, and parts of columns that a condition picks."""

from __future__ import annotations

import ast

from factors.pycode.choices import masked
from factors.pycode.constants import constant_of, formatted
from factors.pycode.expressions import ExpressionReader
from factors.pycode.values import Columns, FrameValue, Listed, Mapped, Plain, SeriesValue, Value, code_of, dotted
from factors.syntax import RawName
from factors.table import STANDARD_FIELDS

_QUIET = ("warnings.filterwarnings", "warnings.simplefilter", "np.seterr")


class AssigningReader(ExpressionReader):
    """Reads what is assigned, or changed in its place."""

    def in_place(self, node: ast.expr) -> Value | None:
        """Read an expression that stands alone; what it changes in its place is changed."""
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            return self.expr(node)
        if dotted(node.func) in _QUIET:
            return None
        kept = [word for word in node.keywords if not (word.arg == "inplace" and code_of(word.value) == "True")]
        owner = node.func.value
        grows = node.func.attr == "append" and isinstance(owner, ast.Name) and isinstance(self.expr(owner), Listed)
        if not grows and len(kept) == len(node.keywords):
            return None if code_of(node.func) == "super().__init__" else self.expr(node)
        changed = self.expr(ast.copy_location(ast.Call(node.func, node.args, kept), node))
        if not isinstance(owner, ast.Name | ast.Subscript) or isinstance(changed, FrameValue):
            if isinstance(changed, FrameValue):
                return self.assign(owner, changed) if isinstance(owner, ast.Name) else changed
            raise self.places.fault(node, "this is changed in place", "assign it: x = x.fillna(0)")
        return self.assign(owner, changed)

    def assign(self, target: ast.expr, value: Value) -> Value:
        """Bind a name or a new column of the frame."""
        if isinstance(target, ast.Name):
            self.names[target.id] = value
            return value
        if isinstance(target, ast.Attribute) and target.attr == "name" and isinstance(value, Plain):
            return self.expr(target.value)
        if isinstance(target, ast.Attribute) and dotted(target.value) == "self":
            self.attributes[target.attr] = value
            return value
        if isinstance(target, ast.Tuple | ast.List) and isinstance(value, Listed | Columns):
            if len(target.elts) != len(value.parts):
                why = f"{len(value.parts)} values for {len(target.elts)} names"
                raise self.places.fault(target, why, "give one for each")
            for one, part in zip(target.elts, value.parts, strict=True):
                self.assign(one, part)
            return value
        if isinstance(target, ast.Subscript) and self.entry(target, value):
            return value
        if isinstance(target, ast.Subscript) and (found := self.mask(target, value)) is not None:
            return found
        if isinstance(target, ast.Subscript) and self.new_column(target, value):
            return value
        raise self.places.fault(target, "this cannot be assigned to", "assign to a name or to df['name']")

    def new_column(self, target: ast.Subscript, value: Value) -> bool:
        """`df['name'] = value`; False where it is another assignment."""
        owner, name = self.expr(target.value), self.expr(target.slice)
        if isinstance(value, Columns) and len(value.parts) == 1:
            value = value.parts[0]
        if isinstance(value, Plain) and value.value in ("nan", None):
            value = SeriesValue(RawName("nan", self.places.at(target)))
        by_name = isinstance(owner, FrameValue) and isinstance(name, Plain) and isinstance(name.value, str)
        if not by_name or not isinstance(value, SeriesValue):
            return False
        assert isinstance(owner, FrameValue) and isinstance(name, Plain)
        # The newest comes last.
        word = str(name.value)
        owner.columns.pop(word, None)
        owner.columns[word] = value
        return True

    def entry(self, target: ast.Subscript, value: Value) -> bool:
        """`parts['fast'] = x` of a dictionary; False where it is another assignment."""
        owner = self.names.get(target.value.id) if isinstance(target.value, ast.Name) else None
        if not isinstance(owner, Mapped):
            return False
        known, key = constant_of(self, target.slice)
        if not known and isinstance(target.slice, ast.JoinedStr):
            key = formatted(self, target.slice).value
        elif not known:
            raise self.places.fault(target, "keys of a dictionary are texts or numbers", "write them out")
        assert isinstance(target.value, ast.Name)
        self.names[target.value.id] = Mapped({**owner.parts, key: value})
        return True

    def mask(self, target: ast.Subscript, value: Value) -> Value | None:
        """`x[c] = v` and `df.loc[c, 'name'] = v`; None where it is another assignment."""
        if isinstance(target.value, ast.Name):
            named = self.names.get(target.value.id)
            return self.rebound(named, masked(self, target, named, value))
        key = target.slice
        if not isinstance(target.value, ast.Attribute) or target.value.attr != "loc":
            return None
        whose = target.value.value
        if not isinstance(key, ast.Tuple | ast.Slice) and isinstance(whose, ast.Name):
            before = self.names.get(whose.id)
            return self.rebound(before, masked(self, target, before, value))
        frame = self.expr(whose)
        if not isinstance(frame, FrameValue) or not isinstance(key, ast.Tuple) or len(key.elts) != 2:
            return None
        name = self.expr(key.elts[1])
        if isinstance(key.elts[0], ast.Slice) or not (isinstance(name, Plain) and isinstance(name.value, str)):
            return None
        if isinstance(key.elts[0], ast.Attribute) and key.elts[0].attr == "index" and isinstance(value, SeriesValue):
            # `df.loc[g.index, 'x'] = ...` in a loop over assets: all rows, asset by asset.
            if not isinstance(self.expr(key.elts[0].value), FrameValue):
                return None
            frame.columns.pop(name.value, None)
            frame.columns[name.value] = value
            return value
        rows = ast.copy_location(ast.Subscript(target.value, key.elts[0], ast.Store()), target)
        old = SeriesValue(RawName("nan", self.places.at(target)))
        of_data = not frame.made and (name.value in STANDARD_FIELDS or name.value in self.looked_at)
        if name.value in frame.columns or of_data:
            old = self.column(target, name.value, frame)
        found = masked(self, rows, old, value)
        if isinstance(found, SeriesValue):
            frame.columns.pop(name.value, None)
            frame.columns[name.value] = found
        return found

    def rebound(self, old: Value | None, found: Value | None) -> Value | None:
        """Give a column that was changed in its place to every name that it has."""
        if found is not None:
            self.names.update({name: found for name, value in self.names.items() if value is old})
        return found
