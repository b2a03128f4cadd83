"""What a prompt holds where there is little room, and what of it stays the same from call to call."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agent.llm.forms import schema_of
from agent.mining.brief import STEPS, Brief, Turn, judge_prompt, writer_prompt
from agent.mining.inner_loop import Agents, propose
from agent.mining.operator_lines import operator_lines
from agent.mining.replies import JudgeReply, Proposal
from agent.mining.search.tasks import Task
from factors.parse import parse
from factors.table import OPERATORS, prompt_table
from factors.tree import Expression
from tests.agent.example_briefs import brief, shown
from tests.agent.test_llm_client import GOOD, Server, completion, error, model_of

FACTOR = '{"rationale": "r", "name": "n", "expression": "-cs_rank(close)", "parents": []}'


def full() -> Brief:
    many = [shown(f"cs_rank(ts_mean(close, {k + 2}))", net_z=2.0) for k in range(6)]
    return replace(
        brief(*many),
        failures=tuple(many),
        lessons=tuple(f"lesson {k}" for k in range(10)),
        crowded=tuple(f"crowded {k}" for k in range(8)),
        blocks={"block_one": "cs_rank(volume)"},
        tasks=(Task("mutate", "volume", ("cs_rank(close)",)),) * 2,
        related=(tuple(many), tuple(many)),
        record="Base rate: of 40 factors that were scored, 2 (5%) paid and earned on train.",
    )


def test_the_system_prompt_is_the_same_in_every_call_of_a_run() -> None:
    first, later = full(), replace(full(), round=5, blocks={"block_two": "cs_rank(open)"}, lessons=("other",))
    systems = {writer_prompt(first, [0])[0], writer_prompt(later, [1])[0], writer_prompt(later, [0, 1])[0]}
    assert len(systems) == 1
    # Within a round, prompts part only where the task begins.
    one, other = (writer_prompt(first, [slot], [Turn("a", "b")])[1] for slot in (0, 1))
    assert one.index("# Your task") == other.index("# Your task")
    assert one[: one.index("# Your task")] == other[: other.index("# Your task")]
    assert "block_one" in one


def test_each_step_leaves_out_what_matters_least_and_never_the_task() -> None:
    prompts = [writer_prompt(full(), [0], [Turn(f"t{k}", "b") for k in range(5)], step) for step in range(STEPS + 1)]
    sizes = [len(system) + len(user) for system, user in prompts]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 0.6 * sizes[0]
    for system, user in prompts:
        for piece in ("Operation: mutate", "Parent: cs_rank(close)", "12 assets", "You proposed: t4"):
            assert piece in user
        for piece in ("ts_mean(x, d)", '"expression"', "never an\ninstruction"):
            assert piece in system
    assert "crowded 0" in prompts[1][1]
    assert "crowded 0" not in prompts[3][1]
    assert "cs_rank(ts_mean(close, 2))" in prompts[3][1]


def test_the_table_names_every_operator_and_explains_the_usual() -> None:
    said = operator_lines(prompt_table())
    assert len(said) < 0.75 * len(prompt_table())
    for name, operator in OPERATORS.items():
        assert operator.infix or f"{name}(" in said
    assert "ts_mean(x, d): mean of the last d values" in said
    assert operator_lines("no table") == "no table"


def test_the_example_in_the_prompt_can_be_read_and_is_of_the_form() -> None:
    system, _ = writer_prompt(brief(), [0])
    example = Proposal.model_validate_json(system[system.rindex('{"rationale"') :])
    assert isinstance(parse(example.expression), Expression)
    assert list(schema_of(Proposal)["schema"]["properties"])[:2] == ["rationale", "mechanism"]
    expression = parse("cs_rank(close)")
    assert isinstance(expression, Expression)
    judge, asked = judge_prompt(full(), expression, example)
    JudgeReply.model_validate_json(judge[judge.rindex('{"critique"') :])
    assert "Base rate: of 40 factors" in asked


def test_every_text_of_a_schema_has_an_end() -> None:
    def open_ended(schema: object) -> bool:
        if isinstance(schema, list):
            return any(open_ended(one) for one in schema)
        if not isinstance(schema, dict):
            return False
        kind = schema.get("type")
        bare = (kind == "string" and not {"maxLength", "enum"} & set(schema)) or (
            kind == "array" and "maxItems" not in schema
        )
        return bare or any(open_ended(one) for one in schema.values())

    for reply in (Proposal, JudgeReply):
        assert not open_ended(schema_of(reply)["schema"])


def test_a_model_that_holds_little_still_writes_and_judges() -> None:
    def answer(asked: dict[str, object]) -> object:
        messages = asked["messages"]
        assert isinstance(messages, list)
        if sum(len(message["content"]) for message in messages) > 6000:
            return error(400, "the request exceeds the available context size")
        return completion(GOOD if "You judge" in messages[0]["content"] else FACTOR)

    said: list[str] = []
    model = model_of(Server(answer), note=said.append)
    found = asyncio.run(propose(Agents({"m": model}, model), full(), 0, max_turns=1, check=parse))
    assert found.expression is not None
    assert found.rejection is None
    assert any("asked again with less" in one for one in said)


@pytest.mark.parametrize("text", ['{"decision": "accept", "score": 7, "critique": "fine", "suggestion": ""}'])
def test_replies_in_the_earlier_order_are_still_read(text: str) -> None:
    assert JudgeReply.model_validate_json(text).decision == "accept"
