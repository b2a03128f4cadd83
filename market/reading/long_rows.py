"""One file's table as rows of (ts, symbol, open, high, low, close, volume, …)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from market.columns import (
    ALIASES,
    DAY_FIRST,
    KEYS,
    field_name,
    find,
    is_noise,
    plain_name,
    quoted,
    symbol_of,
    understand,
)
from market.errors import InputError
from market.panel import OHLCV
from market.reading.bar_columns import likely_prices
from market.reading.conventions import FileConventions, TimeForm
from market.reading.date_parts import with_times
from market.reading.not_bars import refuse_others
from market.reading.numbers import are_thirty_seconds, figures_of, from_thirty_seconds
from market.reading.recipe import Recipe
from market.reading.text_table import ReadTable
from market.reading.times import parse_times, zone_of
from market.reading.units import units_of, with_money, with_own_volume
from market.reading.unnamed_columns import counts, refuse_unnamed
from market.reading.zones import zone_beside

Tell = Callable[[str], None]
# What a column is called that holds what comes after the bar.
_FUTURE = re.compile(
    r"(target|label|fwd|forward|future|y|next)([_ .-].*|\d*)|(ret|return|returns)[_ .-]?(fwd|forward|next|future).*"
)
# Rows that tell as much as a million.
_ENOUGH = 50_000
_FUNDING = ("funding_rate", "fundingrate", "last_funding_rate")


def long_rows(path: Path, table: ReadTable, reading: FileConventions, tell: Tell) -> pd.DataFrame:
    """Return one file's rows; a time and a close must be there, what else is missing is NaN and said.

    Raises
    ------
    InputError
        For missing columns, with what they might be called; cells that are no numbers; unreadable times.
    """
    frame = with_times(table.frame)
    recipe = table.recipe
    mapping = {**_recipe_columns(frame, recipe), **reading.columns}
    frame = _without(frame, recipe, reading)
    names = understand(frame, mapping)
    names = _with_index(frame, names, path)
    names = _with_lone_times(frame, names, path, tell)
    refuse_others(path, frame, names)
    absent = [ours for ours in ("ts", "close") if ours not in names.values()]
    if absent:
        raise _no_column(path, frame, absent, table.notes)
    if recipe is not None:
        tell(f"taken for {recipe.title}{': ' + recipe.note if recipe.note else ''}")
    taken = [c for c in frame.columns if (c in names.values() and c not in names) or (is_noise(c) and c not in names)]
    renamed = _without_stamps(frame.drop(columns=taken).rename(columns=names))
    if "symbol" not in names.values():
        renamed = renamed.assign(symbol=reading.symbol or symbol_of(path))
    renamed = renamed.assign(symbol=_filled_down(renamed["symbol"], tell))
    if renamed["symbol"].isna().any():
        raise InputError(
            f"{path}: row {int(renamed['symbol'].isna().argmax()) + 1} has no symbol",
            "correct the file, or say --column symbol=NAME",
        )
    theirs = {ours: str(column) for column, ours in names.items()}
    renamed = _without_directions(_priced(renamed, theirs, path, tell), tell)
    refuse_unnamed(renamed, theirs, path, tell)
    renamed = _without_future(renamed, reading, tell)
    extra = _extra_names(renamed, path)
    kept = renamed[["ts", "symbol", *[c for c in OHLCV if c in renamed.columns], *extra]].rename(columns=extra)
    if recipe is not None:
        kept = _by_recipe(kept, recipe, path)
    zone = reading.zone or _known_zone(kept["ts"], frame, theirs["ts"], recipe)
    times = parse_times(kept["ts"], path, zone or "UTC", _time_form(frame, recipe, reading), tell)
    if not zone and len(kept) and not zone_of(kept["ts"]):
        _tell_zone(times, tell)
    symbols = kept["symbol"].astype(str)
    if any(one != one.strip() for one in symbols.unique()):
        symbols = symbols.str.strip()
    out = kept.assign(ts=times, symbol=symbols)
    for name, factor in {**units_of(out, theirs, recipe, tell), **reading.units}.items():
        if name not in out.columns:
            raise InputError(f"--unit {name}: there is no such field", f"the file gives {', '.join(out.columns[2:])}")
        out[name] = out[name] * factor
    return out if {"amount", "volume"} & set(mapping) else with_money(with_own_volume(out, tell), tell)


def _filled_down(symbols: pd.Series, tell: Tell) -> pd.Series:
    """Return symbols where a spreadsheet's cells were one for all rows of an asset: written in its first row alone."""
    named = symbols.dropna()
    if (
        len(named) == len(symbols)
        or symbols.iloc[:1].isna().any()
        or not named.is_unique
        or 2 * len(named) > len(symbols)
    ):
        return symbols
    tell(f"symbols stand in the first row of each asset: {', '.join(map(str, named.head(4)))}")
    return symbols.ffill()


