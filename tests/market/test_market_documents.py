"""Texts: known when they could be known, keyed to the assets they speak of, each counted once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from agent.cli.main import cli
from market.documents import load_documents, read_documents, save_documents
from market.errors import InputError
from market.matching import base_of, matcher_for, read_map
from market.reading.conventions import FileConventions

COINS = ("BTCUSDT", "ETHUSDT", "BCHUSDT", "ETCUSDT", "SOLUSDT", "OPUSDT", "ONEUSDT", "LINKUSDT", "NEARUSDT", "XLMUSDT",
         "FLOWUSDT", "1000SHIBUSDT", "LUNAUSDT", "ADAUSDT", "GMTUSDT", "APEUSDT")  # fmt: skip


@pytest.mark.parametrize(
    ("text", "spoken_of"),
    [
        ("Bitcoin falls; ETH holds, says BTC trader", "BTC ETH"),
        ("bitcoin's price and $eth", "BTC ETH"),
        ("btc and eth in small letters are not told", ""),
        ("Bitcoin Cash forks again", "BCH"),
        ("Bitcoin SV is sued", ""),
        ("Ethereum Classic beats Ethereum", "ETC ETH"),
        ("The ripple effect of one near miss: a link to solana beach op-eds", ""),
        ("Solana-based NFTs", "SOL"),
        ("One option: OP, ONE and LINK, near 9:00 GMT", ""),
        ("Optimism (OP) and $ONE rally with $link", "OP ONE LINK"),
        ("Optimism returns to markets as money Flow improves", ""),
        ("Optimism Foundation and Flow blockchain", "OP FLOW"),
        ("Stellar results at Tesla; Stellar Network grows", "XLM"),
        ("NEAR Protocol and Chainlink", "NEAR LINK"),
        ("Shiba Inu burns; SHIB soars", "1000SHIB"),
        ("ADAPT, SOLID, BTCS, METH, UNADA and https://x.com/BTC", ""),
        ("Terra's ApeCoin", "LUNA APE"),
    ],
)
def test_words_are_not_coins_and_coins_are_found(text: str, spoken_of: str) -> None:
    assert matcher_for(COINS).assets_in(text) == tuple(f"{one}USDT" for one in spoken_of.split())


def test_bases_and_maps(tmp_path: Path) -> None:
    names = ["BTCUSDT", "BTC/USDT", "BTC-USD", "1000PEPEUSDT", "1INCHUSDT", "AAPL", "BTC/USDT:USDT", "TUSDUSDT"]
    assert [base_of(name) for name in names] == ["BTC", "BTC", "BTC", "PEPE", "1INCH", "AAPL", "BTC", "TUSD"]
    (tmp_path / "map.csv").write_text("asset,term\nAAPL,Apple Inc\nAAPL,iPhone\nMETA,FB\n")
    matcher = matcher_for(["AAPL", "META"], read_map(tmp_path / "map.csv"))
    assert matcher.assets_in("apple inc sells; apples do not; FB is renamed") == ("AAPL", "META")
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no columns asset and term"):
        read_map(tmp_path / "bad.csv")


def news() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Date": ["2024-01-02 10:30:00+00:00", "2024-01-01", "2024-01-03T00:00:00Z", "2024-01-02 11:00", None,
                     "2024-01-02 12:00", "2024-01-20 12:00"],
            "Headline": ["Bitcoin up", "Ethereum update", "SOL halts", "Bitcoin up!", "Bitcoin undated", "",
                         "Bitcoin up"],
            "text": ["", "", "again", "echo", "", "", ""],
            "link": ["u1", "u2", "u3", "u4", "u5", "u6", "u7"],
        }
    )  # fmt: skip


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_texts_are_known_from_their_stamp_and_dates_from_the_days_end(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"news.{ending}"
    frame = news()
    frame["Date"] = pd.to_datetime(frame["Date"], utc=True, format="ISO8601").dt.strftime("%Y-%m-%d %H:%M:%S+00:00")
    if ending == "csv":
        frame.to_csv(path, index=False)
    elif ending == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=True)
    documents, counts = read_documents([path], matcher_for(COINS))
    # The echo within a week goes, the same words three weeks later stay; no time and no text go.
    assert documents.title == ("Ethereum update", "Bitcoin up", "SOL halts", "Bitcoin up")
    known = ["2024-01-02T00:00", "2024-01-02T10:30", "2024-01-04T00:00", "2024-01-20T12:00"]
    assert [str(one)[:16] for one in documents.known] == known
    assert documents.dated.tolist() == [True, False, True, False]
    assert documents.assets == (("ETHUSDT",), ("BTCUSDT",), ("SOLUSDT",), ("BTCUSDT",))
    assert (counts.rows, counts.repeated_url, counts.repeated_title, counts.unusable) == (7, 0, 1, 2)
    assert (counts.dated, counts.matched) == (2, 4)
    assert documents.until(np.datetime64("2024-01-02T10:29")).title == ("Ethereum update",)
    assert len(documents.until(np.datetime64("2024-01-02T10:30"))) == 2


def test_the_same_address_counts_once_and_the_earliest_is_kept(tmp_path: Path) -> None:
    frame = pd.DataFrame({"ts": [1704200000, 1704100000], "title": ["Later", "First"], "url": ["u", "u"]})
    frame.to_csv(tmp_path / "x.csv", index=False)
    documents, counts = read_documents([tmp_path / "x.csv"], matcher_for(COINS))
    assert (documents.title, counts.repeated_url) == (("First",), 1)


def test_a_date_alone_ends_where_its_zone_says(tmp_path: Path) -> None:
    pd.DataFrame({"date": ["2024-06-03"], "title": ["x"]}).to_csv(tmp_path / "x.csv", index=False)
    documents, _ = read_documents([tmp_path / "x.csv"], matcher_for(COINS), FileConventions(zone="America/New_York"))
    assert str(documents.known[0])[:16] == "2024-06-04T04:00"


def test_assets_of_the_file_count_and_nothing_is_searched(tmp_path: Path) -> None:
    frame = pd.DataFrame({"ts": ["2024-01-02 10:00"], "title": ["Bitcoin"], "symbols": ["AAPL; MSFT"]})
    frame.to_csv(tmp_path / "x.csv", index=False)
    documents, _ = read_documents([tmp_path / "x.csv"], matcher_for(COINS))
    assert documents.assets == (("AAPL", "MSFT"),)


def test_texts_come_back_as_they_were_stored(tmp_path: Path) -> None:
    news().to_csv(tmp_path / "x.csv", index=False)
    documents, _ = read_documents([tmp_path / "x.csv"], matcher_for(COINS))
    save_documents(documents, tmp_path / "t.parquet", {"source": "file"})
    back = load_documents(tmp_path / "t.parquet")
    for name in ("source", "title", "body", "url", "assets"):
        assert getattr(back, name) == getattr(documents, name)
    np.testing.assert_array_equal(back.known, documents.known)
    with pytest.raises(InputError, match="no such texts"):
        load_documents(tmp_path / "absent.parquet")
    news().to_parquet(tmp_path / "foreign.parquet")
    with pytest.raises(InputError, match="no stored texts"):
        load_documents(tmp_path / "foreign.parquet")


@pytest.mark.parametrize(
    ("content", "says"), [("title\nx\n", "no column of time"), ("ts\n2024-01-01\n", "title or body")]
)
def test_a_file_without_times_or_texts_is_refused(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(InputError, match=says):
        read_documents([tmp_path / "x.csv"], matcher_for(COINS))


def test_the_command_on_recorded_news(shared_data: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(cli, ["init", str(tmp_path / "w")]).exit_code == 0
    coins = [option for coin in COINS for option in ("--asset", coin)]
    base = ["-w", str(tmp_path / "w"), "text", "import", str(shared_data / "crypto_news_2021_2022.parquet")]
    done = runner.invoke(cli, [*base, *coins, "--name", "news", "--json"])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert (facts["rows"], facts["dated"], facts["repeated_url"]) == (7465, 129, 0)
    assert list(facts["by_asset"])[:3] == ["BTCUSDT", "ETHUSDT", "LUNAUSDT"]
    documents = load_documents(tmp_path / "w" / "texts" / "news.parquet")
    assert len(documents) == facts["texts"]
    assert (np.diff(documents.known) >= np.timedelta64(0)).all()
    titles = [(title, found) for title, found in zip(documents.title, documents.assets, strict=True)]
    assert all("BTCUSDT" in found for title, found in titles if "Bitcoin " in title and "Bitcoin Cash" not in title
               and "Bitcoin SV" not in title and "Bitcoin Gold" not in title)  # fmt: skip
