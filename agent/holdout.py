"""Opening the holdout: once per factor and data set, recorded before the result is shown."""

from __future__ import annotations

import numpy as np

from agent.gating import gate_path
from agent.knowledge.store import KnowledgeBase
from agent.study import make_spec, split_of
from agent.workspace import Workspace
from backtest.scorecard import segment_score
from factors.checks import check_signal
from factors.engine import evaluate
from factors.parse import parse
from market.errors import InputError, Rejection
from market.panel import Panel


def open_holdout(
    whole: Panel, workspace: Workspace, data_name: str, knowledge: KnowledgeBase, factor: str
) -> dict[str, object]:
    """Score `factor` on the holdout rows of `whole` and record the opening.

    A second opening for the same factor and data is refused by the knowledge base before anything is
    computed. Returns the segment's figures as plain JSON types.
    """
    settings = workspace.settings
    record = knowledge.get_factor(factor)
    knowledge.require_unopened(record.factor_id, whole.id)
    split, _ = split_of(whole, settings)
    expression = parse(record.canonical, fields=_fields(whole), bar=whole.bar)
    if isinstance(expression, Rejection):
        raise InputError(f"{record.factor_id} cannot be read on this data: {expression.one_line()}")
    signal = evaluate(expression, whole)
    fault = check_signal(signal, whole)
    if fault is not None:
        raise InputError(fault.one_line())
    exposures = None
    checkpoint = gate_path(workspace, data_name)
    if checkpoint.is_file():
        from flows.checkpoint import load_gate

        exposures = load_gate(checkpoint).exposures(whole)
    scored = segment_score(
        signal.values,
        whole,
        split.holdout,
        make_spec(settings),
        gate=exposures,
        rng=np.random.default_rng([settings.loop.seed, 1]),
    )
    if isinstance(scored, Rejection):
        raise InputError(scored.one_line())
    result = scored.to_dict()
    knowledge.record_holdout(record.factor_id, whole.id, result)
    return result


def _fields(panel: Panel) -> tuple[str, ...]:
    return tuple(sorted({*panel.fields, "vwap", "amount", "returns"}))
