"""Opening the holdout: once per factor or pool and data set, unless insisted on; recorded before it is shown."""

from __future__ import annotations

import getpass
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from agent.knowledge.factor_records import FactorRecord
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import HoldoutRecord
from agent.knowledge.tables.openings import opened_already
from agent.pools.fitting import pool_values
from agent.study.learned_fields import learned_names, unseen_field
from agent.study.lineage_notes import bar_time, meet_data
from agent.study.opening import Note, OpenData, RecordedRules, no_note, open_data
from agent.study.study import group_values, make_spec, narrowed
from agent.study.workspace import Workspace
from backtest.rule_grid import TradingRule
from backtest.rule_words import chosen_rule
from backtest.scorecard import segment_score
from backtest.target import prepare_target
from backtest.trade_figures import total_return
from factors.checks import check_signal
from factors.engine import evaluate
from factors.parse import parse
from market.errors import InputError, Rejection
from market.panel import FloatArray, Panel

# Bars that came since a holdout was opened are opened when they are this many.
FORWARD_BARS = 30


@dataclass(frozen=True)
class Opened:
    """An opening as it was recorded, and what was earned on its bars, after costs; NaN behind a gate without one."""

    record: HoldoutRecord
    total_return: float
    total_return_gated: float


def open_holdout(
    workspace: Workspace,
    data: str | None,
    knowledge: KnowledgeBase,
    what: str,
    *,
    again: bool = False,
    note: Note = no_note,
) -> Opened:
    """Score a factor, or a pool, on the holdout of a data set; record who opened it, when, under which rules.

    The rules are those that the factor's run, or the pool, recorded: their split says which bars were never looked at.
    A factor that was never tried on this data goes by those of now. Bars that it saw before, on this data or on related
    ones, are not shown again unless `again` is said, which every report of the factor then shows: of a holdout that
    was opened, only the bars that came since are (forward), when they are at least `FORWARD_BARS`.

    Raises
    ------
    InputError
        When its holdout was opened and too few bars came since, or when the user may not record an opening: before
        anything is computed.
    """
    knowledge.require_writable("holdout_openings")
    subject = _subject(workspace, data, knowledge, what, note)
    opened = subject.opened
    whole, settings = opened.whole, opened.settings
    meet_data(knowledge, whole, note)
    split = opened.split
    rows = split.holdout
    if not again:
        rows = _unseen(knowledge, subject.content_id, whole, _unwatched(knowledge, subject.content_id, whole, rows))
    panel = narrowed(whole, settings)
    values = subject.values(panel)
    exposures = _exposures(opened, panel)
    neutral = settings.backtest.group_neutral
    spec = make_spec(settings) if subject.rule is None else subject.rule.applied(make_spec(settings))
    target = prepare_target(panel, spec, groups=group_values(neutral, panel) if neutral else None)
    rng = np.random.default_rng([settings.loop.seed, 1])
    scored = segment_score(values, target, rows, gate=exposures, rng=rng)
    if isinstance(scored, Rejection):
        raise InputError(scored.one_line())
    opening = knowledge.record_holdout(
        subject.content_id,
        whole.id,
        scored,
        opened_by=who(),
        rules=opened.recorded(),
        again=again,
        span=(bar_time(whole, rows.start), bar_time(whole, rows.stop - 1)),
    )
    year = panel.bars_per_year
    return Opened(opening, total_return(scored, year), total_return(scored, year, gated=True))


def _unwatched(knowledge: KnowledgeBase, content_id: str, whole: Panel, rows: slice) -> slice:
    """Return the rows of the holdout before those on which its subject was watched, which states have shown."""
    first = knowledge.watched_from(content_id, whole.id)
    if first is None:
        return rows
    stop = int(np.searchsorted(whole.times, np.datetime64(first.rstrip("Z")), side="left"))
    if stop < rows.start + FORWARD_BARS and stop < rows.stop:
        raise InputError(
            f"{content_id} was watched on these bars, from {first[:16]} on: they are no holdout of it any more",
            "read what came of it: alphaglow watch; or see them anyway, which is recorded: --again",
        )
    return slice(rows.start, min(stop, rows.stop))


