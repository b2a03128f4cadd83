"""Flows as mathematics: inverse, Jacobian, likelihood, initialisation, training, storage."""

from __future__ import annotations

import copy
import dataclasses
import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from flows import transforms
from flows.fit_rules import FlowConfig, TrainConfig
from flows.flow_model import DIAGONAL_BOUND, MarketFlow, Stack, make_flow
from flows.train import bits_per_dim, log_likelihood, train_flow
from market.errors import InputError

SMALL = TrainConfig(epochs=3, max_rows=3000, batch=512)
SMALL_FLOW = FlowConfig(steps=(2, 2, 2), hidden=24)


def shaken(config: FlowConfig, seed: int = 0) -> MarketFlow:
    """A flow with every parameter off its initial value, so that no step is the identity."""
    model = make_flow(config)
    model.initialize(states(512, config.dim, seed=99))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return model.eval()


def states(n: int, dim: int = 16, seed: int = 1) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


CONFIGS = {
    "glow": FlowConfig(steps=(3, 2, 2), hidden=16),
    "glow, one level": FlowConfig(steps=(4,), hidden=16),
    "glow, conditional prior": FlowConfig(steps=(3, 2, 2), hidden=16, conditional_prior=True),
    "glow, Student's t": FlowConfig(steps=(3, 2), hidden=16, base="student"),
    "glow, mixture": FlowConfig(steps=(3,), hidden=16, base="mixture"),
    "glow, odd width": FlowConfig(dim=5, steps=(3,), hidden=8),
    "realnvp": FlowConfig(kind="realnvp", steps=(4, 2), hidden=16),
    "realnvp without ActNorm": FlowConfig(kind="realnvp", steps=(4, 2), hidden=16, actnorm=False),
    "nsf": FlowConfig(kind="nsf", steps=(2, 2), hidden=16, bins=5),
    "autoregressive": FlowConfig(kind="autoregressive", steps=(3,), hidden=16),
    "autoregressive, mixture alone, odd width": FlowConfig(dim=5, kind="autoregressive", steps=(1,), hidden=8),
}
every_flow = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


@every_flow
def test_log_det_equals_autograd_in_float64(config: FlowConfig) -> None:
    model = shaken(config).double()
    x = states(4, config.dim).double()
    z, log_det = model.encode(x)
    assert z.shape == x.shape
    assert log_det.shape == (4,)
    for row in range(4):
        jacobian = torch.autograd.functional.jacobian(lambda v: model.encode(v[None])[0][0], x[row])
        wanted = float(torch.linalg.slogdet(jacobian).logabsdet)
        assert float(log_det[row].detach()) == pytest.approx(wanted, rel=1e-8, abs=1e-10)


@every_flow
def test_inverts_in_both_directions(config: FlowConfig) -> None:
    model = shaken(config)
    with torch.no_grad():
        drawn = model.sample(500, torch.Generator().manual_seed(3))
        for x in (states(3000, config.dim), drawn):
            back = model.decode(model.encode(x)[0])
            assert torch.isfinite(x).all()
            assert float((back - x).abs().max()) <= 2e-5
        # Fifty deviations out, nothing breaks.
        far = 50 * states(300, config.dim, seed=5)
        assert torch.isfinite(model.log_prob(far)).all()
        exact = model.double()
        z, _ = exact.encode(far.double())
        torch.testing.assert_close(exact.decode(z), far.double(), rtol=1e-6, atol=1e-6)


def test_an_autoregressive_flow_is_exact_where_no_state_has_been() -> None:
    config = FlowConfig(kind="autoregressive", steps=(3,), hidden=16)
    model = shaken(config)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        for flow, bound in ((model, 1e-3), (copy.deepcopy(model).double(), 1e-9)):
            far = (8 * states(300, config.dim)).to(next(flow.parameters()))
            assert float((flow.decode(flow.encode(far)[0]) - far).abs().max()) <= bound
            z = (3 * states(300, config.dim, seed=6)).to(far)
            assert float((flow.encode(flow.decode(z))[0] - z).abs().max()) <= bound
            # Likelihood without the latents is likelihood with them.
            latents, log_det = flow.encode(far)
            torch.testing.assert_close(flow.log_prob(far), flow.base.log_prob(latents) + log_det, rtol=1e-4, atol=1e-2)


