"""Fusion: windows of numbers ask texts by cross-attention, in a network that two cores train."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from agent.learned.convnext import STEM, Block
from agent.learned.network import NetFit, fit_net, training_recipe
from agent.learned.protocol import Examples
from agent.learned.sample_windows import Windows
from agent.learned.targets import CLASSES
from agent.learned.texts_before import TextMemory
from agent.learned.training import NetTraining
from agent.study.progress import Progress

Reads = Literal["both", "numbers", "text"]
READS: tuple[Reads, ...] = ("both", "numbers", "text")
# The window is brought to a multiple of this many bars: the stem's 4, halved once.
_STEP = 2 * STEM


@dataclass(frozen=True)
class FusionConfig:
    """Width of tokens, blocks before and after the halving, heads of the attention, and the share of dropped paths."""

    width: int = 32
    blocks: tuple[int, int] = (2, 2)
    heads: int = 4
    drop_path: float = 0.1


class FusionNet(nn.Module):
    """(B, C, T) windows and (B, L, F) texts, of which (B, L) are there, to (B, outputs).

    The window becomes a token for every 8 bars (patchify stem, ConvNeXt blocks, padded on the left). Each token asks
    the texts, and one more that stands for there being none: what is not there is masked, and a place without texts
    has an answer of its own. With ``numbers`` every text is masked; with ``text`` one learned token asks in the
    window's place.
    """

    def __init__(self, channels: int, features: int, outputs: int, config: FusionConfig, reads: Reads) -> None:
        super().__init__()
        self.reads = reads
        width = config.width
        if reads == "text":
            self.question = nn.Parameter(torch.zeros(1, 1, width))
        else:
            self.stem = nn.Linear(STEM * channels, width)
            self.stem_norm = nn.LayerNorm(width)
            self.join_norm = nn.LayerNorm(width)
            self.join = nn.Linear(2 * width, width)
            self.before = nn.ModuleList(Block(width, config.drop_path) for _ in range(config.blocks[0]))
            self.after = nn.ModuleList(Block(width, config.drop_path) for _ in range(config.blocks[1]))
        if reads != "numbers":
            self.text = nn.Linear(features, width)
            self.text_norm = nn.LayerNorm(width)
        self.none = nn.Parameter(torch.zeros(1, 1, width))
        self.ask_norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, config.heads, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)
        self.apply(_begin)
        nn.init.trunc_normal_(self.none, std=0.02)

    def forward(self, x: Tensor, texts: Tensor, there: Tensor, chance: torch.Generator | None = None) -> Tensor:
        """Return (B, outputs); `chance` draws the dropped paths, without it nothing is dropped."""
        tokens: Tensor = self.question.expand(len(x), 1, -1) if self.reads == "text" else self._tokens(x, chance)
        nothing = self.none.expand(len(x), 1, -1)
        known, hidden = nothing, torch.zeros((len(x), 1), dtype=torch.bool, device=x.device)
        if self.reads != "numbers":
            read = self.text_norm(functional.gelu(self.text(texts)))
            known = torch.cat([nothing, read], dim=1)
            hidden = torch.cat([hidden, ~there], dim=1)
        answer, _ = self.attention(self.ask_norm(tokens), known, known, key_padding_mask=hidden, need_weights=False)
        out: Tensor = self.head(self.norm((tokens + answer).mean(dim=1)))
        return out

    def _tokens(self, x: Tensor, chance: torch.Generator | None) -> Tensor:
        """Return (B, P, width): a token for every 8 bars."""
        x = functional.pad(x, (-x.shape[2] % _STEP, 0)).transpose(1, 2)
        batch, bars, channels = x.shape
        y: Tensor = self.stem_norm(self.stem(x.reshape(batch, bars // STEM, STEM * channels)))
        for block in self.before:
            y = block(y, chance)
        y = self.join(self.join_norm(y).reshape(batch, bars // _STEP, -1))
        for block in self.after:
            y = block(y, chance)
        return y


def _begin(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Conv1d)):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@dataclass(frozen=True, eq=False)
class FusionLearner:
    """A fusion network over the texts of a panel, and what of the two it reads."""

    memory: TextMemory
    reads: Reads = "both"
    config: FusionConfig = field(default_factory=FusionConfig)
    training: NetTraining = field(default_factory=NetTraining)

    @property
    def kind(self) -> str:
        """Its name."""
        return "fusion" if self.reads == "both" else f"fusion_{self.reads}"

    def recipe(self) -> dict[str, object]:
        """Return its settings; the texts are named by a digest, where they are read."""
        texts = "" if self.reads == "numbers" else self.memory.digest
        return {"reads": self.reads, "texts": texts, **asdict(self.config), "training": training_recipe(self.training)}

    def fit(
        self, train: Examples, calibration: Examples, rng: np.random.Generator, progress: Progress, resume: Path | None
    ) -> NetFit:
        """Train a network from new weights, and calibrate it on the calibration examples."""
        build_seed, seed = (int(number) for number in rng.integers(2**31, size=2))
        count = len(CLASSES) if train.is_class else 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(build_seed)
            model = FusionNet(train.windows.channels, self.memory.width, count, self.config, self.reads)
        fitted = fit_net(model, train, calibration, self.training, seed, progress, resume, forward=self.forward)
        _, there = self.memory.at(train.windows.assets, train.windows.bars)
        fitted.figures["with_texts"] = float(there.any(axis=1).mean())
        return fitted

    def forward(self, model: nn.Module, x: Tensor, windows: Windows, chance: torch.Generator | None) -> Tensor:
        """Ask the network of a batch, with the texts of its places."""
        texts, there = self.memory.at(windows.assets, windows.bars)
        out: Tensor = model(x, torch.from_numpy(texts).to(x.device), torch.from_numpy(there).to(x.device), chance)
        return out
