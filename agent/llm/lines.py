"""JSON lines that are on the disk when the call returns."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from market.errors import InputError


def append_line(path: Path, line: Mapping[str, object], what: str = "") -> None:
    """Add one object as a line and wait for the disk; a failure is an `InputError` that says `what` the file is."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(f"cannot write {what}{path}: {error.strerror}", "is the disk full or read-only?") from error
