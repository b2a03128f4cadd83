"""A panel on disk: a long Parquet table (ts, symbol, fields, in_universe), one file or one a year, and a manifest."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from market.atomic_files import write_atomically
from market.errors import InputError
from market.manifest import Manifest, Origin, Part, file_part, manifest_of, manifest_path
from market.panel import OHLCV, BoolArray, FloatArray, Panel, TimeArray, refuse_odd_symbols
from market.panel_on_disk import is_on_disk, open_on_disk, read_facts

if TYPE_CHECKING:
    import pyarrow as pa

_KEY = b"alphaglow"
_FORMAT = 1
_KEYS = ("ts", "symbol", "in_universe")
# A panel with more values (bars x assets x fields) is stored as a file a year: about 400 MB of float64.
LARGE = 50_000_000
# Rows of a row group: the least that is read of a file.
_GROUP = 1 << 16


@dataclass(frozen=True, eq=False)
class PanelSlice:
    """Some fields of a stored panel over some bars: what `load_fields` reads.

    Attributes
    ----------
    times
        (T,) ``datetime64[ns]``, UTC.
    fields
        Name to (T, N) float64; missing is NaN.
    universe
        (T, N) bool.
    facts
        What the file says of the whole panel: ``id``, ``bar_ns``, ``calendar``, ``name``, ``simulated``.
    """

    times: TimeArray
    assets: tuple[str, ...]
    fields: Mapping[str, FloatArray]
    universe: BoolArray
    facts: Mapping[str, Any]


def save_panel(panel: Panel, path: Path, origin: Origin | None = None, *, by_year: bool | None = None) -> Manifest:
    """Write `panel` to `path` (NAME.parquet): whole or not at all; then its manifest, NAME.json beside it.

    Parameters
    ----------
    origin
        Where the panel came from; stated in the manifest.
    by_year
        Make `path` a folder with one file a year, which is read by date without the rest. By default that is done
        above `LARGE` values.

    Raises
    ------
    InputError
        For a full disk, a read-only folder, or a symbol that no table can show.
    """
    import pyarrow.parquet as pq

    refuse_odd_symbols(panel.assets)
    split = by_year if by_year is not None else panel.universe.size * len(panel.fields) > LARGE
    years = _years(panel) if split else []
    facts = json.dumps(_facts(panel, len(years) if split else 1)).encode()
    parts: list[Part] = []

    def write(target: Path, part: Panel) -> None:
        table = _table(part).replace_schema_metadata({_KEY: facts})
        pq.write_table(table, target, compression="zstd", row_group_size=_GROUP, write_page_checksum=True)
        parts.append(file_part(target, table.num_rows))

    def write_folder(target: Path) -> None:
        for year, part in years:
            write(target / f"part-{year}.parquet", part)

    if split:
        write_atomically(path, write_folder, folder=True)
    else:
        write_atomically(path, lambda target: write(target, panel))
        parts = [Part(path.name, part.rows, part.bytes, part.sha256) for part in parts]
    manifest = manifest_of(panel, origin or Origin("simulated" if panel.simulated else "unknown"), parts)
    write_atomically(manifest_path(path), lambda target: target.write_text(manifest.to_json(), encoding="utf-8"))
    return manifest


def _facts(panel: Panel, files: int) -> dict[str, object]:
    """Return what each file says of the whole panel."""
    return {
        "format": _FORMAT,
        "id": panel.id,
        "assets": list(panel.assets),
        "times": len(panel.times),
        "bar_ns": int(panel.bar.astype("int64")),
        "calendar": panel.calendar,
        "name": panel.name,
        "simulated": panel.simulated,
        "files": files,
    }


def _years(panel: Panel) -> list[tuple[str, Panel]]:
    years = panel.times.astype("datetime64[Y]")
    edges = [0, *(np.flatnonzero(years[1:] != years[:-1]) + 1).tolist(), len(years)]
    return [(str(years[a]), panel.rows(a, b)) for a, b in itertools.pairwise(edges)]


def _table(panel: Panel) -> pa.Table:
    import pyarrow as pa

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
    # Months lie together, so that a range of dates is a range of row groups; in a month an asset's bars do.
    month = panel.times.astype("datetime64[M]").astype(np.int64)
    place = np.flatnonzero(keep)
    place = (
        place[np.argsort((month - month.min())[rows[place]].astype(np.int16), kind="stable")] if len(month) else place
    )
    symbols = pa.DictionaryArray.from_arrays(pa.array(columns[place]), pa.array(list(panel.assets)))
    return pa.table(
        {
            "ts": pa.array(panel.times[rows[place]].astype("datetime64[ns]"), type=pa.timestamp("ns", tz="UTC")),
            "symbol": symbols,
            **{name: pa.array(array[place], from_pandas=True) for name, array in values.items()},
            "in_universe": pa.array(inside[place]),
        }
    )


def load_panel(
    path: Path,
    *,
    fields: Sequence[str] | None = None,
    start: np.datetime64 | None = None,
    end: np.datetime64 | None = None,
) -> Panel:
    """Read a panel that `save_panel` wrote; any other file is an `InputError`, and so is a damaged one.

    Parameters
    ----------
    fields
        What to read beside open, high, low, close and volume; all by default.
    start, end
        Only bars in [start, end), UTC; the rest is not read.
    """
    wanted = None if fields is None else tuple(dict.fromkeys([*OHLCV, *fields]))
    if is_on_disk(path):
        found = open_on_disk(path, wanted)
        return found if start is None and end is None else found.rows(*_rows_of(found, start, end))
    part = load_fields(path, wanted, start=start, end=end)
    panel = Panel(
        times=part.times,
        assets=part.assets,
        fields=part.fields,
        universe=part.universe,
        bar=np.timedelta64(part.facts["bar_ns"], "ns"),
        calendar=part.facts["calendar"],
        name=part.facts["name"],
        simulated=part.facts["simulated"],
    )
    # A part has another id than the whole; its pages' checksums were checked on reading.
    if fields is None and start is None and end is None and panel.id != part.facts["id"]:
        raise InputError(f"{path} is damaged: its content is not what was saved", "import the data again")
    return panel


def load_fields(
    path: Path,
    fields: Sequence[str] | None = None,
    *,
    start: np.datetime64 | None = None,
    end: np.datetime64 | None = None,
) -> PanelSlice:
    """Read named fields over bars in [start, end), and nothing else: for panels larger than memory.

    Raises
    ------
    InputError
        For a file that is absent, foreign, damaged or newer than this version, and for an unknown field.
    """
    import pyarrow as pa

    if is_on_disk(path):
        return _slice_on_disk(path, fields, start, end)
    files, schema, facts = _open(path)
    known = [name for name in schema.names if name not in _KEYS]
    wanted = known if fields is None else list(fields)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise InputError(f"{path} has no field {', '.join(unknown)}", f"it has {', '.join(known)}")
    columns = ["ts", "symbol", *wanted, "in_universe"]
    try:
        table = _whole(files, columns) if start is None and end is None else _part(files, columns, start, end)
    except (OSError, pa.ArrowInvalid, UnicodeError) as error:
        raise InputError(f"cannot read {path}: {str(error).splitlines()[0]}", "import the data again") from error
    return _pivot(table, wanted, facts)


def _rows_of(panel: Panel, start: np.datetime64 | None, end: np.datetime64 | None) -> tuple[int, int]:
    first = 0 if start is None else int(panel.times.searchsorted(start))
    return first, len(panel.times) if end is None else int(panel.times.searchsorted(end))


def _slice_on_disk(
    path: Path, fields: Sequence[str] | None, start: np.datetime64 | None, end: np.datetime64 | None
) -> PanelSlice:
    found = open_on_disk(path, fields)
    part, about = slice(*_rows_of(found, start, end)), read_facts(path)
    facts = {"id": about.id, "bar_ns": about.bar_ns, "calendar": about.calendar}
    facts |= {"name": about.name, "simulated": about.simulated}
    values = {name: array[part] for name, array in found.fields.items()}
    return PanelSlice(found.times[part], found.assets, values, found.universe[part], facts)


def _whole(files: Sequence[str], columns: list[str]) -> pa.Table:
    """Read columns of all bars; `pyarrow.dataset`, which costs half a second to import, is not needed for that."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    read = []
    for file in files:
        with pq.ParquetFile(file, page_checksum_verification=True) as opened:
            read.append(opened.read(columns))
    return pa.concat_tables(read)


