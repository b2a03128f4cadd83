"""A panel as one Parquet file: a long table (ts, symbol, fields, in_universe) with the rest as metadata."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from market.errors import InputError
from market.panel import Panel

_KEY = b"alphaglow"
_FORMAT = 1


def save_panel(panel: Panel, path: Path) -> None:
    """Write `panel` to `path`: whole or not at all. A full disk or read-only folder is an `InputError`."""
    times, assets = panel.shape
    rows = np.tile(np.arange(times, dtype=np.int32), assets)
    columns = np.repeat(np.arange(assets, dtype=np.int32), times)
    values = {name: np.ascontiguousarray(array.T).ravel() for name, array in panel.fields.items()}
    inside = np.ascontiguousarray(panel.universe.T).ravel()
    # A row exists where anything is known; the rest comes back as NaN and outside the universe.
    keep = inside.copy()
    for array in values.values():
        keep |= ~np.isnan(array)
    # A bar that knows nothing at all (after `select`) is still a bar: its first asset stands for it.
    grid = keep.reshape(assets, times)
    grid[0, ~grid.any(axis=0)] = True
    symbols = pa.DictionaryArray.from_arrays(pa.array(columns[keep]), pa.array(list(panel.assets)))
    table = pa.table(
        {
            "ts": pa.array(panel.times[rows[keep]].astype("datetime64[ns]"), type=pa.timestamp("ns", tz="UTC")),
            "symbol": symbols,
            **{name: pa.array(array[keep], from_pandas=True) for name, array in values.items()},
            "in_universe": pa.array(inside[keep]),
        }
    )
    facts = {
        "format": _FORMAT,
        "id": panel.id,
        "assets": list(panel.assets),
        "times": len(panel.times),
        "bar_ns": int(panel.bar.astype("int64")),
        "calendar": panel.calendar,
        "name": panel.name,
        "simulated": panel.simulated,
    }
    table = table.replace_schema_metadata({_KEY: json.dumps(facts).encode()})
    write_atomically(path, lambda target: pq.write_table(table, target, compression="zstd"))


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write(temporary)` and move the result to `path`; on failure nothing is left behind."""
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}", "is the disk full or read-only?") from error
    finally:
        # Whatever stopped the writer, Ctrl-C too; after a success there is nothing left to remove.
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def load_panel(path: Path) -> Panel:
    """Read a panel that `save_panel` wrote; any other file is an `InputError`, and so is a damaged one."""
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise InputError(f"no such panel: {path}") from error
    except (OSError, pa.ArrowInvalid, UnicodeError) as error:
        raise InputError(f"cannot read {path}: {str(error).splitlines()[0]}", "import the data again") from error
    raw = (table.schema.metadata or {}).get(_KEY)
    if raw is None:
        raise InputError(
            f"{path} is a Parquet file, but not a stored panel", f"import it: alphaglow data import {path}"
        )
    try:
        facts = json.loads(raw)
        newer = facts["format"] > _FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged: its description cannot be read", "import the data again") from error
    if newer:
        raise InputError(f"{path} was written by a newer alphaglow", "upgrade alphaglow")
    stamps = table["ts"].to_numpy().astype("datetime64[ns]")
    times, row = np.unique(stamps, return_inverse=True)
    chunked = table["symbol"].combine_chunks()
    local = list(chunked.dictionary.to_pylist())
    place = np.array([facts["assets"].index(name) for name in local], dtype=np.int64)
    column = place[chunked.indices.to_numpy(zero_copy_only=False)]
    shape = (len(times), len(facts["assets"]))
    fields = {}
    for name in table.column_names:
        if name in ("ts", "symbol", "in_universe"):
            continue
        array = np.full(shape, np.nan)
        array[row, column] = table[name].to_numpy()
        fields[name] = array
    universe = np.zeros(shape, dtype=bool)
    universe[row, column] = table["in_universe"].to_numpy(zero_copy_only=False)
    panel = Panel(
        times=times,
        assets=tuple(facts["assets"]),
        fields=fields,
        universe=universe,
        bar=np.timedelta64(facts["bar_ns"], "ns"),
        calendar=facts["calendar"],
        name=facts["name"],
        simulated=facts["simulated"],
    )
    if panel.id != facts["id"]:
        raise InputError(f"{path} is damaged: its content is not what was saved", "import the data again")
    return panel
