"""A knowledge base on a PostgreSQL server: what can go wrong there, and the program's commands on it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from agent.knowledge.database import location as places
from agent.knowledge.database.location import place_of
from agent.knowledge.database.transactions import Handle
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import NewAttempt
from agent.knowledge.run_config import RunConfig
from agent.knowledge.tables import attempts
from market.errors import InputError
from tests.agent.commands import as_json, refused, run
from tests.agent.postgres import PASSWORD, Server
from tests.agent.test_knowledge_store import make_panel


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://me:{}@127.0.0.1:1/kb", "cannot be reached"),
        ("postgresql://me:{}@no-such-host.invalid/kb", "cannot be reached"),
        ("mysql://me:{}@host/kb", "cannot be in mysql"),
        ("postgresql://me:{}@host", "names no database"),
        ("postgresql://me:{}@host:port/kb", "cannot be read"),
        ("sqlite://", "without a file"),
    ],
)
def test_urls_that_lead_nowhere_are_one_line_without_the_password(url: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        KnowledgeBase.open(url.format(PASSWORD))
    assert PASSWORD not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"alphaglow\[postgres\]"):
        place_of("postgresql://me@host/kb")


def test_a_login_that_is_refused_and_a_database_that_is_not_there(postgres: Server) -> None:
    for url, says in (
        (postgres.tcp("postgres", password="wrong"), "refuses the login"),
        (postgres.tcp("postgres", user="nobody"), "refuses the login"),
        (postgres.tcp("absent"), "is not there"),
    ):
        with pytest.raises(InputError, match=says) as caught:
            KnowledgeBase.open(url)
        assert "wrong" not in str(caught.value)
        assert PASSWORD not in str(caught.value)
    with pytest.raises(InputError, match="no knowledge base in"):
        KnowledgeBase.open(postgres.new_database(), create=False)


def test_somebody_elses_database_is_left_alone(postgres: Server) -> None:
    url = postgres.new_database()
    name = url.split("/")[3].split("?")[0]
    postgres.execute("CREATE TABLE mine (x int)", name)
    with pytest.raises(InputError, match="no knowledge base"):
        KnowledgeBase.open(url)
    assert postgres.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", name) == [(1,)]


def test_a_user_who_may_only_read_and_a_lock_that_is_taken(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg

    url = postgres.new_database()
    name = url.split("/")[3].split("?")[0]
    with KnowledgeBase.open(url) as kb:
        monkeypatch.setattr("agent.knowledge.database.connection.BUSY_SECONDS", 0.1)
        with psycopg.connect(url) as other:
            other.execute("SELECT pg_advisory_xact_lock(1634496616)")
            assert kb.attempts() == [], "readers are not in a writer's way"
            with pytest.raises(InputError, match="locked by another process"):
                kb.record_attempt(NewAttempt("r0", 1, 0, "x", "parse"))
    postgres.execute(
        "CREATE ROLE reader LOGIN PASSWORD 'r'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader", name
    )
    with KnowledgeBase.open(postgres.tcp(name, "reader", "r")) as kb:
        assert kb.attempts() == []
        with pytest.raises(InputError, match="may not be used"):
            kb.create_run("panel:1", RunConfig(), 1)


def test_a_server_that_goes_away_is_one_line(postgres: Server) -> None:
    url = postgres.new_database()
    with KnowledgeBase.open(url) as kb:
        assert kb.runs() == []
        killed = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'alphaglow'"
        postgres.execute(killed)
        assert kb.runs() == [], "a connection that died between transactions is replaced"
        with pytest.raises(InputError, match="cannot be reached"), kb._writing() as session:
            session.connection()
            postgres.execute(killed)
            session.connection().exec_driver_sql("SELECT 1")


def test_a_server_that_stops_for_a_while_is_waited_for_and_each_wait_is_said(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    with KnowledgeBase.open(postgres.new_database()) as kb:
        panel, said = make_panel(), list[str]()
        kb.register_dataset(panel)
        run = kb.create_run(panel.id, RunConfig(), 1)
        kb.start_round(run.id, 1, {})
        connect, down = type(kb._engine).connect, [2]

        def connecting(self: Engine, *given: Any) -> Connection:
            if down[0]:
                down[0] -= 1
                raise OperationalError("", None, psycopg.OperationalError("connection refused"))
            return connect(self, *given)

        monkeypatch.setattr(type(kb._engine), "connect", connecting)
        monkeypatch.setattr(Handle, "_wait", lambda self, seconds: said.append(f"{seconds} s"))
        kb.announce = said.append
        number = kb.record_attempt(NewAttempt(run.id, 1, 0, "close", "parse"))
        assert [line.partition(": trying again ")[2] for line in said[::2]] == ["in 1 s", "in 2 s"]
        assert "cannot be reached" in said[0]
        # A connection that breaks in the midst of a transaction: it is done again, and once.
        broken = [True]

        def breaks(*given: Any) -> int:
            found = add_attempt(*given)
            if broken.pop() if broken else False:
                postgres.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'alphaglow'"
                )
            return found

        add_attempt = attempts.add_attempt
        monkeypatch.setattr(attempts, "add_attempt", breaks)
        assert kb.record_attempt(NewAttempt(run.id, 1, 1, "open", "parse")) > number
        assert [attempt.text for attempt in kb.attempts(run.id)] == ["close", "open"]
        # Who asks to stop is heard while it waits, and nothing is waited for after that.
        monkeypatch.undo()
        monkeypatch.setattr(type(kb._engine), "connect", connecting)
        down[0], kb.stopping, kb.announce = 10**6, lambda: True, said.append
        said.clear()
        for _ in range(2):
            with pytest.raises(InputError, match="cannot be reached"):
                kb.runs()
        assert len(said) == 1


def test_the_program_works_on_a_server(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    postgres: Server,
) -> None:
    name = postgres.new_database().split("/")[3].split("?")[0]
    url = postgres.tcp(name)
    (home / "alphaglow.toml").write_text(f'[knowledge]\nurl = "{url}"\n')
    before = (home / "knowledge.db").read_bytes()
    mined = as_json(capsys, "mine", "--llm", "mock", "--rounds", "3", "--candidates", "6", "--no-gate")
    assert mined["attempts"] == 18
    assert (home / "knowledge.db").read_bytes() == before, "the file is not used"
    counted = as_json(capsys, "kb", "sql", "SELECT count(*) AS n, '100%' AS said FROM attempts;")
    assert counted == {"columns": ["n", "said"], "rows": [[18, "100%"]], "cut": False}
    assert as_json(capsys, "kb", "sql", "SELECT id FROM attempts", "--limit", "5")["cut"] is True
    assert as_json(capsys, "kb", "sql")["attempts"][0] == "id"
    for text in (
        "DELETE FROM attempts",
        "DROP TABLE lessons",
        "SELECT 1; DROP TABLE lessons",
        "SELECT 1; COMMIT; DROP TABLE lessons",
        "COPY attempts TO PROGRAM 'cat > /tmp/x'",
        "SELECT nextval('attempts_id_seq')",
        "WITH gone AS (DELETE FROM verdicts RETURNING id) SELECT * FROM gone",
        "SELECT 1 INTO copy",
        "SELECT * FROM attempts FOR UPDATE",
        "nonsense",
        "",
    ):
        assert "SQL:" in refused(capsys, "kb", "sql", text), text
    assert as_json(capsys, "kb", "sql", "SELECT count(*) FROM verdicts")["rows"] != [[0]]
    assert len(as_json(capsys, "kb", "list", "--library")) > 400, "a new knowledge base knows the published factors"
    listed = as_json(capsys, "kb", "list")["attempts"]
    child = next(a for a in listed if a["parent_ids"])
    assert as_json(capsys, "kb", "lineage", child["factor_id"])["built_on"]
    assert as_json(capsys, "kb", "verify") == {"faults": []}
    assert Path(as_json(capsys, "report", mined["run"])["report"]).is_file()
    first = "SELECT min(id) FROM attempts WHERE factor_id IS NOT NULL"
    postgres.execute(f"UPDATE attempts SET canonical = 'cs_rank(close)' WHERE id = ({first})", name)
    code, out, _ = run(capsys, "kb", "verify")
    assert code == 1
    assert "cs_rank(close) is factor:" in out
    # The environment has the last word; a password is not repeated.
    monkeypatch.setenv("ALPHAGLOW_KNOWLEDGE", postgres.tcp("absent"))
    refusal = refused(capsys, "kb", "list")
    assert "is not there" in refusal
    assert PASSWORD not in refusal
    monkeypatch.setenv("ALPHAGLOW_KNOWLEDGE", str(home / "knowledge.db"))
    assert as_json(capsys, "kb", "list")["runs"] == []


def test_help_and_a_file_need_no_driver(tmp_path: Path) -> None:
    script = (
        "import sys; from agent.knowledge.knowledge_base import KnowledgeBase\n"
        f"KnowledgeBase.open({str(tmp_path / 'k.db')!r}).close()\n"
        "sys.exit('psycopg' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
