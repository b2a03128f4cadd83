"""The synthetic market carries its planted signal and nothing from the future; splits never touch."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from market.errors import InputError
from market.quality import check_ohlcv
from market.split import MIN_BARS, loop_panel, make_split
from market.synthetic.demo_market import SynthMarket, SynthSpec, make_market


@pytest.fixture(scope="module")
def market() -> SynthMarket:
    return make_market(SynthSpec())


def planted(market: SynthMarket) -> np.ndarray:
    """Return the truth by pandas, apart from both the simulator and our engine."""
    volume = pd.DataFrame(market.panel["volume"])
    return (volume.rolling(24).mean() / volume.rolling(168).mean()).rank(axis=1, pct=True).to_numpy()


def test_same_spec_same_panel_other_seed_other() -> None:
    spec = SynthSpec(bars=400, assets=3)
    assert make_market(spec).panel.id == make_market(spec).panel.id
    assert make_market(spec).panel.id != make_market(SynthSpec(bars=400, assets=3, seed=8)).panel.id


def test_bars_are_clean_hourly_and_said_to_be_simulated(market: SynthMarket) -> None:
    panel = market.panel
    assert panel.simulated
    assert panel.times[0] == np.datetime64("2024-01-01")
    assert set(np.diff(panel.times)) == {np.timedelta64(1, "h")}
    for column, asset in enumerate(panel.assets):
        values = {name: panel[name][:, column] for name in panel.fields}
        assert check_ohlcv(pd.DataFrame({"ts": pd.to_datetime(panel.times, utc=True), "symbol": asset, **values})) == []


def test_tails_are_fat_and_crashes_violent(market: SynthMarket) -> None:
    returns = np.diff(np.log(market.panel["open"]), axis=0)
    crash = market.crash[:-1]
    assert 300 < int(crash.sum()) < 400
    assert returns[crash].std() > 3 * returns[~crash].std()
    assert returns[crash].mean() < 0
    assert pd.Series(returns[~crash][:, 0]).kurt() > 2


def test_the_truth_pays_from_the_next_open_and_breaks_in_crashes(market: SynthMarket) -> None:
    truth, log_open = planted(market), np.log(market.panel["open"])
    # Known at the close of t; earned from open t+1 to open t+2.
    known, earned, crash = truth[167:-2], (log_open[2:] - log_open[1:-1])[167:], market.crash[168:-1]
    ranks, moves = rankdata(known, axis=1), rankdata(earned, axis=1)
    centred, other = ranks - ranks.mean(axis=1, keepdims=True), moves - moves.mean(axis=1, keepdims=True)
    ic = (centred * other).sum(axis=1) / np.sqrt((centred**2).sum(axis=1) * (other**2).sum(axis=1))
    calm = ic[~crash]
    assert calm.mean() / (calm.std() / np.sqrt(len(calm))) > 5
    assert ic[crash].mean() < 0
    assert 0.01 < calm.mean() < 0.1


def test_effect_zero_plants_nothing_and_changes_no_volume(market: SynthMarket) -> None:
    bare = make_market(SynthSpec(effect_bp=0.0)).panel
    np.testing.assert_array_equal(bare["volume"], market.panel["volume"])
    # What the effect adds is exactly the planted ranking one bar earlier: nothing of the bar itself or later.
    added = np.diff(np.log(market.panel["open"]) - np.log(bare["open"]), axis=0)[168:]
    sign = np.where(market.crash[168:-1], -3.0, 1.0)[:, None]
    np.testing.assert_allclose(added, 7e-4 * sign * (2 * planted(market)[167:-2] - 1), atol=1e-9)


def test_too_small_a_market_is_refused() -> None:
    with pytest.raises(InputError, match="needs at least 1 asset and 400 bars"):
        make_market(SynthSpec(bars=100))


@given(st.integers(400, 50_000), st.integers(0, 40))
def test_segments_follow_one_another_with_the_embargo_between(bars: int, embargo: int) -> None:
    if round(bars * 0.15) - embargo < MIN_BARS + 1:
        return
    split = make_split(bars, embargo=embargo)
    assert split.train.start == 0
    assert split.holdout.stop == bars
    assert split.validation.start - split.train.stop == embargo
    assert split.holdout.start - split.validation.stop == embargo
    assert abs(split.train.stop / bars - 0.60) < 0.01
    assert abs(split.validation.stop / bars - 0.85) < 0.01


def test_the_loop_never_sees_the_holdout(market: SynthMarket) -> None:
    split = make_split(len(market.panel.times), embargo=100)
    seen = loop_panel(market.panel, split)
    assert len(seen.times) == split.validation.stop
    assert seen.times[-1] < market.panel.times[split.holdout.start] - 100 * market.panel.bar
    np.testing.assert_array_equal(seen["close"], market.panel["close"][: split.validation.stop])


@pytest.mark.parametrize(
    ("bars", "fractions", "embargo"),
    [(100, (0.7, 0.15, 0.15), 0), (1000, (0.7, 0.15, 0.15), 120), (1000, (0.7, 0.2, 0.2), 0), (1000, (1.0, 0, 0), 0)],
)
def test_impossible_splits_are_refused(bars: int, fractions: tuple[float, float, float], embargo: int) -> None:
    with pytest.raises(InputError):
        make_split(bars, fractions=fractions, embargo=embargo)
