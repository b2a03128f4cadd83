"""Queries about data sets, runs, rounds, lessons and calls; each works inside the caller's transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from agent.knowledge.database import schema
from agent.knowledge.processes import QUEUE, this_process
from agent.knowledge.records import (
    CallRecord,
    Content,
    NewCall,
    NewLesson,
    RoundRecord,
    RunRecord,
    RunStatus,
    Totals,
    request_hash,
)
from agent.knowledge.run_config import RunConfig, read_run_config
from agent.knowledge.score_documents import Document
from agent.knowledge.tables.convert import call_record, plain_dict, round_record, run_record, utc_now
from agent.knowledge.tables.datasets import freeze_split


def add_run(session: Session, panel_id: str, config: RunConfig, seed: int) -> RunRecord:
    """Record a new run; the first on a data set fixes where it is cut.

    The id is ``r`` and 12 hex digits of a hash of what the run is, when it started and how many came
    before; the ``r`` keeps it apart from a factor's id, which is all hex digits.
    """
    count = session.scalar(select(func.count()).select_from(schema.Run))
    document = plain_dict(config.to_dict())
    content = [panel_id, document, seed, datetime.now(UTC).isoformat(), count]
    run_id = "r" + hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
    row = schema.Run(id=run_id, panel_id=panel_id, config=document, seed=seed, status="running", created=utc_now())
    row.process = this_process()
    session.add(row)
    session.flush()
    freeze_split(session, panel_id, config.rules.cut, run_id)
    return run_record(row)


def set_status(session: Session, run_id: str, status: RunStatus) -> None:
    """Set a run's status; any but ``running`` and ``queued`` also sets the time at which it stopped."""
    now: dict[str, object] = {"status": status, "finished": utc_now()}
    if status == "running":
        now |= {"finished": None, "process": this_process()}
    elif status == "queued":
        now |= {"status": "interrupted", "finished": None, "process": QUEUE}
    session.execute(update(schema.Run).where(schema.Run.id == run_id).values(**now))
    if status != "queued":
        # It waits for no worker any more.
        left = (schema.Run.id == run_id, schema.Run.process == QUEUE)
        session.execute(update(schema.Run).where(*left).values(process=None))


def find_config(session: Session, run_id: str) -> RunConfig:
    """Return what a run was started with."""
    return read_run_config(session.scalar(select(schema.Run.config).where(schema.Run.id == run_id)) or {})


def get_round(
    session: Session, run_id: str, number: int, read: Callable[[Document], Content]
) -> RoundRecord[Content] | None:
    """Return a round, its brief as `read` reads it, or None where it has not started."""
    row = session.get(schema.Round, (run_id, number))
    return None if row is None else round_record(row, read)


def add_round(
    session: Session, run_id: str, number: int, brief: Document, read: Callable[[Document], Content]
) -> RoundRecord[Content]:
    """Start a round unless it has started; the brief that was stored first is the one that counts."""
    found = get_round(session, run_id, number, read)
    if found is not None:
        return found
    row = schema.Round(run_id=run_id, number=number, brief=plain_dict(brief), status="open", created=utc_now())
    session.add(row)
    session.flush()
    return round_record(row, read)


def close_round(session: Session, run_id: str, number: int, lessons: Sequence[NewLesson]) -> None:
    """Finish a round with its lessons; a round finished before is left as it is."""
    row = session.get(schema.Round, (run_id, number))
    if row is None:
        raise ValueError(f"round {number} of run {run_id} was never started")
    if row.status == "finished":
        return
    row.status = "finished"
    stamp = utc_now()
    for position, lesson in enumerate(lessons):
        session.add(
            schema.Lesson(
                run_id=run_id,
                round=number,
                position=position,
                kind=lesson.kind,
                text=lesson.text,
                evidence=list(lesson.evidence),
                created=stamp,
            )
        )


def get_call(session: Session, run_id: str, key: str) -> CallRecord | None:
    """Return the newest call journalled under `key`, or None."""
    query = select(schema.LLMCall).where(schema.LLMCall.run_id == run_id, schema.LLMCall.key == key)
    row = session.scalar(query)
    return None if row is None else call_record(row)


def add_call(session: Session, call: NewCall) -> CallRecord:
    """Journal a call.

    A key that is taken keeps its newest call: the older one, which was paid for as well, moves to
    ``key~1``, ``key~2`` and so on, and still counts in the totals. Journalling the very same call again
    changes nothing.
    """
    taken = get_call(session, call.run_id, call.key)
    call = replace(call, created=call.created or utc_now())
    if taken is not None:
        if _fields(taken) == _fields(call):
            return taken
        aside = update(schema.LLMCall).where(schema.LLMCall.id == taken.id)
        session.execute(aside.values(key=_key_aside(session, call.run_id, call.key)))
    row = schema.LLMCall(**_fields(call))
    session.add(row)
    session.flush()
    return call_record(row)


def add_lost(session: Session, run_id: str, key: str, role: str, model: str, request: str) -> None:
    """Journal a call that was sent and got no answer, under ``key~1``, ``key~2`` ...: it answers nothing."""
    lost = schema.LLMCall(
        run_id=run_id,
        key=_key_aside(session, run_id, key),
        role=role,
        model=model,
        mode="",
        request_hash=request_hash(model, request),
        request=request,
        response="",
        status="lost",
        prompt_tokens=None,
        completion_tokens=None,
        cost_usd=None,
        latency_s=0.0,
        created=utc_now(),
    )
    session.add(lost)


def _key_aside(session: Session, run_id: str, key: str) -> str:
    """Return the next key beside `key`."""
    call = schema.LLMCall
    beside = (call.run_id == run_id, call.key.startswith(f"{key}~", autoescape=True))
    return f"{key}~{(session.scalar(select(func.count()).select_from(call).where(*beside)) or 0) + 1}"


def _fields(call: NewCall) -> dict[str, object]:
    return {name: value for name, value in asdict(call).items() if name != "id"}


def total_calls(session: Session, run_id: str) -> Totals:
    """Add up a run's calls; see `Totals`."""
    table = schema.LLMCall
    query = select(
        func.count(),
        func.coalesce(func.sum(table.prompt_tokens), 0),
        func.coalesce(func.sum(table.completion_tokens), 0),
        func.count(table.cost_usd),
        func.coalesce(func.sum(table.cost_usd), 0.0),
    ).where(table.run_id == run_id)
    calls, prompt, completion, priced, cost = session.execute(query).one()
    return Totals(calls, prompt or 0, completion or 0, (cost or 0.0) if priced == calls else None)


def newest_modes(session: Session, base_url: str, api: str) -> dict[str, str]:
    """Return the mode of the newest answered call of each model of a server, asked by this API."""
    call, run = schema.LLMCall, schema.Run
    query = select(call.model, call.mode, run.config).join(run, run.id == call.run_id)
    newest = select(func.max(call.id)).where(call.status == "ok").group_by(call.model, call.run_id)
    rows = session.execute(query.where(call.id.in_(newest)).order_by(call.id))
    known = ((model, mode, read_run_config(document)) for model, mode, document in rows)
    return {model: mode for model, mode, config in known if (config.base_url, config.api) == (base_url, api)}
