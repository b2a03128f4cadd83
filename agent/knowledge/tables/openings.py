"""Every time that a factor saw the holdout of a panel; each works inside the caller's transaction.

Bars that a factor saw stay seen, on whatever related data set they lie; bars after them are a fresh holdout (forward).
"""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent.knowledge.database import schema
from agent.knowledge.dataset_records import SeenSpan
from agent.knowledge.records import HoldoutRecord
from agent.knowledge.run_config import ScoringRules
from agent.knowledge.tables.convert import holdout_record, plain_dict, utc_now
from backtest.result_types import SegmentScore
from market.errors import InputError

_Row = schema.HoldoutOpening
Span = tuple[str, str]


def list_openings(session: Session, factor_id: str, panels: tuple[str, ...]) -> list[HoldoutRecord]:
    """Return every time that this factor saw the holdout of one of these panels, oldest first, numbered so.

    The first panel is the one that is asked about: openings on others name their data set.
    """
    found: list[HoldoutRecord] = []
    seen = ""
    for row, data in _rows(session, factor_id, panels):
        record = holdout_record(row)
        forward = bool(found) and record.start is not None and record.start > seen
        name = "" if row.panel_id == panels[0] or data is None else data.name
        found.append(replace(record, number=len(found) + 1, forward=forward, data=name))
        seen = max(seen, _span(row, data).end)
    return found


def seen_spans(session: Session, factor_id: str, panels: tuple[str, ...]) -> tuple[SeenSpan, ...]:
    """Return which bars of these panels a factor saw, the oldest opening first."""
    return tuple(_span(row, data) for row, data in _rows(session, factor_id, panels))


def _rows(
    session: Session, factor_id: str, panels: tuple[str, ...]
) -> list[tuple[schema.HoldoutOpening, schema.Dataset | None]]:
    query = select(_Row, schema.Dataset).outerjoin(schema.Dataset, schema.Dataset.panel_id == _Row.panel_id)
    query = query.where(_Row.factor_id == factor_id, _Row.panel_id.in_(panels))
    return [(row[0], row[1]) for row in session.execute(query.order_by(_Row.opened_at, _Row.number, _Row.panel_id))]


def _span(row: schema.HoldoutOpening, data: schema.Dataset | None) -> SeenSpan:
    # Earlier versions wrote the bars that they showed into the result, in minutes.
    start, end = (row.result.get(name) for name in ("start", "end"))
    shown = [f"{time[:16]}:00Z" if isinstance(time, str) and time else "" for time in (start, end)]
    last = "9999" if data is None else data.end
    return SeenSpan(
        row.start or shown[0], row.end or shown[1] or last, row.opened_at, "" if data is None else data.name
    )


def add_opening(
    session: Session,
    factor_id: str,
    panels: tuple[str, ...],
    result: SegmentScore,
    *,
    opened_by: str,
    rules: ScoringRules,
    span: Span | None,
) -> HoldoutRecord:
    """Record that a factor saw a panel's holdout; whether it may see these bars, `refuse_seen` says before."""
    known = [_Row.factor_id == factor_id, _Row.panel_id.in_(panels)]
    start, end = span or (None, None)
    new = _Row(
        factor_id=factor_id,
        panel_id=panels[0],
        number=1 + (session.scalar(select(func.max(_Row.number)).where(*known)) or 0),
        opened_at=utc_now(),
        opened_by=opened_by,
        rules=plain_dict({**rules.to_dict(), "alphaglow": version("alphaglow")}),
        result=plain_dict(result.to_dict()),
        start=start,
        end=end,
    )
    session.add(new)
    session.flush()
    written = [one for one in list_openings(session, factor_id, panels) if one.panel_id == panels[0]]
    return written[-1]


def refuse_seen(session: Session, factor_id: str, panels: tuple[str, ...], span: Span | None) -> None:
    """Refuse, as an `InputError`, to show a factor bars that it has seen; without a span, to open a holdout again."""
    seen = seen_spans(session, factor_id, panels)
    if span is not None:
        seen = tuple(one for one in seen if one.start <= span[1] and span[0] <= one.end)
    if seen:
        raise opened_already(factor_id, seen[-1])


def opened_already(factor_id: str, seen: SeenSpan, fresh: str = "") -> InputError:
    """Return the refusal to show bars again; `fresh` says what there is of new ones."""
    where = f" on the data {seen.data}" if seen.data else ""
    return InputError(
        f"the holdout was opened for {factor_id} at {seen.opened_at}{where}, and it opens once{fresh}",
        "see the recorded result with `alphaglow kb export`; --again opens it once more, which every report then shows",
    )
