"""Checks of all that was written: file, links, factors, replies, and counts of trials and of effective trials.

What cannot be read is a fault like any other, so that a damaged base is described to its end. A factor is known by a
hash of its text: one that matches is what was written, whatever fields its data have.
"""

from __future__ import annotations

import hashlib
import math
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from agent.knowledge.database import schema
from agent.knowledge.database.direct_connection import direct
from agent.knowledge.document_checker import DocumentChecker
from agent.knowledge.file_query import open_read_only
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.listing import TAG, Ask, list_numbered
from agent.knowledge.records import AttemptRecord, request_hash
from agent.knowledge.tables import effective_trials, packed_returns, tallies
from agent.knowledge.tables.attempts import ask_of
from market.errors import InputError

# What a damaged row can end in: bytes that are no text, no JSON, of another type, or out of range.
UNREADABLE = (
    InputError, ValueError, TypeError, LookupError, AttributeError, OverflowError, zlib.error, sqlite3.Error,
    SQLAlchemyError,
)  # fmt: skip
Show = Callable[[str, int], None]
_PAGE = 500
# Up to this many attempts of a panel are grouped again; of more, a sample is held against all.
_GROUPED_AGAIN = 20_000
_SAMPLED = 1_000
_LEADERS = text(
    "SELECT attempt_id, seq, fingerprint FROM trial_returns WHERE panel_id = :panel AND cluster = attempt_id "
    "ORDER BY seq"
)
_FINGERPRINTS = text("SELECT attempt_id, fingerprint, likeness FROM trial_returns WHERE panel_id = :panel")
_MEMBERS = text("SELECT attempt_id, seq, cluster, fingerprint FROM trial_returns WHERE panel_id = :panel ORDER BY seq")


def _silent(_what: str, _done: int) -> None:
    """Show nothing of the progress."""


def find_faults(knowledge: KnowledgeBase, show: Show = _silent) -> list[str]:
    """Return what is wrong with its file and links, its factors, its replies, its counts of (effective) trials.

    A server sees to its own files and links.
    """
    faults = [] if knowledge.place.path is None else _file_faults(knowledge.place.path)
    for part in (_attempts_faults, _calls_faults, _count_faults):
        try:
            faults += part(knowledge, show)
        except UNREADABLE as error:
            faults.append(f"{part.__name__.strip('_').split('_')[0]} cannot be read to their end: {_said(error)}")
    return faults


def _said(error: BaseException) -> str:
    """Return the first line of what is wrong, without the statement that was run."""
    cause = getattr(error, "orig", None) or error
    lines = str(cause).splitlines()
    return lines[0] if lines else type(cause).__name__


def _file_faults(path: Path) -> list[str]:
    faults = []
    for pragma in ("integrity_check", "foreign_key_check"):
        try:
            with closing(open_read_only(path)) as connection:
                for row in connection.execute(f"PRAGMA {pragma}"):
                    if pragma == "foreign_key_check":
                        faults.append(f"row {row[1]} of {row[0]} points at a row of {row[2]} that is not there")
                    elif row[0] != "ok":
                        faults.append(f"file: {row[0]}")
        except (sqlite3.Error, UnicodeDecodeError) as error:
            faults.append(f"file: {error}")
    return faults


def _attempts_faults(knowledge: KnowledgeBase, show: Show) -> list[str]:
    """Read each attempt whole, and hold its text against its id."""
    faults: list[str] = []
    after = done = parents = 0
    unreadable = False
    with knowledge._reading() as session, closing(DocumentChecker()) as checker:
        ask = ask_of(session)
        while True:
            rows = ask("SELECT id FROM attempts WHERE id > :after ORDER BY id LIMIT :most", _page(after))
            numbers = [int(row[0]) for row in rows]
            if not numbers:
                break
            try:
                for attempt in list_numbered(ask, numbers):
                    faults += _attempt_faults(attempt, checker)
                    parents += len(set(attempt.parent_ids))
            except UNREADABLE:
                unreadable = True
                faults += _one_by_one(ask, numbers, checker)
            after = numbers[-1]
            done += len(numbers)
            show("attempts", done)
        indexed = int(ask("SELECT count(*) FROM attempt_parents", {})[0][0])
    if indexed != parents and not unreadable:
        faults.append(f"{indexed} parents of attempts are indexed, and there are {parents}")
    return faults


def _page(after: int) -> dict[str, object]:
    return {"after": after, "most": _PAGE}


def _one_by_one(ask: Ask, numbers: list[int], checker: DocumentChecker) -> list[str]:
    faults: list[str] = []
    for number in numbers:
        try:
            found = list_numbered(ask, [number])
            if not found:
                faults.append(f"attempt {number}: it is listed, and cannot be found")
            for attempt in found:
                faults += _attempt_faults(attempt, checker)
        except UNREADABLE as error:
            faults.append(f"attempt {number} cannot be read: {_said(error)}")
    return faults


def _attempt_faults(attempt: AttemptRecord, checker: DocumentChecker) -> list[str]:
    if attempt.evaluation is not None:
        # Each is unpacked: a checksum tells whether it is what was stored.
        checker.check(attempt.evaluation.scorecard_document, attempt.evaluation.evidence_document)
    if attempt.canonical is None or attempt.factor_id is None:
        return []
    is_ = f"{TAG}{hashlib.sha256(attempt.canonical.encode('utf-8', 'replace')).hexdigest()[:16]}"
    if is_ == attempt.factor_id:
        return []
    return [f"attempt {attempt.id}: {attempt.canonical} is {is_}, and not {attempt.factor_id}"]


