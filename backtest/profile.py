"""What of a scorecard goes into tables: by horizon, year, regime, quantile, known factor and asset."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from backtest import metrics
from backtest.decay import decay_of
from backtest.ic import horizon_ic, monotonicity, pooled_ic, quantile_series, rank_ic_of
from backtest.known import NAMES, Attribution
from backtest.luck import sharpe_standard_error
from backtest.result_types import AssetIC, HorizonIC, Profile, SliceScore
from backtest.run import Backtest
from backtest.target import Target
from market.panel import BoolArray, FloatArray
from market.ranking import Ranked

QUANTILES = 5
NAN = float("nan")


@dataclass(frozen=True, eq=False)
class Signals:
    """A signal within the universe (T, N), its order a bar, its rank IC a bar (T,), and the returns it meets (T, N)."""

    values: FloatArray
    ranked: Ranked
    ic: FloatArray
    forward: FloatArray

    @cached_property
    def quantiles(self) -> FloatArray:
        """(T, 5) mean forward return of each quantile of the signal."""
        return quantile_series(self.ranked, self.forward, QUANTILES)

    @cached_property
    def autocorrelation(self) -> FloatArray:
        """(T,) rank correlation with the signal of the bar before."""
        now, before = (
            Ranked(self.ranked.order[part], self.ranked.ranks[part], self.ranked.counts[part])
            for part in (slice(1, None), slice(0, -1))
        )
        return np.concatenate([[np.nan], rank_ic_of(now, before)])


@dataclass(frozen=True)
class QuantileReturns:
    """Mean return a bar of each quantile, lowest signal first, and how steadily it rises (see `monotonicity`)."""

    means: tuple[float, ...]
    monotonicity: float


def profile_of(signals: Signals, result: Backtest, target: Target, part: slice, known: Attribution) -> Profile:
    """Return the tables of a segment; nothing that is paid after it enters."""
    paid = slice(part.start, part.stop - 2)
    wide = target.spec.is_cross_sectional
    assets: tuple[AssetIC, ...] = ()
    if not wide:
        found = pooled_ic(signals.values[paid], target.forward[paid]).by_asset
        assets = tuple(AssetIC(name, float(ic)) for name, ic in zip(target.panel.assets, found, strict=True))
    decay, half_life = decay_of(signals.ranked.ranks, target.risk, part) if wide else ((), NAN)
    years, regimes = (
        tuple(
            _slice(name, member[paid], signals, result, target, paid)
            for name, member in cuts.items()
            if member[paid].any()
        )
        for cuts in (target.years, target.regimes)
    )
    return Profile(
        horizons=_horizons(signals, target, part) if wide else (),
        quantiles=mean_quantiles(signals, paid).means if wide else (),
        years=years,
        regimes=regimes,
        loadings=dict(zip(NAMES, known.loadings, strict=True)),
        assets=assets,
        decay=decay,
        half_life=half_life,
    )


def _horizons(signals: Signals, target: Target, part: slice) -> tuple[HorizonIC, ...]:
    found = []
    for horizon, ranked in target.horizons.items():
        # The last decision of a segment whose label ends within it.
        inside = slice(part.start, max(part.stop - 1 - horizon, part.start))
        mine, theirs = (Ranked(r.order[inside], r.ranks[inside], r.counts[inside]) for r in (signals.ranked, ranked))
        series = signals.ic[inside] if horizon == 1 else rank_ic_of(mine, theirs)
        found.append(horizon_ic(series, horizon))
    return tuple(found)


def mean_quantiles(signals: Signals, paid: slice) -> QuantileReturns:
    """Return the mean forward return of each signal quantile over some decisions."""
    series = signals.quantiles[paid]
    known = np.isfinite(series)
    counts = known.sum(axis=0)
    means = np.where(counts > 0, np.where(known, series, 0.0).sum(axis=0) / np.maximum(counts, 1), np.nan)
    return QuantileReturns(tuple(float(m) for m in means), monotonicity(means))


def _slice(name: str, member: BoolArray, signals: Signals, result: Backtest, target: Target, paid: slice) -> SliceScore:
    net = result.net[paid][member]
    year = target.panel.bars_per_year
    if target.spec.is_cross_sectional:
        series = signals.ic[paid][member]
        known = series[np.isfinite(series)]
        mean = float(known.mean()) if len(known) else NAN
        # Bars of a regime need not follow one another: autocorrelation over the joints is a small one.
        tstat = horizon_ic(series, 1).tstat
    else:
        pooled = pooled_ic(signals.values[paid][member], target.forward[paid][member])
        mean, tstat = pooled.mean, pooled.tstat
    return SliceScore(
        name,
        len(net),
        mean,
        tstat,
        sharpe_net=metrics.sharpe(net, year),
        annual_return_net=float(np.mean(net)) * year if len(net) else NAN,
        sharpe_error=sharpe_standard_error(net) * math.sqrt(year),
    )
