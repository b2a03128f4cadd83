"""The gate: states, what is wrong with features, thresholds, storage, and nothing of the holdout."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from factors.features import STATE_FEATURES, Feature
from flows.checkpoint import load_gate, save_gate
from flows.gate import RegimeGate, fit_gate, fitting, smoothed, steadied
from flows.inspection import inspect_features
from flows.model import FlowConfig
from flows.state import DEQUANTISE, build_features, dequantise, fit_standardiser, known_rows, prepared
from flows.train import TrainConfig, train
from market.errors import InputError
from market.panel import Panel
from market.split import Split, loop_panel, make_split
from market.synth import SynthSpec, make_market

SMALL = TrainConfig(epochs=3, max_rows=3000, batch=512)
SMALL_FLOW = FlowConfig(steps=(2, 2, 2), hidden=24)


@pytest.fixture(scope="module")
def market() -> tuple[Panel, Split]:
    panel = make_market(SynthSpec(bars=3000)).panel
    return panel, make_split(3000, embargo=60)


@pytest.fixture(scope="module")
def gate(market: tuple[Panel, Split]) -> RegimeGate:
    return fit_gate(loop_panel(*market), market[1], SMALL, SMALL_FLOW)


def test_the_gate_never_sees_the_holdout(market: tuple[Panel, Split]) -> None:
    with pytest.raises(ValueError, match="holdout"):
        fit_gate(market[0], market[1], SMALL)


def test_exposures_do_not_change_when_bars_are_added(market: tuple[Panel, Split], gate: RegimeGate) -> None:
    whole = gate.exposures(market[0])
    for cut in (700, 1501):
        np.testing.assert_allclose(gate.exposures(market[0].rows(0, cut)), whole[:cut], atol=1e-5)
    assert ((whole >= 0) & (whole <= 1)).all()
    assert (whole[:20] == 0).all()


def test_threshold_is_the_percentile_of_validation(market: tuple[Panel, Split], gate: RegimeGate) -> None:
    panel, split = market
    likelihood = gate.log_likelihood(panel)[split.validation]
    assert np.mean(likelihood < gate.threshold) == pytest.approx(0.05, abs=0.002)
    assert gate.coverage == pytest.approx(0.05, abs=0.02)


def test_crashes_shut_the_gate(market: tuple[Panel, Split]) -> None:
    _, split = market
    # Crashes rarer than the percentile: a threshold cannot shut out more of validation than its level.
    made = make_market(SynthSpec(bars=3000, crashes=2, crash_bars=18))
    panel, crash = made.panel, made.crash
    exposures = fit_gate(loop_panel(panel, split), split, dataclasses.replace(SMALL, epochs=8), SMALL_FLOW).exposures(
        panel
    )
    assert exposures[crash].mean() < 0.5 * exposures[~crash][20:].mean()


def test_a_stored_gate_is_the_same_gate(tmp_path: Path, market: tuple[Panel, Split], gate: RegimeGate) -> None:
    path = tmp_path / "g.pt"
    save_gate(gate, path)
    again = load_gate(path)
    np.testing.assert_array_equal(again.log_likelihood(market[0]), gate.log_likelihood(market[0]))
    assert again.summary() == gate.summary()
    assert again.model.initialized


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut"])
def test_a_damaged_gate_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "g.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match="gate"):
        load_gate(path)


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


def test_no_feature_is_a_copy_of_others(market: tuple[Panel, Split]) -> None:
    panel, split = market
    features = build_features(panel)
    rows = known_rows(prepared(features, fit_standardiser(features[split.train]), panel)[split.train])
    inverse = np.linalg.inv(np.corrcoef(rows.T))
    assert (1 - 1 / np.diag(inverse)).max() < 0.97
    assert np.linalg.eigvalsh(np.corrcoef(rows.T))[0] > 0.01
    assert np.abs(rows).max() <= 5 + DEQUANTISE


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
    x[:, 2] += 0.1 * rng.normal(size=3000)
    assert 2 in inspect_features(x, tuple("abcdef")).kept
    with pytest.raises(InputError, match="fewer than two"):
        inspect_features(x[:, [3, 5]], ("constant", "unknown"))


def test_a_copy_makes_a_likelihood_without_bound_and_a_treated_one_has_one() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(6000, 4))
    copied = np.column_stack([x, x[:, 0]])
    config = TrainConfig(epochs=15, max_rows=5000, batch=512, noise=0.0)
    flow = FlowConfig(dim=5, steps=(4,), hidden=16)
    wild = train(copied[:5000], copied[5000:], config, flow).nll_validation
    kept = inspect_features(copied, tuple("abcde")).kept
    tame = train(copied[:5000][:, kept], copied[5000:][:, kept], config, dataclasses.replace(flow, dim=len(kept)))
    entropy = 0.5 * 4 * (1 + math.log(2 * math.pi))
    assert wild < entropy - 1.0
    assert tame.nll_validation == pytest.approx(entropy, abs=0.15)


def test_a_gate_says_what_it_left_out_and_knows_its_features_again(tmp_path: Path, market: tuple[Panel, Split]) -> None:
    features = (*STATE_FEATURES[:6], Feature("again", "ts_sum(returns, 5) * 3"), Feature("day", "sign(close)"))
    gate = fit_gate(loop_panel(*market), market[1], SMALL, SMALL_FLOW, features=features)
    assert gate.features == features[:6]
    said = " ".join(gate.notes)
    assert "again is left out" in said
    assert "day is left out: it is constant" in said
    assert "cannot be halved 2 times" in said
    assert gate.model.dim == 6
    save_gate(gate, tmp_path / "g.npz")
    again = load_gate(tmp_path / "g.npz")
    assert again.features == gate.features
    np.testing.assert_array_equal(again.exposures(market[0]), gate.exposures(market[0]))


def test_a_feature_that_cannot_be_read_is_named(market: tuple[Panel, Split]) -> None:
    with pytest.raises(InputError, match="the feature odd"):
        build_features(market[0], (Feature("odd", "ts_meen(close, 5)"),))


def test_a_coin_with_few_bars_cannot_train_a_gate() -> None:
    panel = make_market(SynthSpec(assets=1, bars=400)).panel
    split = make_split(400, embargo=5, fractions=(0.6, 0.2, 0.2))
    with pytest.raises(InputError, match="too few market states"):
        fit_gate(loop_panel(panel, split), split, SMALL)


def test_flows_fit_their_features() -> None:
    assert fitting(FlowConfig(steps=(12, 2, 2)), 16)[0].steps == (12, 2, 2)
    flow, notes = fitting(FlowConfig(steps=(12, 2, 2)), 13)
    assert (flow.dim, flow.steps, len(notes)) == (13, (16,), 1)


def test_a_gate_of_both_sides_shuts_on_the_all_too_likely_as_well(tmp_path: Path, market: tuple[Panel, Split]) -> None:
    panel, split = market
    gate = fit_gate(loop_panel(panel, split), split, SMALL, SMALL_FLOW, side="both", percentile=10.0)
    likelihood = gate.log_likelihood(panel)
    inside = likelihood[split.validation]
    inside = inside[np.isfinite(inside)]
    assert np.mean(inside < gate.threshold) == pytest.approx(0.05, abs=0.003)
    assert np.mean(inside > gate.ceiling) == pytest.approx(0.05, abs=0.003)
    assert gate.validation_shut == pytest.approx(0.10, abs=0.005)
    exposures = gate.exposures(panel)
    assert (exposures[likelihood > gate.ceiling] == 0).all()
    assert (exposures[likelihood < gate.threshold] == 0).all()
    between = (likelihood > gate.full) & (likelihood < gate.ceiling_full)
    assert (exposures[between] == 1).all()
    save_gate(gate, tmp_path / "g.npz")
    np.testing.assert_array_equal(load_gate(tmp_path / "g.npz").exposures(panel), exposures)


def test_hysteresis_trades_less_and_never_looks_ahead(market: tuple[Panel, Split], gate: RegimeGate) -> None:
    panel = market[0]
    steady = dataclasses.replace(gate, hysteresis=0.4)
    plain, held = gate.exposures(panel), steady.exposures(panel)
    assert np.abs(np.diff(held, axis=0)).sum() < np.abs(np.diff(plain, axis=0)).sum()
    assert np.abs(held - plain).max() <= 0.4
    assert (held[plain == 0] == 0).all()
    assert (held[plain == 1] == 1).all()
    np.testing.assert_allclose(steady.exposures(panel.rows(0, 900)), held[:900], atol=1e-5)
    np.testing.assert_array_equal(steadied(plain, 0.0), plain)
