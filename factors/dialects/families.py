"""Names that say what they are, as models and data tables use them: momentum_5d, avg_volume_20d, rsi_14."""

from __future__ import annotations

import re
from collections.abc import Callable

# A number of bars, or of hours or days where the letter stands behind it.
_SPAN = r"(?P<n>\d{1,4})(?P<unit>d|h)?"
_FIELD = r"(?P<field>open|high|low|close|volume|vwap|amount|returns)"
# The window of a ratio that names none.
_USUAL = "20"
_FAMILIES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), formula)
    for pattern, formula in (
        (rf"{_FIELD}_{_SPAN}_ago", "ts_delay({field}, {n})"),
        (rf"(?:momentum|mom|return|returns|ret|roc|pct_change)_{_SPAN}", "ts_returns(close, {n})"),
        (rf"log_(?:return|returns|ret)_{_SPAN}", "ts_log_return(close, {n})"),
        (rf"reversal_{_SPAN}", "-ts_returns(close, {n})"),
        (rf"(?:realized_vol|realized_volatility|realised_vol|volatility|hist_vol|std_returns)_{_SPAN}",
         "ts_std(returns, {n})"),
        (rf"(?:avg|average|mean)_{_FIELD}_{_SPAN}", "ts_mean({field}, {n})"),
        (rf"{_FIELD}_(?:ma|sma|mean|avg)_?{_SPAN}", "ts_mean({field}, {n})"),
        (rf"{_FIELD}_(?:ema)_?{_SPAN}", "ts_ema({field}, {n})"),
        (rf"{_FIELD}_(?:std|stdev)_?{_SPAN}", "ts_std({field}, {n})"),
        (rf"(?:sma|ma|moving_average)_{_SPAN}", "ts_mean(close, {n})"),
        (rf"ema_{_SPAN}", "ts_ema(close, {n})"),
        (rf"rsi_{_SPAN}", "rsi(close, {n})"),
        (rf"atr_{_SPAN}", "atr(high, low, close, {n})"),
        (rf"(?:high|highest)_{_SPAN}", "ts_max(high, {n})"),
        (rf"(?:low|lowest)_{_SPAN}", "ts_min(low, {n})"),
        (rf"{_FIELD}_ratio(?:_{_SPAN})?", "{field} / ts_mean({field}, {n})"),
        (rf"{_FIELD}_(?:zscore|z)_{_SPAN}", "ts_zscore({field}, {n})"),
        (rf"{_FIELD}_rank_{_SPAN}", "ts_rank({field}, {n})"),
    )
)  # fmt: skip


def family_formula(name: str, has_bar: Callable[[], bool]) -> str | None:
    """Return what a name of a family stands for, as a text of ours; None for a name of none.

    ``5d`` are five days where the length of a bar is known, and five bars where it is not.
    """
    for pattern, formula in _FAMILIES:
        found = pattern.fullmatch(name)
        if found is None:
            continue
        parts = found.groupdict()
        unit = parts.get("unit") or ""
        bars = parts.get("n") or _USUAL
        return formula.format(field=parts.get("field") or "close", n=f"{bars}{unit if unit and has_bar() else ''}")
    return None
