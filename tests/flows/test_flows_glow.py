"""GLOW as mathematics: inverse, Jacobian, likelihood, initialisation, training, storage."""

from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from flows import transforms
from flows.checkpoint import load_gate, save_gate
from flows.gate import RegimeGate, fit_gate, smoothed
from flows.glow import ActNorm, AffineCoupling, Glow, InvertibleLinear, Step
from flows.state import DEQUANTISE, build_features, dequantise, fit_standardiser, known_rows, prepared
from flows.train import TrainConfig, bits_per_dim, log_likelihood, train
from market.errors import InputError
from market.panel import Panel
from market.split import Split, loop_panel, make_split
from market.synth import SynthSpec, make_market

SMALL = TrainConfig(flow_steps=2, hidden=24, epochs=3, max_rows=3000)


def shaken(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Move every parameter off its initial value, so that no step is the identity."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.04 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
        for module in model.modules():
            if isinstance(module, ActNorm):
                module.initialized.fill_(True)
    return model.eval()


def states(n: int, dim: int = 16, seed: int = 1) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def parts() -> list[torch.nn.Module]:
    generator = torch.Generator().manual_seed(3)
    return [ActNorm(6), InvertibleLinear(6, generator), AffineCoupling(6, 12, generator), Step(6, 12, generator)]


@pytest.mark.parametrize("part", parts(), ids=lambda part: type(part).__name__)
def test_each_step_has_its_inverse_and_the_determinant_of_its_jacobian(part: torch.nn.Module) -> None:
    part = shaken(part).double()
    x = states(5, 6).double()
    y, log_det = part(x)
    assert (part.inverse(y) - x).abs().max() < 1e-10  # type: ignore[operator]
    for row in range(5):
        jacobian = torch.autograd.functional.jacobian(lambda v: part(v[None])[0][0], x[row])
        assert float(log_det[row].detach()) == pytest.approx(float(torch.linalg.slogdet(jacobian).logabsdet), abs=1e-10)


def test_whole_flow_log_det_equals_autograd_in_float64() -> None:
    model = shaken(Glow(seed=2)).double()
    x = states(6).double()
    z, log_det = model.encode(x)  # type: ignore[operator]
    assert z.shape == x.shape
    for row in range(6):
        jacobian = torch.autograd.functional.jacobian(lambda v: model.encode(v[None])[0][0], x[row])  # type: ignore[operator]
        assert float(log_det[row].detach()) == pytest.approx(float(torch.linalg.slogdet(jacobian).logabsdet), abs=1e-5)


def test_whole_flow_inverts_in_float32() -> None:
    model = shaken(Glow(seed=2))
    x = states(2000) * 2
    with torch.no_grad():
        z, _ = model.encode(x)  # type: ignore[operator]
        assert float((model.decode(z) - x).abs().max()) <= 1e-4  # type: ignore[operator]
        z = states(2000, seed=9)
        back, _ = model.encode(model.decode(z))  # type: ignore[operator]
        assert float((back - z).abs().max()) <= 1e-3


def test_latents_leave_in_eights_and_fours() -> None:
    model = Glow(16, 3)
    assert model.latents == (8, 4, 4)
    with pytest.raises(ValueError, match="halved"):
        Glow(6, 3)


def test_first_level_latents_do_not_depend_on_later_levels() -> None:
    model = shaken(Glow(seed=4))
    x = states(10)
    before, _ = model.encode(x)  # type: ignore[operator]
    with torch.no_grad():
        for parameter in model.levels[2].parameters():  # type: ignore[union-attr,index,operator]
            parameter.mul_(1.5)
    after, _ = model.encode(x)  # type: ignore[operator]
    assert torch.equal(before[:, :12], after[:, :12])
    assert not torch.equal(before[:, 12:], after[:, 12:])


def test_density_integrates_to_one() -> None:
    model = shaken(Glow(2, 1, steps=3, hidden=8, seed=5)).double()
    axis = torch.linspace(-12, 12, 801, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        mass = torch.exp(model.log_prob(grid)).sum() * (axis[1] - axis[0]) ** 2  # type: ignore[operator]
    assert float(mass) == pytest.approx(1.0, abs=2e-3)


def test_log_likelihood_is_per_state_not_per_batch() -> None:
    model = shaken(Glow(seed=6))
    x = states(50)
    with torch.no_grad():
        together = model.log_prob(x)  # type: ignore[operator]
        alone = torch.cat([model.log_prob(row[None]) for row in x])  # type: ignore[operator]
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-5)


def test_scale_of_a_coupling_is_bounded() -> None:
    raw = torch.tensor([-1e9, 0.0, 1e9])
    np.testing.assert_allclose(transforms.bounded(raw, 2.0), [-2, 0, 2], atol=1e-6)


def test_actnorm_starts_from_its_first_batch_and_remembers_that_it_did() -> None:
    part = ActNorm(3).train()
    x = states(500, 3) * torch.tensor([1.0, 5.0, 0.1]) + torch.tensor([3.0, -2.0, 0.0])
    y, _ = part(x)
    torch.testing.assert_close(y.mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std(dim=0), torch.ones(3), atol=1e-3, rtol=0)
    again = ActNorm(3)
    again.load_state_dict(copy.deepcopy(part.state_dict()))
    again.train()
    assert bool(again.initialized)
    torch.testing.assert_close(again(x * 7)[0], part(x * 7)[0])


def test_training_beats_a_gaussian_on_what_no_gaussian_can_say() -> None:
    rng = np.random.default_rng(0)

    def rows(n: int) -> np.ndarray:
        x = rng.normal(size=(n, 16))
        x[:, 1] = x[:, 0] ** 2 - 1 + 0.2 * x[:, 1]
        x[:, 2] *= np.exp(0.8 * x[:, 3])
        return x

    data, held = rows(6000), rows(2000)
    flow = train(data, held, TrainConfig(flow_steps=3, hidden=32, epochs=8))
    mean, cov = data.mean(axis=0), np.cov(data.T)
    gap = held - mean
    gaussian = 0.5 * np.mean(
        np.einsum("ij,jk,ik->i", gap, np.linalg.inv(cov), gap) + np.linalg.slogdet(2 * np.pi * cov)[1]
    )
    assert flow.nll_validation < gaussian - 0.5
    assert flow.bits_per_dim == pytest.approx(flow.nll_validation / 16 / math.log(2))
    assert bits_per_dim(16 * math.log(2), 16) == pytest.approx(1.0)


def test_same_seed_same_model_and_the_best_weights_are_kept() -> None:
    data, held = states(3000).numpy(), states(500, seed=2).numpy()
    # Many steps at a wild rate: validation gets worse after its best epoch.
    config = dataclasses.replace(SMALL, epochs=6, lr=2e-2, patience=6)
    one, two = train(data, held, config), train(data, held, config)
    for left, right in zip(one.model.state_dict().values(), two.model.state_dict().values(), strict=True):
        assert torch.equal(left, right)
    assert one.nll_validation == min(epoch.nll_validation for epoch in one.history)
    now = float(-log_likelihood(one.model, torch.from_numpy(held.astype(np.float32))).mean())
    assert now == pytest.approx(one.nll_validation, abs=1e-6)


def test_training_leaves_global_randomness_alone() -> None:
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    train(states(1000).numpy(), states(200, seed=2).numpy(), dataclasses.replace(SMALL, epochs=1))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.fixture(scope="module")
def market() -> tuple[Panel, Split]:
    panel = make_market(SynthSpec(bars=3000)).panel
    return panel, make_split(3000, embargo=60)


@pytest.fixture(scope="module")
def gate(market: tuple[Panel, Split]) -> RegimeGate:
    return fit_gate(loop_panel(*market), market[1], SMALL)


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
    exposures = fit_gate(loop_panel(panel, split), split, dataclasses.replace(SMALL, epochs=6)).exposures(panel)
    assert exposures[crash].mean() < 0.5 * exposures[~crash][20:].mean()


def test_a_stored_gate_is_the_same_gate(tmp_path: Path, market: tuple[Panel, Split], gate: RegimeGate) -> None:
    path = tmp_path / "g.pt"
    save_gate(gate, path)
    again = load_gate(path)
    np.testing.assert_array_equal(again.log_likelihood(market[0]), gate.log_likelihood(market[0]))
    assert again.summary() == gate.summary()
    assert all(bool(m.initialized) for m in again.model.modules() if isinstance(m, ActNorm))


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
