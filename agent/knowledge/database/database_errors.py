"""What can befall a database (locked, full, gone, damaged ...), in words."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from market.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from agent.knowledge.database.location import BaseLocation

PRIMARY = 0xFF
DAMAGED = "restore it from a backup, or save what can be read: alphaglow kb repair NEW"
# The driver says so of bytes in the place of text, without a code.
_NO_TEXT = "Could not decode to UTF-8"
_FILE = {
    sqlite3.SQLITE_BUSY: ("is locked by another process", "wait until that one is done"),
    sqlite3.SQLITE_LOCKED: ("is locked", "wait until the other command is done"),
    sqlite3.SQLITE_PERM: ("may not be accessed", "check the file's permissions"),
    sqlite3.SQLITE_READONLY: ("is read-only", "make the file and its folder writable, or work on a copy"),
    sqlite3.SQLITE_IOERR: ("cannot be read or written: disk I/O error", "is the disk full or failing?"),
    sqlite3.SQLITE_FULL: ("cannot grow: the disk is full", "free some space; what was committed is safe"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "check that the folder exists and is writable"),
    sqlite3.SQLITE_NOTADB: ("is not a database", "name another file, or move this one away"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", DAMAGED),
}
_GONE = ("cannot be reached", "is the server up, and are host and port right?")
_LOGIN = ("refuses the login", "check user and password in the URL")
_ABSENT = ("is not there", "make it: createdb NAME")
_CROWDED = ("has too many connections", "close some, or raise max_connections of the server")
# By SQLSTATE, the longest beginning first.
_SERVER = {
    "28": _LOGIN,
    "3D000": _ABSENT,
    "53100": ("cannot grow: the server's disk is full", "free some space; what was committed is safe"),
    "53300": _CROWDED,
    "53": ("is out of resources", "see the server's log"),
    "55P03": ("is locked by another process", "wait until that one is done"),
    "57P": _GONE,
    "08": _GONE,
    "58": ("cannot be read or written: the server reports a system error", "see the server's log"),
    "25006": ("is read-only", "name the primary server, or a user who may write"),
    "42501": (
        "may not be used like this by this user",
        "ask its owner for a role that may: alphaglow kb roles; of an older version, its owner opens it first",
    ),
    "XX": ("is damaged, or the server is", "see the server's log"),
}
# A connection that fails has no SQLSTATE; libpq tells in words.
_CONNECTING = {
    "password": _LOGIN,
    "authentication": _LOGIN,
    "role": _LOGIN,
    "pg_hba": _LOGIN,
    "too many": _CROWDED,
    "does not exist": _ABSENT,
}


class Unreachable(InputError):
    """A server that does not answer, or a connection to it that broke: it may answer again."""


@contextmanager
def in_words(place: BaseLocation) -> Iterator[None]:
    """Turn what can befall a database into an `InputError`.

    Anything else that the database complains about is a defect here and passes through.
    """
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _unreadable(str(place), error) from error
    except zlib.error as error:
        raise InputError(
            f"the knowledge base {place} holds a prompt or a reply that cannot be read ({error})",
            "restore it from a backup",
        ) from error
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        known = _server_words(cause) if place.on_server else _file_words(cause)
        if known is None and _NO_TEXT in str(cause):
            raise _unreadable(str(place), cause) from error
        if known is None:
            raise
        kind = Unreachable if known is _GONE else InputError
        raise kind(f"the knowledge base {place} {known[0]}", known[1]) from error


@contextmanager
def file_in_words(path: Path) -> Iterator[None]:
    """Turn what can befall a file that sqlite3 reads into an `InputError`; see `in_words`."""
    try:
        yield
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _unreadable(str(path), error) from error
    except sqlite3.Error as error:
        known = _file_words(error)
        if known is None and _NO_TEXT in str(error):
            raise _unreadable(str(path), error) from error
        if known is None:
            raise
        raise InputError(f"the knowledge base {path} {known[0]}", known[1]) from error


def _unreadable(place: str, error: BaseException | None) -> InputError:
    """Return the words for a row that cannot be read, such as a document that is none."""
    return InputError(f"the knowledge base {place} is damaged: a row cannot be read ({error})", DAMAGED)


def _file_words(cause: BaseException | None) -> tuple[str, str] | None:
    code = getattr(cause, "sqlite_errorcode", None)
    return _FILE.get(code & PRIMARY) if isinstance(code, int) else None


def _server_words(cause: BaseException | None) -> tuple[str, str] | None:
    """Return the words for what a server, or the way to it, reports."""
    import psycopg

    state = getattr(cause, "sqlstate", None)
    if isinstance(state, str):
        found = [words for begin, words in _SERVER.items() if state.startswith(begin)]
        return found[0] if found else None
    if not isinstance(cause, psycopg.OperationalError):
        return None
    cause_text = str(cause)
    return next((words for sign, words in _CONNECTING.items() if sign in cause_text), _GONE)
