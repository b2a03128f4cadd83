"""Effective trials: fingerprints of returns, clustered as they come; each works inside the caller's transaction.

An attempt joins the cluster of the first attempt of its panel whose returns correlate with its own by a half or more,
with either sign: a factor and its negation are one effective trial. What joins none begins its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BindParameter, Connection, TextClause, bindparam, insert, select, text
from sqlalchemy.orm import Session

from agent.knowledge.database import schema
from agent.knowledge.database.direct_connection import direct
from agent.knowledge.tables.packed_returns import NEAR, coded, likeness, near_likenesses, recorded, shadow, unpacked
from agent.knowledge.tables.stored_draws import (
    WORTH_STORING,
    StoredDraws,
    Witnesses,
    draws_file,
    read_draws,
    store_draws,
)
from agent.knowledge.trial_counts import Nearest
from backtest.discovery import TrialScores
from backtest.max_test import LargestScores, draw_seed
from market.panel import FloatArray

SAME_TRIAL = 0.5
_AT_ONCE = 4096
_Row = schema.TrialReturns
_Floats = NDArray[np.float32]
# Asked and written for each attempt, so put together once.
_PANELS: BindParameter[str] = bindparam("panels", expanding=True)
_EPOCH = text("SELECT SUM(epoch) FROM tallies WHERE panel_id IN :panels").bindparams(_PANELS)
_FINGERPRINTS = "SELECT t.attempt_id, t.seq, t.fingerprint FROM trial_returns t"
_NEW = "t.panel_id IN :panels AND t.seq > :after"
_LEADERS = text(f"{_FINGERPRINTS} WHERE {_NEW} AND t.cluster = t.attempt_id ORDER BY t.seq").bindparams(_PANELS)
_ALL = text(f"{_FINGERPRINTS} WHERE t.panel_id = :panel AND t.seq > :after ORDER BY t.seq")
# By the index of what was accepted: since the last one, many trials may have come.
_ACCEPTED = text(
    f"{_FINGERPRINTS} JOIN evaluations e ON e.attempt_id = t.attempt_id "
    "WHERE e.panel_id IN :panels AND e.accepted AND e.attempt_id > :after "
    "AND t.panel_id || '' IN :panels AND t.seq + 0 > :after ORDER BY t.seq, t.attempt_id"
).bindparams(_PANELS)
_OWN = text("SELECT attempt_id FROM evaluations WHERE factor_id = :factor AND panel_id IN :panels").bindparams(_PANELS)
_SCORES = text(
    "SELECT attempt_id, predicts_z, earns_z, panel_id, factor_id, rules FROM evaluations "
    "WHERE panel_id IN :panels AND attempt_id > :after ORDER BY attempt_id"
).bindparams(_PANELS)
# Correlation from which on returns are the same; and of what is recorded of them, where ten numbers of five hundred may
# be rounded to the other side.
SAME_RETURNS = 1.0 - 1e-6
_SAME_RECORDED = 1.0 - 5e-5
_LIKE = text(
    "SELECT t.attempt_id, t.fingerprint, a.factor_id, a.canonical FROM trial_returns t "
    "JOIN attempts a ON a.id = t.attempt_id WHERE t.likeness IN :numbers AND t.panel_id || '' = :panel "
    "ORDER BY t.seq, t.attempt_id"
).bindparams(bindparam("numbers", expanding=True))
_FINGERPRINT = text("SELECT fingerprint FROM trial_returns WHERE attempt_id = :id")
_CONFIRMED = text(
    "SELECT e.predicts_z, e.earns_z, e.factor_id, e.rules, t.fingerprint FROM evaluations e "
    "JOIN trial_returns t ON t.attempt_id = e.attempt_id "
    "WHERE e.panel_id IN :panels AND e.confirmed ORDER BY t.seq, t.attempt_id"
).bindparams(_PANELS)
_UPTO = text("SELECT count(*) FROM trial_returns WHERE panel_id = :panel AND seq <= :upto")
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
        return next(iter(self.nearest_few(fingerprint, 1, but)), (0, 0.0))

    def nearest_few(
        self, fingerprint: _Floats, most: int, but: frozenset[int] = frozenset()
    ) -> list[tuple[int, float]]:
        """Return the attempts that correlate most, with either sign, and their correlations; the nearest first."""
        stack = self.stacks.get(len(fingerprint))
        if stack is None or not len(fingerprint):
            return []
        near = stack.rows[: len(stack.ids)] @ fingerprint
        if but:
            near[[number in but for number in stack.ids]] = 0.0
        order = [int(np.argmax(np.abs(near)))] if most == 1 else np.argsort(-np.abs(near), kind="stable")[:most]
        return [(stack.ids[i], float(near[i])) for i in order if near[i]]


def _refresh(connection: Connection, known: ReturnsFingerprints, query: TextClause, panels: tuple[str, ...]) -> None:
    """Read what was added since; everything again where merging has grouped effective trials, or data, again."""
    epoch = connection.execute(_EPOCH, {"panels": panels}).scalar() or 0
    if (panels, epoch) != (known.panels, known.epoch):
        known.panels, known.epoch, known.seq = panels, epoch, 0
        known.stacks.clear()
    for attempt_id, seq, packed in connection.execute(query, {"panels": panels, "after": known.seq}):
        known.add(attempt_id, seq, bytes(packed))


def add_trial_group(
    session: Session | Connection, attempt_id: int, fingerprint: FloatArray, leaders: ReturnsFingerprints
) -> bool:
    """Store an attempt's fingerprint under its cluster; return whether it began one. An empty one begins none."""
    if len(fingerprint) == 0:
        return False
    connection = direct(session)
    _refresh(connection, leaders, _LEADERS, (leaders.panel_id,))
    packed = recorded(fingerprint)
    cluster = _cluster(leaders, attempt_id, packed)
    connection.execute(_INSERT, returns_row(attempt_id, leaders.panel_id, cluster, packed))
    if cluster == attempt_id:
        leaders.add(attempt_id, attempt_id, packed)
    return cluster == attempt_id


