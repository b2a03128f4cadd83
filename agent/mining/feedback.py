"""What steers a search: train alone, or the verdicts of validation as well, at the price of validation as a test.

With ``[loop] feedback = "validation"`` whether a factor passes every gate is its reward, and stands in prompts. A
search that adapts to what validation says of it cannot be tested on validation: from the first such run on, nothing on
the data is accepted by any run (`agent.study.scoring.without_validation`), and what passes is tested on later bars.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from agent.knowledge.attempt_figures import passed_on_train, verdict_of
from agent.knowledge.records import AttemptRecord
from agent.mining.search.bandit import reward

COST = (
    "validation steers this run (feedback): nothing on these data is accepted on validation any more, and what is "
    "promising is tested on later bars alone (alphaglow holdout)"
)
_PREDICTS, _FAILS = 0.5, 0.1


@dataclass(frozen=True)
class Steering:
    """What an attempt is worth, and whether it passed, for the plan and the prompts of a run."""

    validated: bool
    passes: Callable[[AttemptRecord], bool]
    reward: Callable[[AttemptRecord], float]


def steering(feedback: Literal["train", "validation"]) -> Steering:
    """Return what steers a run with this setting."""
    if feedback == "train":
        return Steering(False, passed_on_train, reward)
    return Steering(True, passes_all, reward_of_all)


def word_of_all(attempt: AttemptRecord) -> str:
    """Return the word of all gates, whether or not the verdict may still be given."""
    return "passes every gate" if passes_all(attempt) else verdict_of(attempt)


def passes_all(attempt: AttemptRecord) -> bool:
    """Whether every gate is passed, validation's among them."""
    if attempt.evaluation is None or attempt.stage == "screen":
        return False
    gates = attempt.evaluation.evidence.gates
    return attempt.evaluation.accepted or (bool(gates) and all(gate.passed for gate in gates))


def reward_of_all(attempt: AttemptRecord) -> float:
    """Return what an attempt is worth by all gates: what passes train and fails validation is worth little."""
    if passes_all(attempt):
        return 1.0
    return _PREDICTS if verdict_of(attempt) == "promising" else min(_FAILS, reward(attempt))
