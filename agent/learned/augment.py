"""Changing training windows a little, so that a network learns what stays: time, size, noise, length.

The newest bar stays the newest. The last channel, the share of channels known, is moved in time but neither scaled nor
shaken. All chance comes from the generator.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """How far windows are changed, each with probability `share` for each kind of change; 0 for none.

    Attributes
    ----------
    warp
        Time runs faster or slower by up to this much, before the newest bar.
    magnitude
        Deviation of the factor that a channel of a window is multiplied by.
    jitter
        Deviation of the noise added to each value.
    cut
        Up to this share of a window's oldest bars is blanked, as if it began later.
    """

    warp: float = 0.1
    magnitude: float = 0.1
    jitter: float = 0.05
    cut: float = 0.3
    share: float = 0.5


def augmented(x: Tensor, how: Augmentation, chance: torch.Generator) -> Tensor:
    """Return changed copies of (B, C, T) windows."""
    if how.share <= 0:
        return x
    batch, channels, bars = x.shape

    def drawn(*shape: int) -> Tensor:
        return torch.rand(shape, generator=chance).to(x.device)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=chance).to(x.device)

    if how.warp > 0:
        speed = 1.0 + how.warp * (2.0 * drawn(batch, 1) - 1.0)
        speed = torch.where(drawn(batch, 1) < how.share, speed, 1.0)
        x = _warped(x, speed)
    changes = x[:, :-1]
    if how.magnitude > 0:
        factor = 1.0 + how.magnitude * normal(batch, channels - 1, 1)
        changes = changes * torch.where(drawn(batch, 1, 1) < how.share, factor, 1.0)
    if how.jitter > 0:
        noise = how.jitter * normal(batch, channels - 1, bars)
        # What is unknown, and what is padding, stays 0.
        changes = changes + torch.where(drawn(batch, 1, 1) < how.share, noise, 0.0) * (changes != 0)
    x = torch.cat([changes, x[:, -1:]], dim=1)
    if how.cut > 0:
        lost = (how.cut * drawn(batch, 1) * bars).floor() * (drawn(batch, 1) < how.share)
        x = x * (torch.arange(bars, device=x.device) >= lost)[:, None, :]
    return x


def _warped(x: Tensor, speed: Tensor) -> Tensor:
    """Read (B, C, T) windows at other speeds (B, 1), back from the newest bar; before the first bar there is 0."""
    bars = x.shape[2]
    back = torch.arange(bars - 1, -1, -1, device=x.device)
    place = (bars - 1) - back * speed
    low = place.floor()
    part = (place - low)[:, None, :]
    inside = (place >= 0)[:, None, :]

    def read(at: Tensor) -> Tensor:
        index = at.clamp(0, bars - 1).long()[:, None, :].expand(-1, x.shape[1], -1)
        return torch.gather(x, 2, index)

    return torch.where(inside, read(low) * (1.0 - part) + read(low + 1) * part, 0.0)
