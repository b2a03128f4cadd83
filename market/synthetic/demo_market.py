"""A seeded synthetic market with a known planted signal, for demos and tests.

Returns are simulated bar by bar: the planted ranking at the close of bar t, known to anyone from volume alone, moves
the return from the open of t+1 to the open of t+2. Inside crash windows its sign breaks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from market.errors import InputError
from market.panel import BoolArray, FloatArray, Panel

TRUTH = "cs_rank(ts_mean(volume, 24) / ts_mean(volume, 168))"
_FAST, _SLOW = 24, 168
_NAMES = (
    "AUR",
    "BOR",
    "CAD",
    "DYS",
    "ERB",
    "FER",
    "GAL",
    "HOL",
    "IRI",
    "KRY",
    "LUT",
    "MOL",
    "NEO",
    "OSM",
    "PAL",
    "RHO",
)


@dataclass(frozen=True)
class SynthSpec:
    """What to simulate.

    Attributes
    ----------
    effect_bp
        Return per bar, in basis points, of the top-ranked asset over the middle; the bottom one gets minus that.
    crash_sign
        What the effect is multiplied by inside crash windows.
    volatility
        Standard deviation of an asset's return per calm bar.
    """

    seed: int = 7
    assets: int = 12
    bars: int = 8760
    effect_bp: float = 7.0
    crash_sign: float = -3.0
    crashes: int = 6
    crash_bars: int = 60
    volatility: float = 0.006


@dataclass(frozen=True, eq=False)
class SynthMarket:
    """A simulated panel, the planted factor in our language, and (T,) which bars lie in a crash."""

    panel: Panel
    truth: str
    crash: BoolArray
    spec: SynthSpec


def make_market(spec: SynthSpec) -> SynthMarket:
    """Simulate a market; the same spec gives the same panel."""
    if spec.assets < 1 or spec.bars < 400:
        raise InputError(
            f"a synthetic market needs at least 1 asset and 400 bars; asked for: {spec.assets} and {spec.bars}"
        )
    rng = np.random.default_rng(spec.seed)
    crash = _crash_windows(spec, rng)
    volatility = _volatility(spec, crash, rng)
    volume = _volume(spec, crash, volatility, rng)
    moves = _moves(spec, crash, volatility, volume, rng)
    fields = _bars(spec, moves, volatility, volume, rng)
    start = np.datetime64("2024-01-01T00:00:00", "ns")
    hour = np.timedelta64(1, "h").astype("timedelta64[ns]")
    names = tuple(_NAMES[i] if i < len(_NAMES) else f"S{i:02d}" for i in range(spec.assets))
    panel = Panel(
        times=start + hour * np.arange(spec.bars),
        assets=names,
        fields=fields,
        universe=np.ones((spec.bars, spec.assets), dtype=bool),
        bar=hour,
        calendar="continuous",
        name="simulated market",
        simulated=True,
    )
    return SynthMarket(panel, TRUTH, crash, spec)


def _crash_windows(spec: SynthSpec, rng: np.random.Generator) -> BoolArray:
    """Place the windows one to each equal stretch of time, so that every segment of a split meets some."""
    crash = np.zeros(spec.bars, dtype=bool)
    stretch = spec.bars // max(spec.crashes, 1)
    length = min(spec.crash_bars, stretch // 3)
    for number in range(spec.crashes):
        first = number * stretch + int(rng.integers(length, stretch - length))
        crash[first : first + length] = True
    return crash


def _volatility(spec: SynthSpec, crash: BoolArray, rng: np.random.Generator) -> FloatArray:
    """Return (T,) volatility: a two-state Markov chain (calm, turbulent), five-fold in crashes, smoothed."""
    turbulent = False
    level = np.empty(spec.bars)
    draws = rng.random(spec.bars)
    for bar in range(spec.bars):
        turbulent = draws[bar] < (0.985 if turbulent else 0.006)
        level[bar] = 5.0 if crash[bar] else 1.9 if turbulent else 0.8
    smooth = np.empty(spec.bars)
    smooth[0] = level[0]
    for bar in range(1, spec.bars):
        # Crashes break in at once; calm returns slowly.
        weight = 0.6 if level[bar] > smooth[bar - 1] else 0.15
        smooth[bar] = (1 - weight) * smooth[bar - 1] + weight * level[bar]
    return spec.volatility * smooth


def _volume(spec: SynthSpec, crash: BoolArray, volatility: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return (T, N) volume: log AR(1) waves with a half-life of days, a daily pattern, and noise."""
    shape = (spec.bars, spec.assets)
    slow = np.zeros(shape)
    shocks = rng.normal(0.0, 1.0, shape)
    keep = 0.5 ** (1.0 / 72.0)
    for bar in range(1, spec.bars):
        slow[bar] = keep * slow[bar - 1] + np.sqrt(1 - keep**2) * shocks[bar]
    hours = np.arange(spec.bars)[:, None]
    daily = 0.25 * np.sin(2 * np.pi * (hours - 14) / 24)
    excited = 0.5 * np.log(volatility / spec.volatility)[:, None] + 0.6 * crash[:, None]
    base = rng.normal(11.0, 1.0, spec.assets)
    log_volume = base + 0.5 * slow + daily + excited + rng.normal(0.0, 0.35, shape)
    return np.exp(log_volume)