def returns_row(attempt_id: int, panel_id: str, cluster: int, packed: bytes) -> dict[str, object]:
    """Return a fingerprint as the columns of its table."""
    return {
        "attempt_id": attempt_id,
        "panel_id": panel_id,
        "seq": attempt_id,
        "cluster": cluster,
        "likeness": likeness(unpacked(packed)),
        "fingerprint": coded(packed),
    }


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
    """Draws of the largest score of a panel's trials, and how far the table was read for them.

    Of the trials, the first `stored` are in a file of `folder` as well.
    """

    panel_id: str
    folder: Path | None = None
    epoch: int = -1
    seq: int = 0
    scores: LargestScores | None = None
    stored: int = 0
    seen: Witnesses = field(default_factory=Witnesses)


def largest_scores(connection: Connection, known: TrialMaxima) -> LargestScores:
    """Return the draws with all committed trials of the panel in them; a copy, which the next trial does not change.

    Draws are seeded by the panel alone, and trials taken in by the order in which they came: how often somebody
    asked in between does not matter.
    """
    epoch = connection.execute(_EPOCH, {"panels": [known.panel_id]}).scalar() or 0
    if known.scores is None or known.epoch != epoch:
        # After a merge trials stand in another order.
        known.scores, known.epoch, known.seq, known.stored = LargestScores(draw_seed(known.panel_id)), epoch, 0, 0
        known.seen = Witnesses()
        _take_stored(connection, known, epoch)
    asked = {"panel": known.panel_id, "after": known.seq}
    rows = connection.execute(_ALL, asked)
    while some := rows.fetchmany(_AT_ONCE):
        found = [(attempt_id, unpacked(bytes(packed))) for attempt_id, _seq, packed in some]
        known.scores.add(fingerprint.astype(np.float64) for _attempt_id, fingerprint in found)
        for attempt_id, fingerprint in found:
            known.seen.add(attempt_id, fingerprint)
        known.seq = some[-1][1]
    if known.seen.count - known.stored >= WORTH_STORING:
        known.stored = known.seen.count
        draws = StoredDraws(known.scores, known.seq, known.seen)
        store_draws(draws_file(known.folder, [known.panel_id]), [known.panel_id], epoch, draws)
    return known.scores.copy()


def _take_stored(connection: Connection, known: TrialMaxima, epoch: int) -> None:
    """Begin with the draws that an earlier process left, where the base still begins with their trials."""
    found = read_draws(
        draws_file(known.folder, [known.panel_id]),
        [known.panel_id],
        epoch,
        draw_seed(known.panel_id),
        lambda number: shadow_of(connection, number),
        lambda upto: connection.execute(_UPTO, {"panel": known.panel_id, "upto": upto}).scalar() or 0,
    )
    if found is not None:
        known.scores, known.seq, known.seen, known.stored = found.scores, found.upto, found.seen, found.seen.count


