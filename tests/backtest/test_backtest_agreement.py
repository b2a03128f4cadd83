"""Figures agree with other libraries wherever they mean the same."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from backtest import metrics
from backtest.evidence import Trials, deflated_sharpe, probabilistic_sharpe
from backtest.ic import newey_west_t, pooled_ic, quantile_series, rank_ic
from backtest.known import attribute
from backtest.target import prepare_target
from backtest.trading_rules import BacktestSpec
from market.ranking import rank_panel
from tests.helpers import random_panel

# The other libraries take seconds to import: one worker does so, and only for the tests that need them.
pytestmark = pytest.mark.xdist_group("agreement")

RETURNS = np.random.default_rng(3).standard_t(5, 1500) * 0.01 + 0.0004


@pytest.mark.parametrize("returns", [RETURNS, RETURNS[:60], -RETURNS, np.abs(RETURNS) * 0.1 - 0.0001])
def test_performance_is_empyricals(returns: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import empyrical
    series = pd.Series(returns)
    found = {
        "sharpe": (metrics.sharpe(returns, 252), empyrical.sharpe_ratio(series, annualization=252)),
        "sortino": (metrics.sortino(returns, 252), empyrical.sortino_ratio(series, annualization=252)),
        "calmar": (metrics.calmar(returns, 252), empyrical.calmar_ratio(series, annualization=252)),
        "drawdown": (metrics.max_drawdown(returns), -empyrical.max_drawdown(series)),
        "annual": (metrics.annual_return(returns, 252), empyrical.annual_return(series, annualization=252)),
        "tail": (metrics.tail_ratio(returns), empyrical.tail_ratio(series)),
        "VaR": (metrics.value_at_risk(returns), -empyrical.value_at_risk(series)),
    }
    for name, (ours, theirs) in found.items():
        assert ours == pytest.approx(theirs, rel=1e-9), name


def test_expected_shortfall_is_the_mean_beyond_the_value_at_risk() -> None:
    worst = np.sort(RETURNS)
    cut = -metrics.value_at_risk(RETURNS)
    assert metrics.expected_shortfall(RETURNS) == pytest.approx(-worst[worst <= cut].mean())


@pytest.mark.parametrize("seed", range(5))
def test_deflated_sharpe_is_skfolios(seed: int) -> None:
    from skfolio.measures import deflated_sharpe_ratio, probabilistic_sharpe_ratio

    rng = np.random.default_rng(seed)
    returns = rng.standard_t(4, 800) * 0.01 + 0.0003 * seed
    ratios = rng.normal(0, 0.03, 40)
    ours = (metrics.sharpe(returns, 1.0), metrics.skewness(returns), metrics.kurtosis(returns))
    psr = probabilistic_sharpe(ours[0], 0.01, len(returns), *ours[1:])
    assert psr == pytest.approx(probabilistic_sharpe_ratio(returns, 0.01), abs=1e-9)
    dsr = deflated_sharpe(ours[0], len(returns), *ours[1:], Trials(40, float(ratios.var(ddof=1))))
    assert dsr == pytest.approx(deflated_sharpe_ratio(returns, ratios), abs=1e-9)


def test_ic_and_quantiles_are_alphalens() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import alphalens
    rng = np.random.default_rng(0)
    days, assets = 60, 25
    values, forward = rng.normal(size=(days, assets)), rng.normal(0, 0.02, (days, assets))
    index = pd.MultiIndex.from_product(
        [pd.date_range("2024-01-01", periods=days, tz="UTC"), range(assets)], names=["date", "asset"]
    )
    frame = pd.DataFrame({"1D": forward.ravel(), "factor": values.ravel()}, index=index)
    frame["factor_quantile"] = alphalens.utils.quantize_factor(frame, quantiles=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = alphalens.performance.factor_information_coefficient(frame)["1D"].to_numpy()
        by_quantile = alphalens.performance.mean_return_by_quantile(frame, by_date=True, demeaned=False)[0]
    np.testing.assert_allclose(rank_ic(values, forward), theirs, atol=1e-9)
    ours = quantile_series(rank_panel(values), forward, 5)
    np.testing.assert_allclose(ours, by_quantile["1D"].unstack(0).to_numpy(), atol=1e-12)


@pytest.mark.parametrize("lags", [0, 3, 11])
def test_hac_t_is_statsmodels(lags: int) -> None:
    import statsmodels.api as sm

    x = np.convolve(np.random.default_rng(1).normal(0.05, 1, 900), np.ones(4) / 4, "valid")
    fit = sm.OLS(x, np.ones(len(x))).fit(cov_type="HAC", cov_kwds={"maxlags": lags})
    assert newey_west_t(x, lags) == pytest.approx(float(fit.tvalues[0]), rel=1e-9)


def test_attribution_is_statsmodels() -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(2)
    factors = rng.normal(0, 0.01, (700, 3))
    returns = 0.0005 + factors @ [0.4, 0.0, -0.2] + rng.normal(0, 0.01, 700)
    found = attribute(returns, factors)
    fit = sm.OLS(returns, sm.add_constant(factors)).fit(
        cov_type="HAC", cov_kwds={"maxlags": int(4 * (700 / 100) ** (2 / 9))}
    )
    assert [found.alpha, *found.loadings] == pytest.approx(fit.params.tolist(), rel=1e-9)
    assert found.tstat == pytest.approx(float(fit.tvalues[0]), rel=1e-9)
    assert found.r_squared == pytest.approx(float(fit.rsquared), rel=1e-9)


def test_a_factor_is_explained_by_itself() -> None:
    panel = random_panel(900, 20, 4)
    target = prepare_target(panel, BacktestSpec())
    known = target.known_factors.returns
    found = attribute(known[:, 1], known)
    assert found.loadings[1] == pytest.approx(1.0, abs=1e-6)
    assert found.r_squared == pytest.approx(1.0, abs=1e-9)
    assert attribute(np.zeros(900), known).r_squared != attribute(np.zeros(900), known).r_squared


def test_pooled_ic_is_the_mean_spearman_over_time() -> None:
    rng = np.random.default_rng(5)
    forward = rng.normal(size=(400, 4))
    values = forward * [0.5, 0.2, 0.0, -0.1] + rng.normal(size=(400, 4))
    values[rng.random(values.shape) < 0.1] = np.nan
    found = pooled_ic(values, forward)
    for i in range(4):
        both = np.isfinite(values[:, i])
        wanted = scipy.stats.spearmanr(values[both, i], forward[both, i]).statistic
        assert found.by_asset[i] == pytest.approx(wanted, abs=1e-12)
    assert found.mean == pytest.approx(found.by_asset.mean())


def test_pooled_t_knows_that_assets_move_together() -> None:
    # One asset seen ten times is no more evidence than one asset.
    rng = np.random.default_rng(6)
    forward, values = rng.normal(size=(800, 1)), rng.normal(size=(800, 1))
    values += 0.1 * forward
    one, ten = pooled_ic(values, forward), pooled_ic(np.tile(values, 10), np.tile(forward, 10))
    assert ten.tstat == pytest.approx(one.tstat, rel=1e-9)


def test_capacity_halves_the_ratio() -> None:
    rng = np.random.default_rng(7)
    before, impact = rng.normal(0.001, 0.01, 2000), np.abs(rng.normal(1e-7, 3e-8, 2000))
    capital = metrics.capacity(before, impact)
    after = metrics.sharpe(before - impact * math.sqrt(capital), 252)
    assert after == pytest.approx(0.5 * metrics.sharpe(before, 252), rel=1e-9)
    assert metrics.capacity(before, np.zeros(2000)) == math.inf
    assert math.isnan(metrics.capacity(-before, impact))


def test_break_even_is_where_nothing_is_left() -> None:
    rng = np.random.default_rng(8)
    gross, turnover = rng.normal(0.0005, 0.01, 500), rng.random(500)
    cost = metrics.break_even_bp(gross, turnover)
    assert float((gross - cost * 1e-4 * turnover).sum()) == pytest.approx(0.0, abs=1e-12)


def test_longest_drawdown_by_hand() -> None:
    assert metrics.drawdown_bars(np.array([0.1, -0.1, 0.05, 0.0, 0.2, -0.1, 0.01])) == 3
    assert metrics.drawdown_bars(np.array([0.1, 0.1])) == 0
    assert metrics.drawdown_bars(np.array([-0.1, -0.1])) == 2
