"""Opening the holdout: once per factor and data set unless insisted on, recorded before the result is shown."""

from __future__ import annotations

import getpass
import platform
from importlib.metadata import version

import numpy as np

from agent.gating import gate_path
from agent.knowledge.records import HoldoutRecord
from agent.knowledge.store import KnowledgeBase
from agent.study import group_values, make_spec, narrowed, split_of
from agent.workspace import Workspace
from backtest.scorecard import segment_score
from backtest.target import prepare_target
from factors.checks import check_signal
from factors.engine import evaluate
from factors.parse import parse
from market.errors import InputError, Rejection
from market.panel import Panel


def open_holdout(
    whole: Panel, workspace: Workspace, data_name: str, knowledge: KnowledgeBase, factor: str, *, again: bool = False
) -> HoldoutRecord:
    """Score `factor` on the holdout rows of `whole`; record who opened it, when, under which rules, and the result.

    A second opening for the same factor and data is refused by the knowledge base before anything is computed, unless
    `again` is said; it is recorded as such, and every report of the factor shows it.
    """
    settings = workspace.settings
    record = knowledge.get_factor(factor)
    if not again:
        knowledge.require_unopened(record.factor_id, whole.id)
    split, _ = split_of(whole, settings)
    expression = parse(record.canonical, fields=_fields(whole), bar=whole.bar)
    if isinstance(expression, Rejection):
        raise InputError(f"{record.factor_id} cannot be read on this data: {expression.one_line()}")
    panel = narrowed(whole, settings)
    signal = evaluate(expression, panel)
    fault = check_signal(signal, panel)
    if fault is not None:
        raise InputError(fault.one_line())
    exposures = None
    checkpoint = gate_path(workspace, data_name)
    if checkpoint.is_file():
        from flows.checkpoint import load_gate

        exposures = load_gate(checkpoint).exposures(panel)
    neutral = settings.backtest.group_neutral
    target = prepare_target(panel, make_spec(settings), groups=group_values(neutral, panel) if neutral else None)
    rng = np.random.default_rng([settings.loop.seed, 1])
    scored = segment_score(signal.values, target, split.holdout, gate=exposures, rng=rng)
    if isinstance(scored, Rejection):
        raise InputError(scored.one_line())
    rules = {**settings.rules(), "gate": exposures is not None, "alphaglow": version("alphaglow")}
    return knowledge.record_holdout(
        record.factor_id, whole.id, scored.to_dict(), opened_by=_who(), rules=rules, again=again
    )


def _who() -> str:
    """Return who is at the keyboard, as far as the system knows."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = "somebody"
    return f"{name} on {platform.node() or 'an unnamed machine'}"


def _fields(panel: Panel) -> tuple[str, ...]:
    return tuple(sorted({*panel.fields, "vwap", "amount", "returns"}))
