"""ConvNeXt against the paper's two-dimensional one, its shapes and sizes; augmentation, calibration, resumption."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from agent.learned.augment import Augmentation, augmented
from agent.learned.convnext import SIZES, Block, ConvNext, ConvNextConfig, build, count_parameters
from agent.learned.network import ConvNextLearner, fit_net
from agent.learned.protocol import Examples
from agent.learned.sample_windows import Windows
from agent.learned.temperature import fit_temperature, log_priors, nll, reliability, softmax
from agent.learned.training import NetTraining, train_net
from agent.study.progress import no_progress
from flows.train import torch_threads
from market.errors import InputError

TINY = ConvNextConfig((8, 8, 12, 16), (1, 1, 2, 1), 0.1)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads wait for each other on a busy machine."""
    with torch_threads(1):
        yield


class Image(nn.Module):
    """A block of the paper for images (B, C, H, W), written from its figure 4, for comparison."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, kernel_size=7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pwconv1 = nn.Conv2d(width, 4 * width, kernel_size=1)
        self.pwconv2 = nn.Conv2d(4 * width, width, kernel_size=1)
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.dwconv(x)
        y = self.norm(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        y = self.pwconv2(functional.gelu(self.pwconv1(y)))
        return x + self.gamma[None, :, None, None] * y


def copied(block: Block, width: int) -> Image:
    """The image block that does on one row what `block` does on a series."""
    image = Image(width)
    with torch.no_grad():
        image.dwconv.weight.normal_()  # the rows of the kernel beside the middle one meet padding alone
        image.dwconv.weight[:, :, 3, :] = block.depthwise.weight
        image.dwconv.bias.copy_(block.depthwise.bias)  # type: ignore[union-attr, arg-type]  # it has one
        image.norm.load_state_dict(block.norm.state_dict())
        for mine, theirs in ((image.pwconv1, block.expand), (image.pwconv2, block.contract)):
            mine.weight.copy_(theirs.weight[:, :, None, None])
            mine.bias.copy_(theirs.bias)  # type: ignore[union-attr]  # it has one
        image.gamma.copy_(block.scale)
    return image


def shaken(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights of a size that matters everywhere, the layer scale included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.mark.parametrize("bars", [1, 2, 4, 7, 32])
@torch.no_grad()
def test_a_block_does_what_the_papers_block_does(bars: int) -> None:
    block = shaken(Block(16, 0.1))
    assert isinstance(block, Block)
    x = torch.randn((5, 16, bars), generator=torch.Generator().manual_seed(1))
    image = copied(block, 16)(x[:, :, None, :])[:, :, 0, :]
    mine = block(x.transpose(1, 2)).transpose(1, 2)
    assert float((mine - image).abs().max()) <= 1e-6


@pytest.mark.parametrize("bars", [32, 100, 128])
@torch.no_grad()
def test_the_network_does_what_convolutions_do(bars: int) -> None:
    model = shaken(ConvNext(5, 3, TINY), 2).eval()
    assert isinstance(model, ConvNext)
    x = torch.randn((4, 5, bars), generator=torch.Generator().manual_seed(3))
    y = functional.pad(x, (-bars % 32, 0))[:, :, None, :]

    def joined(y: Tensor, layer: nn.Module, channels: int, count: int) -> Tensor:
        assert isinstance(layer, nn.Linear)
        kernel = layer.weight.view(len(layer.weight), count, channels).transpose(1, 2)[:, :, None, :]
        return functional.conv2d(y, kernel, layer.bias, stride=(1, count))

    def normed(y: Tensor, norm: nn.Module) -> Tensor:
        return norm(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # type: ignore[no-any-return]

    y = normed(joined(y, model.stem, 5, 4), model.stem_norm)
    for stage, blocks in enumerate(model.stages):
        if stage:
            y = normed(y, model.norms[stage - 1])
            y = joined(y, model.joins[stage - 1], TINY.widths[stage - 1], 2)
        for block in blocks:  # type: ignore[union-attr]  # a list of blocks
            y = copied(block, TINY.widths[stage])(y)
    expected = model.head(model.norm(y.mean(dim=(2, 3))))
    assert float((model(x) - expected).abs().max()) <= 1e-5


def parameters_of(channels: int, outputs: int, config: ConvNextConfig, *, stem: int, kernel: int, join: int) -> int:
    """Counted by hand from the paper's description."""
    w = config.widths
    total = stem * channels * w[0] + w[0] + 2 * w[0]
    for width, depth in zip(w, config.depths, strict=True):
        convolution = kernel * width + width
        total += depth * (convolution + 2 * width + (4 * width**2 + 4 * width) + (4 * width**2 + width) + width)
    for a, b in pairwise(w):
        total += 2 * a + join * a * b + b
    return total + 2 * w[-1] + w[-1] * outputs + outputs


