"""Signals as a CSV file that has each bar once, even when the process was killed while it wrote."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from market.errors import InputError

_COLUMNS = (
    "time",
    "asset",
    "weight",
    "change",
    "price",
    "gate_exposure",
    "likelihood_percentile",
    "regime",
    "var_95",
    "data_age_s",
    "stale",
)
_OF_ALL = ("time", "regime", "var_95", "data_age_s")


class CsvFile:
    """A file that grows by a block of rows a signal, each block written at once.

    Parameters
    ----------
    labels
        Of the members, a column each with what it adds to the signal.

    Raises
    ------
    InputError
        When the file cannot be written, or is another's.
    """

    def __init__(self, path: Path, labels: Sequence[str]) -> None:
        self._path, self._labels = path, list(labels)
        self._header = [*_COLUMNS, *(f"contribution: {label}" for label in labels)]
        self.last = self._repaired()

    def put(self, document: Mapping[str, Any]) -> None:
        """Append a signal that is not in the file; one that is in it is left as it is."""
        if self.last is not None and str(document["time"]) <= self.last:
            return
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        if self.last is None:
            writer.writerow(self._header)
        for row in document["weights"] or [{"asset": ""}]:
            cells = {**row, **{name: document[name] for name in _OF_ALL}}
            shares = row.get("contributions", {})
            writer.writerow(
                [_cell(cells.get(name)) for name in _COLUMNS] + [_cell(shares.get(x)) for x in self._labels]
            )
        self._append(lines.getvalue().encode())
        self.last = str(document["time"])

    def _append(self, block: bytes) -> None:
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                before = os.fstat(handle).st_size
                if os.write(handle, block) < len(block):
                    os.ftruncate(handle, before)
                    raise InputError(f"cannot write {self._path}: the disk is full", "free some space and go on")
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise InputError(
                f"cannot write {self._path}: {error.strerror}", "is the disk full or read-only?"
            ) from error

    def _repaired(self) -> str | None:
        """Return the time of the last whole block, and cut off a block that was written in part."""
        if not self._path.exists() or self._path.stat().st_size == 0:
            return None
        try:
            raw = self._path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {self._path}: {error.strerror}") from error
        whole = raw[: raw.rfind(b"\n") + 1]
        rows = list(csv.reader(io.StringIO(whole.decode("utf-8", "replace"))))
        if rows and rows[0] != self._header:
            raise InputError(f"{self._path} holds something else", "name another file with --csv")
        if len(whole) < len(raw):
            with self._path.open("rb+") as file:
                file.truncate(len(whole))
        return rows[-1][0] if len(rows) > 1 else None


def _cell(value: object) -> object:
    return "" if value is None else repr(value) if isinstance(value, float) else value
