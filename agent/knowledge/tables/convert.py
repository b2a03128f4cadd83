"""Between rows and records, and between Python values and JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from agent.knowledge.claims import Claims
from agent.knowledge.dataset_records import DatasetRecord
from agent.knowledge.library_records import LibraryRecord, LibraryStatus
from agent.knowledge.processes import QUEUE, is_gone
from agent.knowledge.records import (
    AttemptRecord,
    CallRecord,
    Content,
    EvaluationRecord,
    HoldoutRecord,
    JudgeVerdict,
    LessonRecord,
    RoundRecord,
    RoundStatus,
    RunRecord,
    RunStatus,
)
from agent.knowledge.score_documents import Document

if TYPE_CHECKING:
    from agent.knowledge.database import schema


def utc_now() -> str:
    """Return the UTC time as ``2026-01-31T12:00:00Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def json_types(value: object) -> object:
    """Return `value` as JSON types: NaN and infinities become None, tuples lists, NumPy scalars Python's.

    Raises
    ------
    TypeError
        For anything that JSON cannot hold: a defect of the caller, not of its data.
    """
    # Most are figures: they are asked for first.
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (dict, Mapping)):
        return {str(key): json_types(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_types(item) for item in value]
    # Who hands in scalars of NumPy has imported it; who only reads rows does not.
    import numpy as np

    if isinstance(value, np.generic):
        return json_types(value.item())
    raise TypeError(f"{type(value).__name__} has no JSON form")


def plain_dict(value: Mapping[str, object]) -> dict[str, object]:
    """Return a mapping as JSON types; see `json_types`."""
    return {str(key): json_types(item) for key, item in value.items()}


def storable(text: str) -> str:
    """Return a text that every database can hold: without NUL, and without half a character."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def dataset_record(row: schema.Dataset) -> DatasetRecord:
    """Return the row as a record."""
    return DatasetRecord(
        row.panel_id,
        row.name,
        row.bars,
        row.assets,
        row.start,
        row.end,
        row.bar,
        row.train_until,
        row.validation_until,
        row.frozen_by,
    )


def run_record(row: schema.Run) -> RunRecord:
    """Return the row as a record."""
    status = cast(RunStatus, row.status)
    if status == "running" and is_gone(row.process):
        status = "stopped"
    elif status == "interrupted" and row.process == QUEUE:
        status = "queued"
    return RunRecord(row.id, row.panel_id, dict(row.config), row.seed, status, row.created, row.finished)


def round_record(row: schema.Round, read: Callable[[Document], Content]) -> RoundRecord[Content]:
    """Return the row as a record, its brief as `read` reads it."""
    return RoundRecord(row.run_id, row.number, read(row.brief), cast(RoundStatus, row.status), row.created)


def attempt_record(row: schema.Attempt, panel_id: str) -> AttemptRecord:
    """Return the row, with its verdicts and evaluation, as a record."""
    scored = row.evaluation
    return AttemptRecord(
        id=row.id,
        run_id=row.run_id,
        panel_id=panel_id,
        round=row.round,
        slot=row.slot,
        text=row.text,
        canonical=row.canonical,
        factor_id=row.factor_id,
        parent_ids=tuple(row.parent_ids),
        stage=row.stage,
        code=row.code,
        message=row.message,
        rationale=row.rationale,
        name=row.name,
        created=row.created,
        verdicts=tuple(
            JudgeVerdict(v.turn, bool(v.accept), v.score, v.critique, _floats(v.scores)) for v in row.verdicts
        ),
        evaluation=None
        if scored is None
        else EvaluationRecord(
            scored.scorecard,
            scored.evidence,
            scored.sharpe_per_bar,
            bool(scored.accepted),
            scored.rules,
            scored.code,
        ),
        claims=Claims.from_dict(row.claims),
    )


def _floats(scores: Mapping[str, object]) -> dict[str, float]:
    return {name: float(value) for name, value in scores.items() if isinstance(value, (int, float))}


def lesson_record(row: schema.Lesson) -> LessonRecord:
    """Return the row as a record."""
    return LessonRecord(row.id, row.run_id, row.round, row.kind, row.text, tuple(row.evidence), row.created)


def call_record(row: schema.LLMCall) -> CallRecord:
    """Return the row as a record."""
    return CallRecord(
        run_id=row.run_id,
        key=row.key,
        role=row.role,
        model=row.model,
        mode=row.mode,
        request_hash=row.request_hash,
        request=row.request,
        response=row.response,
        status=row.status,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        cost_usd=row.cost_usd,
        latency_s=row.latency_s,
        created=row.created,
        id=row.id,
    )


def library_record(row: schema.LibraryEntry) -> LibraryRecord:
    """Return the row as a record."""
    return LibraryRecord(
        name=row.name,
        source=row.source,
        dialect=row.dialect,
        text=row.text,
        status=cast(LibraryStatus, row.status),
        canonical=row.canonical,
        factor_id=row.factor_id,
        message=row.message,
        notes=tuple(row.notes),
        id=row.id,
    )


def holdout_record(row: schema.HoldoutOpening) -> HoldoutRecord:
    """Return the row as a record."""
    return HoldoutRecord(
        row.factor_id,
        row.panel_id,
        row.number,
        row.opened_at,
        row.opened_by,
        dict(row.rules),
        dict(row.result),
        row.start,
        row.end,
    )
