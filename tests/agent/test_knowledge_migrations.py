"""Schema changes: forward with rows in place, never backward, and never on somebody else's database."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, text

from agent.knowledge.database import schema
from agent.knowledge.database.connection import make_engine, migrate, migration_config
from agent.knowledge.database.location import place_of
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import NewAttempt
from agent.knowledge.tables.packed_returns import coded, pack
from agent.knowledge.tables.versions import rules_id
from agent.knowledge.verifying import find_faults
from market.errors import InputError

ROWS = """
INSERT INTO datasets VALUES ('panel:1', 'toy', 10, 2, '2024-01-01T00:00:00Z', '2024-01-02T00:00:00Z');
INSERT INTO runs VALUES (1, 'r1', 'panel:1', '{"data": "toy", "loop": {"seed": 1, "min_dsr": 0.9}}',
  7, 'finished', '2024-01-01T00:00:00Z', NULL);
INSERT INTO rounds VALUES ('r1', 1, '{"b": 1, "a": 2}', 'finished', '2024-01-01T00:00:00Z');
INSERT INTO attempts VALUES (1, 'r1', 1, 0, 'Close', 'close', 'factor:aa', '["factor:bb"]',
  'evidence', NULL, NULL, 'why', 'name', '2024-01-01T00:00:00Z');
INSERT INTO attempts VALUES (2, 'r1', 1, 1, '((', NULL, NULL, '[]',
  'parse', 'syntax', 'm', '', '', '2024-01-01T00:00:00Z');
INSERT INTO verdicts VALUES (1, 1, 1, TRUE, 8.0, 'good');
INSERT INTO evaluations VALUES (1, '{"train": {"rank_ic": 0.01}}', '{"verdict": "accepted"}', 0.02, TRUE);
INSERT INTO lessons VALUES (1, 'r1', 1, 0, 'sign', 'negate it', '[1]', '2024-01-01T00:00:00Z');
INSERT INTO llm_calls VALUES (1, 'r1', 'k', 'writer', 'm', 'text', 'h', '[{}]',
  'x', 'ok', 1, 2, NULL, 0.1, '2024-01-01T00:00:00Z');
INSERT INTO library VALUES (1, 'A1', 'paper', 'qlib', '$close', 'close', 'factor:cc',
  'translated', NULL, '[]');
INSERT INTO holdout_openings VALUES ('factor:aa', 'panel:1', '2024-01-01T00:00:00Z', '{"sharpe": 1.0}');
"""

NEXT = """
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "9998", "0015", None, None

def upgrade() -> None:
    with op.batch_alter_table("attempts", recreate="always") as table:
        table.add_column(sa.Column("extra", sa.String(), nullable=True))
