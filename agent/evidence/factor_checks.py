"""Questions to single factors: look-ahead, a signal that comes a bar late, and the gate among gates at other times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.knowledge.attempt_figures import or_none, or_zero, train_of
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord
from agent.study.study import Study, read_expression
from backtest import metrics
from backtest.ic import rank_ic
from backtest.placebo import shifted_gates
from backtest.rule_words import chosen_rule
from backtest.run import trade
from backtest.scorecard import paid_rows
from backtest.trading_rules import BacktestSpec
from factors.checks import check_truncation
from factors.engine import evaluate
from market.errors import InputError, Rejection
from market.panel import FloatArray

_BEST = 5


@dataclass(frozen=True)
class FactorCheck:
    """A factor audited: truncation, a signal one bar late, and its gate among shifted ones.

    Figures are of train; `gate_beats` is the share of shifted gates of equal exposure with a lower net Sharpe ratio.
    """

    factor_id: str
    text: str
    admitted: bool
    causal: bool
    rank_ic: float
    rank_ic_late: float
    sharpe_net: float
    sharpe_net_late: float
    gate_beats: float | None


def check_factors(study: Study, knowledge: KnowledgeBase, *, gates: int, seed: int) -> list[FactorCheck]:
    """Put every factor that was admitted on this data to the question; where none was, the best that were tried."""
    scored = {a.factor_id: a for a in knowledge.attempts(panel_id=study.dataset) if a.evaluation is not None}
    chosen = [a for a in scored.values() if a.evaluation is not None and a.evaluation.accepted]
    if not chosen:
        known = [a for a in scored.values() if or_none(train_of(a).sharpe_net) is not None]
        chosen = sorted(known, key=lambda a: (-or_zero(train_of(a).sharpe_net), a.id))[:_BEST]
    return [_check(a, study, gates, np.random.default_rng([seed, 3, n])) for n, a in enumerate(chosen)]


def _check(attempt: AttemptRecord, study: Study, gates: int, rng: np.random.Generator) -> FactorCheck:
    expression = read_expression(attempt.canonical or "", study, dialect="native")
    if isinstance(expression, Rejection):
        raise InputError(f"{attempt.factor_id} cannot be read on this data: {expression.one_line()}")
    rows = len(study.panel.times)
    cuts = sorted({int(c) for c in rng.integers(expression.lookback + 1, rows, size=4)} | {rows - 1})
    leak = check_truncation(expression, study.panel, cuts)
    values = evaluate(expression, study.panel).values
    # A signal that comes late is traded by the rule that was chosen when it was not.
    rule = None if attempt.evaluation is None else chosen_rule(attempt.evaluation.scorecard)
    spec = study.spec if rule is None else rule.applied(study.spec)
    late = np.vstack([np.full((1, values.shape[1]), np.nan), values[:-1]])
    (ic, net), (ic_late, net_late) = (_on_train(x, study, spec) for x in (values, late))
    return FactorCheck(
        factor_id=attempt.factor_id or "",
        text=expression.text,
        admitted=attempt.evaluation is not None and attempt.evaluation.accepted,
        causal=leak is None,
        rank_ic=ic,
        rank_ic_late=ic_late,
        sharpe_net=net,
        sharpe_net_late=net_late,
        gate_beats=_gate_beats(_targets(values, study, spec), study, spec, gates, rng),
    )


def _targets(values: FloatArray, study: Study, spec: BacktestSpec) -> FloatArray:
    return study.target.weights(np.where(study.panel.universe, values, np.nan), spec=spec)


def _on_train(values: FloatArray, study: Study, spec: BacktestSpec) -> tuple[float, float]:
    paid, target = paid_rows(study.split.train), study.target
    ic = rank_ic(np.where(study.panel.universe, values, np.nan)[paid], target.forward[paid])
    year = study.panel.bars_per_year
    net = trade(_targets(values, study, spec), target.market, spec, None, bars_per_year=year).net[paid]
    mean = float(np.nanmean(ic)) if np.isfinite(ic).any() else float("nan")
    return mean, metrics.sharpe(net, year)


def _gate_beats(
    targets: FloatArray, study: Study, spec: BacktestSpec, count: int, rng: np.random.Generator
) -> float | None:
    """Return the share of shifted gates, of equal exposure, that the workspace's gate beats on train; None without."""
    if study.exposures is None or count == 0:
        return None
    train, year = study.split.train, study.panel.bars_per_year
    ledger_rows, own, gate = study.target.market.rows(train), targets[train], study.exposures[train]

    def sharpe(exposures: FloatArray) -> float:
        return metrics.sharpe(trade(own, ledger_rows, spec, exposures, bars_per_year=year).net, year)

    mine = sharpe(gate)
    return float(np.mean([mine > sharpe(other) for other in shifted_gates(gate, count, rng)]))
