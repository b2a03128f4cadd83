"""What a model expected of a factor, and what its backtest found: scored as a trial and kept side by side."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from agent.knowledge.attempt_figures import or_none
from agent.knowledge.claims import Claims
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import NewAttempt
from agent.study.looking import Look, look_at_factor
from agent.study.opening import OpenData
from backtest.verdict_words import verdict_sentence
from factors.tree import Expression
from market.errors import Rejection


@dataclass(frozen=True)
class Expected:
    """What a model expects: mean rank IC a bar, share of the capital traded a bar, bars of holding; None: not said."""

    ic: float | None = None
    turnover: float | None = None
    holding: int | None = None

    def to_dict(self) -> dict[str, object]:
        """Return what was said, as plain JSON types."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Came:
    """What the backtest found on train, and the verdict.

    Attributes
    ----------
    ic, turnover, holding
        Mean rank IC a bar, share of the capital traded a bar, and the mean number of bars that a position lasts.
    sharpe_net, payoff_z
        Net Sharpe ratio a year, and the normal score of what it pays before costs.
    verdict, says
        The verdict's word and sentence, after this many `trials` on the data.
    attempt
        The trial that keeps it; None where the factor was recorded before: what was expected of it is not kept then.
    note
        What a reader should know of the record.
    """

    ic: float | None
    turnover: float | None
    holding: float | None
    sharpe_net: float | None
    payoff_z: float | None
    verdict: str
    says: str
    trials: int | None
    attempt: int | None
    note: str = ""


def score_answer(
    expression: Expression,
    text: str,
    about: tuple[str, str],
    claims: Claims,
    opened: OpenData,
    knowledge: KnowledgeBase,
) -> Came | Rejection:
    """Score a factor as `alphaglow eval` does, which is a counted trial, and keep what its writer claims of it.

    `about` is its name and its rationale.
    """
    name, rationale = about

    def described(new: NewAttempt) -> NewAttempt:
        return replace(new, name=name, rationale=rationale, claims=claims)

    seen = look_at_factor(expression, text, opened, knowledge, described=described)
    return seen if isinstance(seen, Rejection) else _came(seen, opened)


def _came(seen: Look, opened: OpenData) -> Came:
    card, evidence, train = seen.scorecard, seen.evidence, seen.scorecard.train
    new = seen.attempt is not None and not seen.repeated
    note = seen.note or ("" if seen.copy is None else seen.copy.message)
    return Came(
        ic=or_none(train.rank_ic),
        turnover=or_none(train.turnover),
        holding=or_none(train.duration),
        sharpe_net=or_none(train.sharpe_net),
        payoff_z=or_none(train.payoff_z),
        verdict="" if evidence is None else evidence.verdict,
        says="" if evidence is None else verdict_sentence(evidence, card, opened.study.policy.level),
        trials=None if evidence is None else evidence.trials,
        attempt=seen.attempt.id if new and seen.attempt is not None else None,
        note=note if new or not note else f"{note}; what was expected is not kept",
    )
