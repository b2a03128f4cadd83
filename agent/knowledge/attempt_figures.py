"""What is read of an attempt most often: its verdict, its train figures, its place among others."""

from __future__ import annotations

import math
from collections.abc import Callable

from agent.knowledge.records import AttemptRecord
from agent.knowledge.score_documents import read_flat
from backtest.policy import train_words
from backtest.result_types import SegmentScore

# A factor whose payoff has at least this normal score on train predicts there, and beyond the second surely.
_SEEN_Z, _SURE_Z = 2.0, 3.0
# Of attempts that were recorded before payoffs were: the least t statistic of a rank IC.
PREDICTS_T = 3.0
_UNSCORED = read_flat(SegmentScore, None)
# Chooses the figure to rank by.
Figure = Callable[[SegmentScore], float]


def train_of(attempt: AttemptRecord) -> SegmentScore:
    """Return the train figures of an attempt; every one of them is NaN where it was not evaluated."""
    return _UNSCORED if attempt.evaluation is None else attempt.evaluation.train


def or_none(figure: float | None) -> float | None:
    """Return a finite figure, or None for what is undefined."""
    return float(figure) if figure is not None and math.isfinite(figure) else None


def or_zero(figure: float) -> float:
    """Return a finite figure, and 0 for what is undefined."""
    return float(figure) if math.isfinite(figure) else 0.0


def traded_sharpe(train: SegmentScore) -> float:
    """Return the net Sharpe ratio that a factor would be traded with: behind the gate, where there is one."""
    return train.sharpe_gated if math.isfinite(train.sharpe_gated) else train.sharpe_net


def net_score(train: SegmentScore) -> float:
    """Return the normal score of what a factor nets on train, gated where there is a gate; NaN where it is unknown.

    Of attempts that were recorded before scores were, the net Sharpe ratio a bar times the root of bars stands for it.
    """
    if math.isfinite(train.net_z):
        return train.net_z
    return train.per_bar_sharpe_net * math.sqrt(train.n_bars)


def sharpe_gated(train: SegmentScore) -> float:
    """Return the net Sharpe ratio behind the gate."""
    return train.sharpe_gated


def sharpe_net(train: SegmentScore) -> float:
    """Return the net Sharpe ratio without a gate."""
    return train.sharpe_net


def least_figure(attempt: AttemptRecord, figure: Figure) -> float:
    """Return a train figure to rank by: what has none comes last."""
    found = figure(train_of(attempt))
    return found if math.isfinite(found) else -math.inf


def predicts_on_train(attempt: AttemptRecord, *, surely: bool = False) -> bool:
    """Whether a factor pays on train before costs, as far as train alone can say."""
    return pays_before_costs(train_of(attempt), surely=surely)


def pays_before_costs(train: SegmentScore, *, surely: bool = False) -> bool:
    """Whether train figures show a payoff before costs that luck would seldom give."""
    if math.isfinite(train.payoff_z):
        return train.payoff_z >= (_SURE_Z if surely else _SEEN_Z)
    return or_zero(train.ic_tstat) >= PREDICTS_T


def earns_on_train(attempt: AttemptRecord) -> bool:
    """Whether a factor has a net return above 0 on train, behind the gate where there is one."""
    return or_zero(traded_sharpe(train_of(attempt))) > 0.0


def passed_on_train(attempt: AttemptRecord) -> bool:
    """Whether a factor predicts and earns on train."""
    return predicts_on_train(attempt) and earns_on_train(attempt)


def train_verdict(attempt: AttemptRecord) -> str:
    """Return what train alone says of an attempt, or the stage at which it ended: all that the search may know."""
    if attempt.evaluation is None:
        return f"{attempt.stage}: {attempt.code}"
    if not predicts_on_train(attempt):
        return "nothing on train"
    return "predicts and earns on train" if earns_on_train(attempt) else "predicts on train, costs eat it"


def train_reason(attempt: AttemptRecord) -> str:
    """Return why, in words, from train alone; nothing where it was not evaluated."""
    train = train_of(attempt)
    return "" if attempt.evaluation is None or not math.isfinite(train.payoff_z) else train_words(train.payoff_z)


def verdict_of(attempt: AttemptRecord) -> str:
    """Return the verdict's word, or the stage at which the attempt ended."""
    return f"{attempt.stage}: {attempt.code}" if attempt.evaluation is None else attempt.evaluation.verdict


def reasons_of(attempt: AttemptRecord) -> str:
    """Return the reasons for the verdict in one line; nothing where it was not evaluated."""
    return "" if attempt.evaluation is None else "; ".join(attempt.evaluation.evidence.reasons)


def verdict_rank(attempt: AttemptRecord) -> int:
    """Return 0 for an accepted factor, 1 for a promising, 2 for an untested one, 3 for the rest."""
    return {"accepted": 0, "promising": 1, "untested": 2}.get(verdict_of(attempt), 3)


def factor_order(attempt: AttemptRecord) -> tuple[int, float, int]:
    """Sort key: accepted, promising, untested, the rest; then train net Sharpe (gated with a gate), best first."""
    best = traded_sharpe(train_of(attempt))
    return verdict_rank(attempt), -best if math.isfinite(best) else 1e9, attempt.id
