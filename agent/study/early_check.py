"""Refusing a factor's text by what a data set's manifest says, before the data are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent.study.workspace import LEARNED_PREFIX
from factors.parse import DialectName, parse
from factors.table import STANDARD_FIELDS
from market.errors import Rejection
from market.manifest import Manifest, read_manifest

# What the parser cannot know without the bar size: whether a duration is a whole number of bars.
_NEEDS_BAR = "window"
_NEEDS_NAMES = "unknown_field"


def refuse_early(
    text: str, data: Path, place: str, learned: Path, *, dialect: DialectName = "auto", strict: bool = False
) -> Rejection | None:
    """Return the reason for which a text is refused on a data set whatever its values are.

    Parameters
    ----------
    data
        The stored panel (NAME.parquet), whose manifest lies beside it.
    place
        Where the knowledge base lies, whose factors may be used by name; only a file is looked into.
    learned
        The folder of learned factors.

    Returns
    -------
    Rejection or None
        None: nothing is wrong so far, or it needs the data or the knowledge base itself to say.
    """
    manifest = read_manifest(data)
    if manifest is None:
        return None
    names = (path.stem for path in learned.glob(f"{LEARNED_PREFIX}*.npz"))
    fields = {*STANDARD_FIELDS, *manifest.fields, *names}
    found = parse(text, fields=fields, dialect=dialect, strict=strict)
    if isinstance(found, Rejection) and found.code == _NEEDS_NAMES:
        blocks = _published(manifest, place)
        if blocks is None:
            return None
        found = parse(text, fields=fields, dialect=dialect, blocks=blocks, strict=strict)
    return found if isinstance(found, Rejection) and found.code != _NEEDS_BAR else None


def _published(manifest: Manifest, place: str) -> Mapping[str, str] | None:
    """Return the names that published factors have; None where accepted factors have names as well."""
    from agent.knowledge.file_query import current_file, query_file
    from agent.knowledge.library_records import NewLibraryEntry
    from agent.study.blocks import library_blocks

    file = current_file(place)
    if file is None:
        return None
    accepted = query_file(file, "SELECT DISTINCT panel_id FROM evaluations WHERE accepted").rows
    if (manifest.panel,) in accepted:
        return None
    known = "SELECT name, source, dialect, text, canonical FROM library WHERE canonical IS NOT NULL"
    rows = query_file(file, known, limit=100_000).rows
    return library_blocks(
        NewLibraryEntry(str(name), str(source), str(dialect), str(text), "translated", str(read))
        for name, source, dialect, text, read in rows
    )
