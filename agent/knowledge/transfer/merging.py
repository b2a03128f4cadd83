"""Taking in another knowledge base, whole or not at all; doing it again adds nothing.

Runs are known by their ids. A run that both have may go on in either, but what both say of it must be the same.
Attempts get new ids, and what cites them (lessons, later verdicts) follows. Trials and effective trials are then
counted again, in an order that does not depend on which base took in which: when attempts were made, and in which run,
round and slot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from agent.knowledge.database import schema
from agent.knowledge.records import AttemptRecord, CallRecord, HoldoutRecord, NewAttempt
from agent.knowledge.tables import datasets, effective_trials, tallies
from agent.knowledge.tables import novelty_index as novelty
from agent.knowledge.tables.attempts import AttemptOrigin, write_attempt
from agent.knowledge.tables.convert import holdout_record
from agent.knowledge.tables.looks import personal_runs
from agent.knowledge.tables.packed_returns import plain
from agent.knowledge.tables.row_cache import load_attempts
from agent.knowledge.transfer.later_rows import take_remarks, take_watches
from agent.knowledge.transfer.table_rows import KnowledgeSource
from market.errors import InputError

AttemptPlace = tuple[str, int, int]
Show = Callable[[str, int], None]


@dataclass
class Merged:
    """How much of what was added."""

    added: dict[str, int] = field(default_factory=dict)

    def count(self, what: str, number: int = 1) -> None:
        """Count something that was added."""
        self.added[what] = self.added.get(what, 0) + number

    def sentence(self) -> str:
        """Say it in one line."""
        parts = ", ".join(f"{number:,} {what}" for what, number in self.added.items() if number)
        return f"added {parts}" if parts else "nothing was new"


def take_in(session: Session, source: KnowledgeSource, show: Show = lambda _what, _done: None) -> Merged:
    """Add what `source` has and the session's base has not, in the session's transaction; return what that was.

    Raises
    ------
    InputError
        When the same run holds something else there: nothing is changed then.
    """
    merged = Merged()
    _datasets(session, source, merged)
    _library(session, source, merged)
    shared = _runs(session, source, merged)
    _rounds(session, source, merged, shared)
    numbers, grown, panels = _attempts(session, _shown(source.attempts(), "attempts", show), merged, shared)
    _go_on(session, source, grown)
    _reassessments(session, source, merged, numbers)
    _lessons(session, source, merged, numbers)
    _calls(session, _shown(source.calls(), "calls", show), merged, shared)
    _openings(session, source, merged)
    _pools(session, source, merged)
    merged.count("remarks", take_remarks(session, source.remarks()))
    merged.count("states of what is watched", take_watches(session, source.watches()))
    novelty.catch_up(session)
    session.flush()
    for panel_id in sorted(panels):
        count_again(session, panel_id)
    return merged


def _shown(rows: Iterable[tuple[AttemptRecord, bytes | None] | CallRecord], what: str, show: Show) -> Iterator[object]:
    for done, row in enumerate(rows, start=1):
        yield row
        show(what, done)


def _conflict(run_id: str, what: str) -> InputError:
    return InputError(
        f"run {run_id} is in both knowledge bases, and they differ in {what}; nothing was taken in",
        "they are copies that went on apart: keep them apart",
    )


def _datasets(session: Session, source: KnowledgeSource, merged: Merged) -> None:
    known = set(session.scalars(select(schema.Dataset.panel_id)))
    signatures, learned = source.signatures(), []
    for row in source.datasets():
        if row.panel_id not in known:
            session.execute(insert(schema.Dataset), [asdict(row)])
            learned.append(row.panel_id)
        signature = signatures.get(row.panel_id)
        unsigned = [schema.Dataset.panel_id == row.panel_id, schema.Dataset.signature.is_(None)]
        if signature is None or session.scalar(select(schema.Dataset.panel_id).where(*unsigned)) is None:
            continue
        session.execute(update(schema.Dataset).where(*unsigned).values(signature=signature, bar=row.bar))
        if row.panel_id in known:
            learned.append(row.panel_id)
    merged.count("data sets", sum(panel_id not in known for panel_id in learned))
    session.expire_all()
    for panel_id in learned:
        datasets.relate(session, panel_id)


def _library(session: Session, source: KnowledgeSource, merged: Merged) -> None:
    entry = schema.LibraryEntry
    known = {(row[0], row[1]) for row in session.execute(select(entry.source, entry.name))}
    new = [row.to_dict() for row in source.library() if (row.source, row.name) not in known]
    for row in new:
        row.pop("id")
        row["notes"] = list(row["notes"])  # type: ignore[call-overload]  # a tuple of texts
    if new:
        session.execute(insert(entry), new)
    merged.count("published factors", len(new))


def _runs(session: Session, source: KnowledgeSource, merged: Merged) -> set[str]:
    """Add new runs; return the ids of those that were there."""
    shared = set()
    for run in source.runs():
        row = session.scalar(select(schema.Run).where(schema.Run.id == run.id))
        if row is None:
            session.execute(insert(schema.Run), [run.to_dict()])
            merged.count("runs")
            continue
        for what, value in run.to_dict().items():
            if what in ("panel_id", "config", "seed", "created") and getattr(row, what) != value:
                raise _conflict(run.id, f"its {what}")
        shared.add(run.id)
    return shared


def _rounds(session: Session, source: KnowledgeSource, merged: Merged, shared: set[str]) -> None:
    for one in source.rounds():
        row = session.get(schema.Round, (one.run_id, one.number)) if one.run_id in shared else None
        if row is None:
            session.execute(insert(schema.Round), [asdict(one)])
            merged.count("rounds")
            continue
        if row.brief != one.brief:
            raise _conflict(one.run_id, f"the brief of round {one.number}")
        if one.status == "finished":
            row.status = "finished"
    session.flush()


def _attempts(
    session: Session, rows: Iterable[object], merged: Merged, shared: set[str]
) -> tuple[dict[int, int], set[str], set[str]]:
    """Add new attempts; return the new id of each, and which runs and panels have more of them now."""
    there = _there(session, shared)
    personal = personal_runs(session, shared)
    numbers: dict[int, int] = {}
    grown, panels = set(), set()
    for row in rows:
        assert isinstance(row, tuple)
        attempt, fingerprint = row
        if attempt.run_id in personal:
            attempt, known = _of_person(attempt, there)
        else:
            known = there.get((attempt.run_id, attempt.round, attempt.slot))
        if known is not None:
            if attempt.run_id not in personal and replace(known, id=attempt.id) != attempt:
                raise _conflict(attempt.run_id, f"round {attempt.round}, slot {attempt.slot}")
            numbers[attempt.id] = known.id
            continue
        numbers[attempt.id] = _add(session, attempt, fingerprint)
        grown.add(attempt.run_id)
        panels.add(attempt.panel_id)
        merged.count("attempts")
    return numbers, grown, panels


def _of_person(
    attempt: AttemptRecord, there: dict[AttemptPlace, AttemptRecord]
) -> tuple[AttemptRecord, AttemptRecord | None]:
    """Return what a person evaluated, at a free place, and the same factor where its run has it already.

    Two copies of a base go on apart when people evaluate in both; a place says nothing there, and a factor all.
    """
    own = [known for place, known in there.items() if place[0] == attempt.run_id]
    same = next((known for known in own if known.factor_id == attempt.factor_id), None)
    if same is None:
        attempt = replace(attempt, slot=max((known.slot for known in own), default=-1) + 1)
        there[attempt.run_id, attempt.round, attempt.slot] = attempt
    return attempt, same


def _there(session: Session, shared: set[str]) -> dict[AttemptPlace, AttemptRecord]:
    found: dict[AttemptPlace, AttemptRecord] = {}
    for run_id in shared:
        own = session.scalars(select(schema.Attempt.id).where(schema.Attempt.run_id == run_id)).all()
        found |= {(a.run_id, a.round, a.slot): a for a in load_attempts(session, own)}
    return found


def _add(session: Session, attempt: AttemptRecord, fingerprint: bytes | None) -> int:
    scored = attempt.evaluation
    new = NewAttempt(
        run_id=attempt.run_id,
        round=attempt.round,
        slot=attempt.slot,
        text=attempt.text,
        stage=attempt.stage,
        canonical=attempt.canonical,
        factor_id=attempt.factor_id,
        code=attempt.code,
        message=attempt.message,
        rationale=attempt.rationale,
        name=attempt.name,
        verdicts=attempt.verdicts,
        claims=attempt.claims,
    )
    rules, code = (scored.rules, scored.code) if scored is not None else ("", "")
    origin = AttemptOrigin(attempt.panel_id, rules, code, attempt.created, attempt.parent_ids)
    number = write_attempt(session, new, origin, stored=scored)
    if fingerprint is not None:
        # Its cluster and place are computed when all are there.
        row = effective_trials.returns_row(number, attempt.panel_id, number, plain(fingerprint))
        session.execute(insert(schema.TrialReturns), [row])
    return number


def _go_on(session: Session, source: KnowledgeSource, grown: set[str]) -> None:
    """Bring a run that has more attempts now to where the other base has it."""
    for run in source.runs():
        if run.id in grown:
            stopped = update(schema.Run).where(schema.Run.id == run.id)
            session.execute(stopped.values(status=run.status, finished=run.finished))


def _reassessments(session: Session, source: KnowledgeSource, merged: Merged, numbers: dict[int, int]) -> None:
    """Take in verdicts that were given again: of one attempt the newest stands, whichever base gave it."""
    row = schema.Reassessment
    there: dict[int, str] = {one[0]: one[1] for one in session.execute(select(row.attempt_id, row.created))}
    for one in source.reassessments():
        number = numbers.get(one["attempt_id"])
        if number is None or there.get(number, "") >= one["created"]:
            continue
        session.execute(delete(row).where(row.attempt_id == number))
        session.execute(insert(row), [{**one, "attempt_id": number}])
        merged.count("verdicts given again")


def _lessons(session: Session, source: KnowledgeSource, merged: Merged, numbers: dict[int, int]) -> None:
    lesson = schema.Lesson
    taught = {(row[0], row[1]) for row in session.execute(select(lesson.run_id, lesson.round).distinct())}
    position: dict[tuple[str, int], int] = {}
    for one in source.lessons():
        place = (one.run_id, one.round)
        if place in taught:
            continue
        position[place] = position.get(place, -1) + 1
        row = {
            "run_id": one.run_id,
            "round": one.round,
            "position": position[place],
            "kind": one.kind,
            "text": one.text,
            "evidence": [numbers[number] for number in one.evidence if number in numbers],
            "created": one.created,
        }
        session.execute(insert(lesson), [row])
        merged.count("lessons")


def _calls(session: Session, rows: Iterable[object], merged: Merged, shared: set[str]) -> None:
    call = schema.LLMCall
    known = {
        (row[0], row[1]): (row[2], row[3])
        for row in session.execute(
            select(call.run_id, call.key, call.request_hash, call.created).where(call.run_id.in_(shared))
        )
    }
    said = {(run_id, *content) for (run_id, _), content in known.items()}
    for one in rows:
        assert isinstance(one, CallRecord)
        content = (one.request_hash, one.created)
        taken = known.get((one.run_id, one.key))
        if taken == content or (taken is None and "~" in one.key and (one.run_id, *content) in said):
            continue
        if taken is not None:
            raise _conflict(one.run_id, f"the call {one.key}")
        session.execute(insert(call), [{name: value for name, value in one.to_dict().items() if name != "id"}])
        merged.count("calls")


def _openings(session: Session, source: KnowledgeSource, merged: Merged) -> None:
    """Take in openings of holdouts; those of a factor are numbered again, in order of time."""
    row = schema.HoldoutOpening
    for one in source.openings():
        here = [row.factor_id == one.factor_id, row.panel_id == one.panel_id]
        known = [holdout_record(found) for found in session.scalars(select(row).where(*here))]
        if any(replace(found, number=one.number) == one for found in known):
            continue
        merged.count("holdout openings")
        session.execute(delete(row).where(*here))
        session.expunge_all()
        ordered = sorted([*known, one], key=_when)
        session.execute(insert(row), [_columns(replace(x, number=n)) for n, x in enumerate(ordered, start=1)])


def _columns(opening: HoldoutRecord) -> dict[str, object]:
    return {name: value for name, value in opening.to_dict().items() if name not in ("forward", "data")}


def _when(opening: HoldoutRecord) -> tuple[str, str]:
    return opening.opened_at, opening.opened_by


def _pools(session: Session, source: KnowledgeSource, merged: Merged) -> None:
    known = set(session.scalars(select(schema.Pool.id)))
    new = [{**row, "members": list(row["members"])} for row in source.pools() if row["id"] not in known]
    if new:
        session.execute(insert(schema.Pool), new)
    merged.count("pools", len(new))


def count_again(session: Session, panel_id: str) -> None:
    """Group a panel's effective trials and count its trials again, in an order that only what was tried decides."""
    attempt, run, returns = schema.Attempt, schema.Run, schema.TrialReturns
    query = select(attempt.id).join(run, run.id == attempt.run_id).where(run.panel_id == panel_id)
    order = list(session.scalars(query.order_by(attempt.created, attempt.run_id, attempt.round, attempt.slot)))
    fingerprinted = set(session.scalars(select(returns.attempt_id).where(returns.panel_id == panel_id)))
    turn = [number for number in order if number in fingerprinted]
    clusters = effective_trials.clusters_of(session, panel_id, turn)
    places = [
        {"attempt_id": number, "seq": seq, "cluster": clusters[number]}
        for seq, number in zip(sorted(fingerprinted), turn, strict=True)
    ]
    if places:
        session.execute(update(returns), places)
    counted = tallies.recount(session, panel_id, order)
    before = session.get(schema.TrialTally, panel_id)
    counted.epoch = 1 + (0 if before is None else before.epoch)
    session.merge(counted)
    session.flush()
