"""Whether the rows of a table stand in order, which spares their sorting, against the slow way to know it."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.quality import check_ohlcv
from market.reading.plausible import bar_length
from market.reading.row_order import in_order, same_asset, stand_together


def table(symbols: list[str], hours: list[int], kind: str) -> pd.DataFrame:
    times = pd.to_datetime(np.array(hours, dtype="int64") * 3_600_000_000_000, utc=True)
    flat = dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0)
    return pd.DataFrame({"ts": times, "symbol": pd.Series(symbols, dtype=kind)}).assign(**flat)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 6)), min_size=2, max_size=8),
    kind=st.sampled_from(["str", "object", "category"]),
    ordered=st.booleans(),
)
def test_order_is_told_as_sorting_tells_it(rows: list[tuple[str, int]], kind: str, ordered: bool) -> None:
    rows = sorted(set(rows)) if ordered else rows
    symbols, hours = [one for one, _ in rows], [hour for _, hour in rows]
    long = table(symbols, hours, kind)
    runs = 1 + sum(a != b for a, b in itertools.pairwise(symbols))
    together = runs == len(set(symbols))
    assert stand_together(long["symbol"], same_asset(long["symbol"])) == together
    rising = all(b > a for (x, a), (y, b) in itertools.pairwise(rows) if x == y)
    assert in_order(long) == (together and rising)
    assert in_order(long, sorted_assets=True) == (rows == sorted(set(rows)))
    # What is not in order is found by the checks, and what is has no such defect.
    faults = {defect.kind for defect in check_ohlcv(long)}
    steps = long.groupby("symbol", observed=True)["ts"].diff().dropna()
    assert ("order" in faults) == bool((steps < pd.Timedelta(0)).any())
    assert ("duplicate" in faults) == bool(long.duplicated(["symbol", "ts"]).any())


def test_a_row_without_a_time_is_not_in_order() -> None:
    long = table(["A", "A", "B"], [1, 2, 3], "str")
    long.loc[1, "ts"] = pd.NaT
    assert not in_order(long)
    assert in_order(long.iloc[:0])
    assert {defect.kind for defect in check_ohlcv(long)} == {"time"}


@pytest.mark.parametrize("mixed", [False, True])
def test_the_length_of_a_bar_is_the_same_in_any_order(mixed: bool) -> None:
    symbols, hours = ["A"] * 4 + ["B"] * 4, [0, 4, 8, 12, 1, 5, 9, 10]
    order = np.random.default_rng(0).permutation(8) if mixed else np.arange(8)
    long = table([symbols[k] for k in order], [hours[k] for k in order], "str")
    assert bar_length(long) == 4 * 3_600_000_000_000
