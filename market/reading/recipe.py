"""Recipes: what is known of the tables that a tool or an archive writes, one declaration a file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from market.columns import plain_name
from market.errors import InputError

_PRICES = ("open", "high", "low", "close")


# Stamps of sources whose bars below a day are stamped at their end, and those of days with the date.
CLOSE_OF_A_MINUTE = "close of a minute"


@dataclass(frozen=True)
class Recipe:
    """How one source writes its tables.

    Attributes
    ----------
    name, title
        As it is asked for, and for people.
    header
        Plain names of columns by which the source is recognised; empty where it has no header.
    names
        Of a table without a header: its columns in order, ours where we have a name.
    time
        Of a table without a header: a regular expression of its first column.
    file_name
        A regular expression that the file's name must match to be recognised; empty is any.
    columns
        Our name to the source's (plain), where the usual names do not say it or say it wrongly.
    leave_out
        Plain names of columns that are no figures.
    units
        Factors by which fields are multiplied to be coins or shares, and money.
    zone, stamps, date_format, day_first
        As `FileConventions` and `TimeForm` have them; for stamps, also `CLOSE_OF_A_MINUTE`.
    exact
        Whether prices are checked to be whole numbers before the recipe is taken for fitting.
    asked
        Whether it is used only where it is asked for by name: its shape is shared by others.
    note
        What a reader should know.
    checked
        Against what names, units and times were checked; empty is against nothing but files of that shape.
    day_in_name
        Whether small numbers of the first column are milliseconds of the day in the file's name.
    fixed_point
        Factor of prices that are written as large whole numbers; 0 for none.
    volume_is_money
        Whether the volume is money: it is the amount as well.
    """

    name: str
    title: str
    header: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    time: str = ""
    file_name: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    leave_out: tuple[str, ...] = ()
    units: Mapping[str, float] = field(default_factory=dict)
    zone: str = ""
    stamps: str = ""
    date_format: str = ""
    day_first: bool | None = None
    exact: bool = False
    asked: bool = False
    note: str = ""
    checked: str = ""
    day_in_name: bool = False
    fixed_point: float = 0.0
    volume_is_money: bool = False


@cache
def all_recipes() -> tuple[Recipe, ...]:
    """Return every recipe, in order of name."""
    out = []
    for place in resources.files("market.reading.recipes").iterdir():
        if place.name.endswith(".toml"):
            facts: dict[str, Any] = tomllib.loads(place.read_text(encoding="utf-8"))
            lists: dict[str, Any] = {
                key: tuple(facts.pop(key)) for key in ("header", "names", "leave_out") if key in facts
            }
            out.append(Recipe(name=place.name.removesuffix(".toml"), **lists, **facts))
    return tuple(sorted(out, key=lambda recipe: recipe.name))


def recipe_named(name: str) -> Recipe:
    """Return a recipe by name; an unknown one is an `InputError`."""
    found = next((recipe for recipe in all_recipes() if recipe.name == name), None)
    if found is None:
        raise InputError(f"--recipe {name!r} is not known", "alphaglow data recipes lists those that are")
    return found


def by_header(names: Iterable[object], path: Path) -> Recipe | None:
    """Return the recipe whose columns a header has; two that differ in what they do are a question."""
    plain = {plain_name(name) for name in names}
    fits = [one for one in all_recipes() if one.header and not one.asked and set(one.header) <= plain]
    fits = [one for one in fits if not one.file_name or re.search(one.file_name, path.name)]
    fits = [one for one in fits if one.file_name] or fits
    # Who knows more of the columns is meant.
    fits = [one for one in fits if not any(set(one.header) < set(other.header) for other in fits)]
    return _only(fits, path)


def by_rows(rows: Sequence[Sequence[str]], path: Path) -> Recipe | None:
    """Return the recipe that the rows of a table without a header fit; see `by_header`."""
    fits = [one for one in all_recipes() if one.names and not one.asked and _fits(one, rows, path)]
    named = [one for one in fits if one.file_name]
    return _only(named or fits, path)


def _only(fits: Sequence[Recipe], path: Path) -> Recipe | None:
    does = {
        (one.names, tuple(sorted(one.columns.items())), tuple(sorted(one.units.items())), one.zone, one.stamps,
         one.date_format, one.day_first)
        for one in fits
    }  # fmt: skip
    if len(does) > 1:
        choices = " or ".join(f"--recipe {one.name}" for one in fits)
        raise InputError(f"{path} may be of {' or '.join(one.title for one in fits)}", f"say {choices}")
    return fits[0] if fits else None


def _fits(recipe: Recipe, rows: Sequence[Sequence[str]], path: Path) -> bool:
    if recipe.file_name and not re.search(recipe.file_name, path.name):
        return False
    if not rows or len(rows[0]) != len(recipe.names):
        return False
    if recipe.time and not all(re.fullmatch(recipe.time, row[0].strip()) for row in rows):
        return False
    table = numeric_rows(rows)
    places = {name: n for n, name in enumerate(recipe.names)}
    prices = [table[:, places[name]] for name in _PRICES if name in places]
    if len(prices) < 4 or not are_ordered_prices(prices):
        return False
    if recipe.exact and not all((price[np.isfinite(price)] % 1 == 0).all() for price in prices):
        return False
    if "amount" in places and not is_amount(table[:, places["amount"]], table[:, places["volume"]], prices):
        return False
    trades = table[:, places["trades"]] if "trades" in places else np.zeros(1)
    return bool((trades[np.isfinite(trades)] % 1 == 0).all())


def numeric_rows(rows: Sequence[Sequence[str]]) -> np.ndarray:
    """Return cells as (rows, columns) numbers, NaN where they are none."""
    return np.array([[_number(cell) for cell in row] for row in rows], dtype=np.float64)


def _number(cell: str) -> float:
    try:
        # A decimal comma is one here: only the order of numbers counts.
        return float(cell.replace(",", ".") if "." not in cell else cell) if "_" not in cell else float("nan")
    except ValueError:
        return float("nan")


def are_ordered_prices(prices: Sequence[np.ndarray]) -> bool:
    """Whether (open, high, low, close) are in order in nearly all rows, and positive."""
    opened, high, low, close = prices
    known = np.isfinite(opened + high + low + close)
    good = (low <= np.minimum(opened, close)) & (high >= np.maximum(opened, close)) & (low > 0)
    return bool(known.sum() >= 1 and (known & good).sum() >= 0.95 * known.sum())


def is_amount(money: np.ndarray, volume: np.ndarray, prices: Sequence[np.ndarray]) -> bool:
    """Whether money over volume lies between low and high in nearly all bars that traded."""
    traded = (volume > 0) & (money > 0)
    if not traded.any():
        return bool((volume == 0).all() and (money == 0).all())
    price = money[traded] / volume[traded]
    return float(np.mean((price >= 0.98 * prices[2][traded]) & (price <= 1.02 * prices[1][traded]))) >= 0.9
