"""Verdicts given after an attempt was recorded, once and again; each works inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from sqlalchemy import and_, bindparam, delete, insert, select, text, update
from sqlalchemy.orm import Session

from agent.knowledge.attempt_figures import or_none
from agent.knowledge.database import schema
from agent.knowledge.tables.attempts import reached_validation, score_of
from agent.knowledge.tables.convert import plain_dict, utc_now
from agent.knowledge.tables.packed_returns import unpacked
from backtest.policy import Policy
from backtest.result_types import Evidence, Tested, Verdict
from market.panel import FloatArray

_NAN = float("nan")


@dataclass(frozen=True, eq=False)
class TrialRow:
    """A scored attempt, as far as tests of all trials need it.

    Attributes
    ----------
    full
        Whether it was scored on validation too; scores of both tests are NaN where it was not, or by an earlier policy.
    fingerprint
        (blocks,) of its returns; of no length where unknown.
    """

    attempt_id: int
    run_id: str
    panel_id: str
    factor_id: str
    rules: str
    full: bool
    predicts_z: float
    earns_z: float
    fingerprint: FloatArray


@dataclass(frozen=True)
class LaterVerdict:
    """A verdict that an attempt was given among all trials of a later day; what it was given first is with it."""

    attempt_id: int
    verdict: Verdict
    trials: int
    policy: Policy
    predicts: Tested
    earns: Tested


def trial_rows(session: Session, panel_ids: Sequence[str]) -> Iterator[TrialRow]:
    """Return all scored attempts of some panels, oldest first."""
    scored, attempt, returns = schema.Evaluation, schema.Attempt, schema.TrialReturns
    columns = (scored.attempt_id, attempt.run_id, scored.panel_id, scored.factor_id, scored.rules)
    query = (
        select(*columns, attempt.stage, scored.predicts_z, scored.earns_z, returns.fingerprint)
        .join(attempt, attempt.id == scored.attempt_id)
        .outerjoin(returns, returns.attempt_id == scored.attempt_id)
        .where(scored.panel_id.in_(panel_ids), scored.factor_id.is_not(None))
        .order_by(scored.attempt_id)
    )
    for row in session.execute(query):
        stored = np.zeros(0) if row[8] is None else unpacked(bytes(row[8])).astype(np.float64)
        predicts, earns = (_NAN if z is None else float(z) for z in (row[6], row[7]))
        yield TrialRow(row[0], row[1], row[2], row[3] or "", row[4], row[5] != "screen", predicts, earns, stored)


def set_scores(session: Session, attempt_id: int, predicts_z: float, earns_z: float) -> None:
    """Store the scores of an attempt that was scored by an earlier policy; its verdict stands as it was recorded."""
    row = schema.Evaluation
    known = update(row).where(and_(row.attempt_id == attempt_id, row.predicts_z.is_(None)))
    session.execute(known.values(predicts_z=or_none(predicts_z), earns_z=or_none(earns_z)))


def store_confirmed(session: Session, found: Mapping[int, Evidence]) -> None:
    """Store evidence in the place of what train alone said; what validation has tested already stays as it is."""
    row, tally = schema.Evaluation, schema.core_table(schema.TrialTally)
    for attempt_id, evidence in found.items():
        document = evidence.to_dict()
        untested = update(row).where(and_(row.attempt_id == attempt_id, row.confirmed.is_(False)))
        session.execute(
            untested.values(
                evidence=plain_dict(document),
                verdict=evidence.verdict,
                accepted=evidence.accepted,
                predicts_z=score_of(document, "predicts"),
                earns_z=score_of(document, "earns"),
                confirmed=reached_validation(document),
            )
        )
    # Others remember what was accepted, and the scores of trials, by this number.
    panels = select(row.panel_id).where(row.attempt_id.in_(list(found)))
    session.execute(update(tally).where(tally.c.panel_id.in_(panels)).values(epoch=tally.c.epoch + 1))


def store_verdicts(session: Session, found: Iterable[LaterVerdict]) -> None:
    """Store verdicts of now in the place of earlier reassessments of the same attempts."""
    table, stamp = schema.core_table(schema.Reassessment), utc_now()
    rows = [
        {
            "attempt_id": one.attempt_id,
            "created": stamp,
            "policy": plain_dict(asdict(one.policy)),
            "trials": one.trials,
            "verdict": one.verdict,
            "predicts": plain_dict(asdict(one.predicts)),
            "earns": plain_dict(asdict(one.earns)),
        }
        for one in found
    ]
    if rows:
        gone = delete(table).where(table.c.attempt_id == bindparam("gone"))
        session.execute(gone, [{"gone": row["attempt_id"]} for row in rows])
        session.execute(insert(table), rows)


COUNT_POOLS = text("SELECT count(*) FROM pools WHERE panel_id = :panel")
