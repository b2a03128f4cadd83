"""Members of a pool as work for a cluster: an expression in, its ranks and what it earns when traded out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from agent.cluster.full_work import FullWork
from agent.cluster.spreading import Machines, Spreading
from agent.pools.members import Elsewhere, MeasuredOne, label_ranks, measure_one
from agent.study.study import Study
from factors.tree import Expression
from market.errors import InputError
from market.ranking import Ranked

# What comes back of a member is some megabytes.
_TOGETHER = 8


@dataclass(frozen=True, eq=False)
class MemberWork:
    """Members of pools, measured under a study's rules."""

    study: Study

    @property
    def seconds(self) -> float:
        """What one member may take."""
        return FullWork(self.study).seconds

    @cached_property
    def _labels(self) -> Ranked:
        return label_ranks(self.study)

    def content_id(self) -> str:
        """Return a hash of the study's data and rules."""
        return FullWork(self.study).content_id().replace("full:", "members:")

    def prepare(self) -> None:
        """Compile or load the kernels."""
        FullWork(self.study).prepare()

    def do(self, expression: Expression, /) -> MeasuredOne | InputError:
        """Measure one member."""
        return measure_one(expression, self.study, self._labels)

    def lost(self, expression: Expression, why: str, /) -> InputError:
        """Refuse what ends every process that measures it."""
        return InputError(f"{expression.text}: {why}", "shorten the windows or drop a part")


def on_machines(machines: Machines) -> Elsewhere:
    """Return what measures members on a cluster."""

    def measured(study: Study, expressions: Sequence[Expression]) -> Iterator[MeasuredOne | InputError]:
        for _, found in Spreading(machines, MemberWork(study), _TOGETHER).run(expressions):
            yield found

    return measured
