"""What a factor was built on and what was built on it, to three steps: read a step at a time, and bounded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.knowledge.attempt_figures import verdict_of
from agent.knowledge.listing import Ask, Listing, list_numbered
from agent.knowledge.records import AttemptRecord

# Factors on one side of a family; and of one factor on each step, so that a large litter leaves room for grandchildren.
_MOST, _EACH = 60, (40, 6, 4)
# A factor is looked up in its first attempts: more of them name no new parents in practice.
_READ = 500


@dataclass
class Relative:
    """A factor in a family, with those one step further; `hidden` of these have no room.

    A factor that stands in the family twice has its own relatives at the first place alone: `again` at the others.
    """

    attempt: AttemptRecord
    again: bool = False
    further: list[Relative] = field(default_factory=list)
    hidden: int = 0

    @property
    def verdict(self) -> str:
        """The verdict's word, or the stage at which it ended."""
        return verdict_of(self.attempt)


# The relatives of each factor one step further, those shown first, and how many there are.
Step = Mapping[str, tuple[Sequence[str], int]]


def find_family(listing: Listing, attempt: AttemptRecord) -> tuple[Relative, Relative]:
    """Return what a factor was built on, and what was built on it: each as a tree that begins with the factor."""
    with listing.asking() as ask:
        return _walk(ask, attempt, _parents), _walk(ask, attempt, _children)


def _walk(ask: Ask, attempt: AttemptRecord, look: Callable[[Ask, Sequence[str], int], Step]) -> Relative:
    """Return a tree, made breadth first: what is near comes in before what is far."""
    root = Relative(attempt)
    seen, edge = {attempt.factor_id or ""}, [root]
    for most in _EACH:
        names = [one.attempt.factor_id or "" for one in edge]
        found = look(ask, names, most) if names else {}
        known = _chosen(ask, sorted({name for shown, _ in found.values() for name in shown}))
        beyond: list[Relative] = []
        for one in edge:
            shown, total = found.get(one.attempt.factor_id or "", ((), 0))
            for name in shown[:most]:
                # One place is left to the factor itself.
                if name not in known or (name not in seen and len(seen) > _MOST):
                    continue
                one.further.append(Relative(known[name], again=name in seen))
                if name not in seen:
                    seen.add(name)
                    beyond.append(one.further[-1])
            one.hidden = total - len(one.further)
        edge = beyond
    return root


def _children(ask: Ask, parents: Sequence[str], most: int) -> Step:
    listed, given = _listed(parents)
    rows = ask(
        "SELECT parent, child, total FROM (SELECT parent, child, first, count(*) OVER (PARTITION BY parent) AS total, "
        "row_number() OVER (PARTITION BY parent ORDER BY first) AS place FROM "
        "(SELECT p.parent AS parent, a.factor_id AS child, min(a.id) AS first FROM attempt_parents p "
        f"JOIN attempts a ON a.id = p.attempt_id WHERE p.parent IN ({listed}) AND a.factor_id IS NOT NULL "
        "AND a.factor_id <> p.parent GROUP BY p.parent, a.factor_id) AS pairs) AS placed "
        "WHERE place <= :most ORDER BY first, child",
        {**given, "most": most},
    )
    found: dict[str, tuple[list[str], int]] = {}
    for parent, child, total in rows:
        found.setdefault(str(parent), ([], int(total)))[0].append(str(child))
    return found


def _parents(ask: Ask, children: Sequence[str], most: int) -> Step:
    named: dict[str, dict[str, None]] = {}
    for child in children:
        query = f"SELECT parent_ids FROM attempts WHERE factor_id = :child ORDER BY id LIMIT {_READ}"
        for (stored,) in ask(query, {"child": child}):
            # A driver of PostgreSQL hands over JSON already read.
            names = json.loads(stored) if isinstance(stored, str) else stored
            named.setdefault(child, {}).update(dict.fromkeys(str(name) for name in names if name != child))
    listed, given = _listed(sorted({name for names in named.values() for name in names}))
    # A parent that was never parsed, or stands in another base, is a text and no factor.
    there = {
        str(row[0]) for row in ask(f"SELECT DISTINCT factor_id FROM attempts WHERE factor_id IN ({listed})", given)
    }
    found = {child: [name for name in names if name in there] for child, names in named.items()}
    return {child: (names[:most], len(names)) for child, names in found.items()}


def _chosen(ask: Ask, names: Sequence[str]) -> dict[str, AttemptRecord]:
    """Return one attempt of each factor: the newest scored one, else the newest."""
    listed, given = _listed(names)
    rows = ask(
        "SELECT coalesce(max(e.attempt_id), max(a.id)) FROM attempts a LEFT JOIN evaluations e "
        f"ON e.attempt_id = a.id WHERE a.factor_id IN ({listed}) GROUP BY a.factor_id",
        given,
    )
    return {one.factor_id or "": one for one in list_numbered(ask, [int(row[0]) for row in rows])}


def _listed(names: Sequence[str]) -> tuple[str, dict[str, object]]:
    """Return names as parameters of a query: none as a name that nothing has."""
    given: dict[str, object] = {f"n{k}": name for k, name in enumerate(names or [""])}
    return ", ".join(f":{name}" for name in given), given
