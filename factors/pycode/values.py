"""What a name may stand for while Python code is read."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from factors.syntax import Fault, Raw, RawCall


@dataclass(frozen=True, slots=True)
class SeriesValue:
    """A column: an expression of ours."""

    raw: Raw


@dataclass(frozen=True, slots=True)
class FrameValue:
    """The frame that the code was given, or a copy of it; with the columns that the code has put into it.

    One that the code has `made` has these columns alone, and none of the data.
    """

    columns: dict[str, SeriesValue] = field(default_factory=dict, compare=False)
    made: bool = field(default=False, compare=False)

    def copy(self) -> FrameValue:
        """Return a frame that later columns are put into without changing this one."""
        return FrameValue(dict(self.columns), self.made)


@dataclass(frozen=True, slots=True)
class AllRows:
    """`df.loc`, waiting for its column."""

    frame: FrameValue


@dataclass(frozen=True, slots=True)
class Columns:
    """Several columns side by side, as `pd.concat([a, b], axis=1)` or `df[['a', 'b']]` make them."""

    parts: tuple[SeriesValue, ...]


@dataclass(frozen=True, slots=True)
class Turned:
    """A table of dates by assets that `.T` has turned: its columns are dates, and what runs down them are assets."""

    raw: Raw


@dataclass(frozen=True, slots=True)
class Picked:
    """`x[x > 0]` of a window: those of its values where a condition holds."""

    raw: Raw
    condition: Raw


@dataclass(frozen=True, slots=True)
class Module:
    """`np` or `pd`."""

    name: str


@dataclass(frozen=True, slots=True)
class WindowValue:
    """`x.rolling(n)`, `x.ewm(...)` or `x.expanding()`, waiting for its statistic.

    `least` is how many values a window needs where the code has put gaps into the column.
    """

    kind: str
    series: SeriesValue
    bars: Raw | None = None
    alpha: float | None = None
    least: float | None = None


@dataclass(frozen=True, slots=True)
class Grouped:
    """`df.groupby(key)` or a column of it: by asset or by time."""

    by: str
    series: SeriesValue | None = None
    frame: FrameValue | None = None


@dataclass(frozen=True, slots=True)
class Whole:
    """What a statistic of a whole column is taken of while a lambda is read.

    Attributes
    ----------
    bars
        The window, None where it is all assets of a bar.
    has_index
        Whether the values are a Series, whose deviations have ddof 1; those of an array have 0.
    single
        Trees, known by identity, that are one number of the window (a statistic, its newest value), and parts of the
        window with how many bars they have.
    """

    bars: Raw | None = None
    has_index: bool = True
    single: list[tuple[Raw, float | None]] = field(default_factory=list, compare=False)


@dataclass(frozen=True, slots=True)
class Function:
    """A function or lambda of the text, to be read where it is called."""

    node: ast.FunctionDef | ast.Lambda


@dataclass(frozen=True, slots=True)
class Plain:
    """A constant that is no number: text, None, True."""

    value: object


@dataclass(frozen=True, slots=True)
class Listed:
    """A list or tuple; `by_asset` where a loop over assets has filled it, with one part for all of them."""

    parts: tuple[Value, ...]
    by_asset: bool = False


@dataclass(frozen=True, slots=True)
class Mapped:
    """A dictionary whose keys are texts or numbers."""

    parts: Mapping[object, Value]


@dataclass(frozen=True, slots=True)
class Itself:
    """`self`: the object whose methods are read."""


Value = (
    SeriesValue | FrameValue | AllRows | Columns | Module | WindowValue | Grouped | Function | Plain | Listed | Mapped
    | Itself | Turned | Picked
)  # fmt: skip


def dotted(node: ast.AST) -> str:
    """Return a name with dots, such as np.maximum.reduce; "" of all else."""
    words: list[str] = []
    while isinstance(node, ast.Attribute) and len(words) < 4:
        words.append(node.attr)
        node = node.value
    return ".".join(reversed([*words, node.id])) if isinstance(node, ast.Name) else ""


def code_of(node: ast.AST) -> str:
    """Return the code of a node in Python's own spelling; "" where it is nested too deeply."""
    try:
        return ast.unparse(node)
    except RecursionError:
        return ""


class Places:
    """Offsets of syntax nodes in the text, and refusals that point there."""

    def __init__(self, text: str, dedented: str) -> None:
        self._starts = [0]
        for line in text.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        # What was taken away before parsing: a common margin, and empty lines at the top.
        self._skipped = len(dedented) - len(dedented.lstrip("\n"))
        first = text.splitlines()[self._skipped] if self._skipped < len(text.splitlines()) else ""
        self._margin = max(0, len(first) - len(dedented.strip("\n").partition("\n")[0]))

    def at(self, node: ast.AST) -> int:
        """Return where `node` begins."""
        line = min(int(getattr(node, "lineno", 1)) + self._skipped, len(self._starts)) - 1
        return self._starts[line] + self._margin + int(getattr(node, "col_offset", 0))

    def fault(self, node: ast.AST, message: str, hint: str, code: str = "python") -> Fault:
        """Return the refusal of `node`, naming its line."""
        return Fault(code, f"line {getattr(node, 'lineno', 1)}: {message}", hint, self.at(node))


class Reader(Protocol):
    """What the readers of calls need of the reader of statements: names in use, notes, and the way back to it."""

    places: Places
    notes: list[str]
    names: dict[str, Value]
    attributes: dict[str, Value]
    whole: Whole | None
    by_asset: bool
    wide: bool
    levels: Mapping[float, str]

    def assigned(self, node: ast.Call, frame: FrameValue) -> Value:
        """Return the frame with the columns of `df.assign(name=...)`."""

    def called(self, node: ast.Call, function: Function) -> Value:
        """Return what a function of the text returns for the arguments of a call."""

    def expr(self, node: ast.expr) -> Value:
        """Return what an expression stands for."""

    def branch(self, node: ast.expr) -> Raw:
        """Return one of two values to choose from; it may be missing."""

    def series(self, node: ast.expr) -> SeriesValue:
        """Return an expression that must be a column or a number."""

    def body(self, statements: list[ast.stmt]) -> Value | None:
        """Read statements; return what is returned, or the last expression."""

    def assign(self, target: ast.expr, value: Value) -> Value:
        """Bind a name or a new column of the frame."""

    def column(self, node: ast.expr, name: str, frame: FrameValue | None = None) -> SeriesValue:
        """Return a column of a frame: one that the code made, or a field."""

    def ours(self, name: str, node: ast.AST, *args: Raw) -> RawCall:
        """Return a call of an operator of the language, at the place of `node`."""
