"""Which texts a command means, whose scores of them, and spans of time as people write them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from market.errors import InputError

if TYPE_CHECKING:
    from agent.study.workspace import Workspace
    from market.panel import Panel

SCORERS = ("lexicon", "llm")


def texts_path(workspace: Workspace, name: str) -> Path:
    """Return where the texts `name` lie; an `InputError` names those that there are."""
    workspace.data_path(name)
    folder = workspace.folder("texts")
    path = folder / f"{name}.parquet"
    if not path.is_file():
        there = ", ".join(sorted(one.stem for one in folder.glob("*.parquet")))
        raise InputError(
            f"no texts {name!r}", f"there is {there}" if there else "import some: alphaglow text import FILE"
        )
    return path


def scored_by(workspace: Workspace, name: str) -> str:
    """Return whose scores of these texts there are, where one scorer's are."""
    from agent.texts.scores import scores_path

    there = [by for by in SCORERS if scores_path(workspace.folder("texts"), name, by).is_file()]
    if len(there) == 1:
        return there[0]
    if there:
        raise InputError("whose scores? say --by lexicon or --by llm", "both have scored these texts")
    raise InputError(f"the texts {name!r} have no scores", f"score them: alphaglow text score {name}")


def parse_span(said: str, panel: Panel, option: str) -> np.timedelta64:
    """Read a time: hours (24h), days (3d), minutes (30m), weeks (1w), or bars of the panel (12b)."""
    units = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
    count, unit = said[:-1], said[-1:]
    try:
        seconds = float(count) * (units[unit] if unit != "b" else panel.bar / np.timedelta64(1, "s"))
        if not 0 < seconds < 1e9:
            raise ValueError
    except (KeyError, ValueError) as error:
        raise InputError(f"{option} {said!r} is no time", "say hours, days, weeks or bars: 24h, 3d, 1w, 12b") from error
    return np.timedelta64(round(seconds * 1e9), "ns")
