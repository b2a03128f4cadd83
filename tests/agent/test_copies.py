"""A scaled or winsorised form of a factor is the factor: it is recognised, refused, and counted for nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import NewAttempt
from agent.knowledge.run_config import RunConfig
from agent.mining.forecast import repeated
from agent.study.scoring import evaluate_expression, evaluation_of
from agent.study.settings import Settings
from agent.study.study import Scoring, Study, open_study, read_expression
from factors.tree import Expression
from market.errors import Rejection
from market.synthetic.demo_market import SynthSpec, make_market

FACTOR = "ts_mean(volume, 24) / ts_mean(volume, 70)"


@pytest.fixture(scope="module")
def here() -> Study:
    return open_study(make_market(SynthSpec(bars=1200, assets=14)).panel, Settings())


def read(text: str, study: Study) -> Expression:
    found = read_expression(text, study)
    assert isinstance(found, Expression), found
    return found


def scored(text: str, study: Study, knowledge: KnowledgeBase) -> Scoring:
    found = evaluate_expression(read(text, study), study, knowledge)
    assert isinstance(found, Scoring), found
    return found


@pytest.fixture
def knowledge(here: Study, tmp_path: Path) -> KnowledgeBase:
    """A knowledge base in which the factor was scored and accepted."""
    opened = KnowledgeBase.open(tmp_path / "k.db")
    opened.register_dataset(make_market(SynthSpec(bars=1200, assets=14)).panel)
    run = opened.create_run(here.dataset, RunConfig(), 1)
    opened.start_round(run.id, 1, {})
    first = scored(FACTOR, here, opened)
    evaluation = evaluation_of(first)
    opened.record_attempt(
        NewAttempt(
            run_id=run.id, round=1, slot=0, text=FACTOR, canonical=first.expression.text,
            factor_id=first.expression.id, stage="evidence",
            evaluation=replace(evaluation, evidence=replace(first.evidence, accepted=True)),
        )
    )  # fmt: skip
    return opened


@pytest.mark.parametrize(
    "text",
    [f"2 * ({FACTOR})", f"cs_rank({FACTOR}) + 3", f"cs_winsorize({FACTOR}, 3)", f"tanh(cs_zscore({FACTOR}))"],
)
def test_what_ranks_alike_is_recognised_before_it_is_scored(text: str, here: Study, knowledge: KnowledgeBase) -> None:
    found = repeated(knowledge, here, read(text, here))
    assert isinstance(found, Rejection)
    assert (found.stage, found.code) == ("novelty", "duplicate")
    assert "ranks assets alike" in found.message
    # Its opposite is another idea.
    assert repeated(knowledge, here, read(f"-({text})", here)) is None


def test_equal_positions_are_recognised_after_scoring_and_count_for_nothing(
    here: Study, knowledge: KnowledgeBase
) -> None:
    # No rule of the language says that a root keeps the order of positive values.
    twin = scored(f"sqrt({FACTOR})", here, knowledge)
    assert repeated(knowledge, here, twin.expression) is None
    assert twin.copy is not None
    assert (twin.copy.stage, twin.copy.code) == ("novelty", "same_factor")
    assert read(FACTOR, here).text in twin.copy.message
    assert twin.evidence.trials == 1
    # Another factor is a trial more, and the factor itself is no copy of itself.
    other = scored("ts_mean(volume, 24) / ts_mean(volume, 48)", here, knowledge)
    assert other.copy is None
    assert other.evidence.trials == 2
    assert scored(FACTOR, here, knowledge).copy is None


def test_values_that_repeat_an_accepted_factor_are_refused(here: Study, knowledge: KnowledgeBase) -> None:
    near = scored("ts_mean(volume, 24) / ts_mean(volume, 68)", here, knowledge)
    gate = next(gate for gate in near.evidence.gates if gate.gate == "sanity")
    assert not gate.passed
    assert gate.numbers["value correlation"] > 0.9
    assert any("its values on train go with those of the accepted" in word for word in gate.words)
    far = scored("-ts_returns(close, 5)", here, knowledge)
    gate = next(gate for gate in far.evidence.gates if gate.gate == "sanity")
    assert gate.passed
    assert abs(gate.numbers["value correlation"]) < 0.5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("if_else(close > ts_max(close, 2), 1, 0)", "one value for all assets on 100% of the bars"),
        ("log(ts_returns(close, 5) - 0.2)", "has values on"),
        ("max(ts_returns(close, 2), 0.5)", "one value for all assets"),
    ],
)
def test_what_cannot_rank_is_refused_with_what_was_seen(text: str, said: str, here: Study, tmp_path: Path) -> None:
    with KnowledgeBase.open(tmp_path / "empty.db") as empty:
        found = evaluate_expression(read(text, here), here, empty)
    assert isinstance(found, Rejection)
    assert said in found.message or "NaN everywhere" in found.message or "constant" in found.message, found


def test_nothing_of_validation_decides_whether_there_are_values(here: Study, tmp_path: Path) -> None:
    fields = {name: np.array(values) for name, values in here.panel.fields.items()}
    fields["late"] = np.random.default_rng(1).normal(size=here.panel.shape)
    fields["late"][here.split.train.stop :] = np.nan
    changed = replace(here, panel=replace(here.panel, fields=fields))
    with KnowledgeBase.open(tmp_path / "empty.db") as empty:
        assert not isinstance(evaluate_expression(read("late", changed), changed, empty), Rejection)
