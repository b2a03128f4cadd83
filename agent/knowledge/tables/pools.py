"""Queries about pools; each works inside the caller's transaction."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection, func, or_, select
from sqlalchemy.orm import Session

from agent.knowledge.attempt_figures import or_none
from agent.knowledge.database import schema
from agent.knowledge.pool_records import PoolMember, PoolRecord, PoolSpec
from agent.knowledge.records import AttemptRecord
from agent.knowledge.score_documents import read_evidence, read_scorecard
from agent.knowledge.tables.convert import attempt_record, plain_dict, utc_now
from agent.knowledge.tables.datasets import freeze_split
from agent.knowledge.tables.packed_returns import pack, unpacked
from market.errors import InputError
from market.panel import FloatArray

TAG = "pool:"
_Pool = schema.Pool
_TABLE = schema.core_table(schema.Pool)


def add_pool(session: Session, new: PoolRecord) -> PoolRecord:
    """Record a pool; one that is known already is left as it is, and a name is given once."""
    known = session.scalar(select(_Pool).where(_Pool.id == new.id))
    if known is not None:
        return pool_record(known)
    taken = session.scalar(select(_Pool.id).where(_Pool.name == new.name))
    if taken is not None:
        raise InputError(f"there is a pool {new.name!r} already ({taken})", "choose another --name")
    row = schema.Pool(
        id=new.id,
        panel_id=new.panel_id,
        name=new.name,
        method=new.method,
        spec=plain_dict(new.spec.to_dict()),
        members=[plain_dict(member.to_dict()) for member in new.members],
        scorecard=plain_dict(new.scorecard.to_dict()),
        evidence=plain_dict(new.evidence.to_dict()),
        sharpe_per_bar=or_none(new.sharpe_per_bar),
        created=utc_now(),
    )
    session.add(row)
    session.flush()
    freeze_split(session, new.panel_id, new.spec.rules.cut, new.id)
    return pool_record(row)


def panel_pools(session: Session, panels: tuple[str, ...] | None) -> list[PoolRecord]:
    """Return pools, oldest first."""
    query = select(_Pool).order_by(_Pool.seq)
    if panels is not None:
        query = query.where(_Pool.panel_id.in_(panels))
    return [pool_record(row) for row in session.scalars(query)]


def returns_fingerprints(connection: Connection, panels: Sequence[str]) -> list[FloatArray]:
    """Return the fingerprint of the train returns of each pool of some data, oldest first, where it was recorded."""
    query = select(_TABLE.c.spec).where(_TABLE.c.panel_id.in_(panels)).order_by(_TABLE.c.seq)
    packed = (PoolSpec.from_dict(spec).returns_fingerprint for spec in connection.execute(query).scalars())
    return [unpacked(base64.b64decode(one)).astype(np.float64) for one in packed if one]


def packed_text(fingerprint: FloatArray) -> str:
    """Return a fingerprint as a pool's spec holds it."""
    return base64.b64encode(pack(fingerprint)).decode()


def find_pool(session: Session, what: str) -> PoolRecord | None:
    """Return the pool of this name or id, or the only one whose id begins so; None where there is none."""
    if not what:
        return None
    exact = session.scalar(select(_Pool).where(or_(_Pool.name == what, _Pool.id == what)))
    if exact is not None:
        return pool_record(exact)
    start = TAG + what.removeprefix(TAG)
    if start == TAG:
        return None
    rows = session.scalars(
        select(_Pool).where(func.substr(_Pool.id, 1, len(start)) == start).order_by(_Pool.seq).limit(5)
    )
    found = list(rows)
    if len(found) > 1:
        shown = ", ".join(f"{row.name} ({row.id})" for row in found)
        raise InputError(f"{what!r} begins several pools", f"say more of the id: {shown}")
    return pool_record(found[0]) if found else None


def factors_with_verdict(session: Session, panels: tuple[str, ...], verdicts: Sequence[str]) -> list[AttemptRecord]:
    """Return the newest full score of each factor of these panels that has one of these verdicts, oldest first."""
    scored, attempt = schema.Evaluation, schema.Attempt
    query = (
        select(attempt, schema.Run.panel_id)
        .join(schema.Run, schema.Run.id == attempt.run_id)
        .join(scored, scored.attempt_id == attempt.id)
        .where(schema.Run.panel_id.in_(panels), attempt.stage != "screen")
        .where(scored.verdict.in_(list(verdicts)))
        .order_by(attempt.id)
    )
    newest: dict[str, AttemptRecord] = {}
    for row, panel in session.execute(query):
        if row.factor_id is not None and row.canonical is not None:
            newest[row.factor_id] = attempt_record(row, panel)
    return list(newest.values())


def pool_record(row: schema.Pool) -> PoolRecord:
    """Return the row as a record."""
    return PoolRecord(
        id=row.id,
        panel_id=row.panel_id,
        name=row.name,
        method=row.method,
        spec=PoolSpec.from_dict(row.spec),
        members=tuple(PoolMember.from_dict(member) for member in row.members),
        scorecard=read_scorecard(row.scorecard),
        evidence=read_evidence(row.evidence),
        sharpe_per_bar=row.sharpe_per_bar,
        created=row.created,
    )
