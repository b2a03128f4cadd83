"""The truth of a synthetic market on disk and in words."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.atomic_files import write_atomically
from market.errors import InputError
from market.synthetic.market_spec import DRIVERS, SyntheticMarket


def save_truth(market: SyntheticMarket, path: Path) -> Path:
    """Write regimes, signals, windows, lives and betas to `path`, a NumPy archive (.npz); return the path.

    ``windows`` and ``regime_names`` are JSON texts; ``signal.NAME`` are (T, N).
    """
    truth = market.truth
    arrays: dict[str, Any] = {
        "regimes": truth.regimes,
        "born": truth.born,
        "died": truth.died,
        "beta": truth.beta,
        "regime_names": np.array(json.dumps([regime.name for regime in market.spec.regimes])),
        "windows": np.array(json.dumps([asdict(window) for window in truth.windows])),
        **{f"signal.{name}": values for name, values in truth.signals.items()},
    }

    def write(target: Path) -> None:
        with target.open("wb") as stream:
            np.savez_compressed(stream, **arrays)

    write_atomically(path, write)
    return path


def truth_path(data: Path) -> Path:
    """Return where the truth of a stored data set lies, beside it."""
    return data.with_suffix(".truth.npz")


def load_regime_truth(data: Path) -> NDArray[np.int64] | None:
    """Return (T,) the true regime of each bar of a stored data set; None where nothing was stored.

    Raises
    ------
    InputError
        For a file that is no truth.
    """
    path = truth_path(data)
    if not path.is_file():
        return None
    try:
        with np.load(path) as archive:
            return np.asarray(archive["regimes"], dtype=np.int64)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not the truth of a synthetic market", "remove it, or simulate again") from error


def tell_truth(market: SyntheticMarket) -> list[str]:
    """Return a line for the regimes, each planted signal, and the windows of each kind."""
    spec, truth = market.spec, market.truth
    times = market.panel.times
    shares = [f"{regime.name} {np.mean(truth.regimes == n):.0%}" for n, regime in enumerate(spec.regimes)]
    lines = ["regimes: " + ", ".join(shares)]
    for signal in spec.signals:
        driver = DRIVERS[signal.driver] if isinstance(signal.driver, str) else "values given"
        source = signal.name if driver == DRIVERS["wave"] else driver
        by = ", ".join(f"{signal.ic_in(regime.name):+.3f} {regime.name}" for regime in spec.regimes)
        lines.append(f"signal {signal.name}: {source}; rank IC with the next bar's return {by}")
    for kind in dict.fromkeys(window.kind for window in truth.windows):
        own = [window for window in truth.windows if window.kind == kind]
        spans = ", ".join(f"{str(times[w.start])[:16]} ({w.stop - w.start} bars)" for w in own[:6])
        lines.append(f"{kind}: {spans}{' …' if len(own) > 6 else ''}")
    late, ended = int((truth.born > 0).sum()), int((truth.died < len(times)).sum())
    lines.append(f"{late} assets are listed later, {ended} end before the panel does")
    return lines
