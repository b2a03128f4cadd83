"""Panels, files, quality, storage, splits, the synthetic market, and real recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backtest.ic import forward_returns, rank_ic
from factors.engine import evaluate
from factors.parse import parse
from factors.tree import Expression
from market.errors import InputError
from market.files import import_files
from market.panel import Panel
from market.quality import check_ohlcv
from market.split import loop_panel, make_split
from market.store import load_panel, save_panel
from market.synth import TRUTH, SynthSpec, make_market
from tests.helpers import make_panel, random_panel


def long_frame(bars: int = 30, symbols: tuple[str, ...] = ("AAA", "BBB"), freq: str = "h") -> pd.DataFrame:
    times = pd.date_range("2024-01-01", periods=bars, freq=freq, tz="UTC")
    rng = np.random.default_rng(0)
    parts = []
    for symbol in symbols:
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, bars)))
        bar = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": 7.0}
        parts.append(pd.DataFrame({"timestamp": times, "symbol": symbol, **bar}))
    return pd.concat(parts, ignore_index=True)


def write(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_long_file(tmp_path: Path, suffix: str) -> None:
    frame = long_frame()
    panel = import_files([write(frame, tmp_path / f"x{suffix}")])
    assert panel.shape == (30, 2)
    np.testing.assert_array_equal(panel["close"][:, 1], frame[frame.symbol == "BBB"]["close"])
    assert panel.bar == np.timedelta64(1, "h")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_epoch_times_are_told_apart(tmp_path: Path, unit: str) -> None:
    frame = long_frame()
    stamps = frame["timestamp"].dt.tz_localize(None).to_numpy().astype(f"datetime64[{unit}]").astype("int64")
    panel = import_files([write(frame.assign(timestamp=stamps), tmp_path / "x.csv")])
    assert panel.times[0] == np.datetime64("2024-01-01")
    assert panel.times[-1] == np.datetime64("2024-01-02T05:00")


def test_a_zone_is_turned_into_utc(tmp_path: Path) -> None:
    frame = long_frame()
    frame["timestamp"] = frame["timestamp"].dt.tz_convert("Asia/Tokyo").astype(str)
    assert import_files([write(frame, tmp_path / "x.csv")]).times[0] == np.datetime64("2024-01-01")


def test_one_asset_a_file_and_wide_files_give_the_same_panel(tmp_path: Path) -> None:
    frame = long_frame()
    whole = import_files([write(frame, tmp_path / "x.parquet")])
    singles = [write(frame[frame.symbol == s].drop(columns="symbol"), tmp_path / f"{s}_1h.csv") for s in ("AAA", "BBB")]
    assert import_files(singles).id == whole.id
    wides = [
        write(frame.pivot(index="timestamp", columns="symbol", values=f).reset_index(), tmp_path / f"wide_{f}.csv")
        for f in ("open", "high", "low", "close", "volume")
    ]
    assert import_files(wides).id == whole.id
    with pytest.raises(InputError, match="volume"):
        import_files(wides[:4])


def test_extra_numbers_become_fields_and_names_are_mapped(tmp_path: Path) -> None:
    frame = long_frame().assign(**{"Funding Rate": 0.01, "note": "x"}).rename(columns={"close": "last_px"})
    path = write(frame, tmp_path / "x.csv")
    with pytest.raises(InputError, match="--column close="):
        import_files([path])
    panel = import_files([path], columns={"close": "last_px"})
    assert set(panel.fields) == {"open", "high", "low", "close", "volume", "funding_rate"}
    with pytest.raises(InputError, match="close=nope"):
        import_files([path], columns={"close": "nope"})


def spoil(kind: str) -> pd.DataFrame:
    frame = long_frame()
    match kind:
        case "duplicate":
            frame = pd.concat([frame.iloc[:5], frame.iloc[[4]], frame.iloc[5:]], ignore_index=True)
        case "order":
            frame = frame.iloc[[0, 2, 1, *range(3, 60)]].reset_index(drop=True)
        case "price":
            frame.loc[4, "close"] = -1.0
        case "range":
            frame.loc[4, "high"] = frame.loc[4, "low"] / 2
        case "volume":
            frame.loc[4, "volume"] = -3.0
    return frame


@pytest.mark.parametrize("kind", ["duplicate", "order", "price", "range", "volume"])
def test_bad_bars_are_refused_by_row_or_mended_when_asked(tmp_path: Path, kind: str) -> None:
    path = write(spoil(kind), tmp_path / "x.csv")
    with pytest.raises(InputError, match=r"row \d+: AAA at 2024-01-01 0\d:00:00"):
        import_files([path])
    notes: list[str] = []
    panel = import_files([path], mend=True, notes=notes)
    assert notes
    assert np.isfinite(panel["close"][:, 1]).all()
    frame = pd.DataFrame({name: panel[name][:, 0] for name in ("open", "high", "low", "close", "volume")})
    again = frame.assign(ts=panel.times, symbol="AAA").dropna()
    assert check_ohlcv(again) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"a,b\n1,2\n", "no column"),
        (b"\xff\xfe\x00", "cannot read|no column|empty"),
        (b"ts,open,high,low,close,volume\n", "no rows"),
    ],
)
def test_a_file_that_is_no_data_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says):
        import_files([path])


def test_a_stored_panel_comes_back_bit_for_bit(tmp_path: Path) -> None:
    panel = random_panel(50, 4, gaps=0.2).with_fields({"funding": np.full((50, 4), np.nan)})
    save_panel(panel, tmp_path / "p.parquet")
    again = load_panel(tmp_path / "p.parquet")
    assert again.id == panel.id
    np.testing.assert_array_equal(again.universe, panel.universe)
    assert [p.name for p in tmp_path.iterdir()] == ["p.parquet"]


def test_identity_is_content() -> None:
    panel = random_panel(20, 3)
    assert panel.id == random_panel(20, 3).id
    changed = panel["close"].copy()
    changed[3, 1] += 1e-9
    assert panel.with_fields({"close": changed}).id != panel.id
    assert panel.rows(0, 19).id != panel.id
    assert panel.select(["A01", "A00"]).id != panel.id


def test_a_foreign_or_cut_file_is_refused(tmp_path: Path) -> None:
    path = write(long_frame(), tmp_path / "p.parquet")
    with pytest.raises(InputError, match="import"):
        load_panel(path)
    save_panel(random_panel(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot read"):
        load_panel(path)


def test_panels_cannot_be_changed_and_shapes_must_fit() -> None:
    panel = random_panel(20, 3)
    with pytest.raises(ValueError, match="read-only"):
        panel["close"][0, 0] = 1.0
    with pytest.raises(InputError, match="shape"):
        panel.with_fields({"x": np.zeros((3, 3))})
    with pytest.raises(InputError, match="lacks"):
        Panel(panel.times, panel.assets, {"close": panel["close"]}, panel.universe, panel.bar)


@pytest.mark.parametrize(
    ("bar", "calendar", "per_year"), [("h", "continuous", 8760), ("D", "continuous", 365), ("D", "exchange", 252)]
)
def test_a_year_has_as_many_bars_as_its_calendar(bar: str, calendar: str, per_year: float) -> None:
    ones = np.ones((10, 2))
    panel = make_panel(dict.fromkeys(("open", "high", "low", "close", "volume"), ones), bar, calendar=calendar)
    assert panel.bars_per_year == per_year


def test_split_keeps_segments_apart_and_the_holdout_out_of_the_loop() -> None:
    panel = random_panel(1000, 2)
    split = make_split(1000, embargo=40)
    assert (split.train, split.validation, split.holdout) == (slice(0, 700), slice(740, 850), slice(890, 1000))
    assert loop_panel(panel, split).times[-1] == panel.times[849]
    with pytest.raises(InputError, match="too few"):
        make_split(300, embargo=40)


def test_the_synthetic_market_holds_its_promises() -> None:
    market = make_market(SynthSpec(bars=6000))
    panel = market.panel
    assert make_market(SynthSpec(bars=6000)).panel.id == panel.id
    assert make_market(SynthSpec(bars=6000, seed=8)).panel.id != panel.id
    long = pd.DataFrame({name: values.ravel() for name, values in panel.fields.items()})
    grid = long.assign(ts=np.repeat(panel.times, 12), symbol=list(panel.assets) * 6000)
    assert check_ohlcv(grid) == []
    returns = panel["close"][1:] / panel["close"][:-1] - 1
    calm = ~market.crash[1:]
    assert returns[~calm].std() > 3 * returns[calm].std()
    kurtosis = ((returns[calm] / returns[calm].std()) ** 4).mean()
    assert kurtosis > 5
    expression = parse(TRUTH)
    assert isinstance(expression, Expression)
    ic = rank_ic(evaluate(expression, panel).values, forward_returns(panel))
    # The return of decision t is that of bar t + 1.
    broken = np.r_[market.crash[1:], False]
    assert 0.03 < np.nanmean(ic[~broken]) < 0.13
    assert np.nanmean(ic[broken]) < -0.02
    assert panel.simulated


def test_real_crypto_hours(shared_data: Path, tmp_path: Path) -> None:
    panel = import_files([shared_data / "crypto_spot_1h.parquet"])
    assert panel.shape == (24043, 68)
    btc = panel.assets.index("BTCUSDT")
    row = int(np.searchsorted(panel.times, np.datetime64("2022-01-01")))
    assert panel["open"][row, btc] == pytest.approx(46216.93, abs=0.01)
    # Twelve hours are absent for every symbol; they are gaps, not rows.
    steps = np.diff(panel.times) / panel.bar
    assert int((steps - 1).sum()) == 12
    save_panel(panel, tmp_path / "p.parquet")
    assert load_panel(tmp_path / "p.parquet").id == panel.id


def test_real_equities_are_refused_by_row_and_mended_when_asked(shared_data: Path) -> None:
    path = shared_data / "equity_sp500_1d_2013_2018.parquet"
    with pytest.raises(InputError, match=r"row \d+: \w+ at 201\d"):
        import_files([path], calendar="exchange")
    panel = import_files([path], calendar="exchange", mend=True)
    assert panel.shape[1] == 505
    assert panel.bars_per_year == 252
    assert np.isnan(panel["open"]).sum() > np.isnan(panel["close"]).sum()
