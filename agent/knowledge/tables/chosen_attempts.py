"""Which attempts a search recalls of many: the newest, the best, those that pay the other way, and a random sample.

Of few, all are recalled. What is chosen is a function of the base as it was at one attempt, so that a resumed round
finds what it began with. Figures are of train alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import BindParameter, Connection, bindparam, text

# Up to this many attempts on the data, all are recalled.
WHOLE = 2_000
_NEWEST, _BEST, _LOWEST, _SAMPLE = 300, 300, 100, 500
# Attempts of one distinct idea among the best.
_OF_AN_IDEA = 4
# Of one idea there may be many: this many rows are looked at for each that is taken.
_LOOKED_AT = 10
# Most places that a sample looks at: of a base that holds much else, less is found.
_PLACES = 20_000
_AT_ONCE = 500
_MIX = np.uint64(0x9E3779B97F4A7C15)
_PANELS: BindParameter[str] = bindparam("panels", expanding=True)
_NUMBERS: BindParameter[int] = bindparam("numbers", expanding=True)
_COUNT = text("SELECT COALESCE(SUM(attempts), 0) FROM tallies WHERE panel_id IN :panels").bindparams(_PANELS)
# No index may be used for the panel: the newest are found from the end of the table.
_OURS = "FROM attempts a JOIN runs r ON r.id = a.run_id WHERE r.panel_id || '' IN :panels"
_LATER = text(f"SELECT count(*) {_OURS} AND a.id > :until").bindparams(_PANELS)
_NEW = text(f"SELECT a.id {_OURS} AND a.id <= :until ORDER BY a.id DESC LIMIT :most").bindparams(_PANELS)
_THESE = text(f"SELECT a.id {_OURS} AND a.id IN :numbers ORDER BY a.id").bindparams(_PANELS, _NUMBERS)
_RANKED = (
    "SELECT e.attempt_id, e.{0}, COALESCE(t.cluster, -e.attempt_id) FROM evaluations e "
    "LEFT JOIN trial_returns t ON t.attempt_id = e.attempt_id WHERE e.panel_id = :panel AND e.attempt_id <= :until "
    "AND e.{0} IS NOT NULL ORDER BY e.{0} {1}, e.attempt_id {1} LIMIT :most"
)
_BY_NET = text(_RANKED.format("train_net_z", "DESC"))
_BY_PAYOFF = text(_RANKED.format("train_payoff_z", "ASC"))
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
    connection: Connection, panels: Sequence[str], until: int | None = None, whole: int = WHOLE
) -> ChosenAttempts:
    """Return which attempts on some panels are recalled, of those up to `until`; of `whole` or fewer, all."""
    asked = {"panels": list(panels), "until": _NO_END if until is None else until}
    total = int(connection.execute(_COUNT, asked).scalar() or 0)
    if until is not None and total > whole:
        total -= int(connection.execute(_LATER, asked).scalar() or 0)
    if total <= whole:
        return ChosenAttempts(None, None, total)
    newest = list(connection.execute(_NEW, {**asked, "most": _NEWEST}).scalars())
    typical = frozenset([*newest, *_sample(connection, panels, newest[0], total)])
    best = _ranked(connection, panels, asked["until"], _BEST)
    lowest = _ranked(connection, panels, asked["until"], _LOWEST, lowest=True)
    return ChosenAttempts(tuple(sorted({*typical, *best, *lowest})), typical, total)


def newest_attempt(connection: Connection, panels: Sequence[str]) -> int:
    """Return the newest attempt on some panels; 0 for none."""
    asked = {"panels": list(panels), "until": _NO_END, "most": 1}
    return int(connection.execute(_NEW, asked).scalar() or 0)


def _sample(connection: Connection, panels: Sequence[str], newest: int, total: int) -> list[int]:
    """Return one attempt at random of each stretch of ids; stretches double as the base grows."""
    step = 1
    while step < max(total / _SAMPLE, newest / _PLACES):
        step *= 2
    stretch = np.arange(newest // step + 1, dtype=np.uint64)
    places = stretch * np.uint64(step) + 1 + (((stretch + np.uint64(1)) * _MIX) >> np.uint64(32)) % np.uint64(step)
    wanted = [int(place) for place in places if place <= newest]
    found: list[int] = []
    for start in range(0, len(wanted), _AT_ONCE):
        asked = {"panels": list(panels), "numbers": wanted[start : start + _AT_ONCE]}
        found += connection.execute(_THESE, asked).scalars()
    return found


def _ranked(
    connection: Connection, panels: Sequence[str], until: object, most: int, *, lowest: bool = False
) -> list[int]:
    """Return the attempts that net most on train, a few of each idea; or the `lowest` payoff of each idea."""
    asked = {"until": until, "most": most * _LOOKED_AT}
    rows = [
        tuple(row)
        for panel in panels
        for row in connection.execute(_BY_PAYOFF if lowest else _BY_NET, {**asked, "panel": panel})
    ]
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
