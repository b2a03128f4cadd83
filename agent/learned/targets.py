"""What models are taught: labels that end at a known bar, and how much each of them says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backtest.ic import forward_returns
from backtest.trading_rules import Fill
from factors.engine import evaluate
from factors.parse import parse
from factors.tree import Expression
from market.errors import InputError
from market.panel import FloatArray, Panel

TargetKind = Literal["barrier", "threshold", "return"]
# Class number -> what it says; its value as a signal is the number less one.
CLASSES = ("short", "hold", "long")
_CLIP = 5.0


@dataclass(frozen=True)
class TargetSpec:
    """What is to be predicted of the bars after a decision, in units of the asset's volatility before it.

    Attributes
    ----------
    kind
        ``return``: the return over the horizon. ``threshold``: long, short or hold, as it is beyond the width or not.
        ``barrier``: as the path of closes first leaves the width upwards or downwards within the horizon (triple
        barrier, López de Prado 2018, ch. 3).
    horizon
        Bars from the fill to the end of the label.
    width
        Of threshold and barriers, in deviations of a return over the horizon.
    volatility
        Bars over which volatility is measured.
    """

    kind: TargetKind = "barrier"
    horizon: int = 12
    width: float = 0.7
    volatility: int = 50

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        if self.horizon < 1 or self.width <= 0 or self.volatility < 5:
            raise InputError(
                f"a target over {self.horizon} bars, {self.width:g} wide, volatility over {self.volatility} bars",
                "say at least 1, above 0 and at least 5",
            )

    @property
    def is_class(self) -> bool:
        """Whether labels are classes."""
        return self.kind != "return"

    @property
    def reach(self) -> int:
        """Bars after a decision until the last price that its label reads."""
        return self.horizon + 1


@dataclass(frozen=True, eq=False)
class Labels:
    """(T, N) labels, NaN where there is none, and the bar whose price ends each.

    Attributes
    ----------
    values
        Returns in deviations, clipped at 5; or class numbers (see `CLASSES`).
    ends
        Row of the last price that was read, at most ``t + reach``; of use where there is a label.
    """

    values: FloatArray
    ends: NDArray[np.int64]


def make_labels(panel: Panel, spec: TargetSpec, *, fill: Fill = "open", relative: bool = False) -> Labels:
    """Label every decision of a panel whose prices are all there.

    A decision at the close of t is filled at t+1, as in the backtest. With `relative`, returns and volatility are
    those less the mean over the universe of the bar: what a dollar-neutral portfolio earns.
    """
    scale = _volatility(panel, spec, relative=relative) * np.sqrt(spec.horizon)
    bars = np.broadcast_to(np.arange(len(panel.times))[:, None], panel.shape)
    with np.errstate(all="ignore"):
        if spec.kind == "barrier":
            return _barriers(panel, spec, scale, bars, fill, relative=relative)
        moved = _against(forward_returns(panel, spec.horizon, fill), panel, relative=relative) / scale
        known = np.isfinite(moved)
        if spec.kind == "threshold":
            values = np.where(known, 1.0 + (moved > spec.width) - (moved < -spec.width), np.nan)
        else:
            values = np.where(known, np.clip(moved, -_CLIP, _CLIP), np.nan)
    return Labels(values, bars + spec.reach)


def _volatility(panel: Panel, spec: TargetSpec, *, relative: bool) -> FloatArray:
    """Return (T, N) deviation of a bar's return before each decision; NaN where it is unknown or none."""
    text = f"ts_std({'cs_demean(returns)' if relative else 'returns'}, {spec.volatility})"
    expression = parse(text, fields=("returns", *panel.fields), bar=panel.bar)
    assert isinstance(expression, Expression)
    found = evaluate(expression, panel).values
    return np.where(found > 0, found, np.nan)


def _against(returns: FloatArray, panel: Panel, *, relative: bool) -> FloatArray:
    if not relative:
        return returns
    known = np.isfinite(returns) & panel.universe
    total = np.where(known, returns, 0.0).sum(axis=1, keepdims=True)
    return np.asarray(returns - total / np.maximum(known.sum(axis=1, keepdims=True), 1), dtype=np.float64)


def _barriers(
    panel: Panel, spec: TargetSpec, scale: FloatArray, bars: NDArray[np.int64], fill: Fill, *, relative: bool
) -> Labels:
    """Follow closes from the fill on; the first one beyond a barrier decides, none within the horizon is hold."""
    rows = len(panel.times)
    values, ends = np.full(panel.shape, np.nan), bars + spec.reach
    open_ = np.isfinite(scale)
    entry = np.full(panel.shape, np.nan)
    entry[:-1] = panel[fill][1:]
    # Filled at the close of t+1, the first close that pays is that of t+2.
    first = 1 if fill == "open" else 2
    for step in range(first, first + spec.horizon):
        close = np.full(panel.shape, np.nan)
        if step < rows:
            close[:-step] = panel["close"][step:]
        moved = _against(close / entry - 1.0, panel, relative=relative) / scale
        # A price that is missing on the way leaves no label.
        open_ &= np.isfinite(moved)
        beyond = open_ & (np.abs(moved) > spec.width)
        values[beyond] = np.where(moved > 0, 2.0, 0.0)[beyond]
        ends[beyond] = (bars + step)[beyond]
        open_ &= ~beyond
    values[open_] = 1.0
    ends[open_] = (bars + first + spec.horizon - 1)[open_]
    return Labels(values, ends)


def uniqueness(assets: NDArray[np.int64], bars: NDArray[np.int64], ends: NDArray[np.int64]) -> FloatArray:
    """Return (M,) average uniqueness of labels: the mean, over the bars each lives, of 1 / labels alive there.

    A label of a decision at t lives on bars t+1 to its end, beside others of its asset (López de Prado 2018, ch. 4).
    """
    out = np.empty(len(bars))
    for asset in np.unique(assets):
        mine = assets == asset
        begin, end = bars[mine] + 1, ends[mine] + 1
        alive = np.zeros(int(end.max()) + 1)
        np.add.at(alive, begin, 1.0)
        np.add.at(alive, end, -1.0)
        alive = np.cumsum(alive)
        share = np.concatenate([[0.0], np.cumsum(1.0 / np.maximum(alive, 1.0))])
        out[mine] = (share[end] - share[begin]) / (end - begin)
    return out


def sample_weights(
    labels: FloatArray, spec: TargetSpec, assets: NDArray[np.int64], bars: NDArray[np.int64], ends: NDArray[np.int64]
) -> FloatArray:
    """Return (M,) weights with mean 1: uniqueness and, for classes, what gives each class the same weight."""
    weights = uniqueness(assets, bars, ends)
    if spec.is_class:
        for number in range(len(CLASSES)):
            mine = labels == number
            total = float(weights[mine].sum())
            if total > 0:
                weights[mine] /= total
    return np.asarray(weights / weights.mean() if len(weights) else weights, dtype=np.float64)
