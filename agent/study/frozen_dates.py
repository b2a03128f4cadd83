"""Dates at which the data sets of a lineage are cut: recorded when the first run on one of them begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from agent.knowledge.dataset_records import DatasetRecord
from agent.study.cutting import FrozenSplit, as_text, read_dates, split_of, with_former_shares
from agent.study.settings import Settings
from agent.study.workspace import Workspace
from market.errors import InputError
from market.lineage import RELATED_SHARE, Signature, bar_seconds, shared_share, signature
from market.panel import Panel
from market.split import dates_of

_COLUMNS = 'panel_id, name, bars, assets, start, "end", bar, train_until, validation_until, frozen_by'


@dataclass(frozen=True, eq=False)
class StoredData:
    """A data set as the knowledge base has it, with the sample of its cells where there is one."""

    record: DatasetRecord
    sample: bytes | None

    def shares_bars(self, panel: Panel, sample: Signature) -> bool:
        """Return whether it has most bars in common with a panel, whose own sample is given."""
        if self.sample is None or self.record.bar != bar_seconds(panel):
            return False
        return shared_share(sample, Signature.from_bytes(self.sample)) >= RELATED_SHARE


def stored_dataset(workspace: Workspace, panel_id: str) -> DatasetRecord | None:
    """Return what the knowledge base has of a panel, or None."""
    found = list(_stored(workspace, "panel_id = :panel", panel_id))
    return found[0].record if found else None


def is_related(workspace: Workspace, panel: Panel, panel_id: str) -> bool:
    """Return whether a panel is of the same lineage as a data set that the knowledge base has."""
    sample = signature(panel)
    return any(one.shares_bars(panel, sample) for one in _stored(workspace, "panel_id = :panel", panel_id))


@dataclass(frozen=True)
class FrozenData:
    """The data set whose dates a panel is cut at, and what else of the lineage is cut.

    Attributes
    ----------
    dates
        Of the data set: itself, where a run has begun on it.
    first_end
        Last bar that there was when the dates were fixed, as a `DatasetRecord` has it: later ones are *forward*.
    panel_ids
        Of all data sets of the lineage that runs have begun on.
    """

    dates: DatasetRecord
    first_end: str
    panel_ids: tuple[str, ...]

    @property
    def until(self) -> tuple[str, str]:
        """The first times that are no longer in train, and in validation."""
        return self.dates.train_until or "", self.dates.validation_until or ""


def frozen_data(workspace: Workspace, panel: Panel) -> FrozenData | None:
    """Return what of a panel's lineage runs have begun on; None: nothing."""
    frozen = list(_stored(workspace, "train_until IS NOT NULL", ""))
    own = [one.record for one in frozen if one.record.panel_id == panel.id]
    near = own
    if len(own) < len(frozen):
        sample = signature(panel)
        near = own + [one.record for one in frozen if one.record not in own and one.shares_bars(panel, sample)]
    if not near:
        return _former_data(workspace, panel)
    # Of data sets with the same holdout, the one that the panel has grown out of.
    start = as_text(panel.times[0])
    chosen = own[0] if own else max(near, key=lambda one: (one.validation_until or "", one.start == start, one.end))
    ends = [one.end for one in near if one.end >= (chosen.validation_until or "")]
    return FrozenData(chosen, min(ends, default=chosen.end), tuple(one.panel_id for one in near))


def _former_data(workspace: Workspace, panel: Panel) -> FrozenData | None:
    """Return the data set of an earlier version's first run that a panel has grown out of, by its shares.

    Those runs fixed no dates; what they looked at is found in the bars that the panel begins with.
    """
    start = as_text(panel.times[0])
    where = "train_until IS NULL AND start = :panel AND panel_id IN (SELECT panel_id FROM runs)"
    for one in sorted(_stored(workspace, where, start), key=lambda found: found.record.end):
        record, bars = one.record, one.record.bars
        if bars < len(panel.times) and panel.rows(0, bars).id == record.panel_id:
            dates = dates_of(panel, split_of(panel.rows(0, bars), with_former_shares(workspace.settings))[0])
            until = (as_text(dates.train_until), as_text(dates.validation_until))
            by = "the runs of an earlier version"
            found = replace(record, train_until=until[0], validation_until=until[1], frozen_by=by)
            return FrozenData(found, record.end, ())
    return None


def frozen_split(workspace: Workspace, panel: Panel) -> FrozenSplit | None:
    """Return the dates that a panel's lineage is cut at, or None where no run has begun on it.

    Of several data sets that have most bars in common with the panel, the one whose validation ends last decides: no
    bar that was ever looked at is holdout.
    """
    found = frozen_data(workspace, panel)
    return None if found is None else FrozenSplit(read_dates(*found.until), found.dates.name)


def say_dates(workspace: Workspace, panel: Panel, settings: Settings) -> str:
    """Say, in a sentence, where shares of the settings would cut other than at the frozen dates; empty: nowhere."""
    frozen = frozen_data(workspace, panel)
    if frozen is None:
        return ""
    # By shares of the bars that there were: that data have grown is no change of settings.
    then = panel.rows(0, int(np.searchsorted(panel.times, np.datetime64(frozen.first_end.rstrip("Z")), side="right")))
    with suppress(InputError):
        asked = dates_of(then, split_of(then, settings)[0])
        wanted = (as_text(asked.train_until), as_text(asked.validation_until))
        if wanted != frozen.until:
            return (
                f"train ends before {frozen.until[0][:16]} and validation before {frozen.until[1][:16]}, as fixed by "
                f"{frozen.dates.frozen_by}; by alphaglow.toml [split] it would be {wanted[0][:16]} and "
                f"{wanted[1][:16]} (move them: alphaglow data split)"
            )
    return ""


def _stored(workspace: Workspace, where: str, panel_id: str) -> Iterator[StoredData]:
    with workspace.listing() as listing, listing.asking() as ask:
        rows = ask(f"SELECT signature, {_COLUMNS} FROM datasets WHERE {where} ORDER BY panel_id", {"panel": panel_id})
    for sample, *row in rows:
        yield StoredData(DatasetRecord(*row), None if sample is None else bytes(sample))
