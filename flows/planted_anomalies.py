"""Anomalies planted in real bars, to see which densities notice which of them.

Each place in the data becomes an asset of its own excerpt of bars, whose newest bars are altered; features are computed
again, so that an alteration reaches them as it would in a market.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import rankdata

from flows.density import StateDensity
from market.errors import InputError
from market.panel import FloatArray, Panel

# Bars of an excerpt: enough for recursive features to have forgotten where it begins.
_HISTORY = 200
WINDOW = 8
_CRASH = 6.0
_WILD, _DEAD = 3.0, 0.2


@dataclass(frozen=True, eq=False)
class PlantedAnomaly:
    """States (M, WINDOW, D) of some places, as they were and altered; `single`: only the newest bar is altered."""

    kind: str
    ordinary: FloatArray
    altered: FloatArray
    single: bool = False


def plant_anomalies(
    density: StateDensity, panel: Panel, rows: slice, count: int, rng: np.random.Generator
) -> tuple[PlantedAnomaly, ...]:
    """Alter `count` places among `rows` of a panel, in each of the ways that the functions below name.

    Raises
    ------
    InputError
        When too few places have enough bars before them.
    """
    excerpt = _excerpts(panel, _places(panel, rows, count, rng))
    ordinary = _newest(density, excerpt)
    known = np.isfinite(ordinary).all(axis=(1, 2))
    if known.sum() < 50:
        raise InputError("too few states with a full history to plant anomalies in", "use a longer data set")

    def altered(change: Callable[[Panel], Panel]) -> FloatArray:
        return _newest(density, change(excerpt))[known]

    kept = ordinary[known]
    return (
        PlantedAnomaly("crash bar", kept, altered(_crash), single=True),
        PlantedAnomaly("volatility shift", kept, altered(lambda p: _scaled(p, _WILD))),
        PlantedAnomaly("dead market", kept, altered(lambda p: _scaled(p, _DEAD))),
        PlantedAnomaly("broken feed", kept, altered(_stuck_volume)),
        PlantedAnomaly("broken feature", kept, _broken(kept, density, rng)),
        PlantedAnomaly("shuffled joint", kept, rng.permuted(kept, axis=0)),
        PlantedAnomaly("sign flip", kept, _flipped(kept, density.names)),
    )


def _places(panel: Panel, rows: slice, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Return (row, asset) of places where an asset has `_HISTORY` finite bars behind it, itself included."""
    there = np.isfinite(panel["close"]) & (panel["volume"] > 0)
    total = np.vstack([np.zeros((1, there.shape[1])), np.cumsum(there, axis=0)])
    full = np.zeros(there.shape, dtype=bool)
    full[_HISTORY - 1 :] = total[_HISTORY:] - total[:-_HISTORY] == _HISTORY
    full &= panel.universe
    full[: rows.start + WINDOW] = False
    full[rows.stop :] = False
    found = np.argwhere(full)
    if not len(found):
        raise InputError(f"no asset has {_HISTORY} bars in a row to plant anomalies after", "use a longer data set")
    chosen = rng.choice(len(found), size=min(count, len(found)), replace=False)
    return [(int(t), int(a)) for t, a in found[np.sort(chosen)]]


def _excerpts(panel: Panel, places: Sequence[tuple[int, int]]) -> Panel:
    rows = np.array([np.arange(t - _HISTORY + 1, t + 1) for t, _ in places]).T
    assets = np.array([a for _, a in places])
    cut = {name: panel[name][rows, assets] for name in ("open", "high", "low", "close", "volume")}
    return replace(
        panel,
        times=panel.times[:_HISTORY],
        assets=tuple(f"place {k}" for k in range(len(places))),
        fields=cut,
        universe=np.ones((_HISTORY, len(places)), dtype=bool),
    )


def _newest(density: StateDensity, excerpt: Panel) -> FloatArray:
    return np.swapaxes(density.states(excerpt)[-WINDOW:], 0, 1)


