"""Writer and judge around the mock model: what they read, what they learn, how they err."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from agent.llm.budget import Budget
from agent.llm.client import LanguageModel, ModelName, Speaking
from agent.llm.facts import LessonFacts
from agent.llm.patience import RetryRules
from agent.llm.providers import Connection
from agent.mining import brief as briefs
from agent.mining.brief import Brief, Example, Forecast, Turn, judge_facts, judge_prompt, writer_facts, writer_prompt
from agent.mining.inner_loop import Agents, Proposed, propose, propose_together
from agent.mining.lessons import draw_lessons
from agent.mining.replies import JudgeReply, Proposal, Proposals
from agent.mining.search.tasks import Task
from agent.mock.judge import judge_reply
from agent.mock.seed_text import sentence_of
from agent.mock.transport import connect_mock
from agent.mock.writer import writer_reply
from factors.overlap import Known, Novelty, Overlap
from factors.parse import parse
from factors.table import prompt_table
from factors.tree import Expression
from market.errors import Rejection
from tests.agent.test_llm_client import GOOD, MemoryJournal, Server, model_of
from tests.helpers import scored_attempt

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
        longest=240,
    )


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


def shown(text: str, **metrics: float) -> Example:
    return Example(text, "n", metrics, "promising", "because")


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


def mock_expressions(what: Brief, n: int = 200) -> list[str]:
    texts = []
    for slot in range(n):
        reply = writer_reply(writer_facts(what, [slot]), np.random.default_rng(slot), repairing=True)
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


def test_the_mock_writes_several_to_their_tasks() -> None:
    briefed = replace(brief(), tasks=(Task("new", "volume"), Task("refine", "smooth", ("ts_kurt(amount, 33)",))))
    reply = Proposals.model_validate_json(
        writer_reply(writer_facts(briefed, [0, 1]), np.random.default_rng(0), repairing=True)
    )
    assert len(reply.proposals) == 2
    assert "volume" in reply.proposals[0].expression or "amount" in reply.proposals[0].expression
    assert "ts_kurt(amount, 33)" in reply.proposals[1].expression
    untold = Proposals.model_validate_json(
        writer_reply(writer_facts(brief(), [0, 1, 2]), np.random.default_rng(0), repairing=True)
    )
    assert len(untold.proposals) == 3


def learned(*lessons: LessonFacts) -> Brief:
    """The brief with these lessons, in words and as data."""
    return replace(brief(), lessons=tuple(lesson.text for lesson in lessons), taught=lessons)


def refusal(code: str) -> LessonFacts:
    return LessonFacts("refusal", code, {"attempts": 3.0, "stage": "parse", "code": code, "message": "x"})


def test_the_mock_heeds_lessons_and_does_not_repeat_what_it_is_shown() -> None:
    figures = {"word": "volume", "helps": 1.0, "mean": 0.06, "rest": 0.03, "confidence": 0.92, "factors": 4.0}
    helps = LessonFacts("ingredient", "volume is of use", figures)
    plain, taught = (sum("volume" in t for t in mock_expressions(learned(*lessons))) for lessons in ((), (helps,)))
    assert taught > 1.5 * plain
    costs = LessonFacts("costs", "trading eats it", {"factors": 9.0, "turnover": 0.4})
    smooth = ("ts_mean(", "ts_decay_linear(", "ts_ema(", "ts_median(")
    calm, nervous = (
        sum(
            any(f"{name}ts_" in t or f"{name}-ts_" in t for name in smooth) for t in mock_expressions(learned(*lessons))
        )
        for lessons in ((costs,), ())
    )
    assert calm > 1.3 * nervous
    learnt = learned(*(refusal(code) for code in ("unknown_operator", "arity", "look_ahead")))
    replies = [writer_reply(writer_facts(learnt, [k]), np.random.default_rng(k), repairing=False) for k in range(200)]
    read = [parse(Proposal.model_validate_json(r).expression) for r in replies if r.startswith("{") and r.endswith("}")]
    assert all(isinstance(e, Expression) for e in read)
    seen = shown("-ts_zscore(close, 5)")
    task = Task("mutate", "reversal", ("ts_zscore(close, 5)",))
    briefed = replace(brief(), tasks=(task,) * 200, related=((seen,),) * 200)
    assert "-ts_zscore(close, 5)" not in mock_expressions(briefed)


def test_the_mock_judge_goes_by_what_became_of_related_factors() -> None:
    factor = parse("cs_rank(ts_mean(volume, 24) / ts_mean(volume, 120))")
    assert isinstance(factor, Expression)
    proposal = Proposal(name="", expression=factor.text, rationale="", parents=[])

    def said(t: float, cost: float = 0.1) -> JudgeReply:
        related = (shown("ts_mean(volume, 24)", payoff_z=t), shown("ts_mean(volume, 120)", payoff_z=t))
        facts = judge_facts(brief(), factor, proposal, Forecast(related=related, turnover=0.1, yearly_cost=cost))
        return JudgeReply.model_validate_json(judge_reply(facts))

    assert (said(6.0).decision, said(-9.0).decision) == ("accept", "revise")
    assert said(6.0).score > said(0.0).score > said(-9.0).score
    assert (said(6.0).passes or 0) > (said(0.0).passes or 0) > (said(0.0, cost=9.0).passes or 1)


def test_the_mock_errs_now_and_then_in_every_way() -> None:
    what = brief()
    kinds: Counter[str] = Counter()
    for slot in range(400):
        reply = writer_reply(writer_facts(what, [slot]), np.random.default_rng(slot), repairing=False)
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
    facts = judge_facts(brief(shown("cs_rank(close)")), factor, proposal)
    reply = JudgeReply.model_validate_json(judge_reply(facts))
    assert (reply.decision == "accept") is accept
    assert reply.critique


def mock_model(client: Connection, journal: MemoryJournal) -> LanguageModel:
    rules = Speaking([ModelName("mock")], Budget(), journal, reply_tokens=4000, patience=RetryRules(tries=6))
    return LanguageModel(client, rules)


def test_same_seed_same_run_through_the_real_client() -> None:
    def once(seed: int) -> list[str]:
        journal = MemoryJournal()

        async def go() -> None:
            client = connect_mock(seed)
            model = mock_model(client, journal)
            with_example = brief(shown("cs_rank(close)", rank_ic=0.02))
            for slot in range(6):
                await propose(both(model), with_example, slot, max_turns=3, check=parse)
            await client.close()

        asyncio.run(go())
        return [call.response for call in journal.calls.values()]

    assert once(3) == once(3)
    assert once(3) != once(4)


def replies_of(what: Brief) -> tuple[list[str], list[str]]:
    """What the mock is asked, and what it answers, through the real client."""
    journal = MemoryJournal()

    async def go() -> None:
        client = connect_mock(5)
        model = mock_model(client, journal)
        for slot in range(12):
            await propose(both(model), what, slot, max_turns=3, check=parse)
        await propose_together(both(model), what, [20, 21, 22])
        await client.close()

    asyncio.run(go())
    calls = list(journal.calls.values())
    return [call.request for call in calls], [call.response for call in calls]


def test_rewording_prompts_and_lessons_changes_nothing_that_the_mock_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    figures = {"word": "volume", "helps": 1.0, "mean": 0.06, "rest": 0.03, "confidence": 0.92, "factors": 4.0}
    said = LessonFacts("ingredient", "`volume` helps: mean |train rank IC| 0.0600", figures)
    first = replace(learned(said, refusal("arity")), successes=(shown("cs_rank(close)", rank_ic=0.02),))
    asked, answered = replies_of(first)
    for path in briefs.PROMPTS.glob("*.md"):
        text = path.read_text().replace("# Lessons", "# What was learned").replace("Propose", "Please write")
        (tmp_path / path.name).write_text(text.replace("You proposed", "Your last one").replace("judge", "referee"))
    monkeypatch.setattr(briefs, "PROMPTS", tmp_path)
    other = replace(said, text="Factors with volume in them predict better.")
    again, same = replies_of(
        replace(first, goal="another goal", lessons=(other.text, "arity"), taught=(other, refusal("arity")))
    )
    assert len(asked) == len(again)
    assert not any(request in again for request in asked)
    assert same == answered


def test_every_lesson_is_data_that_the_frozen_wording_can_say() -> None:
    attempts = [
        scored_attempt(
            k,
            f"ts_mean({'volume' if k < 6 else 'close'}, {k + 3})",
            {
                "train": {
                    "payoff_z": 6.0 - 0.2 * k if k < 6 else -3.0 - 0.1 * k,
                    "net_z": -1.0 - 0.1 * k if k < 6 else -6.0 - 0.1 * k,
                    "turnover": 0.4 + 0.01 * k,
                    "sharpe_net": 1.0,
                    "sharpe_gated": 9.0 + 0.1 * k,
                    "n_bars": 900,
                },
                "bars_per_year": 365.0,
            },
        )
        for k in range(14)
    ]
    refused = replace(
        scored_attempt(20, "x", {}), evaluation=None, stage="parse", code="arity", message="ts_mean takes 2"
    )
    found = draw_lessons([*attempts, refused])
    assert {lesson.kind for lesson in found} == {"ingredient", "sign", "costs", "gate", "refusal"}
    facts = tuple(lesson.facts for lesson in found)
    words = {one.figures["word"]: one.figures["helps"] for one in facts if one.kind == "ingredient"}
    assert words == {"volume": 1.0, "close": 0.0}
    assert next(one.figures["code"] for one in facts if one.kind == "refusal") == "arity"
    # The wording that the mock is seeded by is its own: no word of a lesson's sentence is in it.
    assert all(sentence_of(one) == sentence_of(replace(one, text="other words")) for one in facts)
    read = json.loads(json.dumps(asdict(writer_facts(learned(*facts), [0]))))
    assert [LessonFacts.from_dict(one) for one in read["lessons"]] == list(facts)
