"""A page of many attempts, as SQL text that sqlite3 and SQLAlchemy both run; see `agent.knowledge.listing`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

from agent.knowledge.listing import Ask, list_numbered, list_runs
from agent.knowledge.records import AttemptRecord, RunRecord

_PAGE = 500
_NO_END = 2**31 - 1
# The order in which verdicts are listed.
_VERDICTS = ("accepted", "promising", "untested", "rejected")


def count_attempts(ask: Ask, run_id: str | None = None) -> tuple[int, int]:
    """Return how many attempts there are, and how many of them were left at their quick score."""
    where, given = ("", {}) if run_id is None else ("WHERE run_id = :run", {"run": run_id})
    total = ask(f"SELECT count(*) FROM attempts {where}", given)[0][0]
    # Of a whole base, the index of stages answers.
    left = "WHERE stage = 'screen'" if run_id is None else f"{where} AND stage = 'screen'"
    return int(total), int(ask(f"SELECT count(*) FROM attempts {left}", given)[0][0])


def best_scored(ask: Ask, limit: int, run_id: str | None = None, *, screened: bool = False) -> list[AttemptRecord]:
    """Return scored attempts in the order of `factor_order`, the first `limit`; those at their quick score if asked."""
    found: list[int] = []
    own = "" if screened else " AND a.stage <> 'screen'"
    verdict, given = "e.verdict = :verdict", dict[str, object]()
    if run_id is not None:
        # No index may be used for the verdict: a run is a few of the many.
        own, verdict, given = f"{own} AND a.run_id = :run", "e.verdict || '' = :verdict", {"run": run_id}
    joined = f"FROM evaluations e JOIN attempts a ON a.id = e.attempt_id WHERE {verdict}{own}"
    for word in _VERDICTS:
        for known in (
            "AND e.train_sharpe IS NOT NULL ORDER BY e.train_sharpe DESC, e.attempt_id",
            "AND e.train_sharpe IS NULL ORDER BY e.attempt_id",
        ):
            if len(found) < limit:
                asked = {**given, "verdict": word, "most": limit - len(found)}
                found += [row[0] for row in ask(f"SELECT e.attempt_id {joined} {known} LIMIT :most", asked)]
    by_id = {attempt.id: attempt for attempt in list_numbered(ask, found)}
    return [by_id[number] for number in found]


def newest_unscored(ask: Ask, limit: int, run_id: str | None = None) -> list[AttemptRecord]:
    """Return the newest attempts that were not scored, oldest first."""
    own, given = ("", {}) if run_id is None else ("AND run_id = :run", {"run": run_id})
    query = (
        "SELECT id FROM attempts WHERE NOT EXISTS (SELECT 1 FROM evaluations e WHERE e.attempt_id = id) "
        f"{own} ORDER BY id DESC LIMIT :most"
    )
    return list_numbered(ask, [row[0] for row in ask(query, {**given, "most": limit})])


def newest_runs(ask: Ask, limit: int) -> tuple[list[RunRecord], int]:
    """Return the newest runs, oldest first, and how many there are."""
    total = int(ask("SELECT count(*) FROM runs", {})[0][0])
    return list_runs(ask, newest=limit), total


def attempt_pages(ask: Ask, run_id: str | None = None, *, scored: bool = False) -> Iterator[list[AttemptRecord]]:
    """Return all attempts a page at a time, oldest first; with `scored`, those scored in full alone."""
    where = "id > :after" if run_id is None else "run_id = :run AND id > :after"
    if scored:
        where += " AND stage <> 'screen' AND EXISTS (SELECT 1 FROM evaluations e WHERE e.attempt_id = id)"
    query, after = f"SELECT id FROM attempts WHERE {where} ORDER BY id LIMIT :most", 0
    while True:
        given = {"after": after, "most": _PAGE} if run_id is None else {"after": after, "most": _PAGE, "run": run_id}
        numbers = [row[0] for row in ask(query, given)]
        if not numbers:
            return
        yield list_numbered(ask, numbers)
        after = numbers[-1]


def newest_with_theme(ask: Ask, is_of: Callable[[str, Mapping[str, object]], bool], limit: int) -> list[AttemptRecord]:
    """Return the newest attempts whose text and claims are of a theme, newest first; of others, no more is read."""
    found: list[int] = []
    before = _NO_END
    query = "SELECT id, canonical, claims FROM attempts WHERE id < :before ORDER BY id DESC LIMIT :most"
    while len(found) < limit:
        rows = ask(query, {"before": before, "most": 10 * _PAGE})
        if not rows:
            break
        before = rows[-1][0]
        for number, canonical, claims in rows:
            if is_of(canonical or "", json.loads(claims) if isinstance(claims, str) else claims):
                found.append(number)
                if len(found) == limit:
                    break
    return list_numbered(ask, found)[::-1]
