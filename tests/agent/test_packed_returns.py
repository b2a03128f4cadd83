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
    recorded,
    unpacked,
)
from backtest.max_test import LargestScores
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
        # As earlier versions recorded it, and as it is recorded since.
        for one in (packed, recorded(unpacked(packed))):
            stored = coded(one)
            assert plain(stored) == one
            assert len(stored) <= len(one)
            assert (len(stored) % 2 == 1) == (stored != one)
            assert (read_fingerprint(stored) is not None) == (length > 0)
    if length == 512:
        assert len(coded(pack(drawn(rng, length, 50.0)))) < 0.9 * 2 * length
        assert len(coded(recorded(drawn(rng, length, 50.0)))) < 0.44 * 2 * length


def test_what_is_recorded_says_nearly_the_same_of_returns() -> None:
    rng = np.random.default_rng(5)
    returns = [drawn(rng, tail=tail) for tail in (1.5, 3.0, 50.0) for _ in range(40)]
    kept = [unpacked(recorded(one)).astype(np.float64) for one in returns]
    step = 1 / (16 * np.sqrt(512))
    # Half a step, and what half precision adds to it where a number is very large.
    assert max(np.abs(a - b).max() - 1e-3 * np.abs(a).max() for a, b in zip(returns, kept, strict=True)) <= step / 2
    assert all(recorded(b) == recorded(a) for a, b in zip(returns, kept, strict=True)), "it is rounded once"
    exact, found = np.stack(returns) @ np.stack(returns).T, np.stack(kept) @ np.stack(kept).T
    assert np.abs(exact - found).max() < 0.006
    hurdles = []
    for rows in (returns, kept):
        scores = LargestScores(7)
        scores.add(iter(rows))
        hurdles.append(scores.hurdle(0.05))
    assert abs(hurdles[0] - hurdles[1]) < 0.01


def test_a_damaged_fingerprint_is_none() -> None:
    stored = coded(pack(drawn(np.random.default_rng(0))))
    assert len(stored) % 2
    kept = coded(recorded(drawn(np.random.default_rng(0))))
    cut = [one[:end] for one in (stored, kept) for end in (-2, 101, 1)]
    for damaged in (*cut, *(bytes([k]) + one[1:] for one in (stored, kept) for k in (7, 15, 255)), b"\xff" * 7):
        assert damaged in (stored, kept) or read_fingerprint(damaged) is None
    assert all(read_fingerprint(one) is None for one in (None, "text"))


def test_equal_returns_are_found_whatever_the_last_digits_are_and_others_are_not() -> None:
    rng = np.random.default_rng(1)
    known = [drawn(rng) for _ in range(300)]
    numbers, counts = [likeness(unpacked(pack(one))) for one in known], []
    assert len(set(numbers)) == len(numbers)
    for one, number in zip(known, numbers, strict=True):
        # As the same returns come out of another formula: they are rounded to one side or the other.
        again = one * (1.0 + 1e-7 * rng.standard_normal(len(one)))
        found = near_likenesses(unpacked(pack(again)))
        assert number in found
        counts.append(len(found))
    assert max(counts) <= 256
    assert np.mean(counts) < 5


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
