"""Signals on bars of a plug-in's source that gives whole data sets: a distribution from outside the packages."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.live.feed import FeedDown
from agent.live.source_feed import SourceFeed
from market.bar_source import BarRequest, FetchedBars
from market.errors import InputError
from market.exchange import Unreachable
from market.panel import Panel
from tests import forked
from tests.helpers import random_panel
from tests.test_extending import distribution

# Its clock is a setting, so that a test can let hours pass; `PAID` is a dividend that is taken out of all prices.
SOURCE = """
import os
from datetime import UTC, datetime, timedelta

import numpy as np

from market.bar_source import FetchedBars
from market.panel import Panel

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Hourly:
    def now(self):
        return START + int(os.environ["HOURS"]) * HOUR + timedelta(seconds=5)

    def fetch(self, request):
        first, last = (request.since - START) // HOUR, (self.now() - START) // HOUR
        if last - first < 2:
            raise SystemExit("a period of one bar is refused")
        whole = np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, (500, 4)), axis=0))
        close = whole[first:last] * (1 - float(os.environ.get("PAID", "0")))
        times = np.datetime64("2024-01-01", "ns") + np.arange(first, last) * np.timedelta64(1, "h")
        # In another order than that of the data set.
        names = tuple(reversed(request.symbols))
        fields = dict.fromkeys(("open", "high", "low", "close"), close) | {"volume": np.ones(close.shape)}
        return FetchedBars(Panel(times, names, fields, np.isfinite(close), np.timedelta64(1, "h")))


hourly = Hourly()
"""


def test_a_plain_source_is_followed_from_the_command_line(tmp_path: Path) -> None:
    site = distribution(tmp_path / "site", "gift", "[alphaglow.sources]\nhourly = gift:hourly\n", gift=SOURCE)
    (tmp_path / "alphaglow.toml").write_text('[backtest]\nweighting = "timeseries"\n')

    def run(hours: int, *argv: str, **more: str) -> tuple[int, str, str]:
        env = {**os.environ, "SITE": str(site), "HOURS": str(hours), **more}
        going = forked.start([*argv, "--json"], cwd=tmp_path, env=env, function=forked.beside_site)
        out, err = going.communicate()
        return going.wait(), out, err

    fetched = run(200, "data", "fetch", "hourly", "--symbols", "A,B,C,D", "--since", "2024-01-01")
    assert fetched[0] == 0, fetched[2]
    code, out, err = run(203, "signal", "-ts_returns(close, 5)")
    assert code == 0, err
    newest = json.loads(out)
    assert (newest["time"], newest["feed"]) == ("2024-01-09T10:00:00Z", "hourly 1h (hourly-1h)")
    assert newest["status"] == "emitted"
    code, out, err = run(205, "signal", "-ts_returns(close, 5)", "--watch", "--bars", "1")
    assert code == 0, err
    assert json.loads(out)["time"] == "2024-01-09T12:00:00Z"
    code, out, err = run(206, "signal", "-ts_returns(close, 5)", PAID="0.03")
    assert (code, out) == (2, "")
    assert "has revised bars that are known" in err
    assert "fetch hourly-1h again" in err


@dataclass
class Growing:
    """A source that gives the first `bars` rows of a panel, as it is asked; or what it is to raise."""

    panel: Panel
    bars: int
    fault: Exception | None = None
    asked: int = 0

    def now(self) -> datetime:
        # Its times are UTC, whether it says so or not.
        return datetime(2024, 1, 1) + timedelta(hours=self.bars, seconds=3)

    def fetch(self, request: BarRequest) -> FetchedBars:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        first = int(np.searchsorted(self.panel.times, np.datetime64(request.since.replace(tzinfo=None), "ns")))
        return FetchedBars(self.panel.rows(first, self.bars))


@pytest.fixture
def source() -> Growing:
    return Growing(random_panel(60, 3, gaps=0.1), 40)


def feed_of(source: Growing, assets: tuple[str, ...] = ("A01", "A00", "A09"), **more: float) -> SourceFeed:
    """A feed of a data set with two of the source's three assets, in another order, and one that it never gives."""
    base, columns = source.panel.rows(0, 40), [1, 0, 2]
    fields = {name: values[:, columns] for name, values in base.fields.items()}
    whole = Panel(base.times, assets, fields, base.universe[:, columns], base.bar)
    request = BarRequest("growing", assets, "1h", datetime(2024, 1, 1, tzinfo=UTC), None, Path("raw"))
    return SourceFeed(source, request, whole, "x", **more)


def test_new_bars_come_in_the_assets_of_the_data_set(source: Growing) -> None:
    feed = feed_of(source, pause=0.0)
    assert feed.newer(source.panel.times[39]) == []
    source.bars = 43
    assert feed.time() == source.panel.times[42] + np.timedelta64(3603, "s")
    bars = feed.newer(source.panel.times[39])
    assert [bar.time for bar in bars] == list(source.panel.times[40:43])
    for bar, row in zip(bars, range(40, 43), strict=True):
        assert np.array_equal(bar.fields["close"][:2], source.panel["close"][row, [1, 0]], equal_nan=True)
        assert np.isnan(bar.fields["close"][2])
        assert np.array_equal(bar.late, ~bar.present)


def test_it_is_asked_again_after_a_pause_only(source: Growing) -> None:
    feed = feed_of(source, pause=3600.0)
    for _ in range(3):
        feed.newer(source.panel.times[39])
    assert source.asked == 1


@pytest.mark.parametrize("fault", [Unreachable("closed for today"), TimeoutError("too slow"), ConnectionError()])
def test_a_source_that_is_away_is_down_and_one_that_refuses_ends_it(source: Growing, fault: Exception) -> None:
    feed = feed_of(source, pause=0.0)
    source.fault = fault
    with pytest.raises(FeedDown):
        feed.newer(source.panel.times[39])
    source.fault = InputError("no such symbol")
    with pytest.raises(InputError, match="no such symbol"):
        feed.newer(source.panel.times[39])
    source.fault, source.bars = None, 41
    assert len(feed.newer(source.panel.times[39])) == 1


def test_other_bars_are_refused(source: Growing) -> None:
    with pytest.raises(InputError, match="revised"):
        feed_of(source, ("A00", "A01", "A02")).newer(source.panel.times[39])
    feed = feed_of(source)
    source.panel = Panel(
        source.panel.times, source.panel.assets, source.panel.fields, source.panel.universe, np.timedelta64(2, "h")
    )
    with pytest.raises(InputError, match="another length"):
        feed.newer(source.panel.times[39])
