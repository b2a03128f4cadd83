"""Splits that never leak, and what choosing the best of many factors is worth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.selection import choose_combined, choose_forward, superior_ability
from market.errors import InputError
from market.split import combinatorial_purged, walk_forward


@given(
    bars=st.integers(100, 900),
    folds=st.integers(1, 8),
    embargo=st.integers(0, 20),
    expanding=st.booleans(),
)
def test_walk_forward_never_fits_on_what_it_tests(bars: int, folds: int, embargo: int, expanding: bool) -> None:
    cut = walk_forward(bars, folds=folds, embargo=embargo, expanding=expanding)
    tested = np.concatenate([np.arange(f.test.start, f.test.stop) for f in cut])
    assert tested.tolist() == list(range(cut[0].test.start, bars))
    for fold in cut:
        assert fold.train.stop + embargo == fold.test.start
        assert (fold.train.start == 0) or not expanding
    if not expanding:
        assert len({f.train.stop - f.train.start for f in cut}) == 1


@pytest.mark.parametrize(("groups", "tests", "purge", "embargo"), [(6, 2, 0, 0), (10, 2, 3, 5), (8, 3, 1, 0)])
def test_combinations_are_skfolios(groups: int, tests: int, purge: int, embargo: int) -> None:
    from skfolio.model_selection import CombinatorialPurgedCV

    bars = groups * 40
    ours = combinatorial_purged(bars, groups=groups, tests=tests, purge=purge, embargo=embargo)
    theirs = CombinatorialPurgedCV(n_folds=groups, n_test_folds=tests, purged_size=purge, embargo_size=embargo)
    expected = {
        tuple(int(test[0]) // 40 for test in found): train.tolist()
        for train, found in theirs.split(np.zeros((bars, 1)))
    }
    assert {split.tests: split.train.tolist() for split in ours.splits} == expected
    paths = ours.paths()
    assert len(paths) == math.comb(groups, tests) * tests // groups == theirs.n_test_paths
    for path in paths:
        assert all(g in ours.splits[s].tests for g, s in enumerate(path))


def test_what_leaves_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="nothing"):
        combinatorial_purged(100, groups=5, tests=4, purge=30)
    with pytest.raises(InputError, match="too few"):
        walk_forward(30, folds=20)
    with pytest.raises(InputError):
        combinatorial_purged(100, groups=4, tests=4)


def noise(factors: int, bars: int = 2000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, (bars, factors))


def test_choosing_among_noise_earns_nothing_and_skill_is_kept() -> None:
    luck = noise(60)
    folds = walk_forward(2000, folds=8, embargo=5)
    best = (luck.mean(axis=0) / luck.std(axis=0)).max()
    assert best * math.sqrt(2000) > 1.5
    out = choose_forward(luck, folds).returns
    assert abs(out.mean() / out.std() * math.sqrt(len(out))) < 2.5
    skilled = luck.copy()
    skilled[:, 7] += 0.002
    found = choose_forward(skilled, folds)
    assert set(found.chosen) == {7}
    np.testing.assert_allclose(found.returns, skilled[1000:, 7])
    paths = choose_combined(skilled, combinatorial_purged(2000, groups=6, tests=2, purge=2))
    assert len(paths) == 5
    np.testing.assert_allclose(paths, skilled[:, 7].mean() / skilled[:, 7].std(ddof=1))


def test_a_fold_does_not_change_when_its_future_does() -> None:
    returns = noise(20)
    folds = walk_forward(2000, folds=5)
    before = choose_forward(returns, folds)
    changed = returns.copy()
    changed[folds[2].test.start :] = noise(20, seed=9)[folds[2].test.start :]
    after = choose_forward(changed, folds)
    assert before.chosen[:3] == after.chosen[:3]


def test_superior_ability_knows_how_many_were_looked_at() -> None:
    luck = noise(50, 1000)
    alone = superior_ability(luck, seed=1)
    assert alone.p_value > 0.05
    assert alone.superior == ()
    skilled = luck.copy()
    skilled[:, 3] += 0.002
    found = superior_ability(skilled, seed=1)
    assert found.p_value < 0.01
    assert found.superior == (3,)
    assert superior_ability(skilled, seed=1) == found
    with pytest.raises(InputError, match="too few"):
        superior_ability(np.zeros((500, 3)), seed=1)


@pytest.mark.slow
def test_superior_ability_errs_as_often_as_it_says() -> None:
    wrong = sum(superior_ability(noise(20, 300, seed), seed=seed, draws=100).p_value < 0.05 for seed in range(100))
    assert wrong <= 11
