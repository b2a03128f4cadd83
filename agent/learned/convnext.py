"""ConvNeXt in one dimension: a modern convolutional network for windows of series.

Liu et al. 2022, A ConvNet for the 2020s (arXiv 2201.03545): patchify stem, depthwise convolution of width 7, one
LayerNorm and one GELU a block, inverted bottleneck, layer scale, drop path, and downsampling layers of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Size = Literal["nano", "tiny", "small", "base"]
STEM = 4
KERNEL = 7
# A window is brought to a multiple of this many bars: the stem's 4, halved three times.
STEP = STEM * 2**3
_SCALE = 1e-6
_EPS = 1e-6


@dataclass(frozen=True)
class ConvNextConfig:
    """Width and depth of the four stages, and the largest share of blocks that are dropped while training."""

    widths: tuple[int, int, int, int] = (16, 32, 48, 96)
    depths: tuple[int, int, int, int] = (3, 3, 9, 3)
    drop_path: float = 0.1


# Tiny, small and base are the paper's; nano is for two cores.
SIZES: dict[Size, ConvNextConfig] = {
    "nano": ConvNextConfig(),
    "tiny": ConvNextConfig((96, 192, 384, 768), (3, 3, 9, 3), 0.1),
    "small": ConvNextConfig((96, 192, 384, 768), (3, 3, 27, 3), 0.4),
    "base": ConvNextConfig((128, 256, 512, 1024), (3, 3, 27, 3), 0.5),
}


class Block(nn.Module):
    """Depthwise convolution, LayerNorm, four times as wide, GELU, back again; scaled, and added to its input.

    Reads and returns (B, T, C).
    """

    def __init__(self, width: int, drop: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2, groups=width)
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.expand = nn.Linear(width, 4 * width)
        self.contract = nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), _SCALE))
        self.drop = drop

    def forward(self, x: Tensor, chance: torch.Generator | None = None) -> Tensor:
        """Return the block's output; `chance` draws which windows skip it, without it none does."""
        y = _depthwise(x, self.depthwise)
        y = self.scale * self.contract(functional.gelu(self.expand(self.norm(y))))
        if chance is None or self.drop <= 0:
            return torch.add(x, y)
        kept = torch.rand((len(x), 1, 1), generator=chance).to(x.device) >= self.drop
        return torch.addcmul(x, y, kept / (1.0 - self.drop))


def _depthwise(x: Tensor, layer: nn.Conv1d) -> Tensor:
    """Convolve (B, T, C) along T, each channel by itself; as an image one bar high, which is how it is fast on CPUs."""
    image = x.transpose(1, 2).unsqueeze(2)
    weight = layer.weight.unsqueeze(2)
    out = functional.conv2d(image, weight, layer.bias, padding=(0, KERNEL // 2), groups=x.shape[2])
    return out.squeeze(2).transpose(1, 2)


def _patches(x: Tensor, count: int, layer: nn.Module) -> Tensor:
    """Join each `count` bars of (B, T, C) into one, by a convolution as wide as its stride."""
    batch, bars, width = x.shape
    joined: Tensor = layer(x.reshape(batch, bars // count, count * width))
    return joined


class ConvNext(nn.Module):
    """The network: (B, channels, T) windows, oldest bar first, to (B, outputs).

    A window whose length is no multiple of 32 is padded with zeros on the left, so that the newest bar always counts.
    """

    def __init__(self, channels: int, outputs: int, config: ConvNextConfig = SIZES["nano"]) -> None:
        super().__init__()
        self.config = config
        widths, depths = config.widths, config.depths
        self.stem = nn.Linear(STEM * channels, widths[0])
        self.stem_norm = nn.LayerNorm(widths[0], eps=_EPS)
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=_EPS) for width in widths[:-1])
        self.joins = nn.ModuleList(nn.Linear(2 * a, b) for a, b in pairwise(widths))
        total = sum(depths)
        rates = [config.drop_path * number / max(total - 1, 1) for number in range(total)]
        self.stages = nn.ModuleList()
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            before = sum(depths[:stage])
            self.stages.append(nn.ModuleList(Block(width, rates[before + number]) for number in range(depth)))
        self.norm = nn.LayerNorm(widths[-1], eps=_EPS)
        self.head = nn.Linear(widths[-1], outputs)
        self.apply(_begin)
        # Nothing is predicted before something is learned.
        nn.init.trunc_normal_(self.head.weight, std=0.02)

    def forward(self, x: Tensor, chance: torch.Generator | None = None) -> Tensor:
        """Return (B, outputs); `chance` draws the dropped paths, without it nothing is dropped."""
        x = functional.pad(x, (-x.shape[2] % STEP, 0)).transpose(1, 2)
        x = self.stem_norm(_patches(x, STEM, self.stem))
        for number, blocks in enumerate(self.stages):
            if number:
                x = _patches(self.norms[number - 1](x), 2, self.joins[number - 1])
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                x = block(x, chance)
        out: Tensor = self.head(self.norm(x.mean(dim=1)))
        return out


def _begin(module: nn.Module) -> None:
    """Draw weights as wide as keeps what passes as large: the paper's 0.02 fits its widths, and stalls narrow nets."""
    if isinstance(module, (nn.Linear, nn.Conv1d)):
        nn.init.trunc_normal_(module.weight, std=module.weight[0].numel() ** -0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def build(channels: int, outputs: int, config: ConvNextConfig, seed: int) -> ConvNext:
    """Return a network whose weights are drawn from a seed, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ConvNext(channels, outputs, config)


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers are learned."""
    return sum(parameter.numel() for parameter in model.parameters())
