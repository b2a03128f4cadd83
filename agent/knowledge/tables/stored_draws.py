"""Draws of the largest score, kept in files beside the knowledge base: of a large one they take seconds to make.

A file is a copy of what the base says and may be deleted at any time. It is used where the base still begins with the
very trials that it was made of; what came since is added, as a process that had stayed open would have added it, so
that figures are the same to the last bit. A base on a server has no such files.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.knowledge.tables.packed_returns import shadow
from backtest.max_test import LargestScores
from market.array_file import Arrays, read_archive, write_archive
from market.errors import InputError

_WHAT = "file of draws"
# A file is written when so much was taken in since the last one: below it, making draws costs less than a blink.
WORTH_STORING = 2048
# Of the trials of a file, as many are kept at most, to be compared with the base.
_COMPARED = 32

ShadowOf = Callable[[int], NDArray[np.float32]]


@dataclass
class Witnesses:
    """A few of `count` trials, evenly spread, by which all are known again: attempts, and shadows of their returns.

    Which they are depends on the trials and their order alone: as trials come, every second of them is dropped.
    """

    count: int = 0
    ids: list[int] = field(default_factory=list)
    shadows: list[NDArray[np.float32]] = field(default_factory=list)
    step: int = 1

    def add(self, attempt_id: int, fingerprint: NDArray[np.float32]) -> None:
        """Take in one more trial."""
        if self.count % self.step == 0:
            if len(self.ids) == _COMPARED:
                self.ids, self.shadows, self.step = self.ids[::2], self.shadows[::2], 2 * self.step
            if self.count % self.step == 0:
                self.ids.append(attempt_id)
                self.shadows.append(shadow(fingerprint))
        self.count += 1


@dataclass(frozen=True, eq=False)
class StoredDraws:
    """Draws among the trials of some data, up to the number `upto` of the last; `seen` tells which trials."""

    scores: LargestScores
    upto: int
    seen: Witnesses


def draws_file(folder: Path | None, panels: Sequence[str]) -> Path | None:
    """Return where the draws of data sets taken together lie; None where there is no folder."""
    name = hashlib.sha256("\n".join(panels).encode()).hexdigest()[:24]
    return None if folder is None else folder / f"{name}.npz"


def store_draws(path: Path | None, panels: Sequence[str], epoch: int, found: StoredDraws) -> None:
    """Write draws; a folder that may not be written costs the next process some seconds, and nothing else."""
    if path is None:
        return
    counts, largest = found.scores.state()
    document = {
        "made": _made_by(found.scores),
        "panels": list(panels),
        "epoch": epoch,
        "upto": found.upto,
        "lengths": list(counts),
        "counts": list(counts.values()),
        "trials": found.seen.count,
        "step": found.seen.step,
    }
    ids = np.array(found.seen.ids, dtype=np.int64)
    arrays: Arrays = {"largest": largest, "ids": ids, "shadows": np.array(found.seen.shadows, dtype=np.float32)}
    with contextlib.suppress(OSError, InputError):
        path.parent.mkdir(exist_ok=True)
        write_archive(path, document, arrays)


def read_draws(
    path: Path | None, panels: Sequence[str], epoch: int, seed: int, shadow_of: ShadowOf, ids_upto: Callable[[int], int]
) -> StoredDraws | None:
    """Return stored draws; None where there are none, or the base does not begin with their trials.

    Parameters
    ----------
    epoch
        Of the trials of the data sets: it rises when merging changes their order.
    shadow_of
        Returns the shadow of an attempt's fingerprint as the base has it now, empty where it has none.
    ids_upto
        Returns how many trials with a fingerprint the base has up to a number.
    """
    if path is None or not path.is_file():
        return None
    empty = LargestScores(seed)
    try:
        document, arrays = read_archive(path, _WHAT, "delete it")
        ids, shadows, largest = arrays["ids"], arrays["shadows"], arrays["largest"]
        counts = dict(zip(map(int, document["lengths"]), map(int, document["counts"]), strict=True))
        known = (document["made"], document["panels"], document["epoch"])
        upto, trials, step = int(document["upto"]), int(document["trials"]), int(document["step"])
    except (InputError, KeyError, TypeError, ValueError):
        # Of another version, or half a file of a full disk: made again, and written over.
        return None
    if known != (_made_by(empty), list(panels), epoch) or largest.shape != empty.largest.shape:
        return None
    if not len(ids) or len(shadows) != len(ids) or ids_upto(upto) != trials:
        return None
    for number, there in zip(ids.tolist(), shadows, strict=True):
        if not np.array_equal(shadow_of(number), there):
            return None
    return StoredDraws(
        LargestScores.resumed(seed, counts, largest), upto, Witnesses(trials, ids.tolist(), list(shadows), step)
    )


def _made_by(scores: LargestScores) -> list[object]:
    """Return what draws depend on beside the trials."""
    return [2, scores.recipe(), scores.seed, np.__version__]
