"""What learned models read: channels, each an expression of the factor language."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from factors.checks import check_cost
from factors.engine import evaluate
from factors.features import Feature
from factors.limits import GIGABYTES, SECONDS
from factors.parse import parse
from factors.tree import Expression
from market.errors import InputError, Rejection
from market.panel import Panel

_STANDARD = ("open", "high", "low", "close", "volume", "vwap", "amount", "returns")

# Bars and volume without their level, and the usual indicators without their units.
CHANNELS: tuple[Feature, ...] = (
    Feature("return", "ts_log_return(close, 1)"),
    Feature("open", "log(open / close)"),
    Feature("high", "log(high / close)"),
    Feature("low", "log(low / close)"),
    Feature("volume", "log(volume / ts_mean(volume, 50))"),
    Feature("volume_sma", "log(ts_mean(volume, 5) / ts_mean(volume, 20))"),
    Feature("vwap", "log(close / ts_vwap(close, volume, 24))"),
    Feature("rsi", "rsi(close, 14)"),
    Feature("macd", "macd(close, 12, 26) / close"),
    Feature("macd_hist", "macd_hist(close, 12, 26, 9) / close"),
    Feature("stochastic", "stochastic(high, low, close, 14)"),
    Feature("stochastic_d", "stochastic_d(high, low, close, 14, 3)"),
    Feature("atr", "log(atr(high, low, close, 14) / close)"),
    Feature("bollinger", "bollinger_position(close, 20, 2)"),
    Feature("bollinger_width", "log(bollinger_width(close, 20, 2))"),
    Feature("keltner", "keltner_position(high, low, close, 20, 2)"),
    Feature("ema_9", "log(close / ts_ema(close, 9))"),
    Feature("ema_21", "log(close / ts_ema(close, 21))"),
    Feature("ema_50", "log(close / ts_ema(close, 50))"),
    Feature("ema_200", "log(close / ts_ema(close, 200))"),
    Feature("adx", "adx(high, low, close, 14)"),
)


def given_channels(texts: Sequence[str]) -> tuple[Feature, ...]:
    """Return channels for expressions that a user gave, named by their number; the usual ones for none."""
    return tuple(Feature(f"f{number}", text) for number, text in enumerate(texts)) if texts else CHANNELS


def read_channels(
    features: Sequence[Feature], panel: Panel, *, seconds: float = SECONDS, gigabytes: float = GIGABYTES
) -> tuple[Expression, ...]:
    """Parse channels for a panel.

    Raises
    ------
    InputError
        For one that cannot be read, costs too much, or is given twice.
    """
    fields = (*_STANDARD, *(name for name in panel.fields if name not in _STANDARD))
    found: dict[str, Expression] = {}
    for feature in features:
        made = parse(feature.text, fields=fields, bar=panel.bar)
        fault = made if isinstance(made, Rejection) else check_cost(made, panel, seconds=seconds, gigabytes=gigabytes)
        if fault is not None:
            raise InputError(f"feature {feature.text!r}: {fault.message}", fault.hint)
        assert isinstance(made, Expression)
        if made.text in found:
            raise InputError(f"feature {made.text!r} is given twice", "give each feature once")
        found[made.text] = made
    return tuple(found.values())


def channel_values(expressions: Sequence[Expression], panel: Panel) -> NDArray[np.float32]:
    """Return (N, T, C) values of channels, NaN where undefined; each bar from that bar and earlier ones alone."""
    bars, assets = panel.shape
    out = np.empty((assets, bars, len(expressions)), dtype=np.float32)
    for number, expression in enumerate(expressions):
        out[:, :, number] = evaluate(expression, panel).values.T
    return out
