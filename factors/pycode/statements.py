"""From Python source to an untyped tree of ours: statements, names, and the way to the returned value."""

from __future__ import annotations

import ast
import os
import re
import textwrap
import warnings

from factors.limits import Limits
from factors.pycode.assignments import AssigningReader
from factors.pycode.choices import is_guard
from factors.pycode.constants import items_of, truth_of
from factors.pycode.expressions import DEEPEST
from factors.pycode.functions import bind, called_names, factor_among, first_value, unwrapped
from factors.pycode.groups import levels_of
from factors.pycode.libraries import LIBRARIES, library_of
from factors.pycode.statement_shapes import called, calls_it, does_nothing, loaded, plain_decorators, without_dropna
from factors.pycode.values import (
    Columns,
    FrameValue,
    Function,
    Grouped,
    Listed,
    Mapped,
    Module,
    Places,
    Plain,
    SeriesValue,
    Value,
)
from factors.syntax import Fault, Raw, RawNumber

_LOOKS_LIKE = re.compile(
    r"\bdef\s+\w+\s*\(|\bdf\s*[\[.]|\bnp\.\w|\bpd\.\w|(?<![$\w])return[ \t(]|\bimport\b"
    r"|^\s*for\s+\w+\s+in\b|^\s*while\b|\blambda\b"
    r"|[\w)\]]\.[a-z_]\w*\s*\(|\bif\b.+\belse\b",
    re.MULTILINE,
)
_WORDS = ("def", "df", "np.", "pd.", "return", "import", "lambda", "else", "for ", "while", ".")
_SAID = re.compile(r"#[^\n]*|\"\"\"[\s\S]*?\"\"\"|\'\'\'[\s\S]*?\'\'\'|\"(?:\\.|[^\"\\\n])*\"|\'(?:\\.|[^\'\\\n])*\'")
_FOREIGN = re.compile(r"[^\x00-\x7e]")
_MOST_SIGNS = 30
_MOST_STEPS = 300
# Imports that change no value here.
_SILENT = frozenset({"typing", "__future__", "collections.abc", "dataclasses", "abc", "warnings", "logging", "sys"})
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
    reader = StatementReader(Places(text, dedented), notes)
    # Most texts name no level, and need no walk more.
    reader.levels = levels_of(module) if "level" in source else {}
    return reader.module(module)


def _bounded(text: str) -> None:
    """Refuse what would drive Python's own parser deep, before it is called."""
    depth = 0
    for place, sign in enumerate(text):
        if sign in "([{":
            depth += 1
            if depth > DEEPEST:
                raise Fault("too_deep", f"more than {DEEPEST} levels of nesting", "say it flatter", place)
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


