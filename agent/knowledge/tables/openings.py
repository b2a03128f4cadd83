"""Openings of the holdout, written and refused; each works inside the caller's transaction.

What was written is read by `agent.knowledge.opening_records`.
"""

from __future__ import annotations

from importlib.metadata import version

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent.knowledge.database import schema
from agent.knowledge.dataset_records import SeenSpan
from agent.knowledge.opening_records import list_openings, seen_spans
from agent.knowledge.records import HoldoutRecord
from agent.knowledge.run_config import ScoringRules
from agent.knowledge.tables.attempts import ask_of
from agent.knowledge.tables.convert import plain_dict, utc_now
from backtest.result_types import SegmentScore
from market.errors import InputError

_Row = schema.HoldoutOpening
Span = tuple[str, str]


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
    written = [one for one in list_openings(ask_of(session), factor_id, panels) if one.panel_id == panels[0]]
    return written[-1]


def refuse_seen(session: Session, factor_id: str, panels: tuple[str, ...], span: Span | None) -> None:
    """Refuse, as an `InputError`, to show a factor bars that it has seen; without a span, to open a holdout again."""
    seen = seen_spans(ask_of(session), factor_id, panels)
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
