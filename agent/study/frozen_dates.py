"""Dates at which the data sets of a lineage are cut: recorded when the first run on one of them begins."""

from __future__ import annotations

from agent.knowledge.records import DatasetRecord
from agent.study.cutting import FrozenSplit
from agent.study.workspace import Workspace
from market.panel import Panel


def stored_dataset(workspace: Workspace, panel_id: str) -> DatasetRecord | None:
    """Return what the knowledge base has of a panel, or None."""
    with workspace.listing() as listing, listing.asking() as ask:
        rows = ask(
            'SELECT panel_id, name, bars, assets, start, "end" FROM datasets WHERE panel_id = :panel',
            {"panel": panel_id},
        )
    return DatasetRecord(*rows[0]) if rows else None


def frozen_split(workspace: Workspace, panel: Panel) -> FrozenSplit | None:
    """Return the dates that the lineage of a panel is cut at, or None where no run has begun on it."""
    return None


def is_related(workspace: Workspace, panel: Panel, panel_id: str) -> bool:
    """Return whether a panel is of the same lineage as a data set that the knowledge base has."""
    return False
