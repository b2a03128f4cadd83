"""Simulating a market from a `MarketSpec`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from market.errors import InputError
from market.panel import BoolArray, FloatArray, Panel
from market.synthetic.anomalies import Effects, blank_bars, effects_of, hold_still, place_windows
from market.synthetic.market_spec import MarketSpec, PlantedSignal, SyntheticMarket, Truth
from market.synthetic.planting import plant_signals

_FAST, _SLOW = 24, 168


def make_synthetic(spec: MarketSpec) -> SyntheticMarket:
    """Simulate a market; the same spec gives the same panel and truth.

    The order of things: regimes; each asset's life; volatility by bar and asset; volume, which follows volatility;
    funding; returns, Student-t around a market factor, with jumps; then the signals are planted into the returns, and
    bars are built around them. Signals see only volume, funding and waves of their own, all drawn before the returns.
    """
    rng = np.random.default_rng(spec.seed)
    chain = _regimes(spec, rng)
    born, died = _lives(spec, rng)
    row = np.arange(spec.bars)[:, None]
    alive = (row >= born) & (row < died)
    windows = place_windows(spec, rng)
    effects = effects_of(spec, windows, rng)
    beta = rng.uniform(0.6, 1.4, spec.assets)
    activity = 0.35 * _wave((spec.bars, spec.assets), 48.0, rng)
    volatility = _volatility(spec, chain, activity, effects)
    volume = _volume(spec, chain, activity, effects, rng)
    rates = _funding(spec, rng) if spec.funding else None
    values = _signal_values(spec, volume, rates, rng)
    moves = _moves(spec, chain, beta, volatility, effects, rng)
    _fall_before_death(spec, moves, died)
    moves[~alive] = np.nan
    if spec.signals:
        ics = np.array([[signal.ic_in(regime.name) for signal in spec.signals] for regime in spec.regimes])
        moves = plant_signals(moves, list(values.values()), ics[chain], rng)
    moves += effects.shock
    fields = _bars(moves, volatility, volume, rng)
    for signal in spec.signals:
        if isinstance(signal.driver, str) and signal.driver == "wave":
            fields[signal.name] = values[signal.name].copy()
    if rates is not None:
        fields |= rates
    hold_still(fields, windows)
    for array in fields.values():
        array[~alive] = np.nan
    blank_bars(fields, windows)
    for array in fields.values():
        # A panel copies what may still be written to; a thousand assets are 80 MB a field.
        array.setflags(write=False)
    panel = _panel(spec, fields)
    signals = {name: np.where(alive, one, np.nan) for name, one in values.items()}
    return SyntheticMarket(panel, Truth(chain, signals, windows, born, died, beta), spec)


def _panel(spec: MarketSpec, fields: dict[str, FloatArray]) -> Panel:
    step = np.timedelta64(round(spec.bar_hours * 3600), "s").astype("timedelta64[ns]")
    return Panel(
        times=_start(spec) + step * np.arange(spec.bars),
        assets=tuple(f"S{number:04d}" if spec.assets > 1000 else f"S{number:03d}" for number in range(spec.assets)),
        fields=fields,
        universe=np.isfinite(fields["close"]),
        bar=step,
        calendar="continuous",
        name="synthetic market",
        simulated=True,
    )


def _start(spec: MarketSpec) -> np.datetime64:
    try:
        return np.datetime64(spec.start, "ns")
    except ValueError as error:
        raise InputError(f"start {spec.start!r} is not a date", "write 2022-01-01") from error


def _regimes(spec: MarketSpec, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return (T,) a Markov chain by its stays; the next regime is any other, at even odds. It begins in the first."""
    chain = np.zeros(spec.bars, dtype=np.int64)
    if len(spec.regimes) == 1:
        return chain
    at, now = 0, 0
    while at < spec.bars:
        stay = int(rng.geometric(1.0 / max(spec.regimes[now].stay, 1.0)))
        chain[at : at + stay] = now
        at += stay
        now = (now + int(rng.integers(1, len(spec.regimes)))) % len(spec.regimes)
    return chain


