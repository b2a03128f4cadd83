"""The universe by date: who was liquid, as known then."""

from __future__ import annotations

import numpy as np
import pytest

from market.errors import InputError
from market.panel import Panel
from market.universe import liquid_universe
from tests.helpers import random_panel


def test_the_most_liquid_by_what_was_traded_before() -> None:
    panel = random_panel(24 * 40, 12, 1)
    level = np.tile(np.arange(1.0, 13.0), (24 * 40, 1))
    # The least traded becomes the most traded half-way.
    level[24 * 20 :, 0] = 100.0
    money = panel.with_fields({"volume": level / panel["close"]})
    found = liquid_universe(money, top=3, days=5, refresh_days=1)
    assert not found.universe[:48].any()
    assert np.flatnonzero(found.universe[24 * 15]).tolist() == [9, 10, 11]
    assert np.flatnonzero(found.universe[-1]).tolist() == [0, 10, 11]
    entered = int(np.flatnonzero(found.universe[:, 0])[0])
    assert 24 * 20 < entered <= 24 * 22
    # It changes on schedule only.
    changes = np.flatnonzero((found.universe[1:] != found.universe[:-1]).any(axis=1)) + 1
    assert (changes % 24 == 0).all()


def test_membership_does_not_change_when_bars_are_added() -> None:
    panel = random_panel(24 * 30, 12, 2, gaps=0.05)
    whole = liquid_universe(panel, top=4, days=3, refresh_days=2)
    for cut in (24 * 7, 24 * 11 + 5):
        part = liquid_universe(panel.rows(0, cut), top=4, days=3, refresh_days=2)
        np.testing.assert_array_equal(part.universe, whole.universe[:cut])


def test_least_money_a_day() -> None:
    panel = random_panel(24 * 20, 3, 1)
    money = panel.with_fields({"volume": np.tile([1.0, 10.0, 100.0], (480, 1)) / panel["close"]})
    found = liquid_universe(money, least_money=24 * 9.0, days=5)
    assert found.universe[-1].tolist() == [False, True, True]
    with pytest.raises(InputError, match="no asset"):
        liquid_universe(money, least_money=1e9)
    assert liquid_universe(panel) is panel


def test_a_coin_that_died_leaves_the_real_universe(coins_by_hour: Panel) -> None:
    panel = coins_by_hour
    found = liquid_universe(panel, top=20)
    luna = panel.assets.index("LUNAUSDT")
    inside = np.flatnonzero(found.universe[:, luna])
    assert str(panel.times[inside[-1]])[:10] <= "2022-05-13"
    assert 15 <= found.universe[10_000:].sum(axis=1).mean() <= 20
