"""Bars as other countries' sites, terminals, databases and servers write them come out right, or are asked about."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from market.errors import InputError
from market.files import import_as
from market.panel import Panel
from market.reading.conventions import FileConventions
from tests.market.foreign_answers import answers
from tests.market.foreign_texts import DAY, HOUR, MINUTE, QUARTERS, TEXTS, Text
from tests.market.own_shapes import FIELDS, lines, text

AUTO = FileConventions()


def wrong_with(panel: Panel, truth: dict[str, pd.DataFrame]) -> str:
    """Return what of a panel is not as the bars of each asset; empty where all is."""
    if set(panel.assets) != set(truth):
        return f"assets {panel.assets[:5]}"
    for asset, frame in truth.items():
        column = panel.assets.index(asset)
        if not np.array_equal(panel.times, frame["ts"].to_numpy().astype("datetime64[ns]")):
            return f"times {panel.times[:2]}"
        for name in frame.columns.drop("ts"):
            if name not in panel.fields or not np.allclose(panel[name][:, column], frame[name], rtol=1e-9):
                return f"{name} of {asset}"
    return ""


def outcome(path: Path, data: str | bytes, truth: dict[str, pd.DataFrame]) -> str:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    try:
        return wrong_with(import_as([path], AUTO).panel, truth)
    except InputError as error:
        return f"refused: {error}"


def test_texts_of_sites_terminals_and_databases(tmp_path: Path) -> None:
    outcomes = {
        one.name: outcome(tmp_path / one.name, one.data, {one.asset or one.name.split(".")[0]: one.truth})
        for one in TEXTS
    }
    assert len(TEXTS) >= 60
    assert {name: said for name, said in outcomes.items() if said} == {}


def test_answers_of_servers(tmp_path: Path) -> None:
    outcomes = {name: outcome(tmp_path / name, data, truth) for name, data, truth in answers()}
    assert {name: said for name, said in outcomes.items() if said} == {}


def two_assets() -> dict[str, pd.DataFrame]:
    return {"AAA": DAY, "BBB": DAY.assign(close=DAY["close"] + 1, high=DAY["high"] + 1)}


def test_a_row_a_figure_is_a_row_a_bar(tmp_path: Path) -> None:
    both = pd.concat([frame.assign(symbol=asset) for asset, frame in two_assets().items()])
    melted = both.melt(id_vars=["ts", "symbol"], value_vars=list(FIELDS), var_name="field")
    assert outcome(tmp_path / "x.csv", melted.to_csv(index=False), two_assets()) == ""
    alone = DAY.melt(id_vars=["ts"], value_vars=list(FIELDS))
    assert outcome(tmp_path / "x.csv", alone.to_csv(index=False), {"x": DAY}) == ""


def test_assets_above_blocks_of_columns(tmp_path: Path) -> None:
    fields = "PX_OPEN,PX_HIGH,PX_LOW,PX_LAST,PX_VOLUME"
    first, second = (lines(frame, "%Y-%m-%d") for frame in two_assets().values())
    rows = [f"{a},{b.split(',', 1)[1]}" for a, b in zip(first, second, strict=True)]
    data = text(f",AAA,,,,,BBB,,,,\nDates,{fields},{fields}", rows)
    assert outcome(tmp_path / "x.csv", data, two_assets()) == ""


def test_running_volume_is_not_taken_for_volume(tmp_path: Path) -> None:
    rows = [
        f"{bar.ts:%Y-%m-%d %H:%M:%S},{bar.high},{bar.low},{bar.open},{bar.close},{total:.0f},{bar.volume:.0f},0"
        for bar, total in zip(MINUTE.itertuples(), MINUTE["volume"].cumsum(), strict=True)
    ]
    assert outcome(tmp_path / "x.csv", "\n".join(rows), {"x": MINUTE}) == ""


def test_open_and_close_without_a_header_differ_by_time(tmp_path: Path) -> None:
    opened = HOUR["close"].shift(fill_value=1300.0) + 0.01
    highest, lowest = np.maximum(opened, HOUR["close"]) + 1, np.minimum(opened, HOUR["close"]) - 1
    whole = HOUR.assign(open=opened.round(2), high=highest.round(2), low=lowest.round(2))
    for frame in (whole, whole[::-1]):
        data = text("", lines(frame, "%Y-%m-%d %H:%M:%S", order=("close", "high", "low", "open", "volume")))
        assert outcome(tmp_path / "x.csv", data, {"x": whole}) == ""


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ("date,Aaa,Bbb,Ccc,Ddd,volume", "--column open=Aaa --column high=Bbb --column low=Ccc --column close=Ddd"),
        ("date,bidopen,bidhigh,bidlow,bidclose,volume", "--column open=bidopen --column high=bidhigh"),
    ],
)
def test_prices_of_unknown_names_are_no_assets(tmp_path: Path, head: str, says: str) -> None:
    (tmp_path / "x.csv").write_bytes(text(head, lines(DAY, "%Y-%m-%d")))
    with pytest.raises(InputError, match=says) as caught:
        import_as([tmp_path / "x.csv"], AUTO)
    named = dict(re.findall(r"--column (\w+)=(\w+)", str(caught.value)))
    assert wrong_with(import_as([tmp_path / "x.csv"], FileConventions(named)).panel, {"x": DAY}) == ""


MOMENTS = [f"2020-01-21 14:30:{second // 2:02d}" for second in range(40)]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("timestamp,price,volume\n" + "".join(f"{t},100.{n},5\n" for n, t in enumerate(MOMENTS)), "holds trades"),
        ("".join(f"{t};100.{n};5\n" for n, t in enumerate(MOMENTS)), "trades or quotes"),
        ("Time (UTC),Ask,Bid\n" + "".join(f"{t},100.2,100.1\n" for t in MOMENTS), "holds quotes"),
        ("".join(f"EUR/USD,{t}.123,1.1,1.2\n" for t in MOMENTS), "trades or quotes"),
        ("Date,Dividends\n2019-11-07,0.77\n2020-02-07,0.77\n2020-05-08,0.82\n", "holds dividends, not bars"),
        ("Date,Stock Splits\n2014-06-09,7:1\n2020-08-31,4:1\n", "holds stock splits, not bars"),
        ("INSERT INTO bars VALUES\n('2020-01-20',1,2,1,2,5);\n", "is an SQL script"),
        ("Time (EST),close\n2020-01-20 10:00,1\n2020-01-20 11:00,2\n", "--tz EST"),
    ],
)  # fmt: skip
def test_what_holds_no_bars_says_what_it_holds(tmp_path: Path, data: str, says: str) -> None:
    (tmp_path / "x.csv").write_text(data)
    with pytest.raises(InputError, match=says) as caught:
        import_as([tmp_path / "x.csv"], AUTO)
    assert caught.value.hint


def test_a_bad_cell_in_a_column_of_an_unknown_name_is_named(tmp_path: Path) -> None:
    data = text("date,open,(igh,low,close,volume", lines(DAY, "%Y-%m-%d"))
    first = data.split(b"\n")[5].split(b",")[2]
    (tmp_path / "x.csv").write_bytes(data.replace(first, first[:-1] + b"*"))
    with pytest.raises(InputError, match=r"row 5: column '\(igh' is .* not numeric"):
        import_as([tmp_path / "x.csv"], AUTO)


def test_units_of_a_name_are_said_and_may_be_denied(tmp_path: Path) -> None:
    shape = Text("x.csv", "date,open,high,low,close,volume (k)\n", "{t:%Y-%m-%d},{o},{h},{l},{c},{v}e-3\n")
    (tmp_path / "x.csv").write_bytes(shape.data)
    done = import_as([tmp_path / "x.csv"], AUTO)
    assert any("multiplied by 1000" in line for line in done.said)
    assert wrong_with(done.panel, {"x": DAY}) == ""
    plain = import_as([tmp_path / "x.csv"], FileConventions(units={"volume": 1.0}))
    np.testing.assert_allclose(plain.panel["volume"][:, 0], DAY["volume"] / 1000)


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ("Datum,Eröffnungskurs,Höchst,Tiefst,Schlusskurs,volume", "open=Eröffnungskurs --column high=Höchst"),
        ("date,open,high,low,close,Kolicina", "--column volume=Kolicina, or --column other_kolicina=Kolicina"),
    ],
)
def test_prices_and_volumes_of_unknown_names_beside_known_ones_are_asked_for(
    tmp_path: Path, head: str, says: str
) -> None:
    (tmp_path / "x.csv").write_bytes(text(head, lines(DAY, "%Y-%m-%d")))
    with pytest.raises(InputError, match=says):
        import_as([tmp_path / "x.csv"], AUTO)


def test_a_running_total_beside_its_steps_is_no_volume(tmp_path: Path) -> None:
    total = MINUTE.assign(period_volume=MINUTE["volume"], volume=MINUTE["volume"].cumsum())
    assert outcome(tmp_path / "x.csv", total.to_csv(index=False), {"x": MINUTE}) == ""


def test_keys_of_frames_put_together_are_the_assets(tmp_path: Path) -> None:
    assert outcome(tmp_path / "x.csv", pd.concat(two_assets()).to_csv(), two_assets()) == ""


def test_days_of_matlab_are_dates(tmp_path: Path) -> None:
    days = (DAY["ts"] - pd.Timestamp("1970-01-01")).dt.days + 719_529
    assert (
        outcome(
            tmp_path / "x.csv", DAY.assign(ts=days).rename(columns={"ts": "datenum"}).to_csv(index=False), {"x": DAY}
        )
        == ""
    )


def test_bars_of_an_evening_session_keep_their_times(tmp_path: Path) -> None:
    sunday = DAY.assign(ts=DAY["ts"] - pd.Timedelta("6h"))
    assert outcome(tmp_path / "x.csv", sunday.to_csv(index=False), {"x": sunday}) == ""


def test_money_is_not_taken_from_a_column_that_is_none(tmp_path: Path) -> None:
    other = DAY.assign(score=DAY["volume"] * DAY["close"] * 1.05)
    assert outcome(tmp_path / "x.csv", other.to_csv(index=False), {"x": other}) == ""


def test_fiscal_years_are_refused_with_the_reason(tmp_path: Path) -> None:
    rows = text("period,open,high,low,close,volume", lines(QUARTERS, lambda t: f"FY{t.year}Q{t.quarter}"))
    assert "of a fiscal year, whose first month the file does not say" in outcome(tmp_path / "x.csv", rows, {})
