"""Scored texts as fields of a panel: what had been written about an asset by the close of a bar, fading with time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from market.documents import Documents
from market.errors import InputError
from market.matching import base_of
from market.panel import FloatArray, Panel, TimeArray

FIELDS = ("sentiment", "news_count", "sentiment_surprise")
# Of the neutral text that stands beside those that were written, so that what is said fades to 0 and not to itself.
_NEUTRAL = 1.0
# A text is surprising only beside this many earlier ones about its asset.
_LEAST_EARLIER = 5
# Standard deviation that is added to an asset's own, so that a dull past does not make all surprising.
_FLOOR = 0.1


@dataclass(frozen=True, eq=False)
class _Mentions:
    """M pairs of a text and an asset of the panel, in the order in which they became known."""

    known: TimeArray
    row: np.ndarray
    column: np.ndarray
    sentiment: FloatArray
    weight: FloatArray


def first_bar_after(known: TimeArray, panel: Panel) -> np.ndarray:
    """Return the first bar that closes after each time; T where none does.

    After, not at: a stamp of 10:00 may have been cut to the minute from 10:00:59. What becomes known in a gap of the
    panel counts in the next bar.
    """
    return np.searchsorted(panel.times + panel.bar, known, side="right")


def join_news(
    panel: Panel,
    documents: Documents,
    sentiment: FloatArray,
    weight: FloatArray,
    *,
    half_life: np.timedelta64,
    market: bool = False,
) -> Panel:
    """Return the panel with the fields of scored texts, each as of a bar's close.

    ``sentiment`` is the mean of the sentiments of the texts about an asset, each evaluating `weight` halved for every
    `half_life` since its bar closed, together with one neutral text that does not fade: in [-1, 1], and back to 0 when
    nothing is written. ``sentiment_surprise`` is the same mean of (sentiment - m) / (s + 0.1), with the mean m and
    standard deviation s of the asset's earlier texts; of what has fewer than 5, it is 0. ``news_count`` counts texts
    of the bar.

    An asset of which nothing is written has count 0 and sentiment 0: silence is what most assets have at most bars, it
    is known, and NaN would take them out of every ranking. Before the first text of the set nothing is known: NaN.

    Parameters
    ----------
    sentiment, weight
        (K,) of each text; NaN in either: not scored, and it counts in ``news_count`` alone.
    market
        Also ``market_sentiment`` and ``market_news_count``, of the texts that are about no asset, the same for all.

    Raises
    ------
    InputError
        When no text is known within the panel's bars, or none is about its assets, or a half-life is not positive.
    """
    if half_life <= np.timedelta64(0):
        raise InputError("the half-life is not above 0", "say for example --half-life 24h")
    first = _first_row(documents, panel)
    named = _named_columns(documents, panel)
    found = _mentions(documents, panel, named, sentiment, weight)
    fields = _fields(found, panel, panel.shape[1], half_life)
    if market:
        about_none = [[] if assets else [0] for assets in documents.assets]
        whole = _fields(_mentions(documents, panel, about_none, sentiment, weight * 0 + 1), panel, 1, half_life)
        for name in ("sentiment", "news_count"):
            fields[f"market_{name}"] = np.repeat(whole[name], panel.shape[1], axis=1)
    for values in fields.values():
        values[:first] = np.nan
    return panel.with_fields(fields)


def _first_row(documents: Documents, panel: Panel) -> int:
    """Return the bar of the first text; no text within the panel's bars is an `InputError`."""
    first = int(first_bar_after(documents.known[:1], panel)[0]) if len(documents) else len(panel.times)
    if first >= len(panel.times) or documents.known[-1] <= panel.times[0]:
        raise InputError(
            "no text was known within the bars of the data",
            f"the data are of {str(panel.times[0])[:10]} to {str(panel.times[-1])[:10]}",
        )
    return first


def _named_columns(documents: Documents, panel: Panel) -> list[list[int]]:
    """Return the columns of the panel that each text is about; none for any text is an `InputError`."""
    places = columns_of(documents, panel.assets)
    named = [[places[one] for one in assets if one in places] for assets in documents.assets]
    if not any(named):
        raise InputError(
            "no text is about an asset of the data", f"import them with --data, for {', '.join(panel.assets[:5])}"
        )
    return named


def columns_of(documents: Documents, assets: Sequence[str]) -> Mapping[str, int]:
    """Return the column of each asset that texts name: by its name, or by its ticker where one asset alone has it."""
    exact = {asset: place for place, asset in enumerate(assets)}
    bases: dict[str, list[int]] = {}
    for asset, place in exact.items():
        bases.setdefault(base_of(asset), []).append(place)
    found: dict[str, int] = {}
    for asset in {one for named in documents.assets for one in named}:
        same = bases.get(base_of(asset), [])
        if asset in exact:
            found[asset] = exact[asset]
        elif len(same) == 1:
            found[asset] = same[0]
    return found