def _without_stamps(renamed: pd.DataFrame) -> pd.DataFrame:
    """Leave out a second time in epochs, such as the close of a bar: figures as large as the times are no others."""
    stamps = renamed["ts"]
    if not pd.api.types.is_numeric_dtype(stamps) or not len(stamps) or not (stamps > 1e9).all():
        return renamed
    others = [c for c in renamed.columns if c not in (*OHLCV, *KEYS) and pd.api.types.is_integer_dtype(renamed[c])]
    late = [c for c in others if ((renamed[c] >= stamps) & (renamed[c] <= 1.05 * stamps)).all()]
    return renamed.drop(columns=late)


def _extra_names(renamed: pd.DataFrame, path: Path) -> dict[str, str]:
    """Return the columns that come along as fields, and what those are called; two of one name are refused."""
    extra = {
        c: field_name(c) for c in renamed.columns
        if c not in OHLCV and c not in KEYS and pd.api.types.is_numeric_dtype(renamed[c])
        and not pd.api.types.is_bool_dtype(renamed[c])
    }  # fmt: skip
    if len({*extra.values(), *OHLCV, *KEYS}) < len(extra) + len(OHLCV) + len(KEYS):
        again = next(name for name in extra.values() if [*extra.values(), *OHLCV, *KEYS].count(name) > 1)
        theirs_too = next(str(c) for c, name in extra.items() if name == again)
        raise InputError(
            f"{path}: two columns would be called {again}",
            f"give one another name: --column other_{again.strip('_')}={quoted(theirs_too)}",
        )
    return extra


def _known_zone(stamps: pd.Series, frame: pd.DataFrame, called: str, recipe: Recipe | None) -> str:
    """Return the zone of a recipe, of the times' name or beside the table; a date alone is a day anywhere."""
    zone = zone_beside(frame, called) or (recipe.zone if recipe is not None else "")
    if not zone:
        return ""
    if pd.api.types.is_numeric_dtype(stamps):
        return zone if len(stamps) and float(stamps.max()) > 21_001_231 else ""
    return zone if stamps.dropna().head(200).astype(str).str.contains(r"\d[T ]+\d", regex=True).any() else ""


def _by_recipe(kept: pd.DataFrame, recipe: Recipe, path: Path) -> pd.DataFrame:
    """Return the rows with what only a recipe knows: a day in the file's name, fixed-point prices, volume as money."""
    stamps = kept["ts"]
    if (
        recipe.day_in_name
        and pd.api.types.is_numeric_dtype(stamps)
        and len(stamps)
        and float(stamps.max()) < 86_400_000
    ):
        day = re.search(r"(?<!\d)(?:19|20)\d{6}(?!\d)", path.name)
        if day is None:
            raise InputError(
                f"{path}: times are milliseconds of a day that the file's name does not say", "call it YYYYMMDD_…"
            )
        first = pd.to_datetime(day[0], format="%Y%m%d")
        kept = kept.assign(ts=first + pd.to_timedelta(stamps, unit="ms"))
    if recipe.fixed_point:
        prices = [name for name in OHLCV[:4] if name in kept.columns]
        if all((kept[name].dropna() % 1 == 0).all() and kept[name].median() > 1e7 for name in prices):
            kept = kept.assign(**{name: kept[name] * recipe.fixed_point for name in prices})
    if recipe.volume_is_money and "volume" in kept.columns and "amount" not in kept.columns:
        kept = kept.assign(amount=kept["volume"])
    return kept


def _tell_zone(times: pd.Series, tell: Tell) -> None:
    known = times.dropna()
    # A day's bar of no zone is of that day everywhere.
    if (known != known.dt.normalize()).any():
        tell("times state no zone: taken as UTC (another: --tz America/New_York)")


def _time_form(frame: pd.DataFrame, recipe: Recipe | None, reading: FileConventions) -> TimeForm:
    form = reading.times
    if form.date_format is None and form.day_first is None:
        if recipe is not None and (recipe.date_format or recipe.day_first is not None):
            return TimeForm(recipe.date_format or None, recipe.day_first)
        if DAY_FIRST & {plain_name(column) for column in frame.columns}:
            return replace(form, day_first=True)
    return form


