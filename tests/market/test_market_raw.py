"""Raw series on disk, and the spans that say what of them is known."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import InputError
from market.raw import SeriesRows, add_rows, forget, only_one, open_series, read_rows
from market.spans import DAY, WEEK, Span, first_bar, gaps_by_pace, gaps_on_grid, on_grid, union, within, without

SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=6)
ABOUT = {"symbol": "AAA"}


def moments(spans: list[Span]) -> set[int]:
    return {moment for start, end in spans for moment in range(start, end)}


@given(SPANS, SPANS)
def test_spans_are_sets_of_moments(one: list[Span], other: list[Span]) -> None:
    assert moments(union(one)) == moments(one)
    assert moments(without(one, other)) == moments(one) - moments(other)
    assert moments(within(one, other)) == moments(one) & moments(other)
    for made in (union(one), without(one, other), within(one, other)):
        assert all(start < end for start, end in made)
        assert all(a[1] < b[0] for a, b in pairwise(made))


@given(st.sets(st.integers(0, 30)))
def test_gaps_are_the_bars_that_are_not_there(seen: set[int]) -> None:
    gaps = gaps_on_grid((0, 310), np.array(sorted(seen), dtype=np.int64) * 10, 10)
    assert moments([(a // 10, b // 10) for a, b in gaps]) == set(range(31)) - seen


def test_events_without_a_grid_have_gaps_by_their_pace() -> None:
    eight = np.array([0, 8, 16, 24, 40, 48], dtype=np.int64)
    assert gaps_by_pace((0, 56), eight, 8) == [(25, 40)]
    # Settled every two hours, six hours of silence are too many; at the ends one pace is not.
    assert gaps_by_pace((0, 20), np.array([2, 4, 6, 12, 14, 16, 18]), 8) == [(7, 12)]
    assert gaps_by_pace((0, 9), np.empty(0, dtype=np.int64), 8) == [(0, 9)]


def test_a_week_begins_on_monday() -> None:
    monday = int(np.datetime64("2024-01-01", "ms").astype(int))
    assert on_grid(monday + 3 * DAY, WEEK) == monday
    assert first_bar(monday + 1, WEEK) == monday + WEEK
    assert on_grid(monday, DAY) == first_bar(monday, DAY) == monday


def rows(start: int, count: int) -> SeriesRows:
    stamps = np.arange(start, start + count, dtype=np.int64)
    return SeriesRows(stamps, ("a", "b"), np.column_stack([stamps * 0.1, np.where(stamps % 3, stamps, np.nan)]))


def test_many_parts_become_one_and_nothing_is_lost(tmp_path: Path) -> None:
    series = open_series(tmp_path / "s", ABOUT, ("a", "b"))
    order = np.random.default_rng(1).permutation(200)
    for k in order:
        series = add_rows(series, rows(int(k) * 5, 5), [(int(k) * 5, int(k) * 5 + 5)])
    assert len(list((tmp_path / "s").glob("*.parquet"))) <= 65
    again = open_series(tmp_path / "s", ABOUT, ("a", "b"))
    assert (again.known, again.rows, again.first, again.last) == (((0, 1000),), 1000, 0, 999)
    read = read_rows(again)
    np.testing.assert_array_equal(read.stamps, np.arange(1000))
    np.testing.assert_array_equal(read.values, rows(0, 1000).values)
    assert again.missing((-5, 1005)) == [(-5, 0), (1000, 1005)]
    assert forget(again, [(3, 4)]).missing((0, 1000)) == [(3, 4)]


def test_another_series_or_a_torn_manifest_is_refused(tmp_path: Path) -> None:
    series = add_rows(open_series(tmp_path, ABOUT, ("a", "b")), rows(0, 5), [(0, 5)])
    with pytest.raises(InputError, match="another series"):
        open_series(tmp_path, {"symbol": "BBB"}, ("a", "b"))
    # The same bars twice can only be a mistake of ours, and is not passed on.
    twice = add_rows(series, rows(4, 5), [(5, 9)])
    with pytest.raises(InputError, match="a time twice"):
        read_rows(twice)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="fetch again"):
        open_series(tmp_path, ABOUT, ("a", "b"))


def test_a_folder_has_one_writer(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(InputError, match="another fetch"), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass
