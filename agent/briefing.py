"""What the writer is told at the start of a round, drawn from the knowledge base.

Train figures are shown in full; of validation only the verdict's word. Nothing else is available here:
the study's panel ends with validation and the knowledge base keeps holdout results in a table that this
module does not read.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.blocks import accepted_blocks
from agent.briefs import Brief, Example
from agent.knowledge.records import AttemptRecord, RunRecord
from agent.knowledge.store import KnowledgeBase
from agent.lessons import train_figure
from agent.search import plan_tasks
from agent.settings import LoopSettings
from agent.study import Study
from agent.told import told
from factors.table import prompt_table
from market.panel import Panel

SHOWN_SUCCESSES = 6
SHOWN_FAILURES = 6
SHOWN_BLOCKS = 10
_NAMED_ASSETS = 40
_FIGURES = (
    "rank_ic",
    "ic_ir",
    "ic_tstat",
    "sharpe_gross",
    "sharpe_net",
    "sharpe_gated",
    "turnover",
    "max_drawdown",
    "annual_return_net",
)
GOAL = (
    "Find a factor whose higher values come before higher returns of the next bars, after costs, "
    "and that is not a variation of what is already known."
)


def write_brief(study: Study, knowledge: KnowledgeBase, run: RunRecord, number: int) -> Brief:
    """Return the brief of round `number`: a function of the knowledge base as it is now."""
    attempts = knowledge.attempts(panel_id=study.dataset)
    loop = LoopSettings.model_validate(run.config.get("loop", {}))
    told = attempts if loop.memory else []
    lessons = knowledge.lessons(panel_id=study.dataset, limit=10) if loop.memory and loop.lessons else []
    rng = np.random.default_rng([run.seed, number, 11])
    return Brief(
        round=number,
        goal=GOAL,
        fields=study.fields,
        operators=prompt_table(study.max_lookback),
        successes=tuple(_example(a) for a in _successes(told)),
        failures=tuple(_example(a) for a in _failures(told)),
        lessons=tuple(dict.fromkeys(lesson.text for lesson in lessons)),
        market=describe_market(study),
        blocks=dict(list(accepted_blocks(told, study.fields).items())[-2 * SHOWN_BLOCKS :]),
        known=knowledge.index_factors(),
        attempts_until=max((attempt.id for attempt in attempts), default=0),
        tasks=plan_tasks(told, study.fields, loop.candidates, rng) if loop.search else (),
    )


def describe_market(study: Study) -> str:
    """Return the market in one paragraph, without a word about bars after validation."""
    panel, spec = study.panel, study.spec
    minutes = float(panel.bar / np.timedelta64(1, "m"))
    bar = f"{minutes:g} minutes" if minutes < 1440 else f"{minutes / 1440:g} days"
    return (
        f"{panel.shape[1]} assets, bars of {bar}, {panel.bars_per_year:g} bars a year. "
        f"Positions: {spec.weighting} weights, targets averaged over {spec.holding} bars; a signal at the close of a "
        f"bar trades at the next {spec.fill}"
        + ("" if spec.rebalance == 1 else f", every {spec.rebalance} bars")
        + f". Costs: {spec.costs.per_trade * 1e4:g} bp of traded notional. "
        f"Look-back of a factor: at most {study.max_lookback} bars." + ("" if study.blind else _named(panel))
    )


def _named(panel: Panel) -> str:
    """Say what a blinded prompt hides: names and dates, which a model may remember the fate of."""
    shown = ", ".join(told(name) for name in panel.assets[:_NAMED_ASSETS]) + (
        ", ..." if len(panel.assets) > _NAMED_ASSETS else ""
    )
    return f" Assets: {shown}. From {str(panel.times[0])[:10]} to {str(panel.times[-1])[:10]}."


def _score(attempt: AttemptRecord) -> float:
    gated = train_figure(attempt, "sharpe_gated")
    return gated if gated is not None else train_figure(attempt, "sharpe_net") or -np.inf


def _predicts(attempt: AttemptRecord) -> bool:
    """Whether it predicts the right way on train: by rank IC, or where there is no cross-section by gross Sharpe."""
    ic = train_figure(attempt, "rank_ic")
    return (ic if ic is not None else train_figure(attempt, "sharpe_gross") or 0.0) > 0


def _successes(attempts: Sequence[AttemptRecord]) -> list[AttemptRecord]:
    """Return the best factors by train net Sharpe among those that predict the right way on train."""
    good = [a for a in attempts if _predicts(a)]
    ranked = sorted(good, key=lambda a: (-_score(a), a.id))
    # Factors that rank assets alike (a sum for a mean, a rank of a rank) would crowd out everything else.
    distinct = {(train_figure(a, "rank_ic"), train_figure(a, "turnover")): a for a in reversed(ranked)}
    return [a for a in ranked if distinct[train_figure(a, "rank_ic"), train_figure(a, "turnover")] is a][
        :SHOWN_SUCCESSES
    ]


def _failures(attempts: Sequence[AttemptRecord]) -> list[AttemptRecord]:
    """Return the newest refusals and the newest worst factors, half and half."""
    refused = [a for a in attempts if a.evaluation is None and a.stage != "novelty"]
    worst = [a for a in attempts if train_figure(a, "rank_ic") is not None and _score(a) < 0]
    half = SHOWN_FAILURES // 2
    newest = sorted(refused, key=lambda a: -a.id)[:half]
    return newest + sorted(worst, key=lambda a: (_score(a), a.id))[: SHOWN_FAILURES - len(newest)]


def _example(attempt: AttemptRecord) -> Example:
    metrics = {name: round(value, 5) for name in _FIGURES if (value := train_figure(attempt, name)) is not None}
    if attempt.evaluation is None:
        verdict, reason = attempt.stage, (attempt.message or "").strip()
    else:
        verdict = str(attempt.evaluation.evidence.get("verdict", ""))
        reasons = attempt.evaluation.evidence.get("reasons", ())
        reason = "; ".join(str(item) for item in reasons) if isinstance(reasons, (list, tuple)) else ""
    return Example(
        text=attempt.canonical or attempt.text, name=attempt.name, metrics=metrics, verdict=verdict, reason=reason[:400]
    )