def test_sizes_are_the_papers() -> None:
    # The paper's table 9 for images of 3 channels and 1000 classes: 28.6, 50.2 and 88.6 million.
    published = {"tiny": 28_589_128, "small": 50_223_688, "base": 88_591_464}
    ours = {"tiny": 26_773_923, "small": 48_118_179, "base": 85_440_387, "nano": 447_235}
    for size, config in SIZES.items():
        if size in published:
            assert parameters_of(3, 1000, config, stem=16, kernel=49, join=4) == published[size]
        with torch.device("meta"):
            model = ConvNext(22, 3, config)
        assert count_parameters(model) == parameters_of(22, 3, config, stem=4, kernel=7, join=2) == ours[size]
    assert ours["nano"] <= 1_000_000


@torch.no_grad()
def test_windows_of_every_length_are_read_and_the_newest_bar_counts() -> None:
    model = shaken(ConvNext(3, 3, TINY), 4).eval()
    x = torch.randn((2, 3, 512), generator=torch.Generator().manual_seed(5))
    for bars in range(1, 513):
        window = x[:, :, -bars:]
        out = model(window)
        assert out.shape == (2, 3)
        if bars % 37 == 1:
            moved = window.clone()
            moved[:, :, -1] += 1.0
            assert not torch.allclose(model(moved), out)
            # Zeros on the left are what it is padded with.
            assert torch.equal(model(functional.pad(window, (-bars % 32, 0))), out)


def test_the_same_seed_builds_the_same_network_and_leaves_torch_alone() -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    a, b = build(3, 3, TINY, 1).state_dict(), build(3, 3, TINY, 1).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a[name], b[name]) for name in a)
    other = build(3, 3, TINY, 2).state_dict()
    assert not all(torch.equal(a[name], other[name]) for name in a)


# Augmentation


def test_augmentation_keeps_the_newest_bar_in_place() -> None:
    x = torch.randn((64, 4, 60), generator=torch.Generator().manual_seed(0)) + 10.0
    warped = augmented(x, Augmentation(0.2, 0.0, 0.0, 0.0, 1.0), torch.Generator().manual_seed(1))
    assert torch.allclose(warped[:, :, -1], x[:, :, -1])
    assert not torch.allclose(warped[:, :, 30], x[:, :, 30])
    # Each value lies between values of the window.
    assert float(warped.max()) <= float(x.max()) + 1e-4
    cut = augmented(x, Augmentation(0.0, 0.0, 0.0, 0.5, 1.0), torch.Generator().manual_seed(1))
    assert torch.equal(cut[:, :, 30:], x[:, :, 30:])
    assert float((cut[:, :, 0] == 0).float().mean()) > 0.8
    scaled = augmented(x, Augmentation(0.0, 0.1, 0.0, 0.0, 1.0), torch.Generator().manual_seed(1))
    ratio = scaled / x
    assert torch.allclose(ratio, ratio[:, :, :1].expand_as(ratio), atol=1e-5)
    assert torch.equal(scaled[:, -1], x[:, -1])
    assert 0.05 < float(ratio[:, :-1, 0].std()) < 0.15


