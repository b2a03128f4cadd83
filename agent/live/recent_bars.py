"""The newest bars of a market: what the backtest's own functions are called on, bar after bar."""

from __future__ import annotations

import numpy as np

from agent.live.feed import Bar
from backtest.asset_facts import AssetFacts, facts_of
from backtest.market_rows import VOLATILITY_BARS, MarketRows, filled, market_rows, trailing_volatility
from backtest.trading_rules import BacktestSpec
from market.panel import OHLCV, BoolArray, FloatArray, Panel
from market.universe import liquid_rows, refresh_bars

# The row of the decision that is paid now, three bars back, reads 60 returns before it.
_BARS = VOLATILITY_BARS + 10
_READ = (*OHLCV, "amount", "funding")


class Recent:
    """The last bars of a panel, as arrays that a bar is added to, with the price that each asset had before them."""

    def __init__(self, panel: Panel, spec: BacktestSpec) -> None:
        names = [name for name in _READ if name in panel.fields]
        start = max(0, len(panel.times) - _BARS)
        self._spec = spec
        known = filled(panel[spec.fill][:start])
        self._price = known[-1] if len(known) else np.full(len(panel.assets), np.nan)
        self._like = panel.rows(start, len(panel.times))
        self._times = self._like.times
        self._fields = {name: self._like[name] for name in names}

    def put(self, bar: Bar) -> None:
        """Take the next bar."""
        nothing = np.full(len(self._like.assets), np.nan)
        gone = max(0, len(self._times) + 1 - _BARS)
        for row in self._fields[self._spec.fill][:gone]:
            self._price = np.where(np.isfinite(row), row, self._price)
        self._fields = {
            name: _after(values[gone:], bar.fields.get(name, nothing)) for name, values in self._fields.items()
        }
        self._times = np.append(self._times[gone:], bar.time)

    @property
    def bars(self) -> int:
        """How many bars there are."""
        return len(self._times)

    def volatility(self) -> FloatArray:
        """Return (1, N) volatility at the newest bar, as `ledger_rows` has it in its last row."""
        # That row reads no more; at most bars the rest of the market rows is asked of nobody.
        newest = self._fields["close"][-(VOLATILITY_BARS + 1) :]
        volatility: FloatArray = trailing_volatility(newest, VOLATILITY_BARS, len(newest) - 1)[-1:]
        return volatility

    def ledger_rows(self) -> MarketRows:
        """Return the market rows of the newest bars: but for the oldest, each equals that of the whole panel."""
        price = np.array(self._fields[self._spec.fill])
        # A price from before these bars is carried into them, as in the whole panel; nothing is traded at it.
        price[0] = np.where(np.isfinite(price[0]), price[0], self._price)
        fields = {**self._fields, self._spec.fill: price}
        universe = np.ones((len(self._times), len(self._like.assets)), dtype=bool)
        like = self._like
        return market_rows(Panel(self._times, like.assets, fields, universe, like.bar, like.calendar), self._spec)

    def facts(self, inside: BoolArray) -> AssetFacts:
        """Return what the rules read of the assets at the newest bar, a row of each.

        `inside` (rows, N) says which assets were in the universe at it and at the bars that facts are made of.
        """
        spec, like, count = self._spec, self._like, len(inside)
        if not (spec.market_neutral or spec.liquid_half):
            return AssetFacts(np.zeros((0, len(like.assets))), np.zeros((0, len(like.assets)), dtype=bool))
        fields = {name: values[-count:] for name, values in self._fields.items()}
        found = facts_of(Panel(self._times[-count:], like.assets, fields, inside, like.bar, like.calendar), spec)
        return AssetFacts(found.beta[-1:], found.liquid[-1:])

    def time(self, back: int) -> np.datetime64:
        """Return when the bar this many bars ago opened."""
        time: np.datetime64 = self._times[-1 - back]
        return time

    def price(self, back: int) -> FloatArray:
        """Return (N,) prices of the fill this many bars ago."""
        price: FloatArray = self._fields[self._spec.fill][-1 - back]
        return price


def _after(values: FloatArray, row: FloatArray) -> FloatArray:
    """Return values with one more row, read-only; what is infinite is missing, as in a panel."""
    longer = np.concatenate([values, np.where(np.isinf(row), np.nan, row)[None]])
    longer.setflags(write=False)
    return longer


class Liquid:
    """Which assets count, computed again every this many bars as `market.universe.liquid_universe` does."""

    def __init__(self, panel: Panel, *, top: int, least_money: float, days: float, refresh_days: float) -> None:
        self._rules = (top, least_money, days)
        self._open = top <= 0 and least_money <= 0
        self._panel, self._step = panel.rows(0, 0), refresh_bars(panel, refresh_days)
        self._bars = len(panel.times)
        self._has_amount = "amount" in panel.fields
        self._money = [np.where(panel.universe, panel.money, np.nan)]
        self._inside = np.ones(len(panel.assets), dtype=bool)
        if not self._open and self._bars:
            newest = (self._bars - 1) // self._step * self._step
            self._inside = liquid_rows(panel, self._money[0][: newest + 1], *self._rules)[-1]

    def put(self, bar: Bar) -> BoolArray:
        """Take the next bar; return (N,) which assets are in the universe at it."""
        if not self._open:
            nothing = np.full(len(bar.inside), np.nan)
            # A feed may give `amount` where the data set has none: what the data set has decides.
            money = (
                bar.fields.get("amount", nothing) if self._has_amount else bar.fields["volume"] * bar.fields["close"]
            )
            self._money.append(np.where(bar.inside, money, np.nan)[None])
            if self._bars % self._step == 0:
                # Of all bars, not only of the last days: a running mean carries rounding errors from the first bar.
                self._money = [np.concatenate(self._money)]
                self._inside = liquid_rows(self._panel, self._money[0], *self._rules)[-1]
        self._bars += 1
        inside: BoolArray = bar.inside & self._inside
        return inside