def _part(files: Sequence[str], columns: list[str], start: np.datetime64 | None, end: np.datetime64 | None) -> pa.Table:
    """Read columns of the bars in [start, end); row groups that hold none of them are not read."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    bounds = [pc.field("ts") >= _moment(start)] if start is not None else []
    bounds += [pc.field("ts") < _moment(end)] if end is not None else []
    checked = ds.ParquetFileFormat(
        default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    )
    condition = bounds[0] & bounds[1] if len(bounds) == 2 else bounds[0]
    return ds.dataset(list(files), format=checked).to_table(columns=columns, filter=condition)


def is_stored_panel(path: Path) -> bool:
    """Whether a path is a panel that `save_panel` wrote, and not any other file of bars."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if is_on_disk(path):
        return True
    files = sorted(path.glob("part-*.parquet")) if path.is_dir() else [path]
    if path.suffix != ".parquet" or not files:
        return False
    try:
        return _KEY in (pq.read_schema(files[0]).metadata or {})
    except (OSError, pa.ArrowInvalid):
        return False


def stored_id(path: Path) -> str:
    """Return the content id of a stored panel; no values are read."""
    if is_on_disk(path):
        return read_facts(path).id
    _, _, facts = _open(path)
    return str(facts["id"])


def stored_bar(path: Path) -> np.timedelta64:
    """Return the length of a bar of a stored panel; no values are read."""
    if is_on_disk(path):
        return np.timedelta64(read_facts(path).bar_ns, "ns")
    _, _, facts = _open(path)
    return np.timedelta64(int(facts["bar_ns"]), "ns")


