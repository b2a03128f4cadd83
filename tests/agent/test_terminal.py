"""What a newcomer sees in a terminal: an answer in ten lines, reasons with each factor, money, and trades."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from agent.cli.attempt_tables import best_table
from agent.cli.live_line import LiveLine
from agent.cli.live_table import LiveTable
from agent.knowledge.attempt_figures import verdict_of
from agent.knowledge.failed_tests import by_promise, count_failed, failed_words, first_failed
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord
from agent.llm.budget import Budget
from agent.mining.outer_loop import Event
from tests.agent.commands import as_json, refused, run

FACTOR, OTHER = "-ts_mean(returns, 24)", "ts_std(returns, 24)"


def test_eval_answers_in_ten_lines_and_full_says_the_rest(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "eval", FACTOR)
    assert code == 0, err
    lines = [line for line in out.splitlines() if line.strip()]
    assert len(lines) <= 11
    heads = [line.split()[0] for line in lines]
    assert heads[1] in ("accepted", "promising", "rejected")
    assert [heads.index(head) for head in ("train", "validation", "cost:", "rule:", "tests:")] == [3, 4, 5, 6, 7]
    assert re.search(r"train +2024-01-01 to 2024-", out)
    assert "Admission" not in out
    full = run(capsys, "eval", FACTOR, "--full")[1]
    for piece in ("Admission", "total return, net", "By regime", "hit rate, by bar"):
        assert piece in full
    seen = as_json(capsys, "eval", FACTOR)
    card, total = seen["scorecard"], seen["total_return"]
    years = card["train"]["n_bars"] / card["bars_per_year"]
    assert (1 + total["train"]) ** (1 / years) - 1 == pytest.approx(card["train"]["annual_return_net"])


def test_trades_and_ledger_are_money_where_a_capital_is_set(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    percent = as_json(capsys, "eval", FACTOR, "--trades")["trades"]
    assert percent["capital"] == 0
    monkeypatch.setenv("ALPHAGLOW_BACKTEST__CAPITAL", "100000")
    files = ("--ledger", "ledger.csv", "--trades-file", "trades.csv")
    seen = as_json(capsys, "eval", FACTOR, "--trades", *files)
    trades, figures = pd.DataFrame(seen["trades"]["list"]), seen["trades"]["figures"]
    ledger, listed = pd.read_csv(home / "ledger.csv"), pd.read_csv(home / "trades.csv")
    assert len(listed) == len(trades) >= figures["train"]["trades"]
    assert ledger.equity[0] == 100_000
    train = seen["scorecard"]["train"]["n_bars"]
    assert figures["train"]["net"] == pytest.approx(ledger.pnl[:train].sum(), rel=1e-9)
    assert figures["train"]["net"] == pytest.approx(100_000 * seen["total_return"]["train"], rel=1e-6)
    assert ledger.cumulative_pnl.iloc[-1] == pytest.approx(ledger.equity_after.iloc[-1] - 100_000)
    assert trades.net.sum() == pytest.approx(ledger.pnl.sum(), rel=1e-6)
    closed = trades[trades.exit != ""]
    assert (closed.entry < closed.exit).all()
    assert 0 < figures["train"]["win_rate"] < 1
    assert {"filled_in_bar", "price_AUR", "signal_AUR", "w_AUR"} <= set(ledger.columns)
    shown = run(capsys, "eval", FACTOR, "--trades")[1]
    assert run(capsys, "report", seen["factor"], "-o", "page.html")[0] == 0
    page = (home / "page.html").read_text()
    for piece in ("Win rate, by trade", "of a capital of 100\u202f000", "Total return, net"):
        assert piece in page
    for piece in ("each segment begins with 100,000", "win rate", "mean duration, bars", "profit factor", "entry"):
        assert piece in shown


def test_a_screening_ends_in_its_best_with_the_test_that_each_failed(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "list.txt").write_text("ts_meen(close, 3)\nts_std(returns, 9)\ncs_rank(close)\n")
    code, out, _ = run(capsys, "screen", "list.txt", "--keep", "0")
    assert code == 0
    assert "ts_std(returns, 9)" in out
    assert "fails predicts: what it pays on train" in out
    assert "What the attempts failed by" in out
    assert "could not be read as a factor" in out
    assert "What to try" in out
    # Where nothing could be scored, what was tried stands there with its reason.
    (home / "bad.txt").write_text("ts_meen(close, 3)\n")
    assert "not scored (reading)" in run(capsys, "screen", "bad.txt")[1]
    with KnowledgeBase.open(home / "knowledge.db") as knowledge:
        attempts = knowledge.attempts()
    counted = count_failed(attempts)
    assert sum(one.count for one in counted) == sum(first_failed(one) != "" for one in attempts)


def test_accepted_factors_come_first_and_untested_ones_promise_nothing_more(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in (FACTOR, OTHER, "cs_rank(close)", "ts_mean(volume, 9)"):
        as_json(capsys, "eval", text)
    with KnowledgeBase.open(home / "knowledge.db") as knowledge:
        scored = by_promise(knowledge.attempts())
    assert len(scored) == 4
    # As if the last by what they net had been admitted, and the first had not been tested on validation.
    verdicts = dict(zip((one.id for one in scored), ("rejected", "untested", "promising", "accepted"), strict=True))
    given = [with_verdict(one, verdicts[one.id]) for one in scored]
    assert [verdict_of(one) for one in by_promise(given)] == ["accepted", "promising", "untested", "rejected"]
    console = Console(file=io.StringIO(), width=140)
    console.print(best_table(given, "r1"))
    shown = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    assert "validation was not asked" in shown
    assert "when the search ends" not in shown


def with_verdict(attempt: AttemptRecord, verdict: str) -> AttemptRecord:
    assert attempt.evaluation is not None
    document = {**attempt.evaluation.evidence_document, "verdict": verdict, "accepted": verdict == "accepted"}
    return replace(attempt, evaluation=replace(attempt.evaluation, evidence_document=document))


def test_the_live_table_fits_a_terminal_and_names_what_came(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mined = as_json(capsys, "mine", "--llm", "mock", "--rounds", "1", "--candidates", "4", "--no-gate")
    with KnowledgeBase.open(home / "knowledge.db") as knowledge:
        table, line = LiveTable(), LiveLine(Budget(), 4)
        assert "opening the data" in drawn(table)
        record = knowledge.get_run(mined["run"])
        table.session, table.line = _Session(knowledge, record), line  # type: ignore[assignment]
        for event in (Event("round", 1), *(Event("proposed", 1, k) for k in range(4))):
            line.take(event)
            table.take(event)
        assert "waits for its score" in drawn(table).replace("\n", " ") or "proposed" in drawn(table)
        for attempt in knowledge.attempts(run_id=mined["run"]):
            event = Event("attempt", attempt.round, attempt.slot, attempt.canonical or "", 1.0)
            line.take(event)
            table.take(event)
        shown = drawn(table)
        assert all(len(row) <= 80 for row in shown.splitlines())
        for piece in (f"{mined['run']}: round 1, 4 of 4 candidates", "best", "spend", "payoff", "verdict and reason"):
            assert piece in shown
        assert re.search(r"fails |not beyond|known already|not scored|accepted|promising", shown)
        # The page of the run says of each factor what the terminal says.
        scored = [one for one in knowledge.attempts(run_id=mined["run"]) if one.evaluation is not None]
    assert run(capsys, "report", mined["run"], "-o", "run.html")[0] == 0
    page = (home / "run.html").read_text()
    assert scored
    for one in scored:
        assert first_failed(one) == "" or failed_words(one) in page


class _Session:
    """What the table reads of a session."""

    def __init__(self, knowledge: KnowledgeBase, run_record: object) -> None:
        self.knowledge, self.run = knowledge, run_record


def drawn(table: LiveTable) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_factors_are_compared_side_by_side(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = (as_json(capsys, "eval", text)["factor"] for text in (FACTOR, OTHER))
    found = as_json(capsys, "compare", one, two)
    assert [row["text"] for row in found["factors"]] == [FACTOR, OTHER]
    assert found["correlations"][0][0] == pytest.approx(1.0)
    code, out, _ = run(capsys, "compare", one, two, "--page", "-o", "side.html")
    assert code == 0
    for piece in ("train / validation", "Verdict", "Traded", "Costs a year", "Correlation of returns", "side.html"):
        assert piece in out
    assert FACTOR in (home / "side.html").read_text()
    assert "2 to" in refused(capsys, "compare", one)


def test_data_sets_are_listed_and_the_base_is_exported_as_people_type_it(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "data", "list")
    assert code == 0
    assert re.search(r"toy.*2024-01-01.*2,500.*12.*simulated", out)
    assert as_json(capsys, "data", "list")["sets"][0]["bars"] == 2500
    assert run(capsys, "kb", "export", "all.csv")[0] == 0
    assert (home / "all.csv").read_text().startswith("id,run_id")
    assert run(capsys, "kb", "export", "all.json")[0] == 0
    assert (home / "all.json").read_text().startswith("{")
    assert "say one of them" in refused(capsys, "kb", "export", "a.json", "-o", "b.json")


def test_quickstart_ends_in_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "first"
    code, out, err = run(capsys, "quickstart", str(folder), "--yes", "--candidates", "2")
    assert code == 0, err
    assert list((folder / "reports").glob("*.html"))
    assert "$ alphaglow mine --data simulated" in err
    assert "capital = 100000.0" in (folder / "alphaglow.toml").read_text()
    assert "What the attempts failed by" in out
    assert "already a workspace" in refused(capsys, "quickstart", str(folder), "--yes")
    assert "no file gone.csv" in refused(capsys, "quickstart", str(tmp_path / "b"), "--yes", "--data", "gone.csv")
    assert not (tmp_path / "b").exists()
