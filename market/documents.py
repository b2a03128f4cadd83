"""Texts with time stamps: news, posts, filings, known from their stamp on and keyed to assets."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from market.atomic_files import write_atomically
from market.columns import ALIASES, plain_name
from market.errors import InputError
from market.matching import Matcher
from market.panel import BoolArray, TimeArray
from market.reading.conventions import FileConventions
from market.reading.times import parse_times
from market.table_files import read_file

_KEY = b"alphaglow.documents"
_TEXTS: Mapping[str, tuple[str, ...]] = {
    "ts": (
        *ALIASES["ts"],
        "pubdate",
        "published_on",
        "created_at",
        "filed",
        "newsdatetime",
        "published_date",
        "publish_date",
        "date_published",
        "releasedate",
        "pub_date",
    ),
    "title": ("title", "headline"),
    "body": ("body", "text", "content", "teaser", "summary", "description"),
    "source": ("source", "publisher", "author", "site"),
    "url": ("url", "link"),
    "assets": ("assets", "symbols", "tickers"),
}
# The same headline within this time is the same story; a column of that name may well come back later.
_SAME_STORY = np.timedelta64(7, "D")


@dataclass(frozen=True, eq=False)
class Documents:
    """K texts in the order in which they became known.

    Attributes
    ----------
    known
        (K,) ``datetime64[ns]``, UTC: from when on a text may be used. Its stamp; for a date alone, the day's end.
    dated
        (K,) whether the stamp was a date alone.
    source, title, body, url
        (K,) texts; empty where there is none.
    assets
        (K,) the assets that each text speaks of.
    """

    known: TimeArray
    dated: BoolArray
    source: tuple[str, ...]
    title: tuple[str, ...]
    body: tuple[str, ...]
    url: tuple[str, ...]
    assets: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        """Return K."""
        return len(self.known)

    def until(self, time: np.datetime64) -> Documents:
        """Return what was known at `time`."""
        return self._first(int(np.searchsorted(self.known, time.astype("datetime64[ns]"), side="right")))

    def _first(self, count: int) -> Documents:
        return Documents(
            self.known[:count], self.dated[:count], self.source[:count], self.title[:count], self.body[:count],
            self.url[:count], self.assets[:count],
        )  # fmt: skip


@dataclass(frozen=True)
class TextCounts:
    """What reading did: rows, repeats dropped by url and by title, rows without time or text, dates alone, matched."""

    rows: int
    repeated_url: int
    repeated_title: int
    unusable: int
    dated: int
    matched: int
    by_asset: Mapping[str, int]


def read_documents(
    paths: Sequence[Path],
    matcher: Matcher,
    reading: FileConventions = FileConventions(),  # noqa: B008 - frozen
    said: list[str] | None = None,
) -> tuple[Documents, TextCounts]:
    """Read files of texts of any kind that bars are read from: CSV, JSON lines, Parquet.

    A stamp at midnight is taken for a date alone, and known at the end of that day; an hour too late is safe, an hour
    too early is a look into the future. Repeats (the same address, or the same title within a week) are dropped, the
    first known kept. Where the file has a column of assets, that counts and nothing is searched.

    Parameters
    ----------
    reading
        How the files are written; columns (ts, title, body, source, url, assets) may be mapped. The zone, UTC without
        one, is that of times that state none, and of the day's end.
    said
        Takes what was found out, a sentence each.

    Raises
    ------
    InputError
        For an unreadable file, or one without times or texts.
    """
    whole = pd.concat([_rows(path, reading, said if said is not None else []) for path in paths], ignore_index=True)
    usable = whole["known"].notna() & (whole["title"].str.len() + whole["body"].str.len() > 0)
    frame = whole[usable].sort_values("known", kind="stable")
    frame = frame[~(again := frame["url"].ne("") & frame.duplicated("url"))]
    frame = frame[~(echo := _echoes(frame))]
    assets = _assets(frame, matcher)
    documents = Documents(
        known=frame["known"].dt.tz_localize(None).to_numpy(dtype="datetime64[ns]"),
        dated=frame["dated"].to_numpy(dtype=bool),
        assets=tuple(assets),
        **{name: tuple(frame[name]) for name in ("source", "title", "body", "url")},
    )
    counts = TextCounts(
        rows=len(whole),
        repeated_url=int(again.sum()),
        repeated_title=int(echo.sum()),
        unusable=int((~usable).sum()),
        dated=int(documents.dated.sum()),
        matched=sum(bool(one) for one in assets),
        by_asset=_count_by_asset(assets),
    )
    return documents, counts


def _assets(frame: pd.DataFrame, matcher: Matcher) -> list[tuple[str, ...]]:
    """Return the assets of each text: those that the file states, or those that the text names."""
    return [
        tuple(str(given).replace(";", ",").replace(" ", "").strip(",").split(",")) if given else matcher.assets_in(text)
        for given, text in zip(frame["assets"], frame["title"] + "\n" + frame["body"], strict=True)
    ]


def _count_by_asset(assets: Sequence[Sequence[str]]) -> dict[str, int]:
    """Return how many texts speak of each asset, the most first."""
    total = Counter(asset for one in assets for asset in one)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _rows(path: Path, reading: FileConventions, said: list[str]) -> pd.DataFrame:
    columns, zone = reading.columns, reading.zone or "UTC"
    table = read_file(path, reading)
    said += [note for note in table.notes if note not in said]
    frame = table.frame
    lowered = {plain_name(column): column for column in frame.columns}
    found = {}
    for ours, names in _TEXTS.items():
        if ours in columns and columns[ours] not in frame.columns:
            raise InputError(f"{path} has no column {columns[ours]}", f"it has {', '.join(map(str, frame.columns))}")
        found[ours] = columns.get(ours) or next((lowered[name] for name in names if name in lowered), None)
    if found["ts"] is None or (found["title"] is None and found["body"] is None):
        absent = "time" if found["ts"] is None else "title or body"
        raise InputError(
            f"{path} has no column of {absent}",
            f"map it with --column ts=NAME or title=NAME; it has {', '.join(map(str, frame.columns))}",
        )
    stamps = parse_times(frame[found["ts"]], path, zone, reading.times, said.append)
    local = stamps.dt.tz_convert(ZoneInfo(zone))
    dated = (local == local.dt.normalize()) & local.notna()
    ends = (local.dt.normalize() + pd.Timedelta(days=1)).dt.tz_convert("UTC")
    out = {"known": stamps.where(~dated, ends).astype("datetime64[ns, UTC]"), "dated": dated}
    for ours in ("title", "body", "source", "url"):
        name = found[ours]
        out[ours] = frame[name].fillna("").astype(str).str.strip() if name is not None else pd.Series("", frame.index)
    name = found["assets"]
    out["assets"] = frame[name].map(_listed) if name is not None else pd.Series("", frame.index)
    return pd.DataFrame(out)


def _listed(value: object) -> str:
    """Return a cell of assets, a text or a list, as one text with commas."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return ",".join(str(one) for one in value)
    return "" if value is None or value != value else str(value)


