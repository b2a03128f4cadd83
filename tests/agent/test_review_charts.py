"""Charts and the numbers behind them: NaN-safe, exact at extremes, valid XML, truthful words."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agent.drawing import axes, bars, svg
from agent.knowledge.score_documents import read_flat
from agent.review import views
from agent.review.charts import drawdown, shut_spans
from agent.review.review_records import PanelNote, Review, compound, likelihood_histogram
from backtest.result_types import SegmentScore

ANY = st.floats(allow_nan=True, allow_infinity=True)
SERIES = hnp.arrays(np.float64, st.integers(0, 60), elements=ANY)


def wide_of(text: str) -> ElementTree.Element:
    """Return the picture for wide screens out of the two that were drawn."""
    tree = ElementTree.fromstring(text)
    found = tree.find("div[@class='wide']/svg")
    return tree if found is None else found


def hours(count: int) -> np.ndarray:
    return np.datetime64("2024-01-01", "ns") + np.arange(count) * np.timedelta64(1, "h")


@settings(max_examples=80, deadline=None)
@given(values=SERIES, log=st.booleans(), percent=st.booleans())
@example(values=np.array([-5e-324]), log=False, percent=False)
@example(values=np.array([0.0, 5e-324]), log=False, percent=True)
def test_line_chart_is_xml_with_finite_coordinates(values: np.ndarray, log: bool, percent: bool) -> None:
    line = svg.Line('a < b & "c"', values, fill=True)
    ribbon = svg.Ribbon(values, values * 0.5)
    chart = svg.LineChart("<t>", "d", hours(len(values)), [line], ribbons=[ribbon], log=log, percent=percent)
    text = svg.line_chart(chart)
    ElementTree.fromstring(text)
    assert "nan" not in text and "inf" not in text


@settings(max_examples=80, deadline=None)
@given(values=st.lists(ANY, max_size=6), percent=st.booleans())
def test_bar_chart_is_xml_with_a_bar_per_finite_value(values: list[float], percent: bool) -> None:
    labels = [f"h{k}" for k in range(len(values))]
    tree = wide_of(bars.bar_chart("t", "d", labels, [("s", values, "c1")], percent=percent))
    finite = sum(math.isfinite(value) for value in values)
    assert len(tree.findall("rect[title]")) == finite
    assert all(float(rect.attrib["height"]) > 0 for rect in tree.findall("rect"))


@settings(max_examples=60, deadline=None)
@example(values=np.array([0.0, 5e-324]), threshold=0.0)
@example(values=np.array([1e11, np.nextafter(1e11, np.inf)]), threshold=float("nan"))
@given(values=hnp.arrays(np.float64, st.integers(0, 80), elements=ANY), threshold=ANY)
def test_histogram_counts_every_finite_value(values: np.ndarray, threshold: float) -> None:
    bounded = np.where(np.abs(values) > 1e12, np.nan, values)
    made = likelihood_histogram(bounded, threshold if abs(threshold) < 1e12 else float("nan"))
    if made is None:
        assert not np.isfinite(bounded).any()
        return
    assert made.counts.sum() == np.isfinite(bounded).sum()
    ElementTree.fromstring(bars.histogram("t", "d", made.edges, made.counts, threshold=made.threshold, axis="nats"))


def test_histogram_draws_the_threshold_and_splits_colours_there() -> None:
    made = likelihood_histogram(np.random.default_rng(1).normal(size=5000), -1.0)
    assert made is not None
    tree = wide_of(bars.histogram("t", "d", made.edges, made.counts, threshold=-1.0, axis="nats"))
    line = next(node for node in tree.findall("line") if node.attrib["class"] == "threshold")
    x = float(line.attrib["x1"])
    drawn = [node for node in tree.findall("rect") if float(node.attrib["y"]) > 20]
    width = float(drawn[0].attrib["width"])
    for bar in drawn:
        middle = float(bar.attrib["x"]) + width / 2
        assert bar.attrib["class"] == ("bar c2" if middle < x - 1 else "bar c1") or abs(middle - x) < width
    assert made.shut == pytest.approx(0.159, abs=0.02)


@pytest.mark.parametrize("values", [[], [np.nan], [np.nan, np.inf]])
def test_nothing_finite_says_no_data(values: list[float]) -> None:
    array = np.asarray(values, dtype=np.float64)
    chart = svg.LineChart("t", "d", hours(len(values)), [svg.Line("a", array)])
    assert "no data" in svg.line_chart(chart)
    assert "no data" in bars.bar_chart("t", "d", [str(v) for v in values], [("s", values, "c1")])


def test_single_point_is_a_visible_dot_and_gaps_break_the_line() -> None:
    chart = svg.LineChart("t", "d", hours(1), [svg.Line("a", np.array([0.3]))])
    assert "line c1 dot" in svg.line_chart(chart)
    chart = svg.LineChart("t", "d", hours(6), [svg.Line("a", np.array([1, 2, np.nan, np.nan, 3, 4.0]))])
    path = next(n for n in wide_of(svg.line_chart(chart)).findall("path") if "," in n.attrib["d"][8:])
    assert path.attrib["d"].count("M") == 2


@given(values=hnp.arrays(np.float64, st.integers(801, 3000), elements=st.floats(-1e6, 1e6)))
@settings(max_examples=20, deadline=None)
def test_thinning_keeps_the_extremes_and_the_order(values: np.ndarray) -> None:
    rows, kept = axes.thin(values)
    assert len(rows) <= 800 and (np.diff(rows) > 0).all()
    assert kept.min() == values.min() and kept.max() == values.max()
    assert np.array_equal(values[rows], kept)


@given(low=st.floats(-1e150, 1e150), high=st.floats(-1e150, 1e150))
def test_ticks_lie_inside_and_are_few(low: float, high: float) -> None:
    low, high = axes.padded(min(low, high), max(low, high))
    ticks = axes.nice_ticks(low, high)
    slack = 1e-6 * (high - low)
    assert 1 <= len(ticks) <= 20
    assert all(low - slack <= tick <= high + slack for tick in ticks)


@pytest.mark.parametrize(
    ("count", "step", "some"),
    [(24_000, "h", "Jul 2024"), (2000, "D", "2026"), (90, "m", "01 Jan 00:15"), (24 * 20, "h", "08 Jan")],
)
def test_time_ticks_stand_at_round_dates(count: int, step: str, some: str) -> None:
    times = np.datetime64("2024-01-01", "ns") + np.arange(count) * np.timedelta64(1, step)
    ticks = axes.time_ticks(times, about=10)
    assert 2 <= len(ticks) <= 10
    assert some in [label for _, label in ticks]
    assert all(0 <= row < count for row, _ in ticks)


def test_rolling_mean_agrees_with_a_direct_loop() -> None:
    values = np.random.default_rng(3).normal(size=400)
    values[50:90] = np.nan
    mean, error = axes.rolling_mean(values, 30)
    for t in (29, 60, 75, 100, 399):
        part = values[t - 29 : t + 1]
        part = part[np.isfinite(part)]
        if len(part) < 15:
            assert math.isnan(mean[t]) and math.isnan(error[t])
        else:
            assert mean[t] == pytest.approx(part.mean(), abs=1e-12)
            assert error[t] == pytest.approx(part.std(ddof=1) / math.sqrt(len(part)), rel=1e-9)


@pytest.mark.parametrize(
    ("value", "style", "text"),
    [
        (None, "plain", "–"), (float("nan"), "percent", "–"), (True, "plain", "–"), ("3", "ic", "–"),
        (-0.001, "plain", "0.00"), (-1.239, "plain", "−1.24"), (0.1234, "percent", "12.3\u202f%"),
        (12345, "count", "12\u202f345"), (0.02314, "ic", "0.0231"),
    ],
)  # fmt: skip
def test_numbers_read_well(value: object, style: str, text: str) -> None:
    assert axes.format_number(value, style) == text


def test_compound_and_drawdown_by_hand() -> None:
    curve = compound(np.array([0.1, np.nan, -0.5, 1.0]))
    assert curve == pytest.approx([0.1, 0.1, -0.45, 0.1])
    assert drawdown(curve) == pytest.approx([0, 0, -0.5, 0])
    assert compound(np.array([-1.5, 9.0])) == pytest.approx([-1.0, -1.0])
    assert drawdown(np.array([-0.2, -0.1])) == pytest.approx([-0.2, -0.1])


def test_shading_covers_exactly_the_shut_bars() -> None:
    exposure = np.ones(300)
    exposure[100:120], exposure[120:130], exposure[200] = 0.0, 0.6, 0.4
    spans = [(span.start, span.stop, span.css) for span in shut_spans(exposure)]
    assert spans == [(100, 120, "shut3"), (120, 130, "shut1"), (200, 201, "shut2")]
    assert shut_spans(None) == []


def review_of(**validation: object) -> Review:
    count = 24 * 70
    net = compound(np.full(count, 0.0001))
    return Review(
        "f:1", "n", "close", "", "", "rejected", read_flat(SegmentScore, None),
        read_flat(SegmentScore, validation), hours(count), {"net": net}, np.zeros(count),
        np.zeros(count), 1000, 1100, count, False, False, PanelNote("d", "p", 1, count, "", "", "1 h"),
    )  # fmt: skip


GATE = {
    "sharpe_net": 1.0,
    "sharpe_gated": 2.0,
    "sharpe_vol_gated": 1.5,
    "sharpe_random_gated": 1.0,
    "shift_percentile": 0.97,
}


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        ({}, "accepted", "earns its place"),
        ({"sharpe_gated": 1.0}, "rejected", "does not earn"),
        ({"sharpe_vol_gated": 2.5}, "promising", "a volatility gate reaches 2.50"),
        ({"sharpe_random_gated": 2.0}, "promising", "random gate"),
        ({"shift_percentile": 0.7}, "promising", "only 70"),
        ({"shift_percentile": None}, "promising", "not every placebo"),
        ({"sharpe_gated": None}, "other", "No gate"),
        ({"sharpe_net": float("nan")}, "other", "can't be compared"),
    ],
)
def test_the_gate_sentence_follows_the_figures(change: dict[str, object], verdict: str, words: str) -> None:
    sentence, css = views.gate_conclusion(review_of(**{**GATE, **change}))
    assert css == verdict and words in sentence


def test_months_compound_to_the_whole() -> None:
    review = review_of()
    ((year, cells, whole),) = views.monthly_returns(review)
    assert year == "2024"
    assert [cell.text != "" for cell in cells] == [True] * 3 + [False] * 9
    assert cells[0].text == axes.format_number(1.0001 ** (31 * 24) - 1, "percent")
    assert whole.text == axes.format_number(1.0001 ** (70 * 24) - 1, "percent")
