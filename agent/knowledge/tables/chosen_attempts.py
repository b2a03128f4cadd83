"""Which attempts a search recalls of many: the newest, the best, those that pay the other way, and a random sample.

Of few, all are recalled. What is chosen is a function of the base as it was at one attempt, so that a resumed round
finds what it began with. Figures are of train alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.knowledge.listing import Ask, listed

# Up to this many attempts on the data, all are recalled: as many as are chosen of more, so that the rounds of a long
# search cost the same from there on.
WHOLE = 1_000
_NEWEST, _BEST, _LOWEST, _SAMPLE = 300, 300, 100, 500
# Attempts of one distinct idea among the best.
_OF_AN_IDEA = 4
# Of one idea there may be many: this many rows are looked at for each that is taken.
_LOOKED_AT = 10
# Most places that a sample looks at: of a base that holds much else, less is found.
_PLACES = 20_000
_AT_ONCE = 500
_MIX, _WORD = 0x9E3779B97F4A7C15, 2**64
_COUNT = "SELECT COALESCE(SUM(attempts), 0) FROM tallies WHERE panel_id IN ({})"
# No index may be used for the panel: the newest are found from the end of the table.
_OURS = "FROM attempts a JOIN runs r ON r.id = a.run_id WHERE r.panel_id || '' IN ({})"
_LATER = f"SELECT count(*) {_OURS} AND a.id > :until"
_NEW = f"SELECT a.id {_OURS} AND a.id <= :until ORDER BY a.id DESC LIMIT :most"
_THESE = f"SELECT a.id {_OURS} AND a.id IN "
_RANKED = (
    "SELECT e.attempt_id, e.{0}, COALESCE(t.cluster, -e.attempt_id) FROM evaluations e "
    "LEFT JOIN trial_returns t ON t.attempt_id = e.attempt_id WHERE e.panel_id = :panel AND e.attempt_id <= :until "
    "AND e.{0} IS NOT NULL ORDER BY e.{0} {1}, e.attempt_id {1} LIMIT :most"
)
_BY_NET = _RANKED.format("train_net_z", "DESC")
_BY_PAYOFF = _RANKED.format("train_payoff_z", "ASC")
_NO_END = 2**31 - 1


@dataclass(frozen=True)
class ChosenAttempts:
    """Ids of attempts, oldest first; `typical` are those not chosen for what came of them, `total` of how many.

    Both are None where all are recalled.
    """

    numbers: tuple[int, ...] | None
    typical: frozenset[int] | None
    total: int


def choose_attempts(
    ask: Ask, panels: Sequence[str], until: int | None = None, whole: int | None = None
) -> ChosenAttempts:
    """Return which attempts on some panels are recalled, of those up to `until`; of `whole` or fewer, all."""
    among, given = listed("panel", panels)
    last = _NO_END if until is None else until
    least = WHOLE if whole is None else whole
    total = int(ask(_COUNT.format(among), given)[0][0])
    if until is not None and total > least:
        total -= int(ask(_LATER.format(among), {**given, "until": last})[0][0])
    if total <= least:
        return ChosenAttempts(None, None, total)
    newest = _newest(ask, panels, last, _NEWEST)
    typical = frozenset([*newest, *_sample(ask, panels, newest[0], total)])
    best = _ranked(ask, panels, last, _BEST)
    lowest = _ranked(ask, panels, last, _LOWEST, lowest=True)
    return ChosenAttempts(tuple(sorted({*typical, *best, *lowest})), typical, total)


def newest_attempt(ask: Ask, panels: Sequence[str]) -> int:
    """Return the newest attempt on some panels; 0 for none."""
    return next(iter(_newest(ask, panels, _NO_END, 1)), 0)


def _newest(ask: Ask, panels: Sequence[str], until: int, most: int) -> list[int]:
    among, given = listed("panel", panels)
    return [int(row[0]) for row in ask(_NEW.format(among), {**given, "until": until, "most": most})]


def _sample(ask: Ask, panels: Sequence[str], newest: int, total: int) -> list[int]:
    """Return one attempt at random of each stretch of ids; stretches double as the base grows."""
    step = 1
    while step < max(total / _SAMPLE, newest / _PLACES):
        step *= 2
    places = (k * step + 1 + ((k + 1) * _MIX % _WORD >> 32) % step for k in range(newest // step + 1))
    wanted = [place for place in places if place <= newest]
    among, given = listed("panel", panels)
    found: list[int] = []
    for start in range(0, len(wanted), _AT_ONCE):
        numbers = ", ".join(map(str, wanted[start : start + _AT_ONCE]))
        found += [int(row[0]) for row in ask(f"{_THESE.format(among)} ({numbers}) ORDER BY a.id", given)]
    return found


def _ranked(ask: Ask, panels: Sequence[str], until: int, most: int, *, lowest: bool = False) -> list[int]:
    """Return the attempts that net most on train, a few of each idea; or the `lowest` payoff of each idea."""
    asked = {"until": until, "most": most * _LOOKED_AT}
    rows = [tuple(row) for panel in panels for row in ask(_BY_PAYOFF if lowest else _BY_NET, {**asked, "panel": panel})]
    rows.sort(key=lambda row: (row[1] if lowest else -row[1], row[0]))
    taken: dict[int, int] = {}
    found: list[int] = []
    for number, _, cluster in rows:
        taken[cluster] = taken.get(cluster, 0) + 1
        if taken[cluster] <= (1 if lowest else _OF_AN_IDEA):
            found.append(number)
            if len(found) == most:
                break
    return found
