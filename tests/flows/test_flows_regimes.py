"""Regimes: found where they were planted, found from the past alone, named and kept from refit to refit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from flows.regime_store import load_regimes, regime_masks, store_regimes
from flows.regimes import (
    Labels,
    RegimeModel,
    adjusted_rand,
    choose_regimes,
    cluster,
    facts,
    fit_hmm,
    fit_projection,
    from_labels,
    market_states,
    match,
    name_regimes,
    reordered,
)
from flows.state import build_features, fit_standardiser
from market.errors import InputError
from market.panel import FloatArray
from market.synthetic.planted_regimes import planted_market

TRAIN = slice(0, 4000)


@pytest.fixture(scope="module")
def planted() -> tuple[FloatArray, Labels]:
    panel, chain = planted_market()
    features = build_features(panel)
    return market_states(fit_standardiser(features[TRAIN]).apply(features), 12), chain


@pytest.fixture(scope="module")
def clusters(planted: tuple[FloatArray, Labels]) -> RegimeModel:
    states = planted[0][TRAIN]
    projection = fit_projection(states)
    labels = cluster(projection.apply(states), 4, np.random.default_rng(0))
    model = from_labels("features", states, labels, projection)
    assert model is not None
    return model


def test_planted_regimes_are_found_on_bars_held_out(planted: tuple[FloatArray, Labels], clusters: RegimeModel) -> None:
    states, chain = planted
    later = slice(TRAIN.stop, len(states))
    found = adjusted_rand(clusters.labels(states)[later], chain[later])
    hmm = fit_hmm(states[TRAIN], 4, clusters.projection, 0)
    assert hmm is not None
    assert max(found, adjusted_rand(hmm.labels(states)[later], chain[later])) > 0.4
    noise = np.random.default_rng(0).permutation(chain)
    assert abs(adjusted_rand(clusters.labels(states)[later], noise[later])) < 0.02


def test_labels_are_told_from_bars_up_to_each(planted: tuple[FloatArray, Labels], clusters: RegimeModel) -> None:
    states, _ = planted
    whole, _ = clusters.filter(states)
    for cut in (900, 2517):
        beliefs, _ = clusters.filter(states[:cut])
        # Products of matrices of other sizes may round otherwise.
        np.testing.assert_allclose(beliefs, whole[:cut], rtol=1e-9)
    changed = states.copy()
    changed[3000:] *= -3
    np.testing.assert_allclose(clusters.filter(changed)[0][:3000], whole[:3000], rtol=1e-9)
    assert (clusters.labels(states)[:19] == -1).all()


def test_the_filter_is_bayes_rule_by_hand() -> None:
    projection = fit_projection(np.random.default_rng(0).normal(size=(200, 2)))
    projection = replace(projection, mean=np.zeros(2), matrix=np.eye(2)[:, :1])
    transition = np.array([[0.9, 0.1], [0.3, 0.7]])
    model = RegimeModel("features", projection, np.array([[0.0], [2.0]]), np.ones((2, 1, 1)), transition)
    states = np.array([[0.0, 0.0], [2.0, 0.0], [np.nan, 0.0], [1.0, 0.0]])
    beliefs, predictive = model.filter(states)

    def density(x: float, mean: float) -> float:
        return float(np.exp(-0.5 * (x - mean) ** 2) / np.sqrt(2 * np.pi))

    now = np.array([0.75, 0.25])
    for t, x in enumerate(states[:, 0]):
        ahead = now @ transition if t else now
        if np.isfinite(x):
            joint = ahead * [density(x, 0.0), density(x, 2.0)]
            assert predictive[t] == pytest.approx(np.log(joint.sum()))
            ahead = joint / joint.sum()
        else:
            assert np.isnan(predictive[t])
        now = ahead
        np.testing.assert_allclose(beliefs[t], now, atol=1e-12)


def test_adjusted_rand_is_the_librarys() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        one, other = rng.integers(4, size=300), rng.integers(3, size=300)
        other = np.where(rng.random(300) < 0.5, one % 3, other)
        assert adjusted_rand(one, other) == pytest.approx(adjusted_rand_score(one, other), abs=1e-12)
    assert adjusted_rand(one, one) == 1.0


def test_regimes_keep_their_places_when_they_are_found_again(
    planted: tuple[FloatArray, Labels], clusters: RegimeModel
) -> None:
    states = planted[0][:5000]
    projection = fit_projection(states)
    again = from_labels("features", states, cluster(projection.apply(states), 4, np.random.default_rng(9)), projection)
    assert again is not None
    mixed = reordered(again, [2, 0, 3, 1])
    matched = match(mixed, clusters)
    both = matched.labels(states), clusters.labels(states)
    assert np.mean(both[0] == both[1]) > 0.8


def test_names_say_how_wild_and_which_way() -> None:
    labels = np.repeat([0, 1, 2, 3], 100)
    trend = np.repeat([0.02, -0.02, 0.0, -0.15], 100) + 0.001 * np.random.default_rng(0).normal(size=400)
    volatility = np.repeat([0.001, 0.0012, 0.003, 0.01], 100)
    assert name_regimes(labels, trend, volatility, 4) == ("calm, up", "calm, down", "normal", "crash")
    assert name_regimes(labels % 2, np.zeros(400), np.full(400, 0.01), 2) == ("calm", "wild")
    twice = name_regimes(labels, np.zeros(400), np.repeat([1.0, 1.1, 1.2, 1.3], 100), 4)
    assert len(set(twice)) == 4


def test_the_best_predictor_among_the_stable_is_chosen(clusters: RegimeModel) -> None:
    good = replace(clusters, predictive=-5.0, stability=0.6)
    better_but_unstable = replace(clusters, predictive=-4.0, stability=0.1)
    worse = replace(clusters, predictive=-6.0, stability=0.9)
    assert choose_regimes([worse, better_but_unstable, good]) is good
    assert choose_regimes([better_but_unstable, replace(good, stability=0.2)]).stability == 0.2


def test_stored_regimes_come_back_for_their_own_panel(
    tmp_path: Path, planted: tuple[FloatArray, Labels], clusters: RegimeModel
) -> None:
    states, _ = planted
    named = replace(clusters, names=("a", "b", "c", "d"))
    labels = named.labels(states)
    path = tmp_path / "x.regimes.npz"
    store_regimes(named, labels, "panel:1", 12, path)
    again, stored, panel_id = load_regimes(path)
    np.testing.assert_array_equal(again.filter(states)[0], named.filter(states)[0])
    np.testing.assert_array_equal(stored, labels)
    assert panel_id == "panel:1"
    masks = regime_masks(path, "panel:1")
    assert list(masks) == ["flow: a", "flow: b", "flow: c", "flow: d"]
    assert sum(mask.sum() for mask in masks.values()) == (labels >= 0).sum()
    assert regime_masks(path, "panel:2") == {}
    assert regime_masks(tmp_path / "none.npz", "panel:1") == {}
    path.write_bytes(b"no")
    with pytest.raises(InputError, match="not a set of regimes"):
        load_regimes(path)


def test_facts_are_of_the_labelled_bars() -> None:
    labels = np.array([-1, 0, 0, 1, 0, 0, 0, 1])
    returns = np.array([9.0, 1, 2, 3, 4, 5, np.nan, 7])
    model = RegimeModel(
        "features", fit_projection(np.eye(4)), np.zeros((2, 3)), np.zeros((2, 3, 3)), np.eye(2), ("x", "y")
    )
    found = facts(model, labels, {"next": returns})
    assert found[0]["share"] == pytest.approx(5 / 7)
    assert found[0]["bars"] == pytest.approx(2.5)
    assert found[0]["next_mean"] == pytest.approx(3.0)
    assert found[1]["next_mean"] == pytest.approx(5.0)
