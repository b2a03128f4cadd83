"""From attempts to lessons: what the last rounds taught, in words the writer can act on.

Lessons are computed, not asked of a model: each names the attempts it rests on, so a person can check
it. They use train figures and stages only; nothing of validation but the verdict enters (DESIGN,
evidence), and the holdout does not exist here.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from scipy.special import ndtr

from agent.knowledge.attempt_figures import PREDICTS_T, train_figure
from agent.knowledge.records import AttemptRecord, NewLesson
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


def _ids(attempts: Sequence[AttemptRecord]) -> tuple[int, ...]:
    return tuple(attempt.id for attempt in attempts)


def learn(attempts: Sequence[AttemptRecord]) -> list[NewLesson]:
    """Return the lessons of these attempts, most useful first; the same attempts give the same lessons."""
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


def _ingredients(scored: Sequence[AttemptRecord]) -> list[NewLesson]:
    """Which operators and fields sit in factors with high, and with low, train IC; newer factors count for more."""
    known = [(a, abs(ic)) for a in scored if (ic := train_figure(a, "rank_ic")) is not None]
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
        mean, error = _weighed(inside, ages)
        rest, rest_error = _weighed(others, ages)
        sure = _confidence(mean - rest, float(np.hypot(error, rest_error)))
        found.append((mean, rest, sure, word, [a for a, _ in inside]))
    lessons = []
    for mean, rest, sure, word, group in sorted(found, key=lambda row: (-row[0], row[3]))[:2]:
        if mean > 1.2 * rest and sure >= _SURE_ENOUGH:
            text = f"`{word}` helps: mean |train rank IC| {mean:.4f} over {len(group)} factors, {rest:.4f} without it"
            lessons.append(NewLesson("ingredient", f"{text} (confidence {sure:.2f})", _ids(group)))
    for mean, rest, sure, word, group in sorted(found, key=lambda row: (row[0], row[3]))[:1]:
        if mean < 0.6 * rest and 1.0 - sure >= _SURE_ENOUGH:
            figures = f"mean |train rank IC| {mean:.4f} over {len(group)} factors, {rest:.4f} without it"
            text = f"`{word}` adds little: {figures}"
            lessons.append(NewLesson("ingredient", f"{text} (confidence {1.0 - sure:.2f})", _ids(group)))
    return lessons


def _weighed(group: Sequence[tuple[AttemptRecord, float]], ages: Mapping[int, int]) -> tuple[float, float]:
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


def _regimes(scored: Sequence[AttemptRecord]) -> list[NewLesson]:
    """Say in which regimes the factors that predict do so best, and in which they fail."""
    good = [a for a in scored if (train_figure(a, "ic_tstat") or 0.0) >= PREDICTS_T]
    good = sorted(good, key=lambda a: (-(train_figure(a, "ic_tstat") or 0.0), a.id))[:_BEST]
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
    return [NewLesson("regime", text, _ids(good))]


def _regime_ics(attempt: AttemptRecord) -> list[tuple[str, float]]:
    """Return the train rank IC of a factor in each regime of enough bars."""
    card = attempt.evaluation.scorecard if attempt.evaluation else {}
    profiles = card.get("profiles")
    train = profiles.get("train") if isinstance(profiles, dict) else None
    slices = train.get("regimes") if isinstance(train, dict) else None
    if not isinstance(slices, list):
        return []
    return [
        (str(s["name"]), float(s["rank_ic"]))
        for s in slices
        if isinstance(s, dict) and isinstance(s.get("rank_ic"), (int, float)) and (s.get("bars") or 0) >= _REGIME_BARS
    ]


def _inverted(scored: Sequence[AttemptRecord]) -> list[NewLesson]:
    """Say which factor predicts with the wrong sign."""
    strong = [
        a for a in scored if (train_figure(a, "rank_ic") or 0.0) < 0 and (train_figure(a, "ic_tstat") or 0.0) < -3
    ]
    strong.sort(key=lambda a: train_figure(a, "ic_tstat") or 0.0)
    return [
        NewLesson(
            "sign",
            f"{a.canonical} predicts the wrong way (train rank IC {train_figure(a, 'rank_ic'):.4f}): negate it",
            (a.id,),
        )
        for a in strong[:2]
    ]


def _costs(scored: Sequence[AttemptRecord]) -> list[NewLesson]:
    """Say when costs, not the idea, were the trouble."""
    eaten = [
        a
        for a in scored
        if (train_figure(a, "sharpe_gross") or 0.0) > 0.5 and (train_figure(a, "sharpe_net") or 0.0) < 0
    ]
    if not eaten:
        return []
    turnover = fmean(train_figure(a, "turnover") or 0.0 for a in eaten)
    text = (
        f"{len(eaten)} factors earned before costs and lost after them (mean turnover {turnover:.0%} a bar): "
        "use longer windows, or smooth with ts_decay_linear or ts_mean"
    )
    return [NewLesson("costs", text, _ids(eaten))]


def _gate(scored: Sequence[AttemptRecord]) -> list[NewLesson]:
    """Say whether the regime gate helped or hurt on train."""
    pairs = [
        (a, gated - net)
        for a in scored
        if (gated := train_figure(a, "sharpe_gated")) is not None and (net := train_figure(a, "sharpe_net")) is not None
    ]
    if len(pairs) < 4:
        return []
    helped = [a for a, gain in pairs if gain > 0]
    text = (
        f"the gate raised net Sharpe on train for {len(helped)} of {len(pairs)} factors "
        f"(mean change {fmean(gain for _, gain in pairs):+.2f})"
    )
    return [NewLesson("gate", text, _ids([a for a, _ in pairs]))]


def _refusals(attempts: Sequence[AttemptRecord]) -> list[NewLesson]:
    """Say what was refused most, and why, so that it is not written again."""
    refused = [a for a in attempts if a.code]
    lessons = []
    for (stage, code), count in Counter((a.stage, a.code) for a in refused).most_common(3):
        group = [a for a in refused if (a.stage, a.code) == (stage, code)]
        message = (group[-1].message or "").splitlines()
        # A message may hold what a model wrote, and a lesson is told to another.
        said = f": {quoted(message[0], _LONGEST_MESSAGE)}" if message else ""
        lessons.append(NewLesson("refusal", f"{count} attempts ended at {stage} ({code}){said}", _ids(group)))
    return lessons
