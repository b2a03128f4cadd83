"""The trading rules: how a signal becomes positions, when they are filled, what that costs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from backtest.costs import Costs
from market.errors import InputError

Weighting = Literal["rank", "zscore", "quantile", "long_only", "timeseries"]
Fill = Literal["open", "close"]
NEUTRAL = ("rank", "zscore", "quantile")
# What returns may be made residual to before a factor's payoff is read from them: the market always is.
MARKET = "market"
STYLES = ("size", "volatility", "liquidity", "momentum")
# The least share of the way to its target that a position may move a bar: slower is hardly a trade.
SLOWEST = 0.002


@dataclass(frozen=True, slots=True)
class BacktestSpec:
    """The trading rules.

    Attributes
    ----------
    weighting
        ``rank`` or ``zscore``: dollar-neutral across assets, gross 1. ``quantile``: the top quantile long, the bottom
        one short, equal weights, gross 1. ``long_only``: the top quantile, equal weights, sum 1. ``timeseries``: each
        asset on its own z-score over time, a share of 1 / assets each.
    holding
        Targets are averaged over this many bars, which is the same as holding that many overlapping portfolios
        (Jegadeesh & Titman 1993).
    fill
        Whether a decision at the close of bar t is filled at the open or at the close of bar t+1.
    rebalance
        Positions are traded at every such bar, counted from the panel's first; in between they drift with prices.
    rate
        At each trade a position moves this share of the way to its target: 1 all the way, 0.1 a tenth of it. Where
        the target is 0 and less than `backtest.ledger.DUST` of capital would be left, the position is closed.
    band
        An asset is traded only when its target is further than this from what is held, as a fraction of capital; a
        position is always closed.
    max_weight
        Largest position, as a fraction of capital. What is cut off is not handed to others; a neutral portfolio stays
        neutral by cutting its other side.
    quantiles
        How many parts the assets of a bar fall into, for ``quantile`` and ``long_only``.
    volatility_scaled
        Positions are divided by the asset's trailing volatility before they are brought to size.
    market_neutral
        What the market explains is taken out of the weights: less their fit on the assets' trailing betas, so that the
        portfolio's beta is 0 and longs equal shorts (see `backtest.asset_facts`). For the neutral
        weightings alone.
    liquid_half
        Only the half of the universe that traded most money of late is traded; the rest has no position.
    kelly
        Size of the portfolio as a fraction of Kelly's mean / variance of its own trailing net returns (0.5 is
        half-Kelly), between 0 and `max_leverage`. 0 is fixed size.
    max_risk
        Largest position times its trailing volatility a bar: what one standard deviation of one position may cost, as a
        fraction of capital.
    residual_to
        What the returns are residual to by which a factor's payoff before costs is tested: the market, and styles
        beside it (see `backtest.payoff`). What is traded and earned stays as it is.
    delisting_return
        What a position in an asset that ceases to trade earns over its last price when it is settled; -1 is all lost.
    """

    weighting: Weighting = "rank"
    holding: int = 1
    fill: Fill = "open"
    rebalance: int = 1
    rate: float = 1.0
    band: float = 0.0
    max_weight: float = 1.0
    quantiles: int = 5
    volatility_scaled: bool = False
    market_neutral: bool = False
    liquid_half: bool = False
    kelly: float = 0.0
    max_leverage: float = 1.0
    max_risk: float = math.inf
    delisting_return: float = 0.0
    residual_to: tuple[str, ...] = (MARKET,)
    costs: Costs = field(default_factory=Costs)

    def __post_init__(self) -> None:
        """Refuse rules that mean nothing."""
        wrong = [
            f"{name} = {value:g} is not {bounds}"
            for name, value, ok, bounds in (
                ("holding", self.holding, self.holding >= 1, "1 bar or more"),
                ("rebalance", self.rebalance, self.rebalance >= 1, "1 bar or more"),
                ("rate", self.rate, SLOWEST <= self.rate <= 1, f"between {SLOWEST:g} and 1"),
                ("band", self.band, 0 <= self.band < 1, "between 0 and 1"),
                ("max_weight", self.max_weight, 0 < self.max_weight <= 1, "above 0 and at most 1"),
                ("quantiles", self.quantiles, self.quantiles >= 2, "2 or more"),
                ("kelly", self.kelly, 0 <= self.kelly <= 1, "between 0 and 1"),
                ("max_leverage", self.max_leverage, self.max_leverage > 0, "above 0"),
                ("max_risk", self.max_risk, self.max_risk > 0, "above 0"),
                ("delisting_return", self.delisting_return, -1 <= self.delisting_return <= 1, "between -1 and 1"),
            )
            if not ok
        ]
        fault = residual_fault(self.residual_to)
        wrong += [f"residual_to: {fault}"] if fault else []
        if self.market_neutral and self.weighting not in NEUTRAL:
            wrong += [
                f"market_neutral needs weights that are long and short ({', '.join(NEUTRAL)}), not {self.weighting}"
            ]
        if wrong:
            raise InputError("; ".join(wrong), "correct it in alphaglow.toml [backtest]")

    @property
    def styles(self) -> tuple[str, ...]:
        """What the payoff is residual to beside the market."""
        return tuple(name for name in self.residual_to if name != MARKET)

    @property
    def is_neutral(self) -> bool:
        """Whether longs and shorts evaluate the same."""
        return self.weighting in NEUTRAL

    @property
    def label_bars(self) -> int:
        """Bars after a decision by which all that it earns is known.

        One at t is filled at t+1 and, kept for one bar, paid at t+2. Targets are averaged over `holding` bars and
        traded at every `rebalance`-th: each bar more of either is a bar later. What a band, or a `rate` below 1, keeps
        longer is not in it.
        """
        return self.holding + self.rebalance

    @property
    def reads_facts(self) -> bool:
        """Whether weights need `backtest.asset_facts`."""
        return self.market_neutral or self.liquid_half

    @property
    def is_cross_sectional(self) -> bool:
        """Whether assets are evaluated against one another."""
        return self.weighting != "timeseries"


def residual_fault(names: tuple[str, ...]) -> str:
    """Return what is wrong with a list of what returns are residual to, in words; empty if nothing is."""
    known = (MARKET, *STYLES)
    unknown = [name for name in names if name not in known]
    if unknown:
        return f"no such style: {', '.join(unknown)}; there are {', '.join(known)}"
    if MARKET not in names:
        return f"it has to have {MARKET!r}: what the market explains is taken out first"
    return "a name stands twice" if len(set(names)) < len(names) else ""
