"""What a panel's attempts add up to, kept as they are written: counting trials then takes one row, however many."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Double, bindparam, func, select, text
from sqlalchemy.orm import Session

from agent.knowledge.database import schema
from agent.knowledge.database.direct_connection import direct
from agent.knowledge.trial_counts import TrialCount

# As `Spread.add` does it: what stands on the right is of before.
_COUNT = text(
    "UPDATE tallies SET attempts = attempts + 1, effective_trials = effective_trials + :new WHERE panel_id = :panel"
)
_COUNT_SCORED = text(
    "UPDATE tallies SET attempts = attempts + 1, effective_trials = effective_trials + :new, scored = scored + 1, "
    "mean = mean + (:sharpe - mean) / (scored + 1), "
    "spread = spread + (:sharpe - mean) * (:sharpe - (mean + (:sharpe - mean) / (scored + 1))) WHERE panel_id = :panel"
).bindparams(bindparam("sharpe", type_=Double))
_FIRST = text(
    "INSERT INTO tallies (panel_id, attempts, scored, mean, spread, effective_trials, epoch) "
    "VALUES (:panel, 1, :scored, :sharpe, 0.0, :new, 0)"
)
_TALLY = text("SELECT attempts, effective_trials, scored, mean, spread FROM tallies WHERE panel_id = :panel")
_BARS = text("SELECT bars FROM datasets WHERE panel_id = :panel")
_POOLED = text("SELECT sharpe_per_bar FROM pools WHERE panel_id = :panel ORDER BY seq")


_AT_ONCE = 1_000


@dataclass
class Spread:
    """Mean and sum of squared deviations of figures that come one at a time (Welford 1962)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, figure: float) -> None:
        """Take in one more figure."""
        self.count += 1
        off = figure - self.mean
        self.mean += off / self.count
        self.squares += off * (figure - self.mean)


def count_one(session: Session | Connection, panel_id: str, sharpe: float | None, *, new_trial_group: bool) -> None:
    """Count one more attempt on a panel, in the transaction that writes it."""
    connection = direct(session)
    asked = {"panel": panel_id, "new": int(new_trial_group), "sharpe": sharpe}
    if connection.execute(_COUNT if sharpe is None else _COUNT_SCORED, asked).rowcount:
        return
    connection.execute(_FIRST, {**asked, "scored": int(sharpe is not None), "sharpe": sharpe or 0.0})


def count_trials(connection: Connection, panel_id: str) -> TrialCount:
    """Return the trials on a panel, attempts and pools, and the variance of their per-bar Sharpe ratios.

    While fewer than two were scored, the variance is 1 / bars: that of the estimated Sharpe ratio of a factor
    without skill over the panel's bars (Lo 2002, with a true ratio of 0). Of an unknown panel it is 0.0.
    """
    asked = {"panel": panel_id}
    row = connection.execute(_TALLY, asked).first()
    attempts, effective_trials, spread = (0, 0, Spread()) if row is None else (row[0], row[1], Spread(*row[2:]))
    pooled = connection.execute(_POOLED, asked).scalars().all()
    for figure in pooled:
        if figure is not None:
            spread.add(figure)
    if spread.count >= 2:
        variance = spread.squares / (spread.count - 1)
    else:
        bars = connection.execute(_BARS, asked).scalar() or 0
        variance = 1.0 / bars if bars else 0.0
    return TrialCount(attempts + len(pooled), variance, spread.count, effective_trials)


def recount(session: Session, panel_id: str, order: Iterable[int] | None = None) -> schema.TrialTally:
    """Return what a panel's tally should be, from its rows: in the order of their ids, or in the one given.

    The row is not attached to the session; its epoch is 0.
    """
    attempt, run, scored = schema.Attempt, schema.Run, schema.Evaluation
    query = (
        select(attempt.id, scored.sharpe_per_bar)
        .join(run, run.id == attempt.run_id)
        .outerjoin(scored, scored.attempt_id == attempt.id)
        .where(run.panel_id == panel_id)
        .order_by(attempt.id)
    )
    rows = session.execute(query, execution_options={"yield_per": _AT_ONCE})
    count, spread = 0, Spread()
    if order is not None:
        figures = {row[0]: row[1] for row in rows}
        count, rows_in_order = len(figures), (figures[number] for number in order)
    else:
        # One after the other: there may be a million.
        rows_in_order = (row[1] for row in rows)
    for number, figure in enumerate(rows_in_order, start=1):
        count = max(count, number)
        if figure is not None:
            spread.add(figure)
    returns = schema.TrialReturns
    firsts = select(func.count()).where(returns.panel_id == panel_id, returns.cluster == returns.attempt_id)
    return schema.TrialTally(
        panel_id=panel_id,
        attempts=count,
        scored=spread.count,
        mean=spread.mean,
        spread=spread.squares,
        effective_trials=session.scalar(firsts) or 0,
        epoch=0,
    )
