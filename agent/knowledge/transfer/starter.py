"""Build the starter knowledge base: the published factors, translated, with nothing scored.

``python -m agent.knowledge.transfer.starter CORPORA OUT``. The same corpora give the same bytes: rows are sorted, no
time and no path is stored, and the file is written compact. (SQLite stamps its version into the header.)
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from agent.knowledge.database.database_errors import in_words
from agent.knowledge.database.location import place_of
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.library_records import NewLibraryEntry
from factors.corpora import PublishedFactor, read_corpus
from factors.parse import parse
from factors.table import GROUP_FIELDS, STANDARD_FIELDS
from market.errors import InputError, Rejection

# A library is not tied to one data set: what some panels carry may be named.
_FIELDS = frozenset({*STANDARD_FIELDS, *GROUP_FIELDS, "cap"})
_SUFFIXES = (".txt", ".json")


def library_entry(factor: PublishedFactor, name: str) -> NewLibraryEntry:
    """Return a published factor as a library entry: in our language, or refused with the reason."""
    expression = parse(factor.text, fields=_FIELDS, dialect=factor.dialect)
    if isinstance(expression, Rejection):
        message = f"{expression.message}\n{expression.hint}" if expression.hint else expression.message
        return NewLibraryEntry(name, factor.source, factor.dialect, factor.text, "refused", message=message)
    return NewLibraryEntry(
        name,
        factor.source,
        factor.dialect,
        factor.text,
        "translated",
        canonical=expression.text,
        factor_id=expression.id,
        notes=expression.notes,
    )


def read_library(corpora: Path) -> list[NewLibraryEntry]:
    """Read and translate every corpus in a folder, by file name, each in its own order.

    A name that a corpus uses again gets ``(2)``, ``(3)`` ... behind it.
    """
    paths = sorted(path for path in corpora.glob("*") if path.suffix in _SUFFIXES and path.is_file())
    if not paths:
        raise InputError(f"no corpora in {corpora}", "name the folder with the published factors")
    entries = []
    used: Counter[tuple[str, str]] = Counter()
    for path in paths:
        for factor in read_corpus(path):
            place = (factor.source, factor.name)
            used[place] += 1
            name = factor.name if used[place] == 1 else f"{factor.name} ({used[place]})"
            entries.append(library_entry(factor, name))
    return entries


def build_starter(corpora_dir: Path, out_path: Path) -> list[NewLibraryEntry]:
    """Write the starter knowledge base to `out_path`, replacing it in one step; return its entries."""
    entries = read_library(corpora_dir)
    try:
        with tempfile.TemporaryDirectory(prefix=".starter-", dir=out_path.parent) as folder:
            draft, final = Path(folder) / "draft.db", Path(folder) / "final.db"
            with KnowledgeBase.open(draft) as knowledge:
                knowledge.library_add(entries)
            _compact(draft, final)
            final.replace(out_path)
    except OSError as error:
        raise InputError(f"cannot write {out_path}: {error.strerror}", "choose a place you may write") from error
    return entries


def _compact(draft: Path, final: Path) -> None:
    """Copy the database without slack or write-ahead log: its bytes then follow from its content alone."""
    with in_words(place_of(draft)):
        connection = sqlite3.connect(draft, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("VACUUM INTO ?", (str(final),))
        finally:
            connection.close()


def starter_main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m agent.knowledge.transfer.starter CORPORA OUT\n")
        return 2
    try:
        entries = build_starter(Path(arguments[0]), Path(arguments[1]))
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    for source in dict.fromkeys(entry.source for entry in entries):
        group = [entry for entry in entries if entry.source == source]
        read = sum(entry.status == "translated" for entry in group)
        sys.stdout.write(f"{source}: {read} of {len(group)} translated\n")
    return 0


if __name__ == "__main__":
    sys.exit(starter_main())
