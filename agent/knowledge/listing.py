"""What is listed and looked up most, as SQL text that sqlite3 and SQLAlchemy both run.

`alphaglow kb list` and a mistyped id need no more than sqlite3; SQLAlchemy alone costs half a second to import. The
open knowledge base asks by the same text, so that the quick way and the full way cannot say different things.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

from agent.knowledge.library_records import LibraryRecord
from agent.knowledge.packed_json import StoredDocument
from agent.knowledge.records import AttemptRecord, RunRecord
from agent.knowledge.tables.convert import attempt_record, library_record, run_record
from market.errors import InputError

# Runs one SELECT whose parameters are written as :name, and returns its rows.
Ask = Callable[[str, Mapping[str, object]], Sequence[Sequence[Any]]]
TAG = "factor:"
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a table that are read; `documents` are those that hold JSON."""

    table: str
    names: tuple[str, ...]
    documents: tuple[str, ...]


_RUNS = Columns("runs", ("id", "panel_id", "config", "seed", "status", "created", "finished", "process"), ("config",))
_ATTEMPTS = Columns(
    "attempts",
    (
        *("id", "run_id", "round", "slot", "text", "canonical", "factor_id", "parent_ids", "stage", "code", "message"),
        *("rationale", "name", "created", "claims"),
    ),
    ("parent_ids", "claims"),
)
_VERDICTS = Columns("verdicts", ("attempt_id", "turn", "accept", "score", "critique", "scores"), ("scores",))
_EVALUATIONS = Columns(
    "evaluations",
    ("attempt_id", "scorecard", "evidence", "sharpe_per_bar", "accepted", "rules", "code"),
    ("scorecard", "evidence"),
)
_LIBRARY = Columns(
    "library",
    ("name", "source", "dialect", "text", "status", "canonical", "factor_id", "message", "notes", "id"),
    ("notes",),
)


def read_rows(ask: Ask, columns: Columns, rest: str, given: Mapping[str, object] | None = None) -> list[Any]:
    """Return rows by the names of their columns, as the functions of `convert` read them."""
    found = []
    # Most rows of a page hold the same short documents (no parents, no claims): each text is read once, and nobody
    # changes what is read.
    texts: dict[str, Any] = {}
    # Quoted: `end` is a word of SQL.
    named = ", ".join(f'"{name}"' for name in columns.names)
    for row in ask(f"SELECT {named} FROM {columns.table} {rest}", given or {}):
        values = dict(zip(columns.names, row, strict=True))
        for name in columns.documents:
            # A driver of PostgreSQL hands over JSON already read.
            stored = values[name]
            if isinstance(stored, str):
                if stored not in texts:
                    texts[stored] = json.loads(stored)
                values[name] = texts[stored]
            elif isinstance(stored, bytes):
                values[name] = StoredDocument(stored)
        found.append(SimpleNamespace(**values))
    return found


def listed(name: str, values: Iterable[object]) -> tuple[str, dict[str, object]]:
    """Return a list of values as a query names them, and the values by these names."""
    given = {f"{name}{k}": value for k, value in enumerate(values)}
    return ", ".join(f":{one}" for one in given), given


def factor_id_of(canonical: str) -> str:
    """Return the id of a factor by its canonical text."""
    return f"{TAG}{sha256(canonical.encode('utf-8', 'replace')).hexdigest()[:16]}"


def list_runs(ask: Ask, panel_id: str | None = None, *, newest: int | None = None) -> list[RunRecord]:
    """Return runs, oldest first: of a panel, or the `newest` alone."""
    if newest is not None:
        rows = read_rows(ask, _RUNS, "ORDER BY seq DESC LIMIT :most", {"most": newest})[::-1]
    elif panel_id is None:
        rows = read_rows(ask, _RUNS, "ORDER BY seq")
    else:
        rows = read_rows(ask, _RUNS, "WHERE panel_id = :panel ORDER BY seq", {"panel": panel_id})
    return [run_record(row) for row in rows]


