"""From attempts to lessons: what the last rounds taught, in words the writer can act on.

Lessons are computed, not asked of a model: each names the attempts it rests on, so a person can check
it. They use train figures and stages only; nothing of validation but the verdict enters (DESIGN,
evidence), and the holdout does not exist here.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import fmean

from agent.knowledge.records import AttemptRecord, NewLesson

_CALL = re.compile(r"([a-z_][a-z0-9_]*)\(")
_WORD = re.compile(r"[a-z_][a-z0-9_]*")
_STRUCTURAL = frozenset(
    {"add", "sub", "mul", "div", "neg", "abs", "sign", "max", "min", "cs_rank", "cs_zscore", "cs_demean", "cs_scale"}
)


def train_figure(attempt: AttemptRecord, name: str) -> float | None:
    """Return a train figure of an evaluated attempt, or None where it has none."""
    if attempt.evaluation is None:
        return None
    train = attempt.evaluation.scorecard.get("train")
    value = train.get(name) if isinstance(train, dict) else None
    return float(value) if isinstance(value, (int, float)) else None


def _ids(attempts: Sequence[AttemptRecord]) -> tuple[int, ...]:
    return tuple(attempt.id for attempt in attempts)


def learn(attempts: Sequence[AttemptRecord]) -> list[NewLesson]:
    """Return the lessons of these attempts, most useful first; the same attempts give the same lessons."""
    scored = [a for a in attempts if a.evaluation is not None]
    return [*_ingredients(scored), *_inverted(scored), *_costs(scored), *_gate(scored), *_refusals(attempts)]


def _words(attempt: AttemptRecord) -> set[str]:
    text = attempt.canonical or ""
    calls = set(_CALL.findall(text)) - _STRUCTURAL
    fields = set(_WORD.findall(text)) - set(_CALL.findall(text))
    return calls | fields


def _ingredients(scored: Sequence[AttemptRecord]) -> list[NewLesson]:
    """Which operators and fields sit in factors with high, and with low, train IC."""
    scored = [a for a in scored if train_figure(a, "rank_ic") is not None]
    if len(scored) < 6:
        return []
    by_word: dict[str, list[AttemptRecord]] = defaultdict(list)
    for attempt in scored:
        for word in sorted(_words(attempt)):
            by_word[word].append(attempt)
    overall = fmean(abs(train_figure(a, "rank_ic") or 0.0) for a in scored)
    ranked = sorted(
        (
            (fmean(abs(train_figure(a, "rank_ic") or 0.0) for a in group), word, group)
            for word, group in by_word.items()
            if 3 <= len(group) < len(scored)
        ),
        key=lambda item: (-item[0], item[1]),
    )
    lessons = []
    for mean, word, group in ranked[:2]:
        if mean > 1.2 * overall:
            text = f"`{word}` helps: mean |train rank IC| {mean:.4f} over {len(group)} factors, {overall:.4f} overall"
            lessons.append(NewLesson("ingredient", text, _ids(group)))
    for mean, word, group in ranked[-1:]:
        if mean < 0.6 * overall:
            text = f"`{word}` adds little: mean |train rank IC| {mean:.4f} over {len(group)} factors"
            lessons.append(NewLesson("ingredient", text, _ids(group)))
    return lessons


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
        text = f"{count} attempts ended at {stage} ({code}): {message[0] if message else ''}"
        lessons.append(NewLesson("refusal", text[:300], _ids(group)))
    return lessons
