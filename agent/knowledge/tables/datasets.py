"""Data sets, and which of them have most of their bars in common; each works inside the caller's transaction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, delete, insert, or_, select, text, update
from sqlalchemy.orm import Session, undefer

from agent.knowledge.database import schema
from agent.knowledge.dataset_records import DatasetRecord, RelatedData
from agent.knowledge.run_config import Cut
from agent.knowledge.tables.convert import dataset_record
from agent.knowledge.tables.related_trials import panel_figures
from market.lineage import RELATED_SHARE, Signature, bar_seconds, covered_share, signature
from market.panel import Panel

_Data = schema.Dataset
_Pair = schema.RelatedDataset
# By what a bar of old data may differ from the mean distance of its bars: exchanges close for the night and the week.
_BAR_SLACK = 4.0
_RELATED = text("SELECT other_id FROM related_datasets WHERE panel_id = :panel ORDER BY other_id")
_COVERED = text(
    "SELECT other_id FROM related_datasets WHERE panel_id = :panel AND (covered IS NULL OR covered >= :covered) "
    "ORDER BY other_id"
)


def known_dataset(session: Session, panel_id: str) -> DatasetRecord | None:
    """Return a data set that needs nothing more to be recorded of it, or None."""
    row = session.scalar(select(_Data).where(_Data.panel_id == panel_id, _Data.signature.is_not(None)))
    return None if row is None else dataset_record(row)


def add_dataset(session: Session, panel: Panel) -> DatasetRecord:
    """Record the panel unless its content is known, under whatever name; compare it with all others."""
    row = session.get(_Data, panel.id)
    if row is None:
        bars, assets = panel.shape
        start, end = (f"{str(time)[:19]}Z" for time in (panel.times[0], panel.times[-1])) if bars else ("", "")
        row = _Data(panel_id=panel.id, name=panel.name, bars=bars, assets=assets, start=start, end=end)
        session.add(row)
    if row.signature is None:
        row.signature, row.bar = signature(panel).to_bytes(), bar_seconds(panel)
        session.flush()
        relate(session, panel.id)
    return dataset_record(row)


def relate(session: Session, panel_id: str) -> None:
    """Compare a data set with all others, and store those that it has most of its bars in common with."""
    session.execute(delete(_Pair).where(or_(_Pair.panel_id == panel_id, _Pair.other_id == panel_id)))
    row = session.get_one(_Data, panel_id, options=[undefer(_Data.signature)])
    own = None if row.signature is None else Signature.from_bytes(row.signature)
    # What lies apart in time, or has other bars, has no bar in common.
    apart = or_(_Data.start > row.end, _Data.end < row.start, _Data.panel_id == panel_id)
    query = select(_Data).where(~apart).options(undefer(_Data.signature))
    if row.bar is not None:
        query = query.where(or_(_Data.bar.is_(None), _Data.bar == row.bar))
    found: list[dict[str, object]] = []
    for other in session.scalars(query):
        if own is None or other.signature is None:
            if _may_have_grown(row, other):
                found += _pair(panel_id, other.panel_id, None, None)
            continue
        theirs = Signature.from_bytes(other.signature)
        here, there = covered_share(own, theirs), covered_share(theirs, own)
        if max(here, there) >= RELATED_SHARE:
            found += _pair(panel_id, other.panel_id, here, there)
    if found:
        session.execute(insert(_Pair), found)


def _pair(one: str, other: str, here: float | None, there: float | None) -> list[dict[str, object]]:
    share = None if here is None or there is None else max(here, there)
    return [
        {"panel_id": one, "other_id": other, "share": share, "covered": here},
        {"panel_id": other, "other_id": one, "share": share, "covered": there},
    ]


def _may_have_grown(one: schema.Dataset, other: schema.Dataset) -> bool:
    """Whether one of two data sets is likely to be the other, with more bars at its end: no signature tells."""
    older, newer = sorted((one, other), key=lambda row: (row.end, row.bars))
    if (older.name, older.start) != (newer.name, newer.start) or newer.bars < older.bars:
        return False
    distances = [_distance(row) for row in (older, newer)]
    return not all(distances) or max(distances) <= _BAR_SLACK * min(distances)


def _distance(row: schema.Dataset) -> float:
    """Return the mean distance of a data set's bars in seconds; 0.0 where it has no two."""
    if row.bars < 2:
        return 0.0
    first, last = (datetime.fromisoformat(time) for time in (row.start, row.end))
    return (last - first).total_seconds() / (row.bars - 1)


def related_ids(connection: Connection, panel_id: str, *, covered: float = 0.0) -> tuple[str, ...]:
    """Return the ids of a data set and of those related to it, itself first.

    With `covered`, of those alone that have at least this share of its cells, or that it is taken to have grown out of.
    """
    asked = {"panel": panel_id, "covered": covered}
    return (panel_id, *connection.execute(_COVERED if covered else _RELATED, asked).scalars())


def chosen_ids(session: Session, panel_id: str, related: Literal["none", "earlier", "all"]) -> tuple[str, ...]:
    """Return the ids of a data set and of none, all, or the earlier ones of those related to it, itself first."""
    if related == "none":
        return (panel_id,)
    own, *others = related_data(session, panel_id)
    return (panel_id, *(one.panel_id for one in others if related == "all" or one.precedes(own)))


def related_data(session: Session, panel_id: str) -> tuple[RelatedData, ...]:
    """Return a data set and those that it has most of its bars in common with.

    The data set itself comes first, then the others by the share they have in common, of equal ones the newest first.
    """
    own = session.get(_Data, panel_id)
    if own is None:
        return (RelatedData(panel_id, "", 1.0, "", "", 0),)
    query = select(_Pair.share, _Pair.covered, _Data).join(_Data, _Data.panel_id == _Pair.other_id)
    found = [
        _related(session, row, math.nan if share is None else share, math.nan if covered is None else covered)
        for share, covered, row in session.execute(query.where(_Pair.panel_id == panel_id))
    ]
    found.sort(key=lambda data: data.panel_id)
    found.sort(key=lambda data: data.end, reverse=True)
    found.sort(key=lambda data: -1.0 if math.isnan(data.share) else -data.share)
    return (_related(session, own, 1.0, 1.0), *found)


def _related(session: Session, row: schema.Dataset, share: float, covers: float) -> RelatedData:
    attempts, pooled = panel_figures(session.connection(), row.panel_id)
    return RelatedData(row.panel_id, row.name, share, row.start, row.end, row.bars, covers, attempts + len(pooled))


def freeze_split(session: Session, panel_id: str, cut: Cut | None, by: str) -> None:
    """Fix where a data set is cut, by the first run on it; later runs, and runs that say nothing, change nothing."""
    if cut is not None:
        open_still = (_Data.panel_id == panel_id, _Data.train_until.is_(None))
        dates = {"train_until": cut.train_until, "validation_until": cut.validation_until}
        session.execute(update(_Data).where(*open_still).values(**dates, frozen_by=by))


def move_split(session: Session, panel_ids: Sequence[str], train_until: str, validation_until: str, by: str) -> None:
    """Cut data sets at other dates from now on."""
    dates = {"train_until": train_until, "validation_until": validation_until}
    session.execute(update(_Data).where(_Data.panel_id.in_(panel_ids)).values(**dates, frozen_by=by))
