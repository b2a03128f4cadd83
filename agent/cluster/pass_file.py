"""How far a pass over data on disk has come: what operators, positions and outcomes carry on, in one file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtest.quick import QuickScorer
from backtest.target_stretches import TargetStretches
from factors.stretch_pass import UnderWay, restore
from factors.tree import Expression
from market.array_file import read_archive, write_archive
from market.errors import InputError, Rejection

_WHAT, _REMEDY = "file of a pass", "delete it: the pass begins at the first bar"
_NAME = "pass.npz"


class PassFile:
    """The state of one batch under one version of the code and one content of the data; any other is not read."""

    def __init__(self, folder: Path, about: str, expressions: Sequence[Expression]) -> None:
        ids = [one.id for one in expressions]
        self._path = folder / _NAME
        self._about = hashlib.sha256("\n".join([about, *ids]).encode()).hexdigest()[:16]
        self._document: dict[str, Any] = {}
        self._arrays: dict[str, NDArray[Any]] = {}
        if self._path.is_file():
            document, arrays = read_archive(self._path, _WHAT, _REMEDY)
            if document.get("about") == self._about:
                self._document, self._arrays = document, arrays

    def bar(self) -> int:
        """Return the first bar that is still to be evaluated."""
        return int(self._document.get("bar", 0))

    def restore_targets(self, targets: TargetStretches) -> None:
        """Put what outcomes carry back."""
        if self._document:
            restore([targets.risk, targets.prices], [self._arrays["risk"], self._arrays["prices"]])

    def restore(self, batch: Sequence[UnderWay[QuickScorer]]) -> None:
        """Put what expressions and their scores carry back."""
        if not self._document:
            return
        for place, one in enumerate(batch):
            state = (*one.state, *one.taker.state)
            restore(state, [self._arrays[f"{place}/{k}"] for k in range(len(state))])
            refused = self._document["refused"].get(str(place))
            one.refused = None if refused is None else Rejection(**refused)
            one.seconds = float(self._document["seconds"][place])
        self._arrays = {}

    def keep(self, batch: Sequence[UnderWay[QuickScorer]], targets: TargetStretches, bar: int) -> None:
        """Write the state before `bar`: whole, or not at all."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            hint = "is the disk full or read-only?"
            raise InputError(f"cannot make {self._path.parent}: {error.strerror}", hint) from error
        arrays: dict[str, NDArray[Any]] = {"risk": targets.risk, "prices": targets.prices}
        for place, one in enumerate(batch):
            arrays |= {f"{place}/{k}": np.asarray(part) for k, part in enumerate((*one.state, *one.taker.state))}
        refused = {str(place): one.refused.to_dict() for place, one in enumerate(batch) if one.refused is not None}
        seconds = [one.seconds for one in batch]
        write_archive(self._path, {"about": self._about, "bar": bar, "refused": refused, "seconds": seconds}, arrays)

    def forget(self) -> None:
        """Delete the file: the pass is finished."""
        self._path.unlink(missing_ok=True)
