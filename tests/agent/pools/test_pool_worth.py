"""What a pool is worth: what each member adds, what is said of it, and its page."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import NewAttempt
from agent.knowledge.run_config import RunConfig
from agent.pools.fitting import notes_on, pool_values
from agent.pools.marginal import crowded_themes, describe_pool, marginal
from agent.pools.members import (
    PoolCandidate,
    choose_members,
    measure_members,
    ranked_signal,
    read_candidate,
)
from agent.pools.weighting import FittedWeights, fit_weights
from agent.review.collect_pool import leave_one_out, review_pool
from agent.review.render import render_pool
from agent.study.scoring import evaluate_expression, evaluation_of
from agent.study.study import Study
from backtest.evidence import Trials
from market.errors import InputError, Rejection
from market.panel import FloatArray
from tests.agent.pools.planted_pools import fit, measured_of


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
    # Compounded over validation.
    scored, total = pool.scorecard.validation, review.rivals[0].figures["validation"].total_return
    assert (1 + total) ** (pool.scorecard.bars_per_year / scored.n_bars) - 1 == pytest.approx(scored.annual_return_net)
    best = max((m.alone["train"].sharpe_net, m.text) for m in review.members)
    assert best[1] in review.rivals[2].note
    html = render_pool(review)
    for piece in (
        "What each member adds",
        "How members go together",
        "page",
        "not accepted",
        "walking forward",
        "Total return",
    ):
        assert piece in html
    assert "What the judge said" not in html
    single = review_pool(study, kb, fit(measured_of(study, kb, "idea_a"), kb, "equal")[0])
    assert single.members[0].rest == {}
    assert "nothing to compare it with" in render_pool(single)


def test_candidates_keep_what_they_were(study: Study, kb: KnowledgeBase) -> None:
    found = read_candidate("idea_a", study, kb)
    assert found == PoolCandidate(found.expression, "", "not tried")
    with pytest.raises(InputError, match="no factor"):
        read_candidate("factor:0123456789abcdef", study, kb)
    with pytest.raises(InputError, match="end"):
        read_candidate("idea_a +", study, kb)
