"""Evaluating expressions on a panel.

Every value depends on its own bar and earlier ones only: operators are streams that are fed bars in order, and none is
handed a later one (`factors.streams`). `factors.checks.check_truncation` tests it for a given factor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from factors.evaluation_plan import Runner, make_plan
from factors.lowering import Lowering
from factors.measure import piece_rows
from factors.streams import Layout
from factors.tree import Expression, Node, Signal
from market.panel import FloatArray, Panel


def evaluate(expression: Expression, panel: Panel) -> Signal:
    """Return the expression's values on `panel`; see `evaluate_all`."""
    return evaluate_all([expression], panel)[0]


def evaluate_all(expressions: Sequence[Expression], panel: Panel) -> list[Signal]:
    """Return the values of each expression on `panel`; equal subtrees are computed once.

    Outside the universe, assets take no part in ``cs_`` and ``group_`` operators. Whatever is not finite becomes NaN at
    every step, so that an overflow cannot turn into a value further on. Beside the results, memory is needed only for
    a piece of the panel and the state of the operators (`factors.measure.estimate_work`).

    Raises
    ------
    InputError
        When the panel lacks a field that an expression names.
    """
    lower = Lowering(panel.fields)
    roots = [lower(expression.root) for expression in expressions]
    values = compute(list(dict.fromkeys(roots)), panel)
    return [Signal(expression, values[root], panel.id) for expression, root in zip(expressions, roots, strict=True)]


def compute(roots: Sequence[Node], panel: Panel) -> dict[Node, FloatArray]:
    """Return (T, N) values of lowered trees."""
    bars, width = panel.shape
    layout = Layout(width, min(piece_rows(width), max(bars, 1)), np.dtype(np.float64))
    whole: dict[Node, FloatArray] = {root: np.empty(panel.shape) for root in roots}
    runner = Runner(make_plan(roots, layout, kept=frozenset(roots)), [])
    with np.errstate(all="ignore"):
        for start in range(0, bars, layout.rows):
            runner.advance(panel.fields, panel.universe, start, min(start + layout.rows, bars), whole)
    return whole
