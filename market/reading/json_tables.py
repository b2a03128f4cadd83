"""Tables in JSON: records, columns, lists of lists, and a series inside an answer of a server."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from market.errors import InputError
from market.reading.headerless import guess_names
from market.reading.recipe import by_rows

_ROWS_CHECKED = 300
_ASSET = re.compile(r"(?!DATA|RESULT|CANDLES|BARS|ROWS|VALUES|OHLC|KLINES|PRICES|QUOTES|ITEMS)[A-Z][A-Z0-9./:_-]{4,}")
# What stands beside a table and is none.
_NOTES = frozenset({"meta", "metadata", "schema", "fields", "columns", "statistics", "pagination", "query"})


def json_table(text: str, path: Path, names: Sequence[str] = ()) -> pd.DataFrame:
    """Return the table that a JSON text holds.

    Understood: a list of records; a list of lists (`names`, else names found from what they hold); a mapping of
    columns; records or columns under a key, beside which a ticker belongs to every row; records under their times, as
    AlphaVantage gives them; frames of pandas (``orient`` split, table, index, columns).

    Raises
    ------
    InputError
        For text that is not JSON, or holds no table, or several.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and lines[0].lstrip().startswith(("{", "[")):
            return json_lines(lines, path, names)
        raise InputError(
            f"{path} is no whole JSON: {error.msg} in line {error.lineno}", "get the file again"
        ) from error
    except RecursionError as error:
        raise InputError(f"{path} is nested too deeply", "give a list of records") from error
    return _table(data, path, names, {})


def json_lines(lines: Sequence[str], path: Path, names: Sequence[str] = ()) -> pd.DataFrame:
    """Return the table of texts of one JSON record, or list, each."""
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except (json.JSONDecodeError, RecursionError) as error:
            if number == len(lines) and rows:
                raise InputError(f"{path}: the last line is cut", "get the file again, or remove that line") from error
            raise InputError(f"{path}: line {number} is no JSON", "write one record a line") from error
    if not rows:
        raise InputError(f"{path} has no rows", "is it the right file?")
    return _table(rows, path, names, {})


def _table(data: Any, path: Path, names: Sequence[str], beside: Mapping[str, object]) -> pd.DataFrame:  # noqa: ANN401
    if isinstance(data, list):
        return _from_list(data, path, names).assign(**_kept(beside))
    if not isinstance(data, dict):
        raise InputError(f"{path} holds a single value", "give a list of records")
    if set(data) >= {"columns", "data"} and isinstance(data["columns"], list):
        frame = _framed(data["data"], data["columns"], path)
        index = data.get("index")
        if isinstance(index, list) and len(index) == len(frame) and not _is_range(index):
            frame.insert(0, "ts", index)
        return frame
    if set(data) >= {"fields", "items"} and isinstance(data["fields"], list):
        return _framed(data["items"], data["fields"], path)
    if set(data) >= {"timestamp", "indicators"} and isinstance(data["indicators"], dict):
        quotes = data["indicators"].get("quote") or [{}]
        return pd.DataFrame({"timestamp": data["timestamp"], **quotes[0]}).assign(**_kept(beside))
    lists = {key: one for key, one in data.items() if isinstance(one, list)}
    if lists and all(_are_pairs(one) for one in lists.values()) and len(lists) == len(data):
        return _from_pairs(lists)
    if (
        len(lists) >= 3
        and len({len(one) for one in lists.values()}) == 1
        and not any(isinstance(cell, (dict, list)) for one in lists.values() for cell in one[:1])
    ):
        single = {key: one for key, one in data.items() if not isinstance(one, (dict, list))}
        return pd.DataFrame(lists).assign(**_kept(single))
    dicts = {key: one for key, one in data.items() if isinstance(one, dict)}
    if len(dicts) == len(data) and len(data) > 1 and all(_is_flat(one) for one in dicts.values()):
        keyed = _keyed(dicts)
        return keyed.assign(**{key: one for key, one in _kept(beside).items() if key not in keyed})
    inner = [(key, one) for key, one in data.items() if isinstance(one, (list, dict)) and len(one) and _holds_rows(one)]
    inner = [(key, one) for key, one in inner if key.lower() not in _NOTES] if len(inner) > 1 else inner
    if len(inner) > 1:
        several = _by_asset(inner, path, names)
        if several is not None:
            return several
    if len(inner) == 1:
        beside = {**beside, **_meta(data)}
        single = {
            key: one
            for key, one in data.items()
            if isinstance(one, str) and key not in ("status", "request_id", "next_url")
        }
        # {"XXBTZUSD": [[...]], "last": 1}: the key of the rows is the asset.
        asset = {"symbol": inner[0][0]} if _ASSET.fullmatch(inner[0][0]) and isinstance(inner[0][1], list) else {}
        return _table(inner[0][1], path, names, {**asset, **beside, **single})
    what = f"several: {', '.join(key for key, _ in inner[:5])}" if inner else "none"
    raise InputError(f"{path} should hold one table and holds {what}", "keep one list of records in the file")


def _by_asset(inner: Sequence[tuple[str, Any]], path: Path, names: Sequence[str]) -> pd.DataFrame | None:
    """Return tables of the same columns under their assets as one; None where they are unlike."""
    try:
        tables = [(key, _table(one, path, names, {})) for key, one in inner]
    except InputError:
        return None
    if any(list(table.columns) != list(tables[0][1].columns) or "symbol" in table for _, table in tables):
        return None
    return pd.concat([table.assign(symbol=str(key)) for key, table in tables], ignore_index=True)


