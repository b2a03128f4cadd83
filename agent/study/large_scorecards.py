"""Scorecards on data that are stored by field: what they need in memory, and the study that they are made with.

A scorecard keeps whole arrays of bars by assets: the signal, its ranks and positions, returns over each horizon. They
are made in memory, where `[data] memory_gb` has room for them; the figures are then those of data in memory.
"""

from __future__ import annotations

from dataclasses import replace

from agent.study.study import Study
from market.panel import Panel
from market.panel_on_disk import PanelOnDisk

# Arrays of bars by assets, as float64, that are there at once beside the fields: 27 to 34 were measured.
_ARRAYS = 36


def scorecard_gb(panel: Panel) -> float:
    """Return about how many gigabytes a scorecard on a panel takes, its fields included."""
    return 8e-9 * panel.universe.size * (_ARRAYS + len(panel.fields))


def refused_scorecards(panel: Panel, memory_gb: float) -> str:
    """Return why there is no room for scorecards, and what to do; nothing where there is."""
    need = scorecard_gb(panel)
    if need <= memory_gb:
        return ""
    return (
        f"scorecards of these data need about {need:.2g} GB, and memory_gb in alphaglow.toml [data] allows "
        f"{memory_gb:g}: raise it where the machine has more, or score a part: --data NAME@SINCE..UNTIL"
    )


def read_into_memory(study: Study, memory_gb: float) -> Study:
    """Return a study of data on disk with its values in memory; any other one as it is."""
    if not isinstance(study.panel, PanelOnDisk):
        return study
    return replace(study, panel=study.panel.in_memory(), max_gigabytes=memory_gb)
