"""Longer bars agree with pandas' resampling; what is not whole or not there is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from market.errors import InputError
from market.files import from_frame
from market.panel import Panel
from market.panel_store import load_panel
from market.resampling import resample
from tests.market.case_truths import invoke
from tests.market.test_market_files import long_frame


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    # Holes at the edge of a longer bar, of a whole one, and a last one that is not whole.
    return long_frame(110).drop(index=[4, 30, *range(48, 56), 150])


def test_as_pandas_does_it(frame: pd.DataFrame) -> None:
    panel = from_frame(frame)
    rules = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    for hours in (4, 8, 24):
        made = resample(panel, np.timedelta64(hours, "h"))
        parts = {
            asset: part.set_index("ts").resample(f"{hours}h").agg(rules)[:-1].where(lambda f: f["close"].notna())
            for asset, part in frame.groupby("symbol")
        }
        for column, asset in enumerate(made.assets):
            expected = parts[asset].reindex(pd.DatetimeIndex(made.times, tz="UTC"))
            for name in rules:
                np.testing.assert_allclose(made[name][:, column], expected[name].to_numpy(), rtol=1e-12)
        assert made.bar == np.timedelta64(hours, "h")


def test_weeks_begin_on_monday_and_an_exchanges_end_on_friday() -> None:
    days = pd.bdate_range("2024-01-03", "2024-02-02")
    bars = pd.DataFrame({"ts": days, "symbol": "A", "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 1.0})
    made = resample(from_frame(bars), np.timedelta64(7, "D"))
    assert [str(time)[:10] for time in made.times] == [
        "2024-01-01", "2024-01-08", "2024-01-15", "2024-01-22", "2024-01-29",
    ]  # fmt: skip
    np.testing.assert_array_equal(made["volume"][:, 0], [3, 5, 5, 5, 5])
    assert made.bars_per_year == 52


def test_lengths_that_cannot_be(frame: pd.DataFrame) -> None:
    panel: Panel = from_frame(frame)
    for minutes in (60, 90, 300):
        with pytest.raises(InputError, match="whole number"):
            resample(panel, np.timedelta64(minutes, "m"))


def test_the_command(frame: pd.DataFrame, tmp_path: Path) -> None:
    assert invoke(tmp_path, "init", str(tmp_path / "w"))[0] == 0
    frame.to_csv(tmp_path / "x.csv", index=False)
    assert invoke(tmp_path / "w", "data", "import", str(tmp_path / "x.csv"))[0] == 0
    words = ["--since", "2024-01-02", "--until", "2024-01-04", "--assets", "BBB"]
    code, text = invoke(tmp_path / "w", "data", "resample", "--data", "x", "--to", "6h", *words)
    assert code == 0, text
    panel = load_panel(tmp_path / "w" / "data" / "x-6h.parquet")
    assert (panel.assets, panel.shape, str(panel.times[0])[:10]) == (("BBB",), (8, 1), "2024-01-02")
    for wrong in (
        [],
        ["--since", "soon"],
        ["--since", "2030-01-01"],
        ["--to", "5h"],
        ["--assets", "ZZZ", "--to", "4h"],
    ):
        assert invoke(tmp_path / "w", "data", "resample", "--data", "x", *wrong)[0] == 2