def _lives(spec: MarketSpec, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (N,) first rows, and rows after the last. An asset lives an eighth of the panel at least."""
    born = np.zeros(spec.assets, dtype=np.int64)
    died = np.full(spec.assets, spec.bars, dtype=np.int64)
    late = rng.permutation(spec.assets)[: round(spec.listings * spec.assets)]
    born[late] = rng.integers(1, 3 * spec.bars // 4, len(late))
    ended = rng.permutation(spec.assets)[: round(spec.deaths * spec.assets)]
    earliest = np.minimum(born[ended] + spec.bars // 8, spec.bars - 2)
    died[ended] = rng.integers(earliest, spec.bars - 1)
    return born, died


def _wave(shape: tuple[int, int], half_life: float, rng: np.random.Generator) -> FloatArray:
    """Return (T, N) stationary first-order autoregressions of unit variance."""
    keep = 0.5 ** (1.0 / half_life)
    shocks = rng.standard_normal(shape)
    shocks[1:] *= np.sqrt(1 - keep**2)
    waves: FloatArray = lfilter([1.0], [1.0, -keep], shocks, axis=0)
    return waves


def _volatility(spec: MarketSpec, chain: NDArray[np.int64], activity: FloatArray, effects: Effects) -> FloatArray:
    """Return (T, N) deviations a bar: the regime's, smoothed on its way down, times each asset's own activity."""
    level = np.log(np.array([regime.volatility for regime in spec.regimes])[chain])
    keep = 0.5 ** (1.0 / 12.0)
    calmer: FloatArray = lfilter([1 - keep], [1, -keep], level, zi=[keep * level[0]])[0]
    # A burst breaks in at once; calm returns slowly.
    market = spec.volatility * np.exp(np.maximum(level, calmer))
    volatility: FloatArray = market[:, None] * np.exp(activity)
    return volatility * effects.volatility


def _volume(
    spec: MarketSpec, chain: NDArray[np.int64], activity: FloatArray, effects: Effects, rng: np.random.Generator
) -> FloatArray:
    """Return (T, N) volume: the regime's, with the asset's activity (as its volatility), slow waves and a daily one."""
    shape = (spec.bars, spec.assets)
    hours = (np.arange(spec.bars) * spec.bar_hours)[:, None]
    # Bars of a day or more have no hours.
    daily = 0.25 * np.sin(2 * np.pi * (hours - 14) / 24) if spec.bar_hours < 24 else 0.0
    market = np.log(np.array([regime.volume for regime in spec.regimes])[chain])[:, None]
    base = rng.normal(11.0, 1.2, spec.assets)
    logs = base + market + daily + 1.3 * activity + 0.4 * _wave(shape, 72.0, rng)
    logs += 0.3 * rng.standard_normal(shape)
    volume: FloatArray = np.exp(logs) * effects.volume
    return volume


def _funding(spec: MarketSpec, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Return funding and funding_rate: a rate that reverts to 0.01 % in days, settled every eight hours (or bar)."""
    every = max(1, round(8 / spec.bar_hours))
    settled = -(-spec.bars // every)
    wave = _wave((settled, spec.assets), 9.0, rng)
    rates = 1e-4 + 1.5e-4 * wave
    last = np.repeat(rates, every, axis=0)[: spec.bars]
    paid = np.zeros((spec.bars, spec.assets))
    paid[::every] = rates
    return {"funding": paid, "funding_rate": last.copy()}


def _signal_values(
    spec: MarketSpec, volume: FloatArray, rates: dict[str, FloatArray] | None, rng: np.random.Generator
) -> dict[str, FloatArray]:
    """Return each signal's (T, N) values."""
    out: dict[str, FloatArray] = {}
    for signal in spec.signals:
        out[signal.name] = _driven(signal, spec, volume, rates, rng)
    return out


def _driven(
    signal: PlantedSignal,
    spec: MarketSpec,
    volume: FloatArray,
    rates: dict[str, FloatArray] | None,
    rng: np.random.Generator,
) -> FloatArray:
    if not isinstance(signal.driver, str):
        given = np.asarray(signal.driver, dtype=np.float64)
        if given.shape != (spec.bars, spec.assets):
            raise InputError(f"{signal.name} has shape {given.shape}, the market {(spec.bars, spec.assets)}")
        return given
    if signal.driver == "volume":
        return _mean_over(volume, _FAST) / _mean_over(volume, _SLOW)
    if signal.driver == "funding" and rates is not None:
        return -rates["funding_rate"]
    return _wave((spec.bars, spec.assets), 24.0, rng)


def _mean_over(values: FloatArray, bars: int) -> FloatArray:
    """Return (T, N) means of the last `bars` values, NaN before there are this many."""
    total = np.vstack([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    out = np.full(values.shape, np.nan)
    out[bars - 1 :] = (total[bars:] - total[:-bars]) / bars
    return out


def _moves(
    spec: MarketSpec,
    chain: NDArray[np.int64],
    beta: FloatArray,
    volatility: FloatArray,
    effects: Effects,
    rng: np.random.Generator,
) -> FloatArray:
    """Return (T, N) log returns, open to next open: market and own draws, jumps, the regime's drift."""
    shape = (spec.bars, spec.assets)
    unit = np.sqrt((spec.tail - 2) / spec.tail)
    share = np.array([regime.correlation for regime in spec.regimes])[chain][:, None]
    share = np.where(np.isnan(effects.correlation), share, effects.correlation)
    common = unit * np.clip(rng.standard_t(spec.tail, (spec.bars, 1)), -20, 20)
    own = rng.standard_t(spec.tail, shape)
    np.clip(own, -20, 20, out=own)
    own *= unit * np.sqrt(1 - share)
    own += np.sqrt(share) * beta * common
    own += _jumps(spec, beta, rng)
    own *= volatility
    drift = np.array([regime.drift for regime in spec.regimes])[chain]
    own += drift[:, None] * beta
    return own


def _jumps(spec: MarketSpec, beta: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return (T, N) jumps in deviations of a bar: common ones, taken by four in five, and the assets' own."""
    chance = spec.jumps * spec.bar_hours / 8760
    out = np.zeros((spec.bars, spec.assets))
    bars = np.flatnonzero(rng.random(spec.bars) < chance)
    sizes = spec.jump_size * rng.standard_normal(len(bars))
    out[bars] = sizes[:, None] * beta * (rng.random((len(bars), spec.assets)) < 0.8)
    number = int(rng.poisson(chance * out.size))
    rows, columns = rng.integers(0, spec.bars, number), rng.integers(0, spec.assets, number)
    out[rows, columns] += 0.7 * spec.jump_size * rng.standard_normal(number)
    return out


def _fall_before_death(spec: MarketSpec, moves: FloatArray, died: NDArray[np.int64]) -> None:
    """Let what dies lose nine tenths over its last tenth of the panel."""
    length = max(1, spec.bars // 10)
    for column in np.flatnonzero(died < spec.bars):
        first = max(0, int(died[column]) - length)
        moves[first : died[column], column] -= np.log(10.0) / length


def _bars(
    moves: FloatArray, volatility: FloatArray, volume: FloatArray, rng: np.random.Generator
) -> dict[str, FloatArray]:
    """Return OHLCV whose open-to-open returns are `moves`; a bar closes a hair from where the next one opens."""
    shape = moves.shape
    known: BoolArray = np.isfinite(moves)
    steps = np.where(known, moves, 0.0)
    log_open = np.zeros(shape)
    np.cumsum(steps[:-1], axis=0, out=log_open[1:])
    log_open += np.log(rng.uniform(0.5, 500.0, shape[1]))
    log_close = log_open + steps
    log_close += 0.02 * volatility * rng.standard_normal(shape)
    high = np.maximum(log_open, log_close)
    high += 0.6 * volatility * np.abs(rng.standard_normal(shape))
    low = np.minimum(log_open, log_close)
    low -= 0.6 * volatility * np.abs(rng.standard_normal(shape))
    out = {"open": log_open, "high": high, "low": low, "close": log_close}
    for array in out.values():
        np.exp(array, out=array)
    return {**out, "volume": volume}
