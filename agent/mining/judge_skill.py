"""Whether the judge knows what it says: its scores and forecasts beside what the backtests found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from agent.knowledge.attempt_figures import or_none, passed_on_train, train_of
from agent.knowledge.records import AttemptRecord
from market.rank_correlation import correlation_p_value, rank_correlation

# Fewer scored attempts than this say nothing of a judge.
LEAST = 20
_SURE = 0.05


@dataclass(frozen=True)
class JudgeSkill:
    """A judge's record over scored attempts.

    Only what it let through was scored: skill in refusing cannot be seen, and a judge that lets through what is alike
    has less to be right about.

    Attributes
    ----------
    scored
        Attempts with a judge's score and a score of what they pay on train.
    correlation, p_value
        Spearman's, of its last score with that of the net return on train, or where that is not known of the payoff.
    by_axis
        The same correlation of each of its other scores.
    forecasts
        Attempts of which it said how likely they are to pass.
    passed
        Share of those that did, by train alone: they predict and earn there.
    brier, brier_base
        Mean squared error of the forecasts, and of saying that share each time.
    """

    scored: int
    correlation: float
    p_value: float
    by_axis: dict[str, float]
    forecasts: int
    passed: float
    brier: float
    brier_base: float

    @property
    def skilled(self) -> bool | None:
        """Whether its scores go with what came; None where too little was scored to say."""
        if self.scored < LEAST:
            return None
        return bool(self.correlation > 0 and self.p_value <= _SURE)

    def sentence(self) -> str:
        """Say it in one line."""
        if self.skilled is None:
            return f"judge: {self.scored} of its candidates were scored, {LEAST} are needed to say whether it has skill"
        said = f"judge: its scores and net scores on train correlate by {self.correlation:+.2f} over {self.scored}"
        if self.forecasts:
            said += f"; Brier score {self.brier:.3f}, of the base rate {self.brier_base:.3f}"
        if self.skilled:
            return said
        return said + ": no skill is shown; --no-judge (or [loop] judge = false) saves its calls"

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        return {**asdict(self), "skilled": self.skilled}


@dataclass(frozen=True, slots=True)
class JudgedAttempt:
    """What the judge said of a scored attempt last, the net score that came, and whether it passed on train."""

    score: float
    scores: Mapping[str, float]
    came: float
    passed: bool


def judge_skill(attempts: Sequence[AttemptRecord]) -> JudgeSkill:
    """Return the judge's record over these attempts."""
    return skill_of(judged_attempts(attempts))


def judged_attempts(attempts: Iterable[AttemptRecord]) -> list[JudgedAttempt]:
    """Return what is compared of attempts that were judged and scored: a little of each, for there may be many."""
    return [
        JudgedAttempt(a.verdicts[-1].score, a.verdicts[-1].scores, came, passed_on_train(a))
        for a in attempts
        if a.verdicts and (came := _came(a)) is not None
    ]


def skill_of(judged: Sequence[JudgedAttempt]) -> JudgeSkill:
    """Return the judge's record over attempts that it judged and that were scored."""
    correlation, p_value = _spearman([one.score for one in judged], [one.came for one in judged])
    axes = sorted({name for one in judged for name in one.scores} - {"passes"})
    by_axis = {}
    for axis in axes:
        rows = [(one.scores[axis], one.came) for one in judged if axis in one.scores]
        by_axis[axis] = _spearman([s for s, _ in rows], [came for _, came in rows])[0]
    said = [(one.scores["passes"], one.passed) for one in judged if "passes" in one.scores]
    chances, outcomes = np.array([c for c, _ in said]), np.array([float(p) for _, p in said])
    share = float(outcomes.mean()) if len(said) else float("nan")
    return JudgeSkill(
        len(judged),
        correlation,
        p_value,
        by_axis,
        len(said),
        share,
        float(((chances - outcomes) ** 2).mean()) if len(said) else float("nan"),
        share * (1 - share),
    )


def judge_record(attempts: Sequence[AttemptRecord]) -> str:
    """Say to a judge how many factors pass on train, and how well it knew it; a few lines, from train alone."""
    passed = [passed_on_train(a) for a in attempts if _came(a) is not None]
    if not passed:
        return "Nothing was scored here yet; of published factors, about one in twenty passes."
    said = [
        f"Base rate: of {len(passed)} factors that were scored, {sum(passed)} ({np.mean(passed):.0%}) paid and earned "
        "on train."
    ]
    skill = judge_skill(attempts)
    forecasts = [a.verdicts[-1].scores["passes"] for a in attempts if a.verdicts and "passes" in a.verdicts[-1].scores]
    if skill.forecasts:
        said.append(
            f"You said {np.mean(forecasts):.0%} on average of those that you let through, and {skill.passed:.0%} of "
            f"{skill.forecasts} passed: Brier score {skill.brier:.3f}, where always saying that share has "
            f"{skill.brier_base:.3f}."
        )
    if np.isfinite(skill.correlation):
        said.append(f"Your scores and what the factors net correlate by {skill.correlation:+.2f}.")
    return "\n".join(said)


def _came(attempt: AttemptRecord) -> float | None:
    train = train_of(attempt)
    net = or_none(train.net_z)
    return or_none(train.payoff_z) if net is None else net


def _spearman(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Return rank correlation and p-value; NaN where either side does not vary."""
    if len(one) < 3 or len(set(one)) < 2 or len(set(other)) < 2:
        return float("nan"), float("nan")
    correlation = rank_correlation(one, other)
    return correlation, correlation_p_value(correlation, len(one))
