"""Null markets: made of a real one, with its tails and its dependence, and with nothing in them that can be predicted.

Four kinds, because each keeps what another destroys. *history* and *bars* are new panels, on which signals are computed
again; *signs* and *blocks* change only what signals of the true panel are scored against.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.bar_regimes import week_bars
from backtest.ic import forward_returns
from backtest.payoff import market_part, trailing_risk
from backtest.trading_rules import Fill
from market.panel import BoolArray, FloatArray, Panel

# GARCH(1, 1) of the filtered history: weight of the last return and of the last variance.
_ARCH, _GARCH = 0.08, 0.90
_WORST = -0.95
# The largest variance of a bar in filtered history: fat tails would else carry some volatility beyond all numbers.
_MOST = 1.0
# Bars of one sign.
_SIGN_BARS = 5
_START = 100.0


@dataclass(frozen=True, eq=False)
class NullMarket:
    """A market without skill: what signals are computed from, and what they are scored against (of equal shape)."""

    kind: str
    panel: Panel
    outcomes: Panel


def with_forward(panel: Panel, forward: FloatArray, fill: Fill = "open") -> Panel:
    """Return the panel with prices moved so that the returns between fills become `forward` (T, N); NaN keeps one.

    All prices from the fill of t+2 on carry the change of the decision at t; closes keep to the moves between fills,
    and highs and lows to open and close. Nothing falls by more than 95 % in a bar.
    """
    before = forward_returns(panel, 1, fill)
    with np.errstate(all="ignore"):
        lift = (1.0 + np.maximum(forward, _WORST)) / (1.0 + before)
    lift = np.where(np.isfinite(lift) & (lift > 0.0), lift, 1.0)
    level = np.exp(np.cumsum(np.log(lift), axis=0))
    # What happens between two fills happens within the bar: an open carries it later than the close before.
    opened = panel["open"] * _later(level, 2 if fill == "open" else 3)
    close = panel["close"] * _later(level, 1 if fill == "open" else 2)
    upper, lower = _shadows(panel)
    moved = {"open": opened, "close": close, "high": np.fmax(opened, close) * (1.0 + upper)}
    moved["low"] = np.fmin(opened, close) * (1.0 - lower)
    # The same money is traded at other prices.
    return panel.with_fields({**moved, "volume": panel["volume"] * panel["close"] / close})


def _later(level: FloatArray, bars: int) -> FloatArray:
    moved = np.ones_like(level)
    moved[bars:] = level[:-bars]
    return moved


def _shadows(panel: Panel) -> tuple[FloatArray, FloatArray]:
    """Return (T, N) by which share the high lies above, and the low below, what a bar opened and closed at."""
    with np.errstate(all="ignore"):
        upper = panel["high"] / np.maximum(panel["open"], panel["close"]) - 1.0
        lower = 1.0 - panel["low"] / np.minimum(panel["open"], panel["close"])
    return np.nan_to_num(upper), np.nan_to_num(lower)


def filtered_history(panel: Panel, rng: np.random.Generator) -> NullMarket:
    """Return a filtered historical simulation (Barone-Adesi, Giannopoulos & Vosper 1999), signals computed again.

    Bars, all assets together, are drawn with replacement from what is left of returns after their GARCH(1, 1)
    volatility and their mean, and put under volatilities that are made as they come. Skewness, tails, dependence among
    assets and clusters of volatility stay; no mean depends on the past.
    """
    bars = _Bars.of(panel)
    rows = bars.sources(rng.integers(1, len(panel.times), len(panel.times)), rng)
    sizes = _variances(bars.moves, bars.typical)
    gap, through = _standard(*(_centred(part / np.sqrt(sizes)) for part in (bars.gap, bars.through)))
    gap, through, scale = simulate(_take(gap, rows), _take(through, rows), bars.typical)
    shadows = scale / np.sqrt(_take(sizes, rows))
    made = bars.rebuild(gap, through, rows, shadows)
    return NullMarket("history", made, made)


def drawn_bars(panel: Panel, rng: np.random.Generator) -> NullMarket:
    """Return bars drawn one by one with replacement, all assets together, drift removed; signals computed again.

    A permutation would be no null for such signals: without drift, what has risen must still fall before the end, and
    a broad cross-section knows it.
    """
    bars = _Bars.of(panel)
    rows = bars.sources(rng.integers(1, len(panel.times), len(panel.times)), rng)
    gap, through = (_take(_centred(part), rows) for part in (bars.gap, bars.through))
    made = bars.rebuild(gap, through, rows, np.ones(panel.shape))
    return NullMarket("bars", made, made)


def random_signs(panel: Panel, rng: np.random.Generator, fill: Fill = "open") -> NullMarket:
    """Return outcomes whose market-residual returns have, block by block, one random sign for all assets.

    Blocks are short: within one, what pays in truth pays always or never, and a test of a mean has to see many. The
    market's drift is removed: betas are estimates, so some of it is left in what the market does not explain, and
    whatever goes with beta (volatility does) would be paid it bar by bar.
    """
    forward = forward_returns(panel, 1, fill)
    _deviation, beta = trailing_risk(panel)
    known, explained = market_part(panel, forward, beta)
    signs = np.repeat(rng.choice([-1.0, 1.0], len(panel.times) // _SIGN_BARS + 1), _SIGN_BARS)[: len(panel.times)]
    market = np.where(known, forward, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    drift = beta * market[known.any(axis=1)].mean()
    flipped = explained - drift + signs[:, None] * (forward - explained)
    return NullMarket("signs", panel, with_forward(panel, np.where(known, flipped, np.nan), fill))


def drawn_blocks(panel: Panel, rng: np.random.Generator) -> NullMarket:
    """Return outcomes made of blocks of a week, drawn with replacement, all assets together, drift removed before."""
    length, block = len(panel.times), week_bars(panel)
    starts = rng.integers(0, length - 1, length // block + 1)
    rows = 1 + (starts[:, None] + np.arange(block)).ravel()[:length] % (length - 1)
    bars = _Bars.of(panel)
    cells = bars.sources(rows, rng)
    gap, through = (_take(_centred(part), cells) for part in (bars.gap, bars.through))
    made = bars.rebuild(gap, through, cells, np.ones(panel.shape))
    return NullMarket("blocks", panel, made)


NULLS: Mapping[str, Callable[[Panel, np.random.Generator], NullMarket]] = MappingProxyType(
    {"history": filtered_history, "bars": drawn_bars, "signs": random_signs, "blocks": drawn_blocks}
)


def null_market(kind: str, panel: Panel, rng: np.random.Generator, fill: Fill = "open") -> NullMarket:
    """Return a null market of a kind of `NULLS`, for decisions that are filled at `fill`."""
    return random_signs(panel, rng, fill) if kind == "signs" else NULLS[kind](panel, rng)


@dataclass(frozen=True, eq=False)
class _Bars:
    """A panel's bars taken apart: moves from close to open and from open to close, and what goes with a bar."""

    panel: Panel
    listed: BoolArray
    gap: FloatArray
    through: FloatArray
    moves: FloatArray
    typical: FloatArray

    @classmethod
    def of(cls, panel: Panel) -> _Bars:
        close, opened = panel["close"], panel["open"]
        with np.errstate(all="ignore"):
            gap = np.vstack([np.full((1, close.shape[1]), np.nan), opened[1:] / close[:-1] - 1.0])
            through = close / opened - 1.0
            moves = (1.0 + gap) * (1.0 + through) - 1.0
        known = np.isfinite(moves)
        gap, through, moves = (np.where(known, x, np.nan) for x in (gap, through, moves))
        square = np.where(known, moves, 0.0) ** 2
        typical = square.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        return cls(panel, np.isfinite(close), gap, through, moves, np.maximum(typical, 1e-12))

    def sources(self, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Return (T, N) the bar that each cell comes from: `rows`, or where an asset lacks that one, another of its."""
        known = np.isfinite(self.moves)
        cells = np.repeat(rows[:, None], known.shape[1], axis=1)
        for i in range(known.shape[1]):
            own = np.flatnonzero(known[:, i])
            missing = ~known[rows, i]
            if len(own):
                cells[missing, i] = rng.choice(own, int(missing.sum()))
        return cells

    def rebuild(self, gap: FloatArray, through: FloatArray, rows: NDArray[np.int64], scale: FloatArray) -> Panel:
        """Chain prices from moves; shadows come from the source bars, times `scale`, and so does the money traded."""
        panel = self.panel
        gap, through = (np.nan_to_num(np.maximum(part, _WORST)) for part in (gap, through))
        close = _START * np.exp(np.cumsum(np.log1p(gap) + np.log1p(through), axis=0))
        opened = close / (1.0 + through)
        upper, lower = _shadows(panel)
        upper, lower = (np.clip(np.nan_to_num(_take(x, rows) * scale), 0.0, 0.9) for x in (upper, lower))
        made = {"open": opened, "close": close}
        made["high"] = np.maximum(opened, close) * (1.0 + upper)
        made["low"] = np.minimum(opened, close) * (1.0 - lower)
        made["volume"] = _take(panel.money, rows) / close
        for name, values in panel.fields.items():
            if name not in made:
                kept = _take(values, rows)
                # A price within the bar keeps its place relative to the open.
                made[name] = kept / _take(panel["open"], rows) * opened if name == "vwap" else kept
        return replace(panel, fields={name: np.where(self.listed, x, np.nan) for name, x in made.items()})


def _take(x: FloatArray, rows: NDArray[np.int64]) -> FloatArray:
    taken: FloatArray = np.take_along_axis(x, rows, axis=0)
    return taken


def _centred(x: FloatArray) -> FloatArray:
    """Return values (T, N) less each asset's mean; NaN stays."""
    known = np.isfinite(x)
    mean = np.where(known, x, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    centred: FloatArray = x - mean
    return centred


def _standard(gap: FloatArray, through: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return both parts of moves (T, N) in units of a volatility so that the mean square of their sum is 1.

    GARCH multiplies what is above 1: the variance it returns to is `1 - _ARCH - _GARCH` over
    `1 - _GARCH - _ARCH * mean square`, twice the record's at 1.125.
    """
    square = (gap + through) ** 2
    known = np.isfinite(square)
    mean = np.where(known, square, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    root = np.sqrt(np.where(mean > 0.0, mean, 1.0))
    return gap / root, through / root


@njit(cache=True, error_model="numpy", nogil=True)
def _variances(moves: FloatArray, typical: FloatArray) -> FloatArray:
    """Return (T, N) GARCH(1, 1) variances known before each bar."""
    out = np.empty_like(moves)
    now = typical.copy()
    for t in range(len(moves)):
        for i in range(len(typical)):
            out[t, i] = now[i]
            move = moves[t, i]
            if move == move:
                now[i] = (1.0 - _ARCH - _GARCH) * typical[i] + _ARCH * move * move + _GARCH * now[i]
    return out


@njit(cache=True, error_model="numpy", nogil=True)
def simulate(gap: FloatArray, through: FloatArray, typical: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return moves (T, N), to the open and from it, under volatilities made by the moves before, and those (T, N).

    `gap` and `through` (T, N) are moves in units of a volatility; NaN is no move. `typical` (N,) are the variances that
    each asset returns to; none grows beyond `_MOST`.
    """
    gaps, throughs, sizes = np.zeros_like(gap), np.zeros_like(gap), np.ones_like(gap)
    now = typical.copy()
    for t in range(len(gap)):
        for i in range(len(typical)):
            size = np.sqrt(now[i])
            sizes[t, i] = size
            first, second = gap[t, i] * size, through[t, i] * size
            if first == first and second == second:
                gaps[t, i], throughs[t, i] = max(first, _WORST), max(second, _WORST)
            move = (1.0 + gaps[t, i]) * (1.0 + throughs[t, i]) - 1.0
            after = (1.0 - _ARCH - _GARCH) * typical[i] + _ARCH * move * move + _GARCH * now[i]
            now[i] = min(after, max(_MOST, typical[i]))
    return gaps, throughs, sizes
