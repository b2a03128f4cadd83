"""What came of shards of quick scores, in files beside a run: another process, or a later one, goes on with it.

A file is of one shard under one version of the code and one content of the data, and named by a hash of both and of its
expressions. Written twice it is the same file, so nothing is counted twice.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import astuple, fields
from functools import lru_cache
from pathlib import Path

import numpy as np

from agent.cluster.node_facts import node_facts
from agent.cluster.quick_work import QuickOutcome
from backtest.quick import QuickScore
from factors.tree import Expression
from market.array_file import read_archive, write_archive
from market.errors import InputError, Rejection

_KIND = "quick scores"
_WHAT, _REMEDY = "file of quick scores", "delete it: what it held is computed again"
Kept = QuickOutcome | Rejection


class ShardFiles:
    """The shards of one run, in a folder; those of other code or other data are left alone and not read."""

    def __init__(self, folder: Path, run_id: str, work_id: str) -> None:
        self.folder = _folder_of(folder, run_id)
        code = ",".join(f"{name}={value}" for name, value in sorted(node_facts().items()))
        self._about = hashlib.sha256(f"{run_id}\n{code}\n{work_id}".encode()).hexdigest()[:12]
        self._rows: dict[str, tuple[Path, int]] = {}
        self._read = lru_cache(maxsize=4)(_read)
        for path in sorted(self.folder.glob(f"{self._about}-*.npz")):
            self._index(path)

    def find(self, expression: Expression, /) -> Kept | None:
        """Return what is known of an expression, or None."""
        place = self._rows.get(expression.id)
        return None if place is None else self._read(place[0])[place[1]]

    def keep(self, expressions: Sequence[Expression], found: Sequence[Kept], /) -> None:
        """Write a shard: whole, or not at all."""
        ids = [expression.id for expression in expressions]
        name = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
        path = self.folder / f"{self._about}-{name}.npz"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot make {self.folder}: {error.strerror}", "is the disk full or read-only?"
            ) from error
        _write(path, ids, found)
        self._rows |= {one: (path, row) for row, one in enumerate(ids)}

    @staticmethod
    def forget(folder: Path, run_id: str) -> None:
        """Delete the files of a run: all that they hold is recorded elsewhere."""
        shutil.rmtree(_folder_of(folder, run_id), ignore_errors=True)

    def _index(self, path: Path) -> None:
        document, _ = read_archive(path, _WHAT, _REMEDY)
        self._rows |= {one: (path, row) for row, one in enumerate(document["ids"])}


def _folder_of(folder: Path, run_id: str) -> Path:
    return folder / re.sub(r"[^\w-]", "-", f"shards-{run_id}")


def _write(path: Path, ids: Sequence[str], found: Sequence[Kept]) -> None:
    refused = {str(row): one.to_dict() for row, one in enumerate(found) if isinstance(one, Rejection)}
    known = [one for one in found if isinstance(one, QuickOutcome)]
    prints = [one.fingerprint for one in known]
    arrays = {
        "figures": np.array([astuple(one.quick) for one in known], dtype=np.float64),
        "fingerprints": np.concatenate(prints) if prints else np.zeros(0),
        "lengths": np.array([len(one) for one in prints], dtype=np.int64),
    }
    write_archive(path, {"kind": _KIND, "ids": list(ids), "refused": refused}, arrays)


def _read(path: Path) -> list[Kept]:
    """Return what a file holds, in the order of its expressions."""
    document, arrays = read_archive(path, _WHAT, _REMEDY)
    ends = np.cumsum(arrays["lengths"])
    prints = iter(np.split(arrays["fingerprints"], ends[:-1]) if len(ends) else [])
    figures = iter(arrays["figures"])
    whole = [field.type in (int, "int") for field in fields(QuickScore)]
    found: list[Kept] = []
    for row in range(len(document["ids"])):
        refused = document["refused"].get(str(row))
        if refused is not None:
            found.append(Rejection(**refused))
            continue
        values = [int(v) if is_whole else float(v) for v, is_whole in zip(next(figures), whole, strict=True)]
        found.append(QuickOutcome(QuickScore(*values), next(prints).copy()))  # type: ignore[arg-type]
    return found