def _recipe_columns(frame: pd.DataFrame, recipe: Recipe | None) -> dict[str, str]:
    lowered = {plain_name(column): str(column) for column in frame.columns}
    # Where q and Q are two columns, q is meant.
    lowered |= {str(column): str(column) for column in frame.columns if str(column) in lowered}
    wanted = recipe.columns if recipe is not None else {}
    return {ours: lowered[plain] for ours, plain in wanted.items() if plain in lowered}


def _without(frame: pd.DataFrame, recipe: Recipe | None, reading: FileConventions) -> pd.DataFrame:
    drop = set(recipe.leave_out) if recipe is not None else set()
    return frame.drop(columns=[c for c in frame.columns if plain_name(c) in drop and c not in reading.columns.values()])


def _with_index(frame: pd.DataFrame, names: Mapping[str, str], path: Path) -> dict[str, str]:
    """Return the names with a first column without one taken for the times, or for the assets of repeated times."""
    first = frame.columns[0] if len(frame.columns) else ""
    if not str(first).startswith("Unnamed:"):
        return dict(names)
    stamp = next((column for column, ours in names.items() if ours == "ts"), None)
    if stamp is not None:
        # pandas.concat of a dict of frames writes its keys so.
        keys = (
            not pd.api.types.is_numeric_dtype(frame[first])
            and frame[first].notna().all()
            and "symbol" not in names.values()
        )
        assets = keys and frame[stamp].duplicated().any() and not frame.duplicated([first, stamp]).any()
        return {**names, str(first): "symbol"} if assets else dict(names)
    try:
        parse_times(frame[first].head(1000), path)
    except InputError as error:
        if "?" in error.message:
            raise
        return dict(names)
    return {**names, str(first): "ts"}


def _with_lone_times(frame: pd.DataFrame, names: Mapping[str, str], path: Path, tell: Tell) -> dict[str, str]:
    """Return the names with the one column that holds times throughout taken for them, where no name says which."""
    if "ts" in names.values() or "close" not in names.values():
        return dict(names)
    free = [c for c in frame.columns if str(c) not in names]
    # Numbers may look like times; those of bars rise or fall from row to row.
    lone = [
        str(c) for c in free
        if frame[c].nunique() > 1 and (not pd.api.types.is_numeric_dtype(frame[c]) or _is_ordered(frame[c]))
        and _holds_times(frame[c], path)
    ]  # fmt: skip
    if len(lone) != 1:
        return dict(names)
    tell(f"times are taken from {lone[0]}, the one column that holds some")
    return {**names, lone[0]: "ts"}


def _is_ordered(column: pd.Series) -> bool:
    return bool(column.is_monotonic_increasing or column.is_monotonic_decreasing)


def _no_column(path: Path, frame: pd.DataFrame, absent: Sequence[str], notes: Sequence[str]) -> InputError:
    has = ", ".join([str(column) for column in frame.columns[:20]]) + "".join(f"; {note}" for note in notes)
    known = understand(frame, {})
    numeric = [str(c) for c in frame.columns if pd.api.types.is_numeric_dtype(frame[c]) and str(c) not in known]
    guess = next((c for c in frame.columns if "close" in plain_name(c) or "price" in plain_name(c)), None)
    option = ""
    if "ts" in absent:
        times = next((str(c) for c in frame.columns if _holds_times(frame[c], path)), None)
        if times is None:
            lacks = f"{path} has no column for {', '.join(absent)}"
            hint = f"say --column ts=NAME with --date-format FORMAT; it has {has}"
            return InputError(f"{lacks}: none holds times throughout", hint)
        option = f"--column ts={quoted(times)} "
        numeric = [name for name in numeric if name != times]
    if "close" in absent:
        prices, decided = likely_prices(frame, times if "ts" in absent else find(frame, "ts", {}))
        lone = {"close": str(guess if guess is not None else numeric[0] if numeric else "NAME")}
        pairs = {ours: name for ours, name in prices.items() if known.get(name) != ours} or lone
        if len(prices) == 4 and "volume" not in known.values():
            rest = [name for name in numeric if name not in prices.values() and counts(frame[name].dropna())]
            pairs |= {"volume": rest[0]} if len(rest) == 1 else {}
        option += " ".join(f"--column {ours}={quoted(name)}" for ours, name in pairs.items())
        option += "" if decided or not {"open", "close"} <= set(pairs) else " (open and close may change places)"
        if is_close_matrix(frame, {}, by_name=False):
            option += ", or say --wide close if each column is an asset"
    option = option.strip()
    return InputError(f"{path} has no column for {', '.join(absent)}", f"map it with {option}; the file has {has}")


