"""From attempts to lessons: what the last rounds taught, in words the writer can act on.

Lessons are computed, not asked of a model: each names the attempts it rests on, so a person can check
it. They use train figures and stages only; nothing of validation but the verdict enters (DESIGN,
evidence), and the holdout does not exist here.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from scipy.special import ndtr

from agent.knowledge.attempt_figures import PREDICTS_T, or_none, or_zero, train_of
from agent.knowledge.records import AttemptRecord, LessonRecord, NewLesson
from agent.llm.facts import LessonFacts
from agent.untrusted.quoting import quoted

_CALL = re.compile(r"([a-z_][a-z0-9_]*)\(")
_WORD = re.compile(r"[a-z_][a-z0-9_]*")
# What a factor counts for, of what the next newer one does; and how sure a lesson has to be.
_DECAY = 0.99
_SURE_ENOUGH = 0.8
_BEST = 10
_REGIME_BARS = 100
_LONGEST_MESSAGE = 240
_STRUCTURAL = frozenset(
    {"add", "sub", "mul", "div", "neg", "abs", "sign", "max", "min", "cs_rank", "cs_zscore", "cs_demean", "cs_scale"}
)


@dataclass(frozen=True)
class _Found:
    """A lesson with its figures."""

    lesson: NewLesson
    figures: dict[str, str | float]


def _ids(attempts: Sequence[AttemptRecord]) -> tuple[int, ...]:
    return tuple(attempt.id for attempt in attempts)


def draw_lessons(attempts: Sequence[AttemptRecord]) -> list[NewLesson]:
    """Return the lessons of these attempts, most useful first; the same attempts give the same lessons."""
    return [found.lesson for found in _learned(attempts)]


def facts_of(lessons: Sequence[LessonRecord], attempts: Sequence[AttemptRecord]) -> tuple[LessonFacts, ...]:
    """Return stored lessons as data, found again from the attempts that they rest on; one that is not found, not."""
    known: list[LessonFacts] = []
    for run_id, number in dict.fromkeys((lesson.run_id, lesson.round) for lesson in lessons):
        stored = [lesson for lesson in lessons if (lesson.run_id, lesson.round) == (run_id, number)]
        again = _learned([a for a in attempts if a.run_id == run_id and a.round <= number])
        for lesson in stored:
            same = [f for f in again if (f.lesson.kind, f.lesson.evidence) == (lesson.kind, lesson.evidence)]
            # Two words may rest on the same attempts: then the sentence decides which of them it is.
            same = [f for f in same if f.lesson.text == lesson.text] or same[:1]
            known += [LessonFacts(lesson.kind, lesson.text, found.figures) for found in same[:1]]
    return tuple(known)


def _learned(attempts: Sequence[AttemptRecord]) -> list[_Found]:
    scored = [a for a in attempts if a.evaluation is not None]
    return [
        *_ingredients(scored),
        *_inverted(scored),
        *_regimes(scored),
        *_costs(scored),
        *_gate(scored),
        *_refusals(attempts),
    ]


def _words(attempt: AttemptRecord) -> set[str]:
    text = attempt.canonical or ""
    calls = set(_CALL.findall(text)) - _STRUCTURAL
    fields = set(_WORD.findall(text)) - set(_CALL.findall(text))
    return calls | fields


def _ingredients(scored: Sequence[AttemptRecord]) -> list[_Found]:
    """Which operators and fields sit in factors with high, and with low, train IC; newer factors count for more."""
    known = [(a, abs(ic)) for a in scored if (ic := or_none(train_of(a).rank_ic)) is not None]
    if len(known) < 6:
        return []
    ages = {a.id: len(known) - 1 - k for k, (a, _) in enumerate(known)}
    words = {a.id: _words(a) for a, _ in known}
    found = []
    for word in sorted(set().union(*words.values())):
        inside = [(a, ic) for a, ic in known if word in words[a.id]]
        if not 3 <= len(inside) < len(known):
            continue
        others = [(a, ic) for a, ic in known if word not in words[a.id]]
        mean, error = _weighted(inside, ages)
        rest, rest_error = _weighted(others, ages)
        sure = _confidence(mean - rest, float(np.hypot(error, rest_error)))
        found.append((mean, rest, sure, word, [a for a, _ in inside]))
    lessons = []
    for mean, rest, sure, word, group in sorted(found, key=lambda row: (-row[0], row[3]))[:2]:
        if mean > 1.2 * rest and sure >= _SURE_ENOUGH:
            text = f"`{word}` helps: mean |train rank IC| {mean:.4f} over {len(group)} factors, {rest:.4f} without it"
            lesson = NewLesson("ingredient", f"{text} (confidence {sure:.2f})", _ids(group))
            lessons.append(_Found(lesson, _word_figures(word, True, mean, rest, sure, len(group))))
    for mean, rest, sure, word, group in sorted(found, key=lambda row: (row[0], row[3]))[:1]:
        if mean < 0.6 * rest and 1.0 - sure >= _SURE_ENOUGH:
            figures = f"mean |train rank IC| {mean:.4f} over {len(group)} factors, {rest:.4f} without it"
            text = f"`{word}` adds little: {figures}"
            lesson = NewLesson("ingredient", f"{text} (confidence {1.0 - sure:.2f})", _ids(group))
            lessons.append(_Found(lesson, _word_figures(word, False, mean, rest, 1.0 - sure, len(group))))
    return lessons


def _word_figures(
    word: str, helps: bool, mean: float, rest: float, confidence: float, factors: int
) -> dict[str, str | float]:
    return {
        "word": word,
        "helps": float(helps),
        "mean": mean,
        "rest": rest,
        "confidence": confidence,
        "factors": float(factors),
    }


def _weighted(group: Sequence[tuple[AttemptRecord, float]], ages: Mapping[int, int]) -> tuple[float, float]:
    """Return mean and standard error of figures that count for less the older they are."""
    weights = np.array([_DECAY ** ages[a.id] for a, _ in group])
    values = np.array([value for _, value in group])
    mean = float((weights * values).sum() / weights.sum())
    spread = float((weights * (values - mean) ** 2).sum() / weights.sum())
    count = float(weights.sum() ** 2 / (weights**2).sum())
    return mean, float(np.sqrt(spread / max(count - 1.0, 1.0)))


def _confidence(difference: float, error: float) -> float:
    """Return how sure it is that a difference is above 0, in [0, 1], as if it were normal."""
    if error <= 0:
        return 0.5 if difference == 0 else float(difference > 0)
    return float(ndtr(difference / error))


def _regimes(scored: Sequence[AttemptRecord]) -> list[_Found]:
    """Say in which regimes the factors that predict do so best, and in which they fail."""
    good = [a for a in scored if train_of(a).ic_tstat >= PREDICTS_T]
    good = sorted(good, key=lambda a: (-train_of(a).ic_tstat, a.id))[:_BEST]
    by_regime: dict[str, list[float]] = defaultdict(list)
    for attempt in good:
        for name, ic in _regime_ics(attempt):
            by_regime[name].append(ic)
    means = {name: fmean(ics) for name, ics in by_regime.items() if len(ics) >= max(3, len(good) // 2)}
    if len(good) < 3 or len(means) < 2:
        return []
    best, worst = (choose(means, key=lambda name: (means[name], name)) for choose in (max, min))
    verb = "fail" if means[worst] < 0 else "predict least"
    text = (
        f"the best {len(good)} predictors do best in the regime '{best}' (mean train rank IC {means[best]:.4f}) and "
        f"{verb} in '{worst}' ({means[worst]:.4f})"
    )
    figures: dict[str, str | float] = {"factors": float(len(good)), "best": best, "best_ic": means[best]}
    return [_Found(NewLesson("regime", text, _ids(good)), figures | {"worst": worst, "worst_ic": means[worst]})]


def _regime_ics(attempt: AttemptRecord) -> list[tuple[str, float]]:
    """Return the train rank IC of a factor in each regime of enough bars."""
    profiles = attempt.evaluation.scorecard.profiles if attempt.evaluation else None
    if profiles is None or "train" not in profiles:
        return []
    return [
        (s.name, s.rank_ic) for s in profiles["train"].regimes if math.isfinite(s.rank_ic) and s.bars >= _REGIME_BARS
    ]


def _inverted(scored: Sequence[AttemptRecord]) -> list[_Found]:
    """Say which factor predicts with the wrong sign."""
    strong = [a for a in scored if train_of(a).rank_ic < 0 and train_of(a).ic_tstat < -3]
    strong.sort(key=lambda a: train_of(a).ic_tstat)
    return [
        _Found(
            NewLesson(
                "sign",
                f"{a.canonical} predicts the wrong way (train rank IC {train_of(a).rank_ic:.4f}): negate it",
                (a.id,),
            ),
            {"factor": str(a.canonical), "rank_ic": or_zero(train_of(a).rank_ic)},
        )
        for a in strong[:2]
    ]


def _costs(scored: Sequence[AttemptRecord]) -> list[_Found]:
    """Say when costs, not the idea, were the trouble."""
    eaten = [a for a in scored if train_of(a).sharpe_gross > 0.5 and train_of(a).sharpe_net < 0]
    if not eaten:
        return []
    turnover = fmean(or_zero(train_of(a).turnover) for a in eaten)
    text = (
        f"{len(eaten)} factors earned before costs and lost after them (mean turnover {turnover:.0%} a bar): "
        "use longer windows, or smooth with ts_decay_linear or ts_mean"
    )
    return [_Found(NewLesson("costs", text, _ids(eaten)), {"factors": float(len(eaten)), "turnover": turnover})]


def _gate(scored: Sequence[AttemptRecord]) -> list[_Found]:
    """Say whether the regime gate helped or hurt on train."""
    pairs = [
        (a, gain) for a in scored if (gain := or_none(train_of(a).sharpe_gated - train_of(a).sharpe_net)) is not None
    ]
    if len(pairs) < 4:
        return []
    helped = [a for a, gain in pairs if gain > 0]
    change = fmean(gain for _, gain in pairs)
    text = f"the gate raised net Sharpe on train for {len(helped)} of {len(pairs)} factors (mean change {change:+.2f})"
    figures: dict[str, str | float] = {"helped": float(len(helped)), "factors": float(len(pairs)), "change": change}
    return [_Found(NewLesson("gate", text, _ids([a for a, _ in pairs])), figures)]


def _refusals(attempts: Sequence[AttemptRecord]) -> list[_Found]:
    """Say what was refused most, and why, so that it is not written again."""
    refused = [a for a in attempts if a.code]
    lessons = []
    for (stage, code), count in Counter((a.stage, a.code) for a in refused).most_common(3):
        group = [a for a in refused if (a.stage, a.code) == (stage, code)]
        message = (group[-1].message or "").splitlines()
        # A message may hold what a model wrote, and a lesson goes to another.
        said = f": {quoted(message[0], _LONGEST_MESSAGE)}" if message else ""
        lesson = NewLesson("refusal", f"{count} attempts ended at {stage} ({code}){said}", _ids(group))
        figures: dict[str, str | float] = {"attempts": float(count), "stage": stage, "code": str(code)}
        lessons.append(_Found(lesson, figures | {"message": message[0] if message else ""}))
    return lessons
