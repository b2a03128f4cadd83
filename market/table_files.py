"""Reading one CSV, Parquet or JSON-lines file as it stands."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from zipfile import BadZipFile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from market.columns import ALIASES, KLINES, plain_name
from market.errors import InputError
from market.panel import OHLCV


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV (also zipped), Parquet or JSON-lines file; whatever is wrong with it is an `InputError`.

    A CSV without a header, all numbers, has Binance's column names; a first line that is a web address is skipped
    (CryptoDataDownload); two header rows, fields and assets (yfinance), become a two-level header.
    """
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    kinds = [suffix.lower() for suffix in path.suffixes]
    try:
        if kinds[-1:] in ([".parquet"], [".pq"]):
            frame: pd.DataFrame = pq.read_table(path).to_pandas()
            # A frame saved with its times (or symbols) as the index keeps them there.
            indexed = frame.index.names != [None] or isinstance(frame.index, pd.DatetimeIndex)
            return frame.reset_index(names="ts" if frame.index.names == [None] else None) if indexed else frame
        if kinds[-1:] in ([".jsonl"], [".ndjson"]):
            lines = path.read_text(encoding="utf-8").splitlines()
            return pd.DataFrame([json.loads(line) for line in lines if line.strip()])
        return _read_csv(path)
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{path} is empty") from error
    except (pa.ArrowInvalid, pd.errors.ParserError, ValueError, OSError, BadZipFile) as error:
        raise InputError(f"cannot read {path}: {str(error).splitlines()[0]}", "is it CSV or Parquet?") from error


def _read_csv(path: Path) -> pd.DataFrame:
    head = _first_rows(path)
    skip = 1 if head and head[0] and head[0][0].strip().lower().startswith(("http", "www.")) else 0
    rows = head[skip:]
    if rows and len(rows[0]) >= 6 and all(_is_number(cell) for cell in rows[0] if cell.strip()):
        names = list(KLINES[: len(rows[0])]) if len(rows[0]) <= len(KLINES) else None
        if names is None:
            raise InputError(f"{path} has no header, and {len(rows[0])} columns", "write the names into a first line")
        return pd.read_csv(path, header=None, names=names, skiprows=skip)
    if _two_headers(rows):
        return _read_two_headers(path, skip)
    frame = pd.read_csv(path, skiprows=skip)
    return frame.drop(columns=[c for c in frame.columns if str(c).startswith("Unnamed:")])


def _first_rows(path: Path) -> list[list[str]]:
    """Return up to four rows of cells, unzipped where needed."""
    if path.suffix.lower() in (".zip", ".gz"):
        lines = pd.read_csv(path, header=None, nrows=4, dtype=str, sep="\x01", engine="c", skip_blank_lines=True)
        text = "\n".join(lines.iloc[:, 0].astype(str))
    else:
        with path.open("rb") as stream:
            text = stream.read(1 << 18).decode("utf-8-sig", errors="replace")
    return [row for _, row in zip(range(4), csv.reader(io.StringIO(text)), strict=False)]


def _two_headers(rows: list[list[str]]) -> bool:
    """Whether the first two rows name fields and assets: the one repeats open to volume, the other holds no number."""
    if len(rows) < 3 or len(rows[0]) < 6 or len(rows[0]) != len(rows[1]):
        return False
    known = {alias for ours in OHLCV for alias in ALIASES[ours]}
    recognised = [sum(plain_name(cell) in known for cell in row[1:]) for row in rows[:2]]
    words = all(not _is_number(cell) for row in rows[:2] for cell in row[1:])
    return words and max(recognised) >= len(OHLCV)


def _read_two_headers(path: Path, skip: int) -> pd.DataFrame:
    frame = pd.read_csv(path, header=[0, 1], index_col=0, skiprows=skip)
    # yfinance names the index in a row of its own, of which nothing else is left.
    frame = frame[frame.index.notna()]
    first = str(frame.index[0]).strip().lower() if len(frame) else ""
    if first in ("date", "datetime", "ticker") and frame.iloc[0].isna().all():
        frame = frame.iloc[1:]
    frame.index.name = "ts"
    numbers: pd.DataFrame = frame.apply(pd.to_numeric, errors="coerce")
    return numbers


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.strip().lower() not in ("nan", "inf", "-inf", "infinity")
