"""Watching what was admitted: each on the bars that came since, under its recorded rule, against its own band.

Nothing here is a trial, and nothing that is found here reaches a prompt, a search or a verdict: bars after an admission
are the only ones that nothing was chosen by. Who reads the states has seen them, though: they are no holdout any more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from agent.evidence.admitted import Admitted, admitted_subjects
from agent.evidence.holdout import factor_values
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.watch_records import WatchRecord, WatchState
from agent.pools.fitting import pool_values
from agent.study.expectations import TriedFactors, tried_factors
from agent.study.lineage_notes import bar_time
from agent.study.opening import Note, OpenData, no_note, open_data
from agent.study.progress import Progress, no_progress
from agent.study.study import group_values, make_spec, narrowed
from agent.study.workspace import LEARNED_PREFIX, Workspace
from backtest.change_sums import Band, ChangeSum, admission_band, fall_below, in_deviations
from backtest.mean_test import mean_test
from backtest.rule_grid import TradingRule
from backtest.scorecard import PaidSeries, paid_rows, paid_series
from backtest.target import Target, prepare_target
from market.errors import InputError, Rejection
from market.panel import FloatArray, Panel

# How many years a factor that pays no less than the bound goes on, on average, before it is called by mistake.
FALSE_ALARM_YEARS = 100.0
# Sharpe ratios a year between which the fall to expect is taken: what trading costs, as far as it is in between.
_LEAST_FALL, _MOST_FALL = 1.0, 3.0
# Bars by which data may be late, and the longest that an exchange is shut, in days.
_LATE_BARS, _SHUT_DAYS = 3, 5


@dataclass(frozen=True)
class Watched:
    """What a check found: the state of all that is watched, and of these what is new or has changed."""

    records: tuple[WatchRecord, ...]
    changed: tuple[WatchRecord, ...]

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        return {
            "watched": [one.to_dict() for one in self.records],
            "changed": [one.subject for one in self.changed],
            "false_alarm_years": FALSE_ALARM_YEARS,
        }


def watch(
    workspace: Workspace,
    knowledge: KnowledgeBase,
    data: str | None = None,
    *,
    now: datetime | None = None,
    note: Note = no_note,
    show: Progress = no_progress,
) -> Watched:
    """Look at everything that was admitted, on all data or on the data set `data`; keep and return what was found.

    Parameters
    ----------
    data
        Watch what was admitted on this data set, or on one that has most bars in common with it, on this one.
    now
        The time of now, by which data are stale; that of the clock where it is not given.
    note
        Is given each sentence that a user should read.

    Raises
    ------
    InputError
        When there is no such data set. What cannot be watched is a record that says why.
    """
    moment = now or datetime.now(UTC)
    subjects = admitted_subjects(knowledge)
    if data is not None:
        opened_data = open_data(workspace, data)
        if subjects:
            knowledge.register_dataset(opened_data.whole)
            panel_ids = {one.panel_id for one in knowledge.related(opened_data.whole.id)}
            subjects = [one for one in subjects if one.panel_id in panel_ids]
    found, opened = [], _Opened(workspace, knowledge, data, note)
    for number, one in enumerate(subjects):
        show("watching", number, len(subjects))
        found.append(_watch_one(one, opened, moment))
    show("watching", len(subjects), len(subjects))
    changed = knowledge.keep_watches(found) if found else []
    return Watched(tuple(found), tuple(changed))


@dataclass(eq=False)
class _Opened:
    """Data that are open, one at a time: subjects come by their data and rules."""

    workspace: Workspace
    knowledge: KnowledgeBase
    data: str | None
    note: Note
    _key: str = ""
    _open: _OpenSubjects | None = None
    _tried: dict[str, TriedFactors] = field(default_factory=dict)

    def of(self, one: Admitted) -> _OpenSubjects:
        """Return the data of a subject under its rules; what is wrong with them is an `InputError`."""
        key = one.rules.owner
        if self._open is None or key != self._key:
            self._open = None
            rules = replace(one.rules, any_past=True)
            opened = open_data(self.workspace, self.data, rules, learned=False, note=self.note)
            self._open, self._key = _OpenSubjects(opened), key
        return self._open

    def tried(self, panel_id: str) -> TriedFactors:
        """Return the factors that were scored on the data of an admission."""
        if panel_id not in self._tried:
            self._tried[panel_id] = tried_factors(panel_id, self.knowledge)
        return self._tried[panel_id]


class _OpenSubjects:
    """A data set under recorded rules, with its gate, and a target for each trading rule."""

    def __init__(self, opened: OpenData) -> None:
        self.opened = opened
        self.panel = narrowed(opened.whole, opened.settings)
        self.exposures: FloatArray | None = None
        if opened.gate_file is not None:
            from flows.checkpoint import load_gate

            self.exposures = load_gate(opened.gate_file).exposures(self.panel)
        self._targets: dict[TradingRule | None, Target] = {}

    def target(self, rule: TradingRule | None) -> Target:
        if rule not in self._targets:
            settings = self.opened.settings
            neutral, spec = settings.backtest.group_neutral, make_spec(settings)
            spec = spec if rule is None else rule.applied(spec)
            groups = group_values(neutral, self.panel) if neutral else None
            # Another rule is the same market: what does not depend on it is prepared once.
            known = next(iter(self._targets.values()), None)
            made = prepare_target(self.panel, spec, groups=groups) if known is None else replace(known, spec=spec)
            self._targets[rule] = made
        return self._targets[rule]


def _watch_one(one: Admitted, opened: _Opened, now: datetime) -> WatchRecord:
    """Return how a subject did, or why it is not watched: a refusal of one is no reason to leave out the others."""
    record = WatchRecord(
        one.subject, opened.data or one.data, one.panel_id, one.kind, one.name, one.verdict, one.admitted, "not watched"
    )
    try:
        here = opened.of(one)
        first = _first_decision(one, here.panel)
        values = _values(one, here.panel)
    except InputError as error:
        return replace(record, why=error.message)
    paid = paid_series(values, here.target(one.rule), gate=here.exposures)
    if isinstance(paid, Rejection):
        return replace(record, why=paid.one_line())
    stale = is_stale(here.panel, now)
    return _judged(replace(record, stale=stale), one, here, paid, first, opened.tried(one.panel_id))


def _first_decision(one: Admitted, panel: Panel) -> int:
    """Return the row of the first decision that is paid on new bars alone: at the last bar that there was."""
    if not one.until:
        raise InputError("it is not known which bars there were when it was admitted")
    seen = int(np.searchsorted(panel.times, np.datetime64(one.until.rstrip("Z")), side="right"))
    if not 0 < seen <= len(panel.times):
        raise InputError(f"the data begin after {one.until[:16]}, when it was admitted")
    return seen - 1


def _values(one: Admitted, panel: Panel) -> FloatArray:
    if one.pool is not None:
        return pool_values(one.pool, panel)
    if LEARNED_PREFIX in one.text:
        raise InputError("it reads what a model predicted, and no model was asked for new bars")
    return factor_values(one.subject, one.text, panel)


def is_stale(panel: Panel, now: datetime) -> bool:
    """Whether the newest bar is older than data that are kept up to date can be."""
    closed = panel.times[-1] + panel.bar
    late = _LATE_BARS * panel.bar
    if panel.calendar == "exchange":
        late = late + np.timedelta64(_SHUT_DAYS, "D")
    return bool(np.datetime64(now.astimezone(UTC).replace(tzinfo=None)) - closed > late)


@dataclass(frozen=True)
class _Sums:
    """The three sums of a subject: payoffs and net returns below its band, and net returns below nothing."""

    payoff: ChangeSum
    net: ChangeSum
    loss: ChangeSum


def _judged(
    record: WatchRecord, one: Admitted, here: _OpenSubjects, paid: PaidSeries, first: int, tried: TriedFactors
) -> WatchRecord:
    """Return the record of a subject with its state and its figures."""
    panel, split = here.panel, here.opened.split
    seen = np.r_[paid_rows(split.train), paid_rows(split.validation)].astype(np.int64)
    kept, weights = tried.others(one.subject)
    trials, year = max(1, len(set(tried.clusters))), panel.bars_per_year
    payoffs, net = in_deviations(paid.payoffs), in_deviations(paid.net)
    bands = [
        admission_band(series[seen], others[0, kept], others[1, kept], weights[kept], trials=trials)
        for series, others in ((payoffs, tried.payoff), (net, tried.net))
    ]
    rows = slice(first, len(panel.times) - 2)
    after = payoffs[rows], net[rows]
    sums = sums_of(after, (bands[0], bands[1]), _cost(paid, net, seen), year)
    bars = max(0, rows.stop - rows.start)
    state: WatchState = "failing" if sums.loss.alarmed else "fresh"
    if state == "fresh" and (sums.payoff.alarmed or sums.net.alarmed):
        state = "aging"
    return replace(
        record,
        state=state,
        # Paid from the bar after the decision on.
        start=bar_time(panel, first + 1) if bars else "",
        end=bar_time(panel, len(panel.times) - 1) if bars else "",
        bars=bars,
        why=_why(sums, panel, first),
        figures=_figures(after, (bands[0], bands[1]), sums, year),
    )


def _cost(paid: PaidSeries, net: FloatArray, rows: NDArray[np.int64]) -> float:
    """Return what trading took a bar on some rows, in the deviations in which `net` (T,) has the net return."""
    known = rows[np.isfinite(net[rows]) & (net[rows] != 0.0)]
    costs = (paid.gross[known] - paid.net[known]) * net[known] / paid.net[known]
    return float(costs.mean()) if len(known) else 0.0


def sums_of(
    after: tuple[FloatArray, FloatArray],
    bands: tuple[Band, Band],
    cost: float,
    year: float,
    years: float = FALSE_ALARM_YEARS,
) -> _Sums:
    """Return the sums over new payoffs and new net returns (T,), both in deviations of a bar.

    `cost` is what trading takes a bar, in deviations: a factor that predicts nothing any more loses it. Payoffs are
    before costs, and fall to nothing. Both sums that call a factor aging share its false alarms.
    """
    one = 1.0 / math.sqrt(year)
    lost = min(max(cost if math.isfinite(cost) else 0.0, _LEAST_FALL * one), _MOST_FALL * one)
    before, net = bands
    return _Sums(
        fall_below(after[0], before.low, 0.0, before.inflated, years=2.0 * years, year=year),
        fall_below(after[1], net.low, min(0.0, net.low - one), net.inflated, years=2.0 * years, year=year),
        fall_below(after[1], 0.0, -lost, net.inflated, years=years, year=year),
    )


def _why(sums: _Sums, panel: Panel, first: int) -> str:
    """Say which sums alarmed, and since about when."""
    said = [
        f"{what} since about {bar_time(panel, min(first + 1 + one.since, len(panel.times) - 1))[:10]}"
        for what, one in (
            ("it loses after costs", sums.loss),
            ("it pays less before costs than it was admitted with", sums.payoff),
            ("it earns less than it was admitted with", sums.net),
        )
        if one.alarmed
    ]
    return "; ".join(said)


def _figures(
    after: tuple[FloatArray, FloatArray], bands: tuple[Band, Band], sums: _Sums, year: float
) -> dict[str, object]:
    """Return what came beside what was expected, in deviations a year, which are Sharpe ratios of even risk."""
    root = math.sqrt(year)
    found: dict[str, object] = {}
    for name, series, band in zip(("payoff", "net"), after, bands, strict=True):
        came = mean_test(series)
        found |= {
            f"{name}_expected": band.mean * root,
            f"{name}_low": band.low * root,
            f"{name}_high": band.high * root,
            f"{name}_came": came.mean * root,
            f"{name}_error": came.error * root,
            f"{name}_z": came.z,
        }
    for name in ("payoff", "net", "loss"):
        one: ChangeSum = getattr(sums, name)
        found |= {f"{name}_sum": one.value, f"{name}_threshold": one.threshold}
    return {name: value if isinstance(value, float) and math.isfinite(value) else None for name, value in found.items()}
