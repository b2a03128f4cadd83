"""The knowledge base as JSON or CSV text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy.orm import Session

from agent.knowledge.attempt_figures import or_none
from agent.knowledge.database import schema
from agent.knowledge.listing import list_attempts
from agent.knowledge.records import AttemptRecord
from agent.knowledge.tables.attempts import ask_of
from agent.knowledge.tables.runs import total_calls
from agent.knowledge.transfer.table_rows import FORMAT, StoredSource, fingerprint_text

# By these a spreadsheet tells a formula; a tab or a return may stand before one.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def to_json(session: Session) -> str:
    """Return everything that `alphaglow kb import` can read back, the wording of model calls included."""
    source = StoredSource(session)
    document = {
        "format": FORMAT,
        "revision": schema.HEAD,
        "datasets": [asdict(row) for row in source.datasets()],
        "signatures": {name: fingerprint_text(packed) for name, packed in source.signatures().items()},
        "runs": [{**run.to_dict(), "calls": asdict(total_calls(session, run.id))} for run in source.runs()],
        "rounds": [asdict(row) for row in source.rounds()],
        "attempts": [_attempt(attempt, fingerprint) for attempt, fingerprint in source.attempts()],
        "reassessments": list(source.reassessments()),
        "lessons": [lesson.to_dict() for lesson in source.lessons()],
        "holdout_openings": [row.to_dict() for row in source.openings()],
        "library": [entry.to_dict() for entry in source.library()],
        "pools": list(source.pools()),
        "remarks": list(source.remarks()),
        "watches": list(source.watches()),
        "calls": [call.to_dict() for call in source.calls()],
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1)


def _attempt(attempt: AttemptRecord, fingerprint: bytes | None) -> dict[str, object]:
    row = attempt.to_dict()
    if isinstance(row["evaluation"], dict):
        row["evaluation"]["returns_fingerprint"] = fingerprint_text(fingerprint)
    return row


def to_csv(session: Session) -> str:
    """Return one row an attempt, its figures in columns ``train_…`` and ``validation_…``."""
    attempts = list_attempts(ask_of(session))
    rows = [_row(attempt) for attempt in attempts]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns or list(_place_columns()), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: spreadsheet_safe(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def spreadsheet_safe(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula: text that begins as one, or a command, is quoted."""
    if isinstance(value, str) and value[:1] in _FORMULA:
        return f"'{value}"
    return value


def _place_columns() -> Sequence[str]:
    return (
        "id", "run_id", "panel_id", "round", "slot", "created", "factor_id", "name", "text", "canonical",
        "parents", "rationale", "stage", "code", "message",
    )  # fmt: skip


def _row(attempt: AttemptRecord) -> dict[str, object]:
    values: dict[str, object] = {"parents": " ".join(attempt.parent_ids)}
    for name in _place_columns():
        if name != "parents":
            values[name] = getattr(attempt, name)
    row = {name: values[name] for name in _place_columns()}
    last = attempt.verdicts[-1] if attempt.verdicts else None
    row["judge_accepts"] = None if last is None else last.accept
    row["judge_score"] = None if last is None else last.score
    scored = attempt.evaluation
    if scored is not None:
        row["verdict"] = scored.verdict
        row["accepted"] = scored.accepted
        row["dsr"] = or_none(scored.evidence.dsr)
        row["sharpe_per_bar"] = scored.sharpe_per_bar
        parts = {"train": scored.scorecard.train, "validation": scored.scorecard.validation}
        for part, card in parts.items():
            row.update({f"{part}_{name}": value for name, value in card.to_dict().items()})
    return row
