"""What a run's factors say together: how many would pass by luck, and what choosing the best of them is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from agent.knowledge.records import AttemptRecord
from agent.study import Study
from backtest import metrics
from backtest.evidence import Trials, expected_max_sharpe, probabilistic_sharpe
from backtest.luck import Overfitting, block_edges, block_sums, overfitting_of, q_values
from backtest.quick import QuickScorer
from backtest.scorecard import paid_rows
from factors.batch import Engine
from factors.parse import parse
from factors.tree import Expression
from market.errors import InputError, Rejection

DISCOVERY = 0.1


@dataclass(frozen=True)
class FactorLuck:
    """One factor on train: per-bar net Sharpe ratio, its p-value against none, and its q-value among the run's."""

    factor_id: str
    text: str
    sharpe_net: float
    p_value: float
    q_value: float


@dataclass(frozen=True)
class RunLuck:
    """A run's factors together, on train, net of costs and ungated.

    Attributes
    ----------
    tried
        Scored factors of the run; each is weighed.
    expected_best
        Annual Sharpe ratio, before costs, that the best of so many trials without skill is expected to show.
    discoveries
        Factors with a q-value below 0.1.
    chosen
        The probability of overfitting by choosing among them; None for fewer than two.
    factors
        The best first.
    """

    tried: int
    bars: int
    expected_best: float
    discoveries: int
    chosen: Overfitting | None
    factors: tuple[FactorLuck, ...]

    def to_dict(self) -> dict[str, object]:
        """Return plain types."""
        return asdict(self)


def weigh_run(
    attempts: list[AttemptRecord],
    study: Study,
    *,
    threads: int = 2,
    show: Callable[[int, int], None] = lambda _done, _of: None,
) -> RunLuck:
    """Evaluate the scored factors of a run again on train, and weigh them together.

    Raises
    ------
    InputError
        When the run has no scored factor, or train is too short to be cut into blocks.
    """
    scored = {a.factor_id or "": a for a in attempts if a.evaluation is not None and a.canonical}
    if not scored:
        raise InputError("the run has no scored factors", "mine or screen some first")
    train = study.split.train
    target = study.target
    engine = Engine(study.panel, stop=train.stop, threads=threads)
    paid = paid_rows(train)
    bars = paid.stop - paid.start
    edges = block_edges(bars)
    ratios, gross, p_values, sums = [], [], [], []
    expressions = [_read(a, study) for a in scored.values()]
    for outcome in engine.run(expressions, lambda _: QuickScorer(target, engine.rows)):
        assert not isinstance(outcome.result, Rejection), outcome.result
        net = outcome.result.net(train)
        ratios.append(metrics.sharpe(net, 1.0))
        gross.append(metrics.sharpe(outcome.result.gross(train), 1.0))
        shape = (metrics.skewness(net), metrics.kurtosis(net))
        p_values.append(1.0 - probabilistic_sharpe(ratios[-1], 0.0, bars, *shape))
        sums.append(block_sums(np.nan_to_num(net), edges))
        show(len(ratios), len(expressions))
    q = q_values(np.array(p_values))
    year = float(np.sqrt(study.panel.bars_per_year))
    factors = [
        FactorLuck(a.factor_id or "", a.canonical or "", ratios[i] * year, p_values[i], float(q[i]))
        for i, a in enumerate(scored.values())
    ]
    # Luck acts before costs: the spread of net ratios would mostly be one of turnovers.
    known = np.array([ratio for ratio in gross if np.isfinite(ratio)])
    spread = max(float(known.var(ddof=1)) if len(known) > 1 else 0.0, 1.0 / bars)
    return RunLuck(
        tried=len(scored),
        bars=bars,
        expected_best=expected_max_sharpe(Trials(len(scored), spread)) * year,
        discoveries=int(np.sum(q < DISCOVERY)),
        chosen=overfitting_of(sums, edges) if len(sums) > 1 else None,
        factors=tuple(sorted(factors, key=lambda one: -np.nan_to_num(one.sharpe_net, nan=-np.inf))),
    )


def _read(attempt: AttemptRecord, study: Study) -> Expression:
    found = parse(attempt.canonical or "", fields=study.fields, bar=study.panel.bar, dialect="native")
    if isinstance(found, Rejection):
        raise InputError(f"{attempt.factor_id} cannot be read on this data: {found.message}", "name the run's data")
    return found