def _echoes(frame: pd.DataFrame) -> pd.Series:
    """Return which rows repeat a title known less than a week before, letters and digits alone compared."""
    titles = frame["title"].str.casefold().map(lambda title: re.sub(r"\W+", " ", title).strip())
    before = frame.groupby(titles)["known"].diff()
    return (titles != "") & before.notna() & (before < pd.Timedelta(_SAME_STORY))


def save_documents(documents: Documents, path: Path, about: Mapping[str, object]) -> None:
    """Write documents as Parquet, whole or not at all; `about` (source, counts) goes into the file's metadata."""
    table = pa.table(
        {
            "known": pa.array(documents.known, type=pa.timestamp("ns", tz="UTC")),
            "dated": pa.array(documents.dated),
            **{name: pa.array(getattr(documents, name), type=pa.string()) for name in _STRINGS},
            "assets": pa.array([list(one) for one in documents.assets], type=pa.list_(pa.string())),
        }
    ).replace_schema_metadata({_KEY: json.dumps(about, default=str).encode()})
    write_atomically(path, lambda target: pq.write_table(table, target, compression="zstd"))


_STRINGS = ("source", "title", "body", "url")


def load_documents(path: Path) -> Documents:
    """Read documents that `save_documents` wrote; anything else is an `InputError`."""
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise InputError(f"no such texts: {path}") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"cannot read {path}: {str(error).splitlines()[0]}", "import the texts again") from error
    if _KEY not in (table.schema.metadata or {}):
        raise InputError(f"{path} holds no stored texts", f"import them: alphaglow text import {path}")
    return Documents(
        known=table["known"].to_numpy().astype("datetime64[ns]"),
        dated=table["dated"].to_numpy(),
        assets=tuple(tuple(one) for one in table["assets"].to_pylist()),
        **{name: tuple(table[name].to_pylist()) for name in _STRINGS},
    )
