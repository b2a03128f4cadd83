"""Canonical form: one tree and one text for everything that means the same.

Each rewriting holds in exact arithmetic and keeps what is missing missing. The canonical tree is the one that is
evaluated, so two spellings of a factor have the same values to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from factors.algebra import CONSTANT, Algebra, Product, Terms, TooLarge, fraction
from factors.limits import Limits
from factors.printing import Printer
from factors.table import OPERATORS
from factors.tree import Call, Node, Number

_EXACT: Mapping[str, Callable[..., Fraction]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "neg": lambda x: -x,
}
_FOLD: Mapping[str, Callable[..., float]] = {
    "abs": abs,
    "sqrt": lambda x: math.sqrt(x) if x >= 0 else math.nan,
    "floor": math.floor,
    "log": lambda x: math.log(x) if x > 0 else math.nan,
    "power": lambda x, y: _power(x, y),
    "max": max,
    "min": min,
}
_SUMS = frozenset({"add", "sub"})
_PRODUCTS = frozenset({"mul", "div", "neg"})
_ALGEBRA = _SUMS | _PRODUCTS
_CHAINS = frozenset({"max", "min", "and_", "or_"})
# op(-x) = -other(x), and op(-x) = other(x).
_MIRRORS = {"ts_max": "ts_min", "ts_min": "ts_max", "cum_max": "cum_min", "cum_min": "cum_max"}
_TWINS = {"ts_argmax": "ts_argmin", "ts_argmin": "ts_argmax"}
_IDEMPOTENT = frozenset({"cs_rank", "cs_demean", "abs", "sign", "floor", "round"})
# These see the order of a bar's assets alone.
_RANKING = frozenset({"cs_rank", "cs_top_bottom", "bucket"})
_LONGEST = Limits().max_window
_OPPOSITE = {"lt": "ge", "le": "gt", "eq": "ne", "ne": "eq"}
# With a window of one bar these give the value itself.
_TRIVIAL = frozenset({
    "ts_sum", "ts_mean", "ts_min", "ts_max", "ts_median", "ts_product", "ts_decay_linear", "ts_decay_exp", "ts_ema",
    "ts_quantile", "ts_backfill",
})  # fmt: skip


def _power(x: float, y: float) -> float:
    try:
        value = x**y
    except (OverflowError, ZeroDivisionError):
        return math.nan
    return math.nan if isinstance(value, complex) else float(value)


def canonical(node: Node) -> Node:
    """Return the canonical tree of `node`.

    Constants are folded; sums and products are collected, ordered and oriented; signs and positive factors leave
    operators that do not feel them; > and >= become < and <=; and formulas for which the table has a word (a change, a
    return, a mean, a z-score) become that word.
    """
    if not isinstance(node, Call):
        return node
    return _Canonical(Printer()).node(node)


class _Canonical:
    def __init__(self, printer: Printer) -> None:
        self.algebra = Algebra(printer)
        self.text = printer.text
        self.done: dict[Node, Node] = {}
        # One object for equal trees, so that comparing them is a glance.
        self.one: dict[Node, Node] = {}

    def node(self, node: Node) -> Node:
        if not isinstance(node, Call):
            return node
        known = self.done.get(node)
        if known is None:
            if node.op in _ALGEBRA:
                known = self.chain(node)
            else:
                known = self.call(node.op, tuple(self.node(arg) for arg in node.args))
            known = self.one.setdefault(known, known)
            self.done[node] = known
            # One rewriting may open the way for another; what is its own form needs no second look.
            if known != node and known not in self.done:
                known = self.done[node] = self.node(known)
        return known

    def chain(self, node: Call) -> Node:
        """Return a sum or product of many parts at once: part by part, the work would grow with its square."""
        family = _SUMS if node.op in _SUMS else _PRODUCTS
        steps: list[tuple[str, tuple[Node, ...]]] = []
        spine: Node = node
        while isinstance(spine, Call) and spine.op in family:
            steps.append((spine.op, spine.args[1:]))
            spine = spine.args[0]
        first = self.node(spine)
        parts = [(op, tuple(self.node(arg) for arg in rest)) for op, rest in reversed(steps)]
        if len(parts) > 1:
            try:
                return self.summed(first, parts) if family is _SUMS else self.multiplied(first, parts)
            except TooLarge:
                pass
        for op, rest in parts:
            first = self.call(op, (first, *rest))
        return first

    def summed(self, first: Node, parts: Sequence[tuple[str, tuple[Node, ...]]]) -> Node:
        terms = dict(self.algebra.terms(first))
        for op, rest in parts:
            sign = 1 if op == "add" else -1
            for core, q in self.algebra.terms(rest[0]).items():
                terms[core] = terms.get(core, Fraction(0)) + sign * q
        return self.sum(terms)

    def multiplied(self, first: Node, parts: Sequence[tuple[str, tuple[Node, ...]]]) -> Node:
        product = self.algebra.split(first)
        for op, rest in parts:
            if op == "neg":
                product = Product(-product.coefficient, product.over, product.under)
                continue
            other = self.algebra.split(rest[0])
            product = self.algebra.times(product, other) if op == "mul" else self.algebra.over(product, other)
        return self.product(product)

    def call(self, op: str, args: tuple[Node, ...]) -> Node:
        """Return the canonical form of a call of canonical arguments."""
        folded = _folded(op, args)
        if folded is not None:
            return folded
        if op in _ALGEBRA:
            try:
                whole = Call(op, args)
                return self.sum(self.algebra.terms(whole)) if op in _SUMS else self.product(self.algebra.split(whole))
            except TooLarge:
                return Call(op, args)
        if op in ("gt", "ge"):
            op, args = ("lt" if op == "gt" else "le"), args[::-1]
        simpler = self.simpler(op, args)
        return Call(op, self.ordered(op, args)) if simpler is None else simpler

    def simpler(self, op: str, args: tuple[Node, ...]) -> Node | None:
        for rule in (self.signs, _trivial, _logic, _powers, _merged, self.ranked, self.words):
            found = rule(op, args)
            if found is not None:
                return found
        first = args[0]
        if op in _IDEMPOTENT and isinstance(first, Call) and first.op == op:
            return first
        return None

    def ordered(self, op: str, args: tuple[Node, ...]) -> tuple[Node, ...]:
        if op in _CHAINS:
            parts = {self.text(part): part for part in _flat(op, Call(op, args))}
            if len(parts) > 1:
                listed = sorted(parts.values(), key=self._order)
                node = listed[0]
                for part in listed[1:-1]:
                    node = Call(op, (node, part))
                return node, listed[-1]
        if OPERATORS[op].commutative:
            # Windows and numbers that are not operands stay where they are.
            return (*sorted(args[:2], key=self._order), *args[2:])
        return args

    def _order(self, node: Node) -> tuple[int, str]:
        return (0 if isinstance(node, Number) else 1, self.text(node))

    # Sums and products

    def sum(self, terms: Terms) -> Node:
        """Return the tree of a sum, with changes and returns in the place of their formulas."""
        for core, q in list(terms.items()):
            if core not in terms or not isinstance(core, Call):
                continue
            if core.op == "ts_delay" and q != 0 and terms.get(core.args[0]) == -q:
                del terms[core], terms[core.args[0]]
                self.add_to(terms, -q, self.call("ts_delta", core.args))
            elif core.op == "cs_mean" and q != 0 and terms.get(core.args[0]) == -q:
                del terms[core], terms[core.args[0]]
                self.add_to(terms, -q, self.call("cs_demean", core.args))
            elif (back := _ratio_to_past(core)) is not None and terms.get(CONSTANT) == -q:
                del terms[core], terms[CONSTANT]
                self.add_to(terms, q, self.call("ts_returns", back))
        return self.algebra.total(terms)

    def add_to(self, terms: Terms, q: Fraction, node: Node) -> None:
        scaled = self.algebra.join(self.algebra.times(Product(q), self.algebra.split(node)))
        for core, share in self.algebra.terms(scaled).items():
            terms[core] = terms.get(core, Fraction(0)) + share

    def product(self, product: Product) -> Node:
        """Return the tree of a product, with means, returns and scores in the place of their formulas."""
        for numerator in product.over:
            for known in (self._mean(product, numerator), self._ratio(product, numerator)):
                if known is not None:
                    return known
        return self.algebra.join(product)

    def _mean(self, product: Product, numerator: Node) -> Node | None:
        """Return the product with ts_sum(x, d) / d as ts_mean(x, d)."""
        if not (isinstance(numerator, Call) and numerator.op == "ts_sum"):
            return None
        _, d = numerator.args
        assert isinstance(d, Number)
        share = abs(product.coefficient) * Fraction(int(d.value))
        if share != 1 or d.value == 1:
            return None
        mean = self.call("ts_mean", numerator.args)
        return self._replaced(product, numerator, None, mean, Fraction(int(d.value)))

    def _ratio(self, product: Product, numerator: Node) -> Node | None:
        """Return the product with a return, z-score or information ratio in the place of its formula."""
        for denominator in product.under:
            if not isinstance(denominator, Call) or denominator.op not in ("ts_delay", "ts_std"):
                continue
            x, d = denominator.args
            word = ""
            if denominator.op == "ts_delay":
                word = "ts_returns" if numerator == Call("ts_delta", (x, d)) else ""
            elif numerator == Call("ts_mean", (x, d)):
                word = "ts_ir"
            else:
                sign, gap = self.algebra.oriented(Call("sub", (x, Call("ts_mean", (x, d)))))
                if numerator == self._canonical_gap(gap):
                    return self._replaced(
                        product, numerator, denominator, self.call("ts_zscore", (x, d)), Fraction(sign)
                    )
            if word:
                return self._replaced(product, numerator, denominator, self.call(word, (x, d)), Fraction(1))
        return None

    def _canonical_gap(self, gap: Node) -> Node:
        return self.algebra.total(self.algebra.terms(gap))

    def _replaced(
        self, product: Product, numerator: Node, denominator: Node | None, word: Node, factor: Fraction
    ) -> Node:
        over, under = list(product.over), list(product.under)
        over.remove(numerator)
        if denominator is not None:
            under.remove(denominator)
        rest = Product(product.coefficient * factor, tuple(over), tuple(under))
        return self.algebra.join(self.algebra.times(rest, self.algebra.split(word)))

    # Signs and scales

    def signs(self, op: str, args: tuple[Node, ...]) -> Node | None:
        """Take minus signs out of odd and even operators, and positive factors out of those that are free of scale."""
        row = OPERATORS[op]
        if not (row.parity or row.scale_free or op in _MIRRORS):
            return None
        places = (0, 1) if op in ("ts_corr", "ts_cov") else (0,)
        flips = row.parity or op in _MIRRORS or op in _TWINS
        negative = False
        new = list(args)
        for place in places:
            if not isinstance(args[place], Call):
                continue
            try:
                product = self.algebra.split(args[place])
                q = product.coefficient
                if flips and q < 0:
                    negative = not negative
                    q = -q
                if place in row.scale_free and q != 0:
                    q = Fraction(1 if q > 0 else -1)
                if q != product.coefficient:
                    new[place] = self.algebra.join(Product(q, product.over, product.under))
            except TooLarge:
                continue
        if tuple(new) == args:
            return None
        if negative and op in _TWINS:
            return self.call(_TWINS[op], tuple(new))
        bare = self.call(_MIRRORS[op] if negative and op in _MIRRORS else op, tuple(new))
        if negative and (row.parity == "odd" or op in _MIRRORS):
            return self.call("neg", (bare,))
        return bare

    def ranked(self, op: str, args: tuple[Node, ...]) -> Node | None:
        """Ranks across assets do not feel what is the same for all assets: a constant, or the mean taken away."""
        if op not in _RANKING or not isinstance(args[0], Call):
            return None
        product = self.algebra.split(args[0])
        inner = product.over[0] if len(product.over) == 1 and not product.under else None
        if isinstance(inner, Call) and inner.op == "cs_demean":
            bare = self.algebra.join(Product(product.coefficient, (inner.args[0],)))
            return self.call(op, (self.node(bare), *args[1:]))
        if args[0].op in _SUMS:
            terms = self.algebra.terms(args[0])
            if CONSTANT in terms and len(terms) > 1:
                rest = self.sum({core: q for core, q in terms.items() if core != CONSTANT})
                return self.call(op, (rest, *args[1:]))
        return None

    def words(self, op: str, args: tuple[Node, ...]) -> Node | None:
        back = _ratio_to_past(args[0]) if op == "log" else None
        return Call("ts_log_return", back) if back is not None else None


def _folded(op: str, args: tuple[Node, ...]) -> Number | None:
    if op not in _FOLD and op not in _EXACT:
        return None
    numbers = [arg.value for arg in args if isinstance(arg, Number)]
    if len(numbers) != len(args):
        return None
    try:
        # As decimals, so that 1 - 0.7 is 0.3 and not 0.30000000000000004.
        value = float(_EXACT[op](*map(fraction, numbers))) if op in _EXACT else float(_FOLD[op](*numbers))
    except (OverflowError, ZeroDivisionError):
        return None
    return Number(value + 0.0) if math.isfinite(value) else None


def _ratio_to_past(node: Node) -> tuple[Node, Node] | None:
    """Return (x, d) where `node` is x / ts_delay(x, d)."""
    if isinstance(node, Call) and node.op == "div":
        over, under = node.args
        if isinstance(under, Call) and under.op == "ts_delay" and under.args[0] == over:
            return over, under.args[1]
    return None


def _flat(op: str, node: Node) -> list[Node]:
    if isinstance(node, Call) and node.op == op:
        return [part for arg in node.args for part in _flat(op, arg)]
    return [node]


def _trivial(op: str, args: tuple[Node, ...]) -> Node | None:
    if op in _TRIVIAL and args[1] == Number(1.0):
        return args[0]
    if op == "ts_sma" and args[1] == args[2]:
        return args[0] if args[1] == Number(1.0) else None
    if op in _CHAINS and args[0] == args[1]:
        return args[0]
    return None


def _merged(op: str, args: tuple[Node, ...]) -> Node | None:
    """Delays of delays, and what has a name of its own: a median, a variance, a deviation."""
    first = args[0]
    if op == "ts_quantile" and args[2] == Number(0.5):
        return Call("ts_median", args[:2])
    if not isinstance(first, Call):
        return None
    if op == "ts_delay" and first.op == "ts_delay":
        bars = [arg.value for arg in (args[1], first.args[1]) if isinstance(arg, Number)]
        if len(bars) == 2 and sum(bars) <= _LONGEST:
            return Call("ts_delay", (first.args[0], Number(sum(bars))))
    if op == "power" and first.op == "ts_std" and args[1] == Number(2.0):
        return Call("ts_var", first.args)
    if op == "sqrt" and first.op == "ts_var":
        return Call("ts_std", first.args)
    return None


def _logic(op: str, args: tuple[Node, ...]) -> Node | None:
    first = args[0]
    if not isinstance(first, Call):
        return None
    if op == "not_":
        if first.op == "not_":
            return first.args[0]
        opposite = _OPPOSITE.get(first.op)
        if opposite in ("ge", "gt"):
            return Call("le" if opposite == "ge" else "lt", first.args[::-1])
        return Call(opposite, first.args) if opposite else None
    if op == "if_else":
        if first.op == "not_":
            return Call(op, (first.args[0], args[2], args[1]))
        if first.op == "le":
            return Call(op, (Call("lt", first.args[::-1]), args[2], args[1]))
        if first.op == "ne":
            return Call(op, (Call("eq", first.args), args[2], args[1]))
    return None


def _powers(op: str, args: tuple[Node, ...]) -> Node | None:
    if op not in ("power", "signed_power") or not isinstance(args[1], Number):
        return None
    exponent = args[1].value
    if exponent == 1:
        return args[0]
    if op == "power" and exponent == 0.5:
        return Call("sqrt", (args[0],))
    if op == "power" and exponent == -1:
        return Call("div", (Number(1.0), args[0]))
    return None
