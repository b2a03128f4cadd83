"""What writers on a PostgreSQL server wait for each other for: the same trials, the same factor, the same run.

A file has one writer at a time. A server has many: whoever records attempts waits for those who record on the same data
set or a related one, so that their rows are numbered in the order in which they are committed, and for those who index
the same factor. Whoever writes to a run's rounds and calls waits for others of that run. Everybody else (who registers
data, merges, opens a holdout ...) has the base alone. All turns are taken by one statement, in one order: nobody waits
in a circle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from agent.knowledge.records import NewAttempt

# Attempts of a transaction: a server has room for some thousand locks of all.
MOST_TRIALS = 32
_WAIT = text(
    "SELECT count(pg_advisory_xact_lock(turn)) FROM ("
    "SELECT DISTINCT hashtextextended(name, 0) AS turn FROM ("
    "SELECT unnest(CAST(:names AS text[])) AS name "
    "UNION ALL SELECT panel_id FROM runs WHERE id = ANY(CAST(:runs AS text[])) "
    "UNION ALL SELECT other_id FROM related_datasets WHERE panel_id IN "
    "(SELECT panel_id FROM runs WHERE id = ANY(CAST(:runs AS text[])))"
    ") AS named ORDER BY turn) AS turns"
)


@dataclass(frozen=True)
class Turn:
    """What is written to: things by name, and the trials of the data of runs, with those of related data."""

    names: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()


def turn_of_run(run_id: str) -> Turn:
    """Return the turn of whoever writes to a run, its rounds or its calls."""
    return Turn(names=(f"run:{run_id}",))


def turn_of_trials(new: Sequence[NewAttempt]) -> Turn:
    """Return the turn of whoever records attempts."""
    factors = {attempt.factor_id for attempt in new if attempt.factor_id is not None}
    return Turn(tuple(sorted(factors)), tuple(sorted({attempt.run_id for attempt in new})))


def wait_turn(connection: Connection, turn: Turn) -> None:
    """Wait until nobody else writes to the same, and hold it until the transaction ends."""
    connection.execute(_WAIT, {"names": list(turn.names), "runs": list(turn.runs)})
