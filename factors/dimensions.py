"""What a value is measured in: price, volume, money (price times volume), or nothing (returns, ratios, ranks).

Adding a price to a volume is arithmetic without meaning. The language computes it, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from factors.operators.row import DimensionRule
from factors.printing import number_text, to_text
from factors.table import OPERATORS
from factors.tree import Call, Field, Node, Number

# Added to a divisor so that it is not 0; as a guard it may stand beside any dimension.
_GUARD = 1e-3
_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Dimension:
    """Exponents of price and volume. `known` is false for extra columns whose unit nobody stated."""

    price: float = 0.0
    volume: float = 0.0
    known: bool = True

    def times(self, other: Dimension, sign: int = 1) -> Dimension:
        """Return the dimension of a product, or with sign -1 of a quotient."""
        if not (self.known and other.known):
            return UNKNOWN
        if other.is_ratio:
            return self
        return Dimension(self.price + sign * other.price, self.volume + sign * other.volume)

    def power(self, exponent: float) -> Dimension:
        """Return the dimension of a power."""
        if not self.known or self.is_ratio:
            return self
        return Dimension(self.price * exponent, self.volume * exponent)

    @property
    def is_ratio(self) -> bool:
        """Whether it is certainly a pure number."""
        return self.known and not self.price and not self.volume

    def agrees(self, other: Dimension) -> bool:
        """Whether the two may be added or compared, as far as is known."""
        return (
            self is other
            or not (self.known and other.known)
            or (self.price, self.volume) == (other.price, other.volume)
        )

    def __str__(self) -> str:
        """Return price, volume, money, ratio, or powers of them."""
        if not self.known:
            return "unknown"
        if self.is_ratio:
            return "ratio"
        if self.price == self.volume:
            return _powered("money", self.price)
        parts = [_powered(name, e) for name, e in (("price", self.price), ("volume", self.volume)) if e]
        return " * ".join(parts)


def _powered(name: str, exponent: float) -> str:
    return name if exponent == 1 else f"{name}^{Fraction(exponent).limit_denominator(100)}"


RATIO = Dimension()
UNKNOWN = Dimension(known=False)
PRICE = Dimension(price=1.0)
VOLUME = Dimension(volume=1.0)
MONEY = Dimension(1.0, 1.0)
FIELD_DIMENSIONS: Mapping[str, Dimension] = {
    **dict.fromkeys(("open", "high", "low", "close", "vwap", "market_open", "market_close"), PRICE),
    **dict.fromkeys(("returns", "intraday_returns", "funding", "funding_rate", "sentiment"), RATIO),
    "volume": VOLUME,
    "open_interest": VOLUME,
    **dict.fromkeys(("amount", "cap", "open_interest_usd"), MONEY),
}


def field_dimension(name: str) -> Dimension:
    """Return what a field is measured in; extra columns that nobody stated are unknown and agree with all."""
    if name.startswith("adv") and name[3:].isdecimal():
        return MONEY
    return FIELD_DIMENSIONS.get(name, UNKNOWN)


def dimension_of(root: Node) -> tuple[Dimension, tuple[str, ...]]:
    """Return the dimension of a tree, and a sentence for each place where dimensions do not fit."""
    reader = _Reader()
    found = reader.of(root)
    return found, tuple(dict.fromkeys(reader.warnings))


class _Reader:
    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._known: dict[Node, Dimension] = {}

    def of(self, node: Node) -> Dimension:
        if isinstance(node, Number):
            return RATIO
        if isinstance(node, Field):
            return field_dimension(node.name)
        known = self._known.get(node)
        if known is None:
            known = self._known[node] = self._call(node)
        return known

    def _call(self, call: Call) -> Dimension:
        operator = OPERATORS[call.op]
        parts = [self.of(arg) for arg in call.args]
        return _RULES[operator.dimension](self, call, parts)

    def match(self, call: Call, first: int, second: int, parts: Sequence[Dimension]) -> Dimension:
        """Return the common dimension of two arguments, with a warning where there is none."""
        x, y = call.args[first], call.args[second]
        for number, other in ((x, second), (y, first)):
            if isinstance(number, Number):
                self.beside(call, number, parts[other])
                return parts[other]
        if not parts[first].agrees(parts[second]):
            self.warnings.append(f"{_short(call)}: {_short(x)} is a {parts[first]}, {_short(y)} a {parts[second]}")
            return UNKNOWN
        return parts[first] if parts[first].known else parts[second]

    def beside(self, call: Call, number: Number, dimension: Dimension) -> None:
        """Warn of a plain number that is added to, or compared with, what has a unit."""
        if not dimension.is_ratio and dimension.known and abs(number.value) > _GUARD:
            self.warnings.append(
                f"{_short(call)}: the number {number_text(number.value)} beside a {dimension} means "
                "something else for every asset"
            )

    def bounds(self, call: Call, parts: Sequence[Dimension]) -> Dimension:
        for number in call.args[1:]:
            if isinstance(number, Number):
                self.beside(call, number, parts[0])
        return parts[0]

    def pure(self, call: Call, parts: Sequence[Dimension]) -> Dimension:
        if parts[0].known and not parts[0].is_ratio:
            self.warnings.append(f"{_short(call)}: {call.op} of a {parts[0]} depends on the unit; divide it first")
        return RATIO

    def power(self, call: Call, parts: Sequence[Dimension]) -> Dimension:
        exponent = call.args[1]
        if isinstance(exponent, Number):
            return parts[0].power(exponent.value)
        if parts[1].known and not parts[1].is_ratio:
            self.warnings.append(f"{_short(call)}: an exponent that is a {parts[1]} depends on the unit")
        return RATIO if parts[0].is_ratio else UNKNOWN

    def prices(self, call: Call, parts: Sequence[Dimension]) -> Dimension:
        common = self.match(call, 0, 1, parts)
        self.match(call, 0, 2, parts)
        return common


def _compare(reader: _Reader, call: Call, parts: Sequence[Dimension]) -> Dimension:
    reader.match(call, 0, 1, parts)
    return RATIO


def _price_ratio(reader: _Reader, call: Call, parts: Sequence[Dimension]) -> Dimension:
    reader.prices(call, parts)
    return RATIO


def _branch(reader: _Reader, call: Call, parts: Sequence[Dimension]) -> Dimension:
    # A branch that is a number (0, 1, -1) is a switch, not a mixture of units.
    switches = [isinstance(arg, Number) for arg in call.args[1:]]
    if any(switches):
        return parts[2] if switches[0] else parts[1]
    return reader.match(call, 1, 2, parts)


def _number(call: Call, place: int) -> float:
    arg = call.args[place]
    return arg.value if isinstance(arg, Number) else 1.0


_Rule = Callable[["_Reader", Call, Sequence[Dimension]], Dimension]
_RULES: Mapping[DimensionRule, _Rule] = {
    "ratio": lambda _r, _c, _p: RATIO,
    "same": lambda _r, _c, p: p[0],
    "like": lambda r, c, p: r.match(c, 0, 1, p),
    "compare": _compare,
    "product": lambda _r, _c, p: p[0].times(p[1]),
    "quotient": lambda _r, _c, p: p[0].times(p[1], -1),
    "inverse": lambda _r, _c, p: RATIO.times(p[0], -1),
    "power": lambda r, c, p: r.power(c, p),
    "root": lambda _r, _c, p: p[0].power(0.5),
    "square": lambda _r, _c, p: p[0].power(2.0),
    "pure": lambda r, c, p: r.pure(c, p),
    "branch": _branch,
    "second": lambda _r, _c, p: p[1],
    "moment": lambda _r, c, p: p[0].power(_number(c, 2)),
    "repeat": lambda _r, c, p: p[0].power(_number(c, 1)),
    "prices": lambda r, c, p: r.prices(c, p),
    "price ratio": _price_ratio,
    "bounds": lambda r, c, p: r.bounds(c, p),
}


def _short(node: Node) -> str:
    text = to_text(node)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"
