"""`alphaglow signal` as its user meets it: a table, JSON, CSV, a replay, a ledger, and what it refuses."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pandas as pd
import pytest

from agent.cli import signal_opening
from agent.live.feed import Replay, SystemClock
from agent.live.signal_journal import FILE
from agent.study.workspace import Workspace
from market.panel import Panel
from tests.agent.commands import as_json, refused, run
from tests.forked import start

FACTOR = "-ts_returns(close, 5)"


def since(home: Path) -> str:
    """Thirty bars before the end of the toy market."""
    return str(Workspace(home).load_panel("toy").times[-30])[:19]


def test_the_newest_bar_is_emitted_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "signal", FACTOR)
    assert code == 0, err
    assert "Target weights" in out
    assert "stale" in err
    assert "not of the knowledge base" in err
    code, again, err = run(capsys, "signal", FACTOR, "--json")
    assert code == 0
    assert "from the journal" in err
    document = json.loads(again)
    assert document["status"] == "emitted"
    assert sum(abs(row["weight"]) for row in document["weights"]) == pytest.approx(document["gross"])
    assert document["gross"] == pytest.approx(1.0)
    assert abs(document["net"]) < 1e-12
    assert 0 < document["var_95"] < 0.2
    assert {"asset", "weight", "change", "price", "contributions", "gate_exposure", "stale"} <= set(
        document["weights"][0]
    )
    listed = as_json(capsys, "signal", "ledger")
    assert [row["signals"] for row in listed] == [1]


def test_each_portfolio_of_a_data_set_has_its_signal_of_the_newest_bar(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bar that the first one brought is not behind the second; an older replay needs no --watch."""
    first = as_json(capsys, "signal", FACTOR)
    second = as_json(capsys, "signal", "-ts_returns(close, 7)")
    assert first["time"] == second["time"]
    assert second["status"] == "emitted"
    assert second["gross"] == pytest.approx(1.0)
    code, out, err = run(capsys, "signal", FACTOR, "--replay-from", since(home), "--bars", "2", "--json")
    assert code == 0, err
    assert len(out.splitlines()) == 2


def test_what_an_update_brought_has_a_signal(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a data set that is followed, the newest bar may have come with `data update`: nothing is left to wait for."""

    def followed(_stack: object, _workspace: Workspace, path: Path, whole: Panel) -> Replay:
        return Replay(whole, SystemClock(), f"exchange of {path.stem}")

    monkeypatch.setattr(signal_opening, "_followed", followed)
    first = as_json(capsys, "signal", FACTOR)
    assert first["status"] == "emitted"
    assert first["time"][:19] == str(Workspace(home).load_panel("toy").times[-1])[:19]
    code, out, err = run(capsys, "signal", FACTOR, "--json")
    assert code == 0
    assert "from the journal" in err
    assert json.loads(out) == first
    assert as_json(capsys, "signal", "-ts_returns(close, 7)")["time"] == first["time"]


def test_a_factor_that_was_scored_is_found_by_its_text(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "eval", FACTOR)
    code, out, err = run(capsys, "signal", "-1 * ts_returns(close, 5)")
    assert code == 0, err
    assert "not of the knowledge base" not in err
    assert "days ago" in out
    assert " UTC, " in out
    assert "-0.000" not in out.splitlines()[0]


def test_a_replay_is_watched_stopped_and_compared_with_the_backtest(
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    replay = ("--replay-from", since(home))
    code, out, err = run(capsys, "signal", FACTOR, *replay, "--watch", "--bars", "8", "--json", "--csv", "out.csv")
    assert code == 0, err
    first = [json.loads(line)["time"] for line in out.splitlines()]
    assert len(first) == 8
    code, out, _ = run(capsys, "signal", FACTOR, *replay, "--watch", "--bars", "12", "--json", "--csv", "out.csv")
    assert code == 0
    times = first + [json.loads(line)["time"] for line in out.splitlines()]
    assert times == sorted(set(times))
    assert len(times) == 20
    frame = pd.read_csv("out.csv")
    assert list(dict.fromkeys(frame["time"])) == times
    assert not frame.duplicated(["time", "asset"]).any()
    shown = as_json(capsys, "signal", "ledger", FACTOR, *replay, "--against-backtest", "--fills", "5")
    assert shown["bars"] == 18
    assert len(shown["fills"]) == 5
    compared = shown["against_backtest"]
    assert (compared["bars"], compared["missed"]) == (20, 0)
    assert compared["largest_weight_difference"] <= 1e-12
    assert compared["largest_return_difference"] <= 1e-12
    code, out, _ = run(capsys, "signal", "ledger", FACTOR, *replay, "--against-backtest")
    assert code == 0
    assert "against the backtest: 20 bars (0 missed)" in out
    # Another source has a ledger of its own.
    assert as_json(capsys, "signal", "ledger", "-ts_returns(close, 6)", *replay)["bars"] == 0


def test_the_csv_catches_up_with_the_journal(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was emitted before the file was named, or before something stopped us, is in it after all."""
    replay = ("--replay-from", since(home))
    run(capsys, "signal", FACTOR, *replay, "--watch", "--bars", "3", "--json")
    run(capsys, "signal", FACTOR, *replay, "--watch", "--bars", "2", "--json", "--csv", "late.csv")
    assert pd.read_csv("late.csv")["time"].nunique() == 5


def test_ctrl_c_ends_a_watch_between_bars(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    watch = ["signal", FACTOR, "--replay-from", since(home), "--watch", "--json", "--speed", "1800"]
    process = start(watch, cwd=home)
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "Traceback" not in err
    lines = [first, *out.splitlines()]
    # A bar comes every two seconds; how many came before the signal did is the machine's.
    assert len(lines) < 20
    assert [row["signals"] for row in as_json(capsys, "signal", "ledger")] == [len(lines)]


def test_what_cannot_be_is_refused_in_a_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "a pool or factors" in refused(capsys, "signal")
    assert "nothing to wait for" in refused(capsys, "signal", FACTOR, "--watch")
    assert "nothing to replay" in refused(capsys, "signal", FACTOR, "--replay-from", "1999-01-01")
    assert "no date" in refused(capsys, "signal", FACTOR, "--replay-from", "soon")
    assert "twice" in refused(capsys, "signal", FACTOR, FACTOR)
    assert "ts_nonsense" in refused(capsys, "signal", "ts_nonsense(close, 3)")
    assert "no pool" in refused(capsys, "signal", "--pool", "nobody")
    assert "nothing was emitted" in refused(capsys, "signal", "ledger", FACTOR, "--against-backtest")
    (home / FILE).write_bytes(b"no database at all, but long enough to be read as a header" * 50)
    assert FILE in refused(capsys, "signal", FACTOR)


def test_nothing_of_it_is_imported_by_the_loop() -> None:
    """The newest bars, the holdout among them, are read here: no module that writes prompts may see them."""
    root = Path(__file__).resolve().parents[2] / "agent"
    for path in root.rglob("*.py"):
        # What shows signals and paper ledgers to people, or writes them to a file.
        parts = ("", "_emitting", "_opening", "_show", "_sources", "_words")
        commands = [root / "cli" / f"signal{part}.py" for part in parts]
        shown = (*commands, root / "cli" / "export.py", root / "web" / "insight_routes.py")
        if path.parent.name == "live" or path in shown:
            continue
        # Neither reads a bar: an export writes source text, an alert says in a sentence what is known.
        text = re.sub(r"agent\.live\.(exporting|alerts)\b", "", path.read_text(encoding="utf-8"))
        assert "agent.live" not in text, path
