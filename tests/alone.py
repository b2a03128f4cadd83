"""Running exported files as their user does: in a fresh interpreter that cannot import our packages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from market.panel import FloatArray, Panel

_RUNNER = """
import importlib.util
import pathlib
import sys


class Wall:
    def find_spec(self, name, path=None, target=None):
        ours = ("agent", "alphaglow", "backtest", "factors", "flows", "market", "tests")
        if name.split(".")[0] in (*ours, "numba", "scipy"):
            raise ImportError("an exported file may not import " + name)


sys.meta_path.insert(0, Wall())
import numpy as np
import pandas as pd

folder = pathlib.Path(sys.argv[1])
with np.load(folder / "panel.npz") as stored:
    arrays = dict(stored)
times, assets = pd.to_datetime(arrays.pop("times")), arrays.pop("assets").tolist()
frames = {name: pd.DataFrame(array, times, assets) for name, array in arrays.items()}
universe = frames.pop("universe").astype(bool)
for path in sorted(folder.glob("m_*.py")):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    signal = module.values(frames, universe)
    weights = module.weights(signal, frames, universe)
    np.savez(folder / (path.stem + ".npz"), values=signal.to_numpy(), weights=weights.to_numpy())
"""


def run_alone(
    folder: Path, sources: Mapping[str, str], panel: Panel, *, timeout: float = 400
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Run modules on a panel in a bare interpreter; return values and weights (T, N) of each, by name."""
    np.savez(
        folder / "panel.npz",
        times=panel.times,
        assets=np.array(panel.assets),
        universe=panel.universe,
        **panel.fields,
    )
    for name, source in sources.items():
        (folder / f"m_{name}.py").write_text(source, encoding="utf-8")
    call_alone([str(folder)], folder, script=_RUNNER, timeout=timeout)
    found = {}
    for name in sources:
        with np.load(folder / f"m_{name}.npz") as stored:
            found[name] = stored["values"], stored["weights"]
    return found


def call_alone(arguments: list[str], folder: Path, *, script: str = "", timeout: float = 120) -> str:
    """Run Python with nothing of ours on its path, warnings as errors; return what it printed."""
    first = ["-c", script] if script else []
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", *first, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def difference(found: FloatArray, wanted: FloatArray) -> float:
    """Return the largest difference, relative to the value or to a thousandth of the largest one; inf if NaN differ."""
    if not np.array_equal(np.isnan(found), np.isnan(wanted)):
        return float("inf")
    size = np.nanmax(np.abs(wanted), initial=0.0)
    if size == 0.0:
        return float(np.nanmax(np.abs(found), initial=0.0))
    share = np.abs(found - wanted) / np.maximum(np.abs(wanted), 1e-3 * size)
    return float(np.nanmax(share, initial=0.0))


def long_table(panel: Panel) -> pd.DataFrame:
    """Return a panel as users have it: a row a bar and asset, where there is a close."""
    rows = []
    for i, asset in enumerate(panel.assets):
        table = pd.DataFrame({name: values[:, i] for name, values in panel.fields.items()})
        rows.append(table.assign(time=panel.times, symbol=asset, in_universe=panel.universe[:, i]))
    return pd.concat(rows).dropna(subset=["close"])
