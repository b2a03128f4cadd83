"""What people say of factors, beside what tests say: notes, tags, and accepting or retiring one by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from sqlalchemy import Column, Table, delete, insert, select

from agent.knowledge.database import schema
from agent.knowledge.database.transactions import Handle
from agent.knowledge.tables.convert import utc_now
from market.errors import InputError

RemarkKind = Literal["note", "tag", "accept", "retire"]
_LONGEST = {"note": 4_000, "tag": 40, "accept": 1_000, "retire": 1_000}


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that a person said of a factor; `created` is a time in UTC. A tag's text is the tag."""

    factor_id: str
    kind: RemarkKind
    text: str
    author: str
    created: str = ""
    id: int = 0


class Remarks(Handle):
    """An open knowledge base, as people who read it write into it."""

    def add_remark(self, said: Remark) -> Remark:
        """Keep what a person said; a tag that the factor has already is not written again.

        A decision by hand stands beside the verdict of the tests, and changes nothing of it.

        Raises
        ------
        InputError
            For a kind that there is not, an empty text, or one that is too long.
        """
        kind, text = said.kind, " ".join(said.text.split()) if said.kind != "note" else said.text.strip()
        if kind not in get_args(RemarkKind):
            raise InputError(f"{kind!r} is no kind of remark", f"there are {', '.join(get_args(RemarkKind))}")
        if not text:
            raise InputError(
                f"this {kind} says nothing", "give a reason" if kind in ("accept", "retire") else "write it"
            )
        if len(text) > _LONGEST[kind]:
            raise InputError(f"this {kind} has {len(text):,} signs", f"at most {_LONGEST[kind]:,}")
        table = schema.core_table(schema.Remark)
        with self._writing() as session:
            if kind == "tag":
                same = select(table).where(
                    table.c.factor_id == said.factor_id, table.c.kind == "tag", table.c.text == text
                )
                row = session.execute(same).first()
                if row is not None:
                    return _remark(row)
            row = session.execute(
                insert(table)
                .values(factor_id=said.factor_id, kind=kind, text=text, author=said.author, created=utc_now())
                .returning(*table.c)
            ).one()
            return _remark(row)

    def remove_tag(self, factor_id: str, tag: str) -> None:
        """Take a tag off a factor; one that it has not is nothing to remove."""
        table = schema.core_table(schema.Remark)
        with self._writing() as session:
            session.execute(
                delete(table).where(table.c.factor_id == factor_id, table.c.kind == "tag", table.c.text == tag)
            )

    def remarks(self, factor_id: str) -> list[Remark]:
        """Return what people said of a factor, oldest first."""
        table = schema.core_table(schema.Remark)
        with self._reading() as session:
            rows = session.execute(select(table).where(table.c.factor_id == factor_id).order_by(*_in_time(table)))
            return [_remark(row) for row in rows]

    def decisions(self, factor_ids: Sequence[str]) -> dict[str, RemarkKind]:
        """Return the newest decision by hand of each factor that has one: accept or retire."""
        table = schema.core_table(schema.Remark)
        chosen = select(table.c.factor_id, table.c.kind).where(
            table.c.factor_id.in_(factor_ids), table.c.kind.in_(("accept", "retire"))
        )
        with self._reading() as session:
            rows = session.execute(chosen.order_by(*_in_time(table))).all()
        return {str(factor): cast("RemarkKind", kind) for factor, kind in rows}

    def tags(self) -> list[str]:
        """Return every tag in use, sorted."""
        table = schema.core_table(schema.Remark)
        with self._reading() as session:
            return sorted(set(session.scalars(select(table.c.text).where(table.c.kind == "tag"))))


def _in_time(table: Table) -> tuple[Column[str], Column[int]]:
    """By when it was said: what a merge brought may be older than what stands before it."""
    return table.c.created, table.c.id


def _remark(row: Any) -> Remark:  # noqa: ANN401 - a row of SQLAlchemy
    return Remark(row.factor_id, row.kind, row.text, row.author, row.created, row.id)
