"""What signals of a panel are scored against, prepared once: forward returns, market, regimes, known factors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from backtest.asset_facts import AssetFacts, asset_facts
from backtest.bar_regimes import market_regimes
from backtest.ic import centred_rows, forward_returns
from backtest.known import KnownFactors, known_factors
from backtest.market_rows import MarketRows, market_rows
from backtest.payoff import risk_returns
from backtest.placebo import calmest_first
from backtest.trading_rules import BacktestSpec
from backtest.weights import target_weights
from market.panel import BoolArray, FloatArray, Panel
from market.ranking import Ranked, rank_panel

HORIZONS = (1, 2, 4, 8, 12, 24)


@dataclass(frozen=True, eq=False)
class Target:
    """What signals of a panel are scored against, per decision bar t; arrays are (T, N) unless they say otherwise.

    Attributes
    ----------
    forward
        Return from the fill at t+1 to that at t+2, NaN where either price is missing.
    ranked
        Assets of each bar by `forward`.
    known, centred_ranks
        Where there is a forward return, and its ranks less their mean over the bar, 0 where missing: what is read of
        most bars, and kept small for that.
    risk
        `forward` less what the market, and the styles of the rules, explain, over trailing deviation (see
        `backtest.payoff`); 0 where unknown.
    sums
        (T, 4) assets with a forward return, sum of squares of `centred_ranks`, sum of `forward` and sum of its squares
        about its mean.
    market
        What the ledger reads.
    groups
        Group numbers within which positions are neutral, or None.
    extra_regimes
        Further regimes by name, (T,): such as the clusters of a flow.
    """

    panel: Panel
    spec: BacktestSpec
    market: MarketRows
    forward: FloatArray
    ranked: Ranked
    known: BoolArray
    centred_ranks: NDArray[np.float32]
    risk: NDArray[np.float32]
    sums: FloatArray
    groups: FloatArray | None = None
    extra_regimes: Mapping[str, BoolArray] = field(default_factory=dict)

    def weights(
        self, signal: FloatArray, ranks: FloatArray | None = None, spec: BacktestSpec | None = None
    ) -> FloatArray:
        """Return target weights of a signal within the universe, with this target's volatility and groups.

        `spec` is this target's under a factor's own trading rule, where it has one.
        """
        chosen = spec or self.spec
        return target_weights(signal, chosen, self.market.volatility, self.groups, ranks, facts=self.facts(chosen))

    @cached_property
    def _facts(self) -> dict[tuple[bool, bool], AssetFacts]:
        return {}

    def facts(self, spec: BacktestSpec) -> AssetFacts | None:
        """Return what trading rules read of the assets beside a signal, computed once; None where they read nothing."""
        if not spec.reads_facts:
            return None
        key = (spec.market_neutral, spec.liquid_half)
        if key not in self._facts:
            self._facts[key] = asset_facts(self.panel, spec)
        return self._facts[key]

    @cached_property
    def horizons(self) -> dict[int, Ranked]:
        """Assets of each bar by their return over each horizon that the panel is long enough for."""
        longest = len(self.panel.times) - 2
        further = (h for h in HORIZONS if 1 < h < longest)
        return {1: self.ranked} | {h: rank_panel(forward_returns(self.panel, h, self.spec.fill)) for h in further}

    @cached_property
    def regimes(self) -> dict[str, BoolArray]:
        """(T,) which bars belong to which regime, determined from bars up to each."""
        return market_regimes(self.panel) | dict(self.extra_regimes)

    @cached_property
    def _calm(self) -> dict[tuple[int, int], NDArray[np.int64]]:
        return {}

    def calm_order(self, part: slice) -> NDArray[np.int64]:
        """Return bars of a segment by volatility (see `backtest.placebo`), computed once."""
        key = (part.start, part.stop)
        if key not in self._calm:
            self._calm[key] = calmest_first(self.panel.rows(*key))
        return self._calm[key]

    @cached_property
    def sampled_values(self) -> dict[str, FloatArray | None]:
        """Values of other factors on a sample of bars, by text, kept by who compares signals with them."""
        return {}

    @cached_property
    def years(self) -> dict[str, BoolArray]:
        """(T,) which bars belong to which calendar year."""
        number = self.panel.times.astype("datetime64[Y]").astype(np.int64) + 1970
        return {str(year): number == year for year in np.unique(number).tolist()}

    @cached_property
    def known_factors(self) -> KnownFactors:
        """Returns of well-known factors between the same fills."""
        return known_factors(self.panel, self.market)


def prepare_target(
    panel: Panel,
    spec: BacktestSpec,
    *,
    groups: FloatArray | None = None,
    regimes: Mapping[str, BoolArray] | None = None,
) -> Target:
    """Prepare a panel for scoring under the trading rules `spec`."""
    forward = forward_returns(panel, 1, spec.fill)
    ranked = rank_panel(forward)
    known = np.isfinite(forward)
    # Ranks of as many assets as there ever are, less a mean of halves, are exact in 32 bits.
    centred_ranks = centred_rows(ranked.ranks)
    sums = [known.sum(axis=1), (centred_ranks**2).sum(axis=1), np.where(known, forward, 0.0).sum(axis=1)]
    return Target(
        panel,
        spec,
        market_rows(panel, spec),
        forward,
        ranked,
        known,
        centred_ranks.astype(np.float32),
        risk_returns(panel, forward, spec.styles),
        np.stack([*sums, (centred_rows(forward) ** 2).sum(axis=1)], axis=1),
        groups,
        regimes or {},
    )
