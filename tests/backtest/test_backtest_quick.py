"""Quick scores are the scorecard's figures, however the signal is cut into pieces."""

from __future__ import annotations

import numpy as np
import pytest

from backtest.costs import Costs
from backtest.engine import BacktestSpec, run_backtest
from backtest.ic import correlate_rows, forward_returns
from backtest.quick import QuickScorer, prepare_target
from backtest.scorecard import segment_score
from market.errors import InputError, Rejection
from market.panel import FloatArray, Panel
from tests.helpers import random_panel


def market(seed: int, gaps: float) -> Panel:
    panel = random_panel(160, 14, seed, gaps=gaps)
    rng = np.random.default_rng(seed)
    funding = np.where(rng.random(panel.shape) < 0.1, rng.normal(0, 1e-3, panel.shape), np.nan)
    opened = np.array(panel["open"])
    opened[60:130, 3] = np.nan
    return panel.with_fields({"funding": funding, "open": opened})


def signal(panel: Panel, seed: int, *, clean: bool = False) -> FloatArray:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, panel.shape)
    if clean:
        # Most bars without ties, and an opinion on whatever there is: with stretches where there is none.
        values[30:34] = np.nan
        values[70, :6] = 1.0
        return np.where(np.isfinite(forward_returns(panel, 1)) | (rng.random(panel.shape) < 0.01), values, np.nan)
    values[:, :4] = np.round(values[:, :4])
    values[rng.random(panel.shape) < 0.1] = np.nan
    values[:5] = np.nan
    values[50] = 1.0
    return values


@pytest.mark.parametrize("weighting", ["rank", "zscore"])
@pytest.mark.parametrize("holding", [1, 3])
@pytest.mark.parametrize("gaps", [0.0, 0.15])
@pytest.mark.parametrize("rows", [160, 7])
@pytest.mark.parametrize("clean", [False, True])
def test_quick_figures_are_those_of_the_scorecard(
    weighting: str, holding: int, gaps: float, rows: int, clean: bool
) -> None:
    panel = market(3, gaps)
    spec = BacktestSpec(weighting, holding, Costs(5.0, 3.0, 200.0))  # type: ignore[arg-type]
    values = signal(panel, 5, clean=clean)
    scorer = QuickScorer(prepare_target(panel, spec), rows)
    for first in range(0, len(values), rows):
        scorer.feed(first, values[first : first + rows])
    part = slice(20, 140)
    found = scorer.result(part)
    wanted = segment_score(values, panel, part, spec, rng=np.random.default_rng(0))
    assert not isinstance(wanted, Rejection)
    for name in ("n_bars", "rank_ic", "ic_ir", "turnover", "sharpe_gross", "sharpe_net", "per_bar_sharpe_net"):
        assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=1e-9, abs=1e-12), name
    plain = run_backtest(values, panel, spec)
    assert not isinstance(plain, Rejection)
    assert found.coverage == pytest.approx(np.isfinite(plain.ic[20:138]).mean())


def test_ic_is_the_mean_correlation_of_values() -> None:
    panel = market(8, 0.05)
    values = signal(panel, 9)
    scorer = QuickScorer(prepare_target(panel, BacktestSpec()), 160)
    scorer.feed(0, values)
    traded = np.where(panel.universe, values, np.nan)
    rows = correlate_rows(traded * 1e3, forward_returns(panel, 1) * 1e3)
    enough = (np.isfinite(traded) & np.isfinite(forward_returns(panel, 1))).sum(axis=1) >= 10
    wanted = np.nanmean(np.where(enough, rows, np.nan)[:158])
    assert scorer.result(slice(0, 160)).ic == pytest.approx(wanted, rel=1e-9)


def test_time_series_rules_have_no_quick_score() -> None:
    with pytest.raises(InputError, match="cross-sectional"):
        prepare_target(random_panel(), BacktestSpec("timeseries"))
