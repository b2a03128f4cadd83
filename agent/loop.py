"""The two loops of QuantAgent (arXiv 2402.03755): propose and judge inside, score and learn outside.

Crash safety rests on three rules. Every reply that was paid for is journalled the moment it arrives.
Every attempt is written whole, in one transaction, under its (run, round, slot). A round's brief is
stored before its first call. So a killed run goes on by replaying: finished slots are skipped, and calls
already journalled are answered from the journal.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Literal

from agent.briefing import write_brief
from agent.briefs import Brief
from agent.inner import Proposed, by_machine, propose
from agent.knowledge.records import NewAttempt, NewVerdict, RunRecord
from agent.knowledge.store import KnowledgeBase
from agent.lessons import learn
from agent.llm.budget import BudgetReached
from agent.llm.client import LanguageModel
from agent.replies import Proposal
from agent.settings import LoopSettings
from agent.study import Scoring, Study, read_expression
from agent.weighing import evaluation_of, weigh_expression
from factors.novelty import Novelty
from factors.tree import Expression
from market.errors import Rejection

Outcome = Literal["finished", "interrupted", "budget"]


class StopRequested(Exception):
    """The person asked to stop: no new call is made, what was paid for is kept."""


@dataclass(frozen=True)
class Event:
    """Something a progress display may want to show; `figure` is an attempt's rank IC on train, where it was scored."""

    kind: Literal["round", "proposed", "attempt", "lessons", "note"]
    round: int
    slot: int = -1
    text: str = ""
    figure: float | None = None


@dataclass(frozen=True, eq=False)
class Mine:
    """Everything a mining run works with."""

    study: Study
    knowledge: KnowledgeBase
    model: LanguageModel
    run: RunRecord
    settings: LoopSettings
    stop: Callable[[], bool] = lambda: False
    on_event: Callable[[Event], None] = lambda _event: None


async def run_rounds(mine: Mine) -> Outcome:
    """Run every round that is not finished, and set the run's status; safe to call again after a crash."""
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
    mine.knowledge.set_run_status(mine.run.id, outcome)
    return outcome


async def _round(mine: Mine, number: int) -> None:
    opened = mine.knowledge.start_round(
        mine.run.id, number, lambda: write_brief(mine.study, mine.knowledge, mine.run, number).to_dict()
    )
    if opened.status == "finished":
        return
    mine.on_event(Event("round", number))
    brief = Brief.from_dict(opened.brief)
    done = {attempt.slot for attempt in mine.knowledge.attempts(run_id=mine.run.id, round=number)}
    waiting = [slot for slot in range(mine.settings.candidates) if slot not in done]
    # What is recorded of earlier rounds is whole: the rest of the run is still to come.
    ahead = (mine.settings.rounds - number) * mine.settings.candidates + len(waiting)
    halted: StopRequested | BudgetReached | None = None
    talks = {slot: asyncio.create_task(talk) for slot, talk in _talks(mine, brief, number, waiting)}
    try:
        # In the order of slots, so that each is weighed by the trials before it, whichever was answered first.
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
    attempts = mine.knowledge.attempts(run_id=mine.run.id)
    lessons = learn(attempts)
    mine.knowledge.finish_round(mine.run.id, number, lessons)
    mine.on_event(Event("lessons", number, text=lessons[0].text if lessons else ""))


async def _let_finish(talks: Iterable[asyncio.Task[Proposed | StopRequested | BudgetReached]]) -> None:
    """Let the calls under way end, which are paid for, and begin no others: each stops before its next call."""
    # Those that are done too: an exception that nobody takes would be printed, traceback and all.
    await asyncio.gather(*talks, return_exceptions=True)


def _talks(
    mine: Mine, brief: Brief, number: int, slots: list[int]
) -> list[tuple[int, Coroutine[object, object, Proposed | StopRequested | BudgetReached]]]:
    """Return the inner loops of a round, to be run side by side; a halt in one does not lose the others."""
    lane = asyncio.Semaphore(mine.settings.concurrency)

    def check(text: str) -> Expression | Rejection:
        return read_expression(text, mine.study, blocks=brief.blocks, strict=mine.settings.strict)

    def look(expression: Expression) -> Novelty | Rejection:
        # As of the round's start: a resumed round asks what the first one asked.
        twin = repeated(mine.knowledge, mine.study, expression, until=brief.attempts_until)
        return twin or mine.knowledge.novelty(expression, until=brief.known)

    async def one(slot: int) -> Proposed | StopRequested | BudgetReached:
        async with lane:
            if mine.stop():
                return StopRequested()
            try:
                task = brief.task(f"r{number}/s{slot}")
                if task is not None and task.operation == "windows":
                    return by_machine(task, mine.study.max_lookback, [mine.run.seed, number, slot], check, look)
                proposed = await propose(
                    mine.model,
                    brief,
                    key_prefix=f"r{number}/s{slot}",
                    max_turns=mine.settings.turns,
                    check=check,
                    look=look,
                    judged=mine.settings.judge,
                )
            except (StopRequested, BudgetReached) as halt:
                return halt
            mine.on_event(Event("proposed", number, slot))
            return proposed

    return [(slot, one(slot)) for slot in slots]


