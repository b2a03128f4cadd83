"""Bad bars are found, named and counted; repairs leave nothing to find and invent no price."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.errors import InputError
from market.quality import check_ohlcv, refuse_defects, repair_rows
from tests.helpers import calls_of


def bars(count: int = 10, symbol: str = "AAA") -> pd.DataFrame:
    times = pd.date_range("2024-01-01", periods=count, freq="1h", tz="UTC")
    return pd.DataFrame(
        {"ts": times, "symbol": symbol, "open": 10.0, "high": 11.0, "low": 9.0, "close": 10.5, "volume": 1.0}
    )


def test_clean_bars_and_missing_prices_have_no_defect() -> None:
    frame = bars()
    frame.loc[3, ["open", "high", "low", "close", "volume"]] = np.nan
    assert check_ohlcv(frame) == []
    refuse_defects([], "x.csv")


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("ts", pd.NaT, "time"),
        ("open", 0.0, "price"),
        ("close", -1.0, "price"),
        ("low", np.inf, "price"),
        ("volume", -1.0, "volume"),
        ("volume", np.inf, "volume"),
        ("high", 8.0, "range"),
        ("high", 10.2, "range"),
        ("low", 10.2, "range"),
    ],
)
def test_each_defect_is_named_by_row_and_mended(column: str, value: object, kind: str) -> None:
    frame = bars()
    frame.loc[6, column] = value
    defects = check_ohlcv(frame)
    assert (kind, 6) in {(defect.kind, defect.row) for defect in defects}
    assert {defect.row for defect in defects} == {6}
    with pytest.raises(InputError, match=r"x\.csv: row 7: AAA at"):
        refuse_defects(defects, "x.csv")
    repaired, notes = repair_rows(frame, defects)
    assert check_ohlcv(repaired) == []
    assert len(notes) == 1
    assert "1 " in notes[0]


def test_duplicates_and_order() -> None:
    frame = pd.concat([bars(), bars().iloc[[4]].assign(close=10.7)], ignore_index=True)
    defects = check_ohlcv(frame)
    assert [(defect.kind, defect.row) for defect in defects] == [("duplicate", 10), ("order", 10)]
    repaired, _ = repair_rows(frame, defects)
    assert len(repaired) == 10
    assert repaired["close"].iloc[4] == 10.7


def test_a_float32_rounding_is_no_defect() -> None:
    assert check_ohlcv(bars().assign(high=10.5 * (1 - 1e-7))) == []


def test_the_refusal_counts_what_it_does_not_show() -> None:
    with pytest.raises(InputError, match=r"row 1: .* and 7 more"):
        refuse_defects(check_ohlcv(bars().assign(volume=-1.0)), "x.csv")


def test_the_work_for_a_file_in_reverse_grows_with_its_rows() -> None:
    def work(count: int) -> int:
        frame = bars(count).iloc[::-1].reset_index(drop=True)
        assert len(check_ohlcv(frame)) == count - 1
        return calls_of(lambda: check_ohlcv(frame))

    assert work(20_000) < 4.5 * work(5_000)


NUMBERS = st.one_of(st.floats(0.5, 20), st.sampled_from([0.0, -3.0, np.nan, np.inf]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), *[NUMBERS] * 5), min_size=1, max_size=12))
def test_a_repair_leaves_nothing_to_repair(rows: list[tuple[float, ...]]) -> None:
    frame = pd.DataFrame(rows, columns=["hour", "open", "high", "low", "close", "volume"])
    frame = frame.assign(ts=pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(frame.pop("hour"), "h"), symbol="A")
    repaired, _ = repair_rows(frame, check_ohlcv(frame))
    assert check_ohlcv(repaired) == []
    # Opens and closes are kept as they were or dropped with their row.
    assert set(repaired["close"].dropna()) <= set(frame["close"].dropna())
