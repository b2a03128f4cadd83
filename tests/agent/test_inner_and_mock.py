"""Writer and judge around the mock model: what they read, what they learn, how they err."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import numpy as np
import pytest

from agent.briefs import Brief, Example, Turn, judge_prompt, writer_prompt
from agent.inner import Proposed, propose
from agent.llm.budget import Budget
from agent.llm.client import LanguageModel, ModelName
from agent.llm.connect import connect_mock
from agent.mock.judge import judge_reply
from agent.mock.writer import read_examples, writer_reply
from agent.replies import JudgeReply, Proposal
from factors.novelty import Known, Novelty, Overlap
from factors.parse import parse
from factors.table import prompt_table
from factors.tree import Expression
from market.errors import Rejection
from tests.agent.test_llm_client import GOOD, MemoryJournal, Server, model_of

FACTOR = json.dumps({"name": "n", "expression": "cs_rank(ts_returns(close, 24))", "rationale": "r", "parents": []})
BROKEN = json.dumps({"name": "n", "expression": "ts_meen(close, 24)", "rationale": "r", "parents": []})


def brief(*successes: Example) -> Brief:
    return Brief(
        round=2,
        goal="find one",
        fields=("open", "high", "low", "close", "volume", "returns", "vwap", "amount"),
        operators=prompt_table(),
        successes=successes,
        failures=(Example("ts_meen(close)", "x", {}, "parse", "unknown operator\ndid you mean ts_mean?"),),
        lessons=("smooth it",),
        market="12 assets. Look-back of a factor: at most 240 bars.",
    )


def run(model: LanguageModel, what: Brief | None = None, turns: int = 3) -> Proposed:
    return asyncio.run(propose(model, what or brief(), key_prefix="r1/s0", max_turns=turns, check=parse))


def test_judge_accepts_at_once() -> None:
    found = run(model_of(Server(FACTOR, GOOD)))
    assert found.rejection is None
    assert found.expression is not None
    assert (found.turns, len(found.verdicts)) == (1, 1)


def test_a_parse_error_goes_back_to_the_writer_with_its_caret() -> None:
    server = Server(BROKEN, FACTOR, GOOD)
    found = run(model_of(server))
    assert found.rejection is None
    told = server.asked[1]["messages"][1]["content"]
    assert "unknown operator 'ts_meen'" in told
    assert "^" in told
    assert "ts_mean" in told


def test_the_judges_objection_goes_back_and_turns_run_out() -> None:
    no = json.dumps({"accept": False, "score": 2, "critique": "too nervous", "suggestion": "smooth"})
    server = Server(FACTOR, no, FACTOR, no)
    found = run(model_of(server), turns=2)
    assert found.rejection is not None
    assert found.rejection.stage == "judge"
    assert len(found.verdicts) == 2
    assert "too nervous" in server.asked[2]["messages"][1]["content"]


def test_nonsense_to_the_end_is_a_rejection() -> None:
    found = run(model_of(Server("nonsense")), turns=2)
    assert found.rejection is not None
    assert found.rejection.stage == "reply"
    assert found.proposal is None


def test_what_was_scored_before_goes_back_to_the_writer_unjudged() -> None:
    known = Rejection("novelty", "duplicate", "the same factor was scored before, as attempt 3", "propose another idea")
    other = json.dumps({"name": "n", "expression": "cs_rank(volume)", "rationale": "r", "parents": []})
    server = Server(FACTOR, other, GOOD)
    found = asyncio.run(
        propose(
            model_of(server),
            brief(),
            key_prefix="r1/s0",
            max_turns=3,
            check=parse,
            look=lambda e: known if "ts_returns" in e.text else Novelty(),
        )
    )
    assert found.expression is not None
    assert found.expression.text == "cs_rank(volume)"
    assert "as attempt 3" in server.asked[1]["messages"][1]["content"]
    assert len(found.verdicts) == 1


def shown(text: str, **metrics: float) -> Example:
    return Example(text, "n", metrics, "promising", "because")


def test_prompts_hold_what_they_should() -> None:
    system, user = writer_prompt(brief(shown("cs_rank(close)", rank_ic=0.02)), "r1/s3", [Turn("a", "b")])
    for piece in ("ts_decay_linear(x, d)", "volume"):
        assert piece in system
    for piece in ("cs_rank(close)", "rank_ic 0.02", "smooth it", "r1/s3", "You proposed: a"):
        assert piece in user
    mixed = parse("rsi(14) * (close + volume)")
    assert isinstance(mixed, Expression)
    known = Known("factor:1", "cs_rank(close)", "attempt 7")
    novelty = Novelty(overlap=Overlap("rsi(close, 14)", 3, 0.4, known))
    proposal = Proposal(
        name="n",
        expression="x",
        rationale="why",
        mechanism="sellers in a hurry",
        horizon=24,
        fails_when="calm",
        parents=[],
    )
    _, asked = judge_prompt(brief(), mixed, proposal, novelty)
    for piece in (
        mixed.text,
        "why",
        "Mechanism: «sellers in a hurry»",
        "Horizon: 24 bars",
        "Fails when: calm",
        "Cutler",
        "close is a price, volume a volume",
        "shares rsi(close, 14) with attempt 7",
    ):
        assert piece in asked


def test_the_mock_reads_the_examples_of_the_prompt() -> None:
    _, user = writer_prompt(
        brief(shown("cs_rank(close)", rank_ic=0.02, sharpe_net=1.5), shown("-close", rank_ic=-0.1)), "s", []
    )
    found = read_examples(user, "What worked")
    assert [(e.text, e.rank_ic) for e in found] == [("cs_rank(close)", 0.02), ("-close", -0.1)]


def mock_expressions(what: Brief, n: int = 200) -> list[str]:
    texts = []
    for slot in range(n):
        prompts = writer_prompt(what, f"r1/s{slot}", [])
        reply = writer_reply(*prompts, np.random.default_rng(slot), repairing=True)
        texts.append(Proposal.model_validate_json(reply).expression)
    return texts


def test_the_mock_writes_the_language_and_ranges_widely() -> None:
    found = [parse(text) for text in mock_expressions(brief())]
    assert all(isinstance(e, Expression) for e in found)
    assert len({e.text for e in found if isinstance(e, Expression)}) > 120


def test_the_mock_builds_on_what_worked() -> None:
    rare = "ts_kurt(amount, 33)"
    plain, taught = (
        sum("ts_kurt" in t for t in mock_expressions(what)) for what in (brief(), brief(shown(rare, rank_ic=0.03)))
    )
    assert plain == 0
    assert taught > 40


def test_the_mock_errs_now_and_then_in_every_way() -> None:
    what = brief()
    kinds: Counter[str] = Counter()
    for slot in range(400):
        reply = writer_reply(*writer_prompt(what, f"s{slot}", []), np.random.default_rng(slot), repairing=False)
        if reply.startswith("```"):
            kinds["fenced"] += 1
        elif reply.startswith("Here"):
            kinds["chatty"] += 1
        elif not reply.endswith("}"):
            kinds["cut"] += 1
        else:
            outcome = parse(Proposal.model_validate_json(reply).expression)
            kinds["good" if isinstance(outcome, Expression) else outcome.code] += 1
    assert set(kinds) == {"good", "fenced", "chatty", "cut", "unknown_operator", "arity", "look_ahead"}
    assert 0.78 < kinds["good"] / 400 < 0.92


@pytest.mark.parametrize(
    ("text", "accept"),
    [
        ("cs_rank(ts_mean(volume, 24) / ts_mean(volume, 120))", True),
        ("close", False),
        ("cs_rank(close)", False),
        ("close - open", True),
    ],
)
def test_the_mock_judge_has_reasons(text: str, accept: bool) -> None:
    factor = parse(text)
    assert isinstance(factor, Expression)
    proposal = Proposal(name="", expression=text, rationale="", parents=[])
    _, user = judge_prompt(brief(shown("cs_rank(close)")), factor, proposal)
    reply = JudgeReply.model_validate_json(judge_reply(user))
    assert reply.accept is accept
    assert reply.critique


def test_same_seed_same_run_through_the_real_client() -> None:
    def once(seed: int) -> list[str]:
        journal = MemoryJournal()

        async def go() -> None:
            client = connect_mock(seed)
            model = LanguageModel(client, models=[ModelName("mock")], budget=Budget(), journal=journal)
            told = brief(shown("cs_rank(close)", rank_ic=0.02))
            for slot in range(6):
                await propose(model, told, key_prefix=f"r1/s{slot}", max_turns=3, check=parse)
            await client.close()

        asyncio.run(go())
        return [call.response for call in journal.calls.values()]

    assert once(3) == once(3)
    assert once(3) != once(4)
