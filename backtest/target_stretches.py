"""What signals are scored against, a stretch of bars after the other: for panels whose targets do not fit into memory.

Each stretch has, to the last bit, the rows that `backtest.target.prepare_target` gives of the whole panel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from backtest.ic import centred_rows, forward_returns
from backtest.market_rows import VOLATILITY_BARS, Carried, MarketRows, filled, market_rows
from backtest.payoff import half_life, next_risk, no_risk, risk_returns
from backtest.quick import is_by_bar
from backtest.target import Target
from backtest.trading_rules import BacktestSpec
from market.errors import InputError
from market.panel import FloatArray, Panel
from market.ranking import rank_panel

# Bars after a decision that its outcome, and what is settled until then, are read from.
_AHEAD = 3
_BEFORE = VOLATILITY_BARS + 2


def require_stretches(spec: BacktestSpec) -> None:
    """Refuse, as an `InputError`, trading rules that need more than a stretch of a signal and of its market."""
    for name, asked in (
        ("styles", bool(spec.styles)),
        ("a time series, kelly, max_risk, market_neutral or liquid_half", not is_by_bar(spec)),
    ):
        if asked:
            raise InputError(
                f"data that are stored by field are scored bar by bar: {name} cannot be asked for",
                "change [backtest] in alphaglow.toml, or import data that fit into memory",
            )


@dataclass
class TargetStretches:
    """Prepares the stretches of a panel in their order; `state` is what is carried from one to the next."""

    panel: Panel
    spec: BacktestSpec
    has_volume: bool
    has_funding: bool
    risk: FloatArray = field(init=False)
    prices: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        """Begin before the first bar."""
        require_stretches(self.spec)
        self._half = half_life(self.panel)
        self.risk = no_risk(self.panel.shape[1])
        self.prices = np.full(self.panel.shape[1], np.nan)

    def next(self, start: int, stop: int) -> Target:
        """Return the target of bars [start, stop); bars before `start` were asked for before."""
        first, last = max(0, start - _BEFORE), min(stop + _AHEAD, len(self.panel.times))
        part = self.panel.rows(first, last)
        own = slice(start - first, stop - first)
        forward = forward_returns(part, 1, self.spec.fill)
        trailing = self._trailing(part, own)
        market = market_rows(part, self.spec, Carried(self.prices, self.has_volume, self.has_funding))
        # The next stretch begins some bars before its first decision: the last prices are those before that.
        following = max(0, stop - _BEFORE) - first
        if following > 0:
            known = filled(np.vstack([self.prices[None], part[self.spec.fill][:following]]))
            self.prices = known[-1]
        return _target(part.rows(own.start, own.stop), self.spec, forward[own], _cut(market, own), trailing)

    def _trailing(self, part: Panel, own: slice) -> tuple[FloatArray, FloatArray]:
        seen = part.rows(0, own.stop)
        return next_risk(seen, self._half, self.risk, own.start)


def _cut(market: MarketRows, own: slice) -> MarketRows:
    return market.rows(own)


def _target(
    panel: Panel, spec: BacktestSpec, forward: FloatArray, market: MarketRows, trailing: tuple[FloatArray, FloatArray]
) -> Target:
    ranked, known = rank_panel(forward), np.isfinite(forward)
    centred_ranks = centred_rows(ranked.ranks)
    sums = [known.sum(axis=1), (centred_ranks**2).sum(axis=1), np.where(known, forward, 0.0).sum(axis=1)]
    return Target(
        panel,
        spec,
        market,
        forward,
        ranked,
        known,
        centred_ranks.astype(np.float32),
        risk_returns(panel, forward, trailing=trailing),
        np.stack([*sums, (centred_rows(forward) ** 2).sum(axis=1)], axis=1),
    )


def stretches(bars: int, size: int, begin: int = 0) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of the stretches of a panel, from the one that starts at `begin` on."""
    for start in range(begin, bars, size):
        yield start, min(start + size, bars)
