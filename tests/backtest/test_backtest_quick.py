"""Quick scores are the scorecard's figures, however the signal is cut into pieces."""

from __future__ import annotations

import numpy as np
import pytest

from backtest.costs import Costs
from backtest.ic import correlate_rows, forward_returns
from backtest.quick import QuickScorer
from backtest.run import run_backtest
from backtest.scorecard import segment_score
from backtest.target import prepare_target
from backtest.trading_rules import BacktestSpec
from market.errors import Rejection
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


FIGURES = ("n_bars", "rank_ic", "ic", "turnover", "sharpe_gross", "sharpe_net", "per_bar_sharpe_net")


def compare(panel: Panel, spec: BacktestSpec, values: FloatArray, rows: int, groups: FloatArray | None = None) -> None:
    target = prepare_target(panel, spec, groups=groups)
    scorer = QuickScorer(target, rows)
    for first in range(0, len(values), rows):
        scorer.feed(first, values[first : first + rows])
    part = slice(20, 140)
    found = scorer.result(part)
    wanted = segment_score(values, target, part, rng=np.random.default_rng(0))
    assert not isinstance(wanted, Rejection)
    for name in FIGURES if spec.is_cross_sectional else ("n_bars", "rank_ic", "turnover", "sharpe_net"):
        assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=1e-9, abs=1e-12, nan_ok=True), name
    plain = run_backtest(values, panel, spec, groups=groups)
    assert not isinstance(plain, Rejection)
    np.testing.assert_allclose(scorer.net(slice(0, 160)), plain.net[:158], atol=1e-14)


@pytest.mark.parametrize("weighting", ["rank", "zscore"])
@pytest.mark.parametrize("holding", [1, 3])
@pytest.mark.parametrize("gaps", [0.0, 0.15])
@pytest.mark.parametrize("rows", [160, 7])
@pytest.mark.parametrize("clean", [False, True])
def test_quick_figures_are_those_of_the_scorecard(
    weighting: str, holding: int, gaps: float, rows: int, clean: bool
) -> None:
    panel = market(3, gaps)
    spec = BacktestSpec(weighting, holding, costs=Costs(5.0, 3.0, 200.0))  # type: ignore[arg-type]
    compare(panel, spec, signal(panel, 5, clean=clean), rows)


RULES: dict[str, dict[str, object]] = {
    "close": {"fill": "close"},
    "quantile": {"weighting": "quantile", "quantiles": 3},
    "long only": {"weighting": "long_only", "rebalance": 5},
    "time series": {"weighting": "timeseries"},
    "rebalance": {"rebalance": 7, "band": 0.01},
    "capped": {"max_weight": 0.08, "weighting": "zscore"},
    "by volatility": {"volatility_scaled": True},
    "half Kelly": {"kelly": 0.5, "max_leverage": 3.0},
    "capped risk": {"max_risk": 0.0005},
    "impact": {"costs": Costs(5.0, 3.0, capital=1e6, impact=0.8)},
    "delisted": {"delisting_return": -0.5},
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("rows", [160, 7])
def test_quick_figures_are_those_of_the_scorecard_under_every_rule(rules: dict[str, object], rows: int) -> None:
    panel = market(4, 0.05)
    compare(panel, BacktestSpec(**rules), signal(panel, 6), rows)  # type: ignore[arg-type]


def test_quick_figures_are_neutral_within_groups() -> None:
    panel = market(4, 0.05)
    groups = np.tile(np.arange(14.0) % 3, (160, 1))
    groups[:, 13] = np.nan
    compare(panel, BacktestSpec(), signal(panel, 6), 33, groups)


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


@pytest.mark.parametrize("rules", [{}, {"kelly": 0.5}, {"weighting": "timeseries"}], ids=["rank", "Kelly", "alone"])
@pytest.mark.parametrize("assets", [8, 10])
def test_a_signal_that_ranks_too_few_assets_is_refused_in_the_words_of_the_backtest(
    rules: dict[str, object], assets: int
) -> None:
    panel, spec = market(5, 0.0), BacktestSpec(**rules)  # type: ignore[arg-type]
    values = signal(panel, 3, clean=True)
    values[:, assets:] = np.nan
    scorer = QuickScorer(prepare_target(panel, spec), 33)
    for first in range(0, 160, 33):
        scorer.feed(first, values[first : first + 33])
    quick, full = scorer.segment(slice(0, 160)), run_backtest(values, panel, spec)
    if assets == 10 or not spec.is_cross_sectional:
        assert not isinstance(quick, Rejection)
        assert not isinstance(full, Rejection)
        return
    assert isinstance(quick, Rejection)
    assert quick == full
    assert "8 of 14 assets" in quick.message
    assert "10 assets or more" in quick.hint
