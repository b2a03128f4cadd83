"""Random trees of the language, for property tests, fuzzing and benchmarks.

They are typed like the table and unlike what people write: any operator may stand in any other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from factors.canonical import canonical
from factors.operators.row import Operator, Param
from factors.printing import to_text
from factors.resolve import kind_of
from factors.table import OPERATORS
from factors.tree import Call, Field, Node, Number

FIELDS = ("open", "high", "low", "close", "volume", "vwap", "amount", "returns")
_NUMBERS: Mapping[str, Sequence[float]] = {
    "level": (0.0, 0.1, 0.25, 0.5, 0.9, 1.0),
    "share": (0.1, 0.2, 0.3, 0.5),
    "a": (0.5, 0.8, 0.9, 1.0),
    "lo": (-2.0, -1.0, 0.0),
    "hi": (0.5, 1.0, 3.0),
    "m": (1.0,),
    "k": (1.0, 2.0, 3.0),
}
_CONSTANTS = (0.0, 1.0, 2.0, -1.0, 0.5, 3.0, -0.25, 10.0, 1e-6, 0.1)
_NUMBER_MAY_STAND = frozenset({"arithmetic", "logic"})


class Drawer:
    """Draws trees from a generator.

    Parameters
    ----------
    rng
        Where chance comes from.
    operators
        Names that may be used; all that have a kernel if None.
    fields
        Names of panel fields.
    longest
        Longest window.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        *,
        operators: Collection[str] | None = None,
        fields: Sequence[str] = FIELDS,
        longest: int = 20,
    ) -> None:
        self.rng, self.fields, self.longest = rng, fields, longest
        rows = [op for op in OPERATORS.values() if not op.formula and (operators is None or op.name in operators)]
        self.panels = [op for op in rows if op.result == "panel"]
        self.bools = [op for op in rows if op.result == "bool"]
        self.groups = [op for op in rows if op.result == "group"]

    def tree(self, depth: int) -> Node:
        """Return a tree of at most `depth` levels, as drawn: not canonical, and its root not a number."""
        return self._call(self._one(self.panels), depth - 1) if depth > 1 else self._field()

    def expression_text(self, depth: int) -> str:
        """Return the canonical text of a drawn tree that is a factor."""
        while True:
            root = canonical(self.tree(depth))
            if kind_of(root) not in ("number", "group"):
                return to_text(root)

    def _one(self, rows: Sequence[Operator]) -> Operator:
        return rows[int(self.rng.integers(len(rows)))]

    def _field(self) -> Field:
        return Field(self.fields[int(self.rng.integers(len(self.fields)))])

    def _panel(self, depth: int, number_may_stand: bool) -> Node:
        chance = self.rng.random()
        if number_may_stand and chance < 0.12:
            return Number(float(self.rng.choice(_CONSTANTS)))
        if depth <= 1 or chance < 0.25:
            return self._field()
        rows = self.bools if self.bools and chance > 0.95 else self.panels
        return self._call(self._one(rows), depth - 1)

    def _call(self, operator: Operator, depth: int) -> Node:
        args: list[Node] = []
        for param in operator.params:
            args.append(self._argument(operator, param, depth, args))
        if all(isinstance(arg, Number) for arg in args):
            args[0] = self._field()
        return Call(operator.name, tuple(args))

    def _argument(self, operator: Operator, param: Param, depth: int, before: Sequence[Node]) -> Node:
        match param.kind:
            case "window":
                return Number(float(self.rng.integers(operator.least, max(self.longest, operator.least) + 1)))
            case "number":
                return Number(float(self.rng.choice(_NUMBERS[param.name])))
            case "bool":
                if not self.bools:
                    return Call("lt", (self._field(), self._field()))
                return self._call(self._one(self.bools), max(depth - 1, 1))
            case "group":
                return Call("bucket", (self._field(), Number(float(self.rng.integers(2, 5)))))
        return self._panel(depth, operator.family in _NUMBER_MAY_STAND)
