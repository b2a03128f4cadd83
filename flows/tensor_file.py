"""Tensors as named arrays of a `market.array_file` file, and back into a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from market.array_file import Arrays
from market.errors import InputError


def flattened(state: Mapping[str, Tensor], prefix: str) -> Arrays:
    """Return tensors as arrays, their names behind a prefix."""
    return {prefix + name: value.cpu().numpy() for name, value in state.items()}


def under(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, Tensor]:
    """Return the arrays behind a prefix as tensors."""
    return {
        name.removeprefix(prefix): torch.from_numpy(value) for name, value in arrays.items() if name.startswith(prefix)
    }


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], path: Path, remedy: str) -> None:
    """Put weights into a model; those that do not fit are an `InputError`."""
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise InputError(f"{path} is damaged: its weights do not fit", remedy) from error
