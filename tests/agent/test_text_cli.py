"""`alphaglow text`: import, score and join, as a user meets them."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent.study.workspace import Workspace
from tests.agent.commands import as_json, refused, run
from tests.forked import start


@pytest.fixture
def with_news(home: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The workspace with 300 texts about its first assets, over its second quarter and third."""
    panel = Workspace(home).load_panel("toy")
    rng = np.random.default_rng(1)
    n = len(panel.times)
    stamps = np.sort(rng.integers(n // 4, 3 * n // 4, 300))
    frame = pd.DataFrame(
        {
            "ts": [str(panel.times[k] + np.timedelta64(7, "m")) + "Z" for k in stamps],
            "title": [f"{'Gains' if k % 2 else 'Losses'} grow, part {n}" for n, k in enumerate(stamps)],
            "assets": [panel.assets[k % 3] if k % 5 else "" for k in stamps],
        }
    )
    frame.to_csv(home / "news.csv", index=False)
    assert as_json(capsys, "text", "import", "news.csv", "--data", "toy")["texts"] == 300
    return home


def test_texts_become_fields_that_factors_read(with_news: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = as_json(capsys, "text", "score", "news")
    assert (facts["by"], facts["texts"], facts["unscored"]) == ("lexicon/1", 300, 0)
    shown = run(capsys, "text", "score", "news", "--show", "2")
    assert shown[0] == 0
    assert "part 0" in shown[1]
    made = as_json(capsys, "text", "join", "news", "--data", "toy", "--name", "both", "--market", "--half-life", "12b")
    assert {"sentiment", "news_count", "sentiment_surprise", "market_sentiment"} <= set(made["fields"])
    code, out, err = run(capsys, "text", "join", "news", "--data", "toy", "--name", "cut", "--within")
    assert code == 0, err
    assert "mentions of 3 assets" in out
    assert "nothing is written of" in err
    cut, whole = Workspace(with_news).load_panel("cut"), Workspace(with_news).load_panel("both")
    assert len(cut.times) < 0.6 * len(whole.times)
    card = as_json(capsys, "eval", "ts_mean(sentiment, 24) + 0.1 * sentiment_surprise", "--data", "both")
    assert card["scorecard"]["train"]["n_bars"] > 0


def test_the_mock_reads_within_a_budget_and_goes_on(with_news: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("text", "score", "news", "--by", "llm", "--llm", "mock", "--record", "cassette.jsonl")
    first = as_json(capsys, *asked, "--budget-calls", "3")
    assert (first["outcome"], first["calls"]) == ("budget", 3)
    second = as_json(capsys, *asked)
    assert (second["outcome"], second["read_before"]) == ("finished", first["read"])
    third = as_json(capsys, *asked)
    assert (third["calls"], third["read"]) == (0, 0)
    assert third["mean_sentiment"] == second["mean_sentiment"]
    # A cassette answers where nothing is journalled; the calls must then be the same ones.
    (with_news / "texts" / "calls.jsonl").unlink()
    ledger_rows = as_json(capsys, *asked[:-2], "--record", "whole.jsonl")
    (with_news / "texts" / "calls.jsonl").unlink()
    played = as_json(capsys, *asked[:-2], "--replay", "whole.jsonl")
    assert played["events"] == ledger_rows["events"]
    assert "no cassette of this reading" in refused(capsys, *asked[:5], "--model", "x", "--replay", "whole.jsonl")


def test_bad_input_is_one_line(with_news: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no texts 'olds'" in refused(capsys, "text", "score", "olds")
    assert "have no scores" in refused(capsys, "text", "join", "news", "--data", "toy")
    assert "which model?" in refused(capsys, "text", "score", "news", "--by", "llm")
    assert "no key" in refused(capsys, "text", "score", "news", "--by", "llm", "--model", "m", "--budget-tokens", "9")
    hint = refused(capsys, "text", "score", "news", "--by", "llm", "--model", "m", "--base-url", "http://localhost:1")
    assert "price of 'm' is unknown" in hint
    as_json(capsys, "text", "score", "news")
    assert "is no time" in refused(capsys, "text", "join", "news", "--data", "toy", "--half-life", "soon")
    assert "already" in refused(capsys, "text", "join", "news", "--data", "toy", "--name", "toy")
    code, _, err = run(capsys, "data", "synth", "--bars", "500", "--name", "old", "--seed", "3")
    assert code == 0, err
    pd.DataFrame({"ts": ["1999-01-01 10:00"], "title": ["x"], "assets": ["B"]}).to_csv("old.csv", index=False)
    as_json(capsys, "text", "import", "old.csv", "--data", "toy")
    as_json(capsys, "text", "score", "old")
    assert "no text was known within" in refused(capsys, "text", "join", "old", "--data", "toy", "--name", "n")


def read_until(argv: list[str]) -> None:
    """Run a command line that is sent Ctrl-C once ten calls are journalled."""
    from agent.cli import main
    from agent.knowledge.records import CallRecord, NewCall
    from agent.texts.call_journal import TextJournal

    record, count = TextJournal.record, 0

    def interrupted(self: TextJournal, call: NewCall) -> CallRecord:
        nonlocal count
        count += 1
        if count == 10:
            os.kill(os.getpid(), signal.SIGINT)
        return record(self, call)

    TextJournal.record = interrupted  # type: ignore[method-assign]  # in a process of its own
    main(argv)


def test_ctrl_c_keeps_what_was_read(with_news: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["text", "score", "news", "--by", "llm", "--llm", "mock", "--batch", "1", "--at-once", "1", "--json"]
    going = start(command, function=read_until)
    out, err = going.communicate()
    assert going.returncode == 0, err
    first = json.loads(out)
    assert first["outcome"] == "stopped"
    assert 0 < first["read"] < 240
    code, out, err = run(capsys, *command)
    assert code == 0, err
    assert json.loads(out)["read_before"] == first["read"]


def test_fusion_is_learned_with_its_ablations_and_recorded(with_news: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_json(capsys, "text", "score", "news")
    asked = ("learn", "fusion", "--data", "toy", "--texts", "news", "--window", "16", "--folds", "2", "--epochs", "1",
             "--max-windows", "600", "--no-gate")  # fmt: skip
    found = as_json(capsys, *asked, "--reads", "each")["each"]
    kinds = [one["recipe"]["kind"] for one in found]
    assert kinds == ["fusion", "fusion_numbers", "fusion_text"]
    assert all(one["scorecard"]["train"]["n_bars"] > 0 for one in found)
    again = as_json(capsys, *asked)
    assert again["known"]
    assert again["text"] == found[0]["text"]
    card = as_json(capsys, "eval", f"ts_mean({again['text']}, 4) + cs_rank(close)", "--data", "toy")
    assert card["scorecard"]["train"]["n_bars"] > 0
    code, out, err = run(capsys, *asked, "--reads", "each")
    assert code == 0, err
    assert "side by side" in out
    assert "no texts 'olds'" in refused(capsys, "learn", "fusion", "--data", "toy", "--texts", "olds")


def test_the_writer_has_the_theme_of_sentiment_where_texts_are_joined(
    with_news: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    as_json(capsys, "text", "score", "news")
    as_json(capsys, "text", "join", "news", "--data", "toy", "--name", "both")
    summary = as_json(capsys, "mine", "--data", "both", "--llm", "mock", "--rounds", "3", "--candidates", "8")
    with Workspace(with_news).knowledge() as knowledge:
        tried = knowledge.attempts(run_id=summary["run"])
    assert any(attempt.claims.theme == "sentiment" for attempt in tried)
    assert any("sentiment" in (attempt.canonical or "") for attempt in tried)
