"""Two data sets are recognised as the same market over again by their cells, whatever else has changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from market.errors import InputError
from market.lineage import Signature, covered_share, shared_share, signature
from market.panel import Panel
from tests.helpers import random_panel

WHOLE = random_panel(600, 40, seed=3)


def share(one: Panel, other: Panel) -> float:
    return shared_share(signature(one), signature(other))


def with_close(panel: Panel, close: np.ndarray) -> Panel:
    return panel.with_fields({"close": close})


@pytest.mark.parametrize("seed", range(5))
def test_whatever_part_is_drawn_all_of_it_is_found_in_the_whole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = int(rng.integers(0, 500))
    drawn = rng.choice(40, size=int(rng.integers(3, 40)), replace=False)
    part = WHOLE.select([WHOLE.assets[i] for i in drawn]).rows(start, start + 100)
    assert share(part, WHOLE) > 0.97, "but for the first cells of each asset, whose returns before are not known"
    assert covered_share(signature(WHOLE), signature(part)) < 0.2


def test_a_small_part_is_found_in_a_panel_of_which_only_a_sample_is_kept() -> None:
    rng = np.random.default_rng(0)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, (3000, 100)), axis=0))
    whole = with_close(random_panel(3000, 100), close)
    kept = signature(whole)
    assert (kept.halvings > 0, len(kept.hashes) <= 65_536) == (True, True)
    part = whole.select(whole.assets[:5]).rows(1000, 1300)
    assert share(part, whole) > 0.97
    half = covered_share(kept, signature(whole.rows(0, 1500)))
    assert half == pytest.approx(0.5, abs=0.02)
    # A sample of a sample is the sample: what is compared does not depend on which of two panels is the larger.
    assert len(kept.within(kept.halvings + 2)) == pytest.approx(len(kept.hashes) / 4, rel=0.1)


def test_names_order_and_scale_of_prices_do_not_matter() -> None:
    order = np.random.default_rng(1).permutation(40)
    moved = WHOLE.select([WHOLE.assets[i] for i in order])
    assert share(replace(moved, assets=tuple(f"{name}-USD" for name in moved.assets), name="other"), WHOLE) == 1.0
    assert share(with_close(WHOLE, WHOLE["close"].astype(np.float32).astype(float)), WHOLE) > 0.98
    split = np.where(np.arange(600)[:, None] < 300, WHOLE["close"] / 4, WHOLE["close"])
    assert share(with_close(WHOLE, split), WHOLE) > 0.99


def test_other_markets_other_times_and_other_bars_have_nothing_in_common() -> None:
    assert share(random_panel(600, 40, seed=4), WHOLE) < 0.02
    assert share(WHOLE.rows(0, 300), WHOLE.rows(300, 600)) == 0.0
    assert share(replace(WHOLE, times=WHOLE.times + np.timedelta64(30, "m")), WHOLE) == 0.0
    assert share(replace(WHOLE, bar=np.timedelta64(1, "D").astype("timedelta64[ns]")), WHOLE) == 0.0


def test_gaps_and_repairs_cost_no_more_than_their_cells() -> None:
    close = WHOLE["close"].copy()
    close[100:110, 5] = np.nan
    close[200, 7] *= 1.5
    assert 0.99 < share(with_close(WHOLE, close), WHOLE) < 1.0


def test_what_never_moves_says_nothing() -> None:
    still = with_close(WHOLE, np.full((600, 40), 100.0))
    assert len(signature(still).hashes) == 0
    assert np.isnan(share(still, still))
    assert np.isnan(share(WHOLE.rows(0, 2), WHOLE))


def test_it_comes_back_from_its_bytes() -> None:
    own = signature(WHOLE)
    back = Signature.from_bytes(own.to_bytes())
    assert (back.halvings, shared_share(own, back)) == (own.halvings, 1.0)
    for damaged in (b"", b"L", b"XX" + own.to_bytes()[2:], own.to_bytes()[:-3]):
        with pytest.raises(InputError, match="signature"):
            Signature.from_bytes(damaged)