def find_run(ask: Ask, what: str) -> RunRecord | None:
    """Return the run with this id or the only one that it begins; None where there is none."""
    if not what:
        return None
    begins = {"length": len(what), "what": what}
    rows = read_rows(ask, _RUNS, "WHERE substr(id, 1, :length) = :what ORDER BY seq", begins)
    exact = [row for row in rows if row.id == what]
    if len(rows) > 1 and not exact:
        shown = ", ".join(row.id for row in rows[:5])
        raise InputError(f"{what!r} begins {len(rows)} runs", f"say more of the id: {shown}")
    return run_record((exact or rows)[0]) if rows else None


def get_run(ask: Ask, what: str) -> RunRecord:
    """Return the run meant by `what`; none is an `InputError` that names the newest ones."""
    found = find_run(ask, what)
    if found is not None:
        return found
    newest = [str(row[0]) for row in ask("SELECT id FROM runs ORDER BY seq DESC LIMIT 3", {})]
    known = f"the newest are {', '.join(newest)}" if newest else "there are no runs yet: alphaglow mine"
    raise InputError(f"no run {what!r}", known)


def list_attempts(ask: Ask, run_id: str | None = None, round_: int | None = None) -> list[AttemptRecord]:
    """Return all attempts, or those of a run or a round, in the order in which they were recorded."""
    given = {name: value for name, value in (("run_id", run_id), ("round", round_)) if value is not None}
    where = "WHERE " + " AND ".join(f"{name} = :{name}" for name in given) if given else ""
    return attempts_where(ask, where, given)


def list_numbered(ask: Ask, numbers: Iterable[int]) -> list[AttemptRecord]:
    """Return attempts by their ids, in the order in which they were recorded."""
    found: list[AttemptRecord] = []
    wanted = sorted({int(number) for number in numbers})
    for start in range(0, len(wanted), _AT_ONCE):
        among = ", ".join(map(str, wanted[start : start + _AT_ONCE]))
        found += attempts_where(ask, f"WHERE id IN ({among})", {})
    return found


def list_accepted(ask: Ask, panel_id: str) -> list[AttemptRecord]:
    """Return the accepted attempts of a panel and of related ones, in the order in which they were recorded."""
    related = "SELECT other_id FROM related_datasets WHERE panel_id = :panel"
    here = f"(panel_id = :panel OR panel_id IN ({related}))"
    where = f"WHERE id IN (SELECT attempt_id FROM evaluations WHERE {here} AND accepted)"
    return attempts_where(ask, where, {"panel": panel_id})


def attempts_where(ask: Ask, where: str, given: Mapping[str, object]) -> list[AttemptRecord]:
    """Return the attempts that a condition chooses, with their verdicts and evaluations."""
    attempts = read_rows(ask, _ATTEMPTS, f"{where} ORDER BY id", given)
    theirs = f"WHERE attempt_id IN (SELECT id FROM attempts {where})"
    scored = {row.attempt_id: row for row in read_rows(ask, _EVALUATIONS, theirs, given)}
    said: dict[int, list[Any]] = {}
    for row in read_rows(ask, _VERDICTS, f"{theirs} ORDER BY id", given):
        said.setdefault(row.attempt_id, []).append(row)
    panels = _panels(ask, {row.run_id for row in attempts})
    found = []
    for row in attempts:
        row.verdicts, row.evaluation = said.get(row.id, []), scored.get(row.id)
        found.append(attempt_record(row, panels[row.run_id]))
    return found


def _panels(ask: Ask, run_ids: Iterable[str]) -> dict[str, str]:
    """Return the data of runs."""
    found: dict[str, str] = {}
    wanted = list(run_ids)
    for start in range(0, len(wanted), _AT_ONCE):
        among, given = listed("run", wanted[start : start + _AT_ONCE])
        found |= {row[0]: str(row[1]) for row in ask(f"SELECT id, panel_id FROM runs WHERE id IN ({among})", given)}
    return found


def list_library(ask: Ask) -> list[LibraryRecord]:
    """Return the published factors in the order in which they were added."""
    return [library_record(row) for row in read_rows(ask, _LIBRARY, "ORDER BY id")]


