"""What a knowledge base is made of, table by table in the order of its ids: read from a base, or from a JSON export."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from agent.knowledge.claims import Claims
from agent.knowledge.database import schema
from agent.knowledge.database.watch_table import Watch
from agent.knowledge.dataset_records import DatasetRecord
from agent.knowledge.library_records import LibraryRecord
from agent.knowledge.records import (
    AttemptRecord,
    CallRecord,
    EvaluationRecord,
    HoldoutRecord,
    JudgeVerdict,
    LessonRecord,
    RoundRecord,
    RunRecord,
)
from agent.knowledge.score_documents import Document
from agent.knowledge.tables.convert import (
    call_record,
    dataset_record,
    holdout_record,
    lesson_record,
    library_record,
    round_record,
    run_record,
)
from agent.knowledge.tables.row_cache import load_attempts
from agent.knowledge.transfer.later_rows import REMARK, WATCH, checked_line
from market.errors import InputError

FORMAT = "alphaglow knowledge base"
_AT_ONCE = 200
_SINCE_NAMED = ("0007", "0008", "0009", "0010", "0011", "0012", "0013", "0014", schema.HEAD)
# Revisions whose exports are read, and what each calls the fingerprint of an attempt's returns.
_FINGERPRINT_KEYS = {"0006": "sketch", **dict.fromkeys(_SINCE_NAMED, "returns_fingerprint")}
_POOL = ("id", "panel_id", "name", "method", "spec", "members", "scorecard", "evidence", "sharpe_per_bar", "created")
_REASSESSMENT = ("attempt_id", "created", "policy", "trials", "verdict", "predicts", "earns")
Row = TypeVar("Row")
Record = TypeVar("Record")


class KnowledgeSource(Protocol):
    """Everything that a knowledge base holds; an attempt comes with its signature, as stored."""

    def datasets(self) -> Iterator[DatasetRecord]:
        """Return panels by their ids."""

    def signatures(self) -> dict[str, bytes]:
        """Return the stored signature of each panel that has one (see `market.lineage`)."""

    def library(self) -> Iterator[LibraryRecord]:
        """Return published factors."""

    def runs(self) -> Iterator[RunRecord]:
        """Return runs."""

    def rounds(self) -> Iterator[RoundRecord[Document]]:
        """Return rounds, by run."""

    def attempts(self) -> Iterator[tuple[AttemptRecord, bytes | None]]:
        """Return attempts."""

    def reassessments(self) -> Iterator[dict[str, Any]]:
        """Return verdicts that were given again, as columns, by attempt."""

    def lessons(self) -> Iterator[LessonRecord]:
        """Return lessons; those of a round stand together, the most useful first."""

    def calls(self) -> Iterator[CallRecord]:
        """Return calls with their wording."""

    def openings(self) -> Iterator[HoldoutRecord]:
        """Return openings of holdouts."""

    def pools(self) -> Iterator[dict[str, Any]]:
        """Return pools, as columns."""

    def remarks(self) -> Iterator[dict[str, Any]]:
        """Return what people said of factors, as columns, in order of time."""

    def watches(self) -> Iterator[dict[str, Any]]:
        """Return the states of what is watched, as columns: of each, the oldest first."""


class StoredSource:
    """A knowledge base, read within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def _rows(self, query: Select[Row]) -> Iterator[Row]:
        yield from self._session.scalars(query.execution_options(yield_per=_AT_ONCE))

    def datasets(self) -> Iterator[DatasetRecord]:
        """Return panels by their ids."""
        yield from map(dataset_record, self._rows(select(schema.Dataset).order_by(schema.Dataset.panel_id)))

    def signatures(self) -> dict[str, bytes]:
        """Return the stored signature of each panel that has one."""
        data = schema.Dataset
        query = select(data.panel_id, data.signature).where(data.signature.is_not(None)).order_by(data.panel_id)
        return {row[0]: bytes(row[1]) for row in self._session.execute(query) if row[1] is not None}

    def library(self) -> Iterator[LibraryRecord]:
        """Return published factors."""
        yield from map(library_record, self._rows(select(schema.LibraryEntry).order_by(schema.LibraryEntry.id)))

    def runs(self) -> Iterator[RunRecord]:
        """Return runs."""
        for row in self._rows(select(schema.Run).order_by(schema.Run.seq)):
            run = run_record(row)
            yield run if run.status not in ("stopped", "queued") else replace(run, status="interrupted")

    def rounds(self) -> Iterator[RoundRecord[Document]]:
        """Return rounds, by run."""
        rounds = select(schema.Round).join(schema.Run, schema.Run.id == schema.Round.run_id)
        for row in self._rows(rounds.order_by(schema.Run.seq, schema.Round.number)):
            yield round_record(row, dict)

    def attempts(self) -> Iterator[tuple[AttemptRecord, bytes | None]]:
        """Return attempts."""
        returns, last = schema.TrialReturns, 0
        while True:
            query = select(schema.Attempt.id).where(schema.Attempt.id > last).order_by(schema.Attempt.id)
            numbers = list(self._session.scalars(query.limit(_AT_ONCE)))
            if not numbers:
                return
            stored = select(returns.attempt_id, returns.fingerprint).where(returns.attempt_id.in_(numbers))
            fingerprints = {row[0]: row[1] for row in self._session.execute(stored)}
            for attempt in load_attempts(self._session, numbers):
                yield attempt, fingerprints.get(attempt.id)
            last = numbers[-1]
            self._session.expunge_all()

    def reassessments(self) -> Iterator[dict[str, Any]]:
        """Return verdicts that were given again, as columns, by attempt."""
        for row in self._rows(select(schema.Reassessment).order_by(schema.Reassessment.attempt_id)):
            yield {name: getattr(row, name) for name in _REASSESSMENT}

    def lessons(self) -> Iterator[LessonRecord]:
        """Return lessons; those of a round stand together, the most useful first."""
        yield from map(lesson_record, self._rows(select(schema.Lesson).order_by(schema.Lesson.id)))

    def calls(self) -> Iterator[CallRecord]:
        """Return calls with their wording."""
        yield from map(call_record, self._rows(select(schema.LLMCall).order_by(schema.LLMCall.id)))

    def openings(self) -> Iterator[HoldoutRecord]:
        """Return openings of holdouts."""
        row = schema.HoldoutOpening
        query = select(row).order_by(row.opened_at, row.panel_id, row.factor_id, row.number)
        yield from map(holdout_record, self._rows(query))

    def pools(self) -> Iterator[dict[str, Any]]:
        """Return pools, as columns."""
        for row in self._rows(select(schema.Pool).order_by(schema.Pool.seq)):
            yield {name: getattr(row, name) for name in _POOL}

    def remarks(self) -> Iterator[dict[str, Any]]:
        """Return what people said of factors, as columns, in order of time."""
        for row in self._rows(select(schema.Remark).order_by(schema.Remark.created, schema.Remark.id)):
            yield {name: getattr(row, name) for name in REMARK}

    def watches(self) -> Iterator[dict[str, Any]]:
        """Return the states of what is watched, as columns: of each, the oldest first."""
        for row in self._rows(select(Watch).order_by(Watch.subject, Watch.data, Watch.id)):
            yield {name: getattr(row, name) for name in WATCH}


