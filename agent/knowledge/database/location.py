"""Where a knowledge base lies: in a file, or on a PostgreSQL server."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from market.errors import InputError

_EXAMPLES = "sqlite:////folder/knowledge.db or postgresql://USER:PASSWORD@HOST/NAME"


@dataclass(frozen=True)
class BaseLocation:
    """A database that SQLAlchemy can reach; as text it never shows a password."""

    url: URL

    @property
    def path(self) -> Path | None:
        """The file, or None for a server."""
        return Path(self.url.database or "") if self.url.get_backend_name() == "sqlite" else None

    @cached_property
    def on_server(self) -> bool:
        """Whether a server holds it."""
        # Asked in each transaction.
        return self.path is None

    def __str__(self) -> str:
        """Return the file's path, or the URL with its password hidden."""
        return str(self.path or self.url.set(drivername="postgresql").render_as_string(hide_password=True))


def is_url(where: str) -> bool:
    """Whether a text names a database by its URL, and not a file by its path."""
    return "://" in where


def place_of(where: Path | str) -> BaseLocation:
    """Return the place meant by a path or by a SQLAlchemy URL.

    Raises
    ------
    InputError
        For a URL that cannot be read, another kind of database, or one whose driver is not installed. The URL is
        not repeated, for it may hold a password.
    """
    if isinstance(where, Path) or not is_url(where):
        return BaseLocation(URL.create("sqlite", database=str(where)))
    try:
        url = make_url(where)
    except (ArgumentError, ValueError) as error:
        raise InputError("the URL of the knowledge base cannot be read", f"write it as {_EXAMPLES}") from error
    kind = "postgresql" if url.get_backend_name() == "postgres" else url.get_backend_name()
    if kind == "sqlite" and url.database and url.database != ":memory:":
        return BaseLocation(URL.create("sqlite", database=url.database))
    if kind != "postgresql":
        named = "a SQLite URL without a file" if kind == "sqlite" else kind
        raise InputError(f"a knowledge base cannot be in {named}", f"name {_EXAMPLES}")
    if not url.database:
        raise InputError("the URL of the knowledge base names no database", f"write it as {_EXAMPLES}")
    if find_spec("psycopg") is None:
        raise InputError("PostgreSQL needs a driver, which is not installed", "pip install 'alphaglow[postgres]'")
    return BaseLocation(url.set(drivername="postgresql+psycopg"))
