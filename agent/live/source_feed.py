"""Bars of a source that gives whole data sets, as they close: asked again from a few bars before the newest one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from agent.live.feed import Bar, FeedDown, as_moment
from market.errors import InputError
from market.exchange import Unreachable
from market.panel import FloatArray, Panel

if TYPE_CHECKING:
    from market.bar_source import BarRequest, BarSource

# Known bars that every question covers again: a source may refuse a period of one bar, and may revise its history.
_AGAIN = 5
# Closes that differ by less are equal: some sources round adjusted prices to single precision.
_SAME = 1e-5
# Seconds between two questions, at least: every one brings a whole data set.
_PAUSE = 10.0


class SourceFeed:
    """The assets of a data set that a source gave at once, asked for what is new.

    Parameters
    ----------
    request
        What the data set was fetched with; each question sets its own period.
    whole
        The data set. The source must still give its last bars as they are here.
    data
        Its name.
    pause
        Seconds between two questions, at least; between them the last answer is given again.

    Raises
    ------
    InputError
        From `newer`, when the source gives bars of another length, or other closes for bars that are known: after a
        dividend, adjusted prices change backwards. Also what the source itself refuses.
    """

    def __init__(
        self, source: BarSource, request: BarRequest, whole: Panel, data: str, *, pause: float = _PAUSE
    ) -> None:
        self.name = f"{request.source} {request.timeframe} ({data})"
        self._source, self._request, self._pause = source, request, pause
        self._assets, self._bar, self._data = whole.assets, whole.bar, data
        # Closes of the newest bars that are known, by time.
        self._known: dict[np.datetime64, FloatArray] = dict(
            zip(whole.times[-_AGAIN:], whole["close"][-_AGAIN:], strict=True)
        )
        self._answer: list[Bar] = []
        self._asked: float | None = None

    def time(self) -> np.datetime64:
        """Return the source's time where it has a ``now()``, else the machine's."""
        asked: Callable[[], datetime] | None = getattr(self._source, "now", None)
        return as_moment(time.time() if asked is None else _in_utc(asked()).timestamp())

    def newer(self, after: np.datetime64) -> list[Bar]:
        """Return the bars that opened after `after`; assets without a bar may still get one."""
        if self._asked is None or time.monotonic() - self._asked >= self._pause:
            panel = self._fetched(after)
            self._check(panel)
            self._answer = self._bars(panel)
            self._asked = time.monotonic()
            for bar in self._answer:
                self._known[bar.time] = bar.fields["close"]
            self._known = dict(sorted(self._known.items())[-_AGAIN:])
        return [bar for bar in self._answer if bar.time > after]

    def _fetched(self, after: np.datetime64) -> Panel:
        since = min(after, min(self._known))
        moment = datetime.fromtimestamp(int(since.astype("datetime64[s]").astype(np.int64)), UTC)
        try:
            return self._source.fetch(replace(self._request, since=moment, until=None)).panel
        except (Unreachable, ConnectionError, TimeoutError) as error:
            raise FeedDown(str(error) or type(error).__name__) from error

    def _check(self, panel: Panel) -> None:
        if panel.bar != self._bar:
            raise InputError(f"{self.name}: the source gives bars of another length now", "fetch the data set again")
        rows = {moment: row for row, moment in enumerate(panel.times)}
        columns = self._columns(panel)
        for moment, known in self._known.items():
            if moment not in rows:
                continue
            for place, column in columns.items():
                before, now = known[place], panel["close"][rows[moment], column]
                # A NaN on either side differs by nothing.
                if abs(now - before) > _SAME * abs(before):
                    raise InputError(
                        f"{self.name}: the close of {self._assets[place]} at {str(moment)[:16]} was {before:.8g} and "
                        f"is {now:.8g} now: the source has revised bars that are known",
                        f"fetch {self._data} again with --replace",
                    )

    def _columns(self, panel: Panel) -> Mapping[int, int]:
        """Return the column of the answer for each place in the data set that it has."""
        found = {asset: column for column, asset in enumerate(panel.assets)}
        return {place: found[asset] for place, asset in enumerate(self._assets) if asset in found}

    def _bars(self, panel: Panel) -> list[Bar]:
        columns = self._columns(panel)
        places, taken = list(columns), list(columns.values())
        shape = (len(panel.times), len(self._assets))
        fields, inside = {}, np.zeros(shape, dtype=bool)
        for name, values in panel.fields.items():
            fields[name] = np.full(shape, np.nan)
            fields[name][:, places] = values[:, taken]
        inside[:, places] = panel.universe[:, taken]
        return [
            Bar(moment, {name: values[row] for name, values in fields.items()}, inside[row], ~inside[row])
            for row, moment in enumerate(panel.times)
        ]


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
