"""Effective trials: fingerprints of returns, clustered as they come; each works inside the caller's transaction.

An attempt joins the cluster of the first attempt of its panel whose returns correlate with its own by a half or more,
with either sign: a factor and its negation are one effective trial. What joins none begins its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BindParameter, Connection, TextClause, bindparam, insert, select, text
from sqlalchemy.orm import Session

from agent.knowledge.database import schema
from agent.knowledge.trial_counts import Nearest
from backtest.max_test import LargestScores
from market.panel import FloatArray

SAME_TRIAL = 0.5
_Row = schema.TrialReturns
_Floats = NDArray[np.float32]
# Asked and written for each attempt, so put together once.
_PANELS: BindParameter[str] = bindparam("panels", expanding=True)
_EPOCH = text("SELECT SUM(epoch) FROM tallies WHERE panel_id IN :panels").bindparams(_PANELS)
_FINGERPRINTS = "SELECT t.attempt_id, t.seq, t.fingerprint FROM trial_returns t"
_NEW = "t.panel_id IN :panels AND t.seq > :after"
_LEADERS = text(f"{_FINGERPRINTS} WHERE {_NEW} AND t.cluster = t.attempt_id ORDER BY t.seq").bindparams(_PANELS)
_ALL = text(f"{_FINGERPRINTS} WHERE t.panel_id = :panel AND t.seq > :after ORDER BY t.seq")
_ACCEPTED = text(
    f"{_FINGERPRINTS} JOIN evaluations e ON e.attempt_id = t.attempt_id "
    f"WHERE e.panel_id IN :panels AND e.accepted AND {_NEW} ORDER BY t.seq, t.attempt_id"
).bindparams(_PANELS)
_OWN = text("SELECT attempt_id FROM evaluations WHERE factor_id = :factor AND panel_id IN :panels").bindparams(_PANELS)
_TEXT = text("SELECT canonical FROM attempts WHERE id = :id")
_INSERT = insert(schema.core_table(schema.TrialReturns))


@dataclass
class _Stack:
    """Fingerprints of one length, as rows of a matrix that grows by doubling."""

    rows: _Floats
    ids: list[int] = field(default_factory=list)

    def add(self, attempt_id: int, fingerprint: _Floats) -> None:
        if len(self.ids) == len(self.rows):
            self.rows = np.concatenate([self.rows, np.empty_like(self.rows)])
        self.rows[len(self.ids)] = fingerprint
        self.ids.append(attempt_id)


@dataclass
class ReturnsFingerprints:
    """Fingerprints of a panel that were read before; those of other bars are apart, and correlate with nothing here."""

    panel_id: str
    panels: tuple[str, ...] = ()
    epoch: int = -1
    seq: int = 0
    stacks: dict[int, _Stack] = field(default_factory=dict)

    def add(self, attempt_id: int, seq: int, packed: bytes) -> None:
        """Take in one more, of the highest sequence number yet."""
        fingerprint = unpacked(packed)
        stack = self.stacks.setdefault(len(fingerprint), _Stack(np.empty((64, len(fingerprint)), np.float32)))
        stack.add(attempt_id, fingerprint)
        self.seq = seq

    def nearest(self, fingerprint: _Floats, but: frozenset[int] = frozenset()) -> tuple[int, float]:
        """Return the attempt that correlates most, with either sign, and its correlation; 0 and 0.0 for none."""
        stack = self.stacks.get(len(fingerprint))
        if stack is None or not len(fingerprint):
            return 0, 0.0
        near = stack.rows[: len(stack.ids)] @ fingerprint
        if but:
            near[[number in but for number in stack.ids]] = 0.0
        best = int(np.argmax(np.abs(near)))
        return (stack.ids[best], float(near[best])) if near[best] else (0, 0.0)


def _refresh(connection: Connection, known: ReturnsFingerprints, query: TextClause, panels: tuple[str, ...]) -> None:
    """Read what was added since; everything again where merging has grouped effective trials, or data, again."""
    epoch = connection.execute(_EPOCH, {"panels": panels}).scalar() or 0
    if (panels, epoch) != (known.panels, known.epoch):
        known.panels, known.epoch, known.seq = panels, epoch, 0
        known.stacks.clear()
    for attempt_id, seq, packed in connection.execute(query, {"panels": panels, "after": known.seq}):
        known.add(attempt_id, seq, bytes(packed))


def add_trial_group(session: Session, attempt_id: int, fingerprint: FloatArray, leaders: ReturnsFingerprints) -> bool:
    """Store an attempt's fingerprint under its cluster; return whether it began one. An empty one begins none."""
    if len(fingerprint) == 0:
        return False
    connection = session.connection()
    _refresh(connection, leaders, _LEADERS, (leaders.panel_id,))
    packed = pack(fingerprint)
    cluster = _cluster(leaders, attempt_id, packed)
    row = {"attempt_id": attempt_id, "panel_id": leaders.panel_id, "seq": attempt_id, "cluster": cluster}
    connection.execute(_INSERT, {**row, "fingerprint": packed})
    if cluster == attempt_id:
        leaders.add(attempt_id, attempt_id, packed)
    return cluster == attempt_id


