"""The paper ledger: what decided weights would have earned, by the ledger of the backtest, a decision at a time."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from backtest.kernel_rules import ledger_rules
from backtest.ledger import SERIES, no_positions, settle_row
from backtest.market_rows import MarketRows
from backtest.trading_rules import BacktestSpec
from market.panel import FloatArray


def lag_of(spec: BacktestSpec, fields: Collection[str]) -> int:
    """Return after how many bars a decision is paid: the fill comes a bar later, and what it earns one more.

    Filled at a close, funding that is settled at the next one is determined by the bar after it.
    """
    return 3 if spec.fill == "close" and "funding" in fields else 2


class Running:
    """Positions between two bars: what they are worth, what the capital grew by, and which have had no price."""

    def __init__(self, width: int, spec: BacktestSpec, bars_per_year: float) -> None:
        self._positions = no_positions(width)
        self._rules = ledger_rules(spec, bars_per_year)
        self.weights = np.zeros(width)
        self.changes = np.zeros(width)

    @classmethod
    def after(cls, targets: FloatArray, ledger_rows: MarketRows, spec: BacktestSpec, bars_per_year: float) -> Running:
        """Return the ledger that has settled targets (T, N) on the first T rows of a market."""
        made = cls(targets.shape[1], spec, bars_per_year)
        for row, target in enumerate(targets):
            made.settle(target, ledger_rows, len(ledger_rows.tradable) - 1 - row, due=row % spec.rebalance == 0)
        return made

    def halt(self, ledger_rows: MarketRows, back: int) -> None:
        """Count for how many rows each asset has had no price before the decision `back` rows from the end."""
        for row in ledger_rows.tradable[: len(ledger_rows.tradable) - 1 - back]:
            self._positions.halted[:] = np.where(row, 0, self._positions.halted + 1)

    def settle(self, targets: FloatArray, ledger_rows: MarketRows, back: int, *, due: bool) -> FloatArray:
        """Trade towards targets (N,) and settle the row this many from its end.

        Returns (10,) figures as in `keep_ledger`. `weights` is then the positions just after the fill, `changes` what
        was traded.
        """
        row = len(ledger_rows.tradable) - 1 - back
        figures, growth = np.zeros(SERIES), float(self._positions.growth[0])
        before = self._positions.held / growth if growth > 0 else np.zeros(len(targets))
        weights = np.array(targets, dtype=np.float64)
        settle_row(weights, ledger_rows, row, self._positions, self._rules, due, figures)
        self.weights, self.changes = weights, weights - before
        return figures
