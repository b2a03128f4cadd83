"""What is found out may be said instead, and every known source is a declaration that can be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from market.documents import load_documents
from market.panel_store import load_panel
from market.reading.recipe import all_recipes
from tests.market.case_truths import invoke, options_of
from tests.market.own_shapes import FIELDS, TRUTHS, comma, lines, text

LISTED = (
    "mt4 mt5 stooq finam kraken bitfinex coinbase kucoin okx bitmex binance-vision binance-cm bybit dukascopy histdata "
    "ninjatrader lean freqtrade zipline yfinance alphavantage polygon tiingo databento tushare akshare baostock "
    "joinquant rqdata nse tradingview cryptodatadownload coinmarketcap qlib"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("options") / "w"
    assert invoke(root.parent, "init", str(root))[0] == 0
    return root


def imported(home: Path, data: bytes, *words: str, name: str = "x.csv") -> tuple[int, str]:
    (home / name).write_bytes(data)
    return invoke(home, "data", "import", str(home / name), "--name", "x", "--replace", *words)


def same(home: Path, kind: str) -> bool:
    truth, panel = TRUTHS[kind], load_panel(home / "data" / "x.parquet")
    return bool((panel.times == truth["ts"].to_numpy().astype("datetime64[ns]")).all()) and all(
        np.allclose(panel[name][:, 0], truth[name]) for name in FIELDS
    )


def test_every_known_source_is_listed(home: Path) -> None:
    code, shown = invoke(home, "data", "recipes")
    assert code == 0
    assert set(LISTED.split()) <= {recipe.name for recipe in all_recipes()}
    assert all(recipe.name in shown for recipe in all_recipes())
    assert all(recipe.title and (recipe.header or recipe.names) for recipe in all_recipes())
    code, why = imported(home, b"ts,close\n2024-01-01,1\n2024-01-02,1\n", "--recipe", "none")
    assert code == 2
    assert "data recipes" in why


def test_all_of_it_may_be_said(home: Path) -> None:
    day, hour = TRUTHS["daily"], TRUTHS["hourly"]
    rows = lines(day, "%d.%m.%Y", ";", comma)
    words = ["--sep", ";", "--decimal", ",", "--thousands", ".", "--day-first", "--no-header", "--encoding", "cp1252"]
    code, shown = imported(home, text("", rows), *words, "--names", "ts,open,high,low,close,volume")
    assert code == 0, shown
    assert same(home, "daily")
    above = text("a;b;c;d;e;f\nDatum;Erster;Hoch;Tief;Schluss;Volumen", rows)
    assert imported(home, above, "--skip", "1", "--date-format", "%d.%m.%Y")[0] == 0
    assert same(home, "daily")
    # New York's midnight is 5 o'clock in UTC in winter; a bar's close is an hour after its open.
    local = lines(hour, lambda t: f"{t.tz_localize('UTC').tz_convert('America/New_York'):%Y-%m-%d %H:%M}")
    code, _ = imported(
        home, text("ts,open,high,low,close,volume", local), "--tz", "America/New_York", "--stamps", "open"
    )
    assert code == 0
    assert same(home, "hourly")
    thousandth = lines(day.assign(volume=day["volume"] / 1000), "%Y-%m-%d")
    head = "ts,open,high,low,close,volume"
    assert imported(home, text(head, thousandth), "--unit", "volume=1000", "--symbol", "XYZ")[0] == 0
    assert same(home, "daily")
    assert load_panel(home / "data" / "x.parquet").assets == ("XYZ",)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--sep", "ab"), "--sep 'ab' is not one character"),
        (("--encoding", "klingon"), "--encoding 'klingon' is not known"),
        (("--unit", "volume"), "is not FIELD=FACTOR"),
        (("--unit", "volume=0"), "above 0"),
        (("--unit", "weight=2"), "there is no such field"),
        (("--names", "a,b"), "has 6 columns, --names has 2"),
        (("--tz", "Mars"), "is no time zone"),
        (("--column", "close=absent"), "no such column: close=absent"),
        (("--date-format", "%Y/%m"), "cannot read times"),
    ],
)
def test_what_cannot_be_meant(home: Path, words: tuple[str, ...], says: str) -> None:
    rows = text("ts,open,high,low,close,volume", lines(TRUTHS["daily"], "%Y-%m-%d"))
    code, shown = imported(home, rows, *words)
    assert code == 2
    assert says in shown


@pytest.mark.parametrize(
    "data",
    [
        text("date,close", [f"0{n}/0{n + 1}/2024,1{n}.5" for n in range(1, 8)]),
        text("date;close", [f"2024-01-0{n};1,23{n}" for n in range(1, 8)]),
        text("date,close", [f"2024-01-02 0{n}:00 CST,1{n}.5" for n in range(1, 8)]),
        text("date,close,paper", [f"2024-01-0{n},1{n}.{k},{k}" for k in (1, 2) for n in range(1, 8)]),
        text("when,last_px", [f"2024-01-0{n},1{n}.5" for n in range(1, 8)]),
        text("date,opening,high,low,close", [f"2024-01-0{n},10,11,9,10.{n}" for n in range(1, 8)]),
        text("date,open,close,high,low", [f"2024-01-0{n},11,10.{n},9,10.5" for n in range(1, 8)]),
    ],
)  # fmt: skip
def test_each_command_that_a_refusal_names_works(home: Path, data: bytes) -> None:
    code, shown = imported(home, data)
    assert code == 2, shown
    found = options_of(shown)
    assert found, shown
    together = [word for option in found for word in option]
    alone = [imported(home, data, *option)[0] == 0 for option in found]
    assert all(alone) or imported(home, data, *together)[0] == 0, (shown, alone)


def test_dates_of_texts_and_figures_are_asked_about_too(home: Path) -> None:
    rows = text("date,open,high,low,close,volume", lines(TRUTHS["daily"], "%Y-%m-%d"))
    assert imported(home, rows, "--symbol", "BTCUSDT")[0] == 0
    (home / "oi.csv").write_text("date,symbol,oi\n03/02/2024,BTCUSDT,5\n04/02/2024,BTCUSDT,6\n")
    (home / "news.csv").write_text("date,title\n03/02/2024,Bitcoin up\n04/02/2024,Bitcoin down\n")
    join = ["data", "join", str(home / "oi.csv"), "--data", "x", "--replace"]
    texts = ["text", "import", str(home / "news.csv"), "--data", "x", "--replace"]
    for command in (join, texts):
        code, shown = invoke(home, *command)
        assert code == 2
        assert "3 February 2024 or 2 March 2024" in shown
        assert all(invoke(home, *command, *option)[0] == 0 for option in options_of(shown)[:2]), shown


@pytest.fixture
def perps(home: Path) -> Path:
    hours = pd.date_range("2024-01-01", periods=30, freq="1h")
    rows = [(t, coin, 9.0, 11.0, 8.0, 10.0, 5.0) for coin in ("BTCUSDT", "ETHUSDT") for t in hours]
    frame = pd.DataFrame(rows, columns=["ts", "symbol", *FIELDS])
    frame.to_csv(home / "bars.csv", index=False)
    assert invoke(home, "data", "import", str(home / "bars.csv"), "--name", "perps", "--replace")[0] == 0
    return home


def joined(home: Path, command: str, data: bytes, *words: str, name: str = "x.csv") -> tuple[int, str]:
    (home / name).write_bytes(data)
    return invoke(home, "data", command, str(home / name), "--data", "perps", "--name", "x", "--replace", *words)


def test_figures_are_read_as_bars_are(perps: Path) -> None:
    german = "Zeit;Symbol;Offen\n01.01.2024 02:00;BTCUSDT;1.234,5\n01.01.2024 14:00;BTCUSDT;2.345,75\n"
    words = ["--column", "open_interest=Offen", "--column", "ts=Zeit", "--day-first"]
    code, shown = joined(perps, "join", german.encode("cp1252"), *words)
    assert code == 0, shown
    assert load_panel(perps / "data" / "x.parquet")["open_interest"][[1, 2, 14], 0].tolist()[1:] == [1234.5, 2345.75]
    bare = b"1704074400,7\n1704078000,8\n"
    code, shown = joined(
        perps, "join", bare, "--no-header", "--names", "ts,tvl", "--symbol", "ETHUSDT", "--unit", "tvl=2"
    )
    assert code == 0, shown
    assert load_panel(perps / "data" / "x.parquet")["tvl"][2:4, 1].tolist() == [14, 16]
    code, shown = joined(
        perps, "join", bare, "--no-header", "--names", "ts,tvl", "--symbol", "ETHUSDT", "--unit", "oi=2"
    )
    assert (code, "--unit oi: there is no such field; the file gives tvl" in shown) == (2, True)
    local = b"ts,symbol,tvl\n2024-01-01 03:00,BTCUSDT,4\n2024-01-01 04:00,BTCUSDT,5\n"
    assert joined(perps, "join", local, "--tz", "America/New_York")[0] == 0
    assert load_panel(perps / "data" / "x.parquet")["tvl"][8:10, 0].tolist() == [4, 5]


def test_wide_tables_of_figures_have_a_column_an_asset(perps: Path) -> None:
    wide = b"ts,BTCUSDT,ETHUSDT\n2024-01-01 02:00,5,6\n2024-01-01 03:00,7,8\n"
    code, shown = joined(perps, "join", wide, "--wide", "tvl")
    assert code == 0, shown
    assert load_panel(perps / "data" / "x.parquet")["tvl"][2:4].tolist() == [[5, 6], [7, 8]]
    rates = b"ts;BTCUSDT;ETHUSDT\n2024-01-01 08:00;0,0001;0,0002\n2024-01-01 16:00;0,0003;0,0004\n"
    code, shown = joined(perps, "funding", rates, "--wide", "funding_rate")
    assert code == 0, shown
    np.testing.assert_allclose(
        load_panel(perps / "data" / "x.parquet")["funding"][[8, 16]], [[1e-4, 2e-4], [3e-4, 4e-4]]
    )
    code, shown = joined(perps, "funding", rates, "--wide", "funding_rate", "--unit", "oi=3")
    assert (code, "--unit oi: settlements have one figure; say --unit rate=0.01" in shown) == (2, True)
    assert joined(perps, "funding", rates, "--stamps", "close")[0] == 2


def test_texts_are_read_as_bars_are(perps: Path) -> None:
    rows = "Exported on Monday\nWann;Titel\n02.01.2024 10:30;Bitcoin fällt\n13.01.2024 11:00;Ethereum für alle\n"
    (perps / "n.csv").write_bytes(rows.encode("cp1252"))
    words = ["--sep", ";", "--skip", "1", "--encoding", "cp1252", "--day-first"]
    words += ["--column", "ts=Wann", "--column", "title=Titel", "--tz", "Europe/Berlin"]
    code, shown = invoke(
        perps, "text", "import", str(perps / "n.csv"), "--data", "perps", "--name", "n", "--replace", *words
    )
    assert code == 0, shown
    texts = load_documents(perps / "texts" / "n.parquet")
    assert texts.title == ("Bitcoin fällt", "Ethereum für alle")
    assert [str(time)[:16] for time in texts.known] == ["2024-01-02T09:30", "2024-01-13T10:00"]
    assert texts.assets == (("BTCUSDT",), ("ETHUSDT",))


def test_times_of_day_are_those_of_the_source(home: Path) -> None:
    head = "time,code,open,close,high,low,volume,money\n"
    rows = [f"2024-01-02 09:3{n}:00,600000.XSHG,7,7.1,7.2,6.9,100,705" for n in range(1, 6)]
    assert imported(home, (head + "\n".join(rows)).encode())[0] == 0
    minutes = load_panel(home / "data" / "x.parquet")
    # The first minute of Shanghai is stamped 09:31, its end.
    assert str(minutes.times[0])[:16] == "2024-01-02T01:30"
    days = [f"2024-01-0{n},600000.XSHG,7,7.1,7.2,6.9,100,705" for n in (2, 3, 4, 5)]
    assert imported(home, (head + "\n".join(days)).encode())[0] == 0
    assert str(load_panel(home / "data" / "x.parquet").times[0])[:16] == "2024-01-02T00:00"
    metatrader = "\n".join(f"2024.07.01,00:0{n},1.3,1.4,1.2,1.3,0" for n in range(5)).encode()
    # Eastern Standard Time in summer too; the same rows from a broker have no zone of their own.
    assert imported(home, metatrader, name="DAT_MT_EURUSD_M1_202407.csv")[0] == 0
    assert str(load_panel(home / "data" / "x.parquet").times[0])[:16] == "2024-07-01T05:00"
    assert imported(home, metatrader, name="EURUSD1.csv")[0] == 0
    assert str(load_panel(home / "data" / "x.parquet").times[0])[:16] == "2024-07-01T00:00"
