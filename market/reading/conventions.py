"""What a person may say about how files are to be read; all that is left open is found out from the files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Stamps = Literal["open", "close"]


@dataclass(frozen=True)
class TextForm:
    """How a text table is written; None is found out.

    Attributes
    ----------
    sep, decimal, thousands
        What stands between cells, before a fraction, and between groups of three digits.
    encoding
        Such as ``utf-8`` or ``gb18030``.
    header
        Whether the first row names the columns.
    names
        The columns' names, in the place of the file's or where it has none.
    skip
        Lines above the table.
    """

    sep: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    header: bool | None = None
    names: tuple[str, ...] = ()
    skip: int | None = None


@dataclass(frozen=True)
class TimeForm:
    """How times are written: a format of ``strptime``, or whether the day comes first; None is found out."""

    date_format: str | None = None
    day_first: bool | None = None


@dataclass(frozen=True)
class FileConventions:
    """How files are to be read, where they do not say themselves.

    Attributes
    ----------
    columns
        Our name to the file's, such as ``{"close": "last_price"}``; common names are recognised without.
    zone
        Time zone of times that state none; empty is the recipe's, else UTC.
    stamps
        Whether a time is a bar's open (the panel's own meaning) or its close, from which a bar's length is taken off.
        None: a close where the stamps show it (``23:59:59``), else an open.
    text, times
        How tables and times are written.
    recipe
        Name of a recipe; empty is found by the file's shape.
    units
        Factors by which fields are multiplied, such as ``{"volume": 100}``.
    wide
        The field that the columns, one an asset, hold; empty is found out.
    symbol
        The asset of files without a column of symbols; empty is the file's name.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    zone: str = ""
    stamps: Stamps | None = None
    text: TextForm = field(default_factory=TextForm)
    times: TimeForm = field(default_factory=TimeForm)
    recipe: str = ""
    units: Mapping[str, float] = field(default_factory=dict)
    wide: str = ""
    symbol: str = ""
