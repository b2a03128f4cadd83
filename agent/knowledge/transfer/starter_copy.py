"""Give a new knowledge base the published factors of the starter, with their index, as rows: nothing is read again."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from agent.knowledge.database import schema
from agent.knowledge.database.database_errors import in_words
from agent.knowledge.database.location import place_of
from agent.knowledge.file_query import open_read_only

_LIBRARY = schema.core_table(schema.LibraryEntry)
_KNOWN = schema.core_table(schema.KnownFactor)
_PARTS = schema.core_table(schema.KnownPart)


def copy_library(session: Session, starter: Path) -> None:
    """Copy library and index of known factors from a starter file into a base that has neither.

    One that has a library, since another process was faster, is left as it is.
    """
    if session.scalar(select(_LIBRARY.c.id).limit(1)) is not None:
        return
    library, known, parts = _rows_of(starter)
    for row in library:
        row["notes"] = json.loads(str(row["notes"]))
    session.execute(insert(_LIBRARY), library)
    before = [row.pop("seq") for row in known]
    numbered = insert(_KNOWN).returning(_KNOWN.c.seq, sort_by_parameter_order=True)
    now = dict(zip(before, session.scalars(numbered, known), strict=True))
    session.execute(insert(_PARTS), [{**row, "seq": now[row["seq"]]} for row in parts])


def _rows_of(starter: Path) -> list[list[dict[str, object]]]:
    """Return the rows of library, known factors and their parts, in the order in which they were written."""
    wanted = ((_LIBRARY, "id"), (_KNOWN, "seq"), (_PARTS, "seq"))
    with in_words(place_of(starter)), closing(open_read_only(starter)) as source:
        found = []
        for table, order in wanted:
            names = [column.name for column in table.columns if (table.name, column.name) != ("library", "id")]
            rows = source.execute(f"SELECT {', '.join(names)} FROM {table.name} ORDER BY {order}")
            found.append([dict(zip(names, row, strict=True)) for row in rows])
    return found
