"""Funding joins bars at its own times: what an open position pays at a settlement."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backtest.market_rows import market_rows
from backtest.trading_rules import BacktestSpec
from market.errors import InputError
from market.files import import_files
from market.funding import join_funding
from market.panel import Panel
from tests.helpers import make_panel, random_panel


def settlements(path: Path, times: list[str], rates: list[float], symbol: str = "A00") -> Path:
    pd.DataFrame({"ts": pd.to_datetime(times, utc=True), "symbol": symbol, "funding_rate": rates}).to_parquet(path)
    return path


def days(panel: Panel) -> Panel:
    """Every 24th bar of an hourly panel, as daily bars."""
    return make_panel({name: values[::24] for name, values in panel.fields.items()}, bar="D")


def test_a_settlement_belongs_to_the_bar_that_opens_with_it(tmp_path: Path) -> None:
    panel = random_panel(30, 2)
    times = ["2024-01-01 02:00", "2024-01-01 08:00", "2024-01-01 08:30", "2024-01-01 16:00"]
    joined = join_funding(panel, settlements(tmp_path / "f.parquet", times, [0.01, 0.02, 0.04, -0.01]))
    paid = joined["funding"][:, 0]
    assert np.isnan(paid[:2]).all()
    assert {int(t): round(float(paid[t]), 9) for t in np.flatnonzero(np.nan_to_num(paid))} == {
        2: 0.01,
        8: 0.02,
        9: 0.04,
        16: -0.01,
    }
    np.testing.assert_allclose(joined["funding_rate"][[2, 7, 8, 9, 29], 0], [0.01, 0.01, 0.02, 0.04, -0.01])
    assert np.isnan(joined["funding"][:, 1]).all()


def test_a_day_pays_its_three_settlements(tmp_path: Path) -> None:
    panel = days(random_panel(24 * 8, 2))
    times = [f"2024-01-0{d} {h:02d}:00" for d in (3, 4) for h in (0, 8, 16)]
    joined = join_funding(panel, settlements(tmp_path / "f.parquet", times, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2]))
    # Bought at the open of the 3rd, just after its settlement, and sold at that of the 4th, just after that one.
    ledger_rows = market_rows(joined, BacktestSpec())
    assert ledger_rows.funding[1, 0] == pytest.approx(0.2 + 0.4 + 0.8)
    # Bought at the close of the 2nd, which is the same moment.
    late = market_rows(joined, BacktestSpec(fill="close"))
    assert late.funding[0, 0] == pytest.approx(0.2 + 0.4 + 0.8)


@pytest.mark.parametrize(
    ("times", "rates", "says"),
    [
        (["2024-01-01 02:00"] * 2, [0.1, 0.2], "two settlements"),
        (["2024-01-01 02:00"], [float("nan")], "row 1"),
    ],
)
def test_bad_settlements_are_refused(tmp_path: Path, times: list[str], rates: list[float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        join_funding(random_panel(30, 2), settlements(tmp_path / "f.parquet", times, rates))


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of the panel's assets"):
        join_funding(random_panel(30, 2), settlements(tmp_path / "f.parquet", ["2024-01-01"], [0.1], "ZZZ"))
    pd.DataFrame({"x": [1]}).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(InputError, match="no column"):
        join_funding(random_panel(30, 2), tmp_path / "x.csv")


def test_real_settlements_add_up(shared_data: Path) -> None:
    panel = import_files([shared_data / "crypto_perp_1h.parquet"])
    joined = join_funding(panel, shared_data / "crypto_funding_binance.parquet")
    raw = pd.read_parquet(shared_data / "crypto_funding_binance.parquet")
    for name in ("BTCUSDT", "SOLUSDT"):
        own = raw[(raw.symbol == name) & (raw.ts >= "2023-01-01") & (raw.ts <= "2025-06-30 23:00")]
        total = np.nansum(joined["funding"][:, panel.assets.index(name)])
        assert total == pytest.approx(own.funding_rate.sum(), rel=1e-9)
    # A year long of BTC pays its 1 095 settlements.
    ledger_rows = market_rows(joined, BacktestSpec())
    year = (panel.times >= np.datetime64("2023-12-31T22")) & (panel.times < np.datetime64("2024-12-31T22"))
    assert np.count_nonzero(ledger_rows.funding[year, panel.assets.index("BTCUSDT")]) == 3 * 366
