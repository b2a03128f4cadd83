"""Figures known at a time, as fields: at each bar the newest one stamped at or before its open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from market.errors import InputError
from market.panel import Panel
from market.snapshots import join_table
from tests.helpers import make_panel, random_panel


def named(panel: Panel, *assets: str) -> Panel:
    return Panel(panel.times, assets, panel.fields, panel.universe, panel.bar)


def written(path: Path, rows: list[tuple[str, str, float | None]], column: str = "open_interest") -> Path:
    pd.DataFrame(rows, columns=["ts", "symbol", column]).to_csv(path, index=False)
    return path


def test_a_bar_knows_what_was_stamped_at_or_before_its_open(tmp_path: Path) -> None:
    panel = random_panel(30, 2)
    rows = [
        ("2024-01-01 02:00:00Z", "A00", 1.0),
        ("2024-01-01 03:00:01Z", "A00", 2.0),
        ("2024-01-01 04:00:00Z", "A00", None),
    ]
    field = join_table(panel, written(tmp_path / "x.csv", rows))["open_interest"]
    assert field[1:7, 0].tolist() == pytest.approx([np.nan, 1, 1, 2, 2, 2], nan_ok=True)
    # Three bars on, it says nothing any more.
    assert np.isnan(field[7:, 0]).all()
    assert np.isnan(field[:, 1]).all()
    fresh = join_table(panel, tmp_path / "x.csv", oldest=np.timedelta64(1, "h"))["open_interest"]
    assert fresh[1:6, 0].tolist() == pytest.approx([np.nan, 1, np.nan, 2, np.nan], nan_ok=True)


def test_tables_join_one_after_another_and_funding_as_settlements(tmp_path: Path) -> None:
    panel = named(random_panel(30, 2), "BTC/USDT", "ETHUSDT")
    table = written(tmp_path / "x.csv", [("2024-01-01 02:00:00Z", "BTCUSDT", 5.0)], "tvl")
    rates = written(tmp_path / "f.csv", [("2024-01-01 08:00:00Z", "ETHUSDT", 0.01)], "funding_rate")
    both = join_table(join_table(panel, table), rates)
    assert both["tvl"][2, 0] == 5.0
    assert both["funding"][8, 1] == 0.01
    assert both["funding"][9, 1] == 0.0


@pytest.mark.parametrize(
    ("rows", "column", "says"),
    [
        ([("2024-01-01", "A00", 1.0), ("2024-01-01", "A00", 2.0)], "oi", "two values of oi for A00"),
        ([("2024-01-01", "B00", 1.0)], "oi", "none of the panel's assets"),
        ([("2024-01-01", "A00", 1.0)], "Net Flow", "can be no field"),
        ([("soon", "A00", 1.0)], "oi", "cannot read times such as 'soon'"),
    ],
)
def test_what_cannot_be_joined_is_refused(
    tmp_path: Path, rows: list[tuple[str, str, float | None]], column: str, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        join_table(random_panel(30, 2), written(tmp_path / "x.csv", rows, column))


def test_a_later_row_changes_no_earlier_bar(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    panel = random_panel(60, 3)
    stamps = np.sort(rng.choice(60 * 60, 80, replace=False))
    rows = [(f"{panel.times[0] + np.timedelta64(int(k), 'm')}Z", f"A0{rng.integers(3)}", float(rng.normal()))
            for k in stamps]  # fmt: skip
    whole = join_table(panel, written(tmp_path / "x.csv", rows), oldest=np.timedelta64(5, "h"))["open_interest"]
    for bar in (20, 45):
        early = [row for row in rows if np.datetime64(row[0][:-1]) <= panel.times[bar]]
        part = join_table(panel, written(tmp_path / "y.csv", early), oldest=np.timedelta64(5, "h"))["open_interest"]
        np.testing.assert_array_equal(part[: bar + 1], whole[: bar + 1])


def test_recorded_open_interest_agrees_with_the_price_of_its_hour(shared_data: Path) -> None:
    table = pd.read_parquet(shared_data / "crypto_perp_metrics_binance_1h.parquet")
    perp = pd.read_parquet(shared_data / "crypto_perp_1h.parquet")
    bitcoin = perp[(perp.symbol == "BTCUSDT")].iloc[:2000]
    times = bitcoin.ts.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")
    fields = {name: bitcoin[name].to_numpy(float)[:, None] for name in ("open", "high", "low", "close", "volume")}
    made = make_panel(fields)
    panel = Panel(times, ("BTCUSDT",), fields, made.universe, made.bar)
    joined = join_table(panel, shared_data / "crypto_perp_metrics_binance_1h.parquet")
    assert {"open_interest", "taker_buy_sell_ratio", "global_account_ls_ratio"} <= set(joined.fields)
    assert len(table) > 200_000
    # What a contract cost in dollars when the snapshot was taken is the bar's open, not its close.
    price = (joined["open_interest_usd"] / joined["open_interest"])[:, 0]
    off = {name: float(np.nanmedian(np.abs(price / joined[name][:, 0] - 1))) for name in ("open", "close")}
    assert off["open"] < 2e-4 < off["close"]