def _calls_faults(knowledge: KnowledgeBase, show: Show) -> list[str]:
    """Hold each prompt against the hash that it was asked under."""
    faults = []
    done = 0
    for run in knowledge.runs():
        try:
            calls = knowledge.calls(run.id)
        except UNREADABLE as error:
            faults.append(f"run {run.id}: {_said(error)}")
            continue
        for call in calls:
            if request_hash(call.model, call.request) != call.request_hash:
                faults.append(f"call {call.key} of run {run.id}: its prompt is not the one that was asked")
        done += len(calls)
        show("calls", done)
    return faults


def _count_faults(knowledge: KnowledgeBase, show: Show) -> list[str]:
    """Hold what is kept of trials, effective trials and words against a count of their rows, one after the other."""
    faults: list[str] = []
    with knowledge.lend() as connection, Session(connection) as session:
        for panel_id in session.scalars(select(schema.Run.panel_id).distinct()).all():
            show("trials", 0)
            faults += _tally_faults(session, panel_id)
            faults += list(_cluster_faults(session, panel_id, show))
        indexed = session.scalar(text("SELECT count(*) FROM attempt_words"))
        attempts = session.scalar(select(func.count()).select_from(schema.Attempt))
    if indexed != attempts:
        faults.append(f"the words of {indexed} attempts are indexed, and there are {attempts}")
    return faults


def _tally_faults(session: Session, panel_id: str) -> list[str]:
    kept, counted = session.get(schema.TrialTally, panel_id), tallies.recount(session, panel_id)
    if kept is None:
        return [f"panel {panel_id}: its {counted.attempts} trials are not counted"] if counted.attempts else []
    faults = []
    for what in ("attempts", "scored", "effective_trials", "mean", "spread"):
        here, there = getattr(kept, what), getattr(counted, what)
        if not math.isclose(here, there, rel_tol=1e-9, abs_tol=1e-15):
            faults.append(f"panel {panel_id}: {what} of its trials is kept as {here}, and counted as {there}")
    return faults


def _cluster_faults(session: Session, panel_id: str, show: Show) -> Iterator[str]:
    """Group a panel's effective trials again; of very many, hold each against its cluster, and a sample against all."""
    returns = schema.TrialReturns
    count = session.scalar(select(func.count()).select_from(returns).where(returns.panel_id == panel_id)) or 0
    if count > _GROUPED_AGAIN:
        yield from _sampled_clusters(session, panel_id, count, show)
        return
    unreadable = []
    for number, packed, likeness in session.connection().execute(_FINGERPRINTS, {"panel": panel_id}):
        print_ = packed_returns.read_fingerprint(packed)
        if print_ is None:
            unreadable.append(number)
        elif likeness not in packed_returns.near_likenesses(print_):
            yield f"attempt {number}: copies of its returns are not found under the number that is kept ({likeness})"
    if unreadable:
        # What is grouped with such a one says nothing.
        yield from (f"attempt {number}: the fingerprint of its returns is damaged" for number in unreadable)
        return
    stored = select(returns.attempt_id, returns.cluster).where(returns.panel_id == panel_id)
    by_rows = effective_trials.clusters_of(session, panel_id)
    for number, cluster in session.execute(stored):
        if by_rows[number] != cluster:
            yield f"attempt {number}: its cluster is kept as attempt {cluster}, and counted as {by_rows[number]}"


def _sampled_clusters(session: Session, panel_id: str, count: int, show: Show) -> Iterator[str]:
    """Check that each goes with the first of its cluster, and that a sample goes with no other first more closely.

    A fingerprint that is damaged is named, and nothing is compared with it.
    """
    leaders = [
        (row[0], row[1], print_)
        for row in direct(session).execute(_LEADERS, {"panel": panel_id})
        if (print_ := packed_returns.read_fingerprint(row[2])) is not None
    ]
    first = {number: print_ for number, _, print_ in leaders}
    by_size = {
        n: _Leaders([row for row in leaders if len(row[2]) == n]) for n in sorted({len(row[2]) for row in leaders})
    }
    every = max(1, count // _SAMPLED)
    rows = direct(session).execute(_MEMBERS, {"panel": panel_id}, execution_options={"yield_per": _PAGE})
    for done, (number, seq, cluster, packed) in enumerate(rows):
        if done % 10_000 == 0:
            show("effective trials", done)
        print_, known = packed_returns.read_fingerprint(packed), first.get(cluster)
        if print_ is None:
            yield f"attempt {number}: the fingerprint of its returns is damaged"
            continue
        if known is None or len(known) != len(print_):
            yield f"attempt {number}: its cluster is kept as attempt {cluster}, which begins none"
            continue
        near = abs(float(known @ print_))
        if cluster != number and not near >= effective_trials.SAME_TRIAL - 1e-6:
            yield f"attempt {number}: its cluster is kept as attempt {cluster}, with which it does not go"
        if done % every == 0:
            nearest = by_size[len(print_)].nearer(print_, seq, 0.0 if cluster == number else near)
            if nearest is not None:
                yield f"attempt {number}: its cluster is kept as attempt {cluster}, and counted as {nearest}"


class _Leaders:
    """The first of each cluster, of fingerprints of one length: of (attempt, turn, fingerprint)."""

    def __init__(self, rows: list[tuple[int, int, NDArray[np.float32]]]) -> None:
        self._ids, self._turns = (np.array([row[k] for row in rows]) for k in (0, 1))
        self._prints = np.stack([row[2] for row in rows])

    def nearer(self, print_: NDArray[np.float32], turn: int, near: float) -> int | None:
        """Return the first one before a turn that a fingerprint should go with, more closely than `near`."""
        before = self._turns < turn
        others = np.abs(self._prints @ print_)[before]
        if not others.size or others.max() <= near + 1e-6 or others.max() < effective_trials.SAME_TRIAL:
            return None
        return int(self._ids[before][int(np.argmax(others))])
