"""Storing regimes with their labels, so that a study can tell them apart without running a flow."""

from __future__ import annotations

from pathlib import Path

from flows.regimes import Labels, Projection, RegimeModel
from market.array_file import read_archive, write_archive
from market.errors import InputError
from market.panel import BoolArray

_VERSION = 1
_REMEDY = "find them again: alphaglow flow regimes"


def store_regimes(model: RegimeModel, labels: Labels, panel_id: str, window: int, path: Path) -> None:
    """Store regimes with the labels (T,) of a panel; `window` is what market states were averaged over."""
    document = {
        "version": _VERSION,
        "panel_id": panel_id,
        "method": model.method,
        "names": list(model.names),
        "predictive": model.predictive,
        "stability": model.stability,
        "window": window,
    }
    arrays = {
        "mean": model.projection.mean,
        "matrix": model.projection.matrix,
        "means": model.means,
        "covariances": model.covariances,
        "transition": model.transition,
        "labels": labels,
    }
    write_archive(path, document, arrays)


def load_regimes(path: Path) -> tuple[RegimeModel, Labels, str]:
    """Return stored regimes, their labels, and the id of the panel that these are of."""
    document, arrays = read_archive(path, "set of regimes", _REMEDY)
    if document.get("version") != _VERSION:
        raise InputError(f"{path} was written by another version of alphaglow", _REMEDY)
    model = RegimeModel(
        document["method"],
        Projection(arrays["mean"], arrays["matrix"]),
        arrays["means"],
        arrays["covariances"],
        arrays["transition"],
        tuple(document["names"]),
        document["predictive"],
        document["stability"],
    )
    return model, arrays["labels"], document["panel_id"]


def regimes_path(gate_path: Path) -> Path:
    """Return where the regimes beside a gate are stored."""
    return gate_path.with_name(gate_path.name.replace(".gate.npz", ".regimes.npz"))


def regime_masks(path: Path, panel_id: str) -> dict[str, BoolArray]:
    """Return (T,) bars of each stored regime of a panel; none where there are none, or of another panel."""
    if not path.is_file():
        return {}
    model, labels, stored = load_regimes(path)
    if stored != panel_id:
        return {}
    return {f"flow: {text}": labels == k for k, text in enumerate(model.names)}
