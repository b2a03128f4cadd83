"""Trials of a data set and of those related to it, each counted once; each works inside the caller's transaction.

A factor that was scored under the same rules on two related data sets, such as again after `data update`, is one trial:
the first. What was scored under other rules is a trial of its own, and so is what was scored twice on one data set.
Nothing of this is stored: relations may be found later than trials, and a stored count would have to be made again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sqlalchemy import BindParameter, Connection, bindparam, text

from agent.knowledge.tables.effective_trials import SAME_TRIAL, ReturnsFingerprints, shadow_of
from agent.knowledge.tables.packed_returns import unpacked
from agent.knowledge.tables.stored_draws import (
    WORTH_STORING,
    StoredDraws,
    Witnesses,
    draws_file,
    read_draws,
    store_draws,
)
from agent.knowledge.tables.tallies import Spread, count_trials
from agent.knowledge.trial_counts import TrialCount
from backtest.max_test import LargestScores, draw_seed

# Of a cluster only the first is read: the others go with it. No index may be used for the panel: what is new lies at
# the end of the table, and is a few rows of the many of a panel.
_SCORED = (
    "SELECT e.attempt_id, e.panel_id, e.factor_id, e.rules, e.sharpe_per_bar, t.fingerprint FROM evaluations e "
    "LEFT JOIN trial_returns t ON t.attempt_id = e.attempt_id{} "
    "WHERE e.panel_id || '' IN :panels AND e.attempt_id > :after ORDER BY COALESCE(t.seq, e.attempt_id), e.attempt_id"
)
_PANELS: BindParameter[str] = bindparam("panels", expanding=True)
_LEADERS = text(_SCORED.format(" AND t.cluster = t.attempt_id")).bindparams(_PANELS)
_ALL = text(_SCORED.format("")).bindparams(_PANELS)
# Both are answered by their indexes alone, without a look at a fingerprint.
_TURNS = text("SELECT attempt_id, seq FROM trial_returns WHERE panel_id IN :panels").bindparams(_PANELS)
_KNOWN = text(
    "SELECT attempt_id, panel_id, factor_id, rules FROM evaluations WHERE panel_id IN :panels AND attempt_id <= :upto"
).bindparams(_PANELS)
_EPOCHS = text("SELECT COALESCE(SUM(epoch), 0) FROM tallies WHERE panel_id IN :panels").bindparams(_PANELS)


_AT_ONCE = 4096


class _Scored(NamedTuple):
    """A scored attempt; the fingerprint is None where none was asked for, or there is none."""

    attempt_id: int
    panel_id: str
    factor_id: str | None
    rules: str
    sharpe: float | None
    fingerprint: bytes | None


@dataclass
class ScoredTrials:
    """How far the scored attempts of related data sets were read, and on which data each factor was scored first."""

    panels: tuple[str, ...] = ()
    epoch: int = -1
    after: int = 0
    first: dict[tuple[str, str], str] = field(default_factory=dict)
    repeats: int = 0

    def is_repeat(self, panel_id: str, factor_id: str | None, rules: str) -> bool:
        """Whether a factor was scored under these rules on another data set before; note where it was first."""
        return factor_id is not None and self.first.setdefault((factor_id, rules), panel_id) != panel_id

    def is_current(self, connection: Connection, panels: tuple[str, ...]) -> bool:
        """Whether what was read is still a beginning of what there is; where not, begin again."""
        epoch = connection.execute(_EPOCHS, {"panels": panels}).scalar() or 0
        if (panels, epoch) == (self.panels, self.epoch):
            return True
        self.panels, self.epoch = panels, epoch
        self.restart()
        return False

    def restart(self) -> None:
        """Begin again with the first attempt."""
        self.after, self.repeats = 0, 0
        self.first.clear()

    def pass_by(self, connection: Connection, upto: int) -> int:
        """Note what was scored up to an attempt, without its fingerprints; return how many of those count."""
        asked = {"panels": self.panels, "upto": upto}
        turn = {row[0]: row[1] for row in connection.execute(_TURNS, {"panels": self.panels})}
        rows = connection.execute(_KNOWN, asked).all()
        count = 0
        for number, *factor in sorted(rows, key=lambda row: (turn.get(row[0], row[0]), row[0])):
            if self.is_repeat(*factor):
                self.repeats += 1
            else:
                count += number in turn
        self.after = max((row[0] for row in rows), default=0)
        return count

    def new_rows(self, connection: Connection, *, every: bool) -> Iterator[_Scored]:
        """Return what was scored since, in order, but for repeats; with fingerprints of `every` attempt, or leaders."""
        asked = {"panels": self.panels, "after": self.after}
        newest = self.after
        # One after the other: with fingerprints, a million are a gigabyte.
        query = _ALL if every else _LEADERS
        for found in connection.execute(query, asked, execution_options={"yield_per": _AT_ONCE}):
            row = _Scored(*found)
            newest = max(newest, row.attempt_id)
            if self.is_repeat(row.panel_id, row.factor_id, row.rules):
                self.repeats += 1
            else:
                yield row
        self.after = newest


@dataclass
class RelatedTally:
    """What the scored attempts of related data sets add up to."""

    panel_id: str
    read: ScoredTrials = field(default_factory=ScoredTrials)
    spread: Spread = field(default_factory=Spread)
    leaders: ReturnsFingerprints = field(default_factory=lambda: ReturnsFingerprints(""))
    effective: int = 0

    def refresh(self, connection: Connection, panels: tuple[str, ...]) -> None:
        """Take in what was scored since."""
        if not self.read.is_current(connection, panels):
            self.effective, self.spread = 0, Spread()
            self.leaders = ReturnsFingerprints("")
        for row in self.read.new_rows(connection, every=False):
            if row.sharpe is not None:
                self.spread.add(row.sharpe)
            if row.fingerprint is not None:
                self._group(row.attempt_id, bytes(row.fingerprint))

    def _group(self, attempt_id: int, packed: bytes) -> None:
        _, near = self.leaders.nearest(unpacked(packed))
        if abs(near) < SAME_TRIAL:
            self.leaders.add(attempt_id, attempt_id, packed)
            self.effective += 1


def count_related(connection: Connection, known: RelatedTally, panels: tuple[str, ...]) -> TrialCount:
    """Return the trials on a data set and on related ones (`panels`, itself first); see `tallies.count_trials`."""
    own = count_trials(connection, panels[0])
    if len(panels) == 1:
        return own
    known.refresh(connection, panels)
    spread = Spread(known.spread.count, known.spread.mean, known.spread.squares)
    count = -known.read.repeats
    for panel_id in panels:
        attempts, pooled = panel_figures(connection, panel_id)
        count += attempts + len(pooled)
        for figure in pooled:
            if figure is not None:
                spread.add(figure)
    variance = own.sharpe_variance if spread.count < 2 else spread.squares / (spread.count - 1)
    return TrialCount(count, variance, spread.count, known.effective)


def panel_figures(connection: Connection, panel_id: str) -> tuple[int, list[float | None]]:
    """Return how many attempts there are on one data set, and the per-bar Sharpe ratios of its pools."""
    asked = {"panel": panel_id}
    attempts = connection.execute(text("SELECT attempts FROM tallies WHERE panel_id = :panel"), asked).scalar()
    pooled = connection.execute(text("SELECT sharpe_per_bar FROM pools WHERE panel_id = :panel ORDER BY seq"), asked)
    return attempts or 0, list(pooled.scalars().all())


@dataclass
class RelatedMaxima:
    """Draws of the largest score among the trials of related data sets; the first `stored` are in a file as well."""

    panel_id: str
    folder: Path | None = None
    read: ScoredTrials = field(default_factory=ScoredTrials)
    scores: LargestScores | None = None
    seen: Witnesses = field(default_factory=Witnesses)
    stored: int = 0


def largest_related(connection: Connection, known: RelatedMaxima, panels: tuple[str, ...]) -> LargestScores:
    """Return the draws with all trials of a data set and of related ones in them (a copy), each once."""
    current = known.read.is_current(connection, panels)
    if known.scores is None or not current:
        known.scores = LargestScores(draw_seed(known.panel_id))
        known.seen, known.stored = Witnesses(), 0
        _take_stored(connection, known)
    rows = (row for row in known.read.new_rows(connection, every=True) if row.fingerprint is not None)
    while fresh := list(islice(rows, _AT_ONCE)):
        prints = [unpacked(bytes(row.fingerprint or b"")) for row in fresh]
        known.scores.add(row.astype(np.float64) for row in prints)
        for row, print_ in zip(fresh, prints, strict=True):
            known.seen.add(row.attempt_id, print_)
    if known.seen.count - known.stored >= WORTH_STORING:
        known.stored = known.seen.count
        found = StoredDraws(known.scores, known.read.after, known.seen)
        store_draws(draws_file(known.folder, panels), panels, known.read.epoch, found)
    return known.scores.copy()


def _take_stored(connection: Connection, known: RelatedMaxima) -> None:
    """Begin with the draws that an earlier process left, where the base still begins with their trials."""
    read = known.read
    found = read_draws(
        draws_file(known.folder, read.panels),
        read.panels,
        read.epoch,
        draw_seed(known.panel_id),
        lambda number: shadow_of(connection, number),
        lambda upto: read.pass_by(connection, upto),
    )
    if found is None:
        read.restart()
        return
    known.scores, known.seen, known.stored = found.scores, found.seen, found.seen.count
