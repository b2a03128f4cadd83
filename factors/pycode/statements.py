"""From Python source to an untyped tree of ours: statements, names, and the way to the returned value."""

from __future__ import annotations

import ast
import os
import re
import textwrap
import warnings

from factors.dialects.base import ours
from factors.limits import Limits
from factors.pycode.arguments import refused_method
from factors.pycode.calls import call, subscript
from factors.pycode.methods import CONSTANTS, FOLD, NODE_WORDS, OPERATOR_WORDS
from factors.pycode.values import AllRows, Columns, FrameValue, Listed, Module, Places, Plain, SeriesValue, Value
from factors.syntax import Fault, Raw, RawCall, RawName, RawNumber

_LOOKS_LIKE = re.compile(
    r"\bdef\s+\w+\s*\(|\bdf\s*[\[.]|\bnp\.\w|\bpd\.\w|(?<![$\w])return[ \t(]|\bimport\b|\blambda\b"
    r"|[\w)\]]\.[a-z_]\w*\s*\(|\bif\b.+\belse\b"
)
_WORDS = ("def", "df", "np.", "pd.", "return", "import", "lambda", "else", ".")
_SAID = re.compile(r"#[^\n]*|\"\"\"[\s\S]*?\"\"\"|\'\'\'[\s\S]*?\'\'\'|\"(?:\\.|[^\"\\\n])*\"|\'(?:\\.|[^\'\\\n])*\'")
_FOREIGN = re.compile(r"[^\x00-\x7e]")
_DEEPEST = 64
_MOST_SIGNS = 30
_SIGNS = re.compile(r"(?:[-+~]\s*){31,}|(?:\bnot\s+){31,}|(?:\*\*\s*[-+~]?\s*\w+\s*){31,}")


def looks_like_python(text: str) -> bool:
    """Whether a text is pandas code and not an expression of any dialect."""
    # Plain searches first: most texts have none of these.
    if not any(word in text for word in _WORDS):
        return False
    return _LOOKS_LIKE.search(text) is not None


def read_python(text: str, limits: Limits, notes: list[str]) -> Raw:
    """Return the tree of a factor written as pandas code: a function, statements, or one expression.

    The text is parsed, never compiled to run, and every node that is not on the list is refused with its line.
    """
    if len(text) > limits.max_code_chars:
        why = f"the code has {len(text)} characters, at most {limits.max_code_chars} are read"
        raise Fault("too_long", why, "say it shorter")
    _bounded(text)
    dedented = textwrap.dedent(text)
    source = dedented.strip("\n") + "\n"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # For its error message Python opens the file that the source is said to come from: there is nothing in it.
            module = ast.parse(source, os.devnull)
    except SyntaxError as error:
        line = f"line {error.lineno}: " if error.lineno else ""
        raise Fault("syntax", f"{line}not valid Python: {error.msg}", "check parentheses and indentation") from error
    except (ValueError, MemoryError, RecursionError) as error:
        raise Fault("syntax", "not Python that can be read", "say it flatter, without control characters") from error
    return StatementReader(Places(text, dedented), notes).module(module)


def _bounded(text: str) -> None:
    """Refuse what would drive Python's own parser deep, before it is called."""
    depth = 0
    for place, sign in enumerate(text):
        if sign in "([{":
            depth += 1
            if depth > _DEEPEST:
                raise Fault("too_deep", f"more than {_DEEPEST} levels of nesting", "say it flatter", place)
        elif sign in ")]}":
            depth = max(0, depth - 1)
        elif ord(sign) < 32 and sign not in "\n\t\r":
            raise Fault("bad_character", f"{sign!r} is not read in code", "use plain letters, digits and signs", place)
    # Letters of other alphabets may stand in what is said, but in no name.
    plain = _SAID.sub(lambda said: " " * len(said[0]), text)
    foreign = _FOREIGN.search(plain)
    if foreign:
        shown = foreign[0]
        raise Fault("bad_character", f"{shown!r} is not read in code", "use plain letters in names", foreign.start())
    found = _SIGNS.search(text)
    if found:
        raise Fault("too_deep", f"more than {_MOST_SIGNS} signs in a row", "one is enough", found.start())


