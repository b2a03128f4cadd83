"""Scores of texts: by words, by what is new, and on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.texts.lexicon import event_of, score_by_lexicon, sentiment_of
from agent.texts.scores import EVENTS, load_scores, save_scores, text_hashes
from agent.texts.text_novelty import measure_novelty
from agent.texts.word_list import EVENT_WORDS, WEIGHTS
from market.documents import Documents, load_documents, read_documents, save_documents
from market.errors import InputError
from market.matching import matcher_for


def texts(titles: Sequence[str], days: Sequence[float], assets: Sequence[str], bodies: Sequence[str] = ()) -> Documents:
    known = np.datetime64("2024-01-01", "ns") + (np.array(days) * 86_400e9).astype("timedelta64[ns]")
    empty = ("",) * len(titles)
    return Documents(
        known, np.zeros(len(titles), dtype=bool), empty, tuple(titles), tuple(bodies) or empty, empty,
        tuple(tuple(one.split()) for one in assets),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("title", "sign"),
    [
        ("Ronin bridge hacked for over $600M", -1),
        ("Bitcoin soars to an all time high", 1),
        ("Ether falls below $1,100", -1),
        ("SEC approves first bitcoin ETF", 1),
        ("SEC rejects bitcoin ETF", -1),
        ("Celsius files for bankruptcy", -1),
        ("Exchange not hacked, says founder", 1),
        ("A walk through the metaverse", 0),
    ],
)
def test_plain_headlines_have_the_sign_that_a_reader_gives(title: str, sign: int) -> None:
    assert np.sign(sentiment_of(title, "")) == sign


def test_a_headline_says_more_than_a_teaser_and_a_stronger_word_more() -> None:
    assert sentiment_of("Bitcoin falls", "") < sentiment_of("Bitcoin", "It falls") < 0
    assert sentiment_of("Bitcoin crashes", "") < sentiment_of("Bitcoin falls", "")
    assert -1 < sentiment_of("crash " * 200, "crash " * 200) < -0.99
    assert abs(sentiment_of("Bitcoin may fall", "")) < abs(sentiment_of("Bitcoin to fall", ""))


@pytest.mark.parametrize(
    ("title", "event"),
    [
        ("Bridge exploit drains funds", "security"),
        ("Fed raises rates as inflation grows", "macro"),
        ("Coin listed on exchange", "listing"),
        ("A picture of a cat", "other"),
    ],
)
def test_events(title: str, event: str) -> None:
    assert event_of(title, "") == event
    assert {*EVENT_WORDS, "other"} == set(EVENTS)


def test_no_word_of_the_lexicon_is_both_good_and_bad() -> None:
    good = [word for word, weight in WEIGHTS.items() if weight > 0]
    for word in (one for one, weight in WEIGHTS.items() if weight < 0):
        clash = [one for one in good if one.endswith("*") and word.startswith(one[:-1])]
        clash += [one for one in good if word.endswith("*") and one.startswith(word[:-1]) and not one.endswith("*")]
        # The longer entry counts: `upgraded` beside `downgrade*` is no clash, `settle*` beside `settlement` would be.
        assert not [one for one in clash if len(one) >= len(word)], word


def test_relevance_is_the_headlines_and_shared_among_many() -> None:
    said = texts(["Bitcoin up", "Coins up", "Bitcoin, Ethereum up", "Weather", "Earnings"], [0, 1, 2, 3, 4],
                 ["BTCUSDT", "BTCUSDT", "BTCUSDT ETHUSDT", "", "AAPL"], ["", "Bitcoin too", "", "", ""])  # fmt: skip
    assert score_by_lexicon(said).relevance.tolist() == pytest.approx([1, 0.5, 1 / np.sqrt(2), 0, 1])


def test_what_was_written_before_is_not_new() -> None:
    said = texts(
        ["Terra pauses its chain", "Bitcoin miners move", "Terra pauses its chain", "Terra pauses its chain",
         "Terra pauses its chain", "Terra pauses its chain"],
        [0, 0.5, 1, 1.5, 20, 20], ["LUNA", "BTC", "LUNA", "ETH", "LUNA", "LUNA"],
    )  # fmt: skip
    found = measure_novelty(said)
    # First; another; seen yesterday; the same words about another asset; after weeks; the same moment, in its order.
    assert found == pytest.approx([1, 1, 0, 1, 1, 0], abs=1e-12)


def test_novelty_agrees_with_a_plain_computation() -> None:
    rng = np.random.default_rng(5)
    words = ["alpha", "beta", "gamma", "delta", "omega", "kappa"]
    days = np.sort(rng.uniform(0, 20, 60))
    said = texts([" ".join(rng.choice(words, 4)) for _ in days], days, list(rng.choice(["A", "B", "A B", ""], 60)))
    found = measure_novelty(said)
    bags = [{word: np.log1p(t.split().count(word)) for word in t.split()} for t in said.title]
    for k in range(60):
        before = [j for j in range(60) if said.known[j] < said.known[k].astype("datetime64[D]")]
        weight = {w: np.log((1 + len(before)) / (1 + sum(w in bags[j] for j in before))) + 1 for w in words}
        vectors = [np.array([bag.get(word, 0) * weight[word] for word in words]) for bag in bags]
        best = 0.0
        for j in range(k):
            shared = set(said.assets[j]) & set(said.assets[k]) or not (said.assets[j] or said.assets[k])
            if shared and said.known[k] - said.known[j] <= np.timedelta64(7, "D"):
                lengths = np.linalg.norm(vectors[j]) * np.linalg.norm(vectors[k])
                best = max(best, float(vectors[j] @ vectors[k] / lengths))
        assert found[k] == pytest.approx(1 - min(best, 1.0), abs=1e-9)
        # Without what came later, the same.
        assert measure_novelty(said.until(said.known[k]))[k] == found[k]


def test_scores_come_back_and_belong_to_their_texts(tmp_path: Path) -> None:
    said = texts(["Bitcoin up", "Bitcoin hacked"], [0, 1], ["BTC", "BTC"])
    scores = replace(score_by_lexicon(said), sentiment=np.array([np.nan, -0.5]))
    save_scores(scores, tmp_path / "by" / "x.parquet", {"texts": "x"})
    back = load_scores(tmp_path / "by" / "x.parquet", said)
    assert (back.texts, back.event, back.by, back.unscored) == (scores.texts, scores.event, scores.by, 1)
    np.testing.assert_array_equal(back.sentiment, scores.sentiment)
    with pytest.raises(InputError, match="other texts"):
        load_scores(tmp_path / "by" / "x.parquet", texts(["Bitcoin up", "Bitcoin robbed"], [0, 1], ["BTC", "BTC"]))
    with pytest.raises(InputError, match="no scores"):
        load_scores(tmp_path / "none.parquet", said)
    save_documents(said, tmp_path / "docs.parquet", {})
    with pytest.raises(InputError, match="cannot read the scores"):
        load_scores(tmp_path / "docs.parquet", load_documents(tmp_path / "docs.parquet"))


def test_recorded_news_is_scored_as_the_months_were(shared_data: Path) -> None:
    matcher = matcher_for(["BTCUSDT", "ETHUSDT", "LUNAUSDT"])
    said, _ = read_documents([shared_data / "crypto_news_2021_2022.parquet"], matcher)
    scores = score_by_lexicon(said)
    assert len(set(text_hashes(said))) > 0.99 * len(said)
    month = said.known.astype("datetime64[M]")
    luna = np.array(["LUNAUSDT" in assets for assets in said.assets])
    before, crash = luna & (month == np.datetime64("2022-04")), luna & (month == np.datetime64("2022-05"))
    # Terra fell to nothing in May 2022.
    assert scores.sentiment[crash].mean() < scores.sentiment[before].mean() - 0.2
    security = np.array(scores.event) == "security"
    assert scores.sentiment[security].mean() < -0.3
    weekly = [k for k, title in enumerate(said.title) if title.startswith("Crypto Listing and Delisting Announcements")]
    # Some of the weekly lists come a few minutes more than a week after the last one, and count as new.
    assert np.mean(scores.novelty[weekly] < 0.2) > 0.4 > 0.05 > np.mean(scores.novelty < 0.2)
