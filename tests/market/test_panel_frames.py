"""Panels in other hands: pickled, copied, cut by dates, turned into frames and back, and shown in a notebook."""

from __future__ import annotations

import copy
import datetime
import multiprocessing
import pickle
from html.parser import HTMLParser

import joblib
import numpy as np
import pandas as pd
import pytest

from market.errors import InputError
from market.files import from_frame
from market.panel import Panel
from tests.helpers import random_panel


def _last_close(panel: Panel) -> tuple[float, bool]:
    return float(panel["close"][-1, 0]), panel["close"].flags.writeable


def _daily(bars: int = 800, assets: int = 4) -> Panel:
    rng = np.random.default_rng(5)
    times = np.datetime64("2021-01-01", "ns") + np.arange(bars) * np.timedelta64(1, "D")
    closes = np.exp(rng.normal(0, 0.02, (bars, assets)).cumsum(axis=0))
    fields = {name: closes * scale for name, scale in (("open", 1.0), ("high", 1.1), ("low", 0.9), ("close", 1.0))}
    fields["volume"] = rng.uniform(1, 2, (bars, assets))
    names = tuple("ABCDEFGH"[:assets])
    return Panel(times, names, fields, np.isfinite(closes), np.timedelta64(1, "D"), name="days")


@pytest.mark.parametrize("again", [lambda p: pickle.loads(pickle.dumps(p)), copy.copy, copy.deepcopy])
def test_a_copy_is_the_same_panel_and_as_read_only(again: object) -> None:
    panel = random_panel(30, 3)
    other = again(panel)  # type: ignore[operator]
    assert other.id == panel.id
    assert (other.assets, other.bar, other.calendar, other.name) == (
        panel.assets,
        panel.bar,
        panel.calendar,
        panel.name,
    )
    with pytest.raises(ValueError, match="read-only"):
        other["close"][0, 0] = 1.0
    with pytest.raises(TypeError):
        other.fields["x"] = panel["close"]


def test_processes_share_a_panel() -> None:
    panel = random_panel(30, 3)
    wanted = (float(panel["close"][-1, 0]), False)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(_last_close, (panel,)) == wanted
    assert joblib.Parallel(n_jobs=1)([joblib.delayed(_last_close)(panel)]) == [wanted]


def test_dates_cut_as_in_pandas() -> None:
    panel = _daily()
    year = panel["2022":"2022"]  # type: ignore[misc]
    assert (str(year.times[0])[:10], str(year.times[-1])[:10]) == ("2022-01-01", "2022-12-31")
    frame = panel.to_frame("close")
    pd.testing.assert_frame_equal(
        panel["2021-03":"2022-02-03", ["C", "A"]].to_frame("close"),  # type: ignore[misc]
        frame.loc["2021-03":"2022-02-03", ["C", "A"]],  # type: ignore[misc]
    )
    some = panel[pd.Timestamp("2021-05-01", tz="UTC") : datetime.date(2021, 5, 3)]  # type: ignore[misc]
    assert some.shape == (3, 4)
    assert panel[:"2021-01-02"].shape == (2, 4)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (slice("yesterday", None), "is no date"),
        (slice("2031", None), "there are 2021-01-01"),
        (slice(None, None, 2), "cut by dates"),
        ((slice("2021", None), ["Z"]), "no such asset: Z"),
    ],
)
def test_a_part_that_is_not_there_is_refused(key: slice, says: str) -> None:
    with pytest.raises(InputError, match=says):
        _daily()[key]
    with pytest.raises(KeyError, match="the panel has open"):
        _daily()["closes"]


def test_frames_of_a_panel_are_read_back_as_the_panel() -> None:
    panel = _daily()
    everything = panel.to_frame()
    assert from_frame(everything, calendar="continuous").id == panel.id
    assert from_frame(everything.rename_axis([None, None]), calendar="continuous").id == panel.id
    swapped = everything.swaplevel().rename_axis([None, None])
    assert from_frame(swapped, calendar="continuous").id == panel.id
    closes = from_frame(panel.to_frame("close"), calendar="continuous")
    np.testing.assert_array_equal(closes["close"], panel["close"])
    column = from_frame(everything["close"], calendar="continuous")
    np.testing.assert_array_equal(column["close"], panel["close"])
    one = from_frame(panel.to_frame("close")["B"], calendar="continuous")
    assert (one.shape, one.assets) == ((800, 1), ("B",))
    with pytest.raises(InputError, match="no field 'vwap'"):
        panel.to_frame("vwap")
    nameless = pd.DataFrame({"close": [1.0, 2.0]}, index=pd.MultiIndex.from_tuples([("a", "b"), ("c", "d")]))
    with pytest.raises(InputError, match="index is named"):
        from_frame(nameless)


def test_tickers_that_are_names_of_fields_elsewhere_are_assets() -> None:
    closes = _daily(assets=5).to_frame("close").set_axis(["A", "C", "LOW", "T", "COIN"], axis=1)
    assert from_frame(closes).assets == ("A", "C", "COIN", "LOW", "T")
    np.testing.assert_array_equal(from_frame(closes)["close"][:, 1], closes["C"].to_numpy())
    prices = _daily().to_frame().xs("A", level="asset").rename(columns=str.capitalize)
    assert from_frame(prices).shape == (800, 1)


def test_what_is_shown_is_short_and_escaped() -> None:
    panel = _daily()
    assert repr(panel).startswith("Panel('days': 800 bars of 1 d, 4 assets, 2021-01-01T00:00 ..")
    assert len(repr(panel)) < 200
    named = Panel(
        panel.times, ("<b>", "B", "C", "D"), panel.fields, panel.universe, panel.bar, name="<script>"
    )._repr_html_()
    seen: list[str] = []
    parser = HTMLParser()
    parser.handle_data = seen.append  # type: ignore[method-assign]
    parser.feed(named)
    shown = "".join(seen)
    assert "<script>" not in named
    assert "<script>: 800 bars of 1 d, 4 assets" in shown
    assert "<b>, B, C, D" in shown
