"""What a signal's values look like, and what the gate of sanity makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from backtest.signal_shape import sample_rows, shape_of, value_correlation
from market.panel import FloatArray

INSIDE = np.ones((60, 20), dtype=bool)


def normal(seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).normal(size=INSIDE.shape)


def test_the_shape_counts_bars_assets_ties_and_far_values() -> None:
    values = normal()
    full = shape_of(values, INSIDE)
    assert (full.bars, full.assets, full.tied) == (1.0, 1.0, 0.0)
    assert full.spread == pytest.approx(0.95)
    # Normal values: 1 % lie beyond 2.6 deviations.
    assert 2.0 < full.size < 3.5
    values[:30] = np.nan
    values[30:45, 10:] = np.nan
    values[45:] = 7.0
    poor = shape_of(values, INSIDE)
    assert (poor.bars, poor.assets, poor.tied) == (0.5, 0.75, 0.5)
    assert poor.spread == pytest.approx(0.5 * 0.9)


def test_scale_and_shift_do_not_change_the_shape() -> None:
    one, other = shape_of(normal(), INSIDE), shape_of(1e-9 * normal() + 3e-6, INSIDE)
    assert other.spread == one.spread
    assert other.size == pytest.approx(one.size)


def test_a_one_sided_signal_has_little_spread() -> None:
    values = np.maximum(normal() - 2.5, 0.0)
    assert shape_of(values, INSIDE).spread < 0.02


def test_values_beyond_the_universe_are_not_seen() -> None:
    universe = INSIDE.copy()
    universe[:, 10:] = False
    values = normal()
    values[:, 10:] = 1e9
    assert shape_of(values, universe).size < 4.0
    assert np.isnan(shape_of(values, np.zeros_like(INSIDE)).bars)


def test_values_are_compared_by_rank_across_assets_or_over_time_for_few() -> None:
    one = normal()
    assert value_correlation(one, np.exp(3.0 * one)) == pytest.approx(1.0)
    assert value_correlation(one, -one) == pytest.approx(-1.0)
    assert abs(value_correlation(one, normal(1))) < 0.1
    assert value_correlation(one[:, :2], np.exp(one[:, :2])) == pytest.approx(1.0)
    assert np.isnan(value_correlation(one, np.full(one.shape, np.nan)))


def test_samples_are_spread_over_the_segment() -> None:
    rows = sample_rows(slice(100, 1100), 250)
    assert len(range(rows.start, rows.stop, rows.step)) == 250
    assert sample_rows(slice(5, 9), 250) == slice(5, 9, 1)
