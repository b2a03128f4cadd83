"""What could be seen at all: the least Sharpe ratio that a test finds, by its number of bars and of trials."""

from __future__ import annotations

import math
from dataclasses import dataclass

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.study.study import Study
from backtest.evidence import Trials
from backtest.mean_test import LEAST_PAYOFFS, least_sharpe
from backtest.scorecard import paid_rows

POWER = 0.8


@dataclass(frozen=True)
class Detectable:
    """What a test on some data could find.

    Attributes
    ----------
    payoffs
        Bars of train and validation that are paid.
    trials
        That the factor would be one of.
    hurdle
        The score that it would have to exceed.
    sharpe
        Annual Sharpe ratio that would exceed it in `power` of cases; NaN below 30 payoffs, which are no test.
    """

    payoffs: int
    trials: int
    hurdle: float
    sharpe: float
    power: float = POWER

    def sentence(self) -> str:
        """Say it in one line."""
        among = "1 trial" if self.trials == 1 else f"{self.trials} trials"
        if not math.isfinite(self.sharpe):
            return f"no test is possible: train and validation have {self.payoffs} payoffs, fewer than {LEAST_PAYOFFS}"
        return (
            f"of {self.payoffs:,} payoffs, among {among}: a factor is found in {self.power:.0%} of cases if its true "
            f"Sharpe ratio is {self.sharpe:.1f} a year or more"
        )


def detectable(study: Study, knowledge: KnowledgeBase, *, more: int = 1) -> Detectable:
    """Return what could be found on a study's data, among the trials that are recorded and `more` to come.

    Of payoffs without autocorrelation; with a false discovery rate it is what one factor alone would need.
    """
    bars = sum(len(range(*paid_rows(part).indices(len(study.panel.times)))) for part in _parts(study))
    counted = knowledge.trials(study.dataset)
    trials = Trials(
        counted.evaluated + more, counted.sharpe_variance, counted.effective, knowledge.largest_scores(study.dataset)
    )
    hurdle = trials.hurdle(study.policy.level)
    return Detectable(bars, trials.count, hurdle, least_sharpe(bars, study.panel.bars_per_year, hurdle, POWER))


def _parts(study: Study) -> tuple[slice, slice]:
    return study.split.train, study.split.validation
