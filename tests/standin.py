"""A stand-in for freqtrade: what its documentation says of strategies and the data provider, and no more.

Written from freqtrade.io (strategy customization, strategy callbacks, bot basics), to run exported strategy files
without freqtrade.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from market.panel import Panel

CANDLE = ["date", "open", "high", "low", "close", "volume"]


class IStrategy:
    """The base class: version 3."""

    INTERFACE_VERSION = 3
    can_short = False
    dp: Any
    wallets: Any

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config


@dataclass
class DataProvider:
    """Closed candles of a whitelist; in live trading a sliding number of them, up to `now`."""

    candles: Mapping[str, pd.DataFrame]
    now: pd.Timestamp | None = None
    limit: int | None = None
    analyzed: dict[str, pd.DataFrame] = field(default_factory=dict)
    asked: int = 0

    def current_whitelist(self) -> list[str]:
        return list(self.candles)

    def get_pair_dataframe(self, pair: str, timeframe: str | None = None, candle_type: str = "") -> pd.DataFrame:
        self.asked += 1
        frame = self.candles[pair]
        if self.now is not None:
            frame = frame[frame["date"] <= self.now]
        return (frame if self.limit is None else frame.iloc[-self.limit :]).reset_index(drop=True).copy()

    def get_analyzed_dataframe(self, pair: str, timeframe: str) -> tuple[pd.DataFrame, object]:
        return self.analyzed.get(pair, pd.DataFrame()), None


@dataclass
class Wallets:
    """So much money in all."""

    total: float = 10_000.0

    def get_total_stake_amount(self) -> float:
        return self.total


def load_strategy(path: Path, name: str, candles: Mapping[str, pd.DataFrame], **view: Any) -> Any:
    """Load a strategy file as freqtrade's resolver does, with the stand-in in the place of freqtrade."""
    package, module = types.ModuleType("freqtrade"), types.ModuleType("freqtrade.strategy")
    module.IStrategy = IStrategy  # type: ignore[attr-defined]
    before = {key: sys.modules.get(key) for key in ("freqtrade", "freqtrade.strategy")}
    sys.modules |= {"freqtrade": package, "freqtrade.strategy": module}
    try:
        spec = importlib.util.spec_from_file_location(f"strategy_{name}", path)
        assert spec is not None
        assert spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
    finally:
        for key, old in before.items():
            if old is None:
                del sys.modules[key]
            else:
                sys.modules[key] = old
    strategy = getattr(loaded, name)({"runmode": "backtest"})
    strategy.dp, strategy.wallets = DataProvider(candles, **view), Wallets()
    return strategy


def analyse(strategy: Any) -> dict[str, pd.DataFrame]:
    """Do what freqtrade does with each pair of the whitelist, one after the other."""
    for pair in strategy.dp.current_whitelist():
        frame = strategy.dp.get_pair_dataframe(pair, strategy.timeframe)
        for step in (strategy.populate_indicators, strategy.populate_entry_trend, strategy.populate_exit_trend):
            frame = step(frame, {"pair": pair})
        strategy.dp.analyzed[pair] = frame
    return dict(strategy.dp.analyzed)


def candles_of(panel: Panel, *, fill: bool = False) -> dict[str, pd.DataFrame]:
    """Return a panel as candles by pair, from the first to the last that it has.

    With `fill`, gaps are filled as freqtrade fills them: every price at the last close, volume 0.
    """
    dates = pd.DatetimeIndex(panel.times).tz_localize("UTC")
    found = {}
    for i, asset in enumerate(panel.assets):
        frame = pd.DataFrame({name: panel[name][:, i] for name in CANDLE[1:]}, index=dates).dropna(subset=["close"])
        if fill and len(frame):
            every = pd.date_range(frame.index[0], frame.index[-1], freq=pd.Timedelta(panel.bar))
            frame = frame.reindex(every)
            close = frame["close"].ffill()
            for name in ("open", "high", "low", "close"):
                frame[name] = frame[name].where(frame["close"].notna() | (name == "close"), close)
            frame["close"], frame["volume"] = close, frame["volume"].fillna(0.0)
        if len(frame):
            found[f"{asset}/USDT"] = frame.rename_axis("date").reset_index()
    return found


def aligned(frames: Mapping[str, pd.DataFrame], column: str, panel: Panel) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return (T, N) a column of analysed candles, on the panel's bars and assets; NaN where there is no candle."""
    dates = pd.DatetimeIndex(panel.times).tz_localize("UTC")
    out = np.full(panel.shape, np.nan)
    for i, asset in enumerate(panel.assets):
        frame = frames.get(f"{asset}/USDT")
        if frame is not None:
            out[:, i] = frame.set_index("date")[column].reindex(dates).to_numpy(dtype=float)
    return out
