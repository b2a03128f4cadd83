"""A stored panel comes back the same, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from market.errors import InputError
from market.panel import Panel
from market.store import load_panel, save_panel, write_atomically
from market.synth import SynthSpec, make_market


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