def shadow_of(connection: Connection, attempt_id: int) -> _Floats:
    """Return the shadow of a stored fingerprint; of no length where there is none."""
    packed = connection.execute(_FINGERPRINT, {"id": attempt_id}).scalar()
    return np.empty(0, np.float32) if packed is None else shadow(unpacked(bytes(packed)))


def same_returns(connection: Connection, panel_id: str, fingerprint: FloatArray, but: str) -> tuple[int, str] | None:
    """Return attempt and text of the first factor of a panel, other than `but`, that earned the same at every bar."""
    mine = unpacked(recorded(fingerprint))
    if not len(mine):
        return None
    sought = shadow(mine)
    asked = {"numbers": near_likenesses(mine), "panel": panel_id}
    for attempt_id, stored, factor_id, canonical in connection.execute(_LIKE, asked):
        # Of an earlier version's the recorded form as well.
        theirs = unpacked(recorded(unpacked(bytes(stored))))
        if factor_id == but or len(theirs) != len(mine) or not (np.abs(shadow(theirs) - sought) < NEAR).all():
            continue
        if _correlation(mine, theirs) >= _SAME_RECORDED:
            return attempt_id, canonical or ""
    return None


def _correlation(one: _Floats, other: _Floats) -> float:
    a, b = one.astype(np.float64), other.astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


@dataclass
class KnownScores:
    """Scores of the trials of related panels that were read before: (n, 3) of attempt, predicts, earns.

    NaN is not tested. A factor that was scored under the same rules on two panels is one trial: the first.
    """

    panel_id: str
    panels: tuple[str, ...] = ()
    epoch: int = -1
    after: int = 0
    rows: FloatArray = field(default_factory=lambda: np.empty((0, 3)))
    first: dict[tuple[str | None, str], str] = field(default_factory=dict)


def trial_scores(connection: Connection, known: KnownScores, but: str, panels: tuple[str, ...]) -> TrialScores:
    """Return the scores of all committed trials of some panels but those of the factor `but`."""
    epoch = connection.execute(_EPOCH, {"panels": panels}).scalar() or 0
    if (epoch, panels) != (known.epoch, known.panels):
        known.epoch, known.panels, known.after, known.rows = epoch, panels, 0, np.empty((0, 3))
        known.first.clear()
    new = connection.execute(_SCORES, {"panels": panels, "after": known.after}).all()
    fresh = [
        # None becomes NaN.
        tuple(row[:3])
        for row in new
        if len(panels) == 1 or known.first.setdefault((row[4], row[5]), row[3]) == row[3]
    ]
    if new:
        known.after = new[-1][0]
    if fresh:
        known.rows = np.concatenate([known.rows, np.array(fresh, dtype=np.float64)])
    own = connection.execute(_OWN, {"factor": but, "panels": panels}).scalars().all() if but else ()
    kept = known.rows[~np.isin(known.rows[:, 0], own)] if own else known.rows
    return TrialScores(kept[:, 1], kept[:, 2])


def confirmed_trials(connection: Connection, panels: tuple[str, ...]) -> tuple[list[FloatArray], TrialScores]:
    """Return the trials of searches that train led which validation tested: fingerprints, and scores on validation.

    A factor that was scored under the same rules on two panels is one trial.
    """
    once = {(row[2], row[3]): row for row in reversed(connection.execute(_CONFIRMED, {"panels": panels}).all())}
    rows = list(reversed(once.values()))
    scores = np.array([row[:2] for row in rows], dtype=np.float64).reshape(-1, 2)
    prints = [unpacked(bytes(row[4])).astype(np.float64) for row in rows]
    return prints, TrialScores(scores[:, 0], scores[:, 1])


def accepted_nearby(
    connection: Connection,
    fingerprint: FloatArray,
    but: str,
    accepted: ReturnsFingerprints,
    panels: tuple[str, ...],
    most: int,
) -> list[Nearest]:
    """Return the accepted factors of some panels, but `but`, whose returns correlate most with a fingerprint."""
    _refresh(connection, accepted, _ACCEPTED, panels)
    own = {"factor": but, "panels": panels}
    left_out = frozenset(connection.execute(_OWN, own).scalars()) if but and accepted.stacks else frozenset()
    found: dict[str, Nearest] = {}
    for best, near in accepted.nearest_few(fingerprint.astype(np.float32), most, left_out):
        factor = connection.execute(_TEXT, {"id": best}).scalar() or ""
        found.setdefault(factor, Nearest(near, factor))
    return list(found.values())
