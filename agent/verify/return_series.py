"""Judging a series of returns, of which nothing else is known: whether it earns, and on how little that rests."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agent.verify.claim import Claim
from agent.verify.questions import by_year, concentration, summarised, week_of
from agent.verify.significance import among_trials, bootstrapped_scores, most_trials, tested
from agent.verify.verification import Concentration, Flaw, Series, Traded, Verification, Worlds
from backtest import metrics
from backtest.bar_regimes import market_return
from backtest.luck import sharpe_standard_error
from backtest.mean_test import LEAST_PAYOFFS
from backtest.result_types import NOT_TESTED, Tested
from market.calendars import calendar_of
from market.errors import InputError
from market.panel import OHLCV, FloatArray, Panel

_TOO_MUCH = 0.5
_UNREAL_SHARPE = 4.0


def verify_returns(
    claim: Claim, panel: Panel | None, *, trials: int | None, level: float, worlds: int, seed: int
) -> Verification:
    """Judge returns; with a panel also what the market of its assets does not explain of them.

    Raises
    ------
    InputError
        For fewer returns than a test needs, or none in common with the panel.
    """
    series, times = claim.values[:, 0], claim.times
    known = np.isfinite(series)
    series, times = series[known], times[known]
    if len(series) < LEAST_PAYOFFS:
        raise InputError(f"{len(series)} returns are too few", f"{LEAST_PAYOFFS} or more are needed")
    clock = _clock(series, times)
    year = clock.bars_per_year
    count = trials or 1
    earns = tested(series, count, level)
    residual = None if panel is None else _unexplained(series, times, panel)
    predicts: Tested = NOT_TESTED if residual is None else tested(residual, count, level)
    rests = concentration(series, times)
    flaws = _flaws(rests, metrics.sharpe(series, year))
    among = among_trials(predicts, earns, trials, level)
    fatal = any(flaw.fatal for flaw in flaws)
    return Verification(
        shown=among[-1].shown and not fatal,
        sentence="",
        kind="returns",
        data="" if panel is None else panel.name,
        start=str(times[0])[:16],
        end=str(times[-1])[:16],
        bars=len(series),
        assets=0,
        level=level,
        trials=trials,
        predicts=predicts,
        earns=earns,
        among=among,
        most_trials=0 if fatal else most_trials(predicts, earns, level),
        flaws=tuple(flaws),
        traded=_figures(series, year),
        worlds=_drawn_worlds(series, clock, worlds, seed, earns.z),
        concentration=rests,
        years=by_year(times, series, series, series),
        notes=(*claim.notes, "of returns alone, costs, look-ahead and the choice of assets cannot be seen"),
        series=Series(times, series, series),
    )


def _drawn_worlds(series: FloatArray, clock: Panel, worlds: int, seed: int, z: float) -> tuple[Worlds, ...]:
    """Return how a score `z` compares with those of series drawn block by block; nothing where none are asked for."""
    if not worlds:
        return ()
    drawn = bootstrapped_scores(series, week_of(clock), worlds, np.random.default_rng([seed, 7]))
    return (summarised("blocks of the series", drawn, z),)


def _flaws(rests: Concentration, sharpe: float) -> list[Flaw]:
    found = []
    if rests.best_bar > _TOO_MUCH:
        found.append(Flaw("one_bar", True, f"{rests.best_bar:.0%} of all it gained came at {rests.best_bar_time}"))
    if sharpe > _UNREAL_SHARPE:
        text = (
            f"a Sharpe ratio of {sharpe:.1f} is too good to be believed of returns alone: bring its weights or signals"
        )
        found.append(Flaw("too_good", True, text))
    return found


def _clock(series: FloatArray, times: np.ndarray) -> Panel:
    """Return a panel of one asset that earns the series: what knows how many bars a year has."""
    steps = np.diff(times.astype("datetime64[ns]"))
    bar = np.timedelta64(int(np.median(steps.astype(np.int64))), "ns")
    wealth = metrics.wealth(series)[:, None]
    found = calendar_of(pd.Series(pd.DatetimeIndex(times).tz_localize("UTC")), int(bar.astype(np.int64)))
    return Panel(times, ("series",), dict.fromkeys(OHLCV, wealth), np.isfinite(wealth), bar, found, "returns")


def _unexplained(series: FloatArray, times: np.ndarray, panel: Panel) -> FloatArray:
    """Return the returns less their beta times the market's at the same bars."""
    common, mine, theirs = np.intersect1d(times, panel.times, return_indices=True)
    if len(common) < LEAST_PAYOFFS:
        raise InputError(
            f"{len(common)} returns lie on bars of {panel.name}", f"{LEAST_PAYOFFS} or more are needed, or no --data"
        )
    own, market = series[mine], market_return(panel)[theirs]
    spread = float(np.var(market))
    beta = float(np.cov(own, market)[0, 1]) / spread if spread > 0 else 0.0
    return own - beta * market


def _figures(series: FloatArray, year: float) -> Traded:
    sharpe = metrics.sharpe(series, year)
    earned = metrics.annual_return(series, year)
    return Traded(
        sharpe_gross=sharpe,
        sharpe_net=sharpe,
        sharpe_error=sharpe_standard_error(series) * float(np.sqrt(year)),
        return_gross=earned,
        return_net=earned,
        max_drawdown=metrics.max_drawdown(series),
    )
