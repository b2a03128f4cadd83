"""AdamW computes what torch's class computes, to the last bit, and goes on from what was stored."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from flows.adamw import AdamW


def weights(seed: int) -> list[torch.nn.Parameter]:
    chance = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=chance)) for shape in ((7, 5), (5,), (3, 3), ())]


def give_gradients(parameters: list[torch.nn.Parameter], step: int) -> None:
    chance = torch.Generator().manual_seed(100 + step)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=chance)
    # One has no gradient at the first step, and none at a later one: it neither moves nor ages.
    if step in (0, 4):
        parameters[1].grad = None


@pytest.mark.parametrize("fused", [True, False])
def test_every_step_is_torchs(fused: bool) -> None:
    ours, theirs = weights(0), weights(0)
    rates = [0.01 * (step + 1) for step in range(8)]
    wanted = torch.optim.AdamW(
        [{"params": theirs[:2], "weight_decay": 0.1}, {"params": theirs[2:], "weight_decay": 0.0}],
        lr=1.0,
        fused=fused,
        foreach=False,
    )
    found = AdamW([(ours[:2], 0.1), (ours[2:], 0.0)], fused=fused)
    for step, rate in enumerate(rates):
        if step == 5:
            # Stopped here, and gone on from what was stored: arrays that nobody may write to.
            stored = {name: np.array(value) for name, value in found.arrays().items()}
            found = AdamW([(ours[:2], 0.1), (ours[2:], 0.0)], fused=fused)
            found.restore(stored)
        give_gradients(ours, step)
        give_gradients(theirs, step)
        for group in wanted.param_groups:
            group["lr"] = rate
        wanted.step()
        found.step(rate)
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True)), step
    found.zero_grad()
    assert all(parameter.grad is None for parameter in ours)


def test_a_step_does_not_import_torchs_compiler() -> None:
    script = """
import sys, torch
from flows.adamw import AdamW
weight = torch.nn.Parameter(torch.ones(3))
weight.grad = torch.ones(3)
AdamW([([weight], 0.1)], fused=True).step(0.5)
assert float(weight.detach().sum()) != 3.0
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
