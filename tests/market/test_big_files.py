"""Files larger than memory give the panel that the whole file gives, stored by field; what is wrong is named."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from market.errors import InputError
from market.files import import_files
from market.manifest import read_manifest
from market.panel import Panel
from market.panel_folder import save_on_disk
from market.panel_on_disk import MappedFile, open_on_disk
from market.panel_store import is_stored_panel, load_fields, load_panel, stored_bar, stored_id
from market.reading.conventions import FileConventions
from market.sorting_rows import PieceSizes, import_in_pieces

_SMALL = PieceSizes(bytes=30_000, rows=400)


def _bars(days: int = 400, assets: int = 4) -> pd.DataFrame:
    """Return long daily bars over two calendar years; the last asset is listed late, and one bar has no volume."""
    rng = np.random.default_rng(3)
    frames = []
    for k in range(assets):
        times = pd.date_range("2021-06-01", periods=days, freq="D")[k * 30 :]
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, len(times)))).round(4)
        frame = pd.DataFrame({"time": times, "symbol": f"A{assets - k}", "open": close, "close": close})
        frame["high"], frame["low"], frame["volume"] = close * 1.01, close * 0.99, rng.integers(1, 99, len(times))
        frame["funding"] = rng.normal(0, 1e-4, len(times))
        frames.append(frame)
    long = pd.concat(frames, ignore_index=True)
    long.loc[7, "volume"] = np.nan
    return long


def _pieces(path: Path, folder: Path, reading: FileConventions | None = None) -> Panel:
    return import_in_pieces(
        [path], reading or FileConventions(), folder / "x.panel", name=path.stem, sizes=_SMALL
    ).panel


def _written(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    else:
        frame.to_csv(path, index=False, sep=";" if "semicolon" in path.name else ",")
    return path


@pytest.mark.parametrize(
    ("name", "order"),
    [("bars.csv", "by asset"), ("semicolon.csv", "by time"), ("bars.csv.gz", "shuffled"), ("bars.parquet", "by time")],
)
def test_a_file_in_pieces_is_the_panel_of_the_whole_file(tmp_path: Path, name: str, order: str) -> None:
    bars = _bars()
    if order == "by time":
        bars = bars.sort_values(["time", "symbol"])
    elif order == "shuffled":
        bars = bars.sample(frac=1.0, random_state=1)
    path = _written(bars, tmp_path / name)
    whole, pieces = import_files([path], name="x"), _pieces(path, tmp_path)
    assert pieces.id == whole.id
    assert pieces.fields.keys() == whole.fields.keys()
    assert (pieces.bar, pieces.calendar, pieces.assets) == (whole.bar, whole.calendar, whole.assets)


def test_one_asset_a_file_is_called_after_its_file(tmp_path: Path) -> None:
    paths = []
    for symbol, frame in _bars().groupby("symbol"):
        paths.append(_written(frame.drop(columns="symbol"), tmp_path / f"{symbol}.csv"))
    done = import_in_pieces(paths, FileConventions(), tmp_path / "x.panel", sizes=_SMALL)
    assert done.panel.id == import_files(paths).id


def test_closes_as_stamps_and_repeated_rows_are_understood_as_in_a_whole_file(tmp_path: Path) -> None:
    bars = _bars()
    bars["time"] = bars["time"] + pd.Timedelta("23:59:59")
    path = _written(pd.concat([bars, bars.head(5)]), tmp_path / "late.csv")
    done = import_in_pieces([path], FileConventions(), tmp_path / "x.panel", sizes=_SMALL)
    assert done.panel.id == import_files([path]).id
    assert any("5 rows repeat another exactly" in note for note in done.said)
    assert str(done.panel.times[0])[:19] == "2021-06-01T00:00:00"


def test_what_a_later_piece_contradicts_is_refused_with_its_lines(tmp_path: Path) -> None:
    bars = _bars()
    bars["funding"] = bars["funding"].astype(object)
    bars.loc[900:, "funding"] = "later"
    with pytest.raises(InputError, match=r"lines \d+ to \d+ hold no numbers in funding"):
        _pieces(_written(bars, tmp_path / "bars.csv"), tmp_path)
    assert not list(tmp_path.glob("*.panel")), "nothing half-written stays"


def test_a_bad_row_is_named_by_its_line(tmp_path: Path) -> None:
    bars = _bars()
    bars.loc[1000, "close"] = -1.0
    with pytest.raises(InputError, match=r"line 1002: A\d at .* has a close that is not a positive number"):
        _pieces(_written(bars, tmp_path / "bars.csv"), tmp_path)


def test_two_rows_of_one_bar_that_differ_are_refused_wherever_they_are(tmp_path: Path) -> None:
    bars = _bars()
    other = bars.iloc[[3]].assign(volume=12345)
    with pytest.raises(InputError, match="A4 has two rows of 2021-06-04T00:00:00 that differ in volume"):
        _pieces(_written(pd.concat([bars, other]), tmp_path / "bars.csv"), tmp_path)


@pytest.mark.parametrize("kind", ["wide", "question"])
def test_what_needs_the_whole_file_is_refused(tmp_path: Path, kind: str) -> None:
    bars = _bars()
    if kind == "wide":
        bars = bars.pivot(index="time", columns="symbol", values="close").reset_index()
    else:
        bars["time"] = bars["time"].dt.strftime("%d/%m/%Y")
    with pytest.raises(InputError) as refused:
        _pieces(_written(bars, tmp_path / "bars.csv"), tmp_path)
    assert ("--date-format" in refused.value.hint) == (kind == "question")


def test_a_panel_on_disk_is_the_panel(tmp_path: Path) -> None:
    path = tmp_path / "x.panel"
    whole = import_files([_written(_bars(), tmp_path / "bars.csv")], name="x")
    manifest = save_on_disk(whole, path)
    stored = load_panel(path)
    assert (stored_id(path), stored_bar(path), is_stored_panel(path)) == (whole.id, whole.bar, True)
    assert replace(stored).id == whole.id, "found again from the values"
    part = load_panel(path, fields=["funding"], start=np.datetime64("2022-01-01"), end=np.datetime64("2022-02-01"))
    np.testing.assert_array_equal(part["close"], whole["2022-01":"2022-01"]["close"])
    read = load_fields(path, ["volume"], start=np.datetime64("2022-01-01"))
    np.testing.assert_array_equal(read.fields["volume"], whole["2022":]["volume"])
    assert stored.rows(100, 200).id == whole.rows(100, 200).id
    assert stored.select(["A2"]).id == whole.select(["A2"]).id
    stored.release(0, 400)
    np.testing.assert_array_equal(stored["open"], whole["open"])
    assert read_manifest(path) == manifest
    with pytest.raises(ValueError, match="read-only"):
        stored["close"][0, 0] = 1.0
    years = json.loads((path / "panel.json").read_text())["parts"]["volume"]
    assert [(one["year"], one["start"], one["stop"]) for one in years] == [(2021, 0, 214), (2022, 214, 400)]
    assert years[0]["known"] == np.isfinite(whole["volume"][:214]).sum()


def test_a_part_that_is_missing_or_changed_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.panel"
    save_on_disk(import_files([_written(_bars(), tmp_path / "bars.csv")]), path)
    opened = open_on_disk(path)
    file = path / "close.arrow"
    original = file.read_bytes()
    at = original.index(np.float64(opened["close"][300, 1]).tobytes())
    file.write_bytes(original[:at] + np.float64(1.5).tobytes() + original[at + 8 :])
    with pytest.raises(InputError, match=r"close\.arrow is damaged: its values of 2022 are not"):
        load_panel(path)
    with pytest.raises(InputError, match=r"close\.arrow was changed while it was in use"):
        opened.refuse_changes()
    file.write_bytes(original[:1000])
    with pytest.raises(InputError, match=r"close\.arrow is damaged"):
        load_panel(path)
    file.unlink()
    with pytest.raises(InputError, match=r"close\.arrow is missing"):
        load_panel(path)


def test_what_is_read_to_be_compared_does_not_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = import_files([_written(_bars(), tmp_path / "bars.csv")])
    save_on_disk(whole, tmp_path / "x.panel")
    released: list[tuple[str, int]] = []
    truly = MappedFile.release

    def release(file: MappedFile, rows: NDArray[Any]) -> None:
        released.append((file.path.stem, len(rows)))
        truly(file, rows)

    monkeypatch.setattr(MappedFile, "release", release)
    panel = open_on_disk(tmp_path / "x.panel")
    rows = Counter[str]()
    for name, count in released:
        rows[name] += count
    assert rows == dict.fromkeys([*panel.fields, "in_universe", "ts"], len(panel.times))
    assert panel["close"].tobytes() == whole["close"].tobytes()