class StatementReader(AssigningReader):
    """Walks the statements of one factor."""

    def __init__(self, places: Places, notes: list[str]) -> None:
        super().__init__(places, notes)
        self.steps = 0

    def module(self, module: ast.Module) -> Raw:
        """Return the tree of a whole text."""
        body = self.objects(module.body)
        functions = [node for node in body if isinstance(node, ast.FunctionDef)]
        value: Value | None
        if functions:
            factor = factor_among(functions)
            free = [node for node in functions if node.name not in called_names(functions)]
            if len(free) > 1:
                self.notes.append(f"of {len(free)} functions that no other calls, the last is read: {factor.name}")
            self.names.update({node.name: Function(node) for node in functions if node is not factor})
            self.attributes.update({node.name: Function(node) for node in functions if node is not factor})
            for node in body:
                if not isinstance(node, ast.FunctionDef) and not calls_it(node, factor.name):
                    self.beside(node, factor.name)
            value = self.function(factor)
        else:
            value = self.body(body)
        if isinstance(value, Function) and isinstance(value.node, ast.Lambda):
            value = self.function(value.node)
        if value is None:
            raise Fault("python", "the code returns nothing", "end with `return factor` or an expression")
        if isinstance(value, Columns) and len(value.parts) == 1:
            value = value.parts[0]
        if isinstance(value, FrameValue) and value.columns:
            name, value = next(reversed(value.columns.items()))
            self.notes.append(f"the frame is returned: its last column, {name}, is the factor")
        if not isinstance(value, SeriesValue):
            raise Fault("python", "the code does not return one column", "return df['close'].shift(1), say")
        return value.raw

    def beside(self, node: ast.stmt, function: str) -> None:
        """Read a statement beside the function: a constant that it may use; what else is there would be lost."""
        uses = any(isinstance(part, ast.Name) and part.id == function for part in ast.walk(node))
        found = None if uses else self.statement(node)
        if not uses and (found is None or isinstance(found, Plain | Listed | Mapped | FrameValue | Module)):
            return
        if isinstance(found, SeriesValue) and isinstance(found.raw, RawNumber) and isinstance(node, ast.Assign):
            return
        raise self.places.fault(node, "only the function is read", "do all of it inside the function")

    def called(self, node: ast.Call, function: Function) -> Value:
        """Return what a function of the text returns for the arguments of a call."""
        self.calls.one(self, node)
        inner = function.node
        if self.whole is not None and isinstance(inner, ast.FunctionDef):
            raise self.places.fault(node, "functions are not followed inside a lambda of a whole", "write it out")
        if isinstance(inner, ast.FunctionDef) and not plain_decorators(inner):
            raise self.places.fault(inner, "decorators are not read", "leave it out")
        given, outside = bind(self, node, function), dict(self.names)
        self.names.update(given)
        try:
            value = self.expr(inner.body) if isinstance(inner, ast.Lambda) else self.body(inner.body)
        finally:
            self.names = outside
        if value is None:
            raise self.places.fault(node, "this function returns nothing", "return a column")
        return value

    def assigned(self, node: ast.Call, frame: FrameValue) -> Value:
        """Return the frame with the columns of `df.assign(name=...)`."""
        frame = frame.copy()
        for keyword in node.keywords:
            if keyword.arg is None:
                raise self.places.fault(node, "stars are not read", "write the columns out")
            value = self.expr(keyword.value)
            if isinstance(value, Function) and isinstance(value.node, ast.Lambda):
                before = dict(self.names)
                value = self.function(value.node, frame) or value
                self.names = before
            if not isinstance(value, SeriesValue):
                raise self.places.fault(node, "assign takes columns", "write df.assign(r=df['close'].diff())")
            frame.columns.pop(keyword.arg, None)
            frame.columns[keyword.arg] = value
        return frame

    def function(self, node: ast.FunctionDef | ast.Lambda, frame: FrameValue | None = None) -> Value | None:
        """Return what a function returns; its first argument without a default is the frame."""
        if isinstance(node, ast.FunctionDef) and not plain_decorators(node):
            raise self.places.fault(node, "decorators are not read", "leave it out")
        arguments = node.args
        if arguments.vararg or arguments.posonlyargs:
            raise self.places.fault(node, "the function takes one frame and constants", "write def factor(df):")
        if arguments.kwarg is not None:
            # Nobody gives any: `kwargs.get('window', 10)` is 10.
            self.names[arguments.kwarg.arg] = Mapped({})
        self.parameters(node, frame)
        return self.expr(node.body) if isinstance(node, ast.Lambda) else self.body(node.body)

    def parameters(self, node: ast.FunctionDef | ast.Lambda, frame: FrameValue | None = None) -> None:
        """Bind the arguments of a function that the text does not call: defaults, columns by name, and one frame."""
        arguments = node.args
        names = [arg.arg for arg in (*arguments.args, *arguments.kwonlyargs) if arg.arg not in ("self", "cls")]
        given = [*arguments.defaults, *(value for value in arguments.kw_defaults if value is not None)]
        free = names[: len(names) - len(given)]
        for place, name in enumerate(names):
            behind = len(names) - place
            if behind <= len(given):
                self.names[name] = self.expr(given[-behind])
                continue
            value = first_value(self, name, node, several=len(free) > 1)
            if isinstance(value, FrameValue):
                if frame is not None and not isinstance(node, ast.Lambda):
                    why = f"{name[:40]} would be a second table of data"
                    raise self.places.fault(node, why, "take one frame, and columns by their names")
                frame = value = frame or value
            self.names[name] = value

    def body(self, statements: list[ast.stmt]) -> Value | None:
        """Read statements; return what is returned, or the last expression."""
        last: Value | None = None
        for node in statements:
            if isinstance(node, ast.Return):
                if node.value is None:
                    raise self.places.fault(node, "nothing is returned", "return the factor")
                return self.expr(without_dropna(node.value))
            inside = self.followed(node)
            if inside is not None:
                found = self.body(inside)
                if self.returns(inside):
                    return found
            else:
                found = self.statement(node)
            last = found if found is not None else last
        return last

    def statement(self, node: ast.stmt) -> Value | None:
        """Read one statement; return what a bare expression or an assignment stands for."""
        if isinstance(node, ast.Expr):
            # A docstring says nothing here.
            if isinstance(node.value, ast.Constant):
                return None
            return self.in_place(node.value)
        if isinstance(node, ast.Assign):
            value = self.expr(node.value)
            return [self.assign(target, value) for target in node.targets][-1]
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            return self.assign(node.target, self.expr(node.value))
        if isinstance(node, ast.AugAssign):
            changed = ast.copy_location(ast.BinOp(loaded(node.target), node.op, node.value), node)
            return self.assign(node.target, self.expr(changed))
        if isinstance(node, ast.Pass) or (isinstance(node, ast.Import) and self.imported(node)):
            return None
        if isinstance(node, ast.For) and not node.orelse:
            if (groups := self.assets_of(node)) is not None:
                return self.each_asset(node, groups)
            last: Value | None = None
            for item in items_of(self, node.iter):
                self.assign(node.target, item)
                for part in node.body:
                    last = self.nested(part) or last
            return last
        if isinstance(node, ast.If) and (holds := truth_of(self, node.test)) is not None:
            taken = [self.nested(part) for part in (node.body if holds else node.orelse)]
            return next((value for value in reversed(taken) if value is not None), None)
        if isinstance(node, ast.Assert):
            self.notes.append(f"line {node.lineno}: a check of the data is not followed; data are checked at import")
            return None
        if isinstance(node, ast.If) and is_guard(node):
            self.notes.append(f"line {node.lineno}: a check of the data is not followed; data are checked at import")
            return None
        if isinstance(node, ast.ImportFrom) and node.module in _SILENT:
            return None
        if isinstance(node, ast.ImportFrom) and node.module in ("scipy", "scipy.stats"):
            # What is read of them is read by name, inside windows.
            return None
        if isinstance(node, ast.FunctionDef):
            self.names[node.name] = Function(node)
            return None
        raise self.refused(node)

    def assets_of(self, node: ast.For) -> Grouped | None:
        """Return the groups that `for name, g in df.groupby('symbol'):` runs over, None for another loop."""
        pair = node.target.elts if isinstance(node.target, ast.Tuple) else []
        call = node.iter
        if len(pair) != 2 or not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            return None
        if call.func.attr != "groupby" or not all(isinstance(one, ast.Name) for one in pair):
            return None
        groups = self.expr(call)
        return groups if isinstance(groups, Grouped) and groups.by == "asset" and groups.frame is not None else None

    def each_asset(self, node: ast.For, groups: Grouped) -> Value | None:
        """Read a loop over assets once, for one of them: what it appends is joined by `pd.concat`."""
        assert isinstance(node.target, ast.Tuple) and groups.frame is not None
        name, frame = node.target.elts
        outside, self.by_asset = self.by_asset, True
        before = dict(self.names)
        self.assign(name, Plain("index"))
        self.assign(frame, groups.frame.copy())
        last: Value | None = None
        try:
            for part in node.body:
                last = self.nested(part) or last
        finally:
            self.by_asset = outside
            # Columns of the last asset are none of all: only lists and frames stay.
            lists = [word for word, value in before.items() if isinstance(value, Listed)]
            kept = {word: self.names[word] for word in lists if isinstance(self.names[word], Listed)}
            self.names = {**before, **kept}
        return last

    def nested(self, node: ast.stmt) -> Value | None:
        """Read a statement of a loop, or of a branch that is taken."""
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise self.places.fault(node, "too many steps of loops", "write less of them", "too_large")
        if isinstance(node, ast.Return | ast.Try | ast.With):
            raise self.refused(node)
        return self.statement(node)

    def returns(self, statements: list[ast.stmt]) -> bool:
        """Whether what is read of some statements ends with a value that is returned."""
        for node in statements:
            if isinstance(node, ast.Return) or (isinstance(node, ast.With | ast.Try) and self.returns(node.body)):
                return True
            if isinstance(node, ast.If) and not is_guard(node):
                holds = truth_of(self, node.test)
                if holds is None:
                    found = self.returns(node.body) or self.returns(node.orelse)
                else:
                    found = self.returns(node.body if holds else node.orelse)
                if found:
                    return True
        return False

    def followed(self, node: ast.stmt) -> list[ast.stmt] | None:
        """Return the statements that stand for one that only holds others; None of all else."""
        if isinstance(node, ast.Try) and self.tries(node):
            return node.body
        if isinstance(node, ast.If):
            holds = truth_of(self, node.test)
            branch = node.body if holds else node.orelse
            return branch if holds is not None and self.returns(branch) else None
        quiet = ("np.errstate", "warnings.catch_warnings", "pd.option_context")
        if isinstance(node, ast.With) and all(called(item.context_expr) in quiet for item in node.items):
            return node.body
        return None

    def objects(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Return statements with the methods of classes in their place; what their objects hold is remembered."""
        for node in body:
            if isinstance(node, ast.Import | ast.ImportFrom) and any(isinstance(part, ast.ClassDef) for part in body):
                self.statement(node)
            for part in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(part, ast.Assign | ast.AnnAssign):
                    self.constant_of_class(part)
                elif isinstance(part, ast.FunctionDef) and part.name == "__init__":
                    self.parameters(part)
                    self.body(part.body)
        return unwrapped(body)

    def constant_of_class(self, node: ast.Assign | ast.AnnAssign) -> None:
        """`LOOKBACK = 10` in a class: an attribute of its objects."""
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if isinstance(target, ast.Name) and node.value is not None:
            self.attributes[target.id] = self.names[target.id] = self.expr(node.value)

    def tries(self, node: ast.Try) -> bool:
        """Whether a try only guards its body: its handlers compute nothing."""
        kept = all(does_nothing(part) for one in node.handlers for part in one.body)
        if kept and not node.orelse and not node.finalbody:
            self.notes.append(f"line {node.lineno}: what is done on an error is not followed")
            return True
        return False

    def imported(self, node: ast.Import) -> bool:
        """Bind numpy and pandas under the names that they are imported by; others are refused."""
        modules = {"numpy": "np", "pandas": "pd", "math": "np"}
        for alias in node.names:
            if alias.name in _SILENT:
                continue
            if alias.name in LIBRARIES:
                self.names[alias.asname or alias.name] = library_of(alias.name)
                continue
            if alias.name not in modules:
                return False
            self.names[alias.asname or alias.name] = Module(modules[alias.name])
        return True
