"""Results in other libraries: they find what was found here."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import alphaglow as ag


def test_alphalens_finds_the_same_information_coefficients(result: ag.Result) -> None:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        from alphalens.performance import factor_information_coefficient
        from alphalens.utils import get_clean_factor_and_forward_returns

        data = get_clean_factor_and_forward_returns(**result.to_alphalens(), periods=(1, 5), quantiles=5)
        theirs = factor_information_coefficient(data)["1D"]
    ours = result.ic().dropna()
    # alphalens drops the rows at the end, for which it has no return of five days.
    np.testing.assert_allclose(theirs, ours.reindex(theirs.index), atol=1e-12)
    assert len(theirs) >= len(ours) - 5
    assert data.index.get_level_values("date").max() <= ours.index.max()


def test_empyrical_finds_the_same_figures(result: ag.Result) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import empyrical

        returns, figures = result.to_quantstats(), result.summary()["train"]
        assert empyrical.sharpe_ratio(returns, annualization=365) == pytest.approx(figures["sharpe_net"])
        assert -empyrical.max_drawdown(returns) == pytest.approx(figures["max_drawdown"])
    assert returns.index.tz is None
    assert (returns.index == returns.index.normalize()).all()


def test_hours_become_days(days: ag.Panel) -> None:
    hour = np.timedelta64(1, "h")
    hourly = replace(days, times=days.times[0] + np.arange(len(days.times)) * hour, bar=hour)
    found = ag.evaluate(hourly, "-ts_mean(returns, 3)")
    returns, by_day = found.returns(), found.to_quantstats()
    assert len(by_day) == len(returns.index.normalize().unique())
    assert (1 + by_day).prod() == pytest.approx((1 + returns).prod())


def test_the_orders_of_vectorbt_reach_our_weights_at_our_prices(result: ag.Result) -> None:
    orders = result.to_vectorbt()
    close, size = orders["close"], orders["size"]
    pd.testing.assert_frame_equal(size.iloc[:-1], result.positions(), check_freq=False)
    # What a portfolio with these target weights, at these prices, earns from fill to fill.
    gross = (size.iloc[:-1] * (close.shift(-1) / close - 1.0).iloc[:-1]).sum(axis=1)
    np.testing.assert_allclose(gross, result.returns("gross"), atol=1e-12)
    assert size.iloc[-1].isna().all()
    assert orders["fees"] == pytest.approx(0.001)
    assert orders["size_type"] == "targetpercent"


def test_a_score_for_qlib(result: ag.Result) -> None:
    score = result.to_qlib()
    assert score.index.names == ["datetime", "instrument"]
    day = score.index.get_level_values(0)[-1]
    expected = result.signal().loc[day].rename_axis("instrument")
    pd.testing.assert_series_equal(score.loc[day, "score"], expected, check_names=False, check_index_type=False)
