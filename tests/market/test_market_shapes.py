"""Files of the usual sources, frames and previews: whatever the shape, the same bars give the same panel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner

from agent.cli.main import cli
from market.errors import InputError
from market.files import from_frame, import_files
from market.panel import OHLCV, Panel
from market.preview import preview_files
from market.reading.conventions import FileConventions
from tests.market.test_market_files import long_frame

MS = 1_000_000


@pytest.fixture
def frame() -> pd.DataFrame:
    return long_frame(30, ("AAAUSDT", "BBBUSDT"))


@pytest.fixture
def truth(frame: pd.DataFrame) -> Panel:
    return from_frame(frame)


def epochs(frame: pd.DataFrame, scale: int = MS) -> pd.Series:
    return frame["ts"].dt.tz_localize(None).astype("datetime64[ns]").astype("int64") // scale


def klines(frame: pd.DataFrame, scale: int = MS) -> pd.DataFrame:
    """Twelve columns as Binance's bulk files have them."""
    opened = epochs(frame, scale)
    bars = [frame[name] for name in OHLCV]
    money = frame["volume"] * frame["close"]
    return pd.concat(
        [opened, *bars, opened + 3_600_000 * MS // scale - 1, money, money * 0 + 7, *(2 * [money / 2]), money * 0],
        axis=1,
    )


@pytest.mark.parametrize("ending", ["csv", "zip"])
@pytest.mark.parametrize("scale", [MS, 1000])
def test_binances_bulk_files_month_by_month(
    frame: pd.DataFrame, truth: Panel, tmp_path: Path, ending: str, scale: int
) -> None:
    paths = []
    for symbol, part in frame.groupby("symbol"):
        for month, rows in (("2024-01", part.head(20)), ("2024-02", part.tail(10))):
            path = tmp_path / f"{symbol}-1h-{month}.{ending}"
            klines(rows, scale).to_csv(path, header=False, index=False)
            paths.append(path)
    panel = import_files(paths)
    assert panel.assets == truth.assets
    np.testing.assert_array_equal(panel.times, truth.times)
    for name in OHLCV:
        np.testing.assert_allclose(panel[name], truth[name], rtol=1e-15)
    assert set(panel.fields) == {*OHLCV, "amount", "trades", "taker_buy_volume", "taker_buy_amount"}
    np.testing.assert_allclose(panel.money, truth.money, rtol=1e-12)


@pytest.mark.parametrize("mixed", [False, True])
def test_cryptodatadownload_newest_first_under_an_address(
    frame: pd.DataFrame, truth: Panel, tmp_path: Path, mixed: bool
) -> None:
    paths = []
    for symbol, part in frame.groupby("symbol"):
        unix = epochs(part)
        if mixed:
            # Its older rows are in seconds, its newer ones in milliseconds.
            unix = unix.where(np.arange(len(unix)) > 12, unix // 1000)
        coin = str(symbol)[:3]
        table = pd.DataFrame(
            {
                "unix": unix,
                "date": part["ts"].dt.strftime("%Y-%m-%d %H:%M:%S"),
                "symbol": symbol,
                **{name: part[name] for name in OHLCV[:4]},
                "Volume USDT": part["volume"] * part["close"],
                f"Volume {coin}": part["volume"],
            }
        )
        path = tmp_path / f"Binance_{symbol}_1h.csv"
        path.write_text("https://www.CryptoDataDownload.com\n" + table.iloc[::-1].to_csv(index=False))
        paths.append(path)
    panel = import_files(paths)
    assert panel.with_fields({}).times.tolist() == truth.times.tolist()
    for name in OHLCV:
        np.testing.assert_allclose(panel[name], truth[name], rtol=1e-15)
    np.testing.assert_allclose(panel["amount"], truth.money, rtol=1e-12)


@pytest.mark.parametrize("fields_first", [True, False])
def test_two_header_rows(frame: pd.DataFrame, truth: Panel, tmp_path: Path, fields_first: bool) -> None:
    wide = frame.pivot(index="ts", columns="symbol", values=list(OHLCV)).rename(columns=str.capitalize, level=0)
    wide.columns.names = ["Price", "Ticker"]
    wide.index.name = "Date"
    wide = wide if fields_first else wide.swaplevel(axis=1).sort_index(axis=1)
    wide.to_csv(tmp_path / "yf.csv")
    assert import_files([tmp_path / "yf.csv"]).id == truth.id
    assert from_frame(wide).id == truth.id


@pytest.mark.parametrize("form", ["{0}_{1}", "{1}.{0}", "{0} {1}"])
def test_asset_and_field_in_one_name(frame: pd.DataFrame, truth: Panel, tmp_path: Path, form: str) -> None:
    wide = frame.pivot(index="ts", columns="symbol", values=list(OHLCV))
    wide.columns = [form.format(asset, name) for name, asset in wide.columns]
    wide.to_csv(tmp_path / "flat.csv")
    assert import_files([tmp_path / "flat.csv"]).id == truth.id


def test_frames_of_pandas_polars_and_arrow(frame: pd.DataFrame, truth: Panel) -> None:
    plain = pl.from_pandas(frame)
    for one in (
        frame.set_index("ts"),
        frame.set_index(["ts", "symbol"]),
        plain,
        plain.lazy(),
        pa.Table.from_pandas(frame),
    ):
        assert from_frame(one).id == truth.id
    with pytest.raises(InputError, match="a list is no frame"):
        from_frame([1, 2])
    assert from_frame(pl.concat([plain, plain.tail(1)])).id == truth.id
    other = pl.concat([plain, plain.tail(1).with_columns(pl.col("volume") + 1)])
    with pytest.raises(InputError, match="the frame: row 61"):
        from_frame(other)
    notes: list[str] = []
    assert from_frame(other, repair=True, notes=notes).shape == truth.shape
    assert notes


def test_naive_times_are_of_the_zone_that_is_said(frame: pd.DataFrame, truth: Panel, tmp_path: Path) -> None:
    local = frame["ts"].dt.tz_convert("America/New_York").dt.tz_localize(None)
    frame.assign(ts=local).to_csv(tmp_path / "x.csv", index=False)
    assert import_files([tmp_path / "x.csv"], zone="America/New_York").id == truth.id
    assert import_files([tmp_path / "x.csv"]).id != truth.id


@pytest.mark.parametrize("early", [0, 1])
def test_closing_stamps_become_opens(frame: pd.DataFrame, truth: Panel, early: int) -> None:
    closes = frame["ts"] + pd.Timedelta("1h") - pd.Timedelta(early, "ms")
    assert from_frame(frame.assign(ts=closes), stamps="close").id == truth.id


def test_a_preview_says_how_a_file_is_understood(frame: pd.DataFrame, tmp_path: Path) -> None:
    one = frame[frame["symbol"] == "AAAUSDT"]
    klines(one).to_csv(tmp_path / "AAAUSDT-1h-2024-01.csv", header=False, index=False)
    preview = preview_files([tmp_path / "AAAUSDT-1h-2024-01.csv"], FileConventions())
    assert preview.shape.startswith("one asset a file")
    assert dict(preview.columns)["quote_volume"] == "amount"
    assert dict(preview.columns)["ignore"].startswith("left out")
    assert (preview.times, preview.bar_seconds, preview.assets) == ("epoch milliseconds, UTC", 3600, ("AAAUSDT",))
    assert (preview.order, preview.rows, preview.start) == ("oldest first", 30, "2024-01-01 00:00:00")
    assert preview.head[1][:2] == ("2024-01-01 00:00:00", "AAAUSDT")
    late = one.assign(close_time=(one["ts"] + pd.Timedelta("59min59s")).dt.strftime("%Y-%m-%d %H:%M:%S"), note="x")
    late.drop(columns="ts").iloc[::-1].to_csv(tmp_path / "late.csv", index=False)
    preview = preview_files([tmp_path / "late.csv"], FileConventions(zone="Europe/Zurich"))
    assert preview.times == "text without a zone, taken as Europe/Zurich"
    assert "close" in preview.stamps
    assert "--stamps open" in preview.stamps
    assert preview.order.startswith("newest first")
    assert dict(preview.columns)["note"] == "left out: not numeric"
    bad = frame.assign(volume=-1.0)
    bad.to_csv(tmp_path / "bad.csv", index=False)
    assert preview_files([tmp_path / "bad.csv"], FileConventions()).defects[-1] == "and 57 more"


def test_the_command_previews_without_a_workspace_and_records_what_it_read(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    frame.to_csv(tmp_path / "x.csv", index=False)
    runner = CliRunner()
    preview = json.loads(runner.invoke(cli, ["data", "import", "x.csv", "--preview", "--json"]).stdout)
    assert (preview["shape"], preview["count"]) == ("long", 2)
    assert "Columns" in runner.invoke(cli, ["data", "import", "x.csv", "--preview"]).stdout
    assert runner.invoke(cli, ["init", "w"]).exit_code == 0
    facts = json.loads(runner.invoke(cli, ["-w", "w", "data", "import", "x.csv", "--json"]).stdout)
    assert facts["source"] == "file"
    shown = json.loads(runner.invoke(cli, ["-w", "w", "data", "show", "--json"]).stdout)
    assert shown["query"]["files"] == ["x.csv"]
    with pytest.raises(InputError, match="no time zone"):
        runner.invoke(cli, ["-w", "w", "data", "import", "x.csv", "--tz", "Moon/Base"], catch_exceptions=False)
