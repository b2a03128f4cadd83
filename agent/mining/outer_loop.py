"""The two loops of QuantAgent (arXiv 2402.03755): propose and judge inside, score and learn outside.

Crash safety rests on three rules. Every reply that was paid for is journalled the moment it arrives.
Every attempt is written whole, in one transaction, under its (run, round, slot). A round's brief is
stored before its first call. So a killed run goes on by replaying: finished slots are skipped, and calls
already journalled are answered from the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from agent.cluster.full_work import Ahead
from agent.knowledge.attempt_figures import net_score, or_none
from agent.knowledge.claims import Claims
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import JudgeVerdict, RunRecord
from agent.llm.budget import BudgetReached, StopRequested
from agent.mining.brief import Brief
from agent.mining.briefing import write_brief
from agent.mining.confirming import confirm_search
from agent.mining.forecast import Forecaster, repeated
from agent.mining.inner_loop import Agents, Proposed, by_machine, propose, propose_together
from agent.mining.lessons import DrawnLesson, draw_lessons
from agent.mining.recall import recall, returns_on
from agent.mining.replies import Proposal, possible_expectations
from agent.mining.search.tasks import Task
from agent.study.scoring import attempt_of, evaluate_expression
from agent.study.settings import LoopSettings
from agent.study.study import Scoring, Study, read_expression
from factors.tree import Expression
from market.errors import Rejection

Outcome = Literal["finished", "interrupted", "budget"]


# How the inner loop of one candidate ends.
Talk = Proposed | StopRequested | BudgetReached


@dataclass(frozen=True)
class Event:
    """Something a progress display may want to show; `figure` is an attempt's net score on train, or None."""

    kind: Literal["round", "proposed", "attempt", "lessons", "note"]
    round: int
    slot: int = -1
    text: str = ""
    figure: float | None = None


@dataclass(frozen=True, eq=False)
class Mine:
    """Everything a mining run works with; `ahead`, where it is given, scores on a cluster."""

    study: Study
    knowledge: KnowledgeBase
    agents: Agents
    run: RunRecord
    settings: LoopSettings
    stop: Callable[[], bool] = lambda: False
    on_event: Callable[[Event], None] = lambda _event: None
    ahead: Ahead | None = None


async def run_rounds(mine: Mine) -> Outcome:
    """Run every round that is not finished, and set the run's status; safe to call again after a crash."""
    mine.knowledge.stopping = mine.stop
    mine.knowledge.set_run_status(mine.run.id, "running")
    outcome: Outcome = "finished"
    try:
        for number in range(1, mine.settings.rounds + 1):
            await _round(mine, number)
    except StopRequested:
        outcome = "interrupted"
    except BudgetReached:
        outcome = "budget"
    except BaseException:
        mine.knowledge.set_run_status(mine.run.id, "interrupted")
        raise
    # A search that was stopped has an end as well; what comes when it goes on is tested at the next.
    said = (await asyncio.to_thread(confirm_search, mine.study, mine.knowledge, mine.run.id)).sentence()
    if said:
        mine.on_event(Event("note", 0, text=said))
    mine.knowledge.set_run_status(mine.run.id, outcome)
    return outcome


async def _round(mine: Mine, number: int) -> None:
    opened = mine.knowledge.start_round(
        mine.run.id,
        number,
        lambda: write_brief(mine.study, mine.knowledge, mine.run, number).to_dict(),
        Brief.from_dict,
    )
    brief = opened.brief
    if opened.status == "finished":
        return
    mine.on_event(Event("round", number))
    done = mine.knowledge.slots(mine.run.id, number)
    waiting = [slot for slot in range(mine.settings.candidates) if slot not in done]
    # What is recorded of earlier rounds is whole: the rest of the run is still to come.
    ahead = (mine.settings.rounds - number) * mine.settings.candidates + len(waiting)
    halted: StopRequested | BudgetReached | None = None
    talks = {slot: asyncio.create_task(talk) for slot, talk in _talks(mine, brief, waiting)}
    try:
        # In the order of slots, so that each is evaluated by the trials before it, whichever was answered first.
        for slot, talk in talks.items():
            proposed = await talk
            if isinstance(proposed, (StopRequested, BudgetReached)):
                halted = halted or proposed
                continue
            if mine.stop():
                halted = halted or StopRequested()
                break
            ahead -= 1
            await _settle(mine, brief, slot, proposed, ahead)
    finally:
        await _let_finish(talks.values())
    if halted is not None:
        raise halted
    lessons = _learned(mine, number)
    mine.knowledge.finish_round(mine.run.id, number, [lesson.stored for lesson in lessons])
    mine.on_event(Event("lessons", number, text=lessons[0].text if lessons else ""))


def _learned(mine: Mine, number: int) -> list[DrawnLesson]:
    """Return the lessons of all that was tried on the data; those that rest on this round come first."""
    dataset = mine.study.dataset
    known = mine.knowledge.recalled(dataset)
    newest = frozenset(a.id for a in known.typical if a.run_id == mine.run.id and a.round == number)
    return draw_lessons(known.typical, returns_on(mine.knowledge, dataset, known), newest)


async def _let_finish(talks: Iterable[asyncio.Task[Talk]]) -> None:
    """Let the calls under way end, which are paid for, and begin no others: each stops before its next call."""
    # Those that are done too: an exception that nobody takes would be printed, traceback and all.
    await asyncio.gather(*talks, return_exceptions=True)


