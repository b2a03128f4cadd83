"""Combining signals: ranks by hand, weights against scikit-learn and scipy on the stacked rows, purged folds."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
from scipy.stats import rankdata, spearmanr
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import TimeSeriesSplit

from backtest.combine import (
    Members,
    choose_penalty,
    combine,
    equal_weights,
    fold_edges,
    fold_moments,
    ic_weights,
    moments_of,
    nonneg_weights,
    ridge_weights,
    unit_weights,
)
from backtest.residual_ic import residual_ic
from market.errors import InputError
from market.panel import FloatArray
from market.ranking import rank_panel

NAN = float("nan")


def stacked(signals: list[FloatArray]) -> Members:
    members = Members.empty(len(signals), signals[0].shape)
    for number, values in enumerate(signals):
        members.put(number, rank_panel(values))
    return members


def rows_by_hand(signals: list[FloatArray], forward: FloatArray, part: slice) -> tuple[FloatArray, FloatArray]:
    """Stack usable asset-bars, written apart from the engine: (rows, K) ranks and (rows,) returns, demeaned by bar."""
    xs, ys = [], []
    for t in range(part.start, part.stop):
        line = np.zeros((len(signals), forward.shape[1]))
        seen = np.zeros(forward.shape[1], dtype=bool)
        for k, values in enumerate(signals):
            known = np.isfinite(values[t])
            if known.any():
                share = rankdata(values[t][known]) / known.sum()
                line[k, known] = share - share.mean()
            seen |= known
        use = seen & np.isfinite(forward[t])
        if use.sum() >= 2:
            xs.append((line[:, use] - line[:, use].mean(axis=1, keepdims=True)).T)
            ys.append(forward[t, use] - forward[t, use].mean())
    return np.concatenate(xs), np.concatenate(ys)


@pytest.fixture
def market() -> tuple[list[FloatArray], FloatArray]:
    """Five signals with gaps and ties on 400 bars of 15 assets; three of them move the returns."""
    rng = np.random.default_rng(5)
    shape = (400, 15)
    signals = [np.round(rng.normal(size=shape), 1) for _ in range(5)]
    drive = 0.4 * signals[0] + 0.2 * signals[1] - 0.3 * signals[2]
    forward = 0.002 * drive + rng.normal(0, 0.01, shape)
    for values in signals[1:]:
        values[rng.random(shape) < 0.1] = NAN
    signals[4][:60] = NAN
    forward[rng.random(shape) < 0.05] = NAN
    return signals, forward


def test_a_combined_value_by_hand() -> None:
    first = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 5.0, 7.0, NAN]])
    second = np.array([[9.0, NAN, 3.0, NAN], [NAN, NAN, NAN, 2.0]])
    found = combine(stacked([first, second]), np.array([0.75, -0.25]))
    # Bar 0: ranks 1..4 of 4 less 2.5 are -1.5 -0.5 0.5 1.5 over 4; of the second, 2 and 1 of 2 less 1.5 over 2.
    assert found[0] == pytest.approx(
        [0.75 * -1.5 / 4 - 0.25 * 0.5 / 2, 0.75 * -0.5 / 4, 0.75 * 0.5 / 4 + 0.25 * 0.5 / 2, 0.75 * 1.5 / 4]
    )
    # Bar 1: ties share ranks 1.5 1.5 3 of 3, less 2; the last asset is known to a quarter of the weight only.
    assert found[1][:3] == pytest.approx([0.75 * -0.5 / 3, 0.75 * -0.5 / 3, 0.75 * 1.0 / 3])
    assert np.isnan(found[1][3])
    # Exactly half of the weight is enough.
    assert np.isfinite(combine(stacked([first, second]), np.array([0.5, 0.5]))[1]).all()
    assert np.isnan(combine(stacked([first, second]), np.zeros(2))).all()


def test_one_member_keeps_its_order_and_its_gaps(market: tuple[list[FloatArray], FloatArray]) -> None:
    values = market[0][1]
    found = combine(stacked([values]), np.ones(1))
    assert np.array_equal(np.isnan(found), np.isnan(values))
    for t in range(0, 400, 37):
        known = np.isfinite(values[t])
        assert np.array_equal(rankdata(found[t][known]), rankdata(values[t][known]))
    part = combine(stacked([values]), np.ones(1), slice(40, 90))
    assert np.array_equal(part, found[40:90], equal_nan=True)


def test_moments_are_those_of_the_stacked_rows(market: tuple[list[FloatArray], FloatArray]) -> None:
    signals, forward = market
    found = moments_of(stacked(signals), forward, slice(10, 390))
    x, y = rows_by_hand(signals, forward, slice(10, 390))
    assert found.rows == len(y)
    np.testing.assert_allclose(found.gram, x.T @ x, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(found.cross, x.T @ y, rtol=1e-10, atol=1e-13)
    assert found.square == pytest.approx(float(y @ y), rel=1e-12)


@pytest.mark.parametrize("share", [1e-3, 0.3, 30.0])
def test_ridge_is_scikit_learns(market: tuple[list[FloatArray], FloatArray], share: float) -> None:
    signals, forward = market
    moments = moments_of(stacked(signals), forward, slice(0, 400))
    x, y = rows_by_hand(signals, forward, slice(0, 400))
    level = float(np.trace(x.T @ x)) / x.shape[1]
    peer = Ridge(alpha=share * level, fit_intercept=False).fit(x, y)
    np.testing.assert_allclose(ridge_weights(moments, share), peer.coef_, rtol=1e-8)


def test_non_negative_is_scikit_learns_and_scipys(market: tuple[list[FloatArray], FloatArray]) -> None:
    signals, forward = market
    found = nonneg_weights(moments_of(stacked(signals), forward, slice(0, 400)))
    x, y = rows_by_hand(signals, forward, slice(0, 400))
    np.testing.assert_allclose(found, LinearRegression(positive=True, fit_intercept=False).fit(x, y).coef_, atol=1e-10)
    np.testing.assert_allclose(found, scipy.optimize.nnls(x, y)[0], atol=1e-10)
    assert found[2] == 0.0
    assert found[0] > 0.0


def test_the_penalty_is_chosen_by_purged_folds(market: tuple[list[FloatArray], FloatArray]) -> None:
    signals, forward = market
    purge, grid = 3, (1e-3, 1e-1, 1.0, 10.0, 1e3)
    edges = fold_edges(slice(0, 396), purge=purge)
    found = choose_penalty(fold_moments(stacked(signals), forward, edges, purge=purge), grid)
    scores = np.zeros((5, len(grid)))
    for fold, (train, test) in enumerate(TimeSeriesSplit(5, gap=purge).split(np.zeros((396, 1)))):
        assert train[-1] + purge + 1 == test[0]
        x, y = rows_by_hand(signals, forward, slice(0, int(train[-1]) + 1))
        u, v = rows_by_hand(signals, forward, slice(int(test[0]), int(test[-1]) + 1))
        level = float(np.trace(x.T @ x)) / x.shape[1]
        for number, share in enumerate(grid):
            learned = u @ Ridge(alpha=share * level, fit_intercept=False).fit(x, y).coef_
            scores[fold, number] = learned @ v / np.sqrt((learned @ learned) * (v @ v))
    assert [share for share, _ in found.scores] == list(grid)
    np.testing.assert_allclose([score for _, score in found.scores], scores.mean(axis=0), rtol=1e-8)
    lacking = scores[:, scores.mean(axis=0).argmax()][:, None] - scores
    near = [s for s, gap in zip(grid, lacking.T, strict=True) if gap.mean() <= gap.std(ddof=1) / np.sqrt(5)]
    assert found.share == max(near)
    assert found.share > 1e-3
    assert choose_penalty(fold_moments(stacked(signals), forward, edges[:2], purge=purge), grid).share == 1e3
    with pytest.raises(InputError, match="too few"):
        fold_edges(slice(0, 20), purge=5)


def test_copies_get_no_double_weight(market: tuple[list[FloatArray], FloatArray]) -> None:
    signals, forward = market
    base = [signals[0], signals[3]]
    once = moments_of(stacked(base), forward, slice(0, 400))
    # Ranks of a copy are the same, however it is written.
    thrice = moments_of(stacked([*base, 3.0 * signals[0] + 1.0, np.exp(signals[0])]), forward, slice(0, 400))
    for fit in (nonneg_weights, lambda m: ridge_weights(m, 1e-4)):
        alone, many = fit(once), fit(thrice)
        assert many[0] + many[2] + many[3] == pytest.approx(alone[0], rel=2e-3)
        assert many[1] == pytest.approx(alone[1], rel=2e-2, abs=1e-6)
    shares = unit_weights(ridge_weights(thrice, 1e-4))
    assert shares is not None
    assert shares[[0, 2, 3]] == pytest.approx([shares[0]] * 3, rel=1e-6)
    assert equal_weights(4)[[0, 2, 3]].sum() == 0.75


def test_leaving_one_out_is_fitting_the_others(market: tuple[list[FloatArray], FloatArray]) -> None:
    signals, forward = market
    whole = moments_of(stacked(signals[:4]), forward, slice(0, 400)).without(1)
    rest = moments_of(stacked([signals[0], signals[2], signals[3]]), forward, slice(0, 400))
    np.testing.assert_allclose(whole.gram, rest.gram, rtol=1e-12)
    np.testing.assert_allclose(ridge_weights(whole, 0.1), ridge_weights(rest, 0.1), rtol=1e-9)


def test_ic_weights_shrink_by_their_error() -> None:
    found = ic_weights(np.array([0.03, -0.03, 0.05, 0.04, NAN]), np.array([10.0, -10.0, 1.0, 0.4, 3.0]))
    assert found == pytest.approx([0.03 * 0.99, -0.03 * 0.99, 0.0, 0.0, 0.0])


def test_weights_are_scaled_or_there_are_none() -> None:
    found = unit_weights(np.array([3.0, -1.0, 0.0]))
    assert found is not None
    assert found.tolist() == [0.75, -0.25, 0.0]
    assert unit_weights(np.zeros(3)) is None


def test_what_is_left_of_a_signal_beside_a_pool() -> None:
    rng = np.random.default_rng(2)
    pool, new, noise = (rng.normal(size=(60, 30)) for _ in range(3))
    forward = pool + new + noise
    # A monotone copy, or its reverse, adds nothing: no bar depends on rounding.
    assert np.isnan(residual_ic(np.exp(pool), pool, forward).ic).all()
    assert residual_ic(-pool, pool, forward).correlation == pytest.approx(-np.ones(60))
    found = residual_ic(pool + new, pool, forward)
    for t in (0, 17):
        mine, theirs = rankdata((pool + new)[t]), rankdata(pool[t])
        slope, level = np.polyfit(theirs, mine, 1)
        assert found.ic[t] == pytest.approx(spearmanr(mine - slope * theirs - level, forward[t]).statistic)
        assert found.correlation[t] == pytest.approx(spearmanr(mine, theirs).statistic)
    # What the pool knows already predicts; what is left of it does not.
    assert abs(float(residual_ic(pool + 3 * noise[::-1], pool, pool + new).ic.mean())) < 0.1
    assert float(found.ic.mean()) > 0.3