def _unseen(knowledge: KnowledgeBase, content_id: str, whole: Panel, rows: slice) -> slice:
    """Return the rows of the holdout after the last that was seen; too few of them are an `InputError`."""
    spans = knowledge.seen_spans(content_id, whole.id)
    seen = {row: span for row in range(rows.start, rows.stop) for span in spans if span.sees(bar_time(whole, row))}
    if not seen:
        return rows
    last = max(seen)
    new = rows.stop - last - 1
    if new < FORWARD_BARS:
        came = f"{new} new bars since; {FORWARD_BARS} are needed" if new else "no new bar since"
        raise opened_already(content_id, seen[last], f" ({came})")
    return slice(last + 1, rows.stop)


@dataclass(frozen=True)
class _Subject:
    """What sees the holdout: its id, the data and the rules it goes by, its signal, and its own rule, if it has one."""

    content_id: str
    opened: OpenData
    values: Callable[[Panel], FloatArray]
    rule: TradingRule | None = None


def _subject(workspace: Workspace, data: str | None, knowledge: KnowledgeBase, what: str, note: Note) -> _Subject:
    """Return the pool of this name or ``pool:`` id, else the factor of this id."""
    pool = knowledge.find_pool(what)
    if pool is not None and (pool.name == what or what.startswith("pool:")):
        # A holdout of related data is what came since, or the same market.
        rules = replace(RecordedRules.of_pool(pool), any_past=True)
        opened = open_data(workspace, data, rules, learned=False, note=note)
        return _Subject(pool.id, opened, lambda panel: pool_values(pool, panel), chosen_rule(pool.scorecard))
    record = knowledge.get_factor(what)
    opened = open_data(workspace, data, learned=False)
    knowledge.register_dataset(opened.whole)
    tried = knowledge.data_of(record.factor_id)
    # On these very data, else on those that have most in common with them.
    panel_id = next((one.panel_id for one in knowledge.related(opened.whole.id) if one.panel_id in tried), None)
    if panel_id is not None:
        record = knowledge.get_factor(what, panel_id=panel_id)
        rules = replace(RecordedRules.of_run(knowledge.get_run(record.attempt.run_id)), any_past=True)
        opened = open_data(workspace, data or opened.name, rules, learned=False, note=note)
    evaluation = record.attempt.evaluation
    rule = None if evaluation is None or panel_id is None else chosen_rule(evaluation.scorecard)
    return _Subject(record.factor_id, opened, lambda panel: _factor_values(record, panel, workspace), rule)


def _factor_values(record: FactorRecord, panel: Panel, workspace: Workspace) -> FloatArray:
    """Return (T, N) a factor's values; what it reads of learned factors was predicted before anything is opened."""
    learned = {name: unseen_field(workspace.learned, name, panel) for name in learned_names(record.canonical)}
    return factor_values(record.factor_id, record.canonical, panel.with_fields(learned) if learned else panel)


def factor_values(factor_id: str, canonical: str, panel: Panel) -> FloatArray:
    """Return (T, N) the values of a factor on a panel, of which none is held back.

    Raises
    ------
    InputError
        When it cannot be read or has no values that can be traded there.
    """
    expression = parse(canonical, fields=_fields(panel), bar=panel.bar)
    if isinstance(expression, Rejection):
        raise InputError(f"{factor_id} cannot be read on this data: {expression.one_line()}")
    signal = evaluate(expression, panel)
    fault = check_signal(signal, panel)
    if fault is not None:
        raise InputError(fault.one_line())
    return signal.values


def _exposures(opened: OpenData, panel: Panel) -> FloatArray | None:
    """Return what the gate of the data lets through on a panel, (T, N); None without a gate."""
    if opened.gate_file is None:
        return None
    from flows.checkpoint import load_gate

    return load_gate(opened.gate_file).exposures(panel)


def who() -> str:
    """Return who is at the keyboard, as far as the system knows."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = "somebody"
    return f"{name} on {platform.node() or 'an unnamed machine'}"


def _fields(panel: Panel) -> tuple[str, ...]:
    return tuple(sorted({*panel.fields, "vwap", "amount", "returns"}))
