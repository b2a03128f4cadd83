"""Importing: every layout of the same bars gives the same panel; what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from market.errors import InputError
from market.files import import_files
from market.panel import OHLCV
from market.reading.times import parse_times


def long_frame(bars: int = 30, assets: tuple[str, ...] = ("AAA", "BBB")) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    times = pd.date_range("2024-01-01", periods=bars, freq="1h", tz="UTC")
    parts = []
    for asset in assets:
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, bars)))
        opened = close * np.exp(rng.normal(0, 0.005, bars))
        high, low = np.maximum(opened, close) * 1.01, np.minimum(opened, close) * 0.99
        volume = rng.lognormal(3, 1, bars)
        values = {"open": opened, "high": high, "low": low, "close": close, "volume": volume}
        parts.append(pd.DataFrame({"ts": times, "symbol": asset, **values}))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def frame() -> pd.DataFrame:
    return long_frame()


@pytest.fixture
def truth(frame: pd.DataFrame, tmp_path: Path) -> str:
    path = tmp_path / "truth.parquet"
    frame.to_parquet(path, index=False)
    return import_files([path]).id


def test_values_land_where_a_pivot_puts_them(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame = frame.drop(index=[4, 40])
    frame.to_csv(tmp_path / "x.csv", index=False)
    panel = import_files([tmp_path / "x.csv"])
    for name in OHLCV:
        expected = frame.pivot(index="ts", columns="symbol", values=name).to_numpy()
        np.testing.assert_array_equal(panel[name], expected)
    assert panel.bar == np.timedelta64(1, "h")
    np.testing.assert_array_equal(panel.universe, np.isfinite(panel["close"]))


@pytest.mark.parametrize("scale", [10**9, 10**6, 10**3, 1])
def test_epochs_in_any_unit(frame: pd.DataFrame, truth: str, tmp_path: Path, scale: int) -> None:
    epochs = frame["ts"].dt.tz_localize(None).to_numpy().astype("datetime64[ns]").astype(np.int64) // scale
    frame.assign(ts=epochs).to_csv(tmp_path / "x.csv", index=False)
    assert import_files([tmp_path / "x.csv"]).id == truth


def test_foreign_time_zones_become_utc(frame: pd.DataFrame, truth: str, tmp_path: Path) -> None:
    frame.assign(ts=frame["ts"].dt.tz_convert("America/New_York")).to_csv(tmp_path / "x.csv", index=False)
    assert import_files([tmp_path / "x.csv"]).id == truth


def test_csv_written_with_its_index_and_shuffled_names(frame: pd.DataFrame, truth: str, tmp_path: Path) -> None:
    names = {"ts": "Open_Time", "symbol": "Ticker", "open": "O", "high": "H", "low": "L", "close": "C", "volume": "Vol"}
    frame.rename(columns=names).to_csv(tmp_path / "x.csv")
    assert import_files([tmp_path / "x.csv"]).id == truth


def test_parquet_with_times_as_the_index(frame: pd.DataFrame, truth: str, tmp_path: Path) -> None:
    frame.set_index("ts").to_parquet(tmp_path / "named.parquet")
    frame.set_index("ts").rename_axis(None).to_parquet(tmp_path / "unnamed.parquet")
    frame.set_index(["symbol", "ts"]).to_parquet(tmp_path / "both.parquet")
    for name in ("named", "unnamed", "both"):
        assert import_files([tmp_path / f"{name}.parquet"]).id == truth


@pytest.mark.parametrize("suffix", ["", "_1h", "_data"])
def test_one_asset_a_file(frame: pd.DataFrame, truth: str, tmp_path: Path, suffix: str) -> None:
    paths = []
    for asset, part in frame.groupby("symbol"):
        paths.append(tmp_path / f"{asset}{suffix}.csv")
        part.drop(columns="symbol").to_csv(paths[-1], index=False)
    assert import_files(paths).id == truth


def test_a_pair_in_a_file_name_is_all_symbol(frame: pd.DataFrame, tmp_path: Path) -> None:
    for quote in ("USDT", "EUR"):
        frame[frame["symbol"] == "AAA"].drop(columns="symbol").to_csv(tmp_path / f"BTC_{quote}.csv", index=False)
    panel = import_files([tmp_path / "BTC_USDT.csv", tmp_path / "BTC_EUR.csv"])
    assert panel.assets == ("BTC_EUR", "BTC_USDT")


def write_wide(frame: pd.DataFrame, folder: Path) -> list[Path]:
    for name in OHLCV:
        frame.pivot(index="ts", columns="symbol", values=name).to_csv(folder / f"spot_{name}.csv")
    return [folder / f"spot_{name}.csv" for name in OHLCV]


def test_wide_files(frame: pd.DataFrame, truth: str, tmp_path: Path) -> None:
    assert import_files(write_wide(frame, tmp_path)).id == truth


def test_wide_files_that_repeat_a_time_or_a_field_or_lack_one(frame: pd.DataFrame, tmp_path: Path) -> None:
    paths = write_wide(frame, tmp_path)
    with pytest.raises(InputError, match="lack close"):
        import_files([path for path in paths if "close" not in path.name])
    with pytest.raises(InputError, match="second file for open"):
        import_files([paths[0], *paths])
    wide = pd.read_csv(paths[1])
    pd.concat([wide, wide.tail(1)]).to_csv(paths[1], index=False)
    with pytest.raises(InputError, match=r"spot_high\.csv repeats a time"):
        import_files(paths)


def test_a_mapped_column_replaces_the_one_of_that_name(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.assign(**{"Adj Close": frame["close"] * 0.999}).to_csv(tmp_path / "x.csv", index=False)
    panel = import_files([tmp_path / "x.csv"], columns={"close": "Adj Close"})
    np.testing.assert_allclose(panel["close"][:, 0], frame["close"][:30] * 0.999, rtol=1e-15)
    assert set(panel.fields) == set(OHLCV)


def test_extra_columns_come_along_and_may_be_named(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame = frame.assign(**{"funding rate (%)": 0.01, "note": "text"}, rate8=0.02)
    frame.to_csv(tmp_path / "x.csv", index=False)
    panel = import_files([tmp_path / "x.csv"], columns={"funding": "rate8"})
    assert set(panel.fields) == {*OHLCV, "funding_rate_", "funding"}
    with pytest.raises(InputError, match="no such column: funding=absent"):
        import_files([tmp_path / "x.csv"], columns={"funding": "absent"})


def test_eight_digit_dates_are_dates_not_seconds() -> None:
    read = parse_times(pd.Series([20240131, 20240201]), Path("x.csv"))
    assert list(read.dt.strftime("%Y-%m-%d")) == ["2024-01-31", "2024-02-01"]


def test_a_missing_epoch_is_named_or_dropped(frame: pd.DataFrame, tmp_path: Path) -> None:
    epochs = (frame["ts"].dt.tz_localize(None).to_numpy().astype("datetime64[s]").astype(np.int64)).astype(float)
    epochs[[6, 50]] = np.nan, np.inf
    frame.assign(ts=epochs).to_parquet(tmp_path / "x.parquet", index=False)
    with pytest.raises(InputError, match=r"row 7: AAA .* has no time"):
        import_files([tmp_path / "x.parquet"])
    notes: list[str] = []
    panel = import_files([tmp_path / "x.parquet"], repair=True, notes=notes)
    assert int(panel.universe.sum()) == 58
    assert any("dropped 2 rows" in note for note in notes)


def test_the_bar_is_the_step_within_an_asset(tmp_path: Path) -> None:
    one, other = long_frame(40, ("AAA",)), long_frame(40, ("BBB",))
    pd.concat([one, other.assign(ts=other["ts"] + pd.Timedelta("30min"))]).to_csv(tmp_path / "x.csv", index=False)
    assert import_files([tmp_path / "x.csv"]).bar == np.timedelta64(1, "h")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ("ts,open,high,low,close,volume\n", "has no rows"),
        ("ts,open,high,low,volume\n2024-01-01,1,1,1,1\n", "no column for close"),
        ("ts,open,high,low,close,volume\nyesterday,1,1,1,1,1\n", "cannot read times"),
        ("ts,open,high,low,close,volume\n2024-01-01,1,1,1,abc,1\n", "not numeric"),
        ("ts,open,high,low,close,volume\n2024-01-01,1,1,1,1,1\n", "fewer than two bars"),
        (
            "ts,symbol,open,high,low,close,volume\n2024-01-01,,1,1,1,1,1\n2024-01-02,A,1,1,1,1,1\n",
            "row 1 has no symbol",
        ),
        ("a,b\n1,2,3\n4,5,6,7\n", "cannot read|no header|no column"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(InputError, match=says) as caught:
        import_files([tmp_path / "x.csv"])
    assert "\n" not in str(caught.value)


def test_no_file_or_not_parquet(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        import_files([tmp_path / "absent.csv"])
    (tmp_path / "x.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(InputError, match="cannot read"):
        import_files([tmp_path / "x.parquet"])


def test_real_coins_and_real_stocks(shared_data: Path) -> None:
    coins = import_files([shared_data / "crypto_perp_4h.parquet"])
    assert coins.shape[1] == 26
    assert coins.bar == np.timedelta64(4, "h")
    assert int(coins.universe.sum()) == 288_099
    stocks = shared_data / "equity_sp500_1d_2013_2018.parquet"
    with pytest.raises(InputError, match="AOS at 2014-05-19"):
        import_files([stocks], calendar="exchange")
    notes: list[str] = []
    panel = import_files([stocks], calendar="exchange", repair=True, notes=notes)
    assert panel.shape[1] == 505
    assert notes == ["widened high or low of 12 bars to enclose open and close"]
