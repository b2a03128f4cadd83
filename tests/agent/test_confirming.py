"""The end of a search: of each idea the best is tested on validation, once, and its verdict is stored."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.knowledge.attempt_figures import verdict_of
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.run_config import RunConfig
from agent.mining.confirming import confirm_search
from agent.study.scoring import attempt_of, evaluate_expression
from agent.study.settings import Settings
from agent.study.study import Study, open_study, read_expression
from backtest.planted_payoffs import plant_payoff
from factors.engine import evaluate
from factors.tree import Expression
from tests.helpers import random_panel

HIDDEN = "ts_mean(volume, 8)"
ALIKE = [HIDDEN, "ts_mean(volume, 9)", "ts_mean(volume, 7)", "cs_zscore(ts_mean(volume, 8))"]
NOISE = ["ts_mean(returns, 5)", "ts_std(returns, 30)"]


def read(text: str, study: Study) -> Expression:
    found = read_expression(text, study)
    assert isinstance(found, Expression), found
    return found


def planted(strength_on_validation: bool) -> Study:
    """A market in which one signal pays, on train alone or on both parts, and trading costs nothing."""
    settings = Settings.model_validate({"backtest": {"fee_bp": 0.0, "slippage_bp": 0.0}})
    study = open_study(random_panel(900, 16, 3), settings)
    rows = np.arange(study.split.train.start + 40, study.split.train.stop)
    if strength_on_validation:
        rows = np.arange(rows[0], study.split.validation.stop)
    market = plant_payoff(study.panel, evaluate(read(HIDDEN, study), study.panel).values, 12.0, rows)
    if strength_on_validation:
        return replace(study, outcomes=market.panel)
    # The drift ends with train.
    stop = study.split.train.stop
    fields = {name: np.vstack([market.panel[name][:stop], study.panel[name][stop:]]) for name in market.panel.fields}
    return replace(study, outcomes=replace(market.panel, fields=fields))


@pytest.fixture
def knowledge(tmp_path: Path) -> KnowledgeBase:
    return KnowledgeBase.open(tmp_path / "k.db")


def searched(study: Study, knowledge: KnowledgeBase, texts: list[str], run: str | None = None, round_: int = 1) -> str:
    """Record candidates as a search that train led records them; return the run."""
    knowledge.register_dataset(random_panel(900, 16, 3))
    run = run or knowledge.create_run(study.dataset, RunConfig(), 1).id
    knowledge.start_round(run, round_, {})
    for slot, text in enumerate(texts):
        expression = read(text, study)
        result = evaluate_expression(expression, study, knowledge, aimed=True)
        knowledge.record_attempt(attempt_of((run, round_, slot), text, expression, result))
    return run


def verdicts(knowledge: KnowledgeBase, run: str) -> dict[str, str]:
    return {a.canonical or "": verdict_of(a) for a in knowledge.attempts(run_id=run)}


def test_of_variants_of_an_idea_the_best_on_train_is_tested_and_admitted(knowledge: KnowledgeBase) -> None:
    study = planted(True)
    run = searched(study, knowledge, [*ALIKE[1:], *NOISE])
    before = verdicts(knowledge, run)
    assert set(Counter(before.values())) == {"untested", "rejected"}
    assert not knowledge.accepted(study.dataset)
    best = max(knowledge.attempts(run_id=run), key=lambda a: a.evaluation.scorecard.train.net_z if a.evaluation else 0)
    found = confirm_search(study, knowledge, run)
    after = verdicts(knowledge, run)
    assert {text for text in before if before[text] != after[text]} == {best.canonical}
    assert after[best.canonical or ""] == "accepted"
    assert [one.canonical for one in knowledge.accepted(study.dataset)] == [best.canonical]
    waiting = Counter(before.values())["untested"]
    assert found.sentence() == f"{waiting} factors pass on train; of 1 idea validation tested the best: 1 accepted"
    stored = next(a for a in knowledge.attempts(run_id=run) if a.id == best.id).evaluation
    assert stored is not None
    assert (stored.evidence.predicts.decided_on, stored.evidence.predicts.among) == ("validation", 1)


def test_what_was_tested_is_not_tested_again_and_counts_for_what_comes_after(knowledge: KnowledgeBase) -> None:
    study = planted(False)
    run = searched(study, knowledge, [ALIKE[0]])
    assert next(iter(confirm_search(study, knowledge, run).tested.values())).verdict == "rejected"
    assert confirm_search(study, knowledge, run).passed_on_train == 0
    # A variant adds nothing to what failed: validation is not asked for it.
    searched(study, knowledge, [ALIKE[1]], run, 2)
    again = confirm_search(study, knowledge, run)
    assert (again.passed_on_train, again.tested) == (1, {})
    assert "validation is asked nothing" in again.sentence()
    prints, scores = knowledge.confirmed_trials(study.dataset)
    assert (len(prints), len(scores.predicts)) == (1, 1)


def test_another_process_sees_what_became_accepted(knowledge: KnowledgeBase, tmp_path: Path) -> None:
    study = planted(True)
    run = searched(study, knowledge, ALIKE[:1])
    with KnowledgeBase.open(tmp_path / "k.db") as other:
        [attempt] = knowledge.attempts(run_id=run)
        print_ = np.zeros(512)
        print_[0] = 1.0
        assert np.isnan(other.nearest_accepted(study.dataset, print_).correlation)
        confirm_search(study, knowledge, run)
        assert other.nearest_accepted(study.dataset, print_).text == attempt.canonical
