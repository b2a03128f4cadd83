"""Fingerprints read back to the bit however they are stored, and equal ones are found by their number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session

from agent.knowledge.database.direct_connection import direct
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.tables.packed_returns import (
    coded,
    likeness,
    near_likenesses,
    pack,
    plain,
    read_fingerprint,
    unpacked,
)
from market.panel import FloatArray


def drawn(rng: np.random.Generator, length: int = 512, tail: float = 2.0) -> FloatArray:
    values = np.asarray(rng.standard_t(tail, size=length))
    values -= values.mean()
    return values / np.sqrt(values @ values)


@pytest.mark.parametrize("length", [0, 1, 127, 128, 129, 512])
def test_what_is_coded_is_read_back_to_the_bit(length: int) -> None:
    rng = np.random.default_rng(length)
    for tail in (1.0, 3.0, 50.0):
        packed = pack(drawn(rng, length, tail) if length > 1 else np.ones(length))
        stored = coded(packed)
        assert plain(stored) == packed
        assert len(stored) <= len(packed)
        assert (len(stored) % 2 == 1) == (stored != packed)
        assert (read_fingerprint(stored) is not None) == (length > 0)
    if length == 512:
        assert len(coded(pack(drawn(rng, length, 50.0)))) < 0.9 * 2 * length


def test_a_damaged_fingerprint_is_none() -> None:
    stored = coded(pack(drawn(np.random.default_rng(0))))
    assert len(stored) % 2
    for damaged in (stored[:-2], stored[:101], b"\xff" + stored[1:], b"\xff" * 7, None, "text"):
        assert read_fingerprint(damaged) is None


def test_equal_returns_are_found_whatever_the_last_digits_are_and_others_are_not() -> None:
    rng = np.random.default_rng(1)
    known = [drawn(rng) for _ in range(300)]
    numbers = [likeness(unpacked(pack(one))) for one in known]
    assert len(set(numbers)) == len(numbers)
    for one, number in zip(known, numbers, strict=True):
        # As the same returns come out of another formula: half precision rounds them to one side or the other.
        again = one * (1.0 + 1e-7 * rng.standard_normal(len(one)))
        found = near_likenesses(unpacked(pack(again)))
        assert number in found
        assert len(found) <= 8


def test_statements_that_run_directly_answer_as_they_do_elsewhere(tmp_path: Path) -> None:
    listed = text("SELECT name FROM library WHERE id IN :numbers AND id > :after ORDER BY id").bindparams(
        bindparam("numbers", expanding=True)
    )
    with KnowledgeBase.open(tmp_path / "k.db") as kb, Session(kb._engine) as session, session.begin():
        quick, usual = direct(session), session.connection()
        columns = "name, source, dialect, text, status, notes"
        row = f"INSERT INTO library ({columns}) VALUES (:n, 's', 'd', 't', 'refused', '[]')"
        for name in "abc":
            assert quick.execute(text(row), {"n": name}).rowcount == 1
        for numbers in ([1, 3], [2], []):
            given = {"numbers": numbers, "after": 0}
            assert quick.execute(listed, given).scalars().all() == usual.execute(listed, given).scalars().all()
        assert quick.execute(listed, {"numbers": [9], "after": 0}).first() is None