def test_augmentation_is_seeded_and_leaves_padding_alone() -> None:
    x = torch.randn((16, 3, 40), generator=torch.Generator().manual_seed(0))
    x[:, :, :12] = 0.0
    how = Augmentation(warp=0.0)
    once, again = (augmented(x, how, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(once, again)
    assert not torch.equal(once, x)
    assert not once[:, :, :12].any()
    assert augmented(x, Augmentation(share=0.0), torch.Generator()) is x


# Calibration


def test_a_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (20_000, 3))
    labels = np.array([rng.choice(3, p=p) for p in softmax(logits)])
    assert fit_temperature(3.0 * logits, labels) == pytest.approx(3.0, rel=0.05)
    figures, wild = reliability(softmax(logits), labels), reliability(softmax(3.0 * logits), labels)
    assert figures["error"] < 0.01 < 0.1 < wild["error"]  # type: ignore[operator]  # figures
    assert nll(softmax(logits), labels) < nll(softmax(3.0 * logits), labels)


def test_reliability_by_hand() -> None:
    said = np.array([[0.2, 0.8], [0.2, 0.8], [0.4, 0.6], [0.4, 0.6]])
    found = reliability(said, np.array([1, 0, 1, 1]), bins=4)
    assert found["said"] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert found["came"] == [0.5, 0.0, 1.0, 0.5]
    assert found["error"] == pytest.approx((0.3 + 0.4 + 0.4 + 0.3) / 4)


def test_classes_that_were_taught_as_equal_are_given_their_shares() -> None:
    shares = np.exp(log_priors(np.array([0.0, 1.0, 1.0, 1.0]), 3))
    np.testing.assert_allclose(shares, np.array([1.0, 3.0, 0.5]) / 4.5)


# Training


def examples(count: int, seed: int = 0, *, classes: bool = True, nonsense: bool = False) -> Examples:
    """Windows in which the class is whether the newest bars went up or down."""
    rng = np.random.default_rng(seed)
    grid = rng.normal(size=(4, 900, 3)).astype(np.float32)
    assets, bars = rng.integers(0, 4, count), rng.integers(20, 900, count)
    windows = Windows(grid, assets, bars, 32)
    drift = windows.values()[:, 0, -4:].sum(axis=1)
    labels = 1.0 + (drift > 1) - (drift < -1) if classes else drift.astype(np.float64)
    if nonsense:
        labels = rng.permutation(labels)
    return Examples(windows, labels, np.ones(count), classes)


CONFIG = NetTraining(epochs=6, warmup=1, lr=5e-3, batch=64, patience=6)


def test_training_learns_and_its_probabilities_are_calibrated() -> None:
    train, calibration = examples(1000, 1), examples(500, 2)
    fit = fit_net(build(3, 3, TINY, 1), train, calibration, replace(CONFIG, epochs=10), 3, no_progress, None)
    fresh = examples(800, 3)
    said = fit.probabilities(fresh.windows)
    np.testing.assert_allclose(said.sum(axis=1), 1.0)
    assert (said.argmax(axis=1) == fresh.labels).mean() > 0.8
    assert np.corrcoef(fit.predict(fresh.windows), fresh.labels)[0, 1] > 0.8
    assert reliability(said, fresh.labels.astype(int))["error"] < 0.06  # type: ignore[operator]  # a figure
    assert fit.figures["calibration_nll"] <= fit.figures["calibration_nll_uncalibrated"]  # type: ignore[operator]  # figures


@pytest.mark.parametrize("loss", ["huber", "mse"])
def test_returns_are_learned_too(loss: str) -> None:
    training = replace(CONFIG, loss=loss, epochs=8)  # type: ignore[arg-type]  # one of the names
    train, calibration = examples(1000, 1, classes=False), examples(300, 2, classes=False)
    fit = fit_net(build(3, 1, TINY, 1), train, calibration, training, 3, no_progress, None)
    fresh = examples(600, 3, classes=False)
    assert np.corrcoef(fit.predict(fresh.windows), fresh.labels)[0, 1] > 0.8


class Killed(Exception):
    """As a power cut would."""


def weights_of(file: Path | None, stop: int | None) -> dict[str, Tensor]:
    """Train a network; it is killed after `stop` steps, and goes on from what the file holds."""
    train, calibration = examples(400, 1), examples(150, 2)
    asked = 0

    def forward(model: nn.Module, x: Tensor, windows: Windows, chance: torch.Generator | None) -> Tensor:
        nonlocal asked
        asked += chance is not None
        if stop is not None and asked > stop:
            raise Killed
        return model(x, chance)  # type: ignore[no-any-return]

    model = build(3, 3, TINY, 1)
    done = train_net(model, train, calibration, CONFIG, 5, no_progress, resume=file, forward=forward)
    assert len(done.history) == CONFIG.epochs
    return done.model.state_dict()


@cache
def uninterrupted() -> dict[str, Tensor]:
    """Return the weights of a training that nothing stops."""
    return weights_of(None, None)


@pytest.mark.parametrize("after", [1, 3, 5])
def test_a_training_killed_in_an_epoch_ends_with_the_same_weights(tmp_path: Path, after: int) -> None:
    file = tmp_path / "fold.training"
    steps = 400 // CONFIG.batch
    with pytest.raises(Killed):
        weights_of(file, after * steps + steps // 2)
    assert file.is_file()
    with np.load(file, allow_pickle=False) as stored:
        assert all(stored[name].dtype != object for name in stored.files)
    resumed = weights_of(file, None)
    assert all(torch.equal(uninterrupted()[name], resumed[name]) for name in resumed)
    assert not file.exists()


def test_a_training_of_other_examples_is_not_gone_on_with(tmp_path: Path) -> None:
    file = tmp_path / "fold.training"
    short = replace(CONFIG, epochs=2)
    train, calibration = examples(300, 1), examples(100, 2)

    def interrupted(_what: str, done: int, _of: int) -> None:
        if done == 1:
            raise Killed

    with pytest.raises(Killed):
        train_net(build(3, 3, TINY, 1), train, calibration, short, 5, interrupted, resume=file)
    other = examples(300, 9)
    fresh = train_net(build(3, 3, TINY, 1), other, calibration, short, 5, no_progress)
    again = train_net(build(3, 3, TINY, 1), other, calibration, short, 5, no_progress, resume=file)
    assert fresh.history == again.history
    file.write_bytes(b"PK damaged")
    with pytest.raises(InputError, match="training to go on with"):
        train_net(build(3, 3, TINY, 1), other, calibration, short, 5, no_progress, resume=file)


def test_the_learner_draws_all_chance_from_its_generator() -> None:
    learner = ConvNextLearner("nano", NetTraining(epochs=1, batch=64))
    train, calibration = examples(200, 1), examples(80, 2)
    values = [
        learner.fit(train, calibration, np.random.default_rng(seed), no_progress, None).predict(calibration.windows)
        for seed in (1, 1, 2)
    ]
    assert np.array_equal(values[0], values[1])
    assert not np.array_equal(values[0], values[2])
    assert "threads" not in str(learner.recipe())
