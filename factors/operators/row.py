"""What a row of the operator table says."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, Unpack

Kind = Literal["panel", "bool", "group", "number", "window"]
Result = Literal["panel", "bool", "group"]
Reach = Callable[[Sequence[float]], int]
Check = Callable[[Sequence[float]], str | None]
Parity = Literal["odd", "even", ""]
# How the dimension of the result follows from those of the arguments; see `factors.dimensions`.
DimensionRule = Literal[
    "ratio", "same", "like", "compare", "product", "quotient", "inverse", "power", "root", "square", "pure",
    "branch", "second", "moment", "repeat", "prices", "price ratio", "bounds",
]  # fmt: skip

# Below this weight, what lies further back in a recursive average is counted as forgotten.
FORGOTTEN = 1e-3
# The reach of what remembers the panel's first bar.
UNBOUNDED = 10**9


@dataclass(frozen=True, slots=True)
class Param:
    """One argument: its name and what it must be. A bool may stand where a panel is asked (0 and 1)."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Cost:
    """Work per cell (bar and asset) in nanoseconds of one core: `base`, and `bar` for each bar of the longest window.

    `curve` is the whole of it by the call's numbers, for what is computed in another way where its window is long.
    """

    base: float = 2.0
    bar: float = 0.0
    curve: Callable[[Sequence[float]], float] | None = None


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator.

    Attributes
    ----------
    reading
        Sentence part with the parameters' names in braces.
    reach
        From the numeric arguments to the bars before the current one that it looks at.
    infix
        Its symbol, where it has one.
    dimension
        Rule for the dimension of the result.
    parity
        Whether f(-x) is -f(x) (odd) or f(x) (even) in its first argument.
    scale_free
        Arguments (by place) whose positive factors change nothing.
    least
        Shortest window for which the statistic exists.
    check
        From the numeric arguments to what is wrong with them, or None.
    formula
        For a macro: what it stands for, in the other operators. It is put in place of the call when text is read.
    cost
        Work per cell.
    differs
        Where well-known libraries mean something else by the name, in a sentence; "" where they do not.
    """

    name: str
    params: tuple[Param, ...]
    result: Result
    family: str
    summary: str
    reading: str
    reach: Reach
    commutative: bool = False
    infix: str | None = None
    dimension: DimensionRule = "same"
    parity: Parity = ""
    scale_free: tuple[int, ...] = ()
    least: int = 1
    check: Check | None = None
    formula: str = ""
    cost: Cost = Cost()
    differs: str = ""

    @property
    def signature(self) -> str:
        """``name(param, ...)``."""
        return f"{self.name}({', '.join(param.name for param in self.params)})"


def own_bar(_: Sequence[float]) -> int:
    """Reach of what looks at its own bar only."""
    return 0


def window_reach(numbers: Sequence[float]) -> int:
    """Reach of a window of d bars, the current one included."""
    return int(numbers[0]) - 1


def full(numbers: Sequence[float]) -> int:
    """Reach of what compares with d bars ago."""
    return int(numbers[0])


def with_lag(numbers: Sequence[float]) -> int:
    """Reach of a window of d bars that ends a lag earlier."""
    return int(numbers[0]) - 1 + int(numbers[1])


def ever(_: Sequence[float]) -> int:
    """Reach of what remembers the panel's first bar."""
    return UNBOUNDED


def bars_to_forget(alpha: float) -> int:
    """Return the bars after which a recursive average of weight `alpha` keeps less than 0.1 % of the past."""
    return 0 if alpha >= 1 else math.ceil(math.log(FORGOTTEN) / math.log1p(-alpha))


_KINDS: Mapping[str, Kind] = {
    "x": "panel", "y": "panel", "open": "panel", "high": "panel", "low": "panel", "close": "panel", "volume": "panel",
    "c": "bool", "p": "bool", "q": "bool", "g": "group", "h": "group",
    "a": "number", "lo": "number", "hi": "number", "k": "number", "level": "number", "m": "number", "share": "number",
    "d": "window", "n": "window", "lag": "window", "fast": "window", "slow": "window", "signal": "window",
}  # fmt: skip


class Traits(TypedDict, total=False):
    """What a row says beside its texts where it differs from the usual; see `Operator` for each."""

    commutative: bool
    infix: str | None
    dimension: DimensionRule
    parity: Parity
    scale_free: tuple[int, ...]
    least: int
    check: Check | None
    formula: str
    cost: Cost
    differs: str


def row(
    family: str,
    signature: str,
    summary: str,
    reading: str,
    reach: Reach = own_bar,
    *,
    result: Result = "panel",
    **traits: Unpack[Traits],
) -> Operator:
    """Return an operator from its signature, whose parameter names also say their kinds."""
    name, _, rest = signature.partition("(")
    params = tuple(Param(part, _KINDS[part]) for part in rest.rstrip(")").split(", "))
    return Operator(name, params, result, family, summary, reading, reach, **traits)
