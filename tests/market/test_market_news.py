"""Texts as fields: each counts when it was known and not before, and fades as stated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.documents import Documents
from market.errors import InputError
from market.news import FIELDS, columns_of, differs_when_cut, first_bar_after, join_news
from market.panel import Panel
from tests.helpers import random_panel

DAY = np.timedelta64(24, "h")


def documents(stamps: Sequence[str], assets: Sequence[str]) -> Documents:
    """Texts at these times, each about the assets named (blank-separated)."""
    known = np.array(stamps, dtype="datetime64[ns]")
    empty = ("",) * len(stamps)
    return Documents(
        known=known,
        dated=np.zeros(len(stamps), dtype=bool),
        source=empty,
        title=tuple(f"t{n}" for n in range(len(stamps))),
        body=empty,
        url=empty,
        assets=tuple(tuple(one.split()) for one in assets),
    )


def join(panel: Panel, texts: Documents, said: Sequence[float], half: np.timedelta64 = DAY, **more: bool) -> Panel:
    return join_news(panel, texts, np.array(said, float), np.ones(len(texts)), half_life=half, **more)


def test_a_text_counts_in_the_first_bar_that_closes_after_it() -> None:
    # Bars open at 00:00, 01:00, ...: the bar of 00:00 closes at 01:00.
    stamps = ["2024-01-01 00:30", "2024-01-01 00:59:59", "2024-01-01 01:00:00", "2024-01-01 01:00:01",
              "2024-01-02 00:00:00"]  # fmt: skip
    panel = random_panel(bars=30, assets=2)
    texts = documents(stamps, ["A01"] * 5)
    count = join(panel, texts, [1.0] * 5)["news_count"]
    assert count[:3].tolist() == [[0, 2], [0, 2], [0, 0]]
    # The end of the day, which is when a date alone is known: the first bar of the next day.
    assert count[23:25, 1].tolist() == [0, 1]
    assert first_bar_after(texts.known, panel).tolist() == [0, 0, 1, 1, 24]


def test_sentiment_is_the_mean_of_texts_that_fade_beside_a_neutral_one() -> None:
    panel = random_panel(bars=60, assets=2)
    texts = documents(["2024-01-01 00:30", "2024-01-01 10:30"], ["A00", "A00"])
    weight = np.array([0.5, 0.8])
    joined = join_news(panel, texts, np.array([1.0, -0.5]), weight, half_life=np.timedelta64(10, "h"))
    found = joined["sentiment"][:, 0]
    assert found[0] == pytest.approx(0.5 / 1.5)
    assert found[9] == pytest.approx(0.5 * 0.5**0.9 / (0.5 * 0.5**0.9 + 1))
    assert found[10] == pytest.approx((0.25 - 0.4) / (0.25 + 0.8 + 1))
    assert abs(found[-1]) < abs(found[10]) / 10
    # Silence is neutral, and known.
    assert joined["sentiment"][:, 1].tolist() == [0.0] * 60
    assert joined["news_count"][:, 1].tolist() == [0.0] * 60


def test_before_the_first_text_nothing_is_known() -> None:
    panel = random_panel(bars=30, assets=2)
    joined = join(panel, documents(["2024-01-01 05:30"], ["A00"]), [1.0])
    for name in FIELDS:
        assert np.isnan(joined[name][:5]).all()
        assert np.isfinite(joined[name][5:]).all()


def test_a_gap_of_the_panel_fades_as_long_as_it_is() -> None:
    panel = random_panel(bars=60, assets=1)
    cut = Panel(
        times=np.delete(panel.times, slice(5, 25)), assets=panel.assets,
        fields={name: np.delete(panel[name], slice(5, 25), axis=0) for name in panel.fields},
        universe=np.delete(panel.universe, slice(5, 25), axis=0), bar=panel.bar,
    )  # fmt: skip
    texts = documents(["2024-01-01 00:30", "2024-01-01 12:00"], ["A00", "A00"])
    whole, holed = join(panel, texts, [1.0, 0.0])["sentiment"], join(cut, texts, [1.0, 0.0])
    assert holed["news_count"][5, 0] == 1
    # The same weight of the first text, and the second one younger by its bar.
    assert holed["sentiment"][5, 0] == pytest.approx(0.5 ** (25 / 24) / (0.5 ** (25 / 24) + 2))
    assert whole[4, 0] == pytest.approx(holed["sentiment"][4, 0])


def test_surprise_is_beside_the_assets_own_earlier_texts() -> None:
    panel = random_panel(bars=60, assets=2)
    hours = [f"2024-01-01 {hour:02d}:30" for hour in range(7)]
    texts = documents(hours, ["A00"] * 7)
    said = [0.1, 0.3, 0.1, 0.3, 0.2, 0.2, 0.9]
    found = join(panel, texts, said)["sentiment_surprise"][:, 0]
    assert found[:5].tolist() == [0.0] * 5
    first, second = ((0.2 - np.mean(said[:5])) / (np.std(said[:5]) + 0.1), (0.9 - 0.2) / (np.std(said[:6]) + 0.1))
    kept = 0.5 ** (1 / 24)
    assert found[5] == pytest.approx(first / 2, abs=1e-12)
    assert found[6] == pytest.approx((first * kept + second) / (kept + 2))


def test_what_is_not_scored_is_counted_alone() -> None:
    panel = random_panel(bars=30, assets=2)
    joined = join(panel, documents(["2024-01-01 01:30"] * 2, ["A00", "A00"]), [np.nan, 1.0])
    assert joined["news_count"][1, 0] == 2
    assert joined["sentiment"][1, 0] == pytest.approx(0.5)


def test_texts_about_no_asset_are_the_markets() -> None:
    panel = random_panel(bars=30, assets=3)
    joined = join(panel, documents(["2024-01-01 00:30", "2024-01-01 02:30"], ["A00", ""]), [1.0, -1.0], market=True)
    assert joined["market_sentiment"][2].tolist() == [-0.5] * 3
    assert joined["market_news_count"][:4, 0].tolist() == [0, 0, 1, 0]
    assert joined["news_count"].sum() == 1


@given(
    hours=st.lists(st.floats(-20, 70), min_size=1, max_size=25),
    seed=st.integers(0, 99),
    bar=st.integers(0, 47),
)
def test_fields_do_not_change_when_what_came_later_is_taken_away(hours: list[float], seed: int, bar: int) -> None:
    panel = random_panel(bars=48, assets=3)
    rng = np.random.default_rng(seed)
    stamps = sorted(panel.times[0] + np.timedelta64(round(hour * 3600), "s") for hour in hours)
    about = [" ".join(rng.choice(["A00", "A01", "A02"], rng.integers(0, 3), replace=False)) for _ in stamps]
    texts = documents([str(stamp) for stamp in stamps], about)
    said, weight = rng.uniform(-1, 1, len(stamps)), rng.uniform(0, 1, len(stamps))
    try:
        joined = join_news(panel, texts, said, weight, half_life=DAY, market=True)
    except InputError:
        return
    assert differs_when_cut(panel, joined, texts, (said, weight), DAY, [bar]) == ()


def test_the_check_finds_a_field_that_knows_the_future() -> None:
    panel = random_panel(bars=48, assets=2)
    texts = documents(["2024-01-01 00:30", "2024-01-01 20:30"], ["A00", "A00"])
    joined = join(panel, texts, [1.0, -1.0])
    early = joined.with_fields({"sentiment": np.roll(joined["sentiment"], -1, axis=0)})
    scores = (np.array([1.0, -1.0]), np.ones(2))
    assert differs_when_cut(panel, early, texts, scores, DAY, [19, 30]) == ("sentiment",)


def test_assets_are_found_by_name_or_by_a_ticker_of_their_own() -> None:
    texts = documents(["2024-01-01"], ["BTCUSDT ETHUSDT SOLUSDT XRP"])
    assets = ["BTC/USDT", "ETH/USDT", "ETH/USDC", "SOLUSDT", "SOL/USDC"]
    assert columns_of(texts, assets) == {"BTCUSDT": 0, "SOLUSDT": 3}


@pytest.mark.parametrize(
    ("stamp", "about", "says"),
    [
        ("2025-01-01", "A00", "no text was known within"),
        ("2023-01-01", "A00", "no text was known within"),
        ("2024-01-01 03:00", "B00", "no text is about"),
    ],
)
def test_texts_of_other_times_or_assets_are_refused(stamp: str, about: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        join(random_panel(bars=30, assets=2), documents([stamp], [about]), [1.0])
    with pytest.raises(InputError, match="half-life"):
        join(random_panel(bars=30, assets=2), documents([stamp], [about]), [1.0], np.timedelta64(0, "h"))
