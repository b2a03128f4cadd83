"""Opening the holdout: once per factor or pool and data set, unless insisted on; recorded before it is shown."""

from __future__ import annotations

import getpass
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from agent.knowledge.base import KnowledgeBase
from agent.knowledge.factor_records import FactorRecord
from agent.knowledge.records import HoldoutRecord
from agent.pools.fitting import pool_values, rules_of_pool
from agent.study.gates import gate_path
from agent.study.learned_fields import PREFIX
from agent.study.settings import Settings
from agent.study.study import group_values, make_spec, narrowed, split_of
from agent.study.workspace import Workspace
from backtest.scorecard import segment_score
from backtest.target import prepare_target
from factors.checks import check_signal
from factors.engine import evaluate
from factors.parse import parse
from market.errors import InputError, Rejection
from market.panel import FloatArray, Panel


def open_holdout(
    whole: Panel, workspace: Workspace, data_name: str, knowledge: KnowledgeBase, factor: str, *, again: bool = False
) -> HoldoutRecord:
    """Score a factor, or a pool, on the holdout rows of `whole`; record who opened it, when, under which rules.

    A pool is scored under the rules that it was fitted under. A second opening for the same factor and data is refused
    by the knowledge base before anything is computed, unless `again` is said; it is recorded as such, and every report
    of the factor shows it.
    """
    subject = _subject(whole, workspace, knowledge, factor)
    settings = subject.settings
    if not again:
        knowledge.require_unopened(subject.content_id, whole.id)
    split, _ = split_of(whole, settings)
    panel = narrowed(whole, settings)
    values = subject.values(panel)
    exposures = None
    checkpoint = gate_path(workspace, data_name)
    if subject.gated and checkpoint.is_file():
        from flows.checkpoint import load_gate

        exposures = load_gate(checkpoint).exposures(panel)
    neutral = settings.backtest.group_neutral
    target = prepare_target(panel, make_spec(settings), groups=group_values(neutral, panel) if neutral else None)
    rng = np.random.default_rng([settings.loop.seed, 1])
    scored = segment_score(values, target, split.holdout, gate=exposures, rng=rng)
    if isinstance(scored, Rejection):
        raise InputError(scored.one_line())
    rules = {**settings.rules(), "gate": exposures is not None, "alphaglow": version("alphaglow")}
    return knowledge.record_holdout(
        subject.content_id, whole.id, scored.to_dict(), opened_by=_who(), rules=rules, again=again
    )


@dataclass(frozen=True)
class _Subject:
    """What sees the holdout: its id, the rules it sees it under, its signal on a panel, and whether it may be gated."""

    content_id: str
    settings: Settings
    values: Callable[[Panel], FloatArray]
    gated: bool


def _subject(whole: Panel, workspace: Workspace, knowledge: KnowledgeBase, what: str) -> _Subject:
    """Return the pool of this name or ``pool:`` id, else the factor of this id."""
    pool = knowledge.find_pool(what)
    if pool is None or not (pool.name == what or what.startswith("pool:")):
        record = knowledge.get_factor(what)
        return _Subject(record.factor_id, workspace.settings, lambda panel: _factor_values(record, panel), True)
    if pool.panel_id != whole.id:
        raise InputError(
            f"the pool {pool.name} was fitted on other data ({pool.panel_id}, not {whole.id})",
            "name the right data with --data",
        )
    # Its own split says which bars its weights have not seen.
    settings = workspace.settings.under(rules_of_pool(pool))
    return _Subject(pool.id, settings, lambda panel: pool_values(pool, panel), pool.spec.gate)


def _factor_values(record: FactorRecord, panel: Panel) -> FloatArray:
    if PREFIX in record.canonical:
        raise InputError(
            f"{record.factor_id} reads what a model predicted, and no model was asked for the bars of the holdout",
            "the holdout stays closed; judge it by validation, predicted out of fold as well",
        )
    expression = parse(record.canonical, fields=_fields(panel), bar=panel.bar)
    if isinstance(expression, Rejection):
        raise InputError(f"{record.factor_id} cannot be read on this data: {expression.one_line()}")
    signal = evaluate(expression, panel)
    fault = check_signal(signal, panel)
    if fault is not None:
        raise InputError(fault.one_line())
    return signal.values


def _who() -> str:
    """Return who is at the keyboard, as far as the system knows."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = "somebody"
    return f"{name} on {platform.node() or 'an unnamed machine'}"


def _fields(panel: Panel) -> tuple[str, ...]:
    return tuple(sorted({*panel.fields, "vwap", "amount", "returns"}))
