"""Checking a file or a stored data set: what it is decides which checks it gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from market.calendars import calendar_of
from market.checks.all_checks import QualityReport, check_panel, check_table, row_findings
from market.checks.finding import CheckLimits
from market.checks.text_checks import check_documents
from market.columns import field_name, understand
from market.errors import InputError
from market.files import long_of, panel_from_long
from market.panel import Calendar, Panel
from market.panel_store import load_panel
from market.quality import check_ohlcv, repair_rows
from market.reading.conventions import FileConventions
from market.reading.times import parse_times
from market.table_files import read_file


def check_file(
    path: Path,
    *,
    calendar: Calendar | None = None,
    exchange: str = "",
    reading: FileConventions | None = None,
    limits: CheckLimits | None = None,
) -> tuple[QualityReport, Panel | None]:
    """Check a stored panel, a file of bars, of other figures (ts, symbol, …), or of texts; never changes the file.

    Returns the report, and the panel where there are bars. Without `calendar` it is determined by whether bars fall on
    weekends; `exchange` is the code of one (XNYS) whose sessions say which bars are missing.

    Raises
    ------
    InputError
        For a file that cannot be read, or holds none of these.
    """
    if path.is_dir() or _is_stored(path):
        panel = load_panel(path)
        return replace(check_panel(panel, limits, exchange=exchange), name=path.stem), panel
    reading = reading or FileConventions()
    table = read_file(path, reading)
    frame = table.frame
    names = set(understand(frame, reading.columns).values())
    if isinstance(frame.columns, pd.MultiIndex) or {"open", "high", "low", "close"} <= names or "symbol" not in names:
        if "title" in frame.columns:
            return check_documents(frame, path, limits), None
        long = long_of([(path, table)], reading)
        defects = check_ohlcv(long)
        repaired, _ = repair_rows(long, [defect for defect in defects if defect.kind != "range"])
        panel = panel_from_long(repaired, calendar=calendar or calendar_of(repaired["ts"]), name=path.stem)
        return check_panel(panel, limits, row_findings(defects), exchange), panel
    if "ts" not in names:
        raise InputError(f"{path} has no column of times", "map it with --column ts=NAME")
    theirs = {ours: column for column, ours in understand(frame, reading.columns).items()}
    long = frame.rename(columns={theirs["ts"]: "ts", theirs["symbol"]: "symbol"}).rename(columns=field_name)
    long = long.assign(ts=parse_times(long["ts"], path, reading.zone), symbol=long["symbol"].astype(str))
    return check_table(long, path.stem, limits), None


def _is_stored(path: Path) -> bool:
    if path.suffix != ".parquet" or not path.is_file():
        return False
    try:
        return b"alphaglow" in (pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowInvalid):
        return False
