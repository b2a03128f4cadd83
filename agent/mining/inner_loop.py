"""The inner loop: writer and judge, until the judge accepts or refuses, or the turns are used up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np

from agent.llm.client import LanguageModel, Shorter
from agent.llm.facts import JudgeFacts
from agent.mining.brief import STEPS, Brief, Forecast, Turn, judge_facts, judge_prompt, writer_facts, writer_prompt
from agent.mining.constraints import STAGE as REQUEST_STAGE
from agent.mining.replies import JudgeReply, Proposal, Proposals
from agent.mining.search.tasks import Task
from factors.overlap import Novelty
from factors.printing import to_text
from factors.tree import Call, Expression
from factors.variants import window_variants
from market.errors import Rejection

Check = Callable[[str], Expression | Rejection]
Look = Callable[[Expression], Awaitable[Forecast | Rejection]]


@dataclass(frozen=True)
class JudgeOpinion:
    """What the judge said at a turn; `final` where it refused for good."""

    turn: int
    accept: bool
    score: float
    critique: str
    scores: Mapping[str, float] = field(default_factory=dict)
    final: bool = False
    suggestion: str = ""


@dataclass(frozen=True)
class Proposed:
    """What the inner loop ended with.

    Either `rejection` says why there is nothing to score, or `expression` is what the judge let through (or what
    stood when the turns ran out, which the judge did not accept: then `rejection` is set as well, with stage
    ``judge``).
    """

    proposal: Proposal | None
    expression: Expression | None
    verdicts: tuple[JudgeOpinion, ...]
    rejection: Rejection | None
    turns: int


@dataclass(frozen=True, eq=False)
class Agents:
    """Who writes and who judges; without a judge, what can be read and is new is let through."""

    writers: Mapping[str, LanguageModel]
    judge: LanguageModel | None

    def writer(self, task: Task | None) -> LanguageModel:
        """Return the model that writes a task: the one it names, else the first."""
        first = next(iter(self.writers.values()))
        return first if task is None else self.writers.get(task.model, first)


async def nothing_known(_expression: Expression) -> Forecast:
    """Look at a proposal without a knowledge base."""
    return Forecast()


async def propose(
    agents: Agents,
    brief: Brief,
    slot: int,
    *,
    max_turns: int,
    check: Check,
    look: Look = nothing_known,
    first: Proposal | Rejection | None = None,
) -> Proposed:
    """Run the inner loop for one candidate; calls are journalled under ``r{round}/s{slot}/t{turn}/{role}/{try}``.

    Parameters
    ----------
    check
        Reads an expression; a rejection goes back to the writer as a turn, caret and all.
    look
        Says what is known of an expression already; what was scored before goes back to the writer unjudged.
    first
        What was proposed for this candidate together with others; the first turn then asks for nothing.
    """
    candidate = _Candidate(agents, brief, slot, check, look)
    for number in range(1, max_turns + 1):
        if await candidate.take_turn(number, first if number == 1 else None):
            return candidate.proposed(number)
    return candidate.proposed(max_turns)


class _Candidate:
    """What was said of one candidate, and what has become of it so far."""

    def __init__(self, agents: Agents, brief: Brief, slot: int, check: Check, look: Look) -> None:
        self._agents, self._brief, self._slot = agents, brief, slot
        self._check, self._look = check, look
        self._turns: list[Turn] = []
        self._breaches = 0
        self._verdicts: list[JudgeOpinion] = []
        self._so_far = Proposed(None, None, (), None, 0)

    def proposed(self, turns: int) -> Proposed:
        """Return what the inner loop ends with, after this number of turns."""
        return replace(self._so_far, verdicts=tuple(self._verdicts), turns=turns)

    async def take_turn(self, number: int, first: Proposal | Rejection | None) -> bool:
        """Have one proposal made, read and judged; return whether the inner loop ends with it."""
        proposal = first or await self._written(number)
        if isinstance(proposal, Rejection):
            before = self._so_far.proposal
            return self._answer("(nothing that could be read)", proposal.message, before, None, proposal)
        expression = self._check(proposal.expression)
        if isinstance(expression, Rejection):
            answer = f"{expression.message}\n{expression.hint}".strip()
            self._answer(proposal.expression, answer, proposal, None, expression)
            # What breaks the request goes back once, and is then refused with the reason.
            self._breaches += expression.stage == REQUEST_STAGE
            return self._breaches > 1
        forecast = await self._look(expression)
        if isinstance(forecast, Rejection):
            answer = f"{forecast.message}; {forecast.hint}"
            return self._answer(expression.text, answer, proposal, expression, forecast)
        if self._agents.judge is None:
            self._so_far = Proposed(proposal, expression, (), None, number)
            return True
        judged = (self._brief, expression, proposal, forecast)
        prompts = partial(judge_prompt, *judged)
        verdict = await _judged(self._agents.judge, prompts, judge_facts(*judged), f"{self._key(number)}/judge", number)
        if isinstance(verdict, Rejection):
            answer = "the judge could not be understood; propose again"
            return self._answer(expression.text, answer, proposal, expression, verdict)
        self._verdicts.append(verdict)
        if verdict.accept:
            self._so_far = Proposed(proposal, expression, (), None, number)
            return True
        objection = f"The judge objects ({verdict.score:g}/10): {verdict.critique}"
        self._answer(expression.text, objection, proposal, expression, _refusal(verdict), verdict.suggestion)
        return verdict.final

    async def _written(self, number: int) -> Proposal | Rejection:
        writer = self._agents.writer(self._brief.task(self._slot))
        asked = (self._brief, [self._slot], self._turns)
        key = f"{self._key(number)}/writer"
        shorter = _steps(partial(writer_prompt, *asked))
        return await writer.ask(key, "writer", *writer_prompt(*asked), Proposal, writer_facts(*asked), shorter)

    def _key(self, number: int) -> str:
        return f"r{self._brief.round}/s{self._slot}/t{number}"

    def _answer(
        self,
        shown: str,
        answer: str,
        proposal: Proposal | None,
        expression: Expression | None,
        rejection: Rejection,
        suggestion: str = "",
    ) -> Literal[False]:
        """Keep what the writer is answered at its next turn, and what stands if there is none; the loop goes on."""
        self._turns.append(Turn(shown, answer, suggestion))
        self._so_far = Proposed(proposal, expression, (), rejection, 0)
        return False


def _refusal(verdict: JudgeOpinion) -> Rejection:
    code, what = ("refused", "refused it") if verdict.final else ("not_accepted", "did not accept it")
    return Rejection("judge", code, f"the judge {what}: {verdict.critique}"[:500])


async def propose_together(agents: Agents, brief: Brief, slots: Sequence[int]) -> Mapping[int, Proposal | Rejection]:
    """Ask for the first proposals of several candidates in one call; who got none is left out, and asks for itself."""
    prompts = partial(writer_prompt, brief, slots)
    key = f"r{brief.round}/s{slots[0]}-{slots[-1]}/t1/writer"
    writer = agents.writer(brief.task(slots[0]))
    said = await writer.ask(key, "writer", *prompts(), Proposals, writer_facts(brief, slots), _steps(prompts))
    if isinstance(said, Rejection):
        return dict.fromkeys(slots, said)
    return dict(zip(slots, said.proposals, strict=False))


def by_machine(
    task: Task,
    longest: int,
    seed: Sequence[int],
    check: Check,
    look: Callable[[Expression], Novelty | Rejection],
    skip: int = 0,
) -> Proposed:
    """Propose what takes no model: a given factor, its opposite, or other windows. It is a trial like any other.

    `skip` windows that are new are left to others of the round that have the same parent and seed.
    """
    parent = check(task.parents[0])
    if isinstance(parent, Rejection):
        return Proposed(None, None, (), parent, 0)
    if task.operation == "given":
        return _proposed(parent, "given", "The factor that is to be improved.", ())
    if task.operation == "invert":
        return _turned(parent, check, look)
    refused = Rejection("novelty", "no_windows", "every other window of the parent was tried, or it has none")
    for text in window_variants(parent.root, longest, np.random.default_rng(list(seed))):
        expression = check(text)
        if isinstance(expression, Rejection) or isinstance(look(expression), Rejection):
            continue
        if skip > 0:
            skip -= 1
            continue
        return _proposed(
            expression, "other windows", "Windows tried by the machine; the idea is the parent's.", (parent.text,)
        )
    return Proposed(None, None, (), refused, 0)


def _turned(parent: Expression, check: Check, look: Callable[[Expression], Novelty | Rejection]) -> Proposed:
    """Propose a factor with the opposite sign."""
    turned = check(to_text(Call("neg", (parent.root,))))
    known = turned if isinstance(turned, Rejection) else look(turned)
    if isinstance(turned, Rejection) or isinstance(known, Rejection):
        return Proposed(None, None, (), known if isinstance(known, Rejection) else None, 0)
    why = "The parent pays the other way on train; turned around by the machine."
    return _proposed(turned, "turned around", why, (parent.text,))


def _proposed(expression: Expression, name: str, rationale: str, parents: Sequence[str]) -> Proposed:
    proposal = Proposal(name=name, expression=expression.text, rationale=rationale, parents=list(parents))
    return Proposed(proposal, expression, (), None, 0)


def _steps(prompts: Callable[..., tuple[str, str]]) -> Shorter:
    """Return what gives the prompts with less in them, step by step to the last."""
    return lambda step: prompts(step=step) if step <= STEPS else None


async def _judged(
    model: LanguageModel, prompts: Callable[..., tuple[str, str]], facts: JudgeFacts, key: str, number: int
) -> JudgeOpinion | Rejection:
    said = await model.ask(key, "judge", *prompts(), JudgeReply, facts, _steps(prompts))
    if isinstance(said, Rejection):
        return said
    critique = f"{said.critique} Suggestion: {said.suggestion}" if said.suggestion else said.critique
    accepted = said.decision == "accept"
    final = said.decision == "refuse"
    return JudgeOpinion(number, accepted, said.score, critique.strip(), said.scores(), final, said.suggestion)
