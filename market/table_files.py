"""Reading one file as a table: text, JSON, Parquet, Feather, and Excel and HDF5 where their readers are."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import pandas as pd
import pyarrow as pa
import pyarrow.feather as pf
import pyarrow.parquet as pq

from market.errors import InputError
from market.reading.conventions import FileConventions
from market.reading.files_on_disk import kind_of_file
from market.reading.recipe import by_header, recipe_named
from market.reading.text_table import ReadTable, read_text

_PLAIN = FileConventions()
# What reads a kind of file, and how pip is asked for it.
_READERS = {
    "xlsx": ("openpyxl", "'alphaglow[excel]'"), "xls": ("xlrd", "xlrd"), "hdf5": ("tables", "'alphaglow[hdf5]'"),
}  # fmt: skip


def read_table(path: Path, reading: FileConventions = _PLAIN) -> pd.DataFrame:
    """Return the table of `read_file` alone."""
    return read_file(path, reading).frame


def read_file(path: Path, reading: FileConventions = _PLAIN) -> ReadTable:
    """Read a file of any kind that holds one table; whatever is wrong with it is an `InputError`.

    A CSV's separator, encoding, decimal and thousands signs, text above and below, and missing header are found out;
    two header rows, fields and assets (yfinance), become a two-level header.
    """
    kind = kind_of_file(path)
    try:
        if kind in ("parquet", "feather"):
            table = ReadTable(_indexed(pq.read_table(path) if kind == "parquet" else pf.read_table(path)))
        elif kind in ("xlsx", "xls", "hdf5"):
            table = ReadTable(_office(path, kind))
        else:
            table = read_text(path, kind, reading)
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{path} is empty", "is it the right file?") from error
    except (
        pa.ArrowInvalid,
        pa.ArrowNotImplementedError,
        pd.errors.ParserError,
        pd.errors.ParserWarning,
        csv.Error,
        ValueError,
        OSError,
        OverflowError,
        MemoryError,
    ) as error:
        raise _unreadable(path, error) from error
    if table.recipe is None and not isinstance(table.frame.columns, pd.MultiIndex):
        table = replace(table, recipe=by_header(table.frame.columns, path))
    if reading.recipe:
        table = replace(table, recipe=recipe_named(reading.recipe))
    return table


def _unreadable(path: Path, error: Exception) -> InputError:
    said = " ".join(str(error).split()).replace("C error: ", "")
    return InputError(
        f"cannot read {path}: {said[:200].rstrip(';: ')}",
        "say how it is written with --sep, --skip, --encoding or --names",
    )


def _indexed(table: pa.Table) -> pd.DataFrame:
    """Return a frame whose index, where it holds times or symbols, is made columns."""
    frame: pd.DataFrame = table.to_pandas()
    if frame.columns.nlevels > 1:
        return frame
    indexed = frame.index.names != [None] or isinstance(frame.index, pd.DatetimeIndex)
    if indexed:
        clash = [name for name in frame.index.names if name in frame.columns]
        return (
            frame.reset_index(drop=bool(clash))
            if clash
            else frame.reset_index(names="ts" if frame.index.names == [None] else None)
        )
    return frame


def _office(path: Path, kind: str) -> pd.DataFrame:
    """Read the only sheet, or the first that holds a table, of a workbook; or the only frame of an HDF5 file."""
    reader, package = _READERS[kind]
    try:
        read: Any = pd.read_hdf(path) if kind == "hdf5" else pd.read_excel(path, sheet_name=None)
    except ImportError as error:
        raise InputError(
            f"{path} needs the package {reader}", f"pip install {package}, or save the table as CSV"
        ) from error
    except (KeyError, TypeError, AttributeError, BadZipFile) as error:
        raise InputError(f"{path} holds no table that can be read", "save it as CSV or Parquet") from error
    if isinstance(read, dict):
        filled = {name: sheet for name, sheet in read.items() if not sheet.empty}
        if len(filled) != 1:
            raise InputError(f"{path} holds {len(filled)} sheets with a table", "save the one that is meant as CSV")
        read = next(iter(filled.values()))
    frame: pd.DataFrame = (
        read.reset_index() if isinstance(read.index, pd.DatetimeIndex) or read.index.names != [None] else read
    )
    return frame
