"""The file of a knowledge base, opened by sqlite3 alone to list and look up what it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from agent.knowledge.database.database_errors import file_in_words
from agent.knowledge.file_query import open_read_only
from agent.knowledge.listing import Ask
from agent.knowledge.looking_up import LookingUp


class FileListing(LookingUp):
    """A file of the newest revision (see `agent.knowledge.file_query.current_file`), which is only read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def on_server(self) -> bool:
        """It is a file."""
        return False

    @contextmanager
    def asking(self) -> Iterator[Ask]:
        """Lend what runs a SELECT in one transaction."""
        with file_in_words(self.path), closing(open_read_only(self.path, autocommit=True)) as connection:
            connection.execute("BEGIN")

            def ask(query: str, given: Mapping[str, object]) -> Sequence[Sequence[Any]]:
                return connection.execute(query, dict(given)).fetchall()

            yield ask
