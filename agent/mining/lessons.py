"""From attempts to lessons: what was learned on train, in words the writer can act on.

Lessons are computed, not asked of a model: each names the attempts it rests on, so a person can check it. They compare
distinct ideas: attempts whose returns correlate by a half or more are one idea (`StoredReturns`), however often it was
varied. What compares carries an interval and a q-value among all comparisons of the drawing, and is said only where
that is at most `SAID`. Train alone enters (DESIGN, evidence).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

import numpy as np
from scipy.special import ndtr

from agent.knowledge.attempt_figures import or_none, train_of
from agent.knowledge.records import AttemptRecord, NewLesson
from agent.knowledge.stored_returns import StoredReturns
from agent.llm.facts import LessonFacts
from agent.mining.comparisons import LEAST, LEVEL, Comparison, one_group, share_interval, two_groups, with_q_values
from agent.mining.ideas import Idea, Ingredient, distinct_ideas, ingredients
from agent.untrusted.quoting import quoted
from backtest.luck import q_values
from backtest.policy import SEEN

# The largest share of false ones among the comparisons that are said.
SAID = 0.1
_BEST = 10
_REGIME_BARS = 100
_LONGEST_MESSAGE = 240
# Ideas are those whose returns correlate by less than this: so much of an error may be common to two of them.
_COMMON = 0.5


@dataclass(frozen=True)
class DrawnLesson:
    """A lesson: its kind, its sentence, the attempts that it rests on, and its figures and names as data.

    The names of figures are those that the mock's frozen sentences ask for: `mean` and `rest` are scores, `confidence`
    is 1 less the q-value, `best_ic` and `worst_ic` are differences of net Sharpe ratios, `rank_ic` is a score.
    """

    kind: str
    text: str
    evidence: tuple[int, ...]
    figures: dict[str, str | float] = field(default_factory=dict)

    @property
    def stored(self) -> NewLesson:
        """The lesson as it is recorded."""
        return NewLesson(self.kind, self.text, self.evidence)

    @property
    def facts(self) -> LessonFacts:
        """The lesson as data."""
        return LessonFacts(self.kind, self.text, self.figures)


@dataclass(frozen=True)
class _Compared:
    """A comparison that may become a lesson."""

    of: Ingredient | str
    found: Comparison
    ideas: tuple[Idea, ...]


def draw_lessons(
    attempts: Sequence[AttemptRecord], returns: StoredReturns | None = None, newest: frozenset[int] = frozenset()
) -> list[DrawnLesson]:
    """Return the lessons of these attempts; the same attempts give the same lessons.

    Lessons that rest on one of the `newest` attempts, by id, come first; then the most useful first.
    """
    ideas = distinct_ideas(attempts, returns or StoredReturns())
    compared = [*_ingredients(ideas), *_regimes(ideas), *_gate(ideas)]
    found = with_q_values([one.found for one in compared])
    surely = [replace(one, found=c) for one, c in zip(compared, found, strict=True) if c.q <= SAID]
    lessons = [
        *_said_of_ingredients(surely),
        *_inverted(ideas),
        *_said_of_regimes(surely),
        *_costs(ideas),
        *_said_of_gate(surely),
        *_refusals(attempts),
    ]
    return sorted(lessons, key=lambda lesson: newest.isdisjoint(lesson.evidence))


def _firsts(ideas: Sequence[Idea]) -> tuple[int, ...]:
    return tuple(sorted(idea.first.id for idea in ideas))


def _ingredients(ideas: Sequence[Idea]) -> list[_Compared]:
    """Compare the net scores of ideas with an ingredient and without it."""
    found = []
    scored = [(idea, idea.first.id, idea.score) for idea in ideas]
    for one in ingredients(ideas):
        # An idea is named by its first attempt, so this many are inside.
        if min(len(one.ideas), len(ideas) - len(one.ideas)) < LEAST:
            continue
        inside = [idea for idea, first, _ in scored if first in one.ideas]
        with_it = [score for _, first, score in scored if first in one.ideas]
        without = [score for _, first, score in scored if first not in one.ideas]
        found.append(_Compared(one, two_groups(with_it, without), tuple(inside)))
    return found


def _said_of_ingredients(surely: Sequence[_Compared]) -> list[DrawnLesson]:
    known = [one for one in surely if isinstance(one.of, Ingredient)]
    ranked = sorted(known, key=lambda one: (one.found.q, -abs(one.found.difference)))
    helps = [one for one in ranked if one.found.difference > 0][:2]
    hurts = [one for one in ranked if one.found.difference < 0][:1]
    return [_ingredient(one) for one in (*helps, *hurts)]


def _ingredient(one: _Compared) -> DrawnLesson:
    assert isinstance(one.of, Ingredient)
    mean = fmean(idea.score for idea in one.ideas)
    rest = mean - one.found.difference
    helps = one.found.difference > 0
    text = (
        f"{one.of.said()} {'helps' if helps else 'hurts'}: mean net score on train {mean:+.2f} over {len(one.ideas)} "
        f"distinct ideas, {rest:+.2f} without ({one.found.words()})"
    )
    figures: dict[str, str | float] = {
        "word": " ".join(one.of.words),
        "helps": float(helps),
        "mean": mean,
        "rest": rest,
        "confidence": 1.0 - one.found.q,
        "factors": float(len(one.ideas)),
        "low": one.found.low,
        "high": one.found.high,
        "q": one.found.q,
    }
    return DrawnLesson("ingredient", text, _firsts(one.ideas), figures)


def _regimes(ideas: Sequence[Idea]) -> list[_Compared]:
    """Compare what ideas that pay earn in a regime with what they earn on all of train."""
    good = sorted((i for i in ideas if i.payoff > SEEN), key=lambda i: (-i.score, i.first.id))[:_BEST]
    known: dict[str, list[tuple[Idea, float, float]]] = {}
    for idea in good:
        for name, difference, variance in _by_regime(idea.best):
            known.setdefault(name, []).append((idea, difference, variance))
    found = []
    for name, rows in sorted(known.items()):
        if len(rows) >= max(LEAST, len(good) // 2):
            # Ideas share the bars of a regime, and with them its luck: many ideas make it no smaller than this.
            shared = _COMMON * fmean(variance for _, _, variance in rows)
            compared = one_group([difference for _, difference, _ in rows], shared)
            found.append(_Compared(name, compared, tuple(idea for idea, _, _ in rows)))
    return found


def _by_regime(attempt: AttemptRecord) -> list[tuple[str, float, float]]:
    """Return, of each regime of enough bars, net Sharpe less that of all of train, and the variance of its error."""
    card = attempt.evaluation.scorecard if attempt.evaluation else None
    if card is None or card.profiles is None or "train" not in card.profiles:
        return []
    whole, rows = card.train, []
    for part in card.profiles["train"].regimes:
        if part.bars >= _REGIME_BARS and whole.n_bars > part.bars:
            difference = part.sharpe_net - whole.sharpe_net
            variance = card.bars_per_year * (1.0 / part.bars - 1.0 / whole.n_bars)
            if math.isfinite(difference):
                rows.append((part.name, difference, variance))
    return rows


def _said_of_regimes(surely: Sequence[_Compared]) -> list[DrawnLesson]:
    known = [one for one in surely if isinstance(one.of, str) and one.of]
    if not known:
        return []
    best, worst = (choose(known, key=lambda one: (one.found.difference, one.of)) for choose in (max, min))
    said = [
        f"{word} in the regime '{one.of}' (net Sharpe ratio less that of all of train: {one.found.words()})"
        for word, one, sure in (
            ("more", best, best.found.difference > 0),
            ("less", worst, worst.found.difference < 0),
        )
        if sure
    ]
    group = max((best.ideas, worst.ideas), key=len)
    text = f"{len(group)} distinct ideas that pay on train earn {', and '.join(said)}"
    figures: dict[str, str | float] = {
        "factors": float(len(group)),
        "best": str(best.of),
        "best_ic": best.found.difference,
        "worst": str(worst.of),
        "worst_ic": worst.found.difference,
    }
    return [DrawnLesson("regime", text, _firsts(group), figures)]


def _inverted(ideas: Sequence[Idea]) -> list[DrawnLesson]:
    """Say which ideas pay the other way, of those that nobody turned around yet."""
    lowest = [min((a for a in i.members), key=lambda a: (train_of(a).payoff_z, a.id)) for i in ideas]
    scores = np.array([train_of(a).payoff_z for a in lowest])
    # Each idea is compared with chance by itself: that family has its own q-values.
    q = q_values(2.0 * ndtr(-np.abs(scores)))
    rows = [
        (z, a, float(one))
        for a, z, one, idea in zip(lowest, scores, q, ideas, strict=True)
        if z < -SEEN and one <= SAID and not any(train_of(m).payoff_z > SEEN for m in idea.members)
    ]
    return [
        DrawnLesson(
            "sign",
            f"{a.canonical} pays the other way on train (score {z:.1f}, q {one:.2g}): negate it",
            (a.id,),
            {"factor": str(a.canonical), "rank_ic": float(z), "q": one},
        )
        for z, a, one in sorted(rows, key=lambda row: (row[0], row[1].id))[:2]
    ]


def _costs(ideas: Sequence[Idea]) -> list[DrawnLesson]:
    """Say how many ideas that pay are eaten by costs."""
    pays = [i for i in ideas if i.payoff > SEEN and math.isfinite(train_of(i.best).net_z)]
    eaten = [i for i in pays if train_of(i.best).net_z < 0]
    turnovers = [t for i in eaten if (t := or_none(train_of(i.best).turnover)) is not None]
    if min(len(eaten), len(turnovers)) < LEAST:
        return []
    low, high = share_interval(len(eaten), len(pays))
    turnover, error = fmean(turnovers), float(np.std(turnovers, ddof=1) / math.sqrt(len(turnovers)))
    text = (
        f"costs eat {len(eaten)} of {len(pays)} distinct ideas that pay on train ({LEVEL:.0%} interval {low:.0%} to "
        f"{high:.0%}); those trade {turnover:.0%} a bar (error {error:.0%}): use longer windows, or smooth with "
        "ts_decay_linear or ts_mean"
    )
    figures: dict[str, str | float] = {"factors": float(len(eaten)), "turnover": turnover, "low": low, "high": high}
    return [DrawnLesson("costs", text, _firsts(eaten), figures)]


def _gate(ideas: Sequence[Idea]) -> list[_Compared]:
    """Compare the net Sharpe ratio on train with the gate and without it, idea by idea."""
    pairs, variances = [], []
    for idea in ideas:
        train = train_of(idea.best)
        gain = or_none(train.sharpe_gated - train.sharpe_net)
        if gain is not None and idea.best.evaluation is not None:
            pairs.append((idea, gain))
            variances.append(idea.best.evaluation.scorecard.bars_per_year / train.n_bars if train.n_bars else math.nan)
    if len(pairs) <= LEAST:
        return []
    # All ideas pass the same gate on the same bars: its luck is common to them.
    compared = one_group([gain for _, gain in pairs], _COMMON * fmean(variances))
    return [_Compared("", compared, tuple(idea for idea, _ in pairs))]


def _said_of_gate(surely: Sequence[_Compared]) -> list[DrawnLesson]:
    lessons = []
    for one in surely:
        if one.of == "":
            gains = [train_of(i.best).sharpe_gated - train_of(i.best).sharpe_net for i in one.ideas]
            helped = sum(gain > 0 for gain in gains)
            text = (
                f"the gate raised net Sharpe on train for {helped} of {len(gains)} distinct ideas ({one.found.words()})"
            )
            figures: dict[str, str | float] = {
                "helped": float(helped),
                "factors": float(len(gains)),
                "change": one.found.difference,
            }
            lessons.append(DrawnLesson("gate", text, _firsts(one.ideas), figures))
    return lessons


def _refusals(attempts: Sequence[AttemptRecord]) -> list[DrawnLesson]:
    """Say what was refused most, and why, so that it is not written again."""
    refused = [a for a in attempts if a.code]
    lessons = []
    for (stage, code), count in Counter((a.stage, a.code) for a in refused).most_common(3):
        group = [a for a in refused if (a.stage, a.code) == (stage, code)]
        message = (group[-1].message or "").splitlines()
        # A message may hold what a model wrote, and a lesson goes to another.
        said = f": {quoted(message[0], _LONGEST_MESSAGE)}" if message else ""
        times = "1 attempt" if count == 1 else f"{count} attempts"
        figures: dict[str, str | float] = {"attempts": float(count), "stage": stage, "code": str(code)}
        figures["message"] = message[0] if message else ""
        lessons.append(
            DrawnLesson("refusal", f"{times} ended at {stage} ({code}){said}", tuple(a.id for a in group), figures)
        )
    return lessons