def _meta(data: Mapping[str, Any]) -> dict[str, object]:
    """Return what notes beside a table say of its ticker: {"meta": {"symbol": "AAPL"}}, "2. Symbol"."""
    notes = [
        one for key, one in data.items()
        if isinstance(one, dict) and (key.lower().startswith("meta") or {"ticker", "symbol"} & set(one))
    ]  # fmt: skip
    return {
        str(key).split(". ", 1)[-1].lower(): value
        for note in notes
        for key, value in note.items()
        if isinstance(value, str)
    }


def _are_pairs(rows: Sequence[object]) -> bool:
    return len(rows) > 1 and all(isinstance(row, list) and len(row) == 2 for row in rows)


def _from_pairs(lists: Mapping[str, Any]) -> pd.DataFrame:
    """Return series of (time, value) pairs as columns, as CoinGecko gives them."""
    called = {"prices": "close", "total_volumes": "amount"}
    series = {called.get(key, key): pd.Series(dict(rows)) for key, rows in lists.items()}
    return pd.DataFrame(series).rename_axis("ts").reset_index()


def _holds_rows(one: Any) -> bool:  # noqa: ANN401
    if isinstance(one, list):
        return isinstance(one[0], (dict, list))
    values = list(one.values())
    # A note beside the series ("Meta Data": texts) is no table.
    return any(isinstance(value, dict) or (isinstance(value, list) and value) for value in values)


def _is_flat(one: Mapping[str, object]) -> bool:
    return bool(one) and not any(isinstance(value, (dict, list)) for value in one.values())


def _keyed(dicts: Mapping[str, Mapping[str, object]]) -> pd.DataFrame:
    """Return records under their times, or columns of values under their times."""
    frame = pd.DataFrame.from_dict(dict(dicts), orient="index")
    fields = [str(key).split(".")[-1].strip().lower() for key in dicts]
    if "close" in fields:
        frame = frame.T
    # AlphaVantage numbers its names: "1. open".
    frame.columns = pd.Index([str(c).split(". ", 1)[-1] if str(c)[:1].isdigit() else str(c) for c in frame.columns])
    frame.insert(0, "ts", [str(one) for one in frame.index])
    numbered: pd.DataFrame = frame.reset_index(drop=True)
    return numbered


def _from_list(rows: list[Any], path: Path, names: Sequence[str]) -> pd.DataFrame:
    if not rows:
        raise InputError(f"{path} has no rows", "is it the right file?")
    if all(isinstance(row, dict) for row in rows):
        if len(rows) == 1 and "indicators" in rows[0]:
            return _table(rows[0], path, names, _meta(rows[0]))
        deep = [
            key for key, value in rows[0].items() if isinstance(value, list) and value and isinstance(value[0], dict)
        ]
        if len(deep) == 1:
            # [{"ticker": "btcusd", "priceData": [...]}]: a table an asset.
            tables = [_from_list(row[deep[0]], path, names).assign(**_kept(row)) for row in rows if row.get(deep[0])]
            return pd.concat(tables, ignore_index=True)
        if deep:
            raise InputError(f"{path}: {deep[0]!r} holds tables inside records", "keep one list of records in the file")
        return pd.DataFrame.from_records([_flat(row) for row in rows] if _is_deep(rows[0]) else rows)
    if all(isinstance(row, list) for row in rows) and len({len(row) for row in rows}) == 1:
        first = rows[0]
        if (
            first
            and all(isinstance(cell, str) for cell in first)
            and len(rows) > 1
            and not all(isinstance(cell, str) for cell in rows[1])
        ):
            return _framed(rows[1:], first, path)
        return _framed(rows, names or _named(rows, path), path)
    raise InputError(f"{path} is a list of unlike things", "give a list of records")


def _is_deep(row: Mapping[str, object]) -> bool:
    return bool(_inside(row)) or sum(isinstance(one, dict) and {"bid", "ask"} <= set(one) for one in row.values()) >= 4


def _inside(row: Mapping[str, object]) -> str:
    """Return the key under which a record holds its figures in a record of their own; of several, the mid prices'."""
    keys = [key for key, value in row.items() if isinstance(value, dict) and len(value) >= 4 and _is_flat(value)]
    return keys[0] if len(keys) == 1 else "mid" if "mid" in keys else ""


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    sides = {key: value for key, value in row.items() if isinstance(value, dict) and {"bid", "ask"} <= set(value)}
    if len(sides) >= 4:
        # {"openPrice": {"bid": 1, "ask": 2}}: openPrice_bid, openPrice_ask.
        flat = {f"{key}_{side}": one for key, value in sides.items() for side, one in value.items()}
        return {**{key: value for key, value in row.items() if key not in sides}, **flat}
    key = _inside(row)
    return {**{name: value for name, value in row.items() if not isinstance(value, dict)}, **row.get(key, {})}


def _named(rows: Sequence[Sequence[object]], path: Path) -> Sequence[str]:
    cells = [tuple("" if cell is None else str(cell) for cell in row) for row in rows[:_ROWS_CHECKED]]
    recipe = by_rows(cells, path)
    return recipe.names if recipe is not None else guess_names(cells, path)


def _framed(rows: Sequence[Sequence[object]], names: Sequence[object], path: Path) -> pd.DataFrame:
    if rows and len(rows[0]) != len(names):
        raise InputError(f"{path}: {len(rows[0])} cells a row, {len(names)} names", "give one name a column: --names")
    return pd.DataFrame(list(rows), columns=[str(name) for name in names])


def _kept(single: Mapping[str, object]) -> dict[str, Any]:
    """Return what stands beside a table and belongs to each row: the ticker."""
    names = ("ticker", "symbol", "pair", "instrument", "exchange_timezone", "time zone", "timezone")
    return {key: value for key, value in single.items() if key.lower() in names and isinstance(value, str)}


def _is_range(index: Sequence[object]) -> bool:
    return list(index) == list(range(len(index)))
