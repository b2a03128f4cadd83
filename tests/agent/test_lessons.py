"""Lessons compare distinct ideas, say how sure they are, and are not repeated."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from agent.knowledge.records import AttemptRecord, LessonRecord
from agent.knowledge.stored_returns import StoredReturns
from agent.mining.comparisons import one_group, two_groups, with_q_values
from agent.mining.ideas import distinct_ideas, ingredients
from agent.mining.lesson_subjects import latest
from agent.mining.lessons import SAID, DrawnLesson, draw_lessons
from tests.helpers import scored_attempt


def scored(number: int, text: str, net: float, payoff: float = math.nan, **card: object) -> AttemptRecord:
    train = {"net_z": net, "payoff_z": net + 1.0 if math.isnan(payoff) else payoff, "turnover": 0.2 + 0.01 * number}
    return scored_attempt(number, text, {"train": {**train, "n_bars": 900}, "bars_per_year": 365.0, **card})


def of_kind(kind: str, found: list[DrawnLesson]) -> list[DrawnLesson]:
    return [lesson for lesson in found if lesson.kind == kind]


def market(of_volume: float, ideas: int = 8) -> list[AttemptRecord]:
    """Half of the ideas are made of volume, and net so much more than the others."""
    rng = np.random.default_rng(3)
    volume = [scored(k, f"ts_std(volume, {k + 3})", of_volume + rng.normal()) for k in range(ideas)]
    plain = [scored(50 + k, f"ts_skew(close, {k + 3})", rng.normal()) for k in range(ideas)]
    return [*volume, *plain]


def test_what_helps_is_said_with_its_interval_and_what_cannot_be_told_apart_is_named_together() -> None:
    helps, hurts = of_kind("ingredient", draw_lessons(market(4.0)))
    assert helps.text.startswith("`ts_std` and `volume`, always together, helps: mean net score on train +")
    assert hurts.text.startswith("`close` and `ts_skew`, always together, hurts")
    assert "90% interval +" in helps.text
    assert "confidence" not in helps.text
    low, high, q = (float(helps.figures[name]) for name in ("low", "high", "q"))
    assert 0 < low < float(helps.figures["mean"]) - float(helps.figures["rest"]) < high
    assert q <= SAID
    assert f"q {q:.2g}" in helps.text
    assert helps.evidence == tuple(range(8))


def test_variants_of_one_idea_are_one_observation() -> None:
    known = market(4.0)
    assert of_kind("ingredient", draw_lessons(known))
    # The same figures, but all of volume are one idea: there is nothing to compare any more.
    one_idea = StoredReturns(dict.fromkeys(range(8), 0))
    assert not of_kind("ingredient", draw_lessons(known, one_idea))
    assert len(distinct_ideas(known, one_idea)) == 9


def test_words_that_nearly_always_go_together_are_one_ingredient() -> None:
    ideas = distinct_ideas(
        [scored(k, "ts_std(volume, 5)" if k else "ts_std(open, 5)", 0.0) for k in range(6)]
        + [scored(9, "ts_rank(close, 5)", 0.0)],
        StoredReturns(),
    )
    said = {one.words: one.said() for one in ingredients(ideas)}
    assert said["ts_std", "volume"] == "`ts_std` and `volume`, nearly always together,"
    assert said["open",] == "`open`"


def test_a_factor_and_its_negation_are_one_idea_of_which_the_side_that_pays_counts() -> None:
    both = [scored(1, "ts_std(volume, 5)", -5.0, -4.0), scored(2, "-ts_std(volume, 5)", 3.0, 4.0)]
    (idea,) = distinct_ideas(both, StoredReturns({1: 1, 2: 1}))
    assert (idea.score, idea.best.id) == (3.0, 2)
    # Nobody is advised to negate what was turned around already.
    assert not of_kind("sign", draw_lessons(both, StoredReturns({1: 1, 2: 1})))
    (apart,) = of_kind("sign", draw_lessons(both[:1]))
    assert apart.text == "ts_std(volume, 5) pays the other way on train (score -4.0, q 6.3e-05): negate it"


@pytest.mark.parametrize("score", [-0.27, -1.9])
def test_no_advice_where_nothing_is_seen(score: float) -> None:
    assert not of_kind("sign", draw_lessons([scored(1, "close", score - 1.0, score)]))


def test_a_lesson_fades_when_it_is_contradicted() -> None:
    known = market(4.0)
    against = [scored(100 + k, f"ts_std(volume, {k + 30})", -4.0 + 0.1 * k) for k in range(30)]
    assert not [x for x in of_kind("ingredient", draw_lessons([*known, *against])) if x.figures["helps"]]


def test_without_skill_few_drawings_teach_an_ingredient() -> None:
    rng = np.random.default_rng(0)
    words = ["volume", "close", "high", "low", "open", "amount", "returns", "vwap"]
    calls = ["ts_mean", "ts_std", "ts_rank", "ts_skew", "ts_slope", "ts_max"]
    taught = 0
    for _ in range(150):
        attempts = [
            scored(k, f"{calls[rng.integers(6)]}({words[rng.integers(8)]} / {words[rng.integers(8)]}, 5)", rng.normal())
            for k in range(40)
        ]
        taught += bool(of_kind("ingredient", draw_lessons(attempts)))
    # A tenth, and two standard errors.
    assert taught / 150 <= SAID + 2 * math.sqrt(SAID * (1 - SAID) / 150)


def test_comparisons_are_those_of_scipy_and_hold_their_interval() -> None:
    from scipy.stats import ttest_1samp, ttest_ind

    rng = np.random.default_rng(1)
    one, two = rng.normal(1.0, 1.0, 12), rng.normal(0.0, 3.0, 7)
    found = two_groups(list(one), list(two))
    expected = ttest_ind(one, two, equal_var=True)
    interval = expected.confidence_interval(0.9)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert one_group(list(two)).p == pytest.approx(ttest_1samp(two, 0.0).pvalue)
    # An error that all values share does not fall with their number.
    assert one_group(list(one), shared=4.0).p > 0.5
    assert [c.q for c in with_q_values([found, replace(found, p=0.5)])] == pytest.approx([2 * found.p, 0.5])
    assert all(math.isnan(x.p) for x in (two_groups([1.0, 2.0], [1.0] * 9), two_groups([1.0] * 3, [2.0] * 3)))


def in_regimes(number: int, sharpes: dict[str, float], bars: int) -> AttemptRecord:
    slices = [{"name": name, "sharpe_net": value, "bars": bars} for name, value in sharpes.items()]
    slices.append({"name": "rare", "sharpe_net": -99.0, "bars": 5})
    train = {"net_z": 3.0, "payoff_z": 4.0, "sharpe_net": 1.0 + 0.01 * number, "n_bars": 4 * bars}
    card = {"train": train, "bars_per_year": 365.0, "profiles": {"train": {"regimes": slices}}}
    return scored_attempt(number, "close", card)


def test_regimes_are_named_where_ideas_earn_more_there_than_time_explains() -> None:
    sharpes = {"flow: calm, up": 6.0, "crash": -5.0, "bull": 1.0}
    (lesson,) = of_kind("regime", draw_lessons([in_regimes(k, sharpes, 2000) for k in range(5)]))
    assert lesson.text.startswith("5 distinct ideas that pay on train earn more in the regime 'flow: calm, up'")
    assert "and less in the regime 'crash'" in lesson.text
    assert "rare" not in lesson.text
    assert lesson.evidence == tuple(range(5))
    # Of few bars, what all ideas have in common there may be luck that they share.
    less = {"flow: calm, up": 2.5, "crash": -0.8, "bull": 1.0}
    assert of_kind("regime", draw_lessons([in_regimes(k, less, 2000) for k in range(5)]))
    assert not of_kind("regime", draw_lessons([in_regimes(k, less, 120) for k in range(5)]))


def test_what_costs_eat_is_said_as_a_share_with_its_interval() -> None:
    eaten = [scored(k, f"ts_rank(close, {k + 3})", -2.0, 4.0) for k in range(6)]
    kept = [scored(20 + k, f"ts_mean(close, {k + 3})", 3.0, 4.0) for k in range(4)]
    (lesson,) = of_kind("costs", draw_lessons([*eaten, *kept]))
    assert "costs eat 6 of 10 distinct ideas that pay on train (90% interval 35% to 81%)" in lesson.text
    assert not of_kind("costs", draw_lessons([*eaten[:2], *kept]))


def test_lessons_of_the_last_round_come_first() -> None:
    old, new = scored(1, "close", -5.0, -4.0), scored(2, "volume", -4.0, -3.0)
    assert [x.evidence for x in draw_lessons([old, new])] == [(1,), (2,)]
    assert [x.evidence for x in draw_lessons([old, new], newest=frozenset({2}))] == [(2,), (1,)]


def test_a_lesson_replaces_the_older_one_of_its_kind_and_subject() -> None:
    first, second = draw_lessons(market(4.0)), draw_lessons(market(4.5, ideas=9))
    refused = [
        replace(scored(k, "x", 0.0), evaluation=None, stage="parse", code="arity", message="m") for k in range(3)
    ]
    first, second = [*first, *draw_lessons(refused[:2])], [*second, *draw_lessons(refused)]
    rows = [
        LessonRecord(number, run, 1, one.kind, one.text, one.evidence, "")
        for number, (run, one) in enumerate([("b", x) for x in second] + [("a", x) for x in first])
    ]
    kept = latest(rows, {"a": "panel", "b": "panel"})
    assert [x.text for x in kept] == [x.text for x in second]
    # On other data it says something else.
    assert len(latest(rows, {"a": "panel", "b": "other"})) == len(rows)