def _moves(
    spec: SynthSpec, crash: BoolArray, volatility: FloatArray, volume: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Return (T, N) log returns, open of the bar to open of the next."""
    shape = (spec.bars, spec.assets)
    common = _student(rng, (spec.bars, 1))
    own = _student(rng, shape)
    beta = rng.uniform(0.6, 1.4, spec.assets)
    moves = volatility[:, None] * (0.55 * beta * common + 0.8 * own)
    moves -= crash[:, None] * 0.6 * volatility[:, None] * np.abs(common) * 0.5
    truth = _planted(volume)
    # The ranking known at the close of t pays in bar t+1.
    sign = np.where(crash, spec.crash_sign, 1.0)
    moves[1:] += spec.effect_bp * 1e-4 * sign[1:, None] * (2 * truth[:-1] - 1)
    return moves


def _student(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Return Student-t draws with 4 degrees of freedom, scaled to unit variance, cut at 12."""
    draws: FloatArray = np.clip(rng.standard_t(4, shape) / np.sqrt(2.0), -12, 12)
    return draws


def _planted(volume: FloatArray) -> FloatArray:
    """Return (T, N) the planted ranking in (0, 1], 0.5 in warm-up; written apart from the engine, as its oracle."""
    total = np.vstack([np.zeros((1, volume.shape[1])), np.cumsum(volume, axis=0)])
    ranks = np.full(volume.shape, 0.5)
    for bar in range(_SLOW - 1, len(volume)):
        fast = (total[bar + 1] - total[bar + 1 - _FAST]) / _FAST
        slow = (total[bar + 1] - total[bar + 1 - _SLOW]) / _SLOW
        ranks[bar] = (np.argsort(np.argsort(fast / slow)) + 1) / volume.shape[1]
    return ranks


def _bars(
    spec: SynthSpec, moves: FloatArray, volatility: FloatArray, volume: FloatArray, rng: np.random.Generator
) -> dict[str, FloatArray]:
    """Return OHLCV: a bar opens where the last one closed but for a tiny gap, and has a path inside."""
    shape = moves.shape
    gap = 0.02 * volatility[:, None] * rng.normal(0.0, 1.0, shape)
    start = np.log(rng.uniform(5.0, 500.0, spec.assets))
    log_open = start + np.vstack([np.zeros((1, shape[1])), np.cumsum(moves, axis=0)[:-1]])
    # close = next open less the next bar's gap, so that open-to-open returns are exactly `moves`
    log_close = log_open + moves - np.vstack([gap[1:], gap[:1]])
    reach = 0.6 * volatility[:, None]
    log_high = np.maximum(log_open, log_close) + reach * np.abs(rng.normal(0.0, 1.0, shape))
    log_low = np.minimum(log_open, log_close) - reach * np.abs(rng.normal(0.0, 1.0, shape))
    return {
        "open": np.exp(log_open),
        "high": np.exp(log_high),
        "low": np.exp(log_low),
        "close": np.exp(log_close),
        "volume": volume,
    }
