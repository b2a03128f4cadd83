"""A file of figures known at a time (settlements, snapshots) as rows of time, asset and numbers, wide ones too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from market.reading.conventions import FileConventions
from market.reading.date_parts import with_times
from market.table_files import read_file
from market.wide import from_matrix


def figure_rows(path: Path, reading: FileConventions, tell: Callable[[str], None]) -> pd.DataFrame:
    """Return a file's rows with the time in one column; with `reading.wide`, of one column an asset, rows of each.

    Parameters
    ----------
    tell
        Takes what was found out, a sentence each.
    """
    table = read_file(path, reading)
    for note in table.notes:
        tell(note)
    frame = with_times(table.frame)
    return from_matrix(path, frame, reading, tell) if reading.wide else frame