def _talks(mine: Mine, brief: Brief, waiting: Sequence[int]) -> list[tuple[int, Coroutine[object, object, Talk]]]:
    """Return the inner loops of a round, to be run side by side; a halt in one does not lose the others."""
    lane = asyncio.Semaphore(mine.settings.concurrency)
    known = recall(mine.knowledge, mine.study.dataset, mine.settings, until=brief.attempts_until)
    forecaster = Forecaster(mine.study, mine.knowledge, brief, known.index())
    together = _together(mine, brief)

    def check(text: str) -> Expression | Rejection:
        read = read_expression(text, mine.study, blocks=brief.blocks, strict=mine.settings.strict)
        return read if isinstance(read, Rejection) else brief.asked.fault(read) or read

    async def one(slot: int) -> Talk:
        async with lane:
            if mine.stop():
                return StopRequested()
            try:
                task = brief.task(slot)
                if task is not None and task.by_machine:
                    seed = [mine.run.seed, brief.round]
                    before = brief.tasks[:slot].count(task)
                    longest = brief.longest or mine.study.max_lookback
                    return _begun(mine, by_machine(task, longest, seed, check, forecaster.novelty, before))
                first = await together[slot].proposal(slot) if slot in together else None
                turns = mine.settings.turns
                found = await propose(
                    mine.agents, brief, slot, max_turns=turns, check=check, look=forecaster.look, first=first
                )
            except (StopRequested, BudgetReached) as halt:
                return halt
            mine.on_event(Event("proposed", brief.round, slot))
            return _begun(mine, found)

    return [(slot, one(slot)) for slot in waiting]


def _begun(mine: Mine, proposed: Proposed) -> Proposed:
    """Have what is to be scored begun on the cluster, where there is one, while other replies are waited for."""
    if mine.ahead is not None and proposed.rejection is None and proposed.expression is not None:
        mine.ahead.begin(proposed.expression)
    return proposed


class _Batch:
    """Candidates that are asked for in one call, which the first of them to come makes."""

    def __init__(self, agents: Agents, brief: Brief, slots: Sequence[int]) -> None:
        self._ask = partial(propose_together, agents, brief, slots)
        self._asked: asyncio.Task[Mapping[int, Proposal | Rejection]] | None = None

    async def proposal(self, slot: int) -> Proposal | Rejection | None:
        """Return what was proposed for a candidate, if anything was."""
        if self._asked is None:
            self._asked = asyncio.ensure_future(self._ask())
        return (await asyncio.shield(self._asked)).get(slot)


def _together(mine: Mine, brief: Brief) -> dict[int, _Batch]:
    """Return who is asked for with whom: determined by the brief alone, so that a resumed round asks the same."""
    size, count = mine.settings.proposals, mine.settings.candidates
    found: dict[int, _Batch] = {}
    for start in range(0, count if size > 1 else 0, size):
        slots = [s for s in range(start, min(start + size, count)) if not _mechanical(brief, s)]
        batch = _Batch(mine.agents, brief, slots)
        found |= dict.fromkeys(slots, batch) if len(slots) > 1 else {}
    return found


def _mechanical(brief: Brief, slot: int) -> bool:
    task = brief.task(slot)
    return task is not None and task.by_machine


async def _settle(mine: Mine, brief: Brief, slot: int, proposed: Proposed, ahead: int) -> None:
    """Score one proposal and write the attempt, whatever became of it; `ahead` attempts of the run come after it."""
    number = brief.round
    # In a thread of its own: replies to other candidates are read meanwhile.
    result = await asyncio.to_thread(_examine, mine, brief, proposed, ahead)
    proposal, expression = proposed.proposal, proposed.expression
    text = proposal.expression if proposal else ""
    attempt = replace(
        attempt_of((mine.run.id, number, slot), text, expression, result),
        name=proposal.name if proposal else "",
        rationale=proposal.rationale if proposal else "",
        parent_ids=tuple(proposal.parents) if proposal else (),
        verdicts=tuple(JudgeVerdict(v.turn, v.accept, v.score, v.critique, v.scores) for v in proposed.verdicts),
        claims=_claims(brief.task(slot), proposal),
    )
    mine.knowledge.record_attempt(attempt)
    figure = or_none(net_score(result.scored.scorecard.train)) if isinstance(result, Scoring) else None
    mine.on_event(Event("attempt", number, slot, expression.text if expression else attempt.message or "", figure))


def _claims(task: Task | None, proposal: Proposal | None) -> Claims:
    """Return what the candidate was to be, and what its writer says of it."""
    claims = Claims() if task is None else task.claims()
    if proposal is None:
        return claims
    expected, _ = possible_expectations(proposal)
    other = {**claims.other, "expected": expected} if expected else claims.other
    said = (proposal.mechanism, proposal.horizon, proposal.fails_when)
    return replace(claims, mechanism=said[0], horizon=said[1], fails_when=said[2], other=other)


def _examine(mine: Mine, brief: Brief, proposed: Proposed, ahead: int) -> Scoring | Rejection:
    if proposed.rejection is not None:
        return proposed.rejection
    expression = proposed.expression
    if expression is None:
        return Rejection("reply", "no_proposal", "the writer proposed nothing that could be read")
    twin = repeated(mine.knowledge, mine.study, expression, related=True)
    if twin is not None:
        if mine.ahead is not None:
            mine.ahead.drop(expression)
        return twin
    # What was tried before on these data led here, by its train. Where validation led as well, it can confirm nothing.
    led_by_train = mine.settings.memory and mine.settings.feedback == "train"
    aimed = led_by_train and brief.attempts_until > 0
    scored = None if mine.ahead is None else mine.ahead.result(expression)
    found = evaluate_expression(expression, mine.study, mine.knowledge, ahead=ahead, aimed=aimed, found=scored)
    return found.copy if isinstance(found, Scoring) and found.copy is not None else found
