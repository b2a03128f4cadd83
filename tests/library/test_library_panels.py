"""`ag.panel`: the same market out of whatever holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import alphaglow as ag
from market.panel_store import save_panel


def _long(days: ag.Panel) -> Any:
    return days.to_frame().reset_index().rename(columns={"time": "ts", "asset": "symbol"})


FORMS = {
    "long": _long,
    "index of time and asset": lambda days: days.to_frame(),
    "columns of field and asset": lambda days: days.to_frame().unstack(),
    "polars": lambda days: pl.from_pandas(_long(days)),
    "a dict by field": lambda days: {name: days.to_frame(name) for name in days.fields},
}


@pytest.mark.parametrize("form", FORMS)
def test_one_market_in_many_forms(days: ag.Panel, form: str) -> None:
    assert ag.panel(FORMS[form](days), calendar="continuous").id == days.id


def test_frames_by_asset(days: ag.Panel) -> None:
    bars = {name: days.to_frame().xs(name, level="asset") for name in days.assets}
    assert ag.panel(bars, calendar="continuous").id == days.id


def test_closes_alone(days: ag.Panel) -> None:
    closes = days.to_frame("close")
    for given in (closes, closes.stack(), {"close": closes}):
        panel = ag.panel(given, calendar="continuous")
        np.testing.assert_allclose(panel["close"], days["close"])
        assert not np.isfinite(panel["volume"]).any()


def test_a_field_that_is_no_bar_comes_along(days: ag.Panel) -> None:
    frames = {name: days.to_frame(name) for name in days.fields} | {"funding": 0 * days.to_frame("close") + 0.1}
    panel = ag.panel(frames, calendar="continuous")
    assert (panel["funding"] == 0.1).all()
    assert ag.evaluate(panel, "-ts_mean(returns, 3) * funding").factor is not None


def test_files_and_names(days: ag.Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _long(days).to_csv(tmp_path / "bars.csv", index=False)
    read = ag.panel(tmp_path / "bars.csv", calendar="continuous")
    assert read.assets == days.assets
    np.testing.assert_allclose(read["close"], days["close"])
    assert ag.panel([tmp_path / "bars.csv"], calendar="continuous").id == read.id
    save_panel(days, tmp_path / "kept.parquet")
    assert ag.panel(str(tmp_path / "kept.parquet")).id == days.id
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ag.InputError, match="there is no file nothing"):
        ag.panel("nothing.csv")
    with pytest.raises(ag.InputError, match="no workspace here"):
        ag.panel("nothing")


def test_what_is_no_market_is_refused() -> None:
    with pytest.raises(ag.InputError, match="no frames"):
        ag.panel({})
    with pytest.raises(ag.InputError, match="is no frame"):
        ag.panel(7)


def test_qlib_folders_there_and_back(days: ag.Panel, tmp_path: Path) -> None:
    late = days.to_frame().drop(index=days.times[:30], level="time").query("asset != 'COIN03' or time > '2022-03-01'")
    panel = ag.panel(late, calendar="continuous")
    folder = panel.to_qlib(tmp_path / "q")
    again = ag.from_qlib(folder)
    assert (again.assets, again.calendar, again.bar) == (panel.assets, "continuous", panel.bar)
    np.testing.assert_array_equal(again.times, panel.times)
    np.testing.assert_array_equal(again.universe, panel.universe)
    for name in panel.fields:
        np.testing.assert_allclose(again[name], panel[name], rtol=1e-6)
    # As Qlib's own files: the first number is the row of the calendar, the rest little-endian float32.
    raw = np.fromfile(folder / "features" / "coin03" / "close.day.bin", dtype="<f4")
    first = int(np.flatnonzero(panel.universe[:, 3])[0])
    assert (raw[0], len(raw)) == (first, len(panel.times) - first + 1)
    line = (folder / "instruments" / "all.txt").read_text(encoding="utf-8").splitlines()[3]
    assert line == f"COIN03\t{str(panel.times[first])[:10]}\t{str(panel.times[-1])[:10]}"
    with pytest.raises(ag.InputError, match="is not empty"):
        panel.to_qlib(folder)
    with pytest.raises(ag.InputError, match="bars that it has: day"):
        ag.from_qlib(folder, freq="60min")
    with pytest.raises(ag.InputError, match="cannot name a folder"):
        ag.panel(days.to_frame("close").rename(columns={"COIN00": "A/B"}), calendar="continuous").to_qlib(
            tmp_path / "x"
        )
