"""Units of volume and money: what a recipe or a column's name says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from market.columns import scale_of
from market.panel import OHLCV
from market.reading.recipe import Recipe

_LEAST_ROWS = 20
_MOST = 0.98


def units_of(
    rows: pd.DataFrame, theirs: Mapping[str, str], recipe: Recipe | None, tell: Callable[[str], None]
) -> Mapping[str, float]:
    """Return the factors of volume and amount that a recipe, or else the names of their columns, say.

    Parameters
    ----------
    rows
        Of one file, with our names.
    theirs
        Our name to the file's.
    """
    if recipe is not None and recipe.units:
        return _fitting(rows, recipe)
    said = {name: scale_of(theirs[name]) for name in ("volume", "amount") if name in rows.columns and name in theirs}
    for name, factor in said.items():
        if factor != 1:
            tell(f"{theirs[name]} is multiplied by {factor:g}, as its name says (as it is: --unit {name}=1)")
    return {name: factor for name, factor in said.items() if factor != 1}


def with_money(rows: pd.DataFrame, tell: Callable[[str], None]) -> pd.DataFrame:
    """Return rows whose money traded is found by what it is: a column that over the volume lies within the bar.

    Where the volume lies within the bar over another column, the volume is the money and that column the volume.
    """
    prices = ("volume", "low", "high")
    if "amount" in rows.columns or not set(prices) <= set(rows.columns) or len(rows) < _LEAST_ROWS:
        return rows
    volume, low, high = (rows[name].to_numpy(dtype=np.float64) for name in prices)
    known = np.isfinite(volume + low + high) & (volume > 0)
    # Of prices around 1, money and volume are alike, and a figure of the one may be the other.
    if known.sum() < _LEAST_ROWS or 1 / 3 < float(np.median(high[known])) < 3:
        return rows
    for name in rows.columns:
        if name in (*OHLCV, "ts", "symbol"):
            continue
        other = rows[name].to_numpy(dtype=np.float64)
        for money, pieces, said in ((other, volume, name), (volume, other, "volume")):
            price = np.divide(money, pieces, out=np.full(len(rows), np.nan), where=known & (pieces > 0))
            if np.mean((price >= 0.999 * low) & (price <= 1.001 * high), where=known) < _MOST:
                continue
            if said == name:
                tell(f"{name} over volume lies within the bars' prices: taken for the money traded (amount)")
                return rows.rename(columns={name: "amount"})
            tell(f"volume over {name} lies within the bars' prices: volume is taken for money, {name} for volume")
            return rows.rename(columns={"volume": "amount", name: "volume"})
    return rows


def with_own_volume(rows: pd.DataFrame, tell: Callable[[str], None]) -> pd.DataFrame:
    """Return rows whose volume is not the sum of all since the day began, where another column holds its steps."""
    if "volume" not in rows.columns or len(rows) < _LEAST_ROWS:
        return rows
    steps = np.diff(rows["volume"].to_numpy(dtype=np.float64))
    # Few volumes rise three times out of four; bars may stand newest first.
    rising = steps[np.isfinite(steps)] >= 0
    if not len(rising) or 0.25 < np.mean(rising) < 0.75:
        return rows
    for name in rows.columns:
        if name in (*OHLCV, "ts", "symbol", "amount"):
            continue
        other = rows[name].to_numpy(dtype=np.float64)
        forward, backward = np.isclose(steps, other[1:], rtol=1e-9), np.isclose(-steps, other[:-1], rtol=1e-9)
        if max(np.mean(forward), np.mean(backward)) >= _MOST - 0.08 and np.any(other[1:] != other[:-1]):
            tell(f"volume is the sum of {name} since a day began: {name} is taken for the volume")
            return rows.drop(columns="volume").rename(columns={name: "volume"})
    return rows


def _fitting(rows: pd.DataFrame, recipe: Recipe) -> Mapping[str, float]:
    """Return a recipe's units, unless money, volume and price fit together better without them."""
    if not {"volume", "amount"} <= set(rows.columns):
        return recipe.units
    traded = rows[(rows["volume"] > 0) & (rows["amount"] > 0) & (rows["close"] > 0)]
    if traded.empty:
        return recipe.units
    ratio = float(np.median(np.log((traded["amount"] / traded["volume"] / traded["close"]).to_numpy(dtype=np.float64))))
    change = np.log(recipe.units.get("amount", 1.0) / recipe.units.get("volume", 1.0))
    return recipe.units if abs(ratio + change) <= abs(ratio) else {}
