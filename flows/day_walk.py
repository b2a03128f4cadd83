"""Forecasts of the next day, walking forward: each method is fitted again on a schedule, on days before its date."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from flows.day_methods import LEVELS, METHODS, Asked, DayModel, Method, Predicted, checked, outcomes
from flows.day_series import DaySeries
from market.errors import InputError
from market.panel import BoolArray, FloatArray

Tick = Callable[[int, int], None]
# Days between fits, the least before the first, and the share of the days that comes before it.
REFIT, _LEAST_DAYS, _FIRST = 63, 250, 0.35
# Returns below these quantiles of the past are tails; a wild day has a range above that one.
TAILS, WILD = (0.05, 0.01), 0.95


@dataclass(frozen=True, eq=False)
class Walked:
    """What was forecast of M days, none of them seen by the fit that forecast it.

    Attributes
    ----------
    rows
        Of the days at whose end the forecasts were made.
    predicted
        By method.
    fell, wild
        (M, C) whether the return was below each tail, and (M,) whether the range was a wild day's.
    returns
        (M,) log returns that came.
    """

    rows: slice
    predicted: Mapping[str, Predicted]
    fell: BoolArray
    wild: BoolArray
    returns: FloatArray

    def crps(self, method: str) -> FloatArray:
        """Return (M,) the continuous ranked probability score, less is better: twice the mean check loss."""
        off = self.returns[:, None] - self.predicted[method].quantiles
        score: FloatArray = 2.0 * np.where(off > 0, LEVELS * off, (LEVELS - 1.0) * off).mean(axis=1)
        return score

    def log_score(self, method: str) -> FloatArray:
        """Return (M,) minus the log-density of what came, in nats, less is better; NaN of a method without one."""
        return -self.predicted[method].log_density

    def brier(self, method: str) -> FloatArray:
        """Return (M, C + 1) squared errors of the probabilities of each tail, and of a wild day."""
        made = self.predicted[method]
        said, came = np.column_stack([made.below, made.wild]), np.column_stack([self.fell, self.wild])
        off: FloatArray = (said - came) ** 2
        return off


def asked_of(past: DaySeries) -> Asked:
    """Return the tails of a past: what the next day is asked to be beyond."""
    return Asked(np.quantile(past.returns, TAILS), float(np.quantile(past.ranges, WILD)))


def first_fit(days: int) -> int:
    """Return how many days come before the first fit."""
    return max(_LEAST_DAYS, int(_FIRST * days))


def walk_forward(days: DaySeries, methods: Mapping[str, Method] = METHODS, tick: Tick | None = None) -> Walked:
    """Forecast each day from the first fit on; a fit sees the days before its date, and outcomes among them.

    Raises
    ------
    InputError
        Where there are fewer than a month of days after the first fit.
    """
    total = len(days.times)
    begin = first_fit(total)
    if total - 1 - begin < _LEAST_SCORED:
        raise InputError(
            f"{total} days are too few to say what a forecast is worth: {_LEAST_DAYS + _LEAST_SCORED} are the least",
            "use more bars",
        )
    models: dict[str, DayModel] = {}
    parts: dict[str, list[Predicted]] = {name: [] for name in methods}
    fell, wild = [], []
    starts = range(begin, total - 1, REFIT)
    for number, start in enumerate(starts):
        # Made at the ends of these days, of the days after them; the fit knows days up to the first of them.
        rows, past = slice(start, min(start + REFIT, total - 1)), days.first(start + 1)
        asked = asked_of(past)
        for name, fit in methods.items():
            models[name] = fit(past, models.get(name))
            found = models[name].predict(days.first(rows.stop + 1), rows, asked)
            parts[name].append(checked(name, found, rows.stop - rows.start, len(TAILS)))
        came = outcomes(days, rows)
        fell.append(came[:, :1] < asked.below)
        wild.append(came[:, 1] > asked.wild)
        if tick is not None:
            tick(number + 1, len(starts))
    made = {name: _joined(found) for name, found in parts.items()}
    rows = slice(begin, total - 1)
    return Walked(rows, made, np.vstack(fell), np.concatenate(wild), outcomes(days, rows)[:, 0])


def _joined(parts: list[Predicted]) -> Predicted:
    names = ("quantiles", "below", "wild", "log_density")
    return Predicted(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


_LEAST_SCORED = 30
