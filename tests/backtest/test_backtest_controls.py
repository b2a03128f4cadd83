"""Controls: permuted markets keep what they should and predict nothing; planted signals measure what was asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backtest.controls import block_order, permuted, plant_signal
from backtest.ic import forward_returns, newey_west_t, rank_ic
from market.errors import InputError
from market.files import import_files
from market.panel import Panel
from tests.helpers import random_panel


def reversing(bars: int = 3000) -> Panel:
    """A market whose every move is half taken back in the next bar."""
    rng = np.random.default_rng(0)
    shocks = rng.normal(0, 0.01, (bars, 20))
    moves = shocks - 0.5 * np.vstack([np.zeros((1, 20)), shocks[:-1]])
    close = 100 * np.exp(np.cumsum(moves, axis=0))
    panel = random_panel(bars, 20, 1)
    opened = np.vstack([close[:1], close[:-1]])
    high, low = np.maximum(opened, close) * 1.001, np.minimum(opened, close) * 0.999
    return panel.with_fields({"open": opened, "close": close, "high": high, "low": low})


@pytest.mark.parametrize("block", [1, 7, 50, 500])
def test_every_bar_comes_once_and_blocks_stay_together(block: int) -> None:
    order = block_order(203, block, np.random.default_rng(block))
    assert sorted(order.tolist()) == list(range(203))
    breaks = int((np.diff(order) != 1).sum())
    assert breaks <= -(-203 // block) + 1


def test_permuted_bars_keep_their_moves() -> None:
    panel = random_panel(300, 12, 2, gaps=0.05)
    other = permuted(panel, 20, np.random.default_rng(0))
    order = block_order(300, 20, np.random.default_rng(0))
    for x, y in (("close", "open"), ("high", "open"), ("low", "open")):
        np.testing.assert_allclose(other[x] / other[y], (panel[x] / panel[y])[order])
    np.testing.assert_allclose(other["volume"] * other["close"], (panel["volume"] * panel["close"])[order])
    # Within a block, a bar follows the one it followed.
    inner = np.flatnonzero(np.diff(order) == 1) + 1
    both = np.isfinite(other["open"][inner]) & np.isfinite(other["close"][inner - 1])
    gap, own = (
        other["open"][inner] / other["close"][inner - 1],
        (panel["open"][1:] / panel["close"][:-1])[order[inner] - 1],
    )
    np.testing.assert_allclose(gap[both], own[both])
    np.testing.assert_array_equal(other.universe, panel.universe)


def test_nothing_is_left_to_predict_in_a_permuted_market() -> None:
    panel = reversing()
    signal = -(panel["close"] / panel["open"] - 1)
    assert newey_west_t(rank_ic(signal, forward_returns(panel, fill="close"))) < 3
    late = np.vstack([signal[:1], signal[:-1]])
    true = newey_west_t(rank_ic(signal[:-1], panel["close"][1:] / panel["open"][1:] - 1))
    assert true > 50
    found = [
        newey_west_t(rank_ic(late, forward_returns(permuted(panel, 100, np.random.default_rng(seed)))))
        for seed in range(20)
    ]
    assert np.abs(found).max() < 4
    assert np.std(found) == pytest.approx(1.0, abs=0.45)


@pytest.mark.parametrize("size", [0.01, 0.04, -0.02])
@pytest.mark.parametrize("fill", ["open", "close"])
def test_a_planted_signal_measures_what_was_asked(size: float, fill: str) -> None:
    panel = random_panel(1500, 20, 3, gaps=0.01)
    values = np.random.default_rng(1).normal(size=panel.shape)
    values[:50] = np.nan
    found = plant_signal(panel, values, size, fill)  # type: ignore[arg-type]
    traded = np.where(panel.universe, values, np.nan)
    measured = np.nanmean(rank_ic(traded, forward_returns(found.panel, 1, fill)))  # type: ignore[arg-type]
    assert measured == pytest.approx(size, abs=5e-4)
    assert found.rank_ic == pytest.approx(size, abs=5e-4)
    # What happened before the first signal is untouched, and so are the shapes of bars.
    np.testing.assert_array_equal(found.panel["close"][:51], panel["close"][:51])
    np.testing.assert_allclose(found.panel["high"] / found.panel["low"], panel["high"] / panel["low"])


def test_what_cannot_be_planted_is_refused() -> None:
    panel = random_panel(200, 12)
    with pytest.raises(InputError, match="planted"):
        plant_signal(panel, np.full(panel.shape, 1.0), 0.02)


def test_controls_on_real_returns(shared_data: Path) -> None:
    whole = import_files([shared_data / "crypto_spot_1h.parquet"])
    panel = whole.rows(15_000, 19_000)
    reversal = -(panel["close"] / np.vstack([np.full((24, panel.shape[1]), np.nan), panel["close"][:-24]]) - 1)
    other = permuted(panel, 168, np.random.default_rng(0))
    kept, moved = (np.nanstd(forward_returns(p)) for p in (panel, other))
    assert moved == pytest.approx(kept, rel=0.2)
    assert abs(newey_west_t(rank_ic(reversal, forward_returns(other)), 24)) < 4
    planted = plant_signal(panel, reversal, 0.03)
    assert planted.rank_ic == pytest.approx(0.03, abs=1e-3)
