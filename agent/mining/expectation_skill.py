"""Whether what a model expects of its factors means anything: expected IC, turnover and holding beside what came."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median

from agent.knowledge.attempt_figures import or_none, train_of
from agent.knowledge.records import AttemptRecord
from agent.mining.judge_skill import LEAST
from market.rank_correlation import correlation_p_value, rank_correlation

_SURE = 0.05
_CAME = {"ic": "rank_ic", "turnover": "turnover", "holding": "duration"}


@dataclass(frozen=True)
class Guessed:
    """One figure: how many were said, Spearman's correlation with what came, its p-value, and the median of both."""

    count: int
    correlation: float
    p_value: float
    expected: float
    came: float


@dataclass(frozen=True)
class ExpectationSkill:
    """A record of expectations over scored attempts; figures are of train.

    Attributes
    ----------
    scored
        Attempts of which a rank IC was expected and found.
    ic, turnover, holding
        Each figure by itself.
    right_sign
        Share of the expected rank ICs whose sign came.
    error, error_base
        Mean absolute error of the expected rank IC, and of saying the median of what came each time.
    """

    scored: int
    ic: Guessed
    turnover: Guessed
    holding: Guessed
    right_sign: float
    error: float
    error_base: float

    @property
    def skilled(self) -> bool | None:
        """Whether the expected rank IC goes with what came; None where too little was scored to say."""
        if self.scored < LEAST:
            return None
        return bool(self.ic.correlation > 0 and self.ic.p_value <= _SURE)

    def sentence(self) -> str:
        """Say it in one line."""
        if self.skilled is None:
            return (
                f"expectations: a rank IC was expected of {self.scored} scored factors; {LEAST} are needed to say "
                "whether that means anything"
            )
        said = (
            f"expectations: expected and found rank ICs correlate by {self.ic.correlation:+.2f} over {self.scored}, "
            f"{self.right_sign:.0%} have the right sign, mean error {self.error:.3f} (saying the median each time: "
            f"{self.error_base:.3f})"
        )
        return said if self.skilled else f"{said}: they mean nothing so far"

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        return {**asdict(self), "skilled": self.skilled}


def expectation_skill(attempts: Sequence[AttemptRecord]) -> ExpectationSkill:
    """Return the record of what was expected over these attempts."""
    return skill_of_pairs(expectation_pairs(attempts))


def expectation_pairs(attempts: Sequence[AttemptRecord]) -> dict[str, list[tuple[float, float]]]:
    """Return what was expected of attempts and what came, by the figure that was expected."""
    return {name: _pairs(attempts, name) for name in _CAME}


def skill_of_pairs(found: Mapping[str, list[tuple[float, float]]]) -> ExpectationSkill:
    """Return the record over pairs of what was expected and what came."""
    pairs = {name: found.get(name, []) for name in _CAME}
    ic = pairs["ic"]
    middle = median(came for _, came in ic) if ic else float("nan")
    return ExpectationSkill(
        scored=len(ic),
        ic=_guessed(ic),
        turnover=_guessed(pairs["turnover"]),
        holding=_guessed(pairs["holding"]),
        right_sign=fmean(said * came > 0 for said, came in ic) if ic else float("nan"),
        error=fmean(abs(said - came) for said, came in ic) if ic else float("nan"),
        error_base=fmean(abs(middle - came) for _, came in ic) if ic else float("nan"),
    )


def _pairs(attempts: Sequence[AttemptRecord], name: str) -> list[tuple[float, float]]:
    found = []
    for attempt in attempts:
        said = attempt.claims.other.get("expected")
        value = said.get(name) if isinstance(said, dict) else None
        came = or_none(getattr(train_of(attempt), _CAME[name]))
        if isinstance(value, (int, float)) and math.isfinite(value) and came is not None:
            found.append((float(value), came))
    return found


def _guessed(pairs: Sequence[tuple[float, float]]) -> Guessed:
    nan = float("nan")
    if not pairs:
        return Guessed(0, nan, nan, nan, nan)
    said, came = [one for one, _ in pairs], [one for _, one in pairs]
    middles = (median(said), median(came))
    if len(pairs) < 3 or len(set(said)) < 2 or len(set(came)) < 2:
        return Guessed(len(pairs), nan, nan, *middles)
    correlation = rank_correlation(said, came)
    return Guessed(len(pairs), correlation, correlation_p_value(correlation, len(pairs)), *middles)
