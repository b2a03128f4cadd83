"""A stored panel comes back the same, or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from market.atomic_files import write_atomically
from market.errors import InputError
from market.manifest import Origin, manifest_path, read_manifest
from market.panel import OHLCV, Panel
from market.panel_store import load_fields, load_panel, save_panel
from market.synthetic.demo_market import SynthSpec, make_market


@pytest.fixture(scope="module")
def panel() -> Panel:
    made = make_market(SynthSpec(assets=4, bars=400)).panel
    holes = np.random.default_rng(0).random(made.shape) < 0.2
    fields = {name: np.where(holes, np.nan, values) for name, values in made.fields.items()}
    funding = np.full(made.shape, np.nan)
    funding[::8, 0] = 1e-4
    plain = Panel(made.times, made.assets, fields, ~holes, made.bar, name="with holes", simulated=True)
    return plain.with_fields({"funding": funding})


def test_the_round_trip_is_exact(panel: Panel, tmp_path: Path) -> None:
    save_panel(panel, tmp_path / "p.parquet")
    back = load_panel(tmp_path / "p.parquet")
    assert back.id == panel.id
    assert (back.assets, back.bar, back.calendar) == (panel.assets, panel.bar, panel.calendar)
    assert (back.name, back.simulated) == ("with holes", True)
    for name, values in panel.fields.items():
        np.testing.assert_array_equal(back[name], values)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.json", "p.parquet"]


def test_bars_and_assets_that_know_nothing_survive(panel: Panel, tmp_path: Path) -> None:
    fields = {name: values.copy() for name, values in panel.fields.items()}
    for values in fields.values():
        values[10:20] = np.nan
        values[:, 2] = np.nan
    universe = panel.universe.copy()
    universe[10:20] = False
    universe[:, 2] = False
    hollow = Panel(panel.times, panel.assets, fields, universe, panel.bar)
    for number, part in enumerate((hollow, hollow.select(["AUR"]), hollow.select(["CAD"]), hollow.rows(12, 30))):
        save_panel(part, tmp_path / f"{number}.parquet")
        assert load_panel(tmp_path / f"{number}.parquet").id == part.id


def test_foreign_damaged_and_newer_files_are_refused(panel: Panel, tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    with pytest.raises(InputError, match="no such panel"):
        load_panel(path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(InputError, match="not a stored panel"):
        load_panel(path)
    save_panel(panel, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot read"):
        load_panel(path)
    table = pq.read_table(pa.BufferReader(whole))
    doubled = table.set_column(2, "open", pa.array(table["open"].to_numpy() * 2))
    pq.write_table(doubled, path)
    with pytest.raises(InputError, match="damaged"):
        load_panel(path)
    newer = table.schema.metadata[b"alphaglow"].replace(b'"format": 1', b'"format": 2')
    pq.write_table(table.replace_schema_metadata({b"alphaglow": newer}), path)
    with pytest.raises(InputError, match="newer alphaglow"):
        load_panel(path)


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("x")])
def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "p.parquet"
    path.write_text("old")

    def write(target: Path) -> None:
        target.write_text("half")
        raise failure

    with pytest.raises(InputError if isinstance(failure, OSError) else type(failure)):
        write_atomically(path, write)
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["p.parquet"]


def test_a_folder_that_is_not_there(panel: Panel, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write"):
        save_panel(panel, tmp_path / "absent" / "p.parquet")


def years(panel: Panel) -> Panel:
    """The panel's bars spread over three years."""
    day = np.timedelta64(2, "D").astype("timedelta64[ns]")
    times = np.datetime64("2021-06-01", "ns") + day * np.arange(panel.shape[0])
    return Panel(times, panel.assets, panel.fields, panel.universe, day, name="years")


@pytest.mark.parametrize("by_year", [False, True])
def test_a_part_is_read_by_fields_and_dates(panel: Panel, tmp_path: Path, by_year: bool) -> None:
    whole, path = years(panel), tmp_path / "p.parquet"
    save_panel(whole, path, by_year=by_year)
    assert load_panel(path).id == whole.id
    start, end = np.datetime64("2022-01-15"), np.datetime64("2022-07-01")
    rows = (whole.times >= start) & (whole.times < end)
    part = load_panel(path, fields=["funding"], start=start, end=end)
    np.testing.assert_array_equal(part.times, whole.times[rows])
    np.testing.assert_array_equal(part["funding"], whole["funding"][rows])
    np.testing.assert_array_equal(part.universe, whole.universe[rows])
    assert set(load_panel(path, fields=[]).fields) == set(OHLCV)
    piece = load_fields(path, ["close"], start=start)
    assert list(piece.fields) == ["close"]
    np.testing.assert_array_equal(piece.fields["close"], whole["close"][whole.times >= start])
    assert load_fields(path, ["close"], start=np.datetime64("2099-01-01")).fields["close"].shape == (0, 4)
    with pytest.raises(InputError, match="no field moon"):
        load_fields(path, ["moon"])


def test_years_are_files_of_their_own_and_other_years_are_not_touched(panel: Panel, tmp_path: Path) -> None:
    whole, path = years(panel), tmp_path / "p.parquet"
    save_panel(whole, path, by_year=True)
    assert sorted(file.name for file in path.iterdir()) == [f"part-{year}.parquet" for year in (2021, 2022, 2023)]
    # The data of another year may be broken: what is asked for does not need it.
    last = path / "part-2023.parquet"
    kept = last.read_bytes()
    last.write_bytes(kept[:100] + bytes(200) + kept[300:])
    before = load_fields(path, ["close"], end=np.datetime64("2022-01-01"))
    np.testing.assert_array_equal(before.fields["close"], whole["close"][whole.times < np.datetime64("2022-01-01")])
    with pytest.raises(InputError, match=r"cannot read|damaged"):
        load_panel(path)
    last.unlink()
    with pytest.raises(InputError, match="2 of 3 files"):
        load_fields(path, ["close"])


def test_a_folder_is_replaced_whole_or_kept(panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, whole = tmp_path / "p.parquet", years(panel)
    save_panel(whole, path, by_year=True)
    save_panel(panel, path)
    assert load_panel(path).id == panel.id
    save_panel(whole, path, by_year=True)
    written = pq.write_table
    monkeypatch.setattr(
        pq, "write_table", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(InputError, match="No space left"):
        save_panel(panel, path, by_year=True)
    monkeypatch.setattr(pq, "write_table", written)
    assert load_panel(path).id == whole.id
    assert sorted(file.name for file in tmp_path.iterdir()) == ["p.json", "p.parquet"]


def test_the_manifest_tells_where_a_panel_came_from(panel: Panel, tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    origin = Origin(
        "bybit", {"symbols": ["AUR"], "since": "2024-01-01"}, "2024-02-01T00:00:00+00:00", ("x repaired",), "panel:1"
    )
    save_panel(panel, path, origin)
    manifest = read_manifest(path)
    assert manifest is not None
    assert manifest.origin == origin
    assert (manifest.panel, manifest.bars, manifest.assets) == (panel.id, *panel.shape)
    assert manifest.rows == pq.read_metadata(path).num_rows
    assert manifest.parts[0].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (manifest.start, manifest.fields) == ("2024-01-01T00:00:00", tuple(sorted(panel.fields)))
    manifest_path(path).write_text("{")
    with pytest.raises(InputError, match="damaged"):
        read_manifest(path)
    manifest_path(path).unlink()
    assert read_manifest(path) is None
    assert load_panel(path).id == panel.id
