"""Features that are copies, constants or have atoms are found on train, and how a state is prepared."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from flows.exposure import smoothed
from flows.fit_rules import FlowConfig, TrainConfig
from flows.inspection import inspect_features
from flows.state import DEQUANTISE, build_features, dequantise
from flows.train import train_flow
from market.errors import InputError
from market.synthetic.demo_market import SynthSpec, make_market


def test_ties_are_spread_by_noise_that_belongs_to_the_bar() -> None:
    times = np.datetime64("2024-01-01", "ns") + np.arange(500) * np.timedelta64(1, "h").astype("timedelta64[ns]")
    zeros = np.zeros((500, 3, 16))
    noise = dequantise(zeros, times, ("A", "B", "C"))
    np.testing.assert_array_equal(dequantise(zeros[:200], times[:200], ("A", "B", "C")), noise[:200])
    np.testing.assert_array_equal(dequantise(zeros[:, 1:2], times, ("B",)), noise[:, 1:2])
    flat = noise.reshape(-1, 16)
    assert len(np.unique(flat)) == flat.size
    assert np.abs(flat).max() <= DEQUANTISE / 2
    assert np.abs(np.corrcoef(flat.T) - np.eye(16)).max() < 0.12
    assert flat.std() == pytest.approx(DEQUANTISE / math.sqrt(12), rel=0.02)


def test_a_candle_without_range_has_a_state() -> None:
    panel = make_market(SynthSpec(bars=600)).panel
    fields = {name: values.copy() for name, values in panel.fields.items()}
    for name in ("open", "high", "low"):
        fields[name][300, 2] = fields["close"][300, 2]
    features = build_features(panel.with_fields(fields))
    assert np.isfinite(features[300, 2]).all()


def test_smoothing_is_the_mean_of_what_is_known() -> None:
    x = np.arange(6.0)[:, None]
    x[2] = np.nan
    np.testing.assert_allclose(smoothed(x, 3)[:, 0], [0, 0.5, np.nan, 2, 3.5, 4])


def test_copies_constants_and_atoms_are_found_on_train() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 6))
    x[:, 2] = 2 * x[:, 0] - x[:, 1] + 5
    x[:, 3] = 7.0
    x[:, 4] = np.where(rng.random(3000) < 0.1, 0.0, x[:, 4])
    x[:, 5] = np.nan
    found = inspect_features(x, ("a", "b", "copy", "constant", "atom", "unknown"))
    assert found.kept == (0, 1, 4)
    said = " ".join(found.sentences())
    for words in (
        "copy is left out: the features before it explain 100",
        "constant on train (7)",
        "never known",
        "atom is 0 in 9",
    ):
        assert words in said
    # Close is not a copy.
    x[:, 2] += 0.3 * rng.normal(size=3000)
    assert 2 in inspect_features(x, tuple("abcdef")).kept
    with pytest.raises(InputError, match="fewer than two"):
        inspect_features(x[:, [3, 5]], ("constant", "unknown"))


def test_copies_in_other_forms_are_found() -> None:
    rng = np.random.default_rng(4)
    moves = 0.01 * rng.standard_t(5, size=(20_000, 10))
    total, compounded = moves.sum(axis=1), np.prod(1 + moves, axis=1) - 1
    body, upper = rng.uniform(-1, 1, 20_000), rng.random(20_000)
    upper *= 1 - np.abs(body)
    one, two = np.exp(rng.normal(size=(2, 20_000)))
    features = {
        "return": total,
        "momentum": compounded,
        "body": body,
        "upper": upper,
        "lower": 1 - np.abs(body) - upper,
        "volatility": one,
        "longer": two,
        "ratio": one / two,
        "own": rng.normal(size=20_000) + 0.5 * total / total.std(),
    }
    names = list(features)
    found = inspect_features(np.stack(list(features.values()), axis=1), names)
    assert [names[k] for k in found.kept] == ["return", "body", "upper", "volatility", "longer", "own"]


def test_a_copy_makes_a_likelihood_without_bound_and_a_treated_one_has_one() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(6000, 4))
    copied = np.column_stack([x, x[:, 0]])
    config = TrainConfig(epochs=15, max_rows=5000, batch=512, noise=0.0)
    flow = FlowConfig(dim=5, steps=(4,), hidden=16)
    wild = train_flow(copied[:5000], copied[5000:], config, flow).nll_validation
    kept = inspect_features(copied, tuple("abcde")).kept
    tame = train_flow(copied[:5000][:, kept], copied[5000:][:, kept], config, dataclasses.replace(flow, dim=len(kept)))
    entropy = 0.5 * 4 * (1 + math.log(2 * math.pi))
    assert wild < entropy - 1.0
    assert tame.nll_validation == pytest.approx(entropy, abs=0.15)
