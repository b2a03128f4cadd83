"""Files of arrays and one JSON text: nothing in them is ever unpickled, and they are written whole or not at all."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.atomic_files import write_atomically
from market.errors import InputError

Arrays = dict[str, NDArray[Any]]


def write_archive(path: Path, document: Mapping[str, object], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a JSON document and arrays by name."""

    def write(target: Path) -> None:
        with target.open("wb") as file:
            np.savez(file, document=np.array(json.dumps(document)), **arrays)  # type: ignore[arg-type]  # any names

    write_atomically(path, write)


def read_archive(path: Path, what: str, remedy: str) -> tuple[dict[str, Any], Arrays]:
    """Read what `write_archive` wrote; anything else is an `InputError` that calls it `what`."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        document = json.loads(str(arrays.pop("document")))
    except FileNotFoundError as error:
        raise InputError(f"no {what} at {path}", remedy) from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        why = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise InputError(f"{path} is not a {what}: {why}", remedy) from error
    if not isinstance(document, dict):
        raise InputError(f"{path} is not a {what}", remedy)
    return document, arrays
