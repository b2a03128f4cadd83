"""Units of volume and money: what a recipe or a column's name says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from market.columns import scale_of
from market.reading.recipe import Recipe


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
