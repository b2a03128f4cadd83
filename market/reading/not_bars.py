"""Tables of something else than bars, which are refused by what they hold: trades, quotes, dividends, splits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from market.columns import plain_name
from market.errors import InputError

_SIZES = frozenset({"size", "qty", "quantity", "amount", "volume", "quantity_traded", "base_qty"})
_TRADES_ONLY = frozenset(
    {"side", "trdmatchid", "tid", "trade_id", "tradeid", "agg_trade_id", "is_buyer_maker", "tickdirection", "exec_id"}
)
# Columns beside the times that are none of a bar's.
_EVENTS = frozenset(
    {"dividends", "dividend", "stock splits", "splits", "split", "split ratio", "capital gains", "ratio", "div",
     "cash amount"}
)  # fmt: skip
# A second row of the same time in this share of the rows: several trades of a moment.
_SHARED = 0.2
_HINT = "get bars from where it came, or make them of the {} first"


def refuse_others(path: Path, frame: pd.DataFrame, names: Mapping[str, str]) -> None:
    """Refuse a table of trades, quotes, dividends or splits; `names` is what `market.columns.understand` gives.

    Raises
    ------
    InputError
        With what the table holds.
    """
    ours = set(names.values())
    if ours & {"high", "low"}:
        return
    lowered = {plain_name(column) for column in frame.columns}
    if "price" in lowered and lowered & _SIZES and (lowered & _TRADES_ONLY or _several_a_moment(frame, names)):
        raise InputError(f"{path} holds trades, not bars", _HINT.format("trades"))
    if {"bid", "ask"} <= lowered and "close" not in ours:
        raise InputError(f"{path} holds quotes, not bars", _HINT.format("quotes"))
    rest = [word for word in lowered if names.get(_called(frame, word)) not in ("ts", "symbol")]
    if rest and all(word in _EVENTS for word in rest):
        raise InputError(
            f"{path} holds {' and '.join(sorted(rest))}, not bars", "import prices; adjusted ones hold these already"
        )


def _called(frame: pd.DataFrame, plain: str) -> str:
    return next(str(column) for column in frame.columns if plain_name(column) == plain)


def _several_a_moment(frame: pd.DataFrame, names: Mapping[str, str]) -> bool:
    keys = [column for column in frame.columns if names.get(str(column)) in ("ts", "symbol")]
    times = [column for column in keys if names[str(column)] == "ts"]
    return bool(times) and float(frame.duplicated(keys).mean()) > _SHARED
