"""Bars that a source sent are checked like those of a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from market.bar_source import BarRequest, FetchedBars
from market.errors import InputError
from market.fetched_bars import plausible_panel
from market.panel import Panel
from market.panel_store import load_panel
from tests.market.case_truths import invoke

BARS = 80


def sent(**changed: np.ndarray) -> Panel:
    rng = np.random.default_rng(3)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, (BARS, 2)), axis=0))
    fields = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": close * 0 + 7}
    times = np.datetime64("2024-01-01", "ns") + np.arange(BARS) * np.timedelta64(1, "h")
    bar = np.timedelta64(1, "h").astype("timedelta64[ns]")
    return Panel(times, ("AAA", "BBB"), fields | changed, np.ones(close.shape, dtype=bool), bar, name="sent")


def test_sound_bars_come_back_as_they_are() -> None:
    said: list[str] = []
    panel = sent()
    assert plausible_panel(panel, "the broker", said.append) is panel
    assert said == []


def test_a_few_impossible_bars_are_said_and_many_are_refused() -> None:
    panel, said = sent(), []
    low = panel["low"].copy()
    low[3, 1] *= 2
    kept = plausible_panel(replace(panel, fields=panel.fields | {"low": low}), "the broker", said.append)
    assert kept["low"][3, 1] == low[3, 1]
    assert len(said) == 1
    assert "a bar cannot be: row 84: BBB at 2024-01-01 03:00:00 has high < low" in said[0]
    crossed = panel.fields | {"high": panel["close"], "low": panel["high"], "close": panel["low"]}
    with pytest.raises(InputError, match="160 of 160 rows are impossible"):
        plausible_panel(replace(panel, fields=crossed), "the broker", said.append)


def test_units_and_fields_that_know_the_future_are_said() -> None:
    panel, said = sent(), []
    coming = np.vstack([panel["close"][1:] / panel["close"][:-1] - 1, np.full((1, 2), np.nan)])
    more = panel.fields | {"clever": coming, "amount": panel["volume"] * panel["close"] * 1000}
    kept = plausible_panel(replace(panel, fields=more), "the broker", said.append)
    assert set(kept.fields) == {*panel.fields, "amount"}
    assert any("volume x 1000 would make it fit" in line for line in said)
    assert any("clever is left out" in line for line in said)


def test_bars_of_tomorrow_are_refused() -> None:
    panel = sent()
    late = replace(panel, times=panel.times + np.timedelta64(9_000, "D"))
    with pytest.raises(InputError, match="after now"):
        plausible_panel(late, "the broker", lambda _: None)


def test_a_fetch_says_and_stores_what_it_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = sent()
    coming = np.vstack([panel["close"][1:] / panel["close"][:-1] - 1, np.full((1, 2), np.nan)])

    class Broker:
        def fetch(self, request: BarRequest) -> FetchedBars:
            return FetchedBars(replace(panel, fields=panel.fields | {"clever": coming}))

    monkeypatch.setattr("agent.cli.data_fetch_source.source_of", lambda _name: Broker())
    monkeypatch.setattr("market.sources.source_of", lambda _name: Broker())
    assert invoke(tmp_path, "init", str(tmp_path / "w"))[0] == 0
    words = ["data", "fetch", "broker", "--symbols", "AAA,BBB", "--since", "2024-01-01", "--name", "x"]
    code, text = invoke(tmp_path / "w", *words)
    assert code == 0, text
    assert "clever is left out: it goes with the next bar's return" in text
    assert set(load_panel(tmp_path / "w" / "data" / "x.parquet").fields) == set(panel.fields)
