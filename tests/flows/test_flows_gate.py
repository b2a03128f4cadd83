"""The gate: states, what is wrong with features, thresholds, storage, and nothing of the holdout."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from factors.features import STATE_FEATURES, Feature
from flows.checkpoint import load_gate, save_gate
from flows.density import fitting, state_likelihood
from flows.ensemble import ensemble_sample
from flows.exposure import calibrate, steadied
from flows.fit_rules import FlowConfig, GateRules, Measure, TrainConfig
from flows.flow_model import MarketFlow
from flows.gate import GatePlan, RegimeGate, check_features, fit_gate, twin_exposures
from flows.reference import Conditioning, measured
from flows.state import build_features, fit_standardiser, known_rows, prepared
from market.errors import InputError
from market.panel import Panel
from market.split import Split, loop_panel, make_split
from market.synthetic.demo_market import SynthSpec, make_market

SMALL = TrainConfig(epochs=3, max_rows=3000, batch=512)
SMALL_FLOW = FlowConfig(steps=(2, 2, 2), hidden=24)
LIKELIHOOD = GateRules(measure="likelihood")
PLAN = GatePlan(LIKELIHOOD, SMALL_FLOW, SMALL)
# Where what a flow has learned is not what is tested.
BRIEF = GatePlan(LIKELIHOOD, FlowConfig(steps=(1, 1, 1), hidden=8), dataclasses.replace(SMALL, epochs=1))


@pytest.fixture(scope="module")
def market() -> tuple[Panel, Split]:
    # Six assets: every fit reads the likelihood of each state that there is.
    panel = make_market(SynthSpec(bars=3000, assets=6)).panel
    return panel, make_split(3000, embargo=60)


@pytest.fixture(scope="module")
def gate(market: tuple[Panel, Split]) -> RegimeGate:
    return fit_gate(loop_panel(*market), market[1], PLAN)


def test_the_gate_never_sees_the_holdout(market: tuple[Panel, Split]) -> None:
    with pytest.raises(ValueError, match="holdout"):
        fit_gate(market[0], market[1], PLAN)


def test_exposures_do_not_change_when_bars_are_added(market: tuple[Panel, Split], gate: RegimeGate) -> None:
    whole = gate.exposures(market[0])
    for cut in (700, 1501):
        np.testing.assert_allclose(gate.exposures(market[0].rows(0, cut)), whole[:cut], atol=1e-5)
    assert ((whole >= 0) & (whole <= 1)).all()
    assert (whole[:20] == 0).all()


def test_threshold_is_the_percentile_of_validation(market: tuple[Panel, Split], gate: RegimeGate) -> None:
    panel, split = market
    likelihood = gate.log_likelihood(panel)[split.validation]
    assert np.mean(likelihood < gate.latest.thresholds.threshold) == pytest.approx(0.05, abs=0.002)
    assert gate.latest.thresholds.coverage == pytest.approx(0.05, abs=0.02)


def test_crashes_shut_the_gate(market: tuple[Panel, Split]) -> None:
    _, split = market
    # Crashes rarer than the percentile: a threshold cannot shut out more of validation than its level.
    made = make_market(SynthSpec(bars=3000, crashes=2, crash_bars=18))
    panel, crash = made.panel, made.crash
    plan = dataclasses.replace(PLAN, config=dataclasses.replace(SMALL, epochs=8))
    exposures = fit_gate(loop_panel(panel, split), split, plan).exposures(panel)
    assert exposures[crash].mean() < 0.5 * exposures[~crash][20:].mean()


def test_a_stored_gate_is_the_same_gate(tmp_path: Path, market: tuple[Panel, Split], gate: RegimeGate) -> None:
    path = tmp_path / "g.pt"
    save_gate(gate, path)
    again = load_gate(path)
    np.testing.assert_array_equal(again.log_likelihood(market[0]), gate.log_likelihood(market[0]))
    assert again.summary() == gate.summary()
    assert again.density.flow.initialized


def test_a_gate_whose_states_were_clipped_is_refused_by_name() -> None:
    path = Path(__file__).with_name("gate_of_version_4.npz")
    with pytest.raises(InputError, match="earlier version of alphaglow, whose states had no tails") as refused:
        load_gate(path)
    assert "alphaglow flow fit" in str(refused.value.hint)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut"])
def test_a_damaged_gate_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "g.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match="gate"):
        load_gate(path)


def test_no_feature_is_a_copy_of_others(market: tuple[Panel, Split]) -> None:
    panel, split = market
    features = build_features(panel)
    rows = known_rows(prepared(features, fit_standardiser(features[split.train]), panel)[split.train])
    inverse = np.linalg.inv(np.corrcoef(rows.T))
    assert (1 - 1 / np.diag(inverse)).max() < 0.97
    assert np.linalg.eigvalsh(np.corrcoef(rows.T))[0] > 0.01


def test_a_gate_says_what_it_left_out_and_knows_its_features_again(tmp_path: Path, market: tuple[Panel, Split]) -> None:
    features = (*STATE_FEATURES[:6], Feature("again", "ts_sum(returns, 5) * 3"), Feature("day", "sign(close)"))
    gate = fit_gate(loop_panel(*market), market[1], dataclasses.replace(BRIEF, features=features))
    assert gate.density.features == features[:6]
    said = " ".join(gate.density.notes)
    assert "again is left out" in said
    assert "day is left out: it is constant" in said
    assert "cannot be halved 2 times" in said
    assert gate.density.flow.dim == 6
    save_gate(gate, tmp_path / "g.npz")
    again = load_gate(tmp_path / "g.npz")
    assert again.density.features == gate.density.features
    check_features(again, features)
    for others in (STATE_FEATURES, features[::-1]):
        with pytest.raises(InputError, match="other features"):
            check_features(again, others)
    np.testing.assert_array_equal(again.exposures(market[0]), gate.exposures(market[0]))


def test_a_coin_that_was_never_seen_is_judged_and_named(market: tuple[Panel, Split], gate: RegimeGate) -> None:
    stranger = dataclasses.replace(market[0], assets=("NEW", *market[0].assets[1:]))
    assert gate.density.unseen(stranger) == ("NEW",)
    assert gate.density.unseen(market[0]) == ()
    likelihood = gate.density.likelihood(gate.density.states(stranger)[500:700])
    assert np.isfinite(likelihood).all()


def test_a_feature_that_cannot_be_read_is_named(market: tuple[Panel, Split]) -> None:
    with pytest.raises(InputError, match="the feature odd"):
        build_features(market[0], (Feature("odd", "ts_meen(close, 5)"),))


def test_a_coin_with_few_bars_cannot_train_a_gate() -> None:
    panel = make_market(SynthSpec(assets=1, bars=400)).panel
    split = make_split(400, embargo=5, fractions=(0.6, 0.2, 0.2))
    with pytest.raises(InputError, match="too few market states"):
        fit_gate(loop_panel(panel, split), split, PLAN)


def test_flows_fit_their_features() -> None:
    many = 40_000
    assert fitting(FlowConfig(steps=(12, 2, 2)), TrainConfig(), 16, many)[0].steps == (12, 2, 2)
    flow, config, notes = fitting(FlowConfig(steps=(12, 2, 2)), TrainConfig(), 13, many)
    assert (flow.dim, flow.steps, config, len(notes)) == (13, (16,), TrainConfig(), 1)


def test_a_flow_is_no_larger_than_its_data_carry() -> None:
    flow, config, notes = fitting(FlowConfig(), TrainConfig(), 16, 2000)
    size = sum(p.numel() for p in MarketFlow(flow).parameters())
    assert size <= 0.25 * 2000 * 16
    assert config.batch == 500
    assert "2000 states are few" in notes[0]
    with pytest.raises(InputError, match="500 are the least"):
        fitting(FlowConfig(), TrainConfig(), 16, 499)
    with pytest.raises(InputError, match="smallest flow has"):
        fitting(FlowConfig(), TrainConfig(), 64, 510)


def test_a_gate_of_both_sides_shuts_on_the_all_too_likely_as_well(tmp_path: Path, market: tuple[Panel, Split]) -> None:
    panel, split = market
    plan = dataclasses.replace(BRIEF, rules=dataclasses.replace(LIKELIHOOD, side="both", percentile=10.0))
    gate = fit_gate(loop_panel(panel, split), split, plan)
    thresholds = gate.latest.thresholds
    likelihood = gate.log_likelihood(panel)
    inside = likelihood[split.validation]
    inside = inside[np.isfinite(inside)]
    assert np.mean(inside < thresholds.threshold) == pytest.approx(0.05, abs=0.003)
    assert np.mean(inside > thresholds.ceiling) == pytest.approx(0.05, abs=0.003)
    assert gate.latest.calibration_shut == pytest.approx(0.10, abs=0.005)
    exposures = gate.exposures(panel)
    assert (exposures[likelihood > thresholds.ceiling] == 0).all()
    assert (exposures[likelihood < thresholds.threshold] == 0).all()
    between = (likelihood > thresholds.full) & (likelihood < thresholds.ceiling_full)
    assert (exposures[between] == 1).all()
    save_gate(gate, tmp_path / "g.npz")
    np.testing.assert_array_equal(load_gate(tmp_path / "g.npz").exposures(panel), exposures)


def test_hysteresis_trades_less_and_never_looks_ahead(market: tuple[Panel, Split], gate: RegimeGate) -> None:
    panel = market[0]
    steady = dataclasses.replace(gate, rules=dataclasses.replace(gate.rules, hysteresis=0.4))
    plain, steadier = gate.exposures(panel), steady.exposures(panel)
    wobbling = np.clip(0.5 + 0.1 * np.random.default_rng(0).normal(size=(500, 3)), 0.05, 0.95)
    assert np.abs(np.diff(steadied(wobbling, 0.4), axis=0)).sum() < 0.1 * np.abs(np.diff(wobbling, axis=0)).sum()
    assert np.abs(steadier - plain).max() <= 0.4
    assert (steadier[plain == 0] == 0).all()
    assert (steadier[plain == 1] == 1).all()
    np.testing.assert_allclose(steady.exposures(panel.rows(0, 900)), steadier[:900], atol=1e-5)
    np.testing.assert_array_equal(steadied(plain, 0.0), plain)


def test_refits_are_dated_and_never_see_later_bars(tmp_path: Path, market: tuple[Panel, Split]) -> None:
    panel, split = market
    loop = loop_panel(panel, split)
    gate = fit_gate(loop, split, dataclasses.replace(BRIEF, refit_bars=600))
    assert len(gate.fits) == 3
    exposures, thresholds = gate.exposures(loop), gate.thresholds(loop)
    first = int(np.searchsorted(loop.times, gate.fits[0].since))
    assert (exposures[:first] == 1).all()
    assert np.isnan(thresholds[:first]).all()
    for fit in gate.fits:
        assert fit.since is not None
        assert fit.calibrated[1] < fit.since
        assert fit.trained[1] < fit.calibrated[0]
    # What comes after the second date is rewritten: nothing before the third date's bars changes.
    rng = np.random.default_rng(0)
    cut = int(np.searchsorted(loop.times, gate.fits[1].since))
    fields = {name: values.copy() for name, values in loop.fields.items()}
    for values in fields.values():
        values[cut:] *= np.exp(rng.normal(scale=0.3, size=values[cut:].shape))
    other = fit_gate(loop.with_fields(fields), split, dataclasses.replace(BRIEF, refit_bars=600))
    np.testing.assert_array_equal(other.exposures(loop.with_fields(fields))[:cut], exposures[:cut])
    assert other.fits[1].thresholds == gate.fits[1].thresholds
    assert other.fits[2].thresholds != gate.fits[2].thresholds
    save_gate(gate, tmp_path / "g.npz")
    np.testing.assert_array_equal(load_gate(tmp_path / "g.npz").exposures(loop), exposures)


def test_an_ensemble_is_a_density_again(tmp_path: Path, market: tuple[Panel, Split]) -> None:
    loop = loop_panel(*market)
    gate = fit_gate(loop, market[1], dataclasses.replace(BRIEF, members=3))
    states = gate.density.states(loop)[200:260]
    each = np.stack([np.exp(state_likelihood((member,), states)) for member in gate.density.members])
    stretched = np.exp(gate.density.standardiser.tails.log_slope(states))
    np.testing.assert_allclose(np.exp(gate.density.likelihood(states)), each.mean(axis=0) * stretched, rtol=1e-4)
    assert np.abs(each[0] / each[1] - 1).max() > 0.01
    drawn = ensemble_sample(gate.density.members, 500, torch.Generator().manual_seed(1))
    assert drawn.shape == (500, 16)
    save_gate(gate, tmp_path / "g.npz")
    np.testing.assert_array_equal(
        load_gate(tmp_path / "g.npz").density.likelihood(states), gate.density.likelihood(states)
    )


@pytest.mark.parametrize("measure", ["given_volatility", "over_gaussian"])
def test_what_a_gate_judges_may_be_more_than_likelihood(
    tmp_path: Path, market: tuple[Panel, Split], measure: Measure
) -> None:
    panel, split = market
    loop = loop_panel(panel, split)
    plan = dataclasses.replace(BRIEF, rules=GateRules(measure=measure))
    gate = fit_gate(loop, split, plan)
    judged = gate.log_likelihood(loop)[split.validation]
    assert np.mean(judged[np.isfinite(judged)] < gate.latest.thresholds.threshold) == pytest.approx(0.05, abs=0.003)
    states = gate.density.states(loop)
    if measure == "over_gaussian":
        mean, covariance = known_rows(states[split.train]).mean(axis=0), np.cov(known_rows(states[split.train]).T)
        known = multivariate_normal(mean, covariance).logpdf(states[1500, 0])
    else:
        assert isinstance(gate.latest.reference, Conditioning)
        columns = [gate.density.names.index(name) for name in ("volatility_5", "volatility_20", "atr_norm")]
        assert gate.latest.reference.columns == tuple(columns)
        known = state_likelihood((gate.latest.reference.flow,), states[1500, :1, columns].T)[0]
    expected = gate.density.likelihood(states[1500, 0]) - known
    assert measured(gate.density, gate.latest.reference, states)[1500, 0] == pytest.approx(expected, abs=1e-4)
    save_gate(gate, tmp_path / "g.npz")
    np.testing.assert_array_equal(load_gate(tmp_path / "g.npz").exposures(loop), gate.exposures(loop))


def test_volatility_is_given_only_where_it_is_in_the_state(market: tuple[Panel, Split]) -> None:
    plan = dataclasses.replace(PLAN, rules=GateRules(measure="given_volatility"), features=STATE_FEATURES[:4])
    with pytest.raises(InputError, match="given_volatility needs two"):
        fit_gate(loop_panel(*market), market[1], plan)


def test_a_gate_of_the_market_has_one_exposure(market: tuple[Panel, Split]) -> None:
    loop = loop_panel(*market)
    gate = fit_gate(loop, market[1], dataclasses.replace(BRIEF, rules=LIKELIHOOD))
    exposures = gate.exposures(loop)[30:]
    assert np.ptp(exposures, axis=1).max() == 0
    assert gate.latest.calibration_shut == pytest.approx(0.05, abs=0.003)


def test_a_twin_of_the_same_score_is_the_gate(market: tuple[Panel, Split], gate: RegimeGate) -> None:
    loop = loop_panel(*market)
    states = gate.density.states(loop)
    twins = twin_exposures(
        gate, loop, lambda fit, rows: {"same": fit.density.likelihood(states[rows])}, {"same": gate.rules}
    )
    np.testing.assert_allclose(twins["same"], gate.exposures(loop), atol=1e-5)


def test_drift_is_said_when_the_market_leaves_its_band(market: tuple[Panel, Split], gate: RegimeGate) -> None:
    panel, split = market
    quiet = gate.log_likelihood(panel)
    assert gate.drift(panel.rows(0, split.validation.stop), quiet[: split.validation.stop], 400) is None
    strange = quiet.copy()
    strange[-200:] -= 40.0
    said = gate.drift(panel, strange, 200)
    assert said is not None
    assert "the gate is shut in 100.0%" in said
    assert "alphaglow flow fit" in said


def test_a_block_bootstrap_knows_that_hours_are_not_independent() -> None:
    rng = np.random.default_rng(3)
    days = np.repeat(rng.normal(size=120), 24)[:, None]
    independent = rng.normal(size=(2880, 1))
    wide, narrow = (calibrate(x, LIKELIHOOD, np.random.default_rng(1)) for x in (days, independent))
    assert narrow.interval[0] < narrow.threshold < narrow.interval[1]
    assert np.diff(wide.interval)[0] > 3 * np.diff(narrow.interval)[0]
    assert wide.band(168, rng)[1] > 2 * narrow.band(168, rng)[1]
    assert narrow.coverage == pytest.approx(0.05, abs=0.01)


def test_coverage_on_independent_halves_is_nominal(market: tuple[Panel, Split], gate: RegimeGate) -> None:
    likelihood = gate.log_likelihood(market[0])[market[1].validation]
    for percentile in (2.0, 5.0, 20.0):
        rules = dataclasses.replace(LIKELIHOOD, percentile=percentile)
        found = [calibrate(likelihood, rules, np.random.default_rng(seed)).coverage for seed in range(5)]
        np.testing.assert_allclose(found, percentile / 100, atol=0.01)
