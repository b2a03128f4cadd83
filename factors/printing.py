"""Text of a tree in our own language: the one spelling that reads back as the same tree."""

from __future__ import annotations

from factors.table import OPERATORS
from factors.tree import Call, Field, Node, Number

_LEVEL = {"or_": 1, "and_": 2, "lt": 4, "le": 4, "eq": 4, "ne": 4, "gt": 4, "ge": 4, "add": 5, "sub": 5, "mul": 6,
          "div": 6}  # fmt: skip
_LOGIC = 2
_COMPARISON = 4
_SIGN = 7
_ATOM = 9


class Printer:
    """Prints trees that share subtrees, each once."""

    def __init__(self) -> None:
        self._known: dict[Node, tuple[str, int]] = {}

    def text(self, node: Node) -> str:
        """Return the text of `node` with the fewest parentheses that keep its shape."""
        return self._print(node)[0]

    def _print(self, node: Node) -> tuple[str, int]:
        if isinstance(node, Field):
            return node.name, _ATOM
        known = self._known.get(node)
        if known is None:
            known = self._known[node] = self._made(node)
        return known

    def _made(self, node: Number | Call) -> tuple[str, int]:
        if isinstance(node, Number):
            return number_text(node.value), (_ATOM if node.value >= 0 else _SIGN)
        if node.op in ("neg", "not_"):
            text, level = self._print(node.args[0])
            sign = "-" if node.op == "neg" else "!"
            return f"{sign}{text if level == _ATOM else f'({text})'}", _SIGN
        symbol = OPERATORS[node.op].infix
        if symbol is None:
            return f"{node.op}({', '.join(self.text(arg) for arg in node.args)})", _ATOM
        level = _LEVEL[node.op]
        if level <= _LOGIC:
            # Parentheses that our grammar does not need: other languages bind & tighter than <.
            left, right = (self._part(arg) for arg in node.args)
            return f"{left} {symbol} {right}", level
        # Comparisons do not chain, so both sides must bind tighter; the others group to the left.
        left = self._side(node.args[0], level + (level == _COMPARISON))
        return f"{left} {symbol} {self._side(node.args[1], level + 1)}", level

    def _part(self, node: Node) -> str:
        text, level = self._print(node)
        return text if level >= _SIGN else f"({text})"

    def _side(self, node: Node, level: int) -> str:
        text, own = self._print(node)
        return text if own >= level else f"({text})"


def to_text(node: Node) -> str:
    """Return the text of a tree with the fewest parentheses that keep its shape."""
    return Printer().text(node)


def number_text(value: float) -> str:
    """Return the shortest text that reads back as `value`; whole numbers have no point."""
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return repr(value)
