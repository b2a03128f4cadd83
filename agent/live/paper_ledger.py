"""The paper ledger: what decided weights would have earned, by the ledger of the backtest, a decision at a time."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from backtest.ledger import SERIES, settle_row
from backtest.market_rows import Tape
from backtest.trading_rules import BacktestSpec
from market.panel import FloatArray


def lag_of(spec: BacktestSpec, fields: Collection[str]) -> int:
    """Return after how many bars a decision is paid: the fill comes a bar later, and what it earns one more.

    Filled at a close, funding that is settled at the next one is told by the bar after it.
    """
    return 3 if spec.fill == "close" and "funding" in fields else 2


class Running:
    """Positions between two bars: what they are worth, what the capital grew by, and which have had no price."""

    def __init__(self, width: int, spec: BacktestSpec, bars_per_year: float) -> None:
        costs = spec.costs
        self._held = np.zeros(width)
        self._halted = np.zeros(width, dtype=np.int64)
        self._growth = 1.0
        self._rules = (costs.per_trade, costs.borrow_bp_year * 1e-4 / bars_per_year, math.sqrt(costs.capital))
        self._band, self._lost = spec.band, spec.delisting_return
        self.weights = np.zeros(width)
        self.changes = np.zeros(width)

    @classmethod
    def after(cls, targets: FloatArray, tape: Tape, spec: BacktestSpec, bars_per_year: float) -> Running:
        """Return the ledger that has settled targets (T, N) on the first T rows of a tape."""
        made = cls(targets.shape[1], spec, bars_per_year)
        for row, target in enumerate(targets):
            made.settle(target, tape, len(tape.tradable) - 1 - row, due=row % spec.rebalance == 0)
        return made

    def halt(self, tape: Tape, back: int) -> None:
        """Read off a tape for how long each asset has had no price before the decision so many rows from its end."""
        for row in tape.tradable[: len(tape.tradable) - 1 - back]:
            self._halted = np.where(row, 0, self._halted + 1)

    def settle(self, targets: FloatArray, tape: Tape, back: int, *, due: bool) -> FloatArray:
        """Trade towards targets (N,) and settle the row of the tape so many from its end.

        Returns (10,) figures as in `keep_ledger`. `weights` is then what was held just after the fill, `changes` what
        was traded.
        """
        row = len(tape.tradable) - 1 - back
        nothing, figures = np.zeros(0), np.zeros(SERIES)
        before = self._held / self._growth if self._growth > 0 else np.zeros_like(self._held)
        weights = np.array(targets, dtype=np.float64)
        self._growth = settle_row(
            weights,
            tape.tradable[row],
            tape.returns[row],
            tape.funding[row] if len(tape.funding) else nothing,
            tape.impact[row] if len(tape.impact) else nothing,
            self._held,
            self._halted,
            self._growth,
            figures,
            *self._rules,
            due,
            self._band,
            self._lost,
        )
        self.weights, self.changes = weights, weights - before
        return figures