def _mentions(
    documents: Documents, panel: Panel, named: Sequence[Sequence[int]], sentiment: FloatArray, weight: FloatArray
) -> _Mentions:
    rows = first_bar_after(documents.known, panel)
    # What was known before the first bar opened belongs to no bar: its age there cannot be distinguished from a gap's.
    inside = (rows < len(panel.times)) & (documents.known > panel.times[0])
    pairs = [(text, column) for text in np.flatnonzero(inside).tolist() for column in dict.fromkeys(named[text])]
    texts = np.array([text for text, _ in pairs], dtype=np.int64)
    columns = np.array([column for _, column in pairs], dtype=np.int64)
    return _Mentions(documents.known[texts], rows[texts], columns, sentiment[texts], weight[texts])


def _fields(found: _Mentions, panel: Panel, width: int, half_life: np.timedelta64) -> dict[str, FloatArray]:
    shape = (len(panel.times), width)
    count = np.zeros(shape)
    np.add.at(count, (found.row, found.column), 1.0)
    surprise = _surprises(found, width)
    means = {}
    for name, values in (("sentiment", found.sentiment), ("sentiment_surprise", surprise)):
        scored = np.isfinite(values) & np.isfinite(found.weight)
        at = (found.row[scored], found.column[scored])
        total, weights = np.zeros(shape), np.zeros(shape)
        np.add.at(total, at, (found.weight * values)[scored])
        np.add.at(weights, at, found.weight[scored])
        means[name] = _fading(total, panel, half_life) / (_fading(weights, panel, half_life) + _NEUTRAL)
    return {"sentiment": means["sentiment"], "news_count": count, "sentiment_surprise": means["sentiment_surprise"]}


def _surprises(found: _Mentions, width: int) -> FloatArray:
    """Return how far each text is from the asset's earlier ones, in their standard deviations; NaN after too few."""
    out = np.full(len(found.row), np.nan)
    for column in range(width):
        own = np.flatnonzero((found.column == column) & np.isfinite(found.sentiment))
        said = found.sentiment[own]
        earlier = np.arange(len(own), dtype=np.float64)
        # Of the bars before: what came in the same bar is no past.
        earlier = np.searchsorted(found.row[own], found.row[own], side="left").astype(np.float64)
        sums = np.concatenate([[0.0], np.cumsum(said)])[earlier.astype(int)]
        squares = np.concatenate([[0.0], np.cumsum(said * said)])[earlier.astype(int)]
        enough = earlier >= _LEAST_EARLIER
        mean = np.divide(sums, earlier, out=np.zeros_like(sums), where=enough)
        variance = np.divide(squares, earlier, out=np.zeros_like(sums), where=enough) - mean * mean
        value = (said - mean) / (np.sqrt(np.maximum(variance, 0.0)) + _FLOOR)
        out[own[enough]] = value[enough]
    return out


def _fading(arrived: FloatArray, panel: Panel, half_life: np.timedelta64) -> FloatArray:
    """Return what has arrived by each bar, halved for every half-life that passed since, gaps of the panel included."""
    steps = np.diff(panel.times, prepend=panel.times[:1]) / half_life.astype("timedelta64[ns]")
    kept = 0.5 ** steps.astype(np.float64)
    out = np.empty_like(arrived)
    now = np.zeros(arrived.shape[1])
    for row, new in enumerate(arrived):
        now = now * kept[row] + new
        out[row] = now
    return out


def differs_when_cut(
    panel: Panel,
    joined: Panel,
    documents: Documents,
    scores: tuple[FloatArray, FloatArray],
    half_life: np.timedelta64,
    bars: Sequence[int],
) -> tuple[str, ...]:
    """Return the fields of `joined` that change when bars and texts after one of `bars` are taken away: look-ahead."""
    wrong: dict[str, None] = {}
    market = "market_sentiment" in joined.fields
    for bar in bars:
        end = panel.times[bar] + panel.bar
        kept = int(np.searchsorted(documents.known, end, side="left"))
        if not kept:
            continue
        part = documents.until(end - np.timedelta64(1, "ns"))
        try:
            cut = join_news(
                panel.rows(0, bar + 1), part, scores[0][:kept], scores[1][:kept], half_life=half_life, market=market
            )
        except InputError:
            continue
        for name in (*FIELDS, *(("market_sentiment", "market_news_count") if market else ())):
            if not np.array_equal(cut[name], joined[name][: bar + 1], equal_nan=True):
                wrong[name] = None
    return tuple(wrong)
