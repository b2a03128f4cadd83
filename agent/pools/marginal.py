"""What a pool has already, and what a factor would add to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.pool_records import PoolMember, PoolRecord
from agent.pools.members import MeasuredFactors, trade_values, under_rule
from agent.pools.weighting import Method, fit_weights, unseen_values
from agent.study.study import Study
from backtest.figures import SEGMENTS
from backtest.ic import newey_west_t
from backtest.mean_test import mean_test
from backtest.residual_ic import residual_ic
from backtest.rule_grid import TradingRule
from backtest.scorecard import paid_rows
from market.errors import Rejection
from market.panel import FloatArray

# Members whose returns on train correlate by this much are one theme.
CROWDED = 0.5


@dataclass(frozen=True)
class Marginal:
    """What a signal adds to a pool: rank IC of what is left of it once the pool's ranks are taken out, a bar.

    Attributes
    ----------
    rank_ic, ic_tstat
        Of the residual, on train; NaN where nothing is left.
    correlation
        Mean rank correlation a bar with the pool's signal, on train.
    keeps
        Whether the residual's rank IC has the same sign on validation. Its size is shown to nobody.
    """

    rank_ic: float
    ic_tstat: float
    correlation: float
    keeps: bool

    def sentences(self) -> tuple[str, ...]:
        """Say it in words that may go into a prompt: figures of train, and of validation a verdict."""
        if not np.isfinite(self.rank_ic):
            return ("it ranks assets as the pool does: nothing is left of it beside the pool",)
        does = "keeps" if self.keeps else "does not keep"
        return (
            f"beside the pool, whose signal it goes with by {self.correlation:+.2f}, its rank IC on train is "
            f"{self.rank_ic:+.4f} (t {self.ic_tstat:.1f})",
            f"what it adds {does} its sign on validation",
        )


def marginal(values: FloatArray, pool: FloatArray, study: Study) -> Marginal:
    """Return what a signal adds to a pool's signal; both (T, N) on the study's panel. It is no trial."""
    inside = study.panel.universe
    mine, theirs = (np.where(inside, side, np.nan) for side in (values, pool))
    found = residual_ic(mine, theirs, study.target.forward)
    train, validation = (found.ic[paid_rows(getattr(study.split, part))] for part in SEGMENTS)
    known = train[np.isfinite(train)]
    mean = float(known.mean()) if len(known) else float("nan")
    later = validation[np.isfinite(validation)]
    together = found.correlation[paid_rows(study.split.train)]
    together = together[np.isfinite(together)]
    return Marginal(
        mean,
        newey_west_t(train),
        float(together.mean()) if len(together) else float("nan"),
        bool(len(later) and float(later.mean()) * mean > 0),
    )


@dataclass(frozen=True)
class AddedPayoff:
    """What a member adds to a pool's net payoff, walking forward through train.

    Attributes
    ----------
    sharpe, error
        By what the annual net Sharpe ratio of the pool rises with it, and the standard error of that: the mean
        difference of both pools' net returns, each brought to one deviation.
    z
        Normal score of that difference; NaN where it cannot be computed.
    keeps
        Whether the difference has the same sign on validation. Its size is shown to nobody.
    """

    sharpe: float
    error: float
    z: float
    keeps: bool

    def sentence(self) -> str:
        """Say it in words that may go into a prompt."""
        if not np.isfinite(self.sharpe):
            return "what it adds to the pool's net payoff cannot be computed"
        does = "keeps" if self.keeps else "does not keep"
        return (
            f"walking forward through train it adds {self.sharpe:+.2f} (error {self.error:.2f}) to the net Sharpe "
            f"ratio of the pool; on validation that {does} its sign"
        )


def added_payoff(
    measured: MeasuredFactors, number: int, method: Method, rule: TradingRule | None = None
) -> AddedPayoff | Rejection:
    """Return what member `number` adds to the pool of the others: both fitted by one method, and traded by one rule.

    Weights of each block of train come from the blocks before it. It is no trial: nothing is chosen by it. A rejection
    says why the pool with it, or the one without, has no weight.
    """
    whole = fit_weights(measured, method, rule=rule)
    if isinstance(whole, Rejection):
        return whole
    rest = fit_weights(measured, method, but=number, penalties=whole.penalties, rule=whole.rule)
    if isinstance(rest, Rejection):
        return rest
    study = under_rule(measured.study, whole.rule)
    both = [trade_values(unseen_values(measured, one), study).net for one in (whole, rest)]
    parts = []
    for segment in SEGMENTS:
        rows = paid_rows(getattr(study.split, segment))
        units = [net[rows] / np.nanstd(net[rows]) if np.nanstd(net[rows]) > 0 else net[rows] * np.nan for net in both]
        parts.append(units[0] - units[1])
    test, year = mean_test(parts[0]), float(np.sqrt(study.panel.bars_per_year))
    later = float(np.nanmean(parts[1])) if np.isfinite(parts[1]).any() else float("nan")
    return AddedPayoff(test.mean * year, test.error * year, test.z, bool(later * test.mean > 0))


def describe_pool(knowledge: KnowledgeBase, panel_id: str, *, most: int = 6) -> list[str]:
    """Say what the panel's newest pool has already, for a writer: crowded themes, and who carries the weight.

    Figures are of train alone, and no asset and no date is named. Nothing where no pool was fitted.
    """
    pools = knowledge.pools(panel_id, related="earlier")
    if not pools:
        return []
    pool = pools[-1]
    kept = [m for m in pool.members if m.weight != 0.0]
    lines = [f"a pool of {len(kept)} factors is kept already ({pool.method} weights): what goes with it adds little"]
    themes = crowded_themes(pool)
    for theme in themes[:most]:
        leader, share = theme[0], sum(abs(m.weight) for m in theme)
        related = f" and {len(theme) - 1} more that go with it" if len(theme) > 1 else ""
        lines.append(
            f"{share:.0%} of its weight: {leader.text}{related} (rank IC on train {leader.train.rank_ic:+.4f})"
        )
    if len(themes) > most:
        rest = sum(abs(m.weight) for theme in themes[most:] for m in theme)
        lines.append(f"{rest:.0%} of its weight: {len(themes) - most} other themes")
    return lines


def crowded_themes(pool: PoolRecord) -> list[list[PoolMember]]:
    """Return members that carry weight, grouped by returns on train that correlate by half or more; heaviest first.

    A member joins the first theme whose heaviest member it goes with, with either sign.
    """
    order = sorted(range(len(pool.members)), key=lambda k: (-abs(pool.members[k].weight), k))
    themes: list[list[int]] = []
    for number in order:
        if pool.members[number].weight == 0.0:
            continue
        near = pool.members[number].correlations
        home = next((t for t in themes if abs(near[t[0]]) >= CROWDED), None)
        if home is None:
            themes.append([number])
        else:
            home.append(number)

    def weight(theme: list[int]) -> float:
        return sum(abs(pool.members[k].weight) for k in theme)

    return [[pool.members[k] for k in theme] for theme in sorted(themes, key=lambda t: (-weight(t), t[0]))]
