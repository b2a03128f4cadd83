"""Pools: what combining is worth where the truth is planted, and that no weight has seen what it is scored on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.pool_records import Label, PoolRecord
from agent.knowledge.records import NewAttempt
from agent.knowledge.run_config import RunConfig, ScoringRules
from agent.pools.fitting import Setting, check_pool_truncation, fit_pools, notes_on, pool_values, weights_of
from agent.pools.marginal import crowded_themes, describe_pool, marginal
from agent.pools.members import (
    MeasuredFactors,
    PoolCandidate,
    choose_members,
    measure_members,
    ranked_signal,
    read_candidate,
)
from agent.pools.weighting import METHODS, FittedWeights, Method, fit_weights, unseen_values
from agent.review.collect_pool import leave_one_out, review_pool
from agent.review.render import render_pool
from agent.study.scoring import evaluate_expression, evaluation_of
from agent.study.settings import BacktestSettings, Settings, SplitSettings
from agent.study.study import Study, backtest_expression, open_study, read_expression
from backtest.evidence import Trials
from backtest.max_test import LargestScores
from factors.tree import Expression
from market.errors import InputError, Rejection
from market.files import import_files
from market.panel import FloatArray, Panel
from market.panel_store import load_panel, save_panel
from market.synthetic.demo_market import SynthSpec, make_market

BARS = 3000
FREE = Settings(
    backtest=BacktestSettings(fee_bp=0.0, slippage_bp=0.0),
    split=SplitSettings(train=0.7, validation=0.15, max_lookback=60),
)


def planted(effects: dict[str, float], seed: int = 1) -> Panel:
    """A simulated market whose returns are moved, in bp a unit, by independent fields ``idea_...`` two bars before."""
    panel = make_market(SynthSpec(seed=seed, bars=BARS, effect_bp=0.0, crashes=0)).panel
    rng = np.random.default_rng(seed)
    fields = {name: rng.normal(size=panel.shape) for name in effects}
    push = np.zeros(panel.shape)
    push[2:] = 1e-4 * sum(effects[name] * values[:-2] for name, values in fields.items())
    growth = np.exp(np.cumsum(push, axis=0))
    moved = {name: panel[name] * growth for name in ("open", "high", "low", "close")}
    return panel.with_fields({**moved, **fields})


@pytest.fixture(scope="module")
def panel() -> Panel:
    return planted({"idea_a": 4.0, "idea_b": 4.0, "idea_c": 0.0})


@pytest.fixture(scope="module")
def study(panel: Panel) -> Study:
    return open_study(panel, FREE)


@pytest.fixture
def kb(tmp_path: Path, panel: Panel) -> Iterator[KnowledgeBase]:
    with KnowledgeBase.open(tmp_path / "knowledge.db") as knowledge:
        knowledge.register_dataset(panel)
        yield knowledge


def measured_of(study: Study, kb: KnowledgeBase, *texts: str) -> MeasuredFactors:
    return measure_members(choose_members(study, kb, factors=texts), study)


def fit(measured: MeasuredFactors, kb: KnowledgeBase, *methods: Method, **options: Any) -> list[PoolRecord]:
    setting = Setting("toy", ScoringRules(FREE.rules()))
    found = [pool for _, pool in fit_pools(measured, methods, kb, setting, **options)]
    assert all(isinstance(pool, PoolRecord) for pool in found), found
    return [pool for pool in found if isinstance(pool, PoolRecord)]


def weights_by_text(pool: PoolRecord) -> dict[str, float]:
    return {m.text: float(w) for m, w in zip(pool.members, weights_of(pool), strict=True)}


def test_two_weak_signals_together_beat_either(study: Study, kb: KnowledgeBase) -> None:
    measured = measured_of(study, kb, "idea_a", "idea_b")
    trials = Trials(10, 1e-4)
    for pool in fit(measured, kb, *METHODS):
        for part in ("train", "validation"):
            card = getattr(pool.scorecard, part)
            for alone in measured.traded:
                alone_figures = alone.figures(study, trials, part)
                assert card.rank_ic > alone_figures.rank_ic > 0, (pool.method, part)
                assert card.sharpe_net > alone_figures.sharpe_net, (pool.method, part)
        shares = weights_by_text(pool)
        assert shares["idea_a"] == pytest.approx(0.5, abs=0.12)
        assert sum(map(abs, shares.values())) == pytest.approx(1.0)


def test_copies_share_one_weight_where_returns_are_regressed(study: Study, kb: KnowledgeBase) -> None:
    texts = ("idea_a", "cs_rank(idea_a) * 2 + 1", "power(idea_a, 3)", "idea_b")
    pools = {p.method: weights_by_text(p) for p in fit(measured_of(study, kb, *texts), kb, "equal", "ridge", "nonneg")}
    once = {
        p.method: weights_by_text(p) for p in fit(measured_of(study, kb, "idea_a", "idea_b"), kb, "ridge", "nonneg")
    }
    assert pools["equal"]["idea_b"] == 0.25
    # The same rule for both: what chooses the penalty must not be what tells them apart.
    assert pools["nonneg"]["idea_b"] == pytest.approx(once["nonneg"]["idea_b"], abs=0.01)
    assert pools["ridge"]["idea_b"] > 0.35


def test_a_pool_of_one_is_its_member(study: Study, kb: KnowledgeBase) -> None:
    measured = measured_of(study, kb, "idea_a")
    alone = backtest_expression(measured.candidates[0].expression, study)
    assert not isinstance(alone, Rejection)
    for pool in fit(measured, kb, "equal", "ridge", "nonneg", "ic"):
        assert weights_of(pool).tolist() == [1.0]
        for part in ("train", "validation"):
            mine = getattr(pool.scorecard, part)
            theirs = getattr(alone[1].scorecard, part).to_dict()
            # Ranks are traded, so all that is of positions and of ranks is the same; the plain IC is that of the ranks.
            for name, value in theirs.items():
                if isinstance(value, float) and name != "ic":
                    assert getattr(mine, name) == pytest.approx(value, rel=1e-9, abs=1e-12), (pool.method, name)


def test_every_fit_is_a_trial_once(study: Study, kb: KnowledgeBase) -> None:
    measured = measured_of(study, kb, "idea_a", "idea_b")
    assert kb.trials(study.dataset).count == 0
    pools = fit(measured, kb, "equal", "ridge")
    assert kb.trials(study.dataset).count == 2
    assert kb.trials(study.dataset).evaluated == 2
    # Both know of each other: the first counts what is still ahead.
    assert [pool.evidence.trials for pool in pools] == [2, 2]
    again = fit(measured, kb, "ridge", name="other")
    assert again[0].to_dict() == pools[1].to_dict()
    assert kb.trials(study.dataset).count == 2
    third = fit(measured_of(study, kb, "idea_a", "idea_b", "idea_c"), kb, "ridge")
    assert third[0].evidence.trials == 3
    # A factor that is evaluated later meets them as trials.
    scoring = evaluate_expression(measured.candidates[0].expression, study, kb)
    assert not isinstance(scoring, Rejection)
    assert scoring.evidence.trials == 4


def test_pools_of_the_same_members_are_hardly_more_than_one_trial(study: Study, kb: KnowledgeBase) -> None:
    fit(measured_of(study, kb, "idea_a", "idea_b"), kb, "equal", "ridge", "ic")
    drawn = kb.largest_scores(study.dataset)
    assert (drawn.count, kb.trials(study.dataset).count) == (3, 3)
    assert drawn.effective() < 2.0
    assert drawn.hurdle() < LargestScores(0).hurdle(more=3.0) - 0.1


def test_the_same_members_in_any_order_are_the_same_pool(study: Study, kb: KnowledgeBase) -> None:
    one, two = (
        fit(measured_of(study, kb, *texts), kb, "ridge")[0] for texts in (("idea_a", "idea_b"), ("idea_b", "idea_a"))
    )
    assert one.id == two.id
    assert len(kb.pools()) == 1


def test_names_are_given_once(study: Study, kb: KnowledgeBase) -> None:
    measured = measured_of(study, kb, "idea_a", "idea_b")
    fit(measured, kb, "equal", name="mine")
    assert kb.get_pool("mine").method == "equal"
    assert kb.get_pool(kb.get_pool("mine").id[:12]).name == "mine"
    for name, says in (("mine", "already"), ("-x", "no name"), ("pool:1", "no name"), ("cafe", "no name")):
        with pytest.raises(InputError, match=says):
            fit(measured, kb, "ridge", name=name)
    # What was refused counts nowhere.
    assert kb.trials(study.dataset).count == 1
    with pytest.raises(InputError, match="no pool"):
        kb.get_pool("other")


def scrambled(panel: Panel, rows: slice) -> Panel:
    """Other prices in some rows."""
    rng = np.random.default_rng(9)
    noise = np.ones(panel.shape)
    noise[rows] = np.exp(rng.normal(0, 0.05, noise[rows].shape))
    return panel.with_fields({name: panel[name] * noise for name in ("open", "high", "low", "close")})


def test_neither_validation_nor_holdout_reaches_a_weight(panel: Panel, study: Study, kb: KnowledgeBase) -> None:
    texts = ("idea_a", "idea_b", "idea_c", "ts_delta(close, 5)")
    base = {p.method: p for p in fit(measured_of(study, kb, *texts), kb, *METHODS)}
    split = study.split
    for rows, same in ((slice(split.validation.start, None), ("train",)), (slice(split.holdout.start, None), None)):
        other = scrambled(panel, rows)
        kb.register_dataset(other)
        changed = open_study(other, FREE)
        for pool in fit(measured_of(changed, kb, *texts), kb, *METHODS):
            assert weights_of(pool).tolist() == weights_of(base[pool.method]).tolist()
            for part in same or ("train", "validation"):
                mine = getattr(pool.scorecard, part)
                theirs = getattr(base[pool.method].scorecard, part)
                assert mine.sharpe_net == theirs.sharpe_net
            if same:
                assert pool.scorecard.validation != base[pool.method].scorecard.validation


@pytest.mark.parametrize("method", METHODS)
def test_train_is_scored_with_weights_from_earlier_bars(
    panel: Panel, study: Study, kb: KnowledgeBase, method: Method
) -> None:
    texts = ("idea_a", "idea_b", "idea_c")
    measured = measured_of(study, kb, *texts)
    border = measured.edges[3]
    later = open_study(scrambled(panel, slice(border, None)), FREE)
    other = measured_of(later, kb, *texts)
    mine = fit_weights(measured, method)
    assert isinstance(mine, FittedWeights)
    # The rule of an aim is chosen on all of train, and each rule tried counts as a trial: here it is given.
    theirs = fit_weights(other, method, rule=mine.rule)
    assert isinstance(theirs, FittedWeights)
    here, there = unseen_values(measured, mine), unseen_values(other, theirs)
    stop = measured.edges[4]
    assert np.array_equal(here[:stop], there[:stop], equal_nan=True)
    assert method == "equal" or not np.array_equal(here[stop:], there[stop:], equal_nan=True)
    # The last bars before the border, whose label lies behind it, are left out of what block 3 is fitted on.
    assert measured.purge == 2
    # Of the first block nothing is known: the aim takes no position, the others hold all alike.
    assert mine.early[0].tolist() == pytest.approx([0.0 if method == "aim" else 1 / 3] * 3)


def test_fitting_noise_shows_in_sample_and_not_in_the_scorecard(kb: KnowledgeBase) -> None:
    panel = planted({f"idea_{k:02d}": 0.0 for k in range(25)}, seed=4)
    kb.register_dataset(panel)
    study = open_study(panel, FREE)
    pool = fit(measured_of(study, kb, *(f"idea_{k:02d}" for k in range(25))), kb, "nonneg")[0]
    flattered = pool.spec.in_sample
    assert flattered is not None
    card = pool.scorecard.train
    assert flattered.sharpe_net > 3.0
    assert card.sharpe_net < flattered.sharpe_net - 2.0
    assert pool.evidence.accepted is False


def test_values_on_fewer_bars_are_the_first_of_all(study: Study, kb: KnowledgeBase) -> None:
    pool = fit(measured_of(study, kb, "ts_delta(close, 5)", "ts_mean(volume, 48)", "idea_a"), kb, "ic")[0]
    whole = pool_values(pool, study.panel)
    for cut in (70, 999, BARS // 2):
        assert np.array_equal(pool_values(pool, study.panel.rows(0, cut)), whole[:cut], equal_nan=True)
    expressions = [c.expression for c in choose_members(study, kb, factors=[m.text for m in pool.members])]
    assert check_pool_truncation(expressions, weights_of(pool), study.panel, [70, 999]) is None


def test_a_member_that_does_not_know_an_asset(study: Study, kb: KnowledgeBase) -> None:
    """The second member is silent for the first 47 bars: alone it is half of the weight, then a third."""
    two = fit(measured_of(study, kb, "idea_a", "ts_mean(volume, 48)"), kb, "equal")[0]
    values, member = pool_values(two, study.panel), study.panel["idea_a"]
    ranks = np.argsort(np.argsort(member[10])) + 1
    width = study.panel.shape[1]
    assert values[10] == pytest.approx(0.5 * (ranks - 0.5 * (width + 1)) / width)
    more = fit(measured_of(study, kb, "idea_a", "ts_mean(volume, 48)", "ts_std(volume, 48)"), kb, "equal")[0]
    silent = pool_values(more, study.panel)
    assert np.isnan(silent[:47]).all()
    assert np.isfinite(silent[47:]).all()


def test_the_signal_is_a_few_lines_of_pandas(study: Study, kb: KnowledgeBase) -> None:
    texts = ("ts_corr(close, volume, 12)", "-ts_delta(close, 5)", "idea_a / (ts_rank(volume, 30) > 0.2)")
    (pool,) = fit(measured_of(study, kb, *texts), kb, "ridge")
    total, known = pd.DataFrame(np.zeros(study.panel.shape)), pd.DataFrame(np.zeros(study.panel.shape))
    for text, weight in weights_by_text(pool).items():
        member = pd.DataFrame(ranked_signal(read_candidate(text, study, kb).expression, study)[0])
        count = member.notna().sum(axis=1)
        ranks = member.rank(axis=1).sub((count + 1) / 2, axis=0).div(count, axis=0)
        total += weight * ranks.fillna(0.0)
        known += abs(weight) * member.notna()
    peer = total.where(known >= 0.5 - 1e-9).round(12)
    found = pool_values(pool, study.panel)
    assert 0.05 < np.isnan(found).mean() < 0.5
    assert np.array_equal(np.isnan(found), peer.isna().to_numpy())
    np.testing.assert_allclose(found, peer.to_numpy(), atol=2e-12)


def test_what_is_not_accepted_is_said(study: Study, kb: KnowledgeBase) -> None:
    with pytest.raises(InputError, match="--members promising"):
        choose_members(study, kb)
    run = kb.create_run(study.dataset, RunConfig(llm="mock", simulated=True), 0)
    kb.start_round(run.id, 1, {})
    for slot, (text, verdict) in enumerate((("idea_a", "promising"), ("idea_b", "accepted"), ("idea_c", "rejected"))):
        candidate = read_candidate(text, study, kb)
        scoring = evaluate_expression(candidate.expression, study, kb)
        assert not isinstance(scoring, Rejection)
        evaluated = evaluation_of(scoring)
        evidence = replace(evaluated.evidence, verdict=verdict, accepted=verdict == "accepted")
        kb.record_attempt(
            NewAttempt(
                run_id=run.id, round=1, slot=slot, text=text, stage="evidence", name=f"idea {slot}",
                canonical=candidate.expression.text, factor_id=candidate.expression.id,
                evaluation=replace(evaluated, evidence=evidence),
            )
        )  # fmt: skip
    (only,) = choose_members(study, kb)
    assert (only.expression.text, only.verdict, only.simulated) == ("idea_b", "accepted", True)
    both = choose_members(study, kb, verdicts=("accepted", "promising"))
    assert [c.expression.text for c in both] == ["idea_a", "idea_b"]
    assert len(choose_members(study, kb, verdicts=("accepted", "promising"), most=1)) == 1
    named = choose_members(study, kb, factors=(only.expression.id, "-idea_c"))
    assert {c.verdict for c in named} == {"accepted", "not tried"}
    (pool,) = fit(measure_members(both, study), kb, "equal")
    assert pool.spec.notes == ("1 of 2 members were not accepted (1 promising): this pool rests on them",)
    assert fit(measure_members([only], study), kb, "equal")[0].spec.notes == ()
    # What was let in where trading is free is no proof where it costs.
    dear = replace(study, spec=replace(study.spec, costs=replace(study.spec.costs, fee_bp=10.0)))
    notes = notes_on(measure_members(choose_members(dear, kb), dear))
    assert notes == ("1 of 1 members were evaluated under other trading rules than this pool",)
    with pytest.raises(InputError, match="named twice"):
        choose_members(study, kb, factors=("idea_a", "idea_a"))


def test_no_weight_is_an_answer_and_no_trial(study: Study, kb: KnowledgeBase) -> None:
    measured = measured_of(study, kb, "-idea_a", "-idea_b")
    ((_, found),) = fit_pools(measured, ["nonneg"], kb, Setting("toy", ScoringRules()))
    assert isinstance(found, Rejection)
    assert found.code == "no_weight"
    assert kb.trials(study.dataset).count == 0
    # Ridge and IC turn a member round.
    assert all((weights_of(pool) < 0).all() for pool in fit(measured, kb, "ridge", "ic"))


def test_leaving_out_what_matters_costs_and_what_does_not_is_free(study: Study, kb: KnowledgeBase) -> None:
    measured = measured_of(study, kb, "idea_a", "idea_b", "idea_c")
    found = fit_weights(measured, "ridge")
    assert isinstance(found, FittedWeights)
    (pool,) = fit(measured, kb, "ridge")
    card = pool.scorecard.train
    rests = leave_one_out(measured, found, measured.traded[0], Trials(10, 1e-4))
    lost = [card.rank_ic - rest["train"].rank_ic for rest in rests]
    assert min(lost[0], lost[1]) > 10 * abs(lost[2])
    # Without a member, the others are fitted as if it had never been there.
    alone = fit_weights(measured_of(study, kb, "idea_a", "idea_b"), "ridge")
    left = fit_weights(measured, "ridge", but=2)
    assert isinstance(left, FittedWeights)
    assert isinstance(alone, FittedWeights)
    assert left.weights.tolist() == pytest.approx([*alone.weights.tolist(), 0.0], rel=1e-6)
    assert isinstance(fit_weights(measured_of(study, kb, "idea_a"), "ridge", but=0), Rejection)


def test_what_a_candidate_adds(study: Study, kb: KnowledgeBase) -> None:
    (pool,) = fit(measured_of(study, kb, "idea_a", "idea_c"), kb, "ic")
    values = pool_values(pool, study.panel)

    def signal(text: str) -> FloatArray:
        return ranked_signal(read_candidate(text, study, kb).expression, study)[0]

    new = marginal(signal("idea_b"), values, study)
    assert new.ic_tstat > 3
    assert new.keeps
    assert abs(new.correlation) < 0.1
    mixed = marginal(signal("idea_a + 0.2 * idea_c"), values, study)
    assert abs(mixed.rank_ic) < 0.5 * new.rank_ic
    copy = marginal(values, values, study)
    assert math.isnan(copy.rank_ic)
    assert "nothing is left" in copy.sentences()[0]
    # Of validation, a word.
    assert new.sentences()[1] == "what it adds keeps its sign on validation"
    assert kb.trials(study.dataset).count == 1


def test_a_writer_is_shown_what_the_pool_has(study: Study, kb: KnowledgeBase) -> None:
    assert describe_pool(kb, study.dataset) == []
    texts = ("idea_a", "power(idea_a, 3)", "idea_b", "idea_c")
    (pool,) = fit(measured_of(study, kb, *texts), kb, "equal")
    themes = [{m.text for m in theme} for theme in crowded_themes(pool)]
    assert themes[0] == {"idea_a", "power(idea_a, 3)"}
    assert [len(theme) for theme in themes] == [2, 1, 1]
    lines = describe_pool(kb, study.dataset)
    assert lines[1].startswith("50% of its weight: ")
    assert "and 1 more that go with it" in lines[1]
    said = " ".join(lines)
    unseen = pool.members[0].validation
    assert f"{unseen.rank_ic:+.4f}" not in said
    assert not any(asset in said for asset in study.panel.assets)
    assert "other themes" in " ".join(describe_pool(kb, study.dataset, most=1))


def test_holding_longer_asks_for_a_longer_label(panel: Panel, kb: KnowledgeBase) -> None:
    settings = FREE.model_copy(update={"backtest": FREE.backtest.model_copy(update={"holding": 6})})
    study = open_study(panel, settings)
    measured = measured_of(study, kb, "idea_a", "idea_b")
    assert (measured.horizon, measured.purge) == (6, 7)
    assert measured.rows.stop == study.split.train.stop - 7
    (pool,) = fit(measured, kb, "ridge")
    assert pool.spec.label == Label(6, "open")
    single = FREE.model_copy(update={"backtest": FREE.backtest.model_copy(update={"weighting": "timeseries"})})
    with pytest.raises(InputError, match="timeseries"):
        measured_of(open_study(panel, single), kb, "idea_a")


def test_a_gated_pool_is_shown_gated_beside_ungated(study: Study, kb: KnowledgeBase) -> None:
    rng = np.random.default_rng(0)
    shut = np.repeat((rng.random(len(study.panel.times)) > 0.3).astype(float)[:, None], study.panel.shape[1], axis=1)
    gated = replace(study, exposures=shut)
    (pool,) = fit(measured_of(gated, kb, "idea_a", "idea_b"), kb, "equal")
    card = pool.scorecard.validation
    assert card.sharpe_gated != card.sharpe_net
    assert pool.spec.rules.gate is True
    (plain,) = fit(measured_of(study, kb, "idea_a", "idea_b"), kb, "equal")
    assert plain.id != pool.id


def test_the_page_ends_with_validation_and_compares_the_pool_with_others(study: Study, kb: KnowledgeBase) -> None:
    texts = ("idea_a", "idea_b", "idea_c")
    (pool,) = fit(measured_of(study, kb, *texts), kb, "ridge", name="page")
    before = kb.trials(study.dataset).count
    review = review_pool(study, kb, pool)
    assert kb.trials(study.dataset).count == before
    assert len(review.review.times) == study.split.validation.stop
    assert [r.label for r in review.rivals] == ["This pool", "Equal weights", "Best single member"]
    # What the page scores afresh is what was recorded.
    assert review.review.train.sharpe_net == pytest.approx(pool.scorecard.train.sharpe_net)
    assert review.rivals[0].figures["validation"].sharpe_net == pytest.approx(pool.scorecard.validation.sharpe_net)
    best = max((m.alone["train"].sharpe_net, m.text) for m in review.members)
    assert best[1] in review.rivals[2].note
    html = render_pool(review)
    for piece in ("What each member adds", "How members go together", "page", "not accepted", "walking forward"):
        assert piece in html
    assert "What the judge said" not in html
    single = review_pool(study, kb, fit(measured_of(study, kb, "idea_a"), kb, "equal")[0])
    assert single.members[0].rest == {}
    assert "nothing to compare it with" in render_pool(single)


def test_real_coins_with_deaths_and_late_starts(shared_data: Path, tmp_path: Path) -> None:
    save_panel(import_files([shared_data / "crypto_spot_1d.parquet"], name="coins"), tmp_path / "coins.parquet")
    whole = load_panel(tmp_path / "coins.parquet")
    study = open_study(whole, Settings())
    texts = (
        "-ts_returns(close, 5)",
        "ts_corr(close, volume, 20)",
        "-ts_std(returns, 20)",
        "cs_rank(ts_mean(amount, 30))",
    )
    with KnowledgeBase.open(tmp_path / "knowledge.db") as kb:
        kb.register_dataset(whole)
        measured = measured_of(study, kb, *texts)
        for _, pool in fit_pools(measured, METHODS, kb, Setting("coins", ScoringRules(Settings().rules()))):
            if isinstance(pool, Rejection):
                assert pool.code == "no_weight"
                continue
            values = pool_values(pool, study.panel)
            cut = len(study.panel.times) // 2
            assert np.array_equal(pool_values(pool, study.panel.rows(0, cut)), values[:cut], equal_nan=True)
            assert not np.isfinite(values[~study.panel.universe]).any()
            assert np.nanmax(np.abs(values)) < 0.5
        assert kb.trials(study.dataset).count == len(kb.pools()) > 0


def test_candidates_keep_what_they_were(study: Study, kb: KnowledgeBase) -> None:
    found = read_candidate("idea_a", study, kb)
    assert found == PoolCandidate(found.expression, "", "not tried")
    with pytest.raises(InputError, match="no factor"):
        read_candidate("factor:0123456789abcdef", study, kb)
    with pytest.raises(InputError, match="end"):
        read_candidate("idea_a +", study, kb)


def test_the_aim_chooses_how_slowly_it_trades_and_keeps_that_rule(panel: Panel, kb: KnowledgeBase) -> None:
    dear = Settings(
        backtest=BacktestSettings(fee_bp=3.0, slippage_bp=0.0),
        split=SplitSettings(train=0.7, validation=0.15, max_lookback=60),
    )
    study = open_study(panel, dear)
    measured = measured_of(study, kb, "ts_mean(idea_a, 6)", "ts_mean(idea_b, 6)", "-ts_mean(idea_a, 3)")
    ((_, pool),) = fit_pools(measured, ["aim"], kb, Setting("toy", ScoringRules(dear.rules())))
    assert isinstance(pool, PoolRecord)
    kept = pool.spec.rules.sections["backtest"]
    rules = pool.spec.tried["rules"]
    alike = [(one, score) for one, score in rules if one["volatility_scaled"] == kept["volatility_scaled"]]
    scores = {one["rate"]: score for one, score in alike if score is not None}
    assert len(rules) == 10
    assert kept["rate"] == pool.spec.hyperparameters["rate"] == max(scores, key=lambda rate: scores[rate])
    # The one that loses has no weight, and none is negative.
    assert weights_by_text(pool)["-ts_mean(idea_a, 3)"] == 0.0
    assert min(weights_by_text(pool).values()) >= 0.0
    # Every rule that was tried could have been the lucky one.
    assert pool.evidence.trials == 10
    # Opened again under what it recorded, it is traded as it was scored.
    again = open_study(panel, dear.under(pool.spec.rules))
    assert again.spec.rate == kept["rate"]
    review = review_pool(again, kb, pool)
    assert review.rivals[0].figures["train"].sharpe_net == pytest.approx(pool.scorecard.train.sharpe_net)
    assert review.rivals[0].figures["validation"].sharpe_net == pytest.approx(pool.scorecard.validation.sharpe_net)


def test_members_of_other_years_are_refused(panel: Panel) -> None:
    third = open_study(panel, FREE).split.train.stop // 3
    bars = np.arange(panel.shape[0])[:, None] // third
    fields = {f"part_{k}": np.where(bars == k, panel["idea_a"], np.nan) for k in range(3)}
    study = open_study(panel.with_fields(fields), FREE)
    candidates = [PoolCandidate(read(study, name), "", "not tried") for name in fields]
    with pytest.raises(InputError, match="part_1 from 2024-01-30 to 2024-02-28"):
        measure_members(candidates, study)
    assert len(measure_members(candidates[:2], study).candidates) == 2


def read(study: Study, text: str) -> Expression:
    found = read_expression(text, study)
    assert isinstance(found, Expression)
    return found