class StatementReader:
    """Walks the statements of one factor."""

    def __init__(self, places: Places, notes: list[str]) -> None:
        self.places = places
        self.notes = notes
        self.names: dict[str, Value] = {"np": Module("np"), "numpy": Module("np"), "pd": Module("pd"),
                                        "pandas": Module("pd"), "df": FrameValue(), "data": FrameValue()}  # fmt: skip
        self.columns: dict[str, SeriesValue] = {}
        self.depth = 0

    def module(self, module: ast.Module) -> Raw:
        """Return the tree of a whole text."""
        functions = [node for node in module.body if isinstance(node, ast.FunctionDef)]
        if len(functions) > 1:
            raise self.places.fault(functions[1], "more than one function", "write one function")
        value: Value | None
        if functions:
            for node in module.body:
                if node is not functions[0] and not _calls_it(node, functions[0].name):
                    self.beside(node, functions[0].name)
            value = self.function(functions[0])
        else:
            value = self.body(module.body)
        if value is None:
            raise Fault("python", "the code returns nothing", "end with `return factor` or an expression")
        if isinstance(value, Columns) and len(value.parts) == 1:
            value = value.parts[0]
        if isinstance(value, FrameValue) and self.columns:
            name, value = next(reversed(self.columns.items()))
            self.notes.append(f"the frame is returned: its last column, {name}, is the factor")
        if not isinstance(value, SeriesValue):
            raise Fault("python", "the code does not return one column", "return df['close'].shift(1), say")
        return value.raw

    def beside(self, node: ast.stmt, function: str) -> None:
        """Read a statement beside the function: a constant that it may use; what else is there would be lost."""
        uses = any(isinstance(part, ast.Name) and part.id == function for part in ast.walk(node))
        found = None if uses else self.statement(node)
        if not uses and (found is None or isinstance(found, Plain | Listed | FrameValue | Module)):
            return
        if isinstance(found, SeriesValue) and isinstance(found.raw, RawNumber) and isinstance(node, ast.Assign):
            return
        raise self.places.fault(node, "only the function is read", "do all of it inside the function")

    def function(self, node: ast.FunctionDef) -> Value | None:
        """Return what a function returns; its first argument without a default is the frame."""
        if node.decorator_list:
            raise self.places.fault(node, "decorators are not read", "leave it out")
        arguments = node.args
        if arguments.vararg or arguments.kwarg or arguments.posonlyargs:
            raise self.places.fault(node, "the function takes one frame and constants", "write def factor(df):")
        names = [arg.arg for arg in (*arguments.args, *arguments.kwonlyargs)]
        given = [*arguments.defaults, *(value for value in arguments.kw_defaults if value is not None)]
        for place, name in enumerate(names):
            behind = len(names) - place
            self.names[name] = self.expr(given[-behind]) if behind <= len(given) else FrameValue()
        return self.body(node.body)

    def body(self, statements: list[ast.stmt]) -> Value | None:
        """Read statements; return what is returned, or the last expression."""
        last: Value | None = None
        for node in statements:
            if isinstance(node, ast.Return):
                if node.value is None:
                    raise self.places.fault(node, "nothing is returned", "return the factor")
                return self.expr(node.value)
            found = self.statement(node)
            last = found if found is not None else last
        return last

    def statement(self, node: ast.stmt) -> Value | None:
        """Read one statement; return what a bare expression or an assignment stands for."""
        if isinstance(node, ast.Expr):
            # A docstring says nothing here.
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                return None
            return self.expr(node.value)
        if isinstance(node, ast.Assign):
            if len(node.targets) != 1:
                raise self.places.fault(node, "chained assignments are not read", "assign one name a line")
            return self.assign(node.targets[0], self.expr(node.value))
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            return self.assign(node.target, self.expr(node.value))
        if isinstance(node, ast.AugAssign):
            changed = ast.copy_location(ast.BinOp(_loaded(node.target), node.op, node.value), node)
            return self.assign(node.target, self.expr(changed))
        if isinstance(node, ast.Pass) or (isinstance(node, ast.Import) and self.imported(node)):
            return None
        raise self.refused(node)

    def imported(self, node: ast.Import) -> bool:
        """Bind numpy and pandas under the names that they are imported by; others are refused."""
        modules = {"numpy": "np", "pandas": "pd"}
        for alias in node.names:
            if alias.name not in modules:
                return False
            self.names[alias.asname or alias.name] = Module(modules[alias.name])
        return True

    def assign(self, target: ast.expr, value: Value) -> Value:
        """Bind a name or a new column of the frame."""
        if isinstance(target, ast.Name):
            self.names[target.id] = value
            return value
        if isinstance(target, ast.Subscript) and isinstance(self.expr(target.value), FrameValue):
            name = self.expr(target.slice)
            if isinstance(name, Plain) and isinstance(name.value, str) and isinstance(value, SeriesValue):
                # The newest comes last.
                self.columns.pop(name.value, None)
                self.columns[name.value] = value
                return value
        raise self.places.fault(target, "this cannot be assigned to", "assign to a name or to df['name']")

    def expr(self, node: ast.expr) -> Value:
        """Return what an expression stands for."""
        self.depth += 1
        try:
            if self.depth > 2 * _DEEPEST:
                raise self.places.fault(node, "nested too deeply", "say it flatter", "too_deep")
            return self._expr(node)
        finally:
            self.depth -= 1

    def _expr(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value):
                return self.constant(node, value)
            case ast.Name(name):
                return self.name(node, name)
            case ast.Attribute():
                return self.attribute(node)
            case ast.Subscript():
                return subscript(self, node)
            case ast.BinOp():
                return self.binary(node)
            case ast.UnaryOp():
                return self.unary(node)
            case ast.Compare():
                if len(node.ops) != 1:
                    raise self.places.fault(node, "comparisons do not chain", "write (a < b) & (b < c)")
                return self.operation(node, type(node.ops[0]).__name__, node.left, node.comparators[0])
            case ast.BoolOp():
                word = "and_" if isinstance(node.op, ast.And) else "or_"
                parts = [self.series(value).raw for value in node.values]
                found = parts[0]
                for other in parts[1:]:
                    found = self.ours(word, node, found, other)
                return SeriesValue(found)
            case ast.IfExp():
                parts = [self.series(node.test).raw, self.branch(node.body), self.branch(node.orelse)]
                return SeriesValue(self.ours("if_else", node, *parts))
            case ast.Call():
                return call(self, node)
            case ast.List() | ast.Tuple():
                return Listed(tuple(self.expr(part) for part in node.elts))
        raise self.refused(node)

    def constant(self, node: ast.expr, value: object) -> Value:
        """Return a literal."""
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            try:
                number = float(value)
            except OverflowError:
                number = float("inf")
            if not abs(number) < float("inf"):
                raise self.places.fault(node, "a number that is too large", "use a smaller one", "bad_number")
            return SeriesValue(RawNumber(number, "", self.places.at(node)))
        return Plain(value)

    def name(self, node: ast.expr, name: str) -> Value:
        """Return what a name stands for; an unknown one may be a column."""
        if name in self.names:
            return self.names[name]
        if name.startswith("_"):
            raise self.places.fault(node, f"{name[:40]} is not read", "use the columns of df")
        # A bare name may be a column: close.rolling(5).mean().
        return SeriesValue(RawName(name, self.places.at(node)))

    def attribute(self, node: ast.Attribute) -> Value:
        """Return df.close, np.pi and the like."""
        if node.attr.startswith("_"):
            raise self.places.fault(node, f"{node.attr[:40]} is not read", "use the columns of df")
        owner = self.expr(node.value)
        if isinstance(owner, Module):
            if node.attr in CONSTANTS:
                return SeriesValue(RawNumber(CONSTANTS[node.attr], "", self.places.at(node)))
            if node.attr in ("nan", "inf", "NaN", "NAN"):
                return Plain(node.attr.lower())
            raise self.places.fault(node, f"{owner.name}.{node.attr[:40]} is not read", "see `alphaglow operators`")
        if isinstance(owner, FrameValue):
            if node.attr == "index":
                return Plain("index")
            if node.attr == "loc":
                return AllRows()
            return self.column(node, node.attr)
        if isinstance(owner, SeriesValue) and node.attr == "values":
            return owner
        raise refused_method(self, node, node.attr)

    def column(self, node: ast.expr, name: str) -> SeriesValue:
        """Return a column of the frame: one that the code made, or a field."""
        if name in self.columns:
            return self.columns[name]
        name = name.removeprefix("$")
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name) is None:
            raise self.places.fault(node, f"{name[:40]!r} is no column name", "name a field, such as close")
        return SeriesValue(RawName(name, self.places.at(node)))

    def binary(self, node: ast.BinOp) -> Value:
        """Return x + y and the like."""
        return self.operation(node, type(node.op).__name__, node.left, node.right)

    def operation(self, node: ast.expr, kind: str, left: ast.expr, right: ast.expr) -> Value:
        """Return an arithmetic operation or comparison."""
        word = OPERATOR_WORDS.get(kind)
        if word is None:
            hints = {"FloorDiv": "use np.floor(x / y)", "Mod": "a remainder is not in the language"}
            raise self.places.fault(node, f"the operator {kind} is not read", hints.get(kind, "use + - * / **"))
        x, y = self.series(left).raw, self.series(right).raw
        divides = word == "div" and isinstance(y, RawNumber) and y.value == 0
        if word in FOLD and not divides and isinstance(x, RawNumber) and isinstance(y, RawNumber):
            # Constants stay numbers, so that they may be windows.
            return SeriesValue(RawNumber(FOLD[word](x.value, y.value), "", self.places.at(node)))
        return SeriesValue(self.ours(word, node, x, y))

    def unary(self, node: ast.UnaryOp) -> Value:
        """Return -x, +x or ~x."""
        inner = self.series(node.operand).raw
        if isinstance(node.op, ast.UAdd):
            return SeriesValue(inner)
        if isinstance(node.op, ast.USub):
            if isinstance(inner, RawNumber):
                return SeriesValue(RawNumber(-inner.value, "", self.places.at(node)))
            return SeriesValue(self.ours("neg", node, inner))
        return SeriesValue(self.ours("not_", node, inner))

    def branch(self, node: ast.expr) -> Raw:
        """Return one of two values to choose from; it may be missing."""
        value = self.expr(node)
        if isinstance(value, Plain) and (value.value == "nan" or value.value is None):
            return RawName("nan", self.places.at(node))
        return self.series(node).raw

    def series(self, node: ast.expr) -> SeriesValue:
        """Return an expression that must be a column or a number."""
        value = self.expr(node)
        if isinstance(value, SeriesValue):
            return value
        if isinstance(value, Columns) and len(value.parts) == 1:
            return value.parts[0]
        if isinstance(value, Plain) and isinstance(value.value, bool):
            raise self.places.fault(node, "True and False are not values here", "use 1 and 0")
        if isinstance(value, Plain) and value.value in ("nan", None):
            raise self.places.fault(node, "a missing value cannot be written", "what is missing stays so by itself")
        raise self.places.fault(node, "this is not a column or a number", "use a column, such as df['close']")

    def ours(self, name: str, node: ast.AST, *args: Raw) -> RawCall:
        """Return a call of our own operator, at the place of `node`."""
        return ours(name, RawName("", self.places.at(node)), *args)

    def refused(self, node: ast.AST) -> Fault:
        """Return the refusal of a kind of syntax."""
        kind = type(node).__name__
        why, hint = NODE_WORDS.get(kind, (f"{kind} is not read", "use assignments, arithmetic and methods of columns"))
        return self.places.fault(node, why, hint)


def _calls_it(node: ast.stmt, name: str) -> bool:
    """Whether a statement only calls the function with names: `result = factor(df)`."""
    value = node.value if isinstance(node, ast.Expr | ast.Assign | ast.AnnAssign) else None
    if not isinstance(value, ast.Call) or not isinstance(value.func, ast.Name) or value.func.id != name:
        return False
    targets = node.targets if isinstance(node, ast.Assign) else []
    plain = all(isinstance(target, ast.Name | ast.Subscript) for target in targets)
    return plain and not value.keywords and all(isinstance(arg, ast.Name) for arg in value.args)


def _loaded(target: ast.expr) -> ast.expr:
    if isinstance(target, ast.Name):
        return ast.copy_location(ast.Name(target.id, ast.Load()), target)
    return target
