"""Panels: identity, immutability, calendars, and a recorded price in its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from market.errors import InputError
from market.panel import Panel
from market.panel_store import load_panel, save_panel
from tests.helpers import make_panel, random_panel


def test_identity_is_content() -> None:
    panel = random_panel(20, 3)
    assert panel.id == random_panel(20, 3).id
    changed = panel["close"].copy()
    changed[3, 1] += 1e-9
    assert panel.with_fields({"close": changed}).id != panel.id
    assert panel.rows(0, 19).id != panel.id
    assert panel.select(["A01", "A00"]).id != panel.id


def test_panels_cannot_be_changed_and_shapes_must_fit() -> None:
    panel = random_panel(20, 3)
    with pytest.raises(ValueError, match="read-only"):
        panel["close"][0, 0] = 1.0
    with pytest.raises(InputError, match="shape"):
        panel.with_fields({"x": np.zeros((3, 3))})
    with pytest.raises(InputError, match="lacks"):
        Panel(panel.times, panel.assets, {"close": panel["close"]}, panel.universe, panel.bar)


@pytest.mark.parametrize(
    ("bar", "calendar", "per_year"), [("h", "continuous", 8760), ("D", "continuous", 365), ("D", "exchange", 252)]
)
def test_a_year_has_as_many_bars_as_its_calendar(bar: str, calendar: str, per_year: float) -> None:
    ones = np.ones((10, 2))
    panel = make_panel(dict.fromkeys(("open", "high", "low", "close", "volume"), ones), bar, calendar=calendar)
    assert panel.bars_per_year == per_year


def test_real_crypto_hours(coins_by_hour: Panel, tmp_path: Path) -> None:
    panel = coins_by_hour
    assert panel.shape == (24043, 68)
    btc = panel.assets.index("BTCUSDT")
    row = int(np.searchsorted(panel.times, np.datetime64("2022-01-01")))
    assert panel["open"][row, btc] == pytest.approx(46216.93, abs=0.01)
    # Twelve hours are absent for every symbol; they are gaps, not rows.
    steps = np.diff(panel.times) / panel.bar
    assert int((steps - 1).sum()) == 12
    save_panel(panel, tmp_path / "p.parquet")
    assert load_panel(tmp_path / "p.parquet").id == panel.id
