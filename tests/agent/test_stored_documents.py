"""Stored documents as types: what is read is what was written, and older forms open."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from agent.knowledge.claims import Claims
from agent.knowledge.database import schema
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.pool_records import PoolMember, PoolSpec
from agent.knowledge.run_config import SECTIONS, Bounds, Inputs, RunConfig, ScoringRules, read_run_config
from agent.knowledge.score_documents import read_evidence, read_flat, read_scorecard
from backtest.result_types import (
    AssetIC,
    Evidence,
    Figures,
    GateVerdict,
    HorizonIC,
    Profile,
    Scorecard,
    SegmentScore,
    SliceScore,
)
from tests.agent.commands import as_json

TEXTS = st.text(max_size=8)
FIGURES = st.floats(allow_subnormal=False) | st.just(math.nan)
COUNTS = st.integers(0, 10**6)


def rows(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Rows of figures of a type, undefined and infinite ones among them."""
    by_type = {"float": FIGURES, "int": COUNTS, "str": TEXTS}
    return st.builds(kind, **{name: by_type[str(f.type)] for name, f in kind.__dataclass_fields__.items()})


def few(of: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """A few of something, as a tuple."""
    return st.lists(of, max_size=3).map(tuple)


PROFILES = st.builds(
    Profile, few(rows(HorizonIC)), few(FIGURES), few(rows(SliceScore)), few(rows(SliceScore)),
    st.dictionaries(TEXTS, FIGURES, max_size=3), few(rows(AssetIC)),
)  # fmt: skip
CARDS = st.builds(
    Scorecard, rows(SegmentScore), rows(SegmentScore), st.floats(1.0, 1e6), st.sampled_from(["rank", "timeseries"]),
    st.integers(1, 100), st.floats(0.0, 100.0), st.sampled_from(["open", "close"]), st.integers(1, 100),
    st.none() | st.fixed_dictionaries({"train": PROFILES, "validation": PROFILES}), st.none() | rows(SegmentScore),
)  # fmt: skip
GATES = st.builds(GateVerdict, TEXTS, st.booleans(), st.dictionaries(TEXTS, FIGURES, max_size=3), TEXTS, few(TEXTS))
EVIDENCE = st.builds(
    Evidence, st.booleans(), st.sampled_from(["accepted", "promising", "rejected"]), few(TEXTS), FIGURES, FIGURES,
    COUNTS, few(TEXTS), FIGURES, FIGURES, COUNTS, few(GATES), COUNTS, FIGURES,
)  # fmt: skip

HASHES = st.none() | TEXTS
RULES = st.builds(
    ScoringRules,
    st.dictionaries(st.sampled_from(SECTIONS), st.dictionaries(TEXTS, COUNTS | TEXTS, max_size=2)),
    st.none() | st.booleans(),
    st.none() | st.builds(Inputs, HASHES, HASHES, st.none() | st.dictionaries(TEXTS, TEXTS, max_size=2)),
)
AMOUNTS = st.none() | st.floats(0.0, 100.0)
BOUNDS = st.builds(Bounds, st.none() | COUNTS, AMOUNTS, st.none() | COUNTS, AMOUNTS)
RUNS = (
    st.builds(
        RunConfig, st.just("mine"), TEXTS, TEXTS, TEXTS, st.booleans(), few(TEXTS), TEXTS, few(TEXTS), TEXTS,
        st.sampled_from(["chat", "responses"]), RULES, BOUNDS, TEXTS, TEXTS,
    )
    | st.builds(RunConfig, st.just("screen"), TEXTS, TEXTS, rules=RULES, keep=COUNTS)
    | st.builds(
        RunConfig, st.just("learn"), TEXTS, TEXTS, TEXTS, rules=RULES, learned_field=TEXTS,
        recipe=st.dictionaries(TEXTS, COUNTS, max_size=2),
    )
)  # fmt: skip


def through_json(document: object) -> Any:
    """A document as it comes out of the database."""
    return json.loads(json.dumps(document, allow_nan=False))


@settings(max_examples=40, deadline=None)
@given(CARDS, EVIDENCE)
def test_a_score_is_written_back_as_it_was_read(card: Scorecard, evidence: Evidence) -> None:
    stored = through_json(card.to_dict())
    assert read_scorecard(stored).to_dict() == stored
    said = through_json(evidence.to_dict())
    assert through_json(read_evidence(said).to_dict()) == said


@settings(max_examples=60, deadline=None)
@given(RUNS)
def test_what_a_run_was_started_with_comes_back(config: RunConfig) -> None:
    assert read_run_config(through_json(config.to_dict())) == config


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["operation", "theme", "parents", "model", "mechanism", "horizon", "fails_when", "target"]),
        st.text(min_size=1, max_size=5) | st.integers(1, 50) | st.lists(TEXTS, max_size=2) | st.none(),
    )
)
def test_claims_are_written_back_whatever_they_hold(stored: dict[str, object]) -> None:
    assert Claims.from_dict(stored).to_dict() == stored


