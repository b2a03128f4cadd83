"""What is known of a proposal before it is scored, as the knowledge base was when its round began.

A resumed round must ask what the first one asked, so nothing that was recorded since is looked at.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from agent.knowledge.dataset_records import SAME_DATA
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.mining.brief import Brief, Forecast
from agent.mining.retrieval import AttemptIndex
from agent.study.own_rule import forecast_turnover
from agent.study.study import Study
from factors.overlap import Novelty
from factors.tree import Expression
from market.errors import Rejection


@dataclass(frozen=True, eq=False)
class Forecaster:
    """Looks at proposals of one round."""

    study: Study
    knowledge: KnowledgeBase
    brief: Brief
    attempt_index: AttemptIndex

    def novelty(self, expression: Expression) -> Novelty | Rejection:
        """Return what is known of a factor already; what was scored on this data needs no second look."""
        twin = repeated(self.knowledge, self.study, expression, until=self.brief.attempts_until, related=True)
        return twin or self.knowledge.novelty(expression, until=self.brief.known)

    async def look(self, expression: Expression) -> Forecast | Rejection:
        """Return what is known of a proposal; in a thread, so that other replies are read meanwhile."""
        return await asyncio.to_thread(self._look, expression)

    def _look(self, expression: Expression) -> Forecast | Rejection:
        novelty = self.novelty(expression)
        if isinstance(novelty, Rejection):
            return novelty
        found = forecast_turnover(expression, self.study)
        related = tuple(self.attempt_index.show(attempt) for attempt in self.attempt_index.near(expression.text))
        rule = "" if found.rule is None else str(found.rule)
        cost = self.study.yearly_cost(found.turnover)
        return Forecast(novelty, related, found.turnover, cost, rule, found.in_full if rule else math.nan)


def repeated(
    knowledge: KnowledgeBase,
    study: Study,
    expression: Expression,
    *,
    until: int | None = None,
    related: bool = False,
) -> Rejection | None:
    """Return why a factor need not be scored: it was, or one that puts assets in the same order, on this very data.

    With `until`, as the knowledge base was after that attempt. With `related`, also where it was scored on data that
    have nearly all the bars of these, such as those that they grew out of.
    """
    alike = study.spec.weighting == "rank"
    covered = SAME_DATA if related else 1.0
    twin = knowledge.scored_twin(expression, panel_id=study.dataset, ranks_alike=alike, until=until, covered=covered)
    if twin is None:
        return None
    same = twin.canonical == expression.text
    what = "the same factor" if same else f"{twin.canonical}, which ranks assets alike,"
    where = "" if twin.panel_id == study.dataset else ", on data that share nearly all bars with these"
    return Rejection(
        "novelty", "duplicate", f"{what} was scored before, as attempt {twin.id}{where}", "propose another idea"
    )
