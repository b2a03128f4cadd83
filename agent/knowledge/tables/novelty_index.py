"""The index of known factors: what was ever tried or published, by the hashes of its parts.

Each factor gets a sequence number when it is first indexed, and may be asked for as of one: a resumed round then
finds the same as when it began. Rows that older versions wrote are indexed when first needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlalchemy import Connection, exists, insert, select, text
from sqlalchemy.orm import Session

from agent.knowledge.database import schema
from agent.knowledge.database.direct_connection import direct

if TYPE_CHECKING:
    from factors.overlap import Fingerprint, Novelty, Overlap, Subtree

_NAME = re.compile(r"[A-Za-z_]\w*")
_Known = schema.KnownFactor
_MOST_PARTS = 500
# Asked for each attempt, so written out once: putting statements together would take longer than running them.
_NEWEST = text(
    "SELECT (SELECT max(seq) FROM known_factors), (SELECT max(id) FROM attempts), (SELECT max(id) FROM library)"
)
_IS_KNOWN = text("SELECT 1 FROM known_factors WHERE factor_id = :factor")
_INSERT_KNOWN = insert(schema.core_table(_Known)).returning(schema.core_table(_Known).c.seq)
_INSERT_PART = insert(schema.core_table(schema.KnownPart))
_UNKNOWN = "factor_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM known_factors k WHERE k.factor_id = t.factor_id)"
_PUBLISHED = text(
    f"SELECT factor_id, canonical, name || ' of ' || source FROM library t WHERE id > :after AND {_UNKNOWN} ORDER BY id"
)
_TRIED = text(
    f"SELECT factor_id, canonical, 'attempt ' || id FROM attempts t WHERE id > :after AND {_UNKNOWN} ORDER BY id"
)
# Of an attempt, how many before it are looked at for what is not indexed.
_LOOKED_AT = 20_000
_COLUMNS = "factor_id, canonical, label, sign"
_LOOK = text(
    f"SELECT 'identical', {_COLUMNS} FROM known_factors WHERE factor_id = :factor AND seq <= :until UNION ALL "
    f"SELECT * FROM (SELECT 'ranking', {_COLUMNS} FROM known_factors WHERE ranking = :ranking AND seq <= :until "
    "ORDER BY seq LIMIT 1) AS a UNION ALL "
    f"SELECT * FROM (SELECT 'shape', {_COLUMNS} FROM known_factors WHERE shape = :shape AND seq <= :until "
    "ORDER BY seq LIMIT 1) AS b"
)
_HOLDER = text(
    "SELECT f.factor_id, f.canonical, f.label, f.size FROM known_parts p JOIN known_factors f ON f.seq = p.seq "
    "WHERE p.hash = :hash AND p.seq <= :until ORDER BY p.factor_size, p.seq LIMIT 1"
)
# Each is looked up by itself, until the first row is found.
_AMONG_KNOWN = "WHERE EXISTS (SELECT 1 FROM known_parts p WHERE p.hash = v.value AND p.seq <= :until)"
_PIECES = {
    "sqlite": text(f"SELECT v.value FROM json_each(:asked) AS v {_AMONG_KNOWN}"),
    "postgresql": text(f"SELECT v.value FROM unnest(CAST(:asked AS bigint[])) AS v(value) {_AMONG_KNOWN}"),
}


def newest(connection: Connection) -> tuple[int, tuple[int, int]]:
    """Return the sequence number of the factor indexed last, and the newest attempt and library entry; 0 for none."""
    known, attempt, entry = connection.execute(_NEWEST).one()
    return known or 0, (attempt or 0, entry or 0)


def catch_up(session: Session) -> int:
    """Index every attempt and published factor that is not indexed; return how many there were."""
    count = 0
    for factor_id, canonical, label in missing(session.connection()):
        add_factor(session, factor_id, canonical, label)
        count += 1
    return count


def missing(connection: Connection, after: tuple[int, int] = (0, 0)) -> list[tuple[str, str, str]]:
    """Return id, text and label of what is not indexed yet, in the order in which it was written.

    `after` is the newest attempt and library entry that are known to be indexed.
    """
    found: dict[str, tuple[str, str, str]] = {}
    for statement, since in ((_PUBLISHED, after[1]), (_TRIED, after[0])):
        for factor_id, canonical, label in connection.execute(statement, {"after": since}):
            found.setdefault(factor_id, (factor_id, canonical, label))
    return list(found.values())


def add_factor(
    session: Session | Connection, factor_id: str, canonical: str, label: str, found: Fingerprint | None = None
) -> None:
    """Index one factor, whose fingerprint may be at hand; one that is known already is left as it is."""
    if direct(session).execute(_IS_KNOWN, {"factor": factor_id}).first() is not None:
        return
    if found is not None:
        add_fingerprint(session, factor_id, canonical, label, found)
        return
    from factors.overlap import Fingerprint, fingerprint
    from factors.parse import parse
    from factors.tree import Expression

    expression = parse(canonical, dialect="native", fields=set(_NAME.findall(canonical)))
    # A text of an older language that cannot be read any more is noted, so that it is not tried again.
    print_ = fingerprint(expression.root) if isinstance(expression, Expression) else Fingerprint(0, (), 0, 1, 0)
    add_fingerprint(session, factor_id, canonical, label, print_)


def add_fingerprint(
    session: Session | Connection, factor_id: str, canonical: str, label: str, found: Fingerprint
) -> None:
    """Index one factor whose fingerprint is at hand."""
    connection = direct(session)
    seq = connection.execute(_INSERT_KNOWN, factor_row(factor_id, canonical, label, found)).scalar_one()
    parts = part_rows(seq, found)
    if parts:
        connection.execute(_INSERT_PART, parts)


def factor_row(factor_id: str, canonical: str, label: str, found: Fingerprint) -> dict[str, object]:
    """Return a known factor as the columns of its table, but its sequence number."""
    return {
        "factor_id": factor_id,
        "canonical": canonical,
        "label": label,
        "size": found.size,
        "ranking": found.ranking,
        "sign": found.sign,
        "shape": found.shape,
    }


def part_rows(seq: int, found: Fingerprint) -> list[dict[str, object]]:
    """Return the parts of a known factor as the columns of their table."""
    hashes = dict.fromkeys(part.hash for part in found.subtrees[:_MOST_PARTS])
    return [{"hash": value, "factor_size": found.size, "seq": seq} for value in hashes]


def is_behind(connection: Connection, after: tuple[int, int]) -> bool:
    """Whether anything of the newest is not indexed yet; `after` as of `missing`.

    Whoever begins to write indexes first what lies before, so that nothing is missing before what is indexed: of a
    million attempts a second is saved.
    """
    since = max(after[0], newest(connection)[1][0] - _LOOKED_AT)
    return bool(missing(connection, (since, after[1])))


def look(connection: Connection, found: Fingerprint, factor_id: str, until: int) -> Novelty:
    """Return what the factors indexed up to `until` share with a fingerprint."""
    from factors.overlap import Known, Novelty

    asked = {"factor": factor_id, "ranking": found.ranking, "shape": found.shape, "until": until}
    rows = {row[0]: row for row in connection.execute(_LOOK, asked)}
    known = {kind: Known(*row[1:4]) for kind, row in rows.items()}
    if "identical" in known:
        return Novelty(identical=known["identical"])
    return Novelty(
        ranks_alike=known.get("ranking"),
        opposite="ranking" in rows and rows["ranking"][4] != found.sign,
        same_shape=known.get("shape"),
        overlap=_overlap(connection, found, until),
    )


def sharing(session: Session, found: Fingerprint, panel_id: str | None, limit: int) -> Iterator[tuple[str, float, str]]:
    """Return id, share and text of the largest common subtree of factors that were tried and share one, by the part.

    Of each part the smallest `limit` factors are looked at, of which it is the largest share.
    """
    connection = session.connection()
    part, attempt, run = schema.KnownPart, schema.Attempt, schema.Run
    for piece in _known_pieces(connection, found, newest(connection)[0]):
        tried = exists().where(attempt.factor_id == _Known.factor_id)
        if panel_id is not None:
            tried = tried.where(run.id == attempt.run_id, run.panel_id == panel_id)
        query = (
            select(_Known.factor_id, part.factor_size)
            .join(_Known, _Known.seq == part.seq)
            .where(part.hash == piece.hash, tried)
            .order_by(part.factor_size, part.seq.desc())
            .limit(limit + 1)
        )
        for factor_id, size in session.execute(query):
            yield factor_id, piece.size / max(found.size, size), piece.text


def _known_pieces(connection: Connection, found: Fingerprint, until: int) -> list[Subtree]:
    """Return the parts that a factor indexed up to `until` holds, largest first."""
    pieces = found.subtrees[:_MOST_PARTS]
    hashes = [piece.hash for piece in pieces]
    asked = json.dumps(hashes) if connection.dialect.name == "sqlite" else hashes
    rows = connection.execute(_PIECES[connection.dialect.name], {"asked": asked, "until": until})
    known = {row[0] for row in rows}
    return [piece for piece in pieces if piece.hash in known]


def _overlap(connection: Connection, found: Fingerprint, until: int) -> Overlap | None:
    """Return the largest known part, in the smallest factor that has it: there it is the largest share."""
    from factors.overlap import Known, Overlap

    piece = next(iter(_known_pieces(connection, found, until)), None)
    if piece is None:
        return None
    *holder, size = connection.execute(_HOLDER, {"hash": piece.hash, "until": until}).one()
    return Overlap(piece.text, piece.size, piece.size / max(found.size, size), Known(*holder))
