"""Sums and products in normal form: which of the many ways to write one is the one we keep.

Coefficients are exact fractions of the decimals that were written, so that the order in which constants were
multiplied cannot show. Nothing is cancelled that could be missing: `x - x` stays `0 * x`, `x / x` stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import groupby

from factors.printing import Printer
from factors.tree import Call, Node, Number

_ONE = Fraction(1)
_NOTHING = Fraction(0)
_MOST_BITS = 200
_LARGEST = 2**53
# x / 20 reads better than 0.05 * x, and 0.0001 * x better than x / 10000.
_LARGEST_DIVISOR = 1000


class TooLarge(Exception):
    """A coefficient left the range of floats: the form is kept as it was written."""


@dataclass(frozen=True, slots=True)
class Product:
    """`coefficient * over[0] * over[1] ... / (under[0] * under[1] ...)`; sums among `over` begin with a plus."""

    coefficient: Fraction
    over: tuple[Node, ...] = ()
    under: tuple[Node, ...] = ()


# Core to coefficient; the constant stands under the core 1.
Terms = dict[Node, Fraction]
CONSTANT = Number(1.0)


@lru_cache(maxsize=4096)
def fraction(value: float) -> Fraction:
    """Return the decimal that a float is the shortest spelling of, as a fraction."""
    return Fraction(int(value)) if value == int(value) and abs(value) < _LARGEST else Fraction(repr(value))


def _tidy(value: Fraction) -> Fraction:
    """Keep the digits bounded: constants such as 1e-300 would grow without end when multiplied."""
    if value.numerator.bit_length() + value.denominator.bit_length() <= _MOST_BITS:
        return value
    try:
        near = float(value)
    except OverflowError as error:
        raise TooLarge from error
    if near == 0.0 and value != 0:
        raise TooLarge
    return fraction(near)


class Algebra:
    """Normal forms of sums and products; one for each tree, whose printed parts it remembers."""

    def __init__(self, printer: Printer) -> None:
        self.text = printer.text
        self._split: dict[Node, Product] = {}
        self._oriented: dict[Node, tuple[int, Node]] = {}

    # Products

    def split(self, node: Node) -> Product:
        """Return `node` as coefficient, numerator and denominator."""
        known = self._split.get(node)
        if known is None:
            known = self._split[node] = self._parts(node)
        return known

    def _parts(self, node: Node) -> Product:
        if isinstance(node, Number):
            return Product(fraction(node.value))
        if isinstance(node, Call):
            if node.op == "neg":
                inner = self.split(node.args[0])
                return Product(-inner.coefficient, inner.over, inner.under)
            if node.op == "mul":
                return self.times(self.split(node.args[0]), self.split(node.args[1]))
            if node.op == "div":
                return self.over(self.split(node.args[0]), self.split(node.args[1]))
            if node.op == "power" and isinstance(node.args[1], Number) and node.args[1].value in _REPEATED:
                base = self.split(node.args[0])
                if base == Product(_ONE, (node.args[0],)):
                    return Product(_ONE, base.over * int(node.args[1].value))
            if node.op in ("add", "sub"):
                sign, oriented = self.oriented(node)
                return Product(Fraction(sign), (oriented,))
        return Product(_ONE, (node,))

    def times(self, x: Product, y: Product) -> Product:
        """Return x * y."""
        if x.coefficient == 1:
            return Product(y.coefficient, x.over + y.over, x.under + y.under)
        if y.coefficient == 1:
            return Product(x.coefficient, x.over + y.over, x.under + y.under)
        return Product(_tidy(x.coefficient * y.coefficient), x.over + y.over, x.under + y.under)

    def over(self, x: Product, y: Product) -> Product:
        """Return x / y. A quotient below the line stays whole: where its own denominator is 0 it is missing."""
        if y.coefficient == 0:
            raise TooLarge
        below = y.over if not y.under else (self.join(Product(_ONE, y.over, y.under)),)
        return Product(_tidy(x.coefficient / y.coefficient), x.over, x.under + below)

    def join(self, product: Product) -> Node:
        """Return the one tree of a product."""
        q = product.coefficient
        if q == 1 and len(product.over) == 1 and not product.under:
            return product.over[0]
        over, under = _powered(self._sorted(product.over)), _powered(self._sorted(product.under))
        if q == 1 and len(over) == 1 and not under:
            return over[0]
        if q < 0:
            flipped = self._flip_one(over)
            if flipped is None:
                return Call("neg", (self.join(Product(-q, product.over, product.under)),))
            q, over = -q, flipped
        numerator, denominator = _shares(q)
        if denominator != 1 and not (over or under):
            return Number(_float(q))
        tops = ([] if numerator == 1 and over else [Number(_float(numerator))]) + over
        bottoms = ([] if denominator == 1 else [Number(_float(denominator))]) + under
        top = _chain("mul", tops)
        return Call("div", (top, _chain("mul", bottoms))) if bottoms else top

    def _sorted(self, nodes: Sequence[Node]) -> list[Node]:
        return sorted(nodes, key=self.text) if len(nodes) > 1 else list(nodes)

    def _flip_one(self, over: list[Node]) -> list[Node] | None:
        """Let the first difference of the numerator take a minus sign, where there is one."""
        for place, node in enumerate(over):
            if isinstance(node, Call) and node.op == "sub":
                flipped = self.total({core: -q for core, q in self.terms(node).items()})
                return [*over[:place], flipped, *over[place + 1 :]]
        return None

    # Sums

    def terms(self, node: Node) -> Terms:
        """Return a sum as coefficients of its cores."""
        found: Terms = {}
        self._gather(node, _ONE, found)
        return found

    def _gather(self, node: Node, sign: Fraction, found: Terms) -> None:
        # A loop, not recursion, along the long side: a sum may be written with many terms.
        while isinstance(node, Call) and node.op in ("add", "sub", "neg"):
            if node.op == "neg":
                node, sign = node.args[0], -sign
                continue
            self._gather(node.args[1], sign if node.op == "add" else -sign, found)
            node = node.args[0]
        product = self.split(node)
        core = self.join(Product(_ONE, product.over, product.under))
        if isinstance(core, Call) and core.op in ("add", "sub") and abs(product.coefficient) == 1:
            self._gather(core, sign * product.coefficient, found)
            return
        found[core] = _tidy(found.get(core, _NOTHING) + sign * product.coefficient)

    def total(self, terms: Terms) -> Node:
        """Return the one tree of a sum: what is added first, then what is taken away, each by its text."""
        kept = [(terms[core], core) for core in self._ordered(terms) if terms[core] != 0 or core != CONSTANT]
        plus = [self._term(q, core) for q, core in kept if q >= 0]
        minus = [self._term(-q, core) for q, core in kept if q < 0]
        if not plus and not minus:
            return Number(0.0)
        if not plus:
            if len(minus) == 1:
                return Call("neg", (minus[0],)) if not isinstance(minus[0], Number) else Number(-minus[0].value)
            return Call("neg", (_chain("add", minus),))
        node = _chain("add", plus)
        for part in minus:
            node = Call("sub", (node, part))
        return node

    def _ordered(self, terms: Terms) -> list[Node]:
        """Return the cores of a sum by their text, the constant first."""
        return sorted(terms, key=lambda core: "" if core == CONSTANT else self.text(core))

    def _term(self, q: Fraction, core: Node) -> Node:
        if isinstance(core, Number):
            return Number(_float(q))
        product = self.split(core)
        if isinstance(core, Call) and core.op in ("add", "sub"):
            product = Product(_ONE, (core,))
        return self.join(Product(_tidy(q * product.coefficient), product.over, product.under))

    def oriented(self, node: Node) -> tuple[int, Node]:
        """Return (sign, tree) with `node = sign * tree`, where the first term by text of a sum has a plus."""
        if not (isinstance(node, Call) and node.op in ("add", "sub")):
            return 1, node
        known = self._oriented.get(node)
        if known is None:
            known = self._oriented[node] = self._orient(node)
        return known

    def _orient(self, node: Node) -> tuple[int, Node]:
        terms = self.terms(node)
        first = next((core for core in self._ordered(terms) if core != CONSTANT), None)
        if first is None or terms[first] >= 0:
            return 1, node
        return -1, self.total({core: -q for core, q in terms.items()})


# x * x is written as a power, and so is x * x * x.
_REPEATED = (2.0, 3.0)


def _powered(nodes: Sequence[Node]) -> list[Node]:
    """Return factors in order with those that stand two or three times as powers."""
    found: list[Node] = []
    for node, same in groupby(nodes):
        count = len(list(same))
        found += [Call("power", (node, Number(float(count))))] if count in _REPEATED else [node] * count
    return found


def _shares(q: Fraction) -> tuple[Fraction, Fraction]:
    """Return how a coefficient is written: 1/n as a divisor, decimals as a factor, other fractions as both."""
    if q.denominator == 1 or (q.numerator == 1 and q.denominator <= _LARGEST_DIVISOR):
        return Fraction(q.numerator), Fraction(q.denominator)
    if fraction(_float(q)) == q or max(q.numerator, q.denominator) > _LARGEST:
        return q, _ONE
    return Fraction(q.numerator), Fraction(q.denominator)


def _float(q: Fraction) -> float:
    try:
        return float(q)
    except OverflowError as error:
        raise TooLarge from error


def _chain(op: str, nodes: Sequence[Node]) -> Node:
    node = nodes[0]
    for other in nodes[1:]:
        node = Call(op, (node, other))
    return node
