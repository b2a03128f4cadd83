"""Reading another knowledge base without changing a byte of it."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from agent.knowledge.database.database_errors import in_words
from agent.knowledge.database.location import BaseLocation, place_of
from agent.knowledge.file_query import open_read_only
from agent.knowledge.knowledge_base import KnowledgeBase
from market.errors import InputError


@contextmanager
def borrowed(where: Path | str) -> Iterator[KnowledgeBase]:
    """Open the knowledge base at a path or URL to be read: a file by way of a copy, brought to the newest revision.

    One on a server must be of the newest revision already, for it is nobody else's to change.
    """
    place = place_of(where)
    if place.path is None:
        with KnowledgeBase.open(where, create=False, forward=False) as knowledge:
            yield knowledge
        return
    if not place.path.is_file():
        raise InputError(f"there is no knowledge base {place}", "name its file or its URL")
    with tempfile.TemporaryDirectory(prefix="alphaglow-") as folder:
        copy = Path(folder) / "copy.db"
        _copy(place, copy)
        with KnowledgeBase.open(copy, create=False) as knowledge:
            yield knowledge


def _copy(place: BaseLocation, copy: Path) -> None:
    """Copy a database as of one moment, even while others write."""
    assert place.path is not None
    with in_words(place), closing(sqlite3.connect(copy)) as target, closing(open_read_only(place.path)) as source:
        source.backup(target)
