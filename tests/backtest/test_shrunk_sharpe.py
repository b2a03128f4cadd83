"""What to expect forward: nearer to the truth than the raw ratio, and within its interval as often as it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backtest.luck import sharpe_standard_error
from backtest.metrics import sharpe
from backtest.scorecard import unscored_segment
from backtest.shrunk_sharpe import Ratio, net_ratio, shrink
from tests.helpers import random_panel


@pytest.mark.parametrize(("spread", "centre", "factors"), [(0.0, 0.0, 40), (0.03, -0.02, 40), (0.08, 0.0, 25)])
def test_the_interval_covers_and_the_mean_is_nearer(spread: float, centre: float, factors: int) -> None:
    """True ratios normal, errors of 500 to 1 500 bars; the best of each base is looked at as well as any."""
    rng = np.random.default_rng(5)
    covered, best_covered, shrunk, raw = [], [], [], []
    for _ in range(150):
        truth = centre + spread * rng.normal(size=factors)
        errors = 1.0 / np.sqrt(rng.uniform(500, 1500, size=factors))
        seen = truth + errors * rng.normal(size=factors)
        for i, found in ((0, covered), (int(seen.argmax()), best_covered)):
            rest = np.arange(factors) != i
            said = shrink(Ratio(seen[i], errors[i]), seen[rest], errors[rest], np.ones(factors - 1))
            found.append(said.low <= truth[i] <= said.high)
            shrunk.append((said.mean - truth[i]) ** 2)
            raw.append((seen[i] - truth[i]) ** 2)
    # 90 % of 150, less three standard errors; where nothing differs the interval is wider than it need be.
    assert np.mean(covered) >= 0.83
    assert np.mean(best_covered) >= 0.80
    assert np.mean(shrunk) < 0.9 * np.mean(raw)


def test_clones_count_once() -> None:
    rng = np.random.default_rng(2)
    errors, values = np.full(20, 0.03), 0.03 * rng.normal(size=20)
    own = Ratio(0.1, 0.03)
    once = shrink(own, values, errors, np.ones(20))
    clones = np.repeat(values, 4)
    many = shrink(own, clones, np.repeat(errors, 4), np.full(80, 0.25))
    assert many.mean == pytest.approx(once.mean, abs=1e-9)
    assert many.factors == pytest.approx(once.factors)
    assert once.factors == 21.0
    assert abs(once.mean) < 0.1


def test_few_factors_say_nothing_and_unknown_figures_are_left_out() -> None:
    few = shrink(Ratio(0.1, 0.03), np.zeros(5), np.full(5, 0.03), np.ones(5))
    assert np.isnan(few.mean)
    assert few.raw == 0.1
    values, errors = np.append(np.zeros(15), np.nan), np.full(16, 0.03)
    assert shrink(Ratio(0.1, 0.03), values, errors, np.ones(16)).factors == 16.0
    yearly = shrink(Ratio(0.1, 0.03), values, errors, np.ones(16)).scaled(19.1)
    assert yearly.raw == pytest.approx(1.91)


def test_the_net_ratio_pools_train_and_validation() -> None:
    rng = np.random.default_rng(3)
    returns = 0.001 + 0.01 * rng.standard_t(5, size=1000)
    panel = random_panel(60, 12)
    parts = [
        replace(
            unscored_segment(panel, slice(0, 40)), n_bars=len(part), per_bar_sharpe_net=sharpe(part, 1.0),
            skew=float(((part - part.mean()) ** 3).mean() / part.std() ** 3),
            kurt=float(((part - part.mean()) ** 4).mean() / part.std() ** 4),
        )
        for part in (returns[:800], returns[800:])
    ]  # fmt: skip
    found = net_ratio(*parts)
    assert found.value == pytest.approx(sharpe(returns, 1.0), rel=0.05)
    assert found.error == pytest.approx(sharpe_standard_error(returns), rel=0.05)
    unscored = unscored_segment(panel, slice(0, 40))
    assert net_ratio(parts[0], unscored).value == parts[0].per_bar_sharpe_net
    assert np.isnan(net_ratio(unscored, unscored).value)
