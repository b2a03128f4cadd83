"""Files and folders that are written whole or not at all: into a temporary one, which then takes the place."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from market.errors import InputError

# What lies in a folder that may be replaced: files by year, or by field (`market.panel_on_disk`).
_OWN = ("part-*.parquet", "*.arrow", "panel.json")


def write_atomically(path: Path, write: Callable[[Path], object], *, folder: bool = False) -> None:
    """Call `write(temporary)` and move the result to `path`; on failure nothing is left behind.

    With `folder` the temporary is an empty folder. A folder that stood at `path` is moved aside first and removed last,
    so that a crash in between leaves the old one under its temporary name, never a half-written one under `path`.
    """
    temporary: Path | None = None
    try:
        if folder:
            temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
            # mkdtemp makes it private; data are as readable as their neighbours.
            temporary.chmod(0o755)
        else:
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            os.close(handle)
            temporary = Path(name)
        write(temporary)
        if folder or path.is_dir():
            _swap(temporary, path)
        else:
            temporary.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}", "is the disk full or read-only?") from error
    finally:
        # Whatever stopped the writer, Ctrl-C too; after a success there is nothing left to remove.
        if temporary is not None:
            _remove(temporary)


def _swap(temporary: Path, path: Path) -> None:
    """Put `temporary` in the place of `path`, where one of them is a folder."""
    if not path.exists():
        temporary.replace(path)
        return
    files = list(path.iterdir()) if path.is_dir() else []
    if path.is_dir() and not (files and all(any(file.match(own) for own in _OWN) for file in files)):
        raise IsADirectoryError(21, "it is a folder, and not one of ours")
    aside = temporary.with_name(f"{temporary.name}.old")
    path.replace(aside)
    try:
        temporary.replace(path)
    except BaseException:
        aside.replace(path)
        raise
    _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
