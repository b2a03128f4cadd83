"""Wide tables: one column an asset, or an asset and a field."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from market.columns import ALIASES, KEYS, field_name, field_of, find, plain_name, understand
from market.errors import InputError
from market.reading.conventions import FileConventions
from market.reading.not_bars import refuse_others
from market.reading.times import parse_times

_FIELDS = {alias: ours for ours, names in ALIASES.items() if ours not in KEYS for alias in names}
# A table of one row a figure has few kinds of figures.
_MOST_FIELDS = 40
# BTCUSDT_close, close.BTCUSDT, "AAPL Close"; single letters are no fields here.
_JOINT = re.compile(r"^(.+?)[_.\-: ](open|high|low|close|volume)$|^(open|high|low|close|volume)[_.\-: ](.+)$", re.I)


def unstack(frame: pd.DataFrame, mapping: Mapping[str, str]) -> pd.DataFrame:
    """Return a frame whose columns name assets and fields as a long one; any other frame as it is."""
    if isinstance(frame.columns, pd.MultiIndex):
        return _from_levels(frame)
    frame = _from_melted(frame, mapping)
    if find(frame, "close", mapping) is not None or find(frame, "symbol", mapping) is not None:
        return frame
    parts: dict[str, dict[str, str]] = {}
    for column in frame.columns:
        hit = _JOINT.match(str(column).strip())
        if hit:
            asset, name = (hit[1], hit[2]) if hit[1] else (hit[4], hit[3])
            parts.setdefault(asset, {})[name.lower()] = str(column)
    whole = {asset: names for asset, names in parts.items() if "close" in names}
    if not whole:
        return frame
    stamp = find(frame, "ts", mapping) or str(frame.columns[0])
    pieces = [
        pd.DataFrame({"ts": frame[stamp], "symbol": asset, **{name: frame[column] for name, column in names.items()}})
        for asset, names in whole.items()
    ]
    return pd.concat(pieces, ignore_index=True).dropna(subset=["close"], how="all")


def _is_field_name(word: str, words: pd.Series) -> bool:
    """Whether a word can name a field here: a letter may also be a ticker, where others are no fields."""
    return len(word) > 1 or all(plain_name(one) in _FIELDS for one in words)


def _from_melted(frame: pd.DataFrame, mapping: Mapping[str, str]) -> pd.DataFrame:
    """Return a frame of one row a figure, whose field stands in a column of its own, with one row a bar."""
    numeric = [c for c in frame.columns if pd.api.types.is_numeric_dtype(frame[c])]
    stamp = find(frame, "ts", mapping)
    values = [c for c in numeric if c != stamp]
    if len(values) != 1 or stamp is None or not len(frame):
        return frame
    for column in frame.columns.drop([stamp, *values]):
        words = frame[column].drop_duplicates()
        if (
            len(words) > _MOST_FIELDS
            or not words.notna().all()
            or "close" not in {_FIELDS.get(plain_name(one)) for one in words if _is_field_name(str(one), words)}
        ):
            continue
        if len({_FIELDS.get(plain_name(one)) for one in words} - {None}) < 2:
            continue
        keys = [c for c in frame.columns if c not in (column, *values)]
        if frame.duplicated([*keys, column]).any():
            continue
        whole = frame.pivot(index=keys, columns=column, values=values[0]).reset_index()
        return whole.rename_axis(columns=None)
    return frame


def _from_levels(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with two header rows, fields over assets or assets over fields, as a long one."""
    if frame.columns.nlevels != 2:
        raise InputError(f"{frame.columns.nlevels} header rows cannot be read", "two can: field and asset")
    stamped = [
        column for column in frame.columns if plain_name(column[0]) in ALIASES["ts"] and not plain_name(column[1])
    ]
    if stamped:
        frame = frame.set_index(stamped[0])
    words = [{plain_name(word) for word in frame.columns.get_level_values(n)} for n in (0, 1)]
    # By share: among many tickers some are words for fields, such as LOW.
    known = [len(some & _FIELDS.keys()) / len(some) for some in words]
    level = int(known[1] > known[0])
    pieces = []
    for asset in dict.fromkeys(frame.columns.get_level_values(1 - level)):
        part = pd.DataFrame(frame.xs(asset, axis=1, level=1 - level))
        named = part.rename(columns={c: _FIELDS.get(plain_name(c), field_name(c)) for c in part.columns})
        named = named.dropna(how="all")
        pieces.append(named.rename_axis(index="ts", columns=None).reset_index().assign(symbol=str(asset)))
    return pd.concat(pieces, ignore_index=True)


def is_wide(frames: Sequence[tuple[Path, pd.DataFrame]], mapping: Mapping[str, str]) -> bool:
    """Whether every file lacks a close and a symbol column and is named after a field."""
    return all(
        find(frame, "close", mapping) is None and find(frame, "symbol", mapping) is None and field_of(path) is not None
        for path, frame in frames
    )


def from_wide(frames: Sequence[tuple[Path, pd.DataFrame]], mapping: Mapping[str, str], zone: str) -> pd.DataFrame:
    """Return one wide file a field as a long frame, in order of symbol and time."""
    parts = {}
    for path, frame in frames:
        stamp = find(frame, "ts", mapping) or str(frame.columns[0])
        name = field_of(path) or "close"
        melted = frame.rename(columns={stamp: "ts"}).melt(id_vars="ts", var_name="symbol", value_name=name)
        if name in parts:
            raise InputError(f"{path} is a second file for {name}", "give one wide file a field")
        if melted.duplicated(["ts", "symbol"]).any() or not pd.api.types.is_numeric_dtype(melted[name]):
            raise InputError(f"{path} repeats a time or holds text", "correct the file: one row a time, numbers only")
        parts[name] = melted.assign(ts=parse_times(melted["ts"], path, zone)).set_index(["ts", "symbol"])[name]
    if "close" not in parts:
        raise InputError("the wide files lack close", "give a file for it, such as spot_close.csv")
    long = pd.DataFrame(parts).dropna(how="all").reset_index()
    ordered: pd.DataFrame = long.sort_values(["symbol", "ts"], kind="stable", ignore_index=True)
    return ordered


def from_matrix(path: Path, frame: pd.DataFrame, reading: FileConventions, tell: Callable[[str], None]) -> pd.DataFrame:
    """Return a table of one column an asset, all of one field, as a long frame; by default of closes."""
    refuse_others(path, frame, understand(frame, reading.columns))
    stamp = find(frame, "ts", reading.columns) or str(frame.columns[0])
    name = reading.wide or "close"
    assets = [str(column) for column in frame.columns if column != stamp]
    melted = frame.rename(columns={stamp: "ts"}).melt(id_vars="ts", var_name="symbol", value_name=name)
    if not pd.api.types.is_numeric_dtype(melted[name]):
        raise InputError(f"{path} holds text among the values", "correct the file: numbers only")
    more = f" and {len(assets) - 4} more" if len(assets) > 4 else ""
    tell(f"one column an asset, the values are the {name}: {', '.join(assets[:4])}{more}")
    times = parse_times(melted["ts"], path, reading.zone or "UTC", reading.times, tell)
    return melted.assign(ts=times, symbol=melted["symbol"].astype(str)).dropna(subset=[name])
