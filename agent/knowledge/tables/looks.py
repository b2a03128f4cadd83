"""What people evaluate by hand: one run for each data set and rules, which every look adds to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent.knowledge.database import schema
from agent.knowledge.records import AttemptRecord, NewAttempt
from agent.knowledge.run_config import RunConfig, read_run_config
from agent.knowledge.tables import attempts, datasets, runs
from agent.knowledge.tables.convert import plain_dict
from agent.knowledge.tables.row_cache import Memory, load_attempts
from market.panel import Panel

ROUND = 1


def add_look(
    session: Session, panel: Panel, config: RunConfig, seed: int, new: NewAttempt, memory: Memory
) -> AttemptRecord:
    """Record a scored factor in the run of its data and rules, which is made if missing; return the attempt.

    A factor that this run holds already is not written again. Writers queue, so the next slot is free.
    """
    datasets.add_dataset(session, panel)
    run_id = _run_of(session, panel.id, config, seed)
    attempt = schema.Attempt
    own = (attempt.run_id == run_id, attempt.round == ROUND)
    number = session.scalar(select(attempt.id).where(*own, attempt.factor_id == new.factor_id).limit(1))
    if number is None:
        last = session.scalar(select(func.max(attempt.slot)).where(*own))
        place = replace(new, run_id=run_id, round=ROUND, slot=0 if last is None else last + 1)
        number = attempts.add_attempt(session, place, memory)
        runs.set_status(session, run_id, "finished")
    return load_attempts(session, [number])[0]


def _run_of(session: Session, panel_id: str, config: RunConfig, seed: int) -> str:
    # As it will be read again.
    asked = read_run_config(plain_dict(config.to_dict())).rules.with_loop({})
    query = select(schema.Run.id, schema.Run.config).where(schema.Run.panel_id == panel_id).order_by(schema.Run.seq)
    for run_id, document in session.execute(query):
        known = read_run_config(document)
        if known.kind == "eval" and known.rules.with_loop({}) == asked:
            return str(run_id)
    run = runs.add_run(session, panel_id, config, seed)
    runs.add_round(session, run.id, ROUND, {}, dict)
    return run.id


def personal_runs(session: Session, among: Iterable[str]) -> set[str]:
    """Return which of these runs hold what people evaluated."""
    query = select(schema.Run.id, schema.Run.config).where(schema.Run.id.in_(list(among)))
    return {run_id for run_id, document in session.execute(query) if read_run_config(document).kind == "eval"}
