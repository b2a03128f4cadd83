"""The engine's plan on a device: expressions in batches, level by level, equal operators of a level in one call.

Trees are lowered as for the engine on processors, equal subtrees once a batch. An expression with an operator that
`agent.device.tensor_operators` lacks is not for the device: see `DeviceEngine.supports`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agent.device import raw_kernels
from agent.device.bar_kernels import MOST_ASSETS, BarKernels
from agent.device.raw_kernels import RawKernels, sent
from agent.device.tensor_operators import OPERATORS, Setting
from factors.implementations import STREAMS
from factors.lowering import Lowering
from factors.tree import Call, Expression, Field, Node, Number
from market.errors import InputError
from market.panel import Panel

# Arrays (T, N) that a batch has at once, for each of its expressions: measured over random ones, with room.
_ARRAYS_EACH = 16
_SHARE_OF_MEMORY = 0.6
_CPU_BYTES = 1_000_000_000
_MOST_TOGETHER = 128


@dataclass(frozen=True, eq=False)
class Batch:
    """Expressions with their values (E, T, N) on the device, NaN where undefined."""

    expressions: tuple[Expression, ...]
    values: Tensor


def torch_device(name: str) -> torch.device:
    """Return the device that `name` means (``cpu``, ``cuda``); a card that is not there is an `InputError`."""
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError("there is no GPU that this torch can use", "leave --device away, or say cpu")
    return torch.device(name)


class DeviceEngine:
    """Evaluates expressions on the first bars of a panel, in float64 on a device.

    Parameters
    ----------
    stop
        Bars to evaluate, the whole panel if None.
    together
        Expressions of a batch; as many as the free memory of the device allows if None.
    kernels
        What computes windows; on a card its own kernels if None. Where they cannot be compiled, `note` says why, and
        windows are laid side by side, which is slower and gives the same.
    """

    def __init__(
        self,
        panel: Panel,
        device: str | torch.device,
        *,
        stop: int | None = None,
        together: int | None = None,
        kernels: RawKernels | None = None,
    ) -> None:
        self.device = torch_device(device) if isinstance(device, str) else device
        self.stop = panel.shape[0] if stop is None else min(stop, panel.shape[0])
        self.panel = panel
        self._lower = Lowering(panel.fields)
        self._fields: dict[str, Tensor] = {}
        outside = np.where(panel.universe[: self.stop], 0.0, np.nan)
        self.together = together or self._most()
        self.kernels = kernels if kernels is not None or self.device.type != "cuda" else RawKernels()
        self.note = "" if self.kernels is None else self.kernels.fault
        if self.note:
            self.kernels = None
        self.bar_kernels = self._bar_kernels()
        ranks = None if self.bar_kernels is None else self.bar_kernels.ranks
        self.setting = Setting(torch.from_numpy(outside).to(self.device), ranks)

    def _bar_kernels(self) -> BarKernels | None:
        """Return what ranks and scores bars, where kernels are compiled and a bar fits them."""
        if self.kernels is None or self.panel.shape[1] > MOST_ASSETS:
            return None
        found = BarKernels(self.panel.shape[1], self.kernels.compiler)
        self.note = found.fault
        return None if found.fault else found

    def _most(self) -> int:
        cells = 8 * self.stop * self.panel.shape[1]
        free = torch.cuda.mem_get_info(self.device)[0] if self.device.type == "cuda" else _CPU_BYTES
        return max(1, min(_MOST_TOGETHER, int(_SHARE_OF_MEMORY * free / (_ARRAYS_EACH * cells))))

    @property
    def _own_windows(self) -> frozenset[str]:
        return raw_kernels.COMPUTED if self.kernels is not None else frozenset()

    @property
    def _own_cells(self) -> frozenset[str]:
        return raw_kernels.CELLS if self.kernels is not None else frozenset()

    def supports(self, expression: Expression) -> bool:
        """Whether the device can compute an expression; the others are for `factors.batch.Engine`."""
        return all(call.op in OPERATORS for call in _calls(self._lower(expression.root)))

    def run(self, expressions: Iterable[Expression]) -> Iterator[Batch]:
        """Evaluate supported expressions, in their order, in batches."""
        waiting: list[Expression] = []
        for expression in expressions:
            waiting.append(expression)
            if len(waiting) == self.together:
                yield Batch(tuple(waiting), self.values(waiting))
                waiting = []
        if waiting:
            yield Batch(tuple(waiting), self.values(waiting))

    @torch.no_grad()
    def values(self, expressions: Sequence[Expression]) -> Tensor:
        """Return the values (E, T, N) of one batch."""
        roots = [self._lower(expression.root) for expression in expressions]
        levels, uses = _levels(roots)
        at_hand: dict[Node, Tensor] = {}
        for level in levels:
            for key, calls in _grouped(level, self._own_windows, self._own_cells).items():
                if key == _BY_CELLS:
                    self._compute_cells(calls, at_hand)
                else:
                    self._compute(calls, at_hand)
            _release(level, uses, at_hand)
        return torch.stack([self._array(root, at_hand) for root in roots])

    def _compute_cells(self, calls: Sequence[Call], at_hand: dict[Node, Tensor]) -> None:
        """Compute operators of several kinds in one launch."""
        assert self.kernels is not None
        operands = [
            [self._array(call.args[k if STREAMS[call.op][0] > k else 0], at_hand) for call in calls] for k in (0, 1)
        ]
        lags = [int(arg.value) if isinstance(arg := call.args[-1], Number) else 0 for call in calls]
        found = self.kernels.cells([call.op for call in calls], operands, lags)
        at_hand.update(zip(calls, found.unbind(0), strict=True))

    def _compute(self, calls: Sequence[Call], at_hand: dict[Node, Tensor]) -> None:
        op = calls[0].op
        arity = STREAMS[op][0]
        if self.kernels is not None and op in raw_kernels.COMPUTED:
            arrays = [[self._array(call.args[k], at_hand) for call in calls] for k in range(arity)]
            own = [[arg.value for arg in call.args[arity:] if isinstance(arg, Number)] for call in calls]
            at_hand.update(zip(calls, self.kernels(op, arrays, own).unbind(0), strict=True))
            return
        operands = [self._operand([call.args[k] for call in calls], op, at_hand) for k in range(arity)]
        numbers = [arg.value for arg in calls[0].args[arity:] if isinstance(arg, Number)]
        found = OPERATORS[op](operands, numbers, self.setting)
        whole = (len(calls), self.stop, self.panel.shape[1])
        found = found if found.shape == whole else found.expand(whole)
        at_hand.update(zip(calls, found.unbind(0), strict=True))

    def _operand(self, nodes: Sequence[Node], op: str, at_hand: dict[Node, Tensor]) -> Tensor:
        """Return one operand of several calls as (E, T, N); numbers as (E, 1, 1) where the operator takes them so."""
        if isinstance(nodes[0], Number):
            values = [node.value for node in nodes if isinstance(node, Number)]
            column = sent(np.array(values, dtype=np.float64), self.device).view(-1, 1, 1)
            return column if op in _BROADCAST else column.expand(-1, self.stop, self.panel.shape[1])
        arrays = [self._array(node, at_hand) for node in nodes]
        return arrays[0].unsqueeze(0) if len(arrays) == 1 else torch.stack(arrays)

    def _array(self, node: Node, at_hand: dict[Node, Tensor]) -> Tensor:
        if isinstance(node, Field):
            return self._field(node.name)
        if isinstance(node, Number):
            return torch.full((self.stop, self.panel.shape[1]), node.value, dtype=torch.float64, device=self.device)
        return at_hand[node]

    def _field(self, name: str) -> Tensor:
        if name not in self._fields:
            values = np.array(self.panel.fields[name][: self.stop], dtype=np.float64, order="C")
            self._fields[name] = torch.from_numpy(values).to(self.device)
        return self._fields[name]


# Operators, cell by cell, whose operands may be numbers as they are.
_BROADCAST = frozenset(
    {
        "add", "sub", "mul", "div", "power", "signed_power", "max", "min", "lt", "le", "gt", "ge", "eq", "ne", "and_",
        "or_", "if_else", "_place",
    }
)  # fmt: skip


def _calls(root: Node) -> Iterator[Call]:
    seen: set[Node] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, Call) and node not in seen:
            seen.add(node)
            yield node
            stack.extend(node.args)


def _levels(roots: Sequence[Node]) -> tuple[list[list[Call]], dict[Node, int]]:
    """Return calls by level, each after its operands, and how often each is read; roots once more."""
    heights: dict[Node, int] = {}
    uses: dict[Node, int] = defaultdict(int)
    levels: list[list[Call]] = []

    def height(node: Node) -> int:
        if not isinstance(node, Call):
            return 0
        found = heights.get(node)
        if found is None:
            found = heights[node] = 1 + max((height(arg) for arg in node.args), default=0)
            for arg in node.args:
                uses[arg] += 1
            while len(levels) < found:
                levels.append([])
            levels[found - 1].append(node)
        return found

    for root in roots:
        height(root)
        uses[root] += 1
    return levels, uses


_BY_CELLS: tuple[object, ...] = ("by cells",)


def _grouped(
    level: Sequence[Call], any_numbers: frozenset[str], cells: frozenset[str]
) -> dict[tuple[object, ...], list[Call]]:
    """Put calls together that one call on a stack computes: same operator, numbers, and kinds of operands.

    The numbers of the operators `any_numbers` may differ; operators `cells` of arrays go together whatever they are.
    """
    groups: dict[tuple[object, ...], list[Call]] = defaultdict(list)
    for call in level:
        arity = STREAMS[call.op][0]
        kinds = tuple(isinstance(arg, Number) for arg in call.args[:arity])
        key: tuple[object, ...] = (call.op,) if call.op in any_numbers else (call.op, call.args[arity:], kinds)
        key = _BY_CELLS if call.op in cells and not any(kinds) else key
        groups[key].append(call)
    return groups


def _release(level: Sequence[Call], uses: dict[Node, int], at_hand: dict[Node, Tensor]) -> None:
    """Forget values that nothing waits for."""
    for call in level:
        for arg in call.args:
            uses[arg] -= 1
            if uses[arg] == 0:
                at_hand.pop(arg, None)
