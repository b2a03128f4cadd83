"""Planting signals: returns are handed to other assets of the same bar until the rank IC is the stated one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq

from market.errors import InputError
from market.panel import FloatArray

# Bars at once: keeps the working arrays of a thousand assets in tens of megabytes.
_CHUNK = 1000


def plant_signals(
    moves: FloatArray, signals: Sequence[FloatArray], ics: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Return moves, (T, N), in which each signal has its rank IC with the next bar's move.

    The moves of a bar keep their values and change owners. Let s be the signals' and g the moves' normal scores over a
    bar's assets. The new owners follow the order of w·s + b·g, with the weights that give the stated correlations;
    for the small ICs of finance, b is nearly 1 and an asset's move is that of a neighbour in rank, so that its own
    volatility and its beta stay. Scores are sorted normal draws, not fixed grids: the pairs are then a sample of the
    bivariate normal, whose expected Spearman correlation is known for any number of assets.

    Parameters
    ----------
    moves
        (T, N) log returns; NaN where an asset does not live.
    signals
        (T, N) each, known at the close of the bar; NaN is no opinion: the middle of the bar's assets.
    ics
        (T, K) rank IC of each signal with the moves of that row.

    Raises
    ------
    InputError
        When the signals are so alike, or the ICs so large, that no returns can have them.
    """
    out = moves.copy()
    for start in range(1, len(moves), _CHUNK):
        rows = slice(start, min(start + _CHUNK, len(moves)))
        before = slice(rows.start - 1, rows.stop - 1)
        out[rows] = _reordered(moves[rows], [signal[before] for signal in signals], ics[rows], rng)
    return out


def _reordered(
    moves: FloatArray, signals: Sequence[FloatArray], ics: FloatArray, rng: np.random.Generator
) -> FloatArray:
    alive = np.isfinite(moves)
    count = alive.sum(axis=1)
    scores = [normal_scores(np.where(alive, _filled(signal), np.nan), rng) for signal in signals]
    own = normal_scores(moves, rng)
    weights = _weights(scores, ics, count, alive)
    mixed = np.zeros_like(moves)
    for place, score in enumerate(scores):
        mixed += weights[:, place, None] * np.where(alive, score, 0.0)
    rest = np.sqrt(np.maximum(1.0 - weights[:, -1], 0.0))
    mixed += rest[:, None] * np.where(alive, own, 0.0)
    mixed[~alive] = np.inf
    ordered = np.sort(np.where(alive, moves, np.inf), axis=1)
    out = np.empty_like(moves)
    np.put_along_axis(out, np.argsort(mixed, axis=1), ordered, axis=1)
    out[~alive] = np.nan
    return out


def _filled(signal: FloatArray) -> FloatArray:
    """Return the signal with NaN at the bar's median: no opinion is the middle."""
    if np.isfinite(signal).all():
        return signal
    with np.errstate(invalid="ignore"):
        ranked = np.sort(signal, axis=1)
    known = np.isfinite(signal).sum(axis=1)
    middle = ranked[np.arange(len(signal)), np.clip(known // 2, 0, signal.shape[1] - 1)]
    return np.where(np.isfinite(signal), signal, np.where(known > 0, middle, 0.0)[:, None])


def normal_scores(values: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return (T, N) standard normal draws in the order of each row's values; NaN where those are."""
    missing = ~np.isfinite(values)
    draws = rng.standard_normal(values.shape)
    # Ties are broken by the draws, not by the assets' order.
    order = np.argsort(np.where(missing, np.inf, values), axis=1)
    draws[np.arange(values.shape[1]) >= (values.shape[1] - missing.sum(axis=1))[:, None]] = np.inf
    draws.sort(axis=1)
    out = np.empty_like(values)
    np.put_along_axis(out, order, draws, axis=1)
    out[missing] = np.nan
    return out


def _weights(scores: Sequence[FloatArray], ics: FloatArray, count: FloatArray, alive: FloatArray) -> FloatArray:
    """Return (T, K + 1): the weight of each signal's scores, and the share of variance that they take."""
    number = len(scores)
    filled = [np.where(alive, score, 0.0) for score in scores]
    total = max(float(alive.sum()), 1.0)
    alike = np.array([[float((a * b).sum()) / total for b in filled] for a in filled])
    np.fill_diagonal(alike, 1.0)
    out = np.zeros((len(ics), number + 1))
    usual = int(np.median(count))
    solved: dict[tuple[float, ...], FloatArray] = {}
    for row, wanted in enumerate(ics):
        key = tuple(float(one) for one in wanted)
        if key not in solved:
            target = np.array([pearson_of(one, usual) for one in key])
            weight = np.linalg.solve(alike, target)
            taken = float(weight @ target)
            if not taken < 1.0:
                raise InputError("no returns can have these rank ICs with these signals", "lower them")
            solved[key] = np.append(weight, taken)
        out[row] = solved[key]
    return out


def pearson_of(rank_ic: float, count: int) -> float:
    """Return the correlation of bivariate normals whose expected Spearman correlation over `count` pairs is `rank_ic`.

    Moran's formula, Biometrika 35 (1948): E = 6 / (π (n + 1)) · (asin r + (n − 2) asin(r / 2)).
    """
    if rank_ic == 0 or count < 3:
        return 0.0

    def gap(r: float) -> float:
        expected = 6 / (np.pi * (count + 1)) * (np.arcsin(r) + (count - 2) * np.arcsin(r / 2))
        return float(expected - rank_ic)

    return float(brentq(gap, -0.999999, 0.999999))