def test_what_a_run_and_a_pool_stored_is_written_back(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_json(capsys, "mine", "--llm", "mock", "--rounds", "2", "--candidates", "6", "--no-gate")
    as_json(
        capsys, "pool", "fit", "--method", "equal", "-f", "close / open", "-f", "ts_mean(volume, 9)", "--name", "two"
    )
    with KnowledgeBase.open(home / "knowledge.db") as kb:
        (pool,) = kb.pools()
        with kb._reading() as session:
            stored = session.scalars(select(schema.Pool)).one()
            assert through_json(pool.spec.to_dict()) == stored.spec
            assert [through_json(member.to_dict()) for member in pool.members] == stored.members
            assert through_json(pool.scorecard.to_dict()) == stored.scorecard
            assert through_json(pool.evidence.to_dict()) == stored.evidence
            (run,) = kb.runs()
            assert through_json(run.config.to_dict()) == session.scalars(select(schema.Run)).one().config
            by_id = {row.id: row for row in session.scalars(select(schema.Attempt))}
            for attempt in kb.attempts():
                row = by_id[attempt.id]
                assert attempt.claims.to_dict() == row.claims
                if attempt.evaluation is not None:
                    assert row.evaluation is not None
                    assert through_json(attempt.evaluation.scorecard.to_dict()) == row.evaluation.scorecard
                    assert through_json(attempt.evaluation.evidence.to_dict()) == row.evaluation.evidence


def test_the_oldest_forms_are_read_with_what_they_lack_unknown() -> None:
    old = {"train": {"rank_ic": 0.02, "sharpe_net": None, "capacity": "inf"}, "weighting": "rank", "holding": 4}
    card = read_scorecard(old)
    assert card.train.rank_ic == 0.02
    assert card.train.capacity == math.inf
    assert math.isnan(card.train.sharpe_net)
    assert math.isnan(card.train.beta)
    assert math.isnan(card.validation.rank_ic)
    assert (card.train.n_bars, card.train.start) == (0, "")
    assert (card.holding, card.fill, card.rebalance, card.profiles) == (4, "open", 1, None)
    evidence = read_evidence({"verdict": "promising", "reasons": ["a"], "dsr": None})
    assert (evidence.verdict, evidence.reasons, evidence.gates) == ("promising", ("a",), ())
    assert math.isnan(evidence.dsr)
    assert read_evidence({"accepted": True}).verdict == "accepted"
    pool = PoolSpec.from_dict({"data": "days", "rules": {"backtest": {"holding": 2}}})
    assert (pool.data, pool.in_sample, pool.notes) == ("days", None, ())
    assert pool.rules == ScoringRules({"backtest": {"holding": 2}}, gate=False)
    member = PoolMember.from_dict({"text": "close", "weight": 0.5, "train": {"rank_ic": 0.1}})
    assert member.train.rank_ic == 0.1
    assert asdict(member)["simulated"] is False


def test_runs_of_every_version_are_read() -> None:
    first = read_run_config({"data": "toy", "llm": "mock", "budget_usd": 2.5, "budget_calls": 9, "api": None})
    assert (first.kind, first.data, first.simulated, first.api) == ("mine", "toy", True, "chat")
    assert first.bounds == Bounds(calls=9, usd=2.5)
    assert first.rules == ScoringRules()
    later = read_run_config({"budget_usd": 2.5, "bounds": {"usd": 1.0, "gone": 3}, "gate": True, "inputs": {}})
    assert later.bounds == Bounds(usd=1.0)
    assert (later.rules.gate, later.rules.inputs) == (True, None)


def test_what_is_no_figure_is_undefined() -> None:
    odd = read_flat(Figures, {"rank_ic": "much", "ic_tstat": [1], "sharpe_net": None})
    assert all(math.isnan(value) for value in asdict(odd).values())
