"""How new a factor is, read from its tree before any backtest: what it shares with those known, and how much.

Three hashes of a tree are compared with stored ones: its canonical text; its *ranking core*, the tree without what
cannot change the order of assets; and its *shape*, the tree with every number left out. The largest common subtree
is found by the hashes of all its subtrees (as in AlphaAgent, arXiv 2502.16789, but by look-up, not pair by pair).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from factors.algebra import CONSTANT, Algebra, Product, TooLarge
from factors.canonical import canonical
from factors.measure import Measures, measure
from factors.printing import Printer
from factors.tree import Call, Field, Node, Number

# A window of one field has three nodes; anything smaller says nothing.
SMALLEST = 3
# They keep the order of assets at a bar, whatever they are given.
_KEEPS_ORDER = frozenset({"cs_rank", "cs_zscore", "cs_demean", "cs_scale"})
# So do these, of values that are never large: of large ones all become 1.
_KEEPS_ORDER_OF_SMALL = frozenset({"tanh", "atan", "sigmoid"})
_SMALL = frozenset({"cs_rank", "cs_zscore", "cs_scale", "ts_rank", "ts_corr", "ts_scale"})
# Limits this many deviations from the mean tie few assets.
_FAR_LIMIT = 2.0


@dataclass(frozen=True, slots=True)
class Subtree:
    """A part of a factor: the hash of its text, how many nodes it has, and the text."""

    hash: int
    size: int
    text: str


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is looked up of a factor.

    Attributes
    ----------
    subtrees
        Every distinct subtree of at least three nodes, largest first, the whole tree included.
    ranking
        Hash of the ranking core; equal where two factors put assets in the same, or the opposite, order.
    sign
        -1 where the core stands with a minus sign.
    shape
        Hash of the tree without its numbers.
    """

    size: int
    subtrees: tuple[Subtree, ...]
    ranking: int
    sign: int
    shape: int


@dataclass(frozen=True, slots=True)
class Known:
    """A factor of the knowledge base: its id, its text and where it comes from."""

    factor_id: str
    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Overlap:
    """The largest subtree shared with a known factor; `share` is its part of the larger of the two."""

    text: str
    size: int
    share: float
    factor: Known


@dataclass(frozen=True, slots=True)
class Novelty:
    """What is known of a factor already; each None where there is nothing."""

    identical: Known | None = None
    ranks_alike: Known | None = None
    opposite: bool = False
    same_shape: Known | None = None
    overlap: Overlap | None = None

    def sentences(self) -> tuple[str, ...]:
        """Return the findings in words, the most telling first."""
        if self.identical is not None:
            return (f"identical to a known factor: {self.identical.label}",)
        found = []
        if self.ranks_alike is not None:
            order = "the opposite order to" if self.opposite else "the same order as"
            found.append(f"puts assets in {order} a known factor: {self.ranks_alike.label}: {self.ranks_alike.text}")
        elif self.same_shape is not None:
            found.append(
                f"only its numbers differ from a known factor: {self.same_shape.label}: {self.same_shape.text}"
            )
        if self.overlap is not None and self.overlap.share < 1:
            part = self.overlap
            found.append(
                f"shares {part.text} with {part.factor.label}: {part.size} nodes, {part.share:.0%} of the larger"
            )
        return tuple(found) or ("nothing like it is known",)


def fingerprint(root: Node) -> Fingerprint:
    """Return what is looked up of a canonical tree."""
    printer = Printer()
    measures: dict[Node, Measures] = {}
    whole = measure(root, measures).size
    parts: dict[str, Subtree] = {}
    for node in _calls(root):
        text = printer.text(node)
        if text not in parts:
            size = measures[node].size
            if size >= SMALLEST:
                parts[text] = Subtree(_hash(text), size, text)
    sign, core = ranking_core(root)
    return Fingerprint(
        size=whole,
        subtrees=tuple(sorted(parts.values(), key=lambda part: (-part.size, part.text))),
        ranking=_hash("ranking " + printer.text(core)),
        sign=sign,
        shape=_hash("shape " + _shape(root)),
    )


def ranking_core(root: Node) -> tuple[int, Node]:
    """Return (sign, tree): the tree without outer operators, factors and constants that keep the order of assets."""
    algebra = Algebra(Printer())
    sign = 1
    while True:
        before = root
        try:
            product = algebra.split(root)
            if product.coefficient != 0 and (product.over or product.under):
                sign *= 1 if product.coefficient > 0 else -1
                root = algebra.join(Product(Fraction(1), product.over, product.under))
            terms = algebra.terms(root)
            if CONSTANT in terms and len(terms) > 1:
                del terms[CONSTANT]
                root = algebra.total(terms)
        except TooLarge:
            return sign, root
        if isinstance(root, Call):
            if root.op in _KEEPS_ORDER or _is_monotone(root):
                root = root.args[0]
            elif root.op == "ts_sum":
                root = Call("ts_mean", root.args)
        root = canonical(root)
        if root == before:
            return sign, root


def _is_monotone(call: Call) -> bool:
    """Whether a call keeps the order of assets because of what it is given."""
    if call.op in _KEEPS_ORDER_OF_SMALL:
        return isinstance(call.args[0], Call) and call.args[0].op in _SMALL
    if call.op not in ("cs_winsorize", "signed_power") or not isinstance(call.args[1], Number):
        return False
    value = call.args[1].value
    return value > 0 if call.op == "signed_power" else value >= _FAR_LIMIT


def _calls(node: Node) -> Iterator[Node]:
    if isinstance(node, Call):
        yield node
        for arg in node.args:
            yield from _calls(arg)


def _shape(node: Node) -> str:
    if isinstance(node, Number):
        return "#"
    if isinstance(node, Field):
        return node.name
    return f"{node.op}({','.join(_shape(arg) for arg in node.args)})"


def _hash(text: str) -> int:
    """Return 63 bits of a hash that is the same on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