"""


def at_revision_one(where: Path | str) -> None:
    place = place_of(where)
    engine = make_engine(place)
    migrate(engine, place, target="0001")
    with engine.begin() as connection:
        for statement in ROWS.split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        if place.on_server:
            for name in ("attempts", "verdicts", "llm_calls", "lessons", "library"):
                connection.exec_driver_sql(f"SELECT setval('{name}_id_seq', 10)")
    engine.dispose()


def test_the_models_are_what_the_migrations_make(place: str) -> None:
    KnowledgeBase.open(place).close()
    engine = make_engine(place_of(place))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_name": _modelled})
        assert compare_metadata(context, schema.Base.metadata) == []
    engine.dispose()


def _modelled(name: str | None, kind: str, _parents: object) -> bool:
    """Leave out the full-text index, which each database has in its own way."""
    return not (kind == "table" and str(name).startswith("attempt_words"))


def test_head_is_the_newest_revision_and_history_is_one_line() -> None:
    script = ScriptDirectory.from_config(migration_config())
    assert script.get_heads() == [schema.HEAD]
    assert script.get_bases() == ["0001"]


def test_rows_of_the_first_revision_are_all_there(place: str) -> None:
    at_revision_one(place)
    with KnowledgeBase.open(place) as kb:
        found = kb.get_factor("aa")
        assert found.attempt.verdicts[0].critique == "good"
        assert found.attempt.evaluation is not None
        assert found.attempt.evaluation.accepted
        assert list(kb.start_round("r1", 1, {}).brief) == ["b", "a"]
        assert kb.lessons()[0].evidence == (1,)
        assert kb.calls_total("r1").cost_usd is None
        assert kb.library()[0].canonical == "close"
        assert kb.trials("panel:1").count == 2
        with pytest.raises(InputError, match="opened"):
            kb.require_unopened("factor:aa", "panel:1")
        (opening,) = kb.holdout_openings("factor:aa", "panel:1")
        assert (opening.number, opening.result_document) == (1, {"sharpe": 1.0})
        config = kb.get_run("r1").config
        assert (config.kind, config.data, config.model, config.rules.gate) == ("mine", "toy", "", None)
        assert config.rules.sections == {"loop": {"seed": 1}, "admission": {"min_dsr": 0.9}}
        (call,) = kb.calls("r1")
        assert (call.request, call.response) == ("[{}]", "x")
        (key,) = kb.evaluated("factor:aa", "panel:1")
        assert key.evaluation is not None
        assert (key.evaluation.rules, key.evaluation.code) == (rules_id(config.rules), "")
        assert [found.attempt.id for found in kb.search_text("nam clo")] == [1]
        assert (kb.trials("panel:1").evaluated, kb.trials("panel:1").effective) == (1, 0)
        # The rows are made up, and verify knows; nothing was lost on the way.
        assert [fault.split(":")[0] for fault in find_faults(kb)] == ["attempt 1", "call k of run r1"]
        # What is written next goes on from there.
        number = kb.record_attempt(NewAttempt("r1", 1, 2, "close", "parse", name="later"))
        assert [found.attempt.id for found in kb.search_text("later")] == [number]
        assert kb.trials("panel:1").count == 3


@pytest.mark.parametrize("revision", ["0003", "0004", "0005", "0006", "0007"])
def test_fingerprints_and_counts_keep_their_values_under_new_names(place: str, revision: str) -> None:
    at_revision_one(place)
    packed = np.array([0.6, 0.8], dtype="<f2").tobytes()
    engine = make_engine(place_of(place))
    migrate(engine, place_of(place), target="0003")
    with engine.begin() as connection:
        insert = "INSERT INTO trial_returns (attempt_id, panel_id, cluster, sketch) VALUES (1, 'panel:1', 1, :packed)"
        connection.execute(text(insert), {"packed": packed})
    migrate(engine, place_of(place), target=revision)
    engine.dispose()
    with KnowledgeBase.open(place) as kb:
        assert (kb.trials("panel:1").count, kb.trials("panel:1").effective) == (2, 1)
        near = kb.nearest_accepted("panel:1", np.array([-0.6, -0.8]))
        assert (near.text, near.correlation) == ("close", pytest.approx(-1.0, abs=1e-3))
        assert kb.same_returns("panel:1", np.array([0.6, 0.8]), but="") == (1, "close")
        with kb.lend() as connection:
            assert connection.execute(text("SELECT * FROM attempt_parents")).all() == [("factor:bb", 1)]
        assert not any("effective_trials" in fault or "cluster" in fault for fault in find_faults(kb))
        with kb.as_source() as source:
            assert [fingerprint for _, fingerprint in source.attempts()] == [packed, None]


def test_returns_of_an_earlier_revision_stay_as_they_are_and_copies_of_them_are_found(place: str) -> None:
    at_revision_one(place)
    values = np.random.default_rng(3).standard_normal(512)
    values /= np.sqrt(values @ values)
    stored = coded(pack(values))
    engine = make_engine(place_of(place))
    migrate(engine, place_of(place), target="0014")
    row = {"attempt_id": 1, "panel_id": "panel:1", "seq": 1, "cluster": 1, "fingerprint": stored, "likeness": 5}
    with engine.begin() as connection:
        connection.execute(insert(schema.core_table(schema.TrialReturns)), row)
    engine.dispose()
    with KnowledgeBase.open(place) as kb:
        with kb.lend() as connection:
            found = connection.execute(text("SELECT fingerprint FROM trial_returns")).scalar_one()
        assert bytes(found) == stored
        assert kb.same_returns("panel:1", values * (1 + 1e-12), but="factor:other") == (1, "close")
        assert not [fault for fault in find_faults(kb) if "returns" in fault]


def test_a_later_revision_may_rebuild_a_table_that_others_point_at(tmp_path: Path) -> None:
    """The way forward works before it is needed: a scratch revision 9998 remakes `attempts`."""
    path = tmp_path / "k.db"
    at_revision_one(path)
    versions = tmp_path / "versions"
    own = Path(migration_config_folder()) / "versions"
    shutil.copytree(own, versions, ignore=shutil.ignore_patterns("__pycache__"))
    (versions / "9998_next.py").write_text(NEXT, encoding="utf-8")
    config = migration_config()
    config.set_main_option("version_locations", str(versions))
    engine = make_engine(place_of(path))
    migrate(engine, place_of(path), config)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "9998"
        assert connection.exec_driver_sql("SELECT count(*) FROM attempts").scalar() == 2
        assert connection.exec_driver_sql("SELECT count(*) FROM verdicts").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall() == []
    engine.dispose()
    with pytest.raises(InputError, match="newer"):
        KnowledgeBase.open(path)


def migration_config_folder() -> str:
    return str(ScriptDirectory.from_config(migration_config()).dir)


def test_a_failing_migration_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "k.db"
    at_revision_one(path)
    versions = tmp_path / "versions"
    shutil.copytree(Path(migration_config_folder()) / "versions", versions)
    (versions / "9998_next.py").write_text(NEXT + "    raise ZeroDivisionError\n", encoding="utf-8")
    config = migration_config()
    config.set_main_option("version_locations", str(versions))
    engine = make_engine(place_of(path))
    with pytest.raises(ZeroDivisionError):
        migrate(engine, place_of(path), config)
    engine.dispose()
    with KnowledgeBase.open(path) as kb:
        assert len(kb.attempts()) == 2


def test_a_newer_revision_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "k.db"
    at_revision_one(path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"9999.*upgrade alphaglow") as caught:
        KnowledgeBase.open(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_what_is_no_knowledge_base_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database, just some words\n" * 100)
    with pytest.raises(InputError, match="not a database"):
        KnowledgeBase.open(tmp_path / "text.db")
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = (tmp_path / "other.db").read_bytes()
    with pytest.raises(InputError, match="no knowledge base"):
        KnowledgeBase.open(tmp_path / "other.db")
    assert (tmp_path / "other.db").read_bytes() == before
    with pytest.raises(InputError, match="folder"):
        KnowledgeBase.open(tmp_path)
    with pytest.raises(InputError, match="cannot be opened"):
        KnowledgeBase.open(tmp_path / "absent" / "k.db")
    with pytest.raises(InputError, match="alphaglow init"):
        KnowledgeBase.open(tmp_path / "absent.db", create=False)
    assert not (tmp_path / "absent.db").exists()


def test_odd_paths_are_paths(tmp_path: Path) -> None:
    path = tmp_path / "a b?c=1#%41.db"
    KnowledgeBase.open(path).close()
    assert path.is_file()


def test_opening_is_quiet_and_leaves_one_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        KnowledgeBase.open(tmp_path / "k.db").close()
    assert (capsys.readouterr(), caplog.records) == (("", ""), [])
    assert [path.name for path in tmp_path.iterdir()] == ["k.db"]


def test_the_package_brings_its_migrations_along(tmp_path: Path) -> None:
    """From a copy of the package elsewhere, in another folder, with no alembic.ini near."""
    root = Path(schema.__file__).parents[3]
    for name in ("agent", "backtest", "market", "factors"):
        (tmp_path / "lib" / name).mkdir(parents=True)
        shutil.copytree(
            root / name,
            tmp_path / "lib" / name,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    script = (
        "import agent.knowledge.knowledge_base as s, sys\n"
        f"assert s.__file__.startswith({str(tmp_path)!r})\n"
        "s.KnowledgeBase.open('k.db').close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "lib")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
