"""Whether stored documents can be read, found out without reading them."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Mapping

from agent.knowledge.packed_json import StoredDocument, unsqueezed


class DocumentChecker:
    """Tells whether stored documents can be read, without reading them: SQLite looks whether a text is JSON.

    To make the figures of a scorecard costs five times as much, which is a minute of a million.
    """

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:")

    def close(self) -> None:
        """Let go of SQLite."""
        self._connection.close()

    def check(self, one: Mapping[str, object], other: Mapping[str, object]) -> None:
        """Raise what reading both documents whole would raise: an `InputError` if one is damaged."""
        stored = [document for document in (one, other) if isinstance(document, StoredDocument)]
        if len(stored) < 2 or not self._are_sound(*(document.packed for document in stored)):
            for document in stored:
                document.read()

    def _are_sound(self, one: bytes, other: bytes) -> bool:
        """Whether both are surely JSON objects; where it is not sure, Python's reader decides."""
        try:
            texts = [unsqueezed(packed) for packed in (one, other)]
            if not all(text.startswith(b"{") and b"\0" not in text for text in texts):
                return False
            said = [text.decode() for text in texts]
            return bool(self._connection.execute("SELECT json_valid(?) AND json_valid(?)", said).fetchone()[0])
        except (zlib.error, ValueError, sqlite3.Error):
            return False
