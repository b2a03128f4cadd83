"""A damaged, read-only or abandoned knowledge base: what is said, what is saved, and how a command ends."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli.main import cli
from agent.cli.stop_signals import ended_by_signals
from agent.knowledge import file_query
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.processes import is_gone, this_process
from agent.knowledge.run_config import RunConfig
from agent.knowledge.transfer.dump import spreadsheet_safe
from agent.knowledge.verifying import find_faults
from agent.study.workspace import init_workspace
from benchmarks.knowledge import make_panel
from benchmarks.knowledge_rows import fill
from market.errors import InputError
from market.panel import refuse_odd_symbols
from tests.agent.commands import refused, run

PAGE, SIZE = 4096, 60


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with some attempts; tests change copies of it."""
    folder = tmp_path_factory.mktemp("sound") / "w"
    init_workspace(folder)
    # Without the library, most of the file is of attempts.
    (folder / "knowledge.db").unlink()
    with KnowledgeBase.open(folder / "knowledge.db") as knowledge:
        fill(knowledge, make_panel(), SIZE)
    return folder


@pytest.fixture
def workspace(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "w"
    shutil.copytree(sound, folder)
    monkeypatch.chdir(folder)
    return folder


def damage(data: bytearray, kind: int, rng: random.Random) -> None:
    """Flip bits, empty a page, write nonsense, or cut the end off."""
    if kind == 0:
        for _ in range(10):
            data[rng.randrange(100, len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        page = rng.randrange(len(data) // (2 * PAGE), len(data) // PAGE)
        data[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    elif kind == 2:
        place = rng.randrange(len(data) // 2, len(data) - 600)
        data[place : place + 500] = rng.randbytes(500)
    else:
        del data[rng.randrange(3 * len(data) // (4 * PAGE), len(data) // PAGE) * PAGE :]


@pytest.mark.parametrize("kind", range(4))
def test_a_damaged_base_is_described_and_what_can_be_read_of_it_is_saved(
    workspace: Path, capsys: pytest.CaptureFixture[str], kind: int
) -> None:
    path = workspace / "knowledge.db"
    data = bytearray(path.read_bytes())
    damage(data, kind, random.Random(kind))
    path.write_bytes(data)
    for command in ("verify", "list"):
        code, _, err = run(capsys, "kb", command)
        assert code in (0, 1, 2), (command, err)
        # Bits and nonsense may lie where nothing is stored, or in words that nothing else tells of.
        assert code or command != "verify" or kind in (0, 2), "the fault is found"
        assert "Traceback" not in err
    code, _, err = run(capsys, "kb", "repair", "new.db")
    assert code == 0, err
    assert path.read_bytes() == bytes(data)
    with KnowledgeBase.open("new.db") as repaired:
        assert find_faults(repaired) == []
        assert len(repaired.attempts()) > SIZE // 4


def test_a_sound_base_is_found_sound_and_saved_whole(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # A factor of a field that this data set alone has.
    text = "ts_mean(my_field, 5)"
    factor_id = f"factor:{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    with sqlite3.connect("knowledge.db") as connection:
        place = "WHERE id = (SELECT min(id) FROM attempts WHERE canonical IS NULL)"
        connection.execute(f"UPDATE attempts SET canonical = ?, factor_id = ? {place}", (text, factor_id))
    assert run(capsys, "kb", "verify")[:2] == (0, "nothing is wrong\n")
    assert run(capsys, "kb", "repair", "new.db")[0] == 0
    assert run(capsys, "kb", "backup", "copy.db")[0] == 0
    with KnowledgeBase.open("knowledge.db") as one, KnowledgeBase.open("copy.db") as copy:
        assert copy.attempts() == one.attempts()
    assert "there already" in refused(capsys, "kb", "backup", "copy.db")
    assert "there already" in refused(capsys, "kb", "repair", "copy.db")


def test_a_defect_ends_in_one_sentence_and_a_report(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_options: object) -> None:
        raise ZeroDivisionError("a \x1b[31mdefect")

    monkeypatch.setattr(cli, "main", broken)
    monkeypatch.setenv("TMPDIR", str(workspace))
    monkeypatch.setattr("tempfile.tempdir", None)
    code, out, err = run(capsys, "kb", "list", "postgresql://me:secret@host/name")
    assert (code, out) == (70, "")
    assert len(err.splitlines()) == 1
    assert "\x1b" not in err
    (report,) = workspace.glob("alphaglow-report-*.txt")
    assert str(report) in err
    text = report.read_text()
    assert "ZeroDivisionError" in text
    assert "secret" not in text


def test_what_sqlite_says_of_a_damaged_schema_may_be_no_text(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect("knowledge.db") as connection:
        connection.execute("PRAGMA writable_schema=ON")
        changed = "name = CAST(x'c328' AS TEXT), sql = 'CREATE NONSENSE'"
        connection.execute(f"UPDATE sqlite_master SET {changed} WHERE name = 'lessons'")
    for command in (("list",), ("verify",), ("repair", "new.db"), ("sql", "SELECT 1")):
        assert "knowledge.db" in refused(capsys, "kb", *command)


def test_a_damaged_row_is_no_defect(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect("knowledge.db") as connection:
        connection.execute("UPDATE attempts SET claims = '[1' WHERE id = 3")
        connection.execute("UPDATE verdicts SET scores = 'x' WHERE id = 1")
        connection.execute("UPDATE evaluations SET evidence = x'00' WHERE attempt_id > 30")
    assert "damaged" in refused(capsys, "kb", "search", "--theme", "volume")
    assert "cannot be read" in refused(capsys, "kb", "list")
    code, out, _ = run(capsys, "kb", "verify")
    assert code == 1
    assert "attempt 3 cannot be read" in out


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_a_command_as_ctrl_c_does(number: signal.Signals) -> None:
    # Under nohup a hang-up is ignored, and the command would wait for ever.
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt), ended_by_signals():
            os.kill(os.getpid(), number)
            signal.pause()
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_a_run_whose_process_is_gone_has_stopped(workspace: Path) -> None:
    assert not is_gone(this_process())
    assert not is_gone(None)
    assert not is_gone("another/machine 1 1")
    ended = subprocess.run(
        [sys.executable, "-c", "from agent.knowledge.processes import this_process; print(this_process())"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    assert is_gone(ended)
    with KnowledgeBase.open("knowledge.db") as knowledge:
        run_id = knowledge.create_run(make_panel().id, RunConfig(data="toy"), 0).id
        assert knowledge.get_run(run_id).status == "running"
        with sqlite3.connect("knowledge.db") as connection:
            connection.execute("UPDATE runs SET process = ? WHERE id = ?", (ended, run_id))
        assert knowledge.get_run(run_id).status == "stopped"
        assert '"stopped"' not in knowledge.export(), "another program may still be at it: a base knows no such word"
        knowledge.set_run_status(run_id, "running")
        assert knowledge.get_run(run_id).status == "running"


def test_a_query_has_an_end(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    monkeypatch.setattr(file_query, "SECONDS", 0.2)
    assert "more than 0.2 seconds" in refused(capsys, "kb", "sql", endless)
    monkeypatch.setattr(file_query, "_MOST_BYTES", 10_000)
    large = "SELECT zeroblob(5000) FROM attempts"
    assert "hold more than" in refused(capsys, "kb", "sql", large)


@pytest.mark.parametrize("text", ["=1+1", "-ts_mean(close, 5)", "+x", "@x", "\t=x"])
def test_no_cell_of_an_export_is_a_formula(text: str) -> None:
    written = io.StringIO()
    csv.writer(written).writerow([spreadsheet_safe(text), spreadsheet_safe(-1.5)])
    (cells,) = csv.reader(io.StringIO(written.getvalue(), newline=""))
    assert cells == [f"'{text}", "-1.5"]


def test_symbols_can_be_shown() -> None:
    refuse_odd_symbols(["BTC/USDT:USDT", "BRK.B", "貴州茅台"])
    for symbol in ("", " ", "A\nB", "\x1b[2J", "A\u202eB"):
        with pytest.raises(InputError, match="no asset can be called"):
            refuse_odd_symbols(["BTC", symbol])
