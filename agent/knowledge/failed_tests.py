"""Which test each attempt failed and why, what the attempts of a run failed by, and what to try next."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from agent.knowledge.attempt_figures import net_score, pays_before_costs, reasons_of, train_of, verdict_of, verdict_rank
from agent.knowledge.records import AttemptRecord
from backtest.result_types import Evidence, SegmentScore

# In the order in which a candidate meets them: name, what is said of those that failed it, and what may help.
_TESTS: tuple[tuple[str, str, str], ...] = (
    ("reply", "no usable reply", "a larger model, or another one (--model, --fallback)"),
    ("reading", "could not be read as a factor", "a larger model; alphaglow translate FACTOR says what is wrong"),
    ("request", "outside of what was asked for", "looser --type, --lookback or --fields"),
    ("known", "known already, or a copy of a known factor", "another theme (mine --context), or a second --writer"),
    ("judge", "refused by the judge", "mine --no-judge, which scores them all"),
    ("cost", "too slow, or a look-back too long for these data", "more bars, or a higher [loop] max_seconds"),
    ("values", "values that cannot be traded: constant, mostly missing, or of too few assets",
     "other fields; alphaglow data check"),
    ("sanity", "too few positions, or too close to an accepted factor", "fields that fewer factors use"),
    ("predicts", "pay nothing before costs that luck would not", "other fields (data join), other bar sizes"
     " (data resample), longer look-backs"),
    ("earns", "pay before costs, and costs eat it", "a cheaper venue ([backtest] preset), slower signals, longer bars"),
    ("place", "passed their quick score, but are not among the best", "a higher screen --keep"),
    ("luck", "passed on train, and may be luck among all trials", "fewer and better founded trials, or more bars"),
)  # fmt: skip
_BY_STAGE = {
    "reply": "reply", "parse": "reading", "request": "request", "novelty": "known", "judge": "judge",
    "check": "cost", "evaluate": "values", "backtest": "values", "evidence": "values",
}  # fmt: skip
_SHORT = {"luck": "not beyond luck", "place": "not among the best", "known": "known already"}
_BY_CODE = {"too_slow": "cost", "too_costly": "cost", "too_large": "cost", "lookback": "cost"}


@dataclass(frozen=True)
class FailedTest:
    """How many attempts failed a test first, what that means, and what may help."""

    test: str
    count: int
    says: str
    hint: str


def first_failed(attempt: AttemptRecord) -> str:
    """Return the name of the first test that an attempt failed; empty where it was accepted or failed none."""
    if attempt.evaluation is None:
        return _BY_CODE.get(attempt.code or "") or _BY_STAGE.get(attempt.stage, "reading")
    return failed_in(attempt.evaluation.evidence, train_of(attempt), screened=attempt.stage == "screen")


def failed_in(evidence: Evidence, train: SegmentScore, *, screened: bool = False) -> str:
    """Return the name of the first test that evidence and train figures fail; empty where they fail none.

    Terminals and pages both ask here. `screened` is true of what had a quick score alone.
    """
    if evidence.verdict in ("accepted", "promising", "untested"):
        return ""
    failed = [gate.gate for gate in evidence.gates if not gate.passed]
    if "novelty" in failed:
        return "known"
    if any(gate not in ("predicts", "earns") for gate in failed):
        return "sanity"
    if not pays_before_costs(train):
        return "predicts"
    if not net_score(train) > 0.0:
        return "earns"
    return "place" if screened else "luck"


def failed_why(attempt: AttemptRecord) -> str:
    """Say in a line why an attempt failed the test that it failed first; its reasons where it failed none."""
    if attempt.evaluation is None:
        said = (attempt.message or attempt.code or attempt.stage).strip()
        return said.splitlines()[0] if said else ""
    test, evidence = first_failed(attempt), attempt.evaluation.evidence
    words = [gate.words[0] for gate in evidence.gates if not gate.passed and gate.words and _is_of(gate.gate, test)]
    return words[0] if words else evidence.reasons[0] if test and evidence.reasons else reasons_of(attempt)


def ended_why(attempt: AttemptRecord) -> str:
    """Say the same once the search has ended.

    What an untested factor was promised then went to another of the same idea, or the search was stopped before.
    """
    if verdict_of(attempt) == "untested":
        return "it passes on train, and validation was not asked about it"
    return failed_why(attempt)


def _is_of(gate: str, test: str) -> bool:
    """Whether a gate of admission belongs to a test of `_TESTS`."""
    if gate in ("predicts", "earns"):
        return gate == test
    return test == ("known" if gate == "novelty" else "sanity")


def failed_words(attempt: AttemptRecord) -> str:
    """Return the test that an attempt failed first as a few words; its verdict where it failed none."""
    test = first_failed(attempt)
    said = words_of_failed(test) if test else verdict_of(attempt)
    return said if attempt.evaluation is not None else f"not scored ({test})"


def words_of_failed(test: str) -> str:
    """Return a failed test in a few words, as in "fails predicts"; empty where none was failed."""
    return _SHORT.get(test, f"fails {test}") if test else ""


def count_failed(attempts: Sequence[AttemptRecord]) -> tuple[FailedTest, ...]:
    """Return what attempts failed by, the most frequent first; those that failed nothing are left out."""
    counts = Counter(first_failed(attempt) for attempt in attempts)
    found = [FailedTest(name, counts[name], says, hint) for name, says, hint in _TESTS if counts[name]]
    return tuple(sorted(found, key=lambda one: -one.count))


def by_promise(attempts: Sequence[AttemptRecord]) -> list[AttemptRecord]:
    """Return the scored attempts: accepted, promising, untested, the rest; each by what they net or pay.

    A quick score knows no net figure under the rule that a factor would get: then the payoff before costs stands alone.
    """

    def order(attempt: AttemptRecord) -> tuple[int, bool, float, int]:
        train, full = train_of(attempt), attempt.stage != "screen"
        score = net_score(train) if full else train.payoff_z
        return verdict_rank(attempt), not full, -score if math.isfinite(score) else math.inf, attempt.id

    return sorted((one for one in attempts if one.evaluation is not None), key=order)
