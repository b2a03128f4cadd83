"""Who may do what with a knowledge base on a PostgreSQL server: three roles, granted by the server itself.

A *reader* reads all. A *researcher* runs, evaluates and notes; what was tried can be added to and not taken away, so
that the trials of everybody count. The *owner of the holdout* may also record an opening of the holdout, without which
nothing of it is shown. Migrations, merges and imports are left to the user who owns the tables.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.knowledge.database.connection import make_engine
from agent.knowledge.database.database_errors import in_words
from agent.knowledge.database.location import BaseLocation
from agent.knowledge.database.schema import Base
from market.errors import InputError

PREFIX = "alphaglow"
READER, RESEARCHER, OWNER = "reader", "researcher", "holdout_owner"
OPENINGS, WORDS = "holdout_openings", "attempt_words"
# What the program itself changes after it was written, beside adding rows.
_CHANGED = ("datasets", "library", "llm_calls", "queued_runs", "rounds", "runs", "tallies", "watches")
# A verdict is given in two steps, of which the second fills these; figures and returns stay as they were written.
_CONFIRMED = "accepted, predicts_z, earns_z, confirmed, verdict, evidence"
# What it writes again or takes back: pairs of related data sets, later verdicts, states of watches, tags of people.
_TAKEN_BACK = ("related_datasets", "reassessments", "remarks", "watches")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


@dataclass(frozen=True)
class RoleNames:
    """The names of the three roles on the server."""

    reader: str
    researcher: str
    owner: str


def role_names(prefix: str = PREFIX) -> RoleNames:
    """Return the names of the roles; the prefix tells apart those of several bases on one server.

    Raises
    ------
    InputError
        For a prefix that is no plain name.
    """
    if not _NAME.fullmatch(prefix):
        raise InputError(
            f"{prefix[:60]!r} cannot begin the name of a role",
            "use small letters, digits and underscores, such as --prefix research",
        )
    return RoleNames(*(f"{prefix}_{kind}" for kind in (READER, RESEARCHER, OWNER)))


def grant_statements(prefix: str = PREFIX, schema: str = "public") -> list[str]:
    """Return the SQL statements that make the roles and give them their rights; to run them again changes nothing.

    The user who runs them owns the tables and may make roles.
    """
    names = role_names(prefix)
    written = sorted({*Base.metadata.tables, WORDS} - {OPENINGS})
    return [
        *(_made(name) for name in (names.reader, names.researcher, names.owner)),
        f"GRANT USAGE ON SCHEMA {schema} TO {names.reader}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {names.reader}",
        f"GRANT {names.reader} TO {names.researcher}",
        f"GRANT INSERT ON {', '.join(written)} TO {names.researcher}",
        f"GRANT UPDATE ON {', '.join(_CHANGED)} TO {names.researcher}",
        f"GRANT UPDATE ({_CONFIRMED}) ON evaluations TO {names.researcher}",
        f"GRANT DELETE ON {', '.join(_TAKEN_BACK)} TO {names.researcher}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {names.researcher}",
        f"GRANT {names.researcher} TO {names.owner}",
        f"GRANT INSERT ON {OPENINGS} TO {names.owner}",
        # Tables that a later version makes can be read at once; to write into them, this is run again.
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {names.reader}",
    ]


def grant_script(prefix: str = PREFIX) -> str:
    """Return the statements as a script for psql, with a line on how people get a role."""
    names = role_names(prefix)
    lines = [
        "-- Run by the user who owns the tables: alphaglow kb roles | psql URL",
        f"-- A person gets a role so: CREATE USER ann PASSWORD '...' IN ROLE {names.researcher};",
        "BEGIN;",
        *(f"{statement};" for statement in grant_statements(prefix)),
        "COMMIT;",
    ]
    return "\n".join(lines)


def _made(name: str) -> str:
    """Return the statement that makes a role without a login; one that is there is kept."""
    return f"DO $$ BEGIN CREATE ROLE {name} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"


def apply_grants(place: BaseLocation, prefix: str = PREFIX) -> RoleNames:
    """Run the statements on the server, all or nothing; return the roles.

    Raises
    ------
    InputError
        For a base in a file, which has no roles, and where the user may not make roles or does not own the tables.
    """
    names = role_names(prefix)
    if not place.on_server:
        raise InputError(
            f"the knowledge base {place} is a file, and a file has no roles",
            "use a PostgreSQL server: [knowledge] url in alphaglow.toml",
        )
    engine = make_engine(place)
    try:
        with in_words(place), engine.begin() as connection:
            for statement in grant_statements(prefix):
                connection.exec_driver_sql(statement)
    finally:
        engine.dispose()
    return names
