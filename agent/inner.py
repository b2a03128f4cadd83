"""The inner loop: writer and judge, until the judge accepts or the turns are used up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.briefs import Brief, Turn, judge_prompt, writer_prompt
from agent.llm.client import LanguageModel
from agent.replies import JudgeReply, Proposal
from agent.search import Task
from agent.variants import window_variants
from factors.novelty import Novelty
from factors.tree import Expression
from market.errors import Rejection


@dataclass(frozen=True)
class Verdict:
    """What the judge said at a turn."""

    turn: int
    accept: bool
    score: float
    critique: str
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Proposed:
    """What the inner loop ended with.

    Either `rejection` says why there is nothing to score, or `expression` is what the judge let through (or what
    stood when the turns ran out, which the judge did not accept: then `rejection` is set as well, with stage
    ``judge``).
    """

    proposal: Proposal | None
    expression: Expression | None
    verdicts: tuple[Verdict, ...]
    rejection: Rejection | None
    turns: int


async def propose(
    model: LanguageModel,
    brief: Brief,
    *,
    key_prefix: str,
    max_turns: int,
    check: Callable[[str], Expression | Rejection],
    look: Callable[[Expression], Novelty | Rejection] = lambda _expression: Novelty(),
    judged: bool = True,
) -> Proposed:
    """Run the inner loop for one candidate.

    Parameters
    ----------
    key_prefix
        ``r{round}/s{slot}``; calls are journalled under ``{prefix}/t{turn}/{role}/{try}``.
    check
        Reads an expression; a rejection goes back to the writer as a turn, caret and all.
    look
        Says what is known of an expression already; what was scored before goes back to the writer unjudged.
    judged
        Whether the judge is asked; without it, what can be read and is new is let through.
    """
    turns: list[Turn] = []
    verdicts: list[Verdict] = []
    last: tuple[Proposal | None, Expression | None, Rejection | None] = (None, None, None)
    for number in range(1, max_turns + 1):
        prompts = writer_prompt(brief, key_prefix, turns)
        proposal = await model.ask(f"{key_prefix}/t{number}/writer", "writer", *prompts, Proposal)
        if isinstance(proposal, Rejection):
            turns.append(Turn("(nothing that could be read)", proposal.message))
            last = (last[0], None, proposal)
            continue
        expression = check(proposal.expression)
        if isinstance(expression, Rejection):
            turns.append(Turn(proposal.expression, f"{expression.message}\n{expression.hint}".strip()))
            last = (proposal, None, expression)
            continue
        novelty = look(expression)
        if isinstance(novelty, Rejection):
            turns.append(Turn(expression.text, f"{novelty.message}; {novelty.hint}"))
            last = (proposal, expression, novelty)
            continue
        if not judged:
            return Proposed(proposal, expression, (), None, number)
        prompts = judge_prompt(brief, expression, proposal, novelty)
        verdict = await _judged(model, prompts, key_prefix, number)
        if isinstance(verdict, Rejection):
            last = (proposal, expression, verdict)
            turns.append(Turn(expression.text, "the judge could not be understood; propose again"))
            continue
        verdicts.append(verdict)
        if verdict.accept:
            return Proposed(proposal, expression, tuple(verdicts), None, number)
        turns.append(Turn(expression.text, f"The judge objects ({verdict.score:g}/10): {verdict.critique}"))
        refusal = Rejection("judge", "not_accepted", f"the judge did not accept it: {verdict.critique}"[:500])
        last = (proposal, expression, refusal)
    return Proposed(last[0], last[1], tuple(verdicts), last[2], max_turns)


def by_machine(
    task: Task,
    longest: int,
    seed: Sequence[int],
    check: Callable[[str], Expression | Rejection],
    look: Callable[[Expression], Novelty | Rejection],
) -> Proposed:
    """Propose other windows for a parent, which takes no model: the first that is new. It is a trial like any other."""
    parent = check(task.parents[0])
    if isinstance(parent, Rejection):
        return Proposed(None, None, (), parent, 0)
    refused = Rejection("novelty", "no_windows", "every other window of the parent was tried, or it has none")
    for text in window_variants(parent.root, longest, np.random.default_rng(seed)):
        expression = check(text)
        if isinstance(expression, Rejection) or isinstance(look(expression), Rejection):
            continue
        rationale = "Other windows of a known factor, tried by machine."
        proposal = Proposal(name="other windows", expression=text, rationale=rationale, parents=[parent.text])
        return Proposed(proposal, expression, (), None, 0)
    return Proposed(None, None, (), refused, 0)


async def _judged(model: LanguageModel, prompts: tuple[str, str], key_prefix: str, number: int) -> Verdict | Rejection:
    said = await model.ask(f"{key_prefix}/t{number}/judge", "judge", *prompts, JudgeReply)
    if isinstance(said, Rejection):
        return said
    critique = f"{said.critique} Suggestion: {said.suggestion}" if said.suggestion else said.critique
    return Verdict(number, said.accept, said.score, critique.strip(), said.scores())
