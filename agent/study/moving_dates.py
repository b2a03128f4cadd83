"""Showing the dates at which a data set is cut, and moving them on purpose."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from agent.study.cutting import FrozenSplit, as_text, read_dates, split_of
from agent.study.frozen_dates import FrozenData, frozen_data
from agent.study.workspace import Workspace
from market.errors import InputError
from market.panel import Panel
from market.split import MIN_BARS, Split, SplitDates, dates_of, split_at

if TYPE_CHECKING:
    from agent.knowledge.knowledge_base import KnowledgeBase


def shown_dates(workspace: Workspace, panel: Panel) -> dict[str, object]:
    """Return the first and the last bar of train, validation, holdout and of what is forward; None: there is none.

    Forward are bars that came after the dates were fixed. ``fixed_by`` is the run that did so, or None: then the dates
    are those of the shares in `alphaglow.toml`, and move as the data grow. Too few bars for a split are an
    `InputError`.
    """
    found = frozen_data(workspace, panel)
    frozen = None if found is None else FrozenSplit(read_dates(*found.until), found.dates.name)
    split, _ = split_of(panel, workspace.settings, frozen)
    new = len(panel.times) if found is None else _first_after(panel, found.first_end)
    parts = {
        "train": split.train,
        "validation": split.validation,
        "holdout": split.holdout,
        "forward": slice(max(new, split.holdout.start), len(panel.times)),
    }
    shown: dict[str, object] = {name: _first_and_last(panel, part) for name, part in parts.items()}
    return {**shown, "fixed_by": None if found is None else found.dates.frozen_by}


def move_dates(
    workspace: Workspace,
    knowledge: KnowledgeBase,
    panel: Panel,
    train_until: np.datetime64 | None,
    validation_until: np.datetime64 | None,
) -> None:
    """Cut a data set, and all of its lineage, at other dates from now on; None leaves a date where it is.

    Raises
    ------
    InputError
        When train or validation would keep fewer than 50 bars, when bars that a run has looked at would become
        holdout, or when holdout bars that were opened would become validation.
    """
    found = frozen_data(workspace, panel)
    now = dates_of(panel, split_of(panel, workspace.settings)[0]) if found is None else read_dates(*found.until)
    wanted = SplitDates(
        now.train_until if train_until is None else train_until,
        now.validation_until if validation_until is None else validation_until,
    )
    _check(panel, split_at(panel.times, wanted, embargo=0))
    if found is not None:
        if wanted.validation_until < now.validation_until:
            raise InputError(
                f"bars before {as_text(now.validation_until)[:16]} were looked at, and cannot be holdout again",
                "give a later --validation-until, or leave it out",
            )
        _refuse_opened(knowledge, found, as_text(now.validation_until), as_text(wanted.validation_until))
    knowledge.register_dataset(panel)
    panels = dict.fromkeys([panel.id, *(found.panel_ids if found is not None else ())])
    by = f"data split of {datetime.now(UTC):%Y-%m-%d}"
    knowledge.move_split(tuple(panels), as_text(wanted.train_until), as_text(wanted.validation_until), by)


def _check(panel: Panel, split: Split) -> None:
    for name, part in (("train", split.train), ("validation", split.validation), ("the holdout", split.holdout)):
        bars = max(0, part.stop - part.start)
        if bars < MIN_BARS:
            raise InputError(f"{name} would keep {bars} bars, at least {MIN_BARS} are needed", "choose other dates")


def _refuse_opened(knowledge: KnowledgeBase, found: FrozenData, before: str, after: str) -> None:
    """Refuse to make validation of holdout bars between two dates that a factor or a pool has been opened on."""
    if after <= before:
        return
    names = {f"panel{k}": panel for k, panel in enumerate(found.panel_ids)}
    places = ", ".join(f":{name}" for name in names)
    with knowledge.asking() as ask:
        # An opening of an earlier version does not say which bars it saw: all of the holdout.
        query = (
            f"SELECT count(*) FROM holdout_openings WHERE panel_id IN ({places}) AND (start IS NULL OR start < :after)"
        )
        count = int(ask(query, {**names, "after": after})[0][0])
    if count:
        raise InputError(
            f"the holdout was opened {count} times on bars from {before[:16]} on: they cannot become validation",
            "keep the dates; bars that come from now on are a fresh holdout",
        )


def _first_after(panel: Panel, end: str) -> int:
    return int(np.searchsorted(panel.times, np.datetime64(end.rstrip("Z")), side="right"))


def _first_and_last(panel: Panel, part: slice) -> list[str] | None:
    if part.stop <= part.start:
        return None
    return [str(panel.times[row])[:16] for row in (part.start, part.stop - 1)]
