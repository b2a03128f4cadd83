"""Sums that notice a fall: as many false alarms as they state, and a fall soon noticed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backtest.change_sums import admission_band, fall_below, in_deviations, threshold_of
from market.panel import FloatArray

YEAR = 252.0
NONE = np.zeros(0)


def payoffs(count: int, bars: int, mean: float, seed: int) -> FloatArray:
    """Payoffs of several factors (count, bars) with fat tails and clustered volatility, in deviations of a bar."""
    rng = np.random.default_rng(seed)
    wild = np.exp(0.5 * np.sin(np.arange(bars) / 40.0))
    drawn = rng.standard_t(5, (count, bars)) / math.sqrt(5 / 3) * wild
    return np.stack([in_deviations(one + mean * wild) for one in drawn])


@pytest.mark.parametrize("yearly", [1.0, 3.0])
def test_one_at_the_bound_is_called_by_mistake_as_seldom_as_stated(yearly: float) -> None:
    bound, bars = yearly / math.sqrt(YEAR), int(20 * YEAR)
    alarms = [
        fall_below(one, bound, 0.0, 1.0, years=50.0, year=YEAR).first >= 0 for one in payoffs(200, bars, bound, 1)
    ]
    # In 20 years of 50, and three errors of such a share.
    stated = 1.0 - math.exp(-20.0 / 50.0)
    assert np.mean(alarms) <= stated + 3.0 * math.sqrt(stated * (1 - stated) / 200)
    # What refuses to alarm would pass as well: where the mean is gone, it does.
    dead = [fall_below(one, bound, 0.0, 1.0, years=50.0, year=YEAR) for one in payoffs(50, bars, 0.0, 2)]
    assert np.median([one.first if one.first >= 0 else bars for one in dead]) < (8.0 / yearly**1.5) * YEAR
    assert np.mean([one.first >= 0 for one in dead]) > 0.9


def test_a_fall_is_noticed_as_soon_after_a_long_good_time_as_after_none() -> None:
    bound, good, bad = 3.0 / math.sqrt(YEAR), int(15 * YEAR), int(6 * YEAR)
    delays = {}
    for before in (0, good):
        drawn = payoffs(40, good + bad, 0.0, 3)
        drawn[:, :before] += 1.5 * bound
        found = [fall_below(one[good - before :], bound, 0.0, 1.0, years=100.0, year=YEAR) for one in drawn]
        delays[before] = float(np.median([one.at - before if one.at >= 0 else bad for one in found]))
        begun = [one.since - before for one in found if one.alarmed]
        # It says about when the fall began.
        assert abs(float(np.median(begun))) < 0.5 * YEAR
    assert delays[good] < 2.5 * YEAR
    assert delays[good] < delays[0] + 0.5 * YEAR


def test_an_alarm_stands_until_the_sum_is_back_at_zero() -> None:
    bound = 0.2
    fall = fall_below(np.full(300, -0.5), bound, 0.0, 1.0, years=10.0, year=YEAR)
    assert (fall.alarmed, fall.first, fall.since) == (True, fall.at, 0)
    longer = np.r_[np.full(300, -0.5), np.full(200, 0.5)]
    assert fall_below(longer, bound, 0.0, 1.0, years=10.0, year=YEAR).alarmed
    back = fall_below(np.r_[longer, np.full(1000, 0.5)], bound, 0.0, 1.0, years=10.0, year=YEAR)
    assert (back.alarmed, back.first, back.value) == (False, fall.first, 0.0)


def test_a_bound_that_nobody_could_watch_is_not_watched() -> None:
    for bound in (math.nan, -0.1, 0.0, 0.2 / math.sqrt(YEAR)):
        found = fall_below(np.full(500, -1.0), bound, min(0.0, bound), 1.0, years=100.0, year=YEAR)
        assert not found.alarmed
        assert math.isnan(found.threshold)
    assert fall_below(NONE, 0.2, 0.0, 1.0, years=100.0, year=YEAR).value == 0.0


def test_deviations_are_known_before_the_decision_and_gaps_are_no_payoffs() -> None:
    rng = np.random.default_rng(4)
    series = rng.standard_normal(400) * np.exp(0.002 * np.arange(400))
    series[50:60] = np.nan
    whole = in_deviations(series)
    changed = series.copy()
    changed[300:] = 99.0
    # A payoff is divided by what was known two bars before it: up to 301, what comes at 300 changes no divisor.
    np.testing.assert_array_equal(in_deviations(changed)[:300], whole[:300])
    np.testing.assert_allclose(in_deviations(changed)[300:302] / 99.0, whole[300:302] / series[300:302])
    assert np.isnan(whole[50:60]).all()
    assert 0.8 < np.nanstd(whole[60:]) < 1.3
    # After a time without positions, the next payoff does not count a hundredfold.
    quiet = np.r_[rng.standard_normal(200), np.zeros(2000), 1.0]
    assert in_deviations(quiet)[-1] < 20.0


def test_autocorrelation_raises_the_threshold_and_fewer_bars_lower_it() -> None:
    """Siegmund's formula: (2 / d²) (e^h - h - 1) independent bars, by hand at h = 3."""
    bars = 2.0 / 0.1**2 * (math.exp(3.0) - 4.0)
    assert threshold_of(0.1, 1.0, bars) == pytest.approx(3.0)
    assert threshold_of(0.1, 2.0, 2.0 * bars) == pytest.approx(3.0)


def test_a_band_is_drawn_towards_the_others_and_allows_for_the_best_where_they_are_few() -> None:
    before = payoffs(1, 1500, 0.15, 5)[0]
    none = np.full(40, 0.0), np.full(40, 0.03), np.ones(40)
    drawn = admission_band(before, *none, trials=40)
    plain = admission_band(before, NONE, NONE, NONE, trials=1)
    best = admission_band(before, NONE, NONE, NONE, trials=9)
    assert drawn.mean < plain.mean == best.mean
    assert drawn.low < drawn.mean < drawn.high
    assert best.low < plain.low < plain.mean
    assert math.isnan(admission_band(before[:20], *none, trials=1).low)