def test_an_autoregressive_flow_has_one_level_and_normal_latents() -> None:
    for wrong in (FlowConfig(kind="autoregressive", steps=(2, 2)), FlowConfig(kind="autoregressive", base="student")):
        with pytest.raises(InputError, match="one level and normal latents"):
            make_flow(wrong)


@every_flow
def test_gradients_reach_every_parameter(config: FlowConfig) -> None:
    model = shaken(config)
    (-model.log_prob(states(64, config.dim)).mean()).backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        if "lower" in name or "upper" in name:
            # Their other halves are never read.
            continue
        assert (parameter.grad != 0).any(), name


@every_flow
def test_a_likelihood_is_of_the_state_not_of_its_batch(config: FlowConfig) -> None:
    model = shaken(config)
    x = states(50, config.dim)
    with torch.no_grad():
        together = model.log_prob(x)
        alone = torch.cat([model.log_prob(row[None]) for row in x])
        turned = model.log_prob(x.flip(0)).flip(0)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(together, turned, atol=1e-4, rtol=1e-5)


@every_flow
def test_weights_survive_storage_and_seeds_decide_everything(config: FlowConfig) -> None:
    model = shaken(config)
    again = make_flow(dataclasses.replace(config, seed=77))
    again.load_state_dict(copy.deepcopy(model.state_dict()))
    again.eval()
    x = states(20, config.dim)
    with torch.no_grad():
        torch.testing.assert_close(again.log_prob(x), model.log_prob(x), rtol=0, atol=0)
        one, two = (model.sample(10, torch.Generator().manual_seed(8)) for _ in range(2))
    assert torch.equal(one, two)
    first, second = (make_flow(config).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("base", ["normal", "student", "mixture"])
def test_density_integrates_to_one(base: str) -> None:
    config = FlowConfig(dim=2, steps=(3,), hidden=8, base=base)  # type: ignore[arg-type]
    model = shaken(config).double()
    axis = torch.linspace(-40, 40, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        mass = sum(float(torch.exp(model.log_prob(part)).sum()) for part in torch.split(grid, 200_000))
    assert mass * float(axis[1] - axis[0]) ** 2 == pytest.approx(1.0, abs=1e-2 if base == "student" else 2e-3)


def test_samples_have_the_density_that_is_said() -> None:
    # E[f(x)] under samples equals the integral of f p, for what the density says of a half plane.
    model = shaken(FlowConfig(dim=2, steps=(3,), hidden=8), seed=4)
    axis = torch.linspace(-12, 12, 301)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        p = torch.exp(model.log_prob(grid)) * (axis[1] - axis[0]) ** 2
        drawn = model.sample(200_000, torch.Generator().manual_seed(1))
    assert float((drawn[:, 0] > 0.5).float().mean()) == pytest.approx(float(p[grid[:, 0] > 0.5].sum()), abs=0.01)
    assert float(drawn[:, 1].mean()) == pytest.approx(float((p * grid[:, 1]).sum()), abs=0.02)


def test_temperature_scales_latents() -> None:
    model = shaken(FlowConfig(dim=2, steps=(2,), hidden=8))
    generator = torch.Generator().manual_seed(1)
    cold = model.encode(model.sample(5000, generator, temperature=0.5))[0]
    assert float(cold.std().detach()) == pytest.approx(0.5, abs=0.02)


def test_latents_leave_in_eights_and_fours() -> None:
    assert MarketFlow(FlowConfig(steps=(2, 1, 1))).latents == (8, 4, 4)
    with pytest.raises(InputError, match="halved"):
        FlowConfig(dim=6, steps=(2, 2, 2))
    with pytest.raises(InputError, match="ActNorm"):
        FlowConfig(actnorm=False)


def test_first_level_latents_do_not_depend_on_later_levels() -> None:
    model = shaken(FlowConfig(steps=(2, 2, 2), hidden=16))
    x = states(10)
    before, _ = model.encode(x)
    with torch.no_grad():
        for parameter in model.levels[2].parameters():
            parameter.mul_(1.5)
    after, _ = model.encode(x)
    assert torch.equal(before[:, :12], after[:, :12])
    assert not torch.equal(before[:, 12:], after[:, 12:])


def test_scale_of_a_coupling_is_bounded() -> None:
    raw = torch.tensor([-1e9, 0.0, 1e9])
    np.testing.assert_allclose(transforms.bounded(raw, 2.0), [-2, 0, 2], atol=1e-6)


def test_actnorm_is_set_once_from_a_batch_and_never_in_evaluation() -> None:
    config = FlowConfig(steps=(2, 1), hidden=8)
    model = MarketFlow(config)
    x = states(4000) * torch.linspace(0.1, 5, 16) + 3
    assert not model.initialized
    with pytest.raises(ValueError, match="no spread"):
        model.initialize(x[:1])
    model.eval()
    model.log_prob(x)
    assert not model.initialized
    model.initialize(x)
    assert model.initialized
    level = model.levels[0]
    assert isinstance(level, Stack)
    normed = (x + level.bias[0]) * torch.exp(transforms.bounded(level.log_scale[0], DIAGONAL_BOUND))
    torch.testing.assert_close(normed.mean(dim=0), torch.zeros(16), atol=1e-4, rtol=0)
    torch.testing.assert_close(normed.std(dim=0), torch.ones(16), atol=1e-3, rtol=0)
    again = MarketFlow(config)
    again.load_state_dict(copy.deepcopy(model.state_dict()))
    assert again.initialized


def test_the_linear_map_keeps_its_diagonal_through_storage_and_training() -> None:
    model = shaken(FlowConfig(steps=(2,), hidden=8))
    level = model.levels[0]
    assert isinstance(level, Stack)
    weight, log_det = level.linear()
    torch.testing.assert_close(torch.linalg.slogdet(weight).logabsdet, log_det, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        level.log_s.add_(0.3)
    changed, new = level.linear()
    torch.testing.assert_close(torch.linalg.slogdet(changed).logabsdet, new, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(changed, weight)


@every_flow
def test_what_is_kept_between_calls_is_never_stale(config: FlowConfig) -> None:
    model, x = shaken(config), states(30, config.dim)
    other = shaken(config, seed=5)

    def likelihood() -> torch.Tensor:
        with torch.no_grad():
            kept = model.log_prob(x)
            torch.testing.assert_close(model.decode(model.encode(x)[0]), x, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(kept, model.log_prob(x).detach(), atol=1e-4, rtol=1e-5)
        return kept

    before = likelihood()
    model.load_state_dict(other.state_dict())
    loaded = likelihood()
    assert not torch.allclose(before, loaded)
    # A fused optimiser leaves no trace in a parameter's version.
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    (-model.log_prob(x).mean()).backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    assert not torch.allclose(likelihood(), loaded)
    model.eval()
    assert not torch.allclose(likelihood(), loaded)
    model.double()
    with torch.no_grad():
        assert model.log_prob(x.double()).dtype == torch.float64
    twin = copy.deepcopy(model)
    with torch.no_grad():
        next(twin.parameters()).add_(0.1)
        assert not torch.allclose(twin.log_prob(x.double()), model.log_prob(x.double()))


def test_a_known_density_is_recovered() -> None:
    # Two bent clusters: the mean of log p - log q under p is the Kullback-Leibler divergence.
    rng = np.random.default_rng(0)
    centres, spread = np.array([[-2.0, 0.0], [2.0, 1.0]]), np.array([[0.6, 1.0], [1.0, 0.5]])

    def draw(n: int) -> np.ndarray:
        which = rng.integers(0, 2, n)
        return centres[which] + spread[which] * rng.normal(size=(n, 2))

    def truth(x: np.ndarray) -> np.ndarray:
        parts = [
            -0.5 * (((x - c) / s) ** 2).sum(axis=1) - np.log(s).sum() - np.log(2 * np.pi)
            for c, s in zip(centres, spread, strict=True)
        ]
        return np.logaddexp(*parts) - np.log(2)

    config = TrainConfig(epochs=9, max_rows=12_000, noise=0.0, batch=512, patience=20)
    flow = train_flow(draw(12_000), draw(3000), config, FlowConfig(dim=2, steps=(6,), hidden=32))
    fresh = draw(20_000)
    divergence = truth(fresh) - log_likelihood(flow.model, torch.from_numpy(fresh.astype(np.float32))).numpy()
    assert divergence.mean() <= 0.05


def test_steps_that_are_not_finite_are_left_out_and_counted() -> None:
    config = TrainConfig(epochs=2, max_rows=6000)
    rows = states(6000).numpy().astype(np.float64)
    # The last row in the first order is not among those that ActNorm is set from.
    rows[torch.randperm(6000, generator=torch.Generator().manual_seed(config.seed))[-1]] = np.nan
    found = train_flow(rows, states(200, seed=3).numpy(), config, SMALL_FLOW)
    assert found.skipped > 0
    assert math.isfinite(found.nll_validation)


def test_an_average_of_weights_may_be_kept() -> None:
    data, validation = states(4000).numpy(), states(500, seed=2).numpy()
    plain, averaged = (
        train_flow(data, validation, dataclasses.replace(SMALL, ema=ema), SMALL_FLOW) for ema in (0.0, 0.99)
    )
    assert averaged.nll_validation != plain.nll_validation
    assert averaged.nll_validation < plain.nll_validation + 0.2


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(InputError, match="too few"):
        train_flow(states(100).numpy(), states(200).numpy(), SMALL, SMALL_FLOW)
    with pytest.raises(InputError, match="GPU") if not torch.cuda.is_available() else nullcontext():
        train_flow(states(2000).numpy(), states(200).numpy(), dataclasses.replace(SMALL, device="cuda"), SMALL_FLOW)
    with pytest.raises(InputError, match="did not train"):
        train_flow(np.full((2000, 16), np.nan), states(200).numpy(), SMALL, SMALL_FLOW)


def test_training_beats_a_gaussian_on_what_no_gaussian_can_say() -> None:
    rng = np.random.default_rng(0)

    def rows(n: int) -> np.ndarray:
        x = rng.normal(size=(n, 16))
        x[:, 1] = x[:, 0] ** 2 - 1 + 0.2 * x[:, 1]
        x[:, 2] *= np.exp(0.8 * x[:, 3])
        return x

    data, validation = rows(6000), rows(2000)
    flow = train_flow(data, validation, TrainConfig(epochs=8, batch=512), FlowConfig(steps=(3, 3, 3), hidden=32))
    mean, cov = data.mean(axis=0), np.cov(data.T)
    gap = validation - mean
    gaussian = 0.5 * np.mean(
        np.einsum("ij,jk,ik->i", gap, np.linalg.inv(cov), gap) + np.linalg.slogdet(2 * np.pi * cov)[1]
    )
    assert flow.nll_validation < gaussian - 0.5
    assert flow.bits_per_dim == pytest.approx(flow.nll_validation / 16 / math.log(2))
    assert bits_per_dim(16 * math.log(2), 16) == pytest.approx(1.0)


def test_same_seed_same_model_and_the_best_weights_are_kept() -> None:
    data, validation = states(3000).numpy(), states(500, seed=2).numpy()
    # Many steps at a wild rate: validation gets worse after its best epoch.
    config = dataclasses.replace(SMALL, epochs=6, lr=2e-2, patience=6)
    one, two = (train_flow(data, validation, config, SMALL_FLOW) for _ in range(2))
    for left, right in zip(one.model.state_dict().values(), two.model.state_dict().values(), strict=True):
        assert torch.equal(left, right)
    assert one.nll_validation == min(epoch.nll_validation for epoch in one.history)
    now = float(-log_likelihood(one.model, torch.from_numpy(validation.astype(np.float32))).mean())
    assert now == pytest.approx(one.nll_validation, abs=1e-6)


def test_training_leaves_global_randomness_alone() -> None:
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    train_flow(states(1000).numpy(), states(200, seed=2).numpy(), dataclasses.replace(SMALL, epochs=1), SMALL_FLOW)
    assert torch.equal(before, torch.random.get_rng_state())
