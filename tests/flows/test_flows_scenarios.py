"""Scenarios, the latent direction and planted anomalies: what they promise, and against what is known."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from flows.density import DensityPlan, StateDensity, fit_density
from flows.direction import confidence, fit_direction, positions
from flows.exposure import Thresholds
from flows.fit_rules import FlowConfig, TrainConfig
from flows.planted_anomalies import WINDOW, auroc, noticed, plant_anomalies, two_sided
from flows.portfolio import past_dates, portfolio_scenarios
from flows.reference import fit_gaussian
from flows.scenarios import (
    Library,
    correlation_gap,
    draw_paths,
    draw_states,
    moments,
    successors,
)
from flows.state import known_rows
from market.errors import InputError
from market.panel import Panel
from market.synthetic.demo_market import SynthSpec, make_market


@pytest.fixture(scope="module")
def panel() -> Panel:
    return make_market(SynthSpec(bars=3000)).panel


@pytest.fixture(scope="module")
def density(panel: Panel) -> StateDensity:
    config = TrainConfig(epochs=8, max_rows=24_000, batch=512)
    return fit_density(panel, slice(0, 2000), slice(2100, 3000), DensityPlan(config, FlowConfig(steps=(6,), hidden=32)))


def test_draws_are_like_history_in_its_units(panel: Panel, density: StateDensity) -> None:
    drawn = draw_states(density, 4000, seed=1)
    history = density.standardiser.invert(known_rows(density.states(panel)[:2000]))
    assert drawn.states.shape == (4000, 16)
    np.testing.assert_allclose(drawn.states.mean(axis=0), history.mean(axis=0), atol=0.15 * history.std(axis=0).max())
    # Deviations hang on the few largest moves: the middle four fifths do not.
    ranges = [np.diff(np.percentile(x, [10, 90], axis=0), axis=0)[0] for x in (drawn.states, history)]
    np.testing.assert_allclose(ranges[0] / ranges[1], 1.0, atol=0.15)
    assert correlation_gap(history, drawn.states)[0] < 0.08
    # A shadow is never below 0, and a position in a range never outside it.
    shadow, place = (density.names.index(name) for name in ("upper_shadow", "price_position"))
    assert drawn.states[:, shadow].min() >= 0.0
    assert np.ptp(drawn.states[:, place]) <= 1.0
    np.testing.assert_array_equal(draw_states(density, 4000, seed=1).states, drawn.states)


def test_the_worst_loss_grows_with_temperature_and_never_exceeds_all(panel: Panel, density: StateDensity) -> None:
    history = density.standardiser.invert(known_rows(density.states(panel)[:2000]))[:, 0]
    drawn = {heat: draw_states(density, 8000, 3, heat).states[:, 0] for heat in (1.0, 1.25, 1.5, 2.0)}
    rare = {heat: np.quantile(returns, 0.001) for heat, returns in drawn.items()}
    assert 0.5 < rare[1.0] / np.quantile(history, 0.001) < 2.0
    for worst in (rare, {heat: np.sort(returns)[:20].mean() for heat, returns in drawn.items()}):
        assert worst[1.0] > worst[1.25] > worst[1.5] > worst[2.0] > -1.0
    cool = draw_states(density, 2000, 3, 0.5).states
    assert (cool.std(axis=0) < draw_states(density, 2000, 3, 1.3).states.std(axis=0)).all()
    with pytest.raises(InputError, match="within what the tails allow"):
        draw_states(density, 500, 3, 1e4)
    with pytest.raises(InputError, match="above 0"):
        draw_states(density, 500, 3, 0.0)


def test_a_trained_flow_comes_back_exactly_far_beyond_the_data(panel: Panel, density: StateDensity) -> None:
    rows = torch.from_numpy(8.0 * known_rows(density.states(panel)[:800]))
    latents = 3.0 * torch.randn(4000, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for dtype, most in ((torch.float32, 1e-3), (torch.float64, 1e-9)):
        model = copy.deepcopy(density.flow).to(dtype).eval()
        with torch.no_grad():
            drawn = model.decode(latents.to(dtype))
            for x in (rows.to(dtype), drawn):
                assert float((model.decode(model.encode(x)[0]) - x).abs().max()) <= most
        assert float(drawn.abs().max()) < 60.0


def test_paths_go_on_from_states_like_the_one_they_begin_from(panel: Panel, density: StateDensity) -> None:
    states = density.states(panel)
    latents = density.latents(states[:2000])
    past = successors(latents, 5000, np.random.default_rng(0))
    column = density.names.index("volatility_20")
    wild = np.argsort(states[1000:2000, 0, column])
    spread = {}
    for name, row in (("calm", 1000 + int(wild[30])), ("wild", 1000 + int(wild[-30]))):
        drawn = draw_paths(
            density,
            past,
            latents[row, 0],
            paths=300,
            steps=4,
            neighbours=40,
            temperature=1.0,
            rng=np.random.default_rng(1),
        )
        assert drawn.states.shape == (300, 4, 16)
        assert np.isfinite(drawn.states).all()
        spread[name] = drawn.states[:, :, 0].std()
    assert spread["wild"] > 1.5 * spread["calm"]
    with pytest.raises(InputError, match="states have a next one"):
        successors(latents[:24], 100, np.random.default_rng(0))


def test_decoding_undoes_encoding(panel: Panel, density: StateDensity) -> None:
    states = density.states(panel)[500:900]
    np.testing.assert_allclose(density.decoded(density.latents(states)), states, atol=1e-4)
    states[3, 2, 5] = np.nan
    assert np.isnan(density.latents(states)[3, 2]).all()


def test_the_library_finds_the_nearest() -> None:
    rng = np.random.default_rng(0)
    points, queries = rng.normal(size=(900, 5)), rng.normal(size=(70, 5))
    found = np.sort(Library(points).nearest(queries, 12), axis=1)
    expected = NearestNeighbors(n_neighbors=12).fit(points).kneighbors(queries, return_distance=False)
    np.testing.assert_array_equal(found, np.sort(expected, axis=1))


def test_portfolio_scenarios_by_hand() -> None:
    rng = np.random.default_rng(0)
    market = rng.normal(size=(400, 2))
    returns, volatility = 0.01 * rng.normal(size=(400, 3)), np.full((400, 3), 0.01)
    returns[:, 2] = np.nan
    past = past_dates(market, returns, volatility)
    weights, now = np.array([[0.5, -0.2, 1.0]]), np.array([[0.02, 0.01, 0.03]])
    found = portfolio_scenarios(past, market[:1], weights, now, None)[0]
    shocks = returns[1:] / 0.01
    absent = shocks[:, :2].mean(axis=1)
    expected = 0.5 * 0.02 * shocks[:, 0] - 0.2 * 0.01 * shocks[:, 1] + 0.03 * absent
    np.testing.assert_allclose(found, expected)
    near = portfolio_scenarios(past, market[50:51], weights, now, 1)[0]
    np.testing.assert_allclose(near, expected[50:51])
    with pytest.raises(InputError, match="past dates"):
        past_dates(market[:100], returns[:100], volatility[:100])


def test_moments_are_the_usual_ones() -> None:
    x = np.random.default_rng(0).standard_normal(20_000)
    found = moments(x)
    assert found.mean == pytest.approx(0, abs=0.03)
    assert found.kurtosis == pytest.approx(0, abs=0.1)
    assert found.low == pytest.approx(-2.326, abs=0.08)


def test_a_planted_direction_is_found_and_points_up() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(4000, 8))
    truth = np.array([0, 0.8, 0, -0.6, 0, 0, 0, 0])
    returns = 0.1 * (z @ truth) + rng.standard_t(4, size=4000)
    fitted = fit_direction(z, returns)
    assert abs(fitted.vector @ truth) > 0.8
    assert fitted.vector @ truth > 0
    assert fitted.project(z).std() == pytest.approx(1.0)
    first = fit_direction(z, -z[:, 0] + rng.normal(size=4000), "first")
    assert first.vector[0] == -1.0
    assert first.correlation > 0.5
    with pytest.raises(InputError, match="499 states"):
        fit_direction(z[:499], returns[:499])


def test_no_trade_where_a_state_is_unusual_or_points_nowhere() -> None:
    thresholds = Thresholds(-10.0, -8.0, np.inf, np.inf, (0.0, 0.0), 0.05, (), 1)
    likelihood = np.array([-12.0, -10.0, -7.0, -4.0, 0.0, np.nan])
    sure = confidence(likelihood, thresholds, usual=-4.0)
    np.testing.assert_allclose(sure, [0, 0, 0.5, 1, 1, 0])
    along = np.array([2.0, 2.0, -0.6, 0.4, 0.7, 3.0])
    np.testing.assert_allclose(positions(along, sure), [0, 0, -0.5, 0, 1, 0])
    assert positions(np.array([np.nan]), np.array([1.0]))[0] == 0


def test_planted_anomalies_are_noticed_and_ordinary_bars_are_not(panel: Panel, density: StateDensity) -> None:
    planted = plant_anomalies(density, panel, slice(2100, 3000), 200, np.random.default_rng(0))
    assert [p.kind for p in planted] == [
        "crash bar",
        "volatility shift",
        "dead market",
        "broken feed",
        "broken feature",
        "shuffled joint",
        "sign flip",
    ]
    for anomaly in planted:
        assert anomaly.ordinary.shape == anomaly.altered.shape == (len(anomaly.ordinary), WINDOW, 16)
        assert np.isfinite(anomaly.altered).all()
    crash = planted[0]
    np.testing.assert_array_equal(crash.ordinary[:, :-1], crash.altered[:, :-1])
    assert (crash.altered[:, -1, 0] < crash.ordinary[:, -1, 0]).mean() > 0.95
    calibration = known_rows(density.states(panel)[2100:3000])
    gaussian = fit_gaussian(known_rows(density.states(panel)[:2000]))
    scores = {
        "flow": lambda x: -density.likelihood(x),
        "gaussian": lambda x: -gaussian.log_prob(x),
        "both": two_sided(density.likelihood, density.likelihood(calibration)),
        "blind": lambda x: np.zeros(len(x)),
    }
    found = {(n.score, n.kind): n for n in noticed(planted, scores)}
    assert all(found["blind", p.kind].single == 0.5 for p in planted)
    for kind in ("shuffled joint", "sign flip"):
        assert found["flow", kind].single > 0.85
    # The simulated market has crashes of its own among its ordinary bars.
    assert found["flow", "crash bar"].single > 0.7
    assert found["flow", "sign flip"].window > 0.95
    assert np.isnan(found["flow", "crash bar"].window)
    same = [replace(p, altered=p.ordinary) for p in planted]
    assert all(n.single == 0.5 for n in noticed(same, {"flow": scores["flow"]}))
    with pytest.raises(InputError, match="200 bars in a row"):
        plant_anomalies(density, panel.rows(0, 150), slice(0, 150), 50, np.random.default_rng(0))


def test_auroc_is_the_librarys() -> None:
    rng = np.random.default_rng(2)
    one, other = rng.integers(20, size=150).astype(float), rng.integers(5, 25, size=90).astype(float)
    truth = np.repeat([0, 1], [150, 90])
    assert auroc(one, other) == pytest.approx(roc_auc_score(truth, np.concatenate([one, other])))