def _holds_times(column: pd.Series, path: Path) -> bool:
    if pd.api.types.is_float_dtype(column):
        return False
    try:
        parse_times(column.tail(500), path)
    except InputError as error:
        return "?" in error.message or "fiscal" in error.message
    return len(column) > 0


def _priced(renamed: pd.DataFrame, theirs: Mapping[str, str], path: Path, tell: Tell) -> pd.DataFrame:
    """Return the frame with numbers in the fields of bars; the first cell that is none is named."""
    for column in (*OHLCV, "amount"):
        if column not in renamed.columns or pd.api.types.is_numeric_dtype(renamed[column]):
            if column in renamed.columns and column in OHLCV:
                renamed[column] = renamed[column].astype(np.float64)
            continue
        if isinstance(renamed[column].dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_any_dtype(
            renamed[column]
        ):
            raise InputError(
                f"{path}: {theirs[column]} holds times, no numbers", f"map another: --column {column}=NAME"
            )
        texts = renamed[column].dropna().astype(str)
        if column in OHLCV[:4] and are_thirty_seconds(texts):
            tell(f"{theirs[column]} is in points and 32nds: {texts.iloc[0]} is {from_thirty_seconds(texts).iloc[0]:g}")
            renamed[column] = from_thirty_seconds(renamed[column])
            continue
        renamed[column] = figures_of(renamed[column].rename(theirs[column]), path)
    return renamed


def _without_directions(renamed: pd.DataFrame, tell: Tell) -> pd.DataFrame:
    """Return prices without signs, where those say up or down from the day before, as Korean terminals write them."""
    if not set(OHLCV[:4]) <= set(renamed.columns):
        return renamed
    shown = renamed[list(OHLCV[:4])].head(_ENOUGH).to_numpy(dtype=np.float64)
    if not (shown < 0).any():
        return renamed
    prices = renamed[list(OHLCV[:4])].to_numpy(dtype=np.float64)
    opened, high, low, close = np.abs(prices).T
    # Prices below 0 are in order the other way round.
    in_order = (low <= np.fmin(opened, close)) & (high >= np.fmax(opened, close)) & (low < high)
    if not 0.05 < np.mean(prices < 0) < 0.95 or np.mean(in_order) < 0.9:
        return renamed
    tell("signs of prices are up and down from the day before: left out")
    return renamed.assign(**dict(zip(OHLCV[:4], (opened, high, low, close), strict=True)))


def _without_future(renamed: pd.DataFrame, reading: FileConventions, tell: Tell) -> pd.DataFrame:
    """Leave out columns named after what comes later, unless they were asked for by name."""
    asked = {plain_name(one) for one in (*reading.columns, *reading.columns.values())}
    drop = [
        c for c in renamed.columns if _FUTURE.fullmatch(plain_name(c)) and plain_name(c) not in asked and c not in KEYS
    ]
    for column in drop:
        tell(
            f"{column} is left out: by its name it holds what comes after the bar "
            f"(to keep it: --column {field_name(column)}={quoted(str(column))})"
        )
    return renamed.drop(columns=drop)


def is_close_matrix(frame: pd.DataFrame, mapping: Mapping[str, str], *, by_name: bool = True) -> bool:
    """Whether a table has times and one column of prices an asset: no field's name, values that move like prices."""
    if find(frame, "close", mapping) is not None or find(frame, "symbol", mapping) is not None or len(frame) < 2:
        return False
    known = {alias for names in ALIASES.values() for alias in names} | {*_FUNDING, "size", "side", "rate"}
    stamp = find(frame, "ts", mapping) or str(frame.columns[0])
    columns = [c for c in frame.columns if c != stamp]
    if not columns or any(plain_name(c) in known for c in columns):
        return False
    if not all(pd.api.types.is_numeric_dtype(frame[c]) for c in columns):
        return False
    values = frame[columns].to_numpy(dtype=np.float64)
    if not (values[np.isfinite(values)] > 0).all():
        return False
    with np.errstate(invalid="ignore", divide="ignore"):
        moves = np.abs(np.diff(np.log(values), axis=0))
    # What is written in small letters is more often a figure than an asset: --wide close says that it is one.
    named = all(str(c) != str(c).lower() or not any(letter.isalpha() for letter in str(c)) for c in columns)
    if not bool(np.isfinite(moves).any()) or float(np.nanmedian(moves)) >= 0.2:
        return False
    # Four columns that are ordered as a bar's prices throughout are a bar's in words that are not known.
    return not by_name or (named and not likely_prices(frame, stamp)[0])
