"""Writer and judge around the mock model: what they read, what they learn, how they err."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from agent.llm.client import LanguageModel
from agent.mining.brief import Brief, Forecast, Turn, judge_prompt, writer_prompt
from agent.mining.inner_loop import Agents, Proposed, propose, propose_together
from agent.mining.replies import Proposal
from agent.mining.search.tasks import Task
from factors.overlap import Known, Novelty, Overlap
from factors.parse import parse
from factors.tree import Expression
from market.errors import Rejection
from tests.agent.example_briefs import brief, shown
from tests.agent.test_llm_client import GOOD, Server, model_of

FACTOR = json.dumps({"name": "n", "expression": "cs_rank(ts_returns(close, 24))", "rationale": "r", "parents": []})
BROKEN = json.dumps({"name": "n", "expression": "ts_meen(close, 24)", "rationale": "r", "parents": []})


def run(model: LanguageModel, what: Brief | None = None, turns: int = 3) -> Proposed:
    return asyncio.run(propose(both(model), what or brief(), 0, max_turns=turns, check=parse))


def both(model: LanguageModel) -> Agents:
    """The same model writes and judges."""
    return Agents({"m": model}, model)


def test_judge_accepts_at_once() -> None:
    found = run(model_of(Server(FACTOR, GOOD)))
    assert found.rejection is None
    assert found.expression is not None
    assert (found.turns, len(found.verdicts)) == (1, 1)


def test_a_parse_error_goes_back_to_the_writer_with_its_caret() -> None:
    server = Server(BROKEN, FACTOR, GOOD)
    found = run(model_of(server))
    assert found.rejection is None
    message = server.asked[1]["messages"][1]["content"]
    assert "unknown operator 'ts_meen'" in message
    assert "^" in message
    assert "ts_mean" in message


def test_the_judges_objection_goes_back_and_turns_run_out() -> None:
    no = json.dumps({"decision": "revise", "score": 2, "critique": "too nervous", "suggestion": "smooth"})
    server = Server(FACTOR, no, FACTOR, no)
    found = run(model_of(server), turns=2)
    assert found.rejection is not None
    assert found.rejection.stage == "judge"
    assert len(found.verdicts) == 2
    assert "too nervous" in server.asked[2]["messages"][1]["content"]


def test_a_refusal_for_good_ends_the_talk() -> None:
    no = json.dumps({"decision": "refuse", "score": 1, "critique": "a copy", "suggestion": ""})
    server = Server(FACTOR, no, FACTOR, GOOD)
    found = run(model_of(server))
    assert found.rejection is not None
    assert (found.rejection.code, found.turns, len(server.asked)) == ("refused", 1, 2)


def test_another_model_may_judge() -> None:
    writer, judge = Server(FACTOR), Server(GOOD)
    agents = Agents({"w": model_of(writer)}, model_of(judge))
    found = asyncio.run(propose(agents, brief(), 0, max_turns=3, check=parse))
    assert found.rejection is None
    assert (len(writer.asked), len(judge.asked)) == (1, 1)


def test_the_model_that_a_task_names_writes_it() -> None:
    first, second = Server(FACTOR), Server(FACTOR)
    agents = Agents({"one": model_of(first), "two": model_of(second)}, None)
    briefed = replace(brief(), tasks=(Task("new", "volume", model="two"), Task("new", "volume")))
    for slot in (0, 1, 1):
        asyncio.run(propose(agents, briefed, slot, max_turns=1, check=parse))
    assert (len(first.asked), len(second.asked)) == (1, 1)  # the second time it is in the journal


def test_several_are_asked_for_in_one_call_and_who_gets_none_asks_for_itself() -> None:
    both_of_them = json.dumps({"proposals": [json.loads(FACTOR), json.loads(BROKEN)]})
    server = Server(both_of_them, GOOD)
    agents = both(model_of(server))
    briefed = replace(
        brief(), tasks=(Task("new", "volume"), Task("cross", "", ("close", "open")), Task("new", "candle"))
    )
    first = asyncio.run(propose_together(agents, briefed, [0, 1, 2]))
    asked = server.asked[0]["messages"][1]["content"]
    assert "## Candidate 0\nOperation: new" in asked
    assert "## Candidate 2" in asked
    assert "Propose 3 factors, one for each candidate in this order." in asked
    assert [p.expression for p in first.values() if isinstance(p, Proposal)] == [
        "cs_rank(ts_returns(close, 24))",
        "ts_meen(close, 24)",
    ]
    assert 2 not in first
    found = asyncio.run(propose(agents, briefed, 0, max_turns=3, check=parse, first=first[0]))
    assert found.expression is not None
    assert len(server.asked) == 2  # the judge alone was asked


def test_a_reply_to_several_that_cannot_be_read_is_a_turn_of_each() -> None:
    server = Server("nonsense", "nonsense", FACTOR, GOOD)
    agents = both(model_of(server))
    first = asyncio.run(propose_together(agents, brief(), [0, 1]))
    assert set(first) == {0, 1}
    found = asyncio.run(propose(agents, brief(), 1, max_turns=2, check=parse, first=first[1]))
    assert found.expression is not None
    assert found.turns == 2


def test_nonsense_to_the_end_is_a_rejection() -> None:
    found = run(model_of(Server("nonsense")), turns=2)
    assert found.rejection is not None
    assert found.rejection.stage == "reply"
    assert found.proposal is None


def test_what_was_scored_before_goes_back_to_the_writer_unjudged() -> None:
    known = Rejection("novelty", "duplicate", "the same factor was scored before, as attempt 3", "propose another idea")
    other = json.dumps({"name": "n", "expression": "cs_rank(volume)", "rationale": "r", "parents": []})
    server = Server(FACTOR, other, GOOD)

    async def look(expression: Expression) -> Forecast | Rejection:
        return known if "ts_returns" in expression.text else Forecast()

    found = asyncio.run(
        propose(
            both(model_of(server)),
            brief(),
            0,
            max_turns=3,
            check=parse,
            look=look,
        )
    )
    assert found.expression is not None
    assert found.expression.text == "cs_rank(volume)"
    assert "as attempt 3" in server.asked[1]["messages"][1]["content"]
    assert len(found.verdicts) == 1


def test_prompts_hold_what_they_should() -> None:
    system, user = writer_prompt(brief(shown("cs_rank(close)", rank_ic=0.02)), [3], [Turn("a", "b")])
    for piece in ("ts_decay_linear(x, d)", "volume"):
        assert piece in system
    for piece in ("cs_rank(close)", "rank_ic 0.02", "smooth it", "Round 2, candidate 3.", "You proposed: a"):
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
    _, asked = judge_prompt(
        brief(), mixed, proposal, Forecast(novelty, (shown("rsi(close, 14)", ic_tstat=4.5),), 0.25, 1.5)
    )
    for piece in (
        mixed.text,
        "why",
        "Mechanism: «sellers in a hurry»",
        "Horizon: 24 bars",
        "Fails when: calm",
        "Cutler",
        "close is a price, volume a volume",
        "shares rsi(close, 14) with attempt 7",
        "- rsi(close, 14)\n  promising; ic_tstat 4.5; because",
        "about 0.250 of the portfolio a bar, which costs 1.500 of capital a year",
    ):
        assert piece in asked
