"""What is looked up of a factor and found by words, as SQL text that sqlite3 and SQLAlchemy both run.

`alphaglow kb show`, `kb search` and `kb lessons` need no more than sqlite3; see `agent.knowledge.listing`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence

from agent.knowledge.factor_records import FactorRecord, Found
from agent.knowledge.listing import (
    Ask,
    Columns,
    Listing,
    attempts_where,
    list_numbered,
    listed,
    read_rows,
    which_factor,
)
from agent.knowledge.opening_records import list_openings
from agent.knowledge.records import AttemptRecord, HoldoutRecord, LessonRecord
from agent.knowledge.tables.chosen_attempts import choose_attempts
from agent.knowledge.tables.convert import lesson_record
from agent.knowledge.watch_records import WATCHES, WatchRecord, watch_record
from agent.knowledge.word_search import ranked_matches

_LESSONS = Columns("lessons", ("id", "run_id", "round", "kind", "text", "evidence", "created"), ("evidence",))
_RELATED = "SELECT other_id FROM related_datasets WHERE panel_id = :panel ORDER BY other_id"
_AT_ONCE = 500
# Children that are read of a factor at once.
CHILDREN = 200


class LookingUp(Listing):
    """What can be listed and looked up in a knowledge base, factors and words included, however it is opened."""

    @property
    @abstractmethod
    def on_server(self) -> bool:
        """Whether it lies on a server, whose full-text search has words of its own."""

    def get_factor(
        self, what: str, *, run_id: str | None = None, panel_id: str | None = None, first_child: int = 0
    ) -> FactorRecord:
        """Return a factor by its id or a unique beginning of it, with verdicts, scores, parents and children.

        `run_id` and `panel_id` narrow down which attempt is shown. Unknown or ambiguous: `InputError`. Of its children
        a page is read, `CHILDREN` from `first_child` on: a parent of many is read as quickly as one of few.
        """
        with self.asking() as ask:
            return get_factor(ask, what, run_id, panel_id, first_child)

    def search_text(self, said: str, panel_id: str | None = None, limit: int | None = 30) -> list[Found]:
        """Return attempts in whose name, reason, claims, text or refusal all these words occur, the best first.

        A word stands for every word that it begins; ``ts_mean(close`` is three words.
        """
        with self.asking() as ask:
            matches = ranked_matches(ask, said, panel_id, limit, on_server=self.on_server)
            found = {record.id: record for record in list_numbered(ask, [number for number, _ in matches])}
        return [Found(found[number], score) for number, score in matches if number in found]

    def newest_lessons(self, run_id: str | None, limit: int | None) -> list[LessonRecord]:
        """Return lessons, the newest round's first, in each round the most useful first."""
        with self.asking() as ask:
            return list_lessons(ask, None, run_id, limit)

    def holdout_openings(self, factor_id: str, panel_id: str) -> list[HoldoutRecord]:
        """Return every time that this factor saw the holdout of a panel or of a related one, oldest first."""
        with self.asking() as ask:
            panels = (panel_id, *(str(row[0]) for row in ask(_RELATED, {"panel": panel_id})))
            return list_openings(ask, factor_id, panels)

    def watch_history(self, subject: str) -> list[WatchRecord]:
        """Return every state that a factor or pool was found in, oldest first."""
        with self.asking() as ask:
            rows = read_rows(ask, WATCHES, "WHERE subject = :subject ORDER BY id", {"subject": subject})
            return [watch_record(row) for row in rows]

    def typical_attempts(self, panel_id: str) -> Sequence[AttemptRecord]:
        """Return the attempts on a panel, oldest first; of very many, the newest and a random sample."""
        with self.asking() as ask:
            chosen = choose_attempts(ask, [panel_id])
            if chosen.typical is not None:
                return list_numbered(ask, chosen.typical)
            return attempts_where(ask, "WHERE run_id IN (SELECT id FROM runs WHERE panel_id = :p)", {"p": panel_id})

    def clusters_among(self, panel_id: str, numbers: Iterable[int]) -> dict[int, int]:
        """Return the cluster of each of these attempts on a panel whose returns are known."""
        wanted, found = list(numbers), dict[int, int]()
        with self.asking() as ask:
            for start in range(0, len(wanted), _AT_ONCE):
                among = ", ".join(map(str, wanted[start : start + _AT_ONCE]))
                query = f"SELECT attempt_id, cluster, panel_id FROM trial_returns WHERE attempt_id IN ({among})"
                found |= {int(row[0]): int(row[1]) for row in ask(query, {}) if row[2] == panel_id}
        return found


def get_factor(ask: Ask, what: str, run_id: str | None, panel_id: str | None, first_child: int = 0) -> FactorRecord:
    """Return the factor meant by `what`: its id, with or without ``factor:``, or the beginning of one.

    Raises
    ------
    InputError
        When nothing begins with `what`, or more than one factor does.
    """
    factor_id = which_factor(ask, what, run_id, panel_id)
    own = attempts_where(ask, "WHERE factor_id = :factor", {"factor": factor_id})
    here = [a for a in own if (run_id is None or a.run_id == run_id) and (panel_id is None or a.panel_id == panel_id)]
    chosen = max(here, key=lambda a: (a.evaluation is not None, a.id))
    named = {parent for attempt in own for parent in attempt.parent_ids} - {factor_id}
    children, total = _children(ask, factor_id, first_child)
    return FactorRecord(
        factor_id=factor_id,
        canonical=chosen.canonical or "",
        attempt=chosen,
        attempts=tuple(a.id for a in own),
        parents=one_each(_at_factors(ask, sorted(named))),
        children=children,
        first_child=first_child,
        all_children=total,
    )


def _children(ask: Ask, factor_id: str, first: int) -> tuple[tuple[AttemptRecord, ...], int]:
    """Return one attempt of each of a page of a factor's children, by when they were first tried, and their number."""
    pairs = (
        "FROM attempt_parents p JOIN attempts a ON a.id = p.attempt_id WHERE p.parent = :factor "
        "AND a.factor_id IS NOT NULL AND a.factor_id <> :factor"
    )
    page = f"SELECT a.factor_id {pairs} GROUP BY a.factor_id ORDER BY min(a.id) LIMIT :most OFFSET :first"
    names = [str(row[0]) for row in ask(page, {"factor": factor_id, "most": CHILDREN, "first": first})]
    if not names:
        return (), _count(ask, pairs, factor_id) if first else 0
    among, given = listed("child", names)
    found = attempts_where(
        ask,
        f"WHERE id IN (SELECT attempt_id FROM attempt_parents WHERE parent = :factor) AND factor_id IN ({among})",
        {"factor": factor_id, **given},
    )
    whole = not first and len(names) < CHILDREN
    return one_each(found), len(names) if whole else _count(ask, pairs, factor_id)


def _count(ask: Ask, pairs: str, factor_id: str) -> int:
    return next(int(row[0]) for row in ask(f"SELECT count(DISTINCT a.factor_id) {pairs}", {"factor": factor_id}))


def _at_factors(ask: Ask, factor_ids: Sequence[str]) -> list[AttemptRecord]:
    """Return all attempts at some factors, oldest first."""
    found: list[AttemptRecord] = []
    for start in range(0, len(factor_ids), _AT_ONCE):
        among, given = listed("factor", factor_ids[start : start + _AT_ONCE])
        found += attempts_where(ask, f"WHERE factor_id IN ({among})", given)
    return sorted(found, key=lambda attempt: attempt.id)


def one_each(attempts: Iterable[AttemptRecord]) -> tuple[AttemptRecord, ...]:
    """Keep one attempt a factor, in order of first appearance: the newest scored, else the newest."""
    chosen: dict[str, AttemptRecord] = {}
    for attempt in attempts:
        known = chosen.get(attempt.factor_id or "")
        if known is None or attempt.evaluation is not None or known.evaluation is None:
            chosen[attempt.factor_id or ""] = attempt
    return tuple(chosen.values())


def list_lessons(ask: Ask, panels: Sequence[str] | None, run_id: str | None, limit: int | None) -> list[LessonRecord]:
    """Return lessons, the newest round's first, in each round the most useful first."""
    where, given = [], dict[str, object]()
    if panels is not None:
        among, given = listed("panel", panels)
        where.append(f"run_id IN (SELECT id FROM runs WHERE panel_id IN ({among}))")
    if run_id is not None:
        where.append("run_id = :run")
        given["run"] = run_id
    chosen = f"WHERE {' AND '.join(where)}" if where else ""
    # A round's lessons are written in one transaction, so their ids are consecutive and this difference is one number
    # for all of them.
    rest = f"{chosen} ORDER BY id - position DESC, position"
    if limit is not None:
        rest, given["most"] = f"{rest} LIMIT :most", limit
    return [lesson_record(row) for row in read_rows(ask, _LESSONS, rest, given)]
