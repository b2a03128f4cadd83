"""Factors of a knowledge base a page at a time: searched, filtered and sorted by the database itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from agent.knowledge.listing import Ask, Listing, list_numbered
from agent.knowledge.records import AttemptRecord

ROWS = 50
# Counting goes no further than this: "more than 10 000" is what a person needs to know.
_MOST_COUNTED = 10_000
_FURTHEST = 20_000
VERDICTS = ("accepted", "promising", "untested", "rejected")
SORTS = {
    "newest": "a.id DESC",
    "oldest": "a.id ASC",
    "earns": "e.earns_z IS NULL, e.earns_z DESC, a.id DESC",
    "predicts": "e.predicts_z IS NULL, e.predicts_z DESC, a.id DESC",
}


@dataclass(frozen=True)
class FactorSearch:
    """What is looked for; an empty field asks for nothing. `refused` also shows what was never scored."""

    words: str = ""
    verdict: str = ""
    theme: str = ""
    run: str = ""
    data: str = ""
    since: str = ""
    tag: str = ""
    sort: str = "newest"
    refused: bool = False
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> FactorSearch:
        """Read the fields of an address; what cannot be meant is left at its default."""
        page = query.get("page", "1")
        sort, verdict = query.get("sort", "newest"), query.get("verdict", "")
        return cls(
            words=query.get("words", "")[:200].strip(),
            verdict=verdict if verdict in VERDICTS else "",
            theme=query.get("theme", "")[:40],
            run=query.get("run", "")[:40],
            data=query.get("data", "")[:100],
            since=query.get("since", "")[:10],
            tag=query.get("tag", "")[:40],
            sort=sort if sort in SORTS else "newest",
            refused=query.get("refused", "") == "1",
            page=min(max(int(page), 1), _FURTHEST // ROWS) if page.isascii() and page.isdigit() else 1,
        )

    def address(self, **changed: object) -> str:
        """Return the address of this search with some fields changed."""
        other = replace(self, **changed)  # type: ignore[arg-type]  # fields of its own
        plain = FactorSearch()
        said = {
            name: "1" if value is True else str(value)
            for name in self.__dataclass_fields__
            if (value := getattr(other, name)) != getattr(plain, name)
        }
        return "/factors" + (f"?{urlencode(said)}" if said else "")


@dataclass(frozen=True)
class FactorRows:
    """One page of what was found; `count` is at most one more than the furthest that is counted."""

    attempts: tuple[AttemptRecord, ...]
    count: int
    more: bool

    @property
    def counted(self) -> str:
        """Say how many there are."""
        return f"more than {_MOST_COUNTED:,}" if self.count > _MOST_COUNTED else f"{self.count:,}"


def find_factors(listing: Listing, search: FactorSearch) -> FactorRows:
    """Return the page of `search` that it names."""
    where, given = _conditions(search)
    joined = (
        "FROM attempts a LEFT JOIN evaluations e ON e.attempt_id = a.id JOIN runs r ON r.id = a.run_id "
        f"JOIN datasets d ON d.panel_id = r.panel_id WHERE {where}"
    )
    with listing.asking() as ask:
        page = f"LIMIT {ROWS + 1} OFFSET {(search.page - 1) * ROWS}"
        numbers = [int(row[0]) for row in ask(f"SELECT a.id {joined} ORDER BY {SORTS[search.sort]} {page}", given)]
        counted = ask(f"SELECT count(*) FROM (SELECT 1 {joined} LIMIT {_MOST_COUNTED + 1}) AS found", given)
        known = {attempt.id: attempt for attempt in list_numbered(ask, numbers[:ROWS])}
        shown = tuple(known[number] for number in numbers[:ROWS])
        return FactorRows(shown, int(counted[0][0]), len(numbers) > ROWS)


def _conditions(search: FactorSearch) -> tuple[str, dict[str, object]]:
    found: list[str] = ["1 = 1"]
    given: dict[str, object] = {}
    if not search.refused:
        found.append("e.attempt_id IS NOT NULL")
    if search.verdict == "accepted":
        found.append("e.accepted")
    elif search.verdict:
        found.append("e.verdict = :verdict")
        given["verdict"] = search.verdict
    if search.theme:
        found.append("CAST(a.claims AS TEXT) LIKE :theme ESCAPE '!'")
        given["theme"] = f'%"theme": "{_escaped(search.theme)}"%'
    if search.run:
        found.append("a.run_id = :run")
        given["run"] = search.run
    if search.data:
        found.append("d.name = :data")
        given["data"] = search.data
    if search.since:
        found.append("a.created >= :since")
        given["since"] = search.since
    if search.tag:
        found.append("a.factor_id IN (SELECT factor_id FROM remarks WHERE kind = 'tag' AND text = :tag)")
        given["tag"] = search.tag
    for k, word in enumerate(search.words.lower().split()[:8]):
        given[f"word{k}"] = f"%{_escaped(word)}%"
        found.append(
            f"(lower(a.name) LIKE :word{k} ESCAPE '!' OR lower(coalesce(a.canonical, a.text)) LIKE :word{k} ESCAPE '!' "
            f"OR a.factor_id LIKE :word{k} ESCAPE '!')"
        )
    return " AND ".join(found), given


def _escaped(text: str) -> str:
    for sign in "!%_":
        text = text.replace(sign, f"!{sign}")
    return text


def names_to_choose(ask: Ask) -> tuple[list[str], list[str]]:
    """Return the names of data sets that runs worked on, and the ids of the newest runs."""
    data = [str(row[0]) for row in ask("SELECT DISTINCT name FROM datasets ORDER BY name", {})]
    runs = [str(row[0]) for row in ask("SELECT id FROM runs ORDER BY seq DESC LIMIT 50", {})]
    return data, runs