def which_factor(ask: Ask, what: str, run_id: str | None = None, panel_id: str | None = None) -> str:
    """Return the id of the factor meant by `what`: its id, with or without ``factor:``, or the beginning of one.

    Raises
    ------
    InputError
        When nothing begins with `what`, or more than one factor does.
    """
    bare = what.strip().removeprefix(TAG)
    # Between what it begins and the next letter after the digits of an id: an index finds these.
    given: dict[str, object] = {"length": len(TAG + bare), "begin": TAG + bare, "end": f"{TAG}{bare}g"}
    where = "factor_id BETWEEN :begin AND :end AND substr(factor_id, 1, :length) = :begin"
    published = f"SELECT factor_id, name, source FROM library WHERE {where} LIMIT 1"
    narrowed = dict(given)
    if run_id is not None:
        where, narrowed["run"] = f"{where} AND run_id = :run", run_id
    if panel_id is not None:
        where, narrowed["panel"] = f"{where} AND run_id IN (SELECT id FROM runs WHERE panel_id = :panel)", panel_id
    query = f"SELECT DISTINCT factor_id FROM attempts WHERE {where} ORDER BY factor_id LIMIT 6"
    found = [str(row[0]) for row in ask(query, narrowed)] if bare else []
    if len(found) == 1 or TAG + bare in found:
        # Sorted: the whole id stands before what it begins.
        return found[0]
    if found:
        raise InputError(f"{what!r} begins several factors", f"say more of the id: {', '.join(found[:5])}")
    for factor_id, name, source in ask(published, given) if bare else []:
        raise InputError(
            f"{factor_id} is {name} of {source}, which no run has tried",
            "see it with `alphaglow kb list --library`, score it with `alphaglow eval`",
        )
    raise InputError(f"no factor {what!r}", "list them with `alphaglow kb list`")


@dataclass(frozen=True, slots=True)
class VerdictSince:
    """The newest verdict that an attempt was given again, after how many trials and when."""

    verdict: str
    trials: int
    created: str

    def beside(self, then: str) -> str:
        """Return a verdict with this one beside it where they differ."""
        return then if then == self.verdict else f"{then}, now {self.verdict}"

    def sentence(self) -> str:
        """Say it in one line."""
        return f"Reassessed at {self.created}, among {self.trials} trials: {self.verdict}."


class Listing(ABC):
    """What can be listed and looked up in a knowledge base, however it is opened."""

    @abstractmethod
    def asking(self) -> AbstractContextManager[Ask]:
        """Lend what runs a SELECT; all that it is asked in one loan is of one moment."""

    def runs(self, panel_id: str | None = None) -> list[RunRecord]:
        """Return runs, oldest first."""
        with self.asking() as ask:
            return list_runs(ask, panel_id)

    def find_run(self, what: str) -> RunRecord | None:
        """Return the run with this id or unique beginning of one, or None; ambiguous: `InputError`."""
        with self.asking() as ask:
            return find_run(ask, what)

    def get_run(self, what: str) -> RunRecord:
        """Return the run with this id or unique beginning of one; none is an `InputError`."""
        with self.asking() as ask:
            return get_run(ask, what)

    def attempts(self, run_id: str | None = None, round: int | None = None) -> list[AttemptRecord]:
        """Return attempts, oldest first."""
        with self.asking() as ask:
            return list_attempts(ask, run_id, round)

    def accepted(self, panel_id: str) -> list[AttemptRecord]:
        """Return the accepted attempts of a panel and of related ones, oldest first."""
        with self.asking() as ask:
            return list_accepted(ask, panel_id)

    def later_verdicts(self) -> dict[int, VerdictSince]:
        """Return the verdicts that were given again, by attempt; see `alphaglow kb reassess`."""
        with self.asking() as ask:
            rows = ask("SELECT attempt_id, verdict, trials, created FROM reassessments", {})
        return {int(row[0]): VerdictSince(str(row[1]), int(row[2]), str(row[3])) for row in rows}

    def library(self) -> list[LibraryRecord]:
        """Return the published factors in the order in which they were added."""
        with self.asking() as ask:
            return list_library(ask)

    def require_known(self, what: str) -> None:
        """Refuse, as an `InputError`, what is neither a run nor a factor."""
        with self.asking() as ask:
            if find_run(ask, what) is None:
                which_factor(ask, what)
