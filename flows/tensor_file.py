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


def optimiser_arrays(optimiser: torch.optim.Optimizer) -> Arrays:
    """Return what an optimiser remembers of each parameter as arrays, for `restore_optimiser`."""
    return {
        f"optimiser/{number}/{name}": value.cpu().numpy()
        for number, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Give an optimiser back what `optimiser_arrays` took of it."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in under(arrays, "optimiser/").items():
        number, name = key.split("/")
        state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], path: Path, remedy: str) -> None:
    """Put weights into a model; those that do not fit are an `InputError`."""
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise InputError(f"{path} is damaged: its weights do not fit", remedy) from error
