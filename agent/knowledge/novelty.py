"""The index of known factors: what was ever tried or published, by the hashes of its parts.

Each factor gets a sequence number when it is first indexed, and may be asked for as of one: a resumed round then
finds the same as when it began. Rows that older versions wrote are indexed when first needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from sqlalchemy import ARRAY, BigInteger, TableValuedAlias, cast, exists, func, insert, select
from sqlalchemy.orm import Session

from agent.knowledge import schema
from factors.novelty import Fingerprint, Known, Novelty, Overlap, Subtree, fingerprint
from factors.parse import parse
from factors.tree import Expression

_NAME = re.compile(r"[A-Za-z_]\w*")
_Known = schema.KnownFactor
_MOST_PARTS = 500


def newest(session: Session) -> int:
    """Return the sequence number of the factor indexed last, 0 when there is none."""
    return session.scalar(select(_Known.seq).order_by(_Known.seq.desc()).limit(1)) or 0


def catch_up(session: Session) -> int:
    """Index every attempt and published factor that is not indexed; return how many there were."""
    count = 0
    for factor_id, text, label in missing(session):
        add(session, factor_id, text, label)
        count += 1
    return count


def missing(session: Session, after: tuple[int, int] = (0, 0)) -> list[tuple[str, str, str]]:
    """Return id, text and label of what is not indexed yet, in the order in which it was written.

    `after` is the newest attempt and library entry that are known to be indexed.
    """
    found: dict[str, tuple[str, str, str]] = {}
    entry, attempt = schema.LibraryEntry, schema.Attempt
    published = select(entry.factor_id, entry.canonical, entry.name, entry.source).where(
        entry.id > after[1],
        entry.factor_id.is_not(None),
        ~exists().where(_Known.factor_id == entry.factor_id),
    )
    for factor_id, text, name, source in session.execute(published.order_by(entry.id)):
        found.setdefault(str(factor_id), (str(factor_id), str(text), f"{name} of {source}"))
    tried = select(attempt.factor_id, attempt.canonical, attempt.id).where(
        attempt.id > after[0],
        attempt.factor_id.is_not(None),
        ~exists().where(_Known.factor_id == attempt.factor_id),
    )
    for factor_id, text, number in session.execute(tried.order_by(attempt.id)):
        found.setdefault(str(factor_id), (str(factor_id), str(text), f"attempt {number}"))
    return list(found.values())


def written(session: Session) -> tuple[int, int]:
    """Return the newest attempt and library entry."""
    newest_attempt = session.scalar(select(func.max(schema.Attempt.id)))
    return newest_attempt or 0, session.scalar(select(func.max(schema.LibraryEntry.id))) or 0


def add(session: Session, factor_id: str, text: str, label: str) -> None:
    """Index one factor; one that is known already is left as it is."""
    if session.scalar(select(_Known.seq).where(_Known.factor_id == factor_id)) is not None:
        return
    expression = parse(text, dialect="native", fields=set(_NAME.findall(text)))
    # A text of an older language that cannot be read any more is noted, so that it is not tried again.
    print_ = fingerprint(expression.root) if isinstance(expression, Expression) else Fingerprint(0, (), 0, 1, 0)
    add_fingerprint(session, factor_id, text, label, print_)


def add_fingerprint(session: Session, factor_id: str, text: str, label: str, found: Fingerprint) -> None:
    """Index one factor whose fingerprint is at hand."""
    row = {
        "factor_id": factor_id,
        "canonical": text,
        "label": label,
        "size": found.size,
        "ranking": found.ranking,
        "sign": found.sign,
        "shape": found.shape,
    }
    seq = session.scalar(insert(_Known).returning(_Known.seq), row)
    hashes = dict.fromkeys(part.hash for part in found.subtrees[:_MOST_PARTS])
    if hashes:
        parts = [{"hash": value, "factor_size": found.size, "seq": seq} for value in hashes]
        session.execute(insert(schema.KnownPart), parts)


def look(session: Session, found: Fingerprint, factor_id: str, until: int) -> Novelty:
    """Return what the factors indexed up to `until` share with a fingerprint."""
    same = _one(session, _Known.factor_id == factor_id, until)
    if same is not None:
        return Novelty(identical=_known(same))
    alike = _one(session, _Known.ranking == found.ranking, until)
    shape = _one(session, _Known.shape == found.shape, until)
    return Novelty(
        ranks_alike=_known(alike) if alike is not None else None,
        opposite=alike is not None and alike.sign != found.sign,
        same_shape=_known(shape) if shape is not None else None,
        overlap=_overlap(session, found, until),
    )


def _one(session: Session, condition: object, until: int) -> schema.KnownFactor | None:
    query = select(_Known).where(condition, _Known.seq <= until)  # type: ignore[arg-type]  # a column expression
    return session.scalars(query.order_by(_Known.seq).limit(1)).first()


def sharing(session: Session, found: Fingerprint, panel_id: str | None, limit: int) -> Iterator[tuple[str, float, str]]:
    """Return id, share and text of the largest common subtree of factors that were tried and share one, by the part.

    Of each part the smallest `limit` factors are looked at, of which it is the largest share.
    """
    part, attempt, run = schema.KnownPart, schema.Attempt, schema.Run
    for piece in _known_pieces(session, found, newest(session)):
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


def _known_pieces(session: Session, found: Fingerprint, until: int) -> list[Subtree]:
    """Return the parts that a factor indexed up to `until` holds, largest first."""
    part = schema.KnownPart
    pieces = found.subtrees[:_MOST_PARTS]
    asked = _each(session, [piece.hash for piece in pieces])
    held = exists().where(part.hash == asked.c.value, part.seq <= until)
    known = set(session.scalars(select(asked.c.value).where(held)))
    return [piece for piece in pieces if piece.hash in known]


def _overlap(session: Session, found: Fingerprint, until: int) -> Overlap | None:
    """Return the largest known part, in the smallest factor that has it: there it is the largest share."""
    part = schema.KnownPart
    piece = next(iter(_known_pieces(session, found, until)), None)
    if piece is None:
        return None
    query = select(part.seq).where(part.hash == piece.hash, part.seq <= until)
    row = session.get_one(_Known, session.scalar(query.order_by(part.factor_size, part.seq).limit(1)))
    return Overlap(piece.text, piece.size, piece.size / max(found.size, row.size), _known(row))


def _each(session: Session, numbers: Sequence[int]) -> TableValuedAlias:
    """Return numbers as a table of one column, ``value``: each is looked up by itself, until the first row is found."""
    if session.get_bind().dialect.name == "sqlite":
        return func.json_each(json.dumps(list(numbers))).table_valued("value")
    return func.unnest(cast(list(numbers), ARRAY(BigInteger))).table_valued("value").render_derived()


def _known(row: schema.KnownFactor) -> Known:
    return Known(row.factor_id, row.canonical, row.label)
