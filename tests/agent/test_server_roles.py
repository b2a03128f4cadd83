"""Roles on a PostgreSQL server: what a reader, a researcher and the owner of the holdout may do, by the program."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from agent.knowledge.server_roles import grant_script, role_names
from market.errors import InputError
from tests.agent.commands import as_json, refused, run
from tests.agent.postgres import Server

SHORT = ("mine", "--llm", "mock", "--rounds", "2", "--candidates", "4", "--no-gate")


def test_each_role_may_do_its_work_and_no_more(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, postgres: Server
) -> None:
    name = postgres.new_database().split("/")[3].split("?")[0]
    # Roles belong to the whole server: other databases of these tests have theirs.
    prefix = f"r{name}"
    monkeypatch.setenv("ALPHAGLOW_KNOWLEDGE", postgres.tcp(name))
    for _ in range(2):
        named = as_json(capsys, "kb", "roles", "--apply", "--prefix", prefix)
    for kind, role in named.items():
        postgres.execute(f"CREATE USER {prefix}_{kind}_ann PASSWORD 'word' IN ROLE {role}")

    def use(kind: str) -> None:
        monkeypatch.setenv("ALPHAGLOW_KNOWLEDGE", postgres.tcp(name, f"{prefix}_{kind}_ann", "word"))

    # A reader is refused before any work, and nothing is written.
    use("reader")
    assert as_json(capsys, "kb", "list")["attempts"] == []
    assert "may not" in refused(capsys, *SHORT)
    assert "may not" in refused(capsys, "eval", "-ts_mean(returns, 24)")
    assert as_json(capsys, "kb", "sql", "SELECT count(*) FROM runs")["rows"] == [[0]]

    # A researcher mines, evaluates, notes and judges again; what was tried stays, and the holdout stays shut.
    use("researcher")
    mined = as_json(capsys, *SHORT)
    assert mined["attempts"] == 8
    assert as_json(capsys, "eval", "-ts_mean(returns, 24)")["verdict"]
    assert as_json(capsys, "screen", "--random", "20", "--keep", "2")
    assert as_json(capsys, "kb", "reassess")
    assert run(capsys, "watch")[0] in (0, 2)
    assert Path(as_json(capsys, "report", mined["run"])["report"]).is_file()
    factor = as_json(capsys, "kb", "list")["attempts"][0]["factor_id"]
    assert "may not write into holdout_openings" in refused(capsys, "holdout", factor, "--yes")
    with psycopg.connect(postgres.tcp(name, f"{prefix}_researcher_ann", "word"), autocommit=True) as raw:
        for text in (
            "DELETE FROM attempts",
            "UPDATE attempts SET stage = 'parse'",
            "UPDATE evaluations SET sharpe_per_bar = 9",
            "DELETE FROM trial_returns",
            "TRUNCATE llm_calls",
            "DELETE FROM holdout_openings",
            "INSERT INTO holdout_openings (factor_id) VALUES ('x')",
            "DROP TABLE attempts",
            "CREATE TABLE mine (x int)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                raw.execute(text.encode())

    # The owner of the holdout opens it, and everybody sees that it was opened.
    use("owner")
    assert as_json(capsys, "holdout", factor, "--yes")["opened_by"]
    use("reader")
    assert as_json(capsys, "kb", "sql", "SELECT count(*) FROM holdout_openings")["rows"] == [[1]]
    assert as_json(capsys, "kb", "verify") == {"faults": []}
    reader = postgres.tcp(name, f"{prefix}_reader_ann", "word")
    with psycopg.connect(reader) as raw, pytest.raises(psycopg.errors.InsufficientPrivilege):
        raw.execute("INSERT INTO remarks (factor_id) VALUES ('x')")
    # Only who owns the tables gives rights.
    assert "may not" in refused(capsys, "kb", "roles", "--apply", "--prefix", prefix)


def test_the_script_is_one_transaction_and_a_file_has_no_roles(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "kb", "roles", "--prefix", "desk")
    assert code == 0
    assert out.strip() == grant_script("desk")
    lines = [line for line in out.splitlines() if not line.startswith("--")]
    assert (lines[0], lines[-1]) == ("BEGIN;", "COMMIT;")
    assert "a file has no roles" in refused(capsys, "kb", "roles", "--apply")
    for bad in ('x"; DROP TABLE attempts', "", "Upper", "a-b"):
        with pytest.raises(InputError, match="cannot begin the name"):
            role_names(bad)
