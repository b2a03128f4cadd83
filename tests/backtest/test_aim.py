"""The aim of a pool: members join by what they add, decay and costs count, and weights come from earlier bars."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from backtest.aim import (
    PENALTIES,
    added_score,
    choose_penalty_from,
    join,
    join_members,
    positive_weights,
    shrunk_correlations,
    shrunk_ratios,
    trade_shares,
    walk_aim,
)
from backtest.combine import Members
from backtest.costs import Costs
from backtest.market_rows import MarketRows
from backtest.slow_payoffs import SlowPayoffs, slow_payoffs
from backtest.trading_rules import BacktestSpec
from market.panel import FloatArray
from market.ranking import rank_panel


def members_of(*signals: FloatArray) -> Members:
    members = Members.empty(len(signals), signals[0].shape)
    for number, signal in enumerate(signals):
        members.put(number, rank_panel(signal))
    return members


def market_of(returns: FloatArray) -> MarketRows:
    none = np.zeros((0, returns.shape[1]))
    return MarketRows(np.ones(returns.shape, dtype=bool), returns, none, np.ones(returns.shape), none)


def fading(rng: np.random.Generator, kept: float, shape: tuple[int, int]) -> FloatArray:
    """Return independent signals whose correlation with themselves falls by 1 - kept a bar."""
    out = np.empty(shape)
    out[0] = rng.normal(size=shape[1])
    for t in range(1, len(out)):
        out[t] = kept * out[t - 1] + np.sqrt(1.0 - kept**2) * rng.normal(size=shape[1])
    return out


def slow_of(gross: FloatArray, costs: FloatArray | None = None) -> SlowPayoffs:
    paid = np.zeros(gross.shape) if costs is None else costs
    return SlowPayoffs(
        (1.0,), gross[:, None].astype(np.float32), paid[:, None].astype(np.float32), np.eye(len(gross))[None]
    )


def test_a_slow_position_by_hand() -> None:
    signal = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    returns = np.array([[0.0, 0.0, 0.1], [0.2, 0.0, 0.0], [9.0, 9.0, 9.0], [9.0, 9.0, 9.0]])
    spec = BacktestSpec(costs=Costs(fee_bp=100.0, slippage_bp=0.0))
    found = slow_payoffs(members_of(signal), market_of(returns), spec, 365.0, part=slice(0, 2), rates=(1.0, 0.5))
    # All the way: -1/2, 0, 1/2, then 1/2, 0, -1/2. Half of the way: -1/4, 0, 1/4, then 1/8, 0, -1/8.
    assert found.gross[0, 0] == pytest.approx([0.05, 0.1, 0.0, 0.0])
    assert found.gross[0, 1] == pytest.approx([0.025, 0.025, 0.0, 0.0])
    assert found.costs[0, 0] == pytest.approx([0.01, 0.02, 0.0, 0.0])
    assert found.costs[0, 1] == pytest.approx([0.005, 0.0075, 0.0, 0.0])


def test_what_decays_counts_for_less_as_garleanu_and_pedersen_have_it() -> None:
    rng, shape, rate = np.random.default_rng(1), (20_000, 60), 0.1
    kept = (0.98, 0.5)
    signals = [fading(rng, one, shape) for one in kept]
    returns = 0.002 * (signals[0] + signals[1])
    found = slow_payoffs(
        members_of(*signals), market_of(returns), BacktestSpec(costs=Costs(0.0, 0.0)), 365.0,
        part=slice(0, 100), rates=(1.0, rate),
    )  # fmt: skip
    paid = found.gross.mean(axis=2)
    for number, one in enumerate(kept):
        fall = 1.0 - one
        assert paid[number, 1] / paid[number, 0] == pytest.approx(rate / (rate + fall * (1.0 - rate)), rel=0.03)


def test_members_that_trade_against_one_another_are_charged_for_what_they_cause() -> None:
    alike = trade_shares(np.array([0.5, 0.5]), np.array([1.0, 1.0]), np.ones((2, 2)))
    assert alike == pytest.approx([1.0, 1.0])
    apart = trade_shares(np.array([0.5, 0.5]), np.array([1.0, 1.0]), np.eye(2))
    assert apart == pytest.approx([np.sqrt(0.5), np.sqrt(0.5)])
    # Half of the costs of four independent members are their pool's: each nets what alone it would not.
    rng = np.random.default_rng(2)
    gross, costs = 0.001 + 0.01 * rng.normal(size=(4, 20_000)), np.full((4, 20_000), 0.0014)
    joined = join_members(gross, costs, np.eye(4))
    assert set(joined.members) == {0, 1, 2, 3}
    assert join_members(gross, costs, np.ones((4, 4))).members == ()


def test_a_clone_adds_nothing_and_a_loser_never_joins() -> None:
    scores = np.array([4.0, 4.1, 3.0, -2.0])
    near = np.eye(4)
    near[0, 1] = near[1, 0] = 0.99
    joined = join(scores, near)
    assert [k for k, _ in joined][:2] == [1, 2]
    assert dict(joined)[2] == pytest.approx(3.0)
    assert dict(joined).get(0, 0.0) < 1.0
    assert 3 not in dict(joined)
    assert join(np.array([-1.0, -np.inf]), np.eye(2)) == []


def test_what_is_added_is_the_intercept_of_a_regression() -> None:
    rng = np.random.default_rng(3)
    others = rng.normal(size=(2, 5000)) + 0.05
    own = 0.6 * others[0] - 0.3 * others[1] + rng.normal(size=5000) + 0.04
    scores = [float(one.mean() / one.std() * np.sqrt(5000)) for one in (own, *others)]
    near = np.corrcoef(np.vstack([own, others]))
    design = np.column_stack([np.ones(5000), others.T])
    fit, left, *_ = np.linalg.lstsq(design, own, rcond=None)
    error = np.sqrt(left[0] / 5000 * np.linalg.inv(design.T @ design)[0, 0])
    found = added_score(scores[0], near[0, 1:], np.array(scores[1:]), near[1:, 1:], ridge=0.0)
    assert found == pytest.approx(fit[0] / error, rel=0.02)


def test_correlations_are_shrunk_as_scikit_learn_shrinks_them() -> None:
    rng = np.random.default_rng(4)
    payoffs = rng.normal(size=(120, 12)) @ rng.normal(size=(12, 12))
    unit = (payoffs - payoffs.mean(axis=0)) / payoffs.std(axis=0)
    theirs = LedoitWolf(assume_centered=True).fit(unit)
    ours, share = shrunk_correlations(payoffs)
    assert share == pytest.approx(theirs.shrinkage_)
    assert ours == pytest.approx(theirs.covariance_)


def test_ratios_of_chance_end_at_their_mean_and_true_ones_stay() -> None:
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(1000, 30)) + 0.1
    raw = noise.mean(axis=0) / noise.std(axis=0)
    assert shrunk_ratios(noise).std() < 0.35 * raw.std()
    true = rng.normal(size=(1000, 30)) + np.linspace(-0.5, 0.5, 30)
    assert shrunk_ratios(true).std() == pytest.approx((true.mean(axis=0) / true.std(axis=0)).std(), rel=0.05)


def test_weights_are_positive_and_best_among_those() -> None:
    matrix, ratios = np.array([[1.0, 0.8], [0.8, 1.0]]), np.array([1.0, 0.5])
    found = positive_weights(ratios, matrix)
    assert found == pytest.approx([1.0, 0.0])
    free = positive_weights(np.array([1.0, 0.9]), matrix)
    assert free == pytest.approx(np.linalg.solve(matrix, [1.0, 0.9]))


def test_no_weight_has_seen_the_block_that_it_is_paid_on() -> None:
    rng = np.random.default_rng(6)
    gross = 0.001 + 0.01 * rng.normal(size=(5, 600))
    edges = [0, 100, 200, 300, 400, 500, 600]
    before = walk_aim(slow_of(gross), 1.0, edges, purge=2)
    changed = gross.copy()
    changed[:, 398:] = -changed[:, 398:]
    after = walk_aim(slow_of(changed), 1.0, edges, purge=2)
    assert not before.early[0].any()
    for number in range(1, 5):
        assert before.early[number] == pytest.approx(after.early[number])
    assert before.early[5] != pytest.approx(after.early[5])
    assert before.last.sum() == pytest.approx(1.0)
    assert (before.last >= 0.0).all()
    assert before.penalties[:2] == (PENALTIES[-1], PENALTIES[-1])


def test_where_no_member_nets_anything_there_is_no_weight() -> None:
    rng = np.random.default_rng(7)
    losing = -0.002 + 0.01 * rng.normal(size=(3, 600))
    walked = walk_aim(slow_of(losing), 1.0, [0, 100, 200, 300, 400, 500, 600], purge=2)
    assert not walked.last.any()
    assert walked.joined.members == ()


def test_a_smaller_penalty_has_to_be_surely_better() -> None:
    assert choose_penalty_from([]) == PENALTIES[-1]
    steady = [[0.3, 0.1, 0.1, 0.1, 0.1], [0.31, 0.11, 0.1, 0.1, 0.1], [0.3, 0.1, 0.1, 0.1, 0.12]]
    assert choose_penalty_from(steady) == PENALTIES[0]
    rough = [[0.9, 0.1, 0.1, 0.1, 0.1], [-0.6, 0.1, 0.1, 0.1, 0.1], [0.4, 0.1, 0.1, 0.1, 0.1]]
    assert choose_penalty_from(rough) == PENALTIES[-1]
