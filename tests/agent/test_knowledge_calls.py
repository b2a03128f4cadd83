"""Calls of language models are kept, found by their keys, and what they cost is added up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import (
    NewCall,
    RunRecord,
)
from agent.knowledge.run_config import RunConfig
from agent.llm.budget import Budget, Prices
from agent.llm.client import ModelName
from agent.mining.spending import count_spent


def call(key: str = "r1/s0/t1/writer/1", **changes: object) -> NewCall:
    base = NewCall(
        "",
        key,
        "writer",
        "mock",
        "json_schema",
        "h1",
        "{}",
        "reply",
        "ok",
        10,
        5,
        0.25,
        0.1,
        "2026-01-01T00:00:00Z",
    )
    return replace(base, **changes)  # type: ignore[arg-type]  # field names are the test's own


def test_the_journal_answers_by_key(kb: KnowledgeBase, run: RunRecord) -> None:
    journal = kb.journal(run.id)
    assert journal.find("r1/s0/t1/writer/1") is None
    stored = journal.record(call())
    assert journal.find("r1/s0/t1/writer/1") == stored
    assert (stored.run_id, stored.response) == (run.id, "reply")
    assert journal.record(call()).id == stored.id, "the same call again is the same call"
    assert kb.journal(kb.create_run(run.panel_id, RunConfig(), 1).id).find("r1/s0/t1/writer/1") is None


def test_no_paid_call_is_lost_when_a_key_is_used_again(kb: KnowledgeBase, run: RunRecord) -> None:
    journal = kb.journal(run.id)
    for n in range(3):
        journal.record(call(request_hash=f"h{n}", response=f"reply {n}"))
    found = journal.find("r1/s0/t1/writer/1")
    assert found is not None
    assert found.response == "reply 2"
    assert [c.response for c in kb.calls(run.id)] == ["reply 0", "reply 1", "reply 2"]
    assert kb.calls_total(run.id).calls == 3


def test_a_call_that_got_no_answer_is_kept_and_never_found(kb: KnowledgeBase, run: RunRecord) -> None:
    journal = kb.journal(run.id)
    for _ in range(2):
        journal.lose("r1/s0/t1/writer/1", "writer", "m", "[]")
    assert journal.find("r1/s0/t1/writer/1") is None
    journal.record(call(request_hash="h2"))
    found = journal.find("r1/s0/t1/writer/1")
    assert found is not None
    assert found.response == "reply"
    assert [(c.key, c.status, c.prompt_tokens) for c in kb.calls(run.id)] == [
        ("r1/s0/t1/writer/1~1", "lost", None),
        ("r1/s0/t1/writer/1~2", "lost", None),
        ("r1/s0/t1/writer/1", "ok", 10),
    ]
    assert kb.calls_total(run.id).cost_usd is None
    # A session that goes on counts them at their worst, and not as answers.
    budget = Budget()
    count_spent(budget, kb.calls(run.id), [ModelName("m", Prices(1.0, 1.0))], 500)
    worst = budget.worst_of(2, 500, Prices(1.0, 1.0))
    assert (budget.calls, budget.lost, budget.uncounted) == (1, 2, 0)
    assert budget.tokens == 15 + 2 * (worst.prompt + worst.reply)
    assert budget.usd == pytest.approx(0.25 + 2 * worst.usd)


def test_an_unknown_cost_makes_the_total_unknown(kb: KnowledgeBase, run: RunRecord) -> None:
    assert kb.calls_total(run.id).cost_usd == 0.0
    kb.journal(run.id).record(call("a"))
    kb.journal(run.id).record(call("b"))
    assert kb.calls_total(run.id).cost_usd == 0.5
    kb.journal(run.id).record(call("c", cost_usd=None, prompt_tokens=None))
    totals = kb.calls_total(run.id)
    assert (totals.calls, totals.prompt_tokens, totals.completion_tokens, totals.cost_usd) == (
        3,
        20,
        15,
        None,
    )
