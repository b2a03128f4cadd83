"""Factors kept up to date: one new bar at a time, with the values that the whole panel would give, to the last bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from factors.evaluation_plan import Runner, make_plan
from factors.lowering import Lowering
from factors.measure import piece_rows
from factors.streams import Array, Layout
from factors.tree import Expression
from market.errors import InputError
from market.panel import BoolArray, FloatArray, Panel


class LiveFactors:
    """Expressions that have seen a panel, and take further bars of it.

    What operators remember is kept from bar to bar, so that a bar costs the same however long the history is.

    Parameters
    ----------
    expressions
        The factors; equal subtrees are computed once.
    panel
        The history, oldest bar first.

    Raises
    ------
    InputError
        When the panel lacks a field that an expression names.
    """

    def __init__(self, expressions: Sequence[Expression], panel: Panel) -> None:
        self.expressions = tuple(expressions)
        self.assets = panel.assets
        lower = Lowering(panel.fields)
        self._roots = [lower(expression.root) for expression in expressions]
        bars, width = panel.shape
        layout = Layout(width, piece_rows(width), np.dtype(np.float64), live=True)
        self._runner = Runner(make_plan(list(dict.fromkeys(self._roots)), layout), [])
        self._fields = self._runner.plan.field_names
        self.values = np.full((len(self._roots), width), np.nan)
        for start in range(0, bars, layout.rows):
            self._advance(panel.fields, panel.universe, start, min(start + layout.rows, bars))

    def append(self, bar: Mapping[str, FloatArray], universe: BoolArray | None = None) -> FloatArray:
        """Take the next bar; return each factor's values there, (F, N), NaN where undefined.

        Parameters
        ----------
        bar
            Field to its (N,) values, in the order of `assets`; what is missing is NaN.
        universe
            (N,) which assets take part; all if None.

        Raises
        ------
        InputError
            When a field is lacking or has another shape; nothing has been taken then.
        """
        width = len(self.assets)
        rows: dict[str, Array] = {}
        for name in self._fields:
            if name not in bar:
                raise InputError(f"the bar lacks {name}", f"it needs {', '.join(self._fields)}")
            values = np.asarray(bar[name], dtype=np.float64)
            if values.shape != (width,):
                raise InputError(f"{name} has shape {values.shape}", f"it needs one value for each of {width} assets")
            rows[name] = np.where(np.isfinite(values), values, np.nan)[None, :]
        part = np.ones(width, dtype=bool) if universe is None else np.asarray(universe, dtype=bool)
        if part.shape != (width,):
            raise InputError(f"the universe has shape {part.shape}", f"it needs one value for each of {width} assets")
        self._advance(rows, part[None, :], 0, 1)
        return self.values.copy()

    def _advance(self, fields: Mapping[str, Array], universe: BoolArray, start: int, stop: int) -> None:
        with np.errstate(all="ignore"):
            self._runner.advance(fields, universe, start, stop, {})
        for place, root in enumerate(self._roots):
            self.values[place] = self._runner.values(root, stop - start)[-1]
