"""How much room is left beside the factors that were found: by theme, what they explain, and what is a dead end.

Train alone enters: payoffs on it, and fingerprints of returns on it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from agent.knowledge.attempt_figures import net_score, train_of
from agent.knowledge.records import AttemptRecord
from agent.knowledge.stored_returns import StoredReturns
from agent.llm.facts import RoomFacts
from agent.mining.search.added import MEMBERS, Hedge, fingerprint_of_attempt
from agent.mining.search.themes import theme_of
from agent.untrusted.quoting import as_shown
from backtest.policy import SEEN

# This many factors of a theme of which none predicts are a dead end.
_DEAD = 8
# Newest factors of a theme whose returns are compared with those found.
_COMPARED = 24


def room_left(
    attempts: Sequence[AttemptRecord], returns: StoredReturns, pool: Sequence[AttemptRecord]
) -> tuple[RoomFacts, ...]:
    """Return how much of each theme is taken, the theme with most room first.

    `pool` are the factors found so far, oldest first: its `MEMBERS` best are compared with.
    """
    themes: dict[str, list[AttemptRecord]] = defaultdict(list)
    for attempt in attempts:
        if attempt.evaluation is not None and attempt.canonical:
            themes[theme_of(attempt)].append(attempt)
    members = sorted(pool, key=lambda a: -net_score(train_of(a)))[:MEMBERS]
    beside = _Beside(members, returns)
    found = [_room(theme, tried, beside) for theme, tried in themes.items()]
    return tuple(sorted(found, key=lambda one: (one.dead, np.nan_to_num(one.explained), one.theme)))


def _room(theme: str, tried: Sequence[AttemptRecord], beside: _Beside) -> RoomFacts:
    shares = [beside.explained(one) for one in tried[-_COMPARED:]]
    known = [share for share in shares if math.isfinite(share)]
    scores = [z for one in tried if math.isfinite(z := train_of(one).payoff_z)]
    best = max(scores, default=math.nan)
    turned = max(tried, key=turned_sharpe)
    worth = turned_sharpe(turned)
    return RoomFacts(
        theme,
        len(tried),
        round(float(np.mean(known)), 3) if known else math.nan,
        round(best, 2),
        dead=len(tried) >= _DEAD and best < SEEN,
        turned=(turned.canonical or "") if math.isfinite(worth) else "",
        turned_sharpe=round(worth, 2) if math.isfinite(worth) else math.nan,
    )


class _Beside:
    """Members, by which attempts are hedged one after the other."""

    def __init__(self, members: Sequence[AttemptRecord], returns: StoredReturns) -> None:
        self._returns = returns
        self._prints = {m.id: fingerprint_of_attempt(m.id, returns.fingerprints) for m in members}
        # By the member that is left out (None: none is), and the length of a fingerprint.
        self._hedges: dict[tuple[int | None, int], Hedge | None] = {}

    def explained(self, attempt: AttemptRecord) -> float:
        """Return the share of an attempt's variance that other members explain; NaN where that is not known."""
        own = fingerprint_of_attempt(attempt.id, self._returns.fingerprints)
        key = (attempt.id if attempt.id in self._prints else None, len(own))
        if key not in self._hedges:
            prints = [one for number, one in self._prints.items() if number != key[0] and len(one) == len(own)]
            known = prints and len(own)
            self._hedges[key] = Hedge(np.zeros(len(prints)), np.stack(prints)) if known else None
        hedge = self._hedges[key]
        return math.nan if hedge is None else hedge.left_of(0.0, own).explained


def turned_sharpe(attempt: AttemptRecord) -> float:
    """Return the net Sharpe ratio on train of a factor turned around, -inf where it does not pay the other way.

    What it pays before costs changes its sign and the costs stay: net' = net - 2 gross, in one deviation.
    """
    train = train_of(attempt)
    other_way = train.payoff_z <= -SEEN
    turned = train.sharpe_net - 2.0 * train.sharpe_gross
    return turned if other_way and math.isfinite(turned) else -math.inf


def room_sentence(room: RoomFacts) -> str:
    """Say it for a writer."""
    said = f"{room.theme}: {room.scored} scored"
    if room.dead:
        said += ", none predicts: a dead end so far"
    elif math.isfinite(room.explained):
        taken = "taken" if room.explained >= 0.5 else "open"
        said += f"; the factors found explain {room.explained:.0%} of what these pay ({taken})"
    if room.turned:
        does = "earns" if room.turned_sharpe > 0 else "still loses to costs, at"
        figure = f"a net Sharpe ratio of {room.turned_sharpe:+.2f}"
        said += f"; {as_shown(room.turned)} pays the other way: turned around it {does} {figure}"
    return said
