"""The knowledge base as JSON or CSV text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.knowledge import schema
from agent.knowledge.attempts import list_attempts
from agent.knowledge.convert import (
    dataset_record,
    holdout_record,
    lesson_record,
    library_record,
    round_record,
    run_record,
)
from agent.knowledge.pools import list_pools
from agent.knowledge.records import AttemptRecord
from agent.knowledge.runs import total_calls

_PARTS = ("train", "validation")


def to_json(session: Session) -> str:
    """Return everything but the wording of the model calls, of which the totals are given by run."""
    runs = [run_record(row) for row in session.scalars(select(schema.Run).order_by(schema.Run.seq))]
    rounds = select(schema.Round).join(schema.Run, schema.Run.id == schema.Round.run_id)
    rounds = rounds.order_by(schema.Run.seq, schema.Round.number)
    datasets = select(schema.Dataset).order_by(schema.Dataset.panel_id)
    openings = select(schema.HoldoutOpening).order_by(schema.HoldoutOpening.opened_at)
    lessons = select(schema.Lesson).order_by(schema.Lesson.id)
    library = select(schema.LibraryEntry).order_by(schema.LibraryEntry.id)
    document = {
        "format": "alphaglow knowledge base",
        "revision": schema.HEAD,
        "datasets": [asdict(dataset_record(row)) for row in session.scalars(datasets)],
        "runs": [{**run.to_dict(), "calls": asdict(total_calls(session, run.id))} for run in runs],
        "rounds": [asdict(round_record(row)) for row in session.scalars(rounds)],
        "attempts": [attempt.to_dict() for attempt in list_attempts(session, None, None, None)],
        "pools": [pool.to_dict() for pool in list_pools(session, None)],
        "lessons": [lesson_record(row).to_dict() for row in session.scalars(lessons)],
        "holdout_openings": [asdict(holdout_record(row)) for row in session.scalars(openings)],
        "library": [library_record(row).to_dict() for row in session.scalars(library)],
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1)


def to_csv(session: Session) -> str:
    """Return one row an attempt, its figures in columns ``train_…`` and ``validation_…``."""
    attempts = list_attempts(session, None, None, None)
    rows = [_row(attempt) for attempt in attempts]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns or list(_place_columns()), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


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
        row["verdict"] = scored.evidence.get("verdict")
        row["accepted"] = scored.accepted
        row["dsr"] = scored.evidence.get("dsr")
        row["sharpe_per_bar"] = scored.sharpe_per_bar
        for part in _PARTS:
            card = scored.scorecard.get(part)
            if isinstance(card, Mapping):
                row.update({f"{part}_{name}": value for name, value in card.items()})
    return row
