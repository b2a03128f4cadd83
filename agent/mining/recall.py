"""What a run recalls of the attempts on its data: their figures, what each added, and what steers by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.recalling import RecalledAttempts
from agent.knowledge.records import AttemptRecord
from agent.knowledge.stored_returns import StoredReturns, stored_returns
from agent.mining.brief import Example
from agent.mining.feedback import Steering, steering
from agent.mining.retrieval import AttemptIndex, example_of
from agent.mining.search.added import ADDS, added_scores
from agent.mining.search.bandit import rewards
from agent.study.settings import LoopSettings

# Of a part of the attempts, this many of the newest are found by what they are made of, beside the best.
_INDEXED = 200


@dataclass(frozen=True)
class Recalled:
    """Attempts on the data, oldest first, and their stored returns; none where the run has no memory.

    Of more than a few thousand, a part is recalled; what is counted or compared is counted among the `typical` (see
    `agent.knowledge.recalling`), of a `total` of attempts. `computed` is what `added_scores` computed a round before.
    """

    attempts: Sequence[AttemptRecord]
    returns: StoredReturns
    typical: Sequence[AttemptRecord]
    total: int
    steering: Steering = field(default_factory=lambda: steering("train"))
    marginal: bool = True
    computed: dict[object, float] | None = None

    @cached_property
    def added(self) -> Mapping[int, float]:
        """What each attempt added, by id, when it came."""
        return added_scores(self.attempts, self.returns, self.steering.passes, self.computed)

    @cached_property
    def worth(self) -> Mapping[int, float]:
        """What each attempt was worth, by id: what it added to the pool, where the run rewards that."""
        return rewards(self.attempts, self.added if self.marginal else None, self.steering.reward)

    @property
    def pool(self) -> list[AttemptRecord]:
        """Factors that passed and added something when they came, oldest first."""
        return [a for a in self.attempts if self.added.get(a.id, 0.0) > ADDS and self.steering.passes(a)]

    def show(self, attempt: AttemptRecord) -> Example:
        """Return an attempt as prompts show it."""
        return example_of(attempt, self.added.get(attempt.id), validated=self.steering.validated)

    def counted_among(self) -> tuple[str, ...]:
        """Say among which attempts things are counted, where these are not all."""
        if len(self.attempts) == self.total or not self.total:
            return ()
        return (f"counted among {len(self.typical):,} of {self.total:,} attempts: the newest, and a random sample",)

    def index(self) -> AttemptIndex:
        """Return the attempts, to be found by what they are made of; of a part, those chosen, and the newest."""
        if len(self.attempts) == self.total:
            return AttemptIndex(self.attempts, self.show)
        # To take a factor apart costs more than all else that is done with it here.
        passed_by = {a.id for a in self.typical[:-_INDEXED]}
        return AttemptIndex([a for a in self.attempts if a.id not in passed_by], self.show)


def recall(knowledge: KnowledgeBase, dataset: str, loop: LoopSettings, *, until: int | None = None) -> Recalled:
    """Return what a run recalls; with `until`, of the attempts up to that one."""
    how = steering(loop.feedback)
    if not loop.memory:
        return Recalled([], StoredReturns(), [], 0, how, loop.marginal)
    found = knowledge.recalled(dataset, until=until)
    returns = returns_on(knowledge, dataset, found)
    computed = knowledge.computed.setdefault(("added", dataset, loop.feedback), {})
    return Recalled(found.attempts, returns, found.typical, found.total, how, loop.marginal, computed)


def returns_on(knowledge: KnowledgeBase, dataset: str, of: RecalledAttempts) -> StoredReturns:
    """Return the stored returns of a data set and of those that share its bars, as far as attempts are recalled."""
    panels = [one.panel_id for one in knowledge.related(dataset)]
    return stored_returns(knowledge, panels, None if of.is_whole else [attempt.id for attempt in of.attempts])
