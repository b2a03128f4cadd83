"""Sessions of an exchange: holidays and half days are no missing bars, and flags are known before a session."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent.study.early_check import read_early
from agent.study.workspace import Workspace
from factors.parse import parse
from factors.tree import Expression
from market.checks.all_checks import check_panel
from market.errors import InputError, Rejection
from market.panel import Panel
from market.panel_store import load_panel
from market.sessions import expected_times, session_flags, sessions_of
from tests.market.case_truths import invoke

needs_calendars = pytest.mark.skipif(
    importlib.util.find_spec("exchange_calendars") is None, reason="the extra `calendars` is not installed"
)


def panel_at(times: pd.DatetimeIndex, minutes: int) -> Panel:
    close = 100 + np.random.default_rng(1).normal(size=(len(times), 1)).cumsum(axis=0)
    fields = dict.fromkeys(("open", "high", "low", "close"), close) | {"volume": close * 0 + 5}
    bar = np.timedelta64(minutes, "m").astype("timedelta64[ns]")
    inside = np.ones(close.shape, dtype=bool)
    return Panel(times.tz_localize(None).to_numpy(), ("AAA",), fields, inside, bar, "exchange")


def new_york(first: str, last: str, minutes: int) -> Panel:
    """Every weekday of New York, from 9:30 to 16:00, whether it is a holiday or not."""
    days = pd.date_range(first, last, freq="B")
    if minutes == 1440:
        return panel_at(days, minutes)
    parts = [pd.date_range(f"{day:%Y-%m-%d} 09:30", f"{day:%Y-%m-%d} 15:59", freq=f"{minutes}min") for day in days]
    return panel_at(pd.DatetimeIndex(np.concatenate(parts)).tz_localize("America/New_York").tz_convert("UTC"), minutes)


def without(panel: Panel, *days: str) -> Panel:
    keep = ~np.isin(panel.times.astype("datetime64[D]"), np.array(days, dtype="datetime64[D]"))
    fields = {name: values[keep] for name, values in panel.fields.items()}
    return replace(panel, times=panel.times[keep], fields=fields, universe=panel.universe[keep])


def found(panel: Panel, code: str) -> list[tuple[str, str, str]]:
    report = check_panel(panel, exchange=code)
    return [(f.kind, str(f.start)[:16], f.sentence) for f in report.findings if f.kind in ("gap", "clock")]


@needs_calendars
def test_a_holiday_is_no_gap_and_a_missing_session_is_one() -> None:
    whole = new_york("2024-06-03", "2024-07-31", 1440)
    closed = without(whole, "2024-06-19", "2024-07-04")
    assert found(closed, "xnys") == []
    assert found(without(closed, "2024-07-10"), "XNYS") == [
        ("gap", "2024-07-10T00:00", "1 session of XNYS missing for every asset")
    ]
    # By weekdays alone a single missing day cannot be told from a holiday.
    assert not [one for one in found(without(closed, "2024-07-10"), "") if one[0] == "gap"]
    assert found(whole, "XNYS") == [
        ("clock", "2024-06-19T00:00", "a bar while XNYS is closed"),
        ("clock", "2024-07-04T00:00", "a bar while XNYS is closed"),
    ]
    assert ("clock", "2024-07-15T00:00", "a bar while XTKS is closed") in found(closed, "XTKS")


@needs_calendars
def test_half_days_end_early_across_a_change_of_the_clock() -> None:
    # Friday 29 November 2024 closes at 13:00; the clock changed on 3 November.
    hours = new_york("2024-10-28", "2024-12-06", 30)
    sessions = sessions_of("XNYS", hours)
    assert [str(day) for day in sessions.days[sessions.half]] == ["2024-11-29"]
    wanted = expected_times(sessions, hours)
    assert np.isin(wanted, hours.times).all()
    missing = np.setdiff1d(hours.times, wanted).astype("datetime64[D]")
    assert {str(day) for day in missing} == {"2024-11-28", "2024-11-29"}
    traded = without(hours, "2024-11-28")
    flagged = session_flags(sessions_of("XNYS", traded), traded)
    day = traded.times.astype("datetime64[D]") == np.datetime64("2024-11-29")
    assert (
        flagged["half_day"][day, 0].tolist() == [1.0] * 7 + [np.nan] * 6
        or np.isnan(flagged["half_day"][day, 0][7:]).all()
    )
    assert flagged["first_bar"][day, 0][:7].tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert flagged["last_bar"][day, 0][:7].tolist() == [0, 0, 0, 0, 0, 0, 1]
    # A shorter panel has the same flags: they are known beforehand.
    short = traded.rows(0, 200)
    again = session_flags(sessions_of("XNYS", short), short)
    for name in ("first_bar", "last_bar", "half_day"):
        np.testing.assert_array_equal(again[name], flagged[name][:200])


@needs_calendars
def test_commands_name_the_exchange(tmp_path: Path) -> None:
    assert invoke(tmp_path, "init", str(tmp_path / "w"))[0] == 0
    hours = new_york("2024-07-01", "2024-07-12", 30)
    pd.DataFrame({"ts": hours.times, **{name: values[:, 0] for name, values in hours.fields.items()}}).to_csv(
        tmp_path / "aaa.csv", index=False
    )
    words = ["data", "import", str(tmp_path / "aaa.csv"), "--name", "x", "--calendar"]
    code, text = invoke(tmp_path / "w", *words, "XNYS")
    assert code == 0, text
    assert "lie outside the sessions of XNYS" in text
    assert load_panel(tmp_path / "w" / "data" / "x.parquet").calendar == "exchange"
    code, text = invoke(tmp_path / "w", *words, "NOPE", "--replace")
    assert (code, "no exchange 'NOPE' is known; write its code: XNYS" in text) == (2, True)
    code, text = invoke(tmp_path / "w", "data", "sessions", "--calendar", "xnys", "--data", "x")
    assert code == 0, text
    assert {"first_bar", "last_bar", "half_day"} <= set(
        load_panel(tmp_path / "w" / "data" / "x-sessions.parquet").fields
    )
    # Commands read windows in sessions: what five are in bars, the data's own sessions say, before they are loaded.
    workspace = Workspace(tmp_path / "w")
    read = read_early("ts_mean(close, 5s)", workspace, workspace.data_path("x"))
    assert isinstance(read, Expression)
    assert read.text == f"ts_mean(close, {5 * (workspace.load_panel('x').session_bars or 0)})"


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    with pytest.raises(InputError, match=r"need the package exchange_calendars; pip install 'alphaglow\[calendars\]'"):
        sessions_of("XNYS", new_york("2024-06-03", "2024-07-31", 1440))


def test_a_usual_session_has_as_many_bars_as_most_have() -> None:
    hours = new_york("2024-06-03", "2024-06-28", 60)
    assert hours.session_bars == 7
    # A half day, a holiday, and data that begin and end in mid-session change nothing.
    keep = np.ones(len(hours.times), dtype=bool)
    keep[[0, 1, 24, 25, 26, *range(35, 42), -1, -2]] = False
    fields = {name: values[keep] for name, values in hours.fields.items()}
    cut = replace(hours, times=hours.times[keep], fields=fields, universe=hours.universe[keep])
    assert cut.session_bars == 7
    assert new_york("2024-06-03", "2024-06-28", 1440).session_bars == 1
    assert replace(hours, calendar="continuous").session_bars is None


def test_windows_in_sessions_are_bars_of_as_many_usual_sessions() -> None:
    hours = new_york("2024-06-03", "2024-06-28", 60)
    asked = {"bar": hours.bar, "session": hours.session_bars}
    found, wanted = parse("ts_mean(close, 5s)", **asked), parse("ts_mean(close, 35)")  # type: ignore[arg-type]
    assert isinstance(found, Expression)
    assert isinstance(wanted, Expression)
    assert found.id == wanted.id
    assert any("5s is 35 bars: 7 in a usual session" in note for note in found.notes)
    # Five days of an exchange's hours would be 120 bars.
    days = parse("ts_mean(close, 5d)", **asked)  # type: ignore[arg-type]
    assert isinstance(days, Expression)
    assert days.lookback == 119
    for text, said in (("ts_mean(close, 0.5s)", "no whole number"), ("ts_mean(close, 20000s)", "between 1 and")):
        refused = parse(text, **asked)  # type: ignore[arg-type]
        assert isinstance(refused, Rejection)
        assert said in refused.message
    without_sessions = parse("ts_mean(close, 5s)", bar=hours.bar)
    assert isinstance(without_sessions, Rejection)
    assert "sessions of an exchange" in without_sessions.message
    assert "5d" in without_sessions.hint


@needs_calendars
def test_intraday_returns_leave_the_night_out() -> None:
    panel = new_york("2024-06-03", "2024-06-07", 60)
    rng = np.random.default_rng(3)
    opens = panel["close"] * np.exp(rng.normal(0, 0.01, panel.shape))
    panel = panel.with_fields({"open": opens})
    flagged = session_flags(sessions_of("XNYS", panel), panel)
    found, close = flagged["intraday_returns"], panel["close"]
    first = flagged["first_bar"][:, 0] > 0
    np.testing.assert_allclose(found[first], close[first] / opens[first] - 1)
    np.testing.assert_allclose(found[1:][~first[1:]], (close[1:] / close[:-1] - 1)[~first[1:]])
    # Compounded over a session they are what it made from open to close.
    days = panel.times.astype("datetime64[D]")
    for day in np.unique(days):
        inside = days == day
        made = close[inside][-1] / opens[inside][0] - 1
        np.testing.assert_allclose(np.prod(1 + found[inside], axis=0) - 1, made)
    # Later bars change nothing of earlier ones.
    half = len(panel.times) // 2
    part = panel.rows(0, half)
    np.testing.assert_array_equal(session_flags(sessions_of("XNYS", part), part)["intraday_returns"], found[:half])