async def _settle(mine: Mine, brief: Brief, slot: int, proposed: Proposed, ahead: int) -> None:
    """Score one proposal and write the attempt, whatever became of it; `ahead` attempts of the run come after it."""
    number = brief.round
    # In a thread of its own: replies to other candidates are read meanwhile.
    result = await asyncio.to_thread(_examine, mine, proposed, ahead)
    proposal, expression = proposed.proposal, proposed.expression
    rejection = result if isinstance(result, Rejection) else None
    attempt = NewAttempt(
        run_id=mine.run.id,
        round=number,
        slot=slot,
        name=proposal.name if proposal else "",
        text=proposal.expression if proposal else "",
        rationale=proposal.rationale if proposal else "",
        parent_ids=tuple(proposal.parents) if proposal else (),
        canonical=expression.text if expression else None,
        factor_id=expression.id if expression else None,
        stage=rejection.stage if rejection else "evidence",
        code=rejection.code if rejection else None,
        message=message_of(rejection) if rejection else None,
        verdicts=tuple(
            NewVerdict(turn=v.turn, accept=v.accept, score=v.score, critique=v.critique, scores=v.scores)
            for v in proposed.verdicts
        ),
        evaluation=evaluation_of(result) if isinstance(result, Scoring) else None,
        claims={**_told(brief, number, slot), **({} if proposal is None else _claims(proposal))},
    )
    mine.knowledge.record_attempt(attempt)
    figure = _figure(result) if isinstance(result, Scoring) else None
    mine.on_event(Event("attempt", number, slot, expression.text if expression else attempt.message or "", figure))


def _figure(scoring: Scoring) -> float | None:
    """Return the train rank IC, or where there is no cross-section the gross Sharpe ratio."""
    train = scoring.scored.scorecard.train
    known = [value for value in (train.rank_ic, train.sharpe_gross) if math.isfinite(value)]
    return known[0] if known else None


def _told(brief: Brief, number: int, slot: int) -> dict[str, object]:
    """Return what the candidate was told to be."""
    task = brief.task(f"r{number}/s{slot}")
    if task is None:
        return {}
    said = {"operation": task.operation, "theme": task.theme, "parents": list(task.parents)}
    return {name: value for name, value in said.items() if value}


def _claims(proposal: Proposal) -> dict[str, object]:
    said = {"mechanism": proposal.mechanism, "horizon": proposal.horizon, "fails_when": proposal.fails_when}
    return {name: value for name, value in said.items() if value}


def message_of(rejection: Rejection) -> str:
    """Return what is recorded of a rejection: its message and its hint."""
    return f"{rejection.message}\n{rejection.hint}" if rejection.hint else rejection.message


def _examine(mine: Mine, proposed: Proposed, ahead: int) -> Scoring | Rejection:
    if proposed.rejection is not None:
        return proposed.rejection
    expression = proposed.expression
    if expression is None:
        return Rejection("reply", "no_proposal", "the writer proposed nothing that could be read")
    twin = repeated(mine.knowledge, mine.study, expression)
    if twin is not None:
        return twin
    return weigh_expression(expression, mine.study, mine.knowledge, ahead=ahead)


def repeated(
    knowledge: KnowledgeBase, study: Study, expression: Expression, *, until: int | None = None
) -> Rejection | None:
    """Return why a factor need not be scored: it was, or one that puts assets in the same order, on this very data.

    With `until`, as the knowledge base was after that attempt.
    """
    alike = study.spec.weighting == "rank"
    twin = knowledge.scored_twin(expression, panel_id=study.dataset, ranks_alike=alike, until=until)
    if twin is None:
        return None
    same = twin.canonical == expression.text
    what = "the same factor" if same else f"{twin.canonical}, which ranks assets alike,"
    return Rejection("novelty", "duplicate", f"{what} was scored before, as attempt {twin.id}", "propose another idea")
