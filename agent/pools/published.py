"""Published factors as members of a pool: a corpus file, or one expression a line."""

from __future__ import annotations

from pathlib import Path

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.pools.members import PoolCandidate, in_order, read_candidate
from agent.study.study import Study
from factors.corpora import read_corpus
from factors.parse import parse
from market.errors import InputError, Rejection


def published_members(
    path: Path, study: Study, knowledge: KnowledgeBase
) -> tuple[tuple[PoolCandidate, ...], list[str]]:
    """Return the factors of a file as candidates, and which of them cannot be read on this data, with the reason.

    A factor that stands there twice, or that means the same as another, is taken once.

    Raises
    ------
    InputError
        When the file cannot be read, or none of its factors can.
    """
    found: dict[str, PoolCandidate] = {}
    left_out: list[str] = []
    corpus = read_corpus(path)
    if corpus:
        for one in corpus:
            expression = parse(
                one.text,
                fields=study.fields,
                bar=study.panel.bar,
                dialect=one.dialect,
                session=study.panel.session_bars,
            )
            if isinstance(expression, Rejection):
                left_out.append(f"{one.name}: {expression.message}")
            else:
                found.setdefault(expression.id, PoolCandidate(expression, one.name, "published"))
    else:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        for text in (line for line in lines if line and not line.startswith("#")):
            try:
                candidate = read_candidate(text, study, knowledge)
            except InputError as error:
                left_out.append(f"{text}: {error.message}")
            else:
                found.setdefault(candidate.expression.id, candidate)
    if not found:
        raise InputError(
            f"{path} has no factor that can be read on this data",
            left_out[0] if left_out else "it has one expression a line, or is a corpus such as the WorldQuant 101",
        )
    return in_order(tuple(found.values())), left_out