class ExportedSource:
    """What `alphaglow kb export` wrote.

    Raises
    ------
    InputError
        While it is read, where it is not what was written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        except ValueError as error:
            raise InputError(f"{path} is no JSON: {error}", "export it again: alphaglow kb export -o FILE") from error
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise InputError(f"{path} is no export of a knowledge base", "write one: alphaglow kb export -o FILE")
        if document.get("revision") not in _FINGERPRINT_KEYS:
            raise InputError(
                f"{path} was written by revision {document.get('revision')}, and this is {schema.HEAD}",
                "export it again with this version of alphaglow",
            )
        self._document = document
        self._fingerprint = _FINGERPRINT_KEYS[document["revision"]]

    def _records(self, part: str, kind: type[Record]) -> Iterator[Record]:
        for row in self._parts(part):
            with _readable(self._path, part):
                found = kind(**{name: _frozen(name, value) for name, value in row.items()})
            yield found

    def _parts(self, part: str) -> list[dict[str, Any]]:
        rows = self._document.get(part)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InputError(f"{self._path} is damaged: its {part} cannot be read")
        return rows

    def datasets(self) -> Iterator[DatasetRecord]:
        """Return panels by their ids."""
        return self._records("datasets", DatasetRecord)

    def signatures(self) -> dict[str, bytes]:
        """Return the stored signature of each panel that has one; older exports have none."""
        stored = self._document.get("signatures", {})
        with _readable(self._path, "signatures"):
            return {name: base64.b64decode(packed, validate=True) for name, packed in stored.items()}

    def library(self) -> Iterator[LibraryRecord]:
        """Return published factors."""
        return self._records("library", LibraryRecord)

    def runs(self) -> Iterator[RunRecord]:
        """Return runs."""
        for row in self._parts("runs"):
            with _readable(self._path, "runs"):
                rest = {name: value for name, value in row.items() if name not in ("calls", "config")}
                found = RunRecord(config_document=dict(row["config"]), **rest)
            yield found

    def rounds(self) -> Iterator[RoundRecord[Document]]:
        """Return rounds, by run."""
        return self._records("rounds", RoundRecord)

    def attempts(self) -> Iterator[tuple[AttemptRecord, bytes | None]]:
        """Return attempts."""
        for row in self._parts("attempts"):
            with _readable(self._path, "attempts"):
                scored = row["evaluation"]
                packed = None if scored is None else scored[self._fingerprint]
                known = None
                if scored is not None:
                    known = _evaluation(scored)
                changed = {
                    "parent_ids": tuple(row["parent_ids"]),
                    "verdicts": tuple(JudgeVerdict(**verdict) for verdict in row["verdicts"]),
                    "evaluation": known,
                    "claims": Claims.from_dict(row["claims"]),
                }
                found = AttemptRecord(**{**row, **changed})
                fingerprint = None if packed is None else base64.b64decode(packed, validate=True)
            yield found, fingerprint

    def reassessments(self) -> Iterator[dict[str, Any]]:
        """Return verdicts that were given again, as columns, by attempt; older exports have none."""
        for row in self._parts("reassessments") if "reassessments" in self._document else ():
            with _readable(self._path, "reassessments"):
                found = {name: row[name] for name in _REASSESSMENT}
            yield found

    def lessons(self) -> Iterator[LessonRecord]:
        """Return lessons; those of a round stand together, the most useful first."""
        return self._records("lessons", LessonRecord)

    def calls(self) -> Iterator[CallRecord]:
        """Return calls with their wording."""
        return self._records("calls", CallRecord)

    def openings(self) -> Iterator[HoldoutRecord]:
        """Return openings of holdouts."""
        for row in self._parts("holdout_openings"):
            with _readable(self._path, "holdout_openings"):
                rest = {name: value for name, value in row.items() if name not in ("rules", "result")}
                found = HoldoutRecord(rules_document=dict(row["rules"]), result_document=dict(row["result"]), **rest)
            yield found

    def pools(self) -> Iterator[dict[str, Any]]:
        """Return pools, as columns."""
        for row in self._parts("pools"):
            with _readable(self._path, "pools"):
                found = {name: row[name] for name in _POOL}
            yield found

    def remarks(self) -> Iterator[dict[str, Any]]:
        """Return what people said of factors, as columns, in order of time; older exports have none."""
        return self._lines("remarks", REMARK)

    def watches(self) -> Iterator[dict[str, Any]]:
        """Return the states of what is watched, as columns, of each the oldest first; older exports have none."""
        return self._lines("watches", WATCH)

    def _lines(self, part: str, columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        for row in self._parts(part) if part in self._document else ():
            with _readable(self._path, part):
                found = checked_line(row, columns)
            yield found


def _evaluation(row: dict[str, Any]) -> EvaluationRecord:
    rest = {
        name: value for name, value in row.items() if name not in ("scorecard", "evidence", *_FINGERPRINT_KEYS.values())
    }
    return EvaluationRecord(dict(row["scorecard"]), dict(row["evidence"]), **rest)


def _frozen(name: str, value: object) -> object:
    """Return a list as the tuple that a record has in its place."""
    return tuple(value) if isinstance(value, list) and name in ("evidence", "notes") else value


@contextmanager
def _readable(path: Path, part: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is damaged: its {part} cannot be read ({error})") from error


def fingerprint_text(packed: bytes | None) -> str | None:
    """Return a stored signature as an export has it."""
    return None if packed is None else base64.b64encode(packed).decode()