def _open(path: Path) -> tuple[list[str], pa.Schema, dict[str, Any]]:
    """Return a stored panel's files, their columns and the description of the whole; no values are read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        raise InputError(f"no such panel: {path}")
    try:
        files = sorted(map(str, path.glob("part-*.parquet"))) if path.is_dir() else [str(path)]
        schema = pq.read_schema(files[0]) if files else pa.schema([])
        raw = (schema.metadata or {}).get(_KEY)
    except (OSError, pa.ArrowInvalid, ValueError) as error:
        raise InputError(f"cannot read {path}: {str(error).splitlines()[0]}", "import the data again") from error
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
    if len(files) != facts.get("files", 1):
        raise InputError(f"{path} is damaged: {len(files)} of {facts['files']} files are there", "import it again")
    return files, schema, facts


def _pivot(table: pa.Table, wanted: Sequence[str], facts: Mapping[str, Any]) -> PanelSlice:
    import pyarrow as pa

    # Hashing the times is several times faster than sorting millions of rows.
    coded = table["ts"].combine_chunks().dictionary_encode()
    stamps = coded.dictionary.cast(pa.timestamp("ns", tz=coded.dictionary.type.tz)).cast(pa.int64())
    seen = _numbers(stamps).astype("datetime64[ns]")
    order = np.argsort(seen, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    row = rank[_numbers(coded.indices)] if len(seen) else np.empty(0, np.int64)
    symbols = table["symbol"].unify_dictionaries().combine_chunks()
    if isinstance(symbols, pa.ChunkedArray):
        symbols = symbols.chunk(0) if symbols.num_chunks else pa.array([], pa.string()).dictionary_encode()
    places = {name: place for place, name in enumerate(facts["assets"])}
    local = np.array([places[name] for name in symbols.dictionary.to_pylist()], dtype=np.int64)
    column = local[_numbers(symbols.indices)] if len(local) else np.empty(0, np.int64)
    shape = (len(seen), len(facts["assets"]))
    flat = row * shape[1] + column
    fields = {}
    for name in wanted:
        array = np.full(shape, np.nan)
        array.ravel()[flat] = _numbers(table[name].combine_chunks())
        fields[name] = array
    universe = np.zeros(shape, dtype=bool)
    universe.ravel()[flat] = _numbers(table["in_universe"].combine_chunks().cast(pa.uint8()))
    return PanelSlice(seen[order], tuple(facts["assets"]), fields, universe, facts)


def _numbers(array: pa.Array) -> NDArray[Any]:
    """Return an array of numbers as numpy's, missing as NaN; ``to_numpy`` would import pandas for it."""
    return np.from_dlpack(array.fill_null(np.nan) if array.null_count else array)


def _moment(time: np.datetime64) -> pa.Scalar:
    import pyarrow as pa

    return pa.scalar(int(time.astype("datetime64[ns]").astype("int64")), type=pa.timestamp("ns", tz="UTC"))
