"""The likelihood of a panel under its gate, kept beside the checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from market.errors import InputError
from market.panel import FloatArray, Panel


def cached_likelihood(gate_path: Path, compute: Callable[[], FloatArray], panel: Panel) -> FloatArray:
    """Return the likelihood, kept beside the checkpoint: on a large panel it costs as much as training."""
    cache = gate_path.with_suffix(".log_likelihood.npy")
    if cache.is_file() and cache.stat().st_mtime >= gate_path.stat().st_mtime:
        try:
            stored: FloatArray = np.load(cache, allow_pickle=False)
        except (ValueError, OSError):
            stored = np.empty((0, 0))
        if stored.shape == panel.shape:
            return stored
    values = compute()
    try:
        np.save(cache, values, allow_pickle=False)
    except OSError as error:
        raise InputError(f"cannot write {cache}: {error.strerror}", "is the disk full or read-only?") from error
    return values