def _crash(panel: Panel) -> Panel:
    """Let the newest bar close six deviations of the last 20 returns lower."""
    fields = {name: values.copy() for name, values in panel.fields.items()}
    deviation = np.diff(np.log(fields["close"][-22:-1]), axis=0).std(axis=0)
    fields["close"][-1] = fields["close"][-2] * np.exp(-_CRASH * deviation)
    fields["low"][-1] = np.minimum(fields["low"][-1], fields["close"][-1])
    fields["high"][-1] = np.maximum(fields["high"][-1], fields["close"][-1])
    return panel.with_fields(fields)


def _scaled(panel: Panel, factor: float) -> Panel:
    """Multiply all that happens in the newest bars, in logs, by a factor."""
    fields = {name: values.copy() for name, values in panel.fields.items()}
    logs = {name: np.log(panel[name]) for name in ("open", "high", "low", "close")}
    level = logs["close"][-WINDOW - 1].copy()
    for row in range(-WINDOW, 0):
        for name in ("open", "high", "low"):
            fields[name][row] = np.exp(level + factor * (logs[name][row] - logs["close"][row - 1]))
        level = level + factor * (logs["close"][row] - logs["close"][row - 1])
        fields["close"][row] = np.exp(level)
    return panel.with_fields(fields)


def _stuck_volume(panel: Panel) -> Panel:
    """Let the feed repeat one volume over the newest bars."""
    volume = panel["volume"].copy()
    volume[-WINDOW:] = volume[-WINDOW - 1]
    return panel.with_fields({**panel.fields, "volume": volume})


def _broken(states: FloatArray, density: StateDensity, rng: np.random.Generator) -> FloatArray:
    """Replace one feature of each place by a value anywhere in its range, over all newest bars."""
    out = states.copy()
    which = rng.integers(states.shape[2], size=len(states))
    values = rng.uniform(density.low[which], density.high[which])
    out[np.arange(len(states)), :, which] = values[:, None]
    return out


def _flipped(states: FloatArray, names: Sequence[str]) -> FloatArray:
    """Turn the sign of the returns, and of nothing else: RSI, position and gaps then contradict them."""
    out = states.copy()
    columns = [k for k, name in enumerate(names) if name.startswith("return")] or list(range(len(names) // 2))
    out[:, :, columns] *= -1.0
    return out


def auroc(ordinary: FloatArray, altered: FloatArray) -> float:
    """Return how often an altered place scores above an ordinary one, ties as half: 0.5 is blind, 1 sees all."""
    ranks = rankdata(np.concatenate([altered, ordinary]))
    above = ranks[: len(altered)].sum() - len(altered) * (len(altered) + 1) / 2
    return float(above / (len(altered) * len(ordinary)))


Score = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Noticed:
    """AUROC of one score on one kind of anomaly: by the newest bar, and by the mean over the window."""

    kind: str
    score: str
    single: float
    window: float


def noticed(planted: Sequence[PlantedAnomaly], scores: dict[str, Score]) -> tuple[Noticed, ...]:
    """Return what each score, of (M, D) states and higher for stranger ones, notices of each kind."""
    found = []
    for anomaly in planted:
        shape = anomaly.ordinary.shape
        for name, score in scores.items():
            usual = score(anomaly.ordinary.reshape(-1, shape[-1])).reshape(shape[:2])
            odd = score(anomaly.altered.reshape(-1, shape[-1])).reshape(shape[:2])
            window = float("nan") if anomaly.single else auroc(usual.mean(axis=1), odd.mean(axis=1))
            found.append(Noticed(anomaly.kind, name, auroc(usual[:, -1], odd[:, -1]), window))
    return tuple(found)


def two_sided(likelihood: Score, calibration: FloatArray) -> Score:
    """Return the distance of a log-likelihood from the middle of those in `calibration`, by percentile."""
    ordered = np.sort(calibration)

    def score(states: FloatArray) -> FloatArray:
        place = np.searchsorted(ordered, likelihood(states)) / len(ordered)
        return np.abs(place - 0.5)

    return score
