"""Where learned factors lie in a workspace: one file each, arrays and JSON, keyed by the panel they were made on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.study.workspace import LEARNED_PREFIX
from market.array_file import read_archive, write_archive
from market.errors import InputError
from market.panel import FloatArray, Panel

_WHAT = "learned factor"


@dataclass(frozen=True)
class LearnedRecipe:
    """All that a learned factor's values depend on.

    Attributes
    ----------
    kind
        Of the model.
    panel
        Content id of the study's panel, which ends with validation.
    plan, model
        As JSON types: `agent.learned.walk.WalkPlan.recipe` and `agent.learned.protocol.Learner.recipe`.
    """

    kind: str
    panel: str
    plan: Mapping[str, object]
    model: Mapping[str, object]

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        raw = {"kind": self.kind, "panel": self.panel, "plan": dict(self.plan), "model": dict(self.model)}
        plain: dict[str, object] = json.loads(json.dumps(raw))
        return plain

    @property
    def digest(self) -> str:
        """The first 8 hex digits of a hash of the recipe."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def field(self, name: str = "") -> str:
        """Return the factor's name in the language: what it is called, and the recipe's digest.

        The name is the factor's canonical text. It holds the digest, so that another recipe is another factor.
        """
        return f"{LEARNED_PREFIX}{name or self.kind}_{self.digest}"


def factor_path(folder: Path, field: str) -> Path:
    """Return where a learned factor is stored."""
    return folder / f"{field}.npz"


def store_field(folder: Path, field: str, panel: Panel, values: FloatArray, document: Mapping[str, object]) -> Path:
    """Store (T, N) out-of-fold predictions of a study's panel, and what they came from."""
    path = factor_path(folder, field)
    header = {**document, "field": field, "panel": panel.id, "assets": list(panel.assets)}
    write_archive(path, header, {"values": values})
    return path


def read_field(folder: Path, field: str) -> tuple[dict[str, Any], FloatArray]:
    """Return what is stored of a learned factor; none is an `InputError`."""
    document, arrays = read_archive(factor_path(folder, field), _WHAT, "learn it again: alphaglow learn")
    return document, np.asarray(arrays["values"], dtype=np.float64)


def stored_fields(folder: Path, panel: Panel) -> dict[str, FloatArray]:
    """Return the learned factors of a folder that were made on this very panel, by name."""
    found = {}
    # The id of a panel takes a while: it is computed only where something was learned.
    for path in sorted(folder.glob(f"{LEARNED_PREFIX}*.npz")) if folder.is_dir() else ():
        document, arrays = read_archive(path, _WHAT, f"remove {path.name} and learn it again: alphaglow learn")
        if document.get("panel") == panel.id and arrays["values"].shape == panel.shape:
            found[path.stem] = np.asarray(arrays["values"], dtype=np.float64)
    return found


def unseen_path(folder: Path, field: str) -> Path:
    """Return where the predictions of a learned factor for bars after its study are stored."""
    return folder / "unseen" / f"{field}.npz"


def store_unseen(
    folder: Path, field: str, panel: Panel, study: Panel, values: FloatArray, facts: Mapping[str, object]
) -> Path:
    """Store (T - S, N) predictions of a panel's bars after the S bars of a study; only an opened holdout reads them."""
    path = unseen_path(folder, field)
    _made(path.parent)
    header = {"field": field, "whole": panel.id, "panel": study.id, "assets": list(panel.assets), "facts": dict(facts)}
    write_archive(path, header, {"values": values})
    return path


def unseen_field(folder: Path, field: str, panel: Panel) -> FloatArray:
    """Return (T, N) a learned factor on all bars of a panel: out of fold in its study, by its last model after it.

    Raises
    ------
    InputError
        Where no model was asked for the bars after the study, or for others than those that there are now.
    """
    remedy = f"the command that learned {field} asks one when --last-fold is added; nothing else is trained again"
    path = unseen_path(folder, field)
    if not path.is_file():
        raise InputError(f"{field} is what a model predicted, and none was asked for the bars of the holdout", remedy)
    document, inside = read_field(folder, field)
    header, arrays = read_archive(path, _WHAT, remedy)
    if header.get("whole") != panel.id or header.get("panel") != document.get("panel"):
        raise InputError(f"the data changed since a model was asked for the bars of {field} after its study", remedy)
    values = np.full(panel.shape, np.nan)
    values[: len(inside), [panel.assets.index(asset) for asset in document["assets"]]] = inside
    values[len(inside) :] = arrays["values"]
    return values


def learned_names(text: str) -> tuple[str, ...]:
    """Return the names of learned factors in an expression, each once."""
    return tuple(dict.fromkeys(re.findall(rf"\b{LEARNED_PREFIX}\w+", text)))


def work_folder(folder: Path, field: str) -> Path:
    """Return where a walk under way is kept, made if missing."""
    return _made(folder / f"{field}.training")


def _made(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {path}: {error.strerror}", "is the disk full or read-only?") from error
    return path


def clear_work(folder: Path, field: str) -> None:
    """Remove what is kept of a walk under way."""
    with contextlib.suppress(OSError):
        shutil.rmtree(folder / f"{field}.training")
