"""Claims of known truth: what they hold, on which market, and what a judge that can be believed has to say."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from agent.verify.claim_reading import ReadingAs
from agent.verify.verifying import Terms
from backtest.costs import Costs
from backtest.planted_payoffs import plant_payoff
from backtest.trading_rules import BacktestSpec
from market.panel import Calendar, FloatArray, Panel

BARS, LIVING, DYING = 1_000, 36, 14
# Of `all_cases`, in its order.
NAMES = (
    "a real signal", "costs forgotten", "noise", "the best of 60 noises", "look-ahead", "lottery coins",
    "survivors only", "one lucky day", "adjusted prices", "the market itself",
)  # fmt: skip
START = 300


@dataclass(frozen=True, eq=False)
class Case:
    """A claim: its frame, its market, the terms, whether it has to be shown, and a word that its sentence has."""

    name: str
    truth: str
    frame: pd.DataFrame
    panel: Panel
    shown: bool
    says: str
    terms: Terms


def panel_of(returns: FloatArray, calendar: Calendar = "continuous", *, end_at: float | None = None) -> Panel:
    """Return daily bars whose closes have these returns (T, N), NaN where an asset is dead."""
    rng = np.random.default_rng(99)
    close = 100.0 * np.exp(np.nancumsum(np.log1p(np.nan_to_num(returns)), axis=0))
    if end_at is not None:
        close *= end_at / close[-1]
    opened = np.vstack([close[:1], close[:-1]]) * np.exp(0.001 * rng.standard_normal(close.shape))
    fields = {"open": opened, "close": close, "high": np.maximum(opened, close), "low": np.minimum(opened, close)}
    fields["volume"] = np.full(close.shape, 1e6) / close * 100.0
    dead = np.isnan(returns)
    fields = {name: np.where(dead, np.nan, values) for name, values in fields.items()}
    day = np.timedelta64(1, "D")
    times = np.datetime64("2021-01-01", "ns") + np.arange(len(close)) * day
    names = tuple(f"A{k:02d}" for k in range(close.shape[1]))
    return Panel(times, names, fields, ~dead, day, calendar, "market")


def returns_of(rng: np.random.Generator, assets: int = LIVING) -> FloatArray:
    """Return (T, N) returns with a market in them, fat tails and clustered volatility."""
    calm = np.exp(0.35 * np.sin(np.arange(BARS) / 40.0))[:, None]
    own = 0.02 * rng.standard_t(5, (BARS, assets)) / np.sqrt(5 / 3) * calm
    return np.clip(0.01 * rng.standard_normal((BARS, 1)) + own, -0.5, 0.5)


def slow(rng: np.random.Generator, shape: tuple[int, int], keep: float = 0.97) -> FloatArray:
    """Return a signal (T, N) that changes its mind slowly."""
    out = np.zeros(shape)
    for t in range(1, len(out)):
        out[t] = keep * out[t - 1] + rng.standard_normal(shape[1])
    return out


def framed(values: FloatArray, panel: Panel, first: int = START) -> pd.DataFrame:
    """Return values as somebody writes them: a date and one column an asset."""
    return pd.DataFrame(values[first:], index=pd.DatetimeIndex(panel.times[first:], name="date"), columns=panel.assets)


def all_cases(seed: int = 1) -> list[Case]:
    """Return the claims; the same seed gives the same."""
    rng = np.random.default_rng(seed)
    made = [
        _real,
        _costs_forgotten,
        _noise,
        _best_of_many,
        _look_ahead,
        _lottery,
        _survivors,
        _lucky_day,
        _adjusted,
        _market,
    ]
    return [make(rng) for make in made]


def _planted(rng: np.random.Generator, keep: float, z: float) -> tuple[FloatArray, Panel]:
    panel = panel_of(returns_of(rng))
    values = slow(rng, panel.shape, keep)
    return values, plant_payoff(panel, values, z, slice(START, BARS - 2)).panel


def _real(rng: np.random.Generator) -> Case:
    values, panel = _planted(rng, 0.97, 8.0)
    terms = Terms(trials=100, worlds=0, reading=_signals())
    return Case("a real signal", "pays, before and after costs", framed(values, panel), panel, True, "predicts", terms)


def _costs_forgotten(rng: np.random.Generator) -> Case:
    values, panel = _planted(rng, 0.0, 6.0)
    dear = BacktestSpec(costs=Costs(fee_bp=20.0, slippage_bp=20.0))
    terms = Terms(trials=1, worlds=0, spec=dear, reading=_signals())
    frame = framed(values, panel)
    return Case("costs forgotten", "pays before costs, and costs more", frame, panel, False, "does not earn", terms)


def _noise(rng: np.random.Generator) -> Case:
    panel = panel_of(returns_of(rng))
    values = slow(rng, panel.shape)
    return Case("noise", "knows nothing", framed(values, panel), panel, False, "does not predict", _plain())


def _best_of_many(rng: np.random.Generator) -> Case:
    """The best of many signals without skill, as somebody shows it who forgot the others."""
    panel = panel_of(returns_of(rng))
    frames = [framed(slow(rng, panel.shape, 0.9), panel) for _ in range(60)]
    free = BacktestSpec(costs=Costs(fee_bp=0.0, slippage_bp=0.0))
    scored = [_quick_score(frame, panel) for frame in frames]
    best = frames[int(np.argmax(scored))]
    terms = Terms(60, free, worlds=0, reading=_signals())
    return Case("the best of 60 noises", "knows nothing", best, panel, False, "does not predict", terms)


def _quick_score(frame: pd.DataFrame, panel: Panel) -> float:
    from backtest.ic import forward_returns
    from backtest.mean_test import mean_test
    from backtest.payoff import rank_payoffs, risk_returns

    values = np.full(panel.shape, np.nan)
    values[START:] = frame.to_numpy()
    forward = forward_returns(panel)
    return mean_test(rank_payoffs(values, forward, risk_returns(panel, forward))).z


def _look_ahead(rng: np.random.Generator) -> Case:
    panel = panel_of(returns_of(rng))
    ahead = np.full(panel.shape, 0.0)
    ahead[:-2] = panel["open"][2:] / panel["open"][1:-1] - 1.0
    values = ahead + 0.05 * rng.standard_normal(panel.shape)
    return Case("look-ahead", "holds the next return", framed(values, panel), panel, False, "bar later", _plain())


def _lottery(rng: np.random.Generator) -> Case:
    """Half of the assets fall a little most days and jump on few: low medians, ordinary means."""
    returns = returns_of(rng)
    odd = np.arange(LIVING) % 2 == 1
    jumps = np.where(rng.random((BARS, LIVING)) < 0.04, 0.12, -0.005)
    returns[:, odd] = (0.5 * returns + jumps)[:, odd]
    panel = panel_of(returns)
    values = np.where(odd, -1.0, 1.0) + 0.3 * slow(rng, panel.shape) / 4.0
    return Case(
        "lottery coins", "ranks by medians, pays nothing", framed(values, panel), panel, False, "does not", _plain()
    )


def _survivors(rng: np.random.Generator) -> Case:
    returns = returns_of(rng, LIVING + DYING)
    for k in range(DYING):
        end = START + 100 + 40 * k
        returns[end - 60 : end, LIVING + k] -= 0.025
        returns[end:, LIVING + k] = np.nan
    panel = panel_of(np.clip(returns, -0.9, 0.9))
    values = np.zeros(panel.shape)
    values[:, :LIVING] = 1.0 / LIVING
    terms = Terms(trials=1, worlds=0)
    frame = framed(values, panel).iloc[:, :LIVING]
    return Case(
        "survivors only",
        "assets chosen afterwards",
        frame,
        panel,
        False,
        "survivors",
        replace(terms, reading=_weights()),
    )


def _lucky_day(rng: np.random.Generator) -> Case:
    returns = returns_of(rng)
    returns[700, 5] = 4.0
    panel = panel_of(returns)
    values = 0.02 * np.sign(slow(rng, panel.shape, 0.9))
    values[695:705, 5] = 0.1
    return Case(
        "one lucky day",
        "one jump that it was in",
        framed(values, panel),
        panel,
        False,
        "came at",
        Terms(1, worlds=0, reading=_weights()),
    )


def _adjusted(rng: np.random.Generator) -> Case:
    """Prices adjusted backwards to today's: what is cheap in the past is what rose since."""
    drift = 0.004 * rng.standard_normal(LIVING)
    panel = panel_of(returns_of(rng) + drift, "exchange", end_at=100.0)
    return Case(
        "adjusted prices",
        "orders by levels that know later ones",
        framed(-panel["close"], panel),
        panel,
        False,
        "adjusted",
        _plain(),
    )


def _market(rng: np.random.Generator) -> Case:
    panel = panel_of(returns_of(rng) + 0.002)
    values = np.full(panel.shape, 1.0 / LIVING) * np.where(slow(rng, panel.shape) > 0, 1.0, 0.9)
    return Case(
        "the market itself",
        "earns what all assets do",
        framed(values, panel),
        panel,
        False,
        "does not predict",
        Terms(1, worlds=0, reading=_weights()),
    )


def _signals() -> ReadingAs:
    return ReadingAs("signals")


def _weights() -> ReadingAs:
    return ReadingAs("weights")


def _plain() -> Terms:
    return Terms(trials=1, worlds=0, reading=_signals())
