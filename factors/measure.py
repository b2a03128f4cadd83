"""What can be read from a tree without running it: size, depth, look-back, fields, work and memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from factors.operators.row import UNBOUNDED, own_bar
from factors.table import OPERATORS
from factors.tree import Call, Field, Node, Number

_SUMS = frozenset({"add", "sub"})
_FIELD_NS = 1.1
# What is made of the fields that panels carry; where a panel carries it itself, this is a little too much.
_DERIVED_NS = {"returns": 2.5, "vwap": 5.0, "amount": 6.0, "market_open": 6.0, "market_close": 6.0}
_ADV_NS = 8.0
# Powers that are products or roots, and what those take.
_PLAIN_POWERS, _PRODUCT_NS = (0.5, 1.0, 2.0, 3.0), 1.5
_BYTES = 8
# What a node costs beside its cells: seen on small panels alone.
_SECONDS_A_NODE = 1.5e-5
# Cells (rows x assets) of a piece: 256 KiB of float64; a handful of them fit a core's caches (benchmarks.engine).
PIECE_CELLS = 32_768
_LEAST_ROWS = 8
_MOST_ROWS = 2_048


class Measures(NamedTuple):
    """Nodes, levels (a field alone has 1) and bars looked back to (see `Expression.lookback`) of a tree."""

    size: int
    depth: int
    lookback: int


def measure(node: Node, known: dict[Node, Measures] | None = None) -> Measures:
    """Measure a tree; equal subtrees are measured once."""
    if isinstance(node, Number):
        return _NUMBER
    if isinstance(node, Field):
        return Measures(1, 1, _field_lookback(node.name))
    memo = {} if known is None else known
    found = memo.get(node)
    if found is None:
        size, depth, back = 1, 0, 0
        for arg in node.args:
            part = measure(arg, memo)
            size += part.size
            # A sum of many terms is one level.
            same = node.op in _SUMS and arg is node.args[0] and isinstance(arg, Call) and arg.op in _SUMS
            depth = max(depth, part.depth - 1 if same else part.depth)
            back = max(back, part.lookback)
        reach = OPERATORS[node.op].reach
        if reach is not own_bar:
            back = min(back + reach(numbers_of(node)), UNBOUNDED)
        found = memo[node] = Measures(size, depth + 1, back)
    return found


_NUMBER = Measures(1, 1, 0)


def fields_of(node: Node) -> frozenset[str]:
    """Return the names of the fields used."""
    found: set[str] = set()
    stack = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, Field):
            found.add(part.name)
        elif isinstance(part, Call):
            stack.extend(part.args)
    return frozenset(found)


def _field_lookback(name: str) -> int:
    if name in ("returns", "market_open", "market_close"):
        return 1
    return int(name[3:]) - 1 if name.startswith("adv") and name[3:].isdecimal() else 0


def numbers_of(call: Call) -> list[float]:
    """Return the values of a call's literal parameters (windows and numbers), in order."""
    return [
        arg.value
        for arg, param in zip(call.args, OPERATORS[call.op].params, strict=True)
        if param.kind in ("number", "window") and isinstance(arg, Number)
    ]


@dataclass(frozen=True, slots=True)
class WorkEstimate:
    """What evaluating a tree takes on a panel.

    Attributes
    ----------
    seconds
        Of one core of an ordinary machine: within a factor of 2 (`python -m benchmarks.work_estimates`).
    bytes
        Peak of the arrays alive at once, the result included.
    """

    seconds: float
    bytes: int


def cell_cost(root: Node) -> float:
    """Return the work of a tree per bar and asset, in nanoseconds; equal subtrees count once."""
    seen: set[Node] = set()
    total = 0.0
    stack = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, Number) or node in seen:
            continue
        seen.add(node)
        if isinstance(node, Field):
            total += _ADV_NS if node.name.startswith("adv") else _DERIVED_NS.get(node.name, _FIELD_NS)
            continue
        if node.op == "power" and isinstance(node.args[1], Number) and node.args[1].value in _PLAIN_POWERS:
            total += _PRODUCT_NS
            stack.extend(node.args)
            continue
        cost = OPERATORS[node.op].cost
        if cost.curve is not None:
            total += cost.curve(numbers_of(node))
            stack.extend(node.args)
            continue
        windows = [
            arg.value
            for arg, param in zip(node.args, OPERATORS[node.op].params, strict=True)
            if param.kind == "window" and isinstance(arg, Number)
        ]
        total += cost.base + cost.bar * max(windows, default=0.0)
        stack.extend(node.args)
    return total


def live_arrays(root: Node) -> int:
    """Return the most arrays alive at once when `root` is evaluated and each is freed after its last use."""
    uses: dict[Node, int] = {}
    _count_uses(root, uses)
    alive: set[Node] = set()
    peak = 0

    def visit(node: Node) -> None:
        nonlocal peak
        if isinstance(node, Number) or node in alive:
            return
        if isinstance(node, Call):
            for arg in node.args:
                visit(arg)
        alive.add(node)
        # An operator works on a copy or two of its arguments beside its result.
        peak = max(peak, len(alive) + 2)
        if isinstance(node, Call):
            for arg in node.args:
                if not isinstance(arg, Number):
                    uses[arg] -= 1
                    if uses[arg] == 0:
                        alive.discard(arg)

    visit(root)
    return peak


def _count_uses(node: Node, uses: dict[Node, int]) -> None:
    if isinstance(node, Number):
        return
    uses[node] = uses.get(node, 0) + 1
    if uses[node] == 1 and isinstance(node, Call):
        for arg in node.args:
            _count_uses(arg, uses)


def piece_rows(assets: int) -> int:
    """Return the rows of a piece: what of the panel is worked through at once (see `factors.evaluation_plan`)."""
    return max(_LEAST_ROWS, min(_MOST_ROWS, PIECE_CELLS // max(assets, 1)))


def work_bytes(root: Node, assets: int, rows: int) -> int:
    """Return an upper estimate of scratch and state for evaluating `root` in pieces of `rows`, beside its values.

    An operator keeps at most six values for each bar of its window and asset; those that sort keep six pieces, too.
    """
    # What a compound operator is made of lives only while it is computed.
    pieces, kept = live_arrays(root) + 5, 0
    seen: set[Node] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if isinstance(node, Number):
            # A number that stands as an operand is a piece of itself.
            pieces += 1
        elif isinstance(node, Field):
            kept += 2 * _field_lookback(node.name)
        else:
            stack.extend(node.args)
            operator = OPERATORS[node.op]
            sorts = operator.family in ("cross-section", "group") or node.op in ("ts_rank", "ts_median", "ts_quantile")
            pieces += 6 if sorts else int(node.op == "signed_power")
            kept += 6 * sum(
                int(arg.value) + 8
                for arg, param in zip(node.args, operator.params, strict=True)
                if param.kind == "window" and isinstance(arg, Number)
            )
            kept += 24
    return _BYTES * assets * (pieces * rows + kept)


def estimate_work(root: Node, bars: int, assets: int) -> WorkEstimate:
    """Return the work and memory of evaluating `root` on a panel of that shape."""
    cells = bars * assets
    work = work_bytes(root, assets, piece_rows(assets))
    seconds = 1e-9 * cell_cost(root) * cells + _SECONDS_A_NODE * measure(root).size
    return WorkEstimate(seconds, cells * _BYTES + work)
