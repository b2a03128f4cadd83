"""The mock writer and the mock judge: what they write, why, and the same for the same seed."""

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
from agent.llm.facts import FactorShown, LessonFacts
from agent.llm.patience import RetryRules
from agent.llm.providers import Connection
from agent.mining import brief as briefs
from agent.mining import briefing
from agent.mining.brief import Brief, Forecast, judge_facts, writer_facts
from agent.mining.inner_loop import propose, propose_together
from agent.mining.lessons import draw_lessons
from agent.mining.replies import JudgeReply, Proposal, Proposals
from agent.mining.search.tasks import Task
from agent.mock.former_words import in_former_words
from agent.mock.judge import judge_reply
from agent.mock.seed_text import sentence_of
from agent.mock.transport import connect_mock
from agent.mock.writer import writer_reply
from agent.study.settings import Settings
from agent.study.study import open_study
from backtest.policy import train_words
from factors.parse import parse
from factors.tree import Expression
from tests.agent.example_briefs import brief, shown
from tests.agent.test_inner_and_mock import both
from tests.agent.test_llm_client import MemoryJournal
from tests.helpers import random_panel, scored_attempt


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


def test_sentences_of_today_seed_the_draws_by_what_they_said() -> None:
    now = (train_words(0.4), f"assets{briefing._dear(open_study(random_panel(400), Settings()))}")
    said = in_former_words(FactorShown("close", now[1], {}, now[0]))
    assert said.reason == "what it pays on train cannot be told from nothing (score 0.4)"
    assert said.verdict.startswith("assets (trading a tenth of the book every bar costs ")
    # What an old base holds is in those words already, and nothing else is touched.
    assert in_former_words((said, "its own", None)) == (said, "its own", None)
