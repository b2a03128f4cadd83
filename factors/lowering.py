"""From an operator of the language to what the engine computes: derived fields and compound operators are spelled out.

The parts are nodes like any other, so what two operators have in common is computed once: a mean deviation and a mean,
a range and its ends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from factors.table import GROUP_FIELDS
from factors.tree import Call, Field, Node, Number
from market.errors import InputError

_Args = tuple[Node, ...]
# Up to this window the age of an extreme is found by looking at each value; measured in benchmarks/engine.
LOOKED_THROUGH = 60


def _num(node: Node) -> float:
    assert isinstance(node, Number)
    return node.value


def _moment(a: _Args) -> Node:
    if _num(a[2]) <= 4:
        return Call("_moment", a)
    return Call("_deviation", (a[0], Call("ts_mean", (a[0], a[1])), a[1], a[2]))


def _adaptive(a: _Args) -> Node:
    steps = Call("abs", (Call("ts_delta", (a[0], Number(1.0))),))
    return Call("_adaptive", (a[0], Call("ts_sum", (steps, a[1])), Call("ts_delay", a), a[1]))


def _strength(a: _Args) -> Node:
    change = Call("ts_delta", (a[0], Number(1.0)))
    rises, falls = (Call("ts_sum", (Call(side, (change,)), a[1])) for side in ("_rise", "_fall"))
    return Call("_strength", (rises, falls))


def _directional(a: _Args) -> Node:
    up, down = (Call("_wilder", (Call(side, a[:3]), a[3])) for side in ("_up_move", "_down_move"))
    return Call("_wilder", (Call("_balance", (up, down)), a[3]))


def _sum_if(a: _Args) -> Node:
    return Call("ts_sum", (Call("if_else", (a[2], a[0], Call("mul", (a[0], Number(0.0))))), a[1]))


def _age(op: str, mine: str, extreme: str) -> Callable[[_Args], Node]:
    """Short windows are looked through; for long ones the operator's own queue is faster."""
    return lambda a: Call(mine, (a[0], Call(extreme, a), a[1])) if _num(a[1]) <= LOOKED_THROUGH else Call(op, a)


def _power(a: _Args) -> Node:
    match a:
        case (x, Number(value=2.0)):
            return Call("mul", (x, x))
        case (x, Number(value=3.0)):
            return Call("mul", (x, Call("mul", (x, x))))
        case (x, Number(value=0.5)):
            return Call("sqrt", (x,))
    return Call("power", a)


_COMPOUND: Mapping[str, Callable[[_Args], Node]] = {
    "ts_log_return": lambda a: Call("log", (Call("_ratio", a),)),
    "ts_autocorr": lambda a: Call("ts_corr", (a[0], Call("ts_delay", (a[0], a[2])), a[1])),
    "ts_median": lambda a: Call("ts_quantile", (*a, Number(0.5))),
    "ts_mad": lambda a: Call("_deviation", (a[0], Call("ts_mean", a), a[1], Number(0.0))),
    "ts_moment": _moment,
    "ts_scale": lambda a: Call("_place", (Call("ts_min", a), Call("ts_max", a), a[0])),
    "ts_count": lambda a: Call("ts_sum", (Call("_truth", a[:1]), a[1])),
    "cum_count": lambda a: Call("cum_sum", (Call("_truth", a),)),
    "ts_sumif": _sum_if,
    "ts_argmin": _age("ts_argmin", "_recent_low", "ts_min"),
    "ts_argmax": _age("ts_argmax", "_recent_high", "ts_max"),
    "power": _power,
    "ts_kama": _adaptive,
    "rsi": _strength,
    "atr": lambda a: Call("ts_mean", (Call("_true_range", a[:3]), a[3])),
    "adx": _directional,
}
# These sort their first argument: it is cut to the universe before.
_SORTING = frozenset({"cs_rank", "cs_quantile", "cs_top_bottom", "bucket", "group_cross", "group_rank"})


def _derived(name: str, carried: Collection[str]) -> Node | None:
    match name:
        case "returns":
            return Call("ts_returns", (Field("close"), Number(1.0)))
        case "vwap" if "amount" in carried:
            return Call("div", (Field("amount"), Field("volume")))
        case "vwap":
            total = Call("add", (Call("add", (Field("high"), Field("low"))), Field("close")))
            return Call("div", (total, Number(3.0)))
        case "amount":
            return Call("mul", (Field("volume"), Field("vwap")))
        case "market_open" | "market_close":
            return Call(f"_{name}", (Field("open"), Field("close")))
    if name.startswith("adv") and name[3:].isdecimal():
        return Call("ts_mean", (Field("amount"), Number(float(name[3:]))))
    return None


class Lowering:
    """Lowers trees for panels that carry the given fields; equal subtrees are lowered once."""

    def __init__(self, carried: Collection[str]) -> None:
        self.carried = frozenset(carried)
        self._known: dict[Node, Node] = {}

    def __call__(self, node: Node) -> Node:
        """Return the tree to compute.

        Raises
        ------
        InputError
            When the panel lacks a field that it names.
        """
        if isinstance(node, Number):
            return node
        found = self._known.get(node)
        if found is None:
            found = self._known[node] = self._field(node.name) if isinstance(node, Field) else self._call(node)
        return found

    def _field(self, name: str) -> Node:
        if name in self.carried:
            return Field(name)
        derived = _derived(name, self.carried)
        if derived is None:
            known = ", ".join(sorted(self.carried))
            hint = "groups need a panel that carries them" if name in GROUP_FIELDS else f"it has {known}"
            raise InputError(f"the data has no field {name!r}", hint)
        return self(derived)

    def _call(self, call: Call) -> Node:
        compound = _COMPOUND.get(call.op)
        if compound is not None:
            meant = compound(call.args)
            if not (isinstance(meant, Call) and meant.op == call.op):
                return self(meant)
        args = tuple(self(arg) for arg in call.args)
        if call.op in _SORTING and not isinstance(args[0], Number):
            args = (Call("_inside", args[:1]), *args[1:])
        return Call(call.op, args)