def _cluster(leaders: ReturnsFingerprints, attempt_id: int, packed: bytes) -> int:
    # As it will be read again: clusters must not depend on when they were computed.
    leader, near = leaders.nearest(unpacked(packed))
    return leader if abs(near) >= SAME_TRIAL else attempt_id


def clusters_of(session: Session, panel_id: str, order: list[int] | None = None) -> dict[int, int]:
    """Return the cluster of each attempt with a fingerprint, computed again in the order of `seq` or the one given."""
    query = select(_Row.attempt_id, _Row.fingerprint).where(_Row.panel_id == panel_id).order_by(_Row.seq)
    rows = {row[0]: row[1] for row in session.execute(query)}
    leaders, found = ReturnsFingerprints(panel_id), {}
    for seq, attempt_id in enumerate(rows if order is None else order, start=1):
        found[attempt_id] = _cluster(leaders, attempt_id, rows[attempt_id])
        if found[attempt_id] == attempt_id:
            leaders.add(attempt_id, seq, rows[attempt_id])
    return found


@dataclass
class TrialMaxima:
    """Draws of the largest score of a panel's trials, and how far the table was read for them."""

    panel_id: str
    seq: int = 0
    scores: LargestScores | None = None


def largest_scores(connection: Connection, known: TrialMaxima) -> LargestScores:
    """Return the draws with all committed trials of the panel in them; a copy, which the next trial does not change.

    Draws are seeded by the panel alone, and trials taken in by the order in which they came, some at once: how often
    somebody asked in between does not matter.
    """
    if known.scores is None:
        known.scores = LargestScores(int.from_bytes(known.panel_id.encode()) % 2**63)
    asked = {"panel": known.panel_id, "after": known.seq}
    for _attempt_id, seq, packed in connection.execute(_ALL, asked):
        known.scores.add([unpacked(bytes(packed)).astype(np.float64)])
        known.seq = seq
    return known.scores.copy()


def nearest_accepted(
    connection: Connection, fingerprint: FloatArray, but: str, accepted: ReturnsFingerprints, panels: tuple[str, ...]
) -> Nearest:
    """Return the accepted factor of these panels, but `but`, whose returns correlate most with a fingerprint."""
    _refresh(connection, accepted, _ACCEPTED, panels)
    own = {"factor": but, "panels": panels}
    left_out = frozenset(connection.execute(_OWN, own).scalars()) if but and accepted.stacks else frozenset()
    best, near = accepted.nearest(fingerprint.astype(np.float32), left_out)
    if not best:
        return Nearest(float("nan"), "")
    return Nearest(near, connection.execute(_TEXT, {"id": best}).scalar() or "")


def pack(fingerprint: FloatArray) -> bytes:
    """Return a fingerprint as it is stored."""
    # Values are about 0.04: half precision keeps three digits of each, far more than a fingerprint knows.
    return fingerprint.astype("<f2").tobytes()


def unpacked(packed: bytes) -> _Floats:
    """Return a stored fingerprint."""
    values: _Floats = np.frombuffer(packed, dtype="<f2").astype(np.float32)
    return values
