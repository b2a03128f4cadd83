"""Every time that a factor saw the holdout of a panel; each works inside the caller's transaction."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.knowledge.database import schema
from agent.knowledge.records import HoldoutRecord
from agent.knowledge.run_config import ScoringRules
from agent.knowledge.tables.convert import holdout_record, plain_dict, utc_now
from backtest.result_types import SegmentScore
from market.errors import InputError

_Row = schema.HoldoutOpening


def list_openings(session: Session, factor_id: str, panel_id: str) -> list[HoldoutRecord]:
    """Return every time that this factor saw the panel's holdout, oldest first."""
    query = select(_Row).where(_Row.factor_id == factor_id, _Row.panel_id == panel_id).order_by(_Row.number)
    return [holdout_record(found) for found in session.scalars(query)]


def add_opening(
    session: Session,
    factor_id: str,
    panel_id: str,
    result: SegmentScore,
    *,
    opened_by: str,
    rules: ScoringRules,
    version: str,
    again: bool,
) -> HoldoutRecord:
    """Record that a factor saw a panel's holdout; a second time is refused, as an `InputError`, unless `again`."""
    known = list_openings(session, factor_id, panel_id)
    if known and not again:
        raise opened_already(factor_id, known[-1].opened_at)
    new = _Row(
        factor_id=factor_id,
        panel_id=panel_id,
        number=len(known) + 1,
        opened_at=utc_now(),
        opened_by=opened_by,
        rules=plain_dict({**rules.to_dict(), "alphaglow": version}),
        result=plain_dict(result.to_dict()),
    )
    session.add(new)
    session.flush()
    return holdout_record(new)


def opened_already(factor_id: str, when: str) -> InputError:
    """Return the refusal to open a holdout again."""
    return InputError(
        f"the holdout was opened for {factor_id} at {when}, and it opens once",
        "see the recorded result with `alphaglow kb export`; --again opens it once more, which every report then shows",
    )
