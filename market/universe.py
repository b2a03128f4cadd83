"""The universe by date: which assets were liquid enough to trade, as known then."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from market.errors import InputError
from market.panel import BoolArray, FloatArray, Panel
from market.panel_rules import UniverseRules

_DAY = np.timedelta64(1, "D")


def liquid_universe(
    panel: Panel,
    *,
    top: int = UniverseRules.top,
    least_money: float = UniverseRules.least_money,
    days: float = UniverseRules.days,
    refresh_days: float = UniverseRules.refresh_days,
) -> Panel:
    """Return the panel with its universe narrowed to what was liquid, as known at each bar.

    Parameters
    ----------
    top
        How many assets, by mean money traded a bar over the last `days`; 0 is all. Ties go in.
    least_money
        Money a day that an asset must have traded on average; 0 is any.
    refresh_days
        How often membership is computed again, counted from the panel's first bar; in between only assets that stop
        trading leave. Before the first time with half of `days` known, nothing is in.

    Raises
    ------
    InputError
        When no asset is ever left.
    """
    if top <= 0 and least_money <= 0:
        return panel
    universe = liquid_mask(panel, top=top, least_money=least_money, days=days, refresh_days=refresh_days)
    if not universe.any():
        raise InputError(
            f"no asset is ever in the universe (top {top}, at least {least_money:g} a day over {days:g} days)",
            "lower least_money, or shorten days, in alphaglow.toml [universe]",
        )
    return replace(panel, universe=universe)


def liquid_mask(panel: Panel, *, top: int, least_money: float, days: float, refresh_days: float) -> BoolArray:
    """Return (T, N) the universe that `liquid_universe` gives, none of it left or not."""
    if top <= 0 and least_money <= 0:
        return panel.universe
    step = refresh_bars(panel, refresh_days)
    inside = liquid_rows(panel, np.where(panel.universe, panel.money, np.nan), top, least_money, days)
    last_refresh = np.arange(len(inside)) // step * step
    universe: BoolArray = panel.universe & inside[last_refresh]
    return universe


def refresh_bars(panel: Panel, refresh_days: float) -> int:
    """Return after how many bars membership is computed again."""
    return max(1, round(refresh_days * float(_DAY / panel.bar)))


def liquid_rows(panel: Panel, money: FloatArray, top: int, least_money: float, days: float) -> BoolArray:
    """Return (T, N) which assets are liquid by money traded in the universe up to each bar, (T, N).

    Of the panel only the bar size is read.
    """
    # A third of a second to import, which only who narrows a universe pays.
    import pandas as pd

    bars = max(1, round(days * float(_DAY / panel.bar)))
    # Imported here: what opens data imports this module, and pandas is a third of a second.

    mean: FloatArray = pd.DataFrame(money).rolling(bars, min_periods=max(1, bars // 2)).mean().to_numpy()
    inside: BoolArray = np.isfinite(mean)
    if least_money > 0:
        inside &= np.nan_to_num(mean) * float(_DAY / panel.bar) >= least_money
    if 0 < top < money.shape[1]:
        ranked = np.sort(np.where(inside, mean, -np.inf), axis=1)[:, ::-1]
        inside &= mean >= ranked[:, top - 1 : top]
    return inside
