"""Target weights of each bar as a file that another program trades by: text alone, and no order."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Literal

import numpy as np

from agent.live.signal_source import TradedSignal, batch_of
from market.panel import FloatArray, Panel

WeightForm = Literal["weights-csv", "nautilus", "lean"]
WEIGHT_FORMS: tuple[WeightForm, ...] = ("weights-csv", "nautilus", "lean")
# Targets that differ by less are one: sums of a bar differ in their last bits.
_SAME = 1e-12


def weights_file(portfolio: TradedSignal, whole: Panel, form: WeightForm, venue: str) -> str:
    """Return the text of a CSV file with what is decided at the close of each bar of a panel.

    The weights are those of `alphaglow signal`: after the gate, size and caps, before the rule's own pace. A row is
    stamped with the close of its bar, when it is known, in UTC.

    Parameters
    ----------
    form
        ``weights-csv``: a row a bar, a column an asset. ``nautilus``: ``ts_event``, ``ts_init`` in nanoseconds since
        1970, ``instrument_id`` and ``target_weight``. ``lean``: ``time``, ``symbol`` and ``weight``. The last two have
        a row where a target differs from that of the bar before: until its next row, a target stays.
    venue
        What follows the dot of an ``instrument_id``.
    """
    batch = batch_of(portfolio, whole)
    weights = np.where(np.isfinite(batch.decided), batch.decided, 0.0)
    closes = batch.panel.times + batch.panel.bar
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if form == "weights-csv":
        writer.writerow(["time", *batch.panel.assets])
        for time, row in zip(closes, weights, strict=True):
            writer.writerow([f"{str(time)[:19]}Z", *(_number(value) for value in row)])
        return out.getvalue()
    if form == "nautilus":
        writer.writerow(["ts_event", "ts_init", "instrument_id", "target_weight"])
    else:
        writer.writerow(["time", "symbol", "weight"])
    for bar, asset in _changes(weights):
        name, value = batch.panel.assets[asset], _number(weights[bar, asset])
        if form == "nautilus":
            stamp = int(closes[bar].astype("datetime64[ns]").astype(np.int64))
            writer.writerow([stamp, stamp, f"{name}.{venue}", value])
        else:
            day, _, moment = str(closes[bar])[:19].partition("T")
            writer.writerow([f"{day.replace('-', '')} {moment}", name, value])
    return out.getvalue()


def _number(value: float) -> str:
    return f"{value:.10g}" if abs(value) > _SAME else "0"


def _changes(weights: FloatArray) -> Iterator[tuple[int, int]]:
    """Yield (bar, asset) where a target differs from that of the bar before; before the first one all are 0."""
    before = np.vstack([np.zeros((1, weights.shape[1])), weights[:-1]])
    bars, assets = np.nonzero(np.abs(weights - before) > _SAME)
    yield from zip(bars.tolist(), assets.tolist(), strict=True)
