"""Which trials were one bet: sketches of returns, clustered as they come; each works inside the caller's transaction.

An attempt joins the cluster of the first attempt of its panel whose returns correlate with its own by a half or more,
with either sign: a factor and its negation are one bet. What joins none begins its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent.knowledge import schema
from agent.knowledge.records import Nearest
from market.panel import FloatArray

SAME_BET = 0.5
_Row = schema.TrialReturns


@dataclass
class Leaders:
    """First attempts of the clusters of one panel, kept for as long as a transaction lasts."""

    panel_id: str
    ids: list[int] = field(default_factory=list)
    sketches: list[FloatArray] = field(default_factory=list)


def load_leaders(session: Session, panel_id: str) -> Leaders:
    """Return the leaders of a panel's clusters, oldest first."""
    query = select(_Row.attempt_id, _Row.sketch).where(_Row.panel_id == panel_id, _Row.cluster == _Row.attempt_id)
    found = Leaders(panel_id)
    for attempt_id, packed in session.execute(query.order_by(_Row.attempt_id)):
        found.ids.append(attempt_id)
        found.sketches.append(_unpacked(packed))
    return found


def add_bet(session: Session, attempt_id: int, sketch: FloatArray, leaders: Leaders) -> None:
    """Store an attempt's sketch under its cluster; an empty one is no bet."""
    if len(sketch) == 0:
        return
    # As it will be read again: clusters must not depend on when they were told.
    packed = _packed(sketch)
    near = _correlations(_unpacked(packed), leaders.sketches)
    best = int(np.argmax(np.abs(near))) if len(near) else -1
    cluster = leaders.ids[best] if best >= 0 and abs(near[best]) >= SAME_BET else attempt_id
    session.add(_Row(attempt_id=attempt_id, panel_id=leaders.panel_id, cluster=cluster, sketch=packed))
    if cluster == attempt_id:
        leaders.ids.append(attempt_id)
        leaders.sketches.append(_unpacked(packed))


def count_bets(session: Session, panel_id: str) -> int:
    """Return how many clusters a panel's attempts fall into."""
    query = select(func.count()).select_from(_Row)
    return session.scalar(query.where(_Row.panel_id == panel_id, _Row.cluster == _Row.attempt_id)) or 0


def nearest_accepted(session: Session, panel_id: str, sketch: FloatArray, but: str) -> Nearest:
    """Return the accepted factor of a panel, other than `but`, whose returns correlate most with a sketch."""
    query = (
        select(_Row.sketch, schema.Attempt.canonical)
        .join(schema.Attempt, schema.Attempt.id == _Row.attempt_id)
        .join(schema.Evaluation, schema.Evaluation.attempt_id == _Row.attempt_id)
        .where(_Row.panel_id == panel_id, schema.Evaluation.accepted.is_(True), schema.Attempt.factor_id != but)
        .order_by(_Row.attempt_id)
    )
    rows = [(_unpacked(packed), text or "") for packed, text in session.execute(query)]
    near = _correlations(sketch, [row[0] for row in rows])
    if not len(near) or not np.any(near):
        return Nearest(float("nan"), "")
    best = int(np.argmax(np.abs(near)))
    return Nearest(float(near[best]), rows[best][1])


def _correlations(sketch: FloatArray, others: list[FloatArray]) -> FloatArray:
    """Return inner products with other sketches; 0 with one of other bars."""
    out = np.zeros(len(others))
    alike = [i for i, other in enumerate(others) if len(other) == len(sketch) > 0]
    if alike:
        out[alike] = np.stack([others[i] for i in alike]) @ sketch
    return out


def _packed(sketch: FloatArray) -> bytes:
    # Values are about 0.04: half precision keeps three digits of each, far more than a sketch knows.
    return sketch.astype("<f2").tobytes()


def _unpacked(packed: bytes) -> FloatArray:
    values: NDArray[np.float64] = np.frombuffer(packed, dtype="<f2").astype(np.float64)
    return values
