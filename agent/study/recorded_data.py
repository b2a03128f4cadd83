"""Data that a run recorded, as they are now: the same, grown, with fields joined, or changed in what the run saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from agent.knowledge.dataset_records import DatasetRecord
from agent.knowledge.run_config import Cut
from agent.study.cutting import FrozenSplit, former_split, loop_part, recorded_split, split_of
from agent.study.settings import Settings
from agent.study.study import narrowed
from market.errors import InputError
from market.panel import Panel

if TYPE_CHECKING:
    from agent.study.opening import Note, RecordedRules


@dataclass(frozen=True, eq=False)
class OpenPanel:
    """A whole panel, and the dates at which it is cut; None: by shares."""

    panel: Panel
    frozen: FrozenSplit | None


@dataclass(frozen=True, eq=False)
class Lineage:
    """What the knowledge base knows of the data that a run recorded; each is asked for only where it is needed.

    Attributes
    ----------
    dataset
        Returns the data set of a panel's id, or None.
    is_related
        Whether a panel is of the same lineage as the data set of an id.
    """

    dataset: Callable[[str], DatasetRecord | None]
    is_related: Callable[[Panel, str], bool]


def open_recorded(
    found: Panel, name: str, rules: RecordedRules, settings: Settings, lineage: Lineage, note: Note
) -> OpenPanel:
    """Return the data `name` as a run or a pool works on them, cut where it cut them.

    Data that have only grown are cut at the dates of then: train and validation are the same bars, and what came since
    is holdout. Fields that were joined since are left out. `note` is given what a user should know of it.

    Raises
    ------
    InputError
        When the data are others, or, under strict rules, when bars that the run saw have changed.
    """
    cut, recorded = rules.recorded.cut, rules.panel_id
    if not recorded or found.id == recorded:
        return OpenPanel(found, former_split(found, settings) if cut is None else recorded_split(cut))
    now = _as_then(found, recorded, settings, lineage) if cut is None else _as_cut(found, cut, settings)
    if now is None:
        if not lineage.is_related(found, recorded):
            raise InputError(
                f"the data {name} are not what {rules.owner} was {rules.done} on: they changed, or are other data "
                f"({recorded} then, {found.id} now)",
                "name the right data with --data, or start again on the new data",
            )
        if rules.strict and not rules.any_past:
            raise InputError(
                f"bars of {name} that {rules.owner} has seen were changed since: repaired, adjusted, imported again or "
                "cut down; figures of before and after would be mixed",
                "start a new run on them: what was tried on the old bars still counts",
            )
        note(f"bars of {name} changed since {rules.owner} was {rules.done}: figures made now are not those of then")
        then = _until_then(found, recorded, lineage) or found
        return OpenPanel(found, former_split(then, settings) if cut is None else recorded_split(cut))
    _say_grown(found, now, name, rules, lineage, note)
    return now


def _as_then(found: Panel, recorded: str, settings: Settings, lineage: Lineage) -> OpenPanel | None:
    """Return data that have bars more than those of an earlier version's run; None where they are no continuation."""
    then = _until_then(found, recorded, lineage)
    return OpenPanel(found, former_split(then, settings)) if then is not None and then.id == recorded else None


def _until_then(found: Panel, recorded: str, lineage: Lineage) -> Panel | None:
    """Return the bars up to the last that a recorded data set had; None where it is not known."""
    dataset = lineage.dataset(recorded)
    if dataset is None:
        return None
    return found.rows(0, int(np.searchsorted(found.times, np.datetime64(dataset.end.rstrip("Z")), side="right")))


def _as_cut(found: Panel, cut: Cut, settings: Settings) -> OpenPanel | None:
    """Return data whose train and validation are those of a recorded cut; None where there are none such."""
    if not set(cut.fields) <= set(found.fields):
        return None
    kept = replace(found, fields={name: found.fields[name] for name in cut.fields})
    frozen = recorded_split(cut)
    try:
        loop = loop_part(narrowed(kept, settings), split_of(kept, settings, frozen)[0], frozen)
    except InputError:
        # The dates lie outside of these data.
        return None
    return OpenPanel(kept, frozen) if loop.id == cut.panel else None


def _say_grown(found: Panel, now: OpenPanel, name: str, rules: RecordedRules, lineage: Lineage, note: Note) -> None:
    """Say in one sentence what of the data is new and left alone."""
    said = [f"train and validation of {name} are the bars that {rules.owner} was {rules.done} on"]
    then = _until_then(found, rules.panel_id, lineage)
    if then is not None:
        new = len(found.times) - len(then.times)
        said += [f"the {new} bars that came since are holdout"] if new > 0 else []
    left = sorted(set(found.fields) - set(now.panel.fields))
    said += [f"the fields joined since are left out: {', '.join(left)}"] if left else []
    note("; ".join(said))
