"""The same bars in seventy shapes come out the same, or are asked about; changed files change no value in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from market.errors import InputError
from market.files import Imported, import_as
from market.reading.conventions import FileConventions, TimeForm
from tests.market.mutations import base_lines, changed_values, mutate
from tests.market.own_shapes import FIELDS, TRUTHS, all_shapes, bars, lines, text

AUTO = FileConventions()


def same(done: Imported, kind: str) -> bool:
    truth, panel = TRUTHS[kind], done.panel
    return panel.shape == (len(truth), 1) and bool(
        (panel.times == truth["ts"].to_numpy().astype("datetime64[ns]")).all()
        and all(np.allclose(panel[name][:, 0], truth[name], rtol=1e-12) for name in FIELDS)
    )


def test_the_same_bars_in_seventy_shapes(tmp_path: Path) -> None:
    shapes = all_shapes()
    assert len(shapes) >= 70
    asked, wrong = {}, []
    for name, data, kind in shapes:
        path = tmp_path / name
        path.write_bytes(data)
        try:
            done = import_as([path], AUTO)
        except InputError as error:
            asked[name] = str(error)
            continue
        if not same(done, kind):
            wrong.append((name, done.said))
    assert not wrong
    assert set(asked) == {"am_pm.csv"}
    assert "--date-format '%m/%d/%Y %I:%M:%S %p'" in asked["am_pm.csv"]
    stated = FileConventions(times=TimeForm(date_format="%m/%d/%Y %I:%M:%S %p"))
    assert same(import_as([tmp_path / "am_pm.csv"], stated), "hourly")
    assert same(import_as([tmp_path / "am_pm.csv"], FileConventions(times=TimeForm(day_first=False))), "hourly")


def test_changed_files_change_no_value_in_silence(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    path = tmp_path / "XYZ.csv"
    read = 0
    for _ in range(200):
        rows = base_lines(rng, 20)
        kind, data, untouched = mutate(rows, rng)
        path.write_bytes(data)
        try:
            done = import_as([path], AUTO)
        except InputError as error:
            assert error.hint or "--" in error.message, str(error)
            continue
        read += 1
        assert not changed_values(rows, untouched, done.panel), (kind, data, done.said)
    assert read > 80


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("x.pkl", b"\x80\x04\x95", "is a pickle"),
        ("x.csv", b"\x80\x05K\x01.", "is a pickle"),
        ("x.csv", b"<!DOCTYPE html><html>", "is a web page"),
        ("x.xlsx", b"PK\x03\x04rest", "needs the package openpyxl|no table that can be read"),
        ("x.csv", b"SQLite format 3\x00", "is a database"),
        ("x.gz", b"\x1f\x8bbroken", "cannot unpack"),
        ("x.json", b'{"a": [1, 2', "no whole JSON"),
        ("x.json", b"[1, 2, 3]", "unlike things"),
        ("x.csv", b"time,open,high,low,close\n09:30,1,1,1,1\n09:31,1,1,1,1\n", "cannot read times"),
        ("x.csv", b"ts,close\n1704067200,1\n1704067200500,2\n17040672,2\n", "no time between 1980 and now"),
        ("x.csv", b"ts,close\n34200000,1\n34260000,2\n", "time of day"),
        ("x.csv", b"ts,close\n2624-03-05 18:00,1\n2624-03-05 19:00,2\n", "cannot read times"),
        ("x.csv", b"ts,close\n2024-03-05 18:00:00,1\n2624-03-05 19:00:00,2\n", "the years|after now|cannot read"),
        ("x.csv", b"ts,close\n2031-01-01,1\n2031-01-02,2\n", "after now"),
        ("x.csv", b"ts,close\n1970-01-20 17:21:07,1\n1970-01-20 17:21:08,2\n", "read in a wrong unit"),
        ("x.csv", b"ts,close\n2024-01-01,1.5\n2024-01-02,2\n2024-01-03,-3\n2024-01-04,-3\n", "reading that is wrong"),
        ("x.csv", b"ts;close\n2024-01-01;1,234\n2024-01-02;1,235\n", "1.234 or 1234"),
        ("x.csv", b"ts,close\n2024-01-01 10:00 CST,1\n2024-01-01 11:00 CST,2\n", "--tz America/Chicago"),
    ],
)  # fmt: skip
def test_what_is_refused_says_why(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=says) as caught:
        import_as([tmp_path / name], AUTO)
    assert "\n" not in str(caught.value)


def test_repair_never_drops_another_assets_rows(tmp_path: Path) -> None:
    truth = TRUTHS["daily"]
    both = [f"{row},{code}" for code in ("A1", "B2") for row in lines(truth, "%Y-%m-%d")]
    both = [row if row.endswith("A1") else row.replace("000.00,", "111.00,") for row in both]
    path = tmp_path / "x.csv"
    path.write_bytes(text("date,open,high,low,close,volume,paper", both))
    for repair in (False, True):
        with pytest.raises(InputError, match="'paper' tells them apart; say --column symbol=paper"):
            import_as([path], AUTO, repair=repair)
    assert import_as([path], FileConventions({"symbol": "paper"})).panel.assets == ("A1", "B2")


def test_swapped_prices_are_no_defects_to_repair(tmp_path: Path) -> None:
    crossed = text("date,open,high,low,close,volume", lines(TRUTHS["daily"], "%Y-%m-%d", order=(
        "open", "close", "high", "low", "volume")))  # fmt: skip
    (tmp_path / "x.csv").write_bytes(crossed)
    with pytest.raises(InputError, match="what would fit: --column high=low --column low=close --column close=high"):
        import_as([tmp_path / "x.csv"], AUTO, repair=True)
    fits = FileConventions({"high": "low", "low": "close", "close": "high"})
    assert same(import_as([tmp_path / "x.csv"], fits), "daily")


def test_a_column_that_knows_the_next_return_is_left_out(tmp_path: Path) -> None:
    truth = bars("1D", 60)
    coming = truth["close"].shift(-1) / truth["close"] - 1
    truth.assign(clever=coming, target=1.0, size2=2.0).rename(columns={"ts": "date"}).to_csv(tmp_path / "x.csv")
    done = import_as([tmp_path / "x.csv"], AUTO)
    assert set(done.panel.fields) == {*FIELDS, "size2"}
    assert any("clever is left out" in line for line in done.said)
    kept = import_as([tmp_path / "x.csv"], FileConventions({"clever": "clever", "target": "target"}))
    assert {"clever", "target"} <= set(kept.panel.fields)


def test_closes_alone_are_filled_at_the_close(tmp_path: Path) -> None:
    truth = TRUTHS["daily"]
    truth[["ts", "close"]].assign(B=truth["close"] * 2).rename(columns={"close": "A"}).to_csv(
        tmp_path / "x.csv", index=False
    )
    done = import_as([tmp_path / "x.csv"], AUTO)
    assert done.panel.assets == ("A", "B")
    np.testing.assert_array_equal(done.panel["open"][1:, 0], done.panel["close"][:-1, 0])
    assert np.isnan(done.panel["volume"]).all()
    assert any("no open, high, low, volume" in line for line in done.said)


def test_units_and_calendars_are_said(tmp_path: Path) -> None:
    truth = bars("1D", 30)
    lots = truth.assign(money=truth["volume"] * 100 * truth["close"])
    lots.to_csv(tmp_path / "x.csv", index=False)
    assert any("--unit volume=100" in line for line in import_as([tmp_path / "x.csv"], AUTO).said)
    right = import_as([tmp_path / "x.csv"], FileConventions(units={"volume": 100.0}))
    assert not any("--unit" in line for line in right.said)
    week = truth[truth["ts"].dt.day_of_week < 5]
    week.to_csv(tmp_path / "stock.csv", index=False)
    done = import_as([tmp_path / "stock.csv"], AUTO)
    assert (done.panel.calendar, done.panel.bars_per_year) == ("exchange", 252)
    assert any("--calendar continuous" in line for line in done.said)
    for freq, count in (("7D", 52), ("MS", 12), ("QS", 4)):
        bars(freq, 10, "2020-01-01").to_csv(tmp_path / "y.csv", index=False)
        for calendar in ("exchange", "continuous"):
            assert import_as([tmp_path / "y.csv"], AUTO, calendar=calendar).panel.bars_per_year == count
