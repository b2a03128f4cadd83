"""What a run's factors say together: how many would pass by luck, and what choosing the best of them is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from agent.knowledge.records import AttemptRecord, RunRecord
from agent.mining.screening import require_cross_section
from agent.study.opening import Note, RecordedRules, no_note, open_data
from agent.study.study import Study
from agent.study.workspace import Workspace
from backtest import metrics
from backtest.evidence import Trials, expected_max_sharpe
from backtest.luck import BlockSums, Overfitting, block_edges, block_sums, fingerprint_of, overfitting, q_values
from backtest.max_test import LargestScores, draw_seed, step_down_p
from backtest.mean_test import one_sided_p
from backtest.quick import QuickScorer
from backtest.rule_test import chosen_score
from backtest.rule_words import chosen_rule
from backtest.scorecard import paid_rows
from backtest.selection import Superior, choose_combined, choose_forward, superior_ability
from factors.batch import Engine
from factors.parse import parse
from factors.tree import Expression
from market.errors import InputError, Rejection
from market.panel import FloatArray
from market.split import combinatorial_purged, walk_forward

DISCOVERY = 0.1
_FOLDS, _GROUPS = 8, 10
# A bootstrap of more would take minutes.
_MOST_TESTED = 300


@dataclass(frozen=True)
class FactorLuck:
    """One factor on train: annual net Sharpe ratio, scores of both tests, p-value of what it earns, and its q-value."""

    factor_id: str
    text: str
    sharpe_net: float
    p_value: float
    q_value: float
    predicts_z: float
    earns_z: float


@dataclass(frozen=True)
class OverallTest:
    """One of both tests over a run's factors, on train.

    Attributes
    ----------
    tested
        Factors that have a score.
    alone, by_luck
        How many pass as if each were the only one, and how many of `tested` would without skill.
    passed
        How many pass among all of the run, with family-wise error (StepM).
    largest, hurdle
        The largest score, and what the largest of as many without skill exceeds at that level.
    """

    test: str
    level: float
    tested: int
    alone: int
    by_luck: float
    passed: int
    largest: float
    hurdle: float

    def sentence(self) -> str:
        """Say it in one line."""
        return (
            f"{self.test}: {self.alone} of {self.tested} pass alone, and {self.by_luck:.1f} would by luck; among all, "
            f"{self.passed} pass. The largest score is {self.largest:.2f}, and the largest of as many without skill "
            f"exceeds {self.hurdle:.2f} in {self.level:.0%} of cases"
        )


@dataclass(frozen=True)
class RunLuck:
    """A run's factors together, on train, net of costs and ungated.

    Attributes
    ----------
    tried
        Scored factors of the run; each is evaluated.
    expected_best
        Annual Sharpe ratio, before costs, that the best of this many trials without skill is expected to show.
    tests
        Both tests of the admission policy over the run's factors.
    discoveries
        Factors with a q-value below 0.1.
    chosen
        The probability of overfitting by choosing among them; None for fewer than two.
    forward
        Annual net Sharpe ratio of choosing the best on the past, eight times on the second half of train.
    paths
        Annual net Sharpe ratios of choosing the best in a combinatorial purged cross-validation, sorted.
    superior
        Tests of superior predictive ability, over all factors or, where those are more than 300, the accepted ones;
        None where there are none, or `arch` is not installed.
    tested, ids
        Factors in that test; and ids of all, which the numbers in `superior` count.
    factors
        The best first.
    """

    tried: int
    bars: int
    expected_best: float
    tests: tuple[OverallTest, ...]
    discoveries: int
    chosen: Overfitting | None
    forward: float | None
    paths: tuple[float, ...]
    superior: Superior | None
    tested: int
    ids: tuple[str, ...]
    factors: tuple[FactorLuck, ...]

    def to_dict(self) -> dict[str, object]:
        """Return plain types."""
        return asdict(self)


def open_for_luck(workspace: Workspace, run: RunRecord, note: Note = no_note) -> Study:
    """Open what a run worked on, under its recorded rules and without a gate: its factors are evaluated together.

    Raises
    ------
    InputError
        Where the data are gone, or have no cross-section.
    """
    study = open_data(workspace, None, RecordedRules.of_run(run, strict=False), gate=False, note=note).study
    require_cross_section(study)
    return study


def evaluate_run(
    attempts: list[AttemptRecord],
    study: Study,
    *,
    threads: int = 2,
    show: Callable[[int, int], None] = lambda _done, _of: None,
) -> RunLuck:
    """Evaluate the scored factors of a run again on train, and evaluate them together.

    Beside the figures, returns of all factors are kept in 32 bits: four bytes a bar and factor.

    Raises
    ------
    InputError
        When the run has no scored factor, or train is too short to be cut into blocks.
    """
    scored = {a.factor_id or "": a for a in attempts if a.evaluation is not None and a.canonical}
    if not scored:
        raise InputError("the run has no scored factors", "mine or screen some first")
    measured = _measure(list(scored.values()), study, threads, show)
    bars, nets = measured.nets.shape[0], measured.nets
    q = q_values(np.array(measured.p_values))
    year = float(np.sqrt(study.panel.bars_per_year))
    factors = [
        FactorLuck(id_, a.canonical or "", ratio * year, p, float(own_q), *scores)
        for (id_, a), ratio, p, own_q, scores in zip(
            scored.items(), measured.ratios, measured.p_values, q, measured.scores, strict=True
        )
    ]
    # Luck acts before costs: the spread of net ratios would mostly be one of turnovers.
    known = np.array([ratio for ratio in measured.gross if np.isfinite(ratio)])
    spread = max(float(known.var(ddof=1)) if len(known) > 1 else 0.0, 1.0 / bars)
    forward, paths = _choices(nets, study, year)
    superior, tested = _superior(
        nets, [a.evaluation is not None and a.evaluation.accepted for a in scored.values()], study
    )
    return RunLuck(
        tried=len(scored),
        bars=bars,
        expected_best=expected_max_sharpe(Trials(len(scored), spread)) * year,
        tests=_tests(measured, study),
        discoveries=int(np.sum(q < DISCOVERY)),
        chosen=overfitting(measured.sums, block_edges(bars)) if len(measured.sums) > 1 else None,
        forward=forward,
        paths=paths,
        superior=superior,
        tested=tested,
        ids=tuple(scored),
        factors=tuple(sorted(factors, key=lambda one: -np.nan_to_num(one.sharpe_net, nan=-np.inf))),
    )


@dataclass(frozen=True, eq=False)
class _Measured:
    """Factors on train, in order: Sharpe ratios a bar, net and gross, p-values, (bars, F) net returns, block sums.

    Then scores of what each pays and of what it nets, and fingerprints of gross returns.
    """

    ratios: list[float]
    gross: list[float]
    p_values: list[float]
    nets: NDArray[np.float32]
    sums: list[BlockSums]
    scores: list[tuple[float, float]] = field(default_factory=list)
    fingerprints: list[FloatArray] = field(default_factory=list)


def _tests(measured: _Measured, study: Study) -> tuple[OverallTest, ...]:
    """Return both tests over all factors, by draws of the largest score among them."""
    level, seed, found = study.policy.level, draw_seed(study.dataset), []
    largest = LargestScores(seed)
    largest.add(measured.fingerprints)
    for test, scores in zip(("predicts", "earns"), np.array(measured.scores).T, strict=True):
        known = np.isfinite(scores)
        passed = step_down_p(scores, measured.fingerprints, level=level, seed=seed) <= level
        found.append(
            OverallTest(
                test=test,
                level=level,
                tested=int(known.sum()),
                alone=int((ndtr(-scores[known]) <= level).sum()),
                by_luck=float(known.sum() * level),
                passed=int(passed.sum()),
                largest=float(scores[known].max()) if known.any() else float("nan"),
                hurdle=largest.hurdle(level),
            )
        )
    return tuple(found)


def _measure(attempts: list[AttemptRecord], study: Study, threads: int, show: Callable[[int, int], None]) -> _Measured:
    """Evaluate and quick-score factors on train, each under its own trading rule, where it has one."""
    train, target = study.split.train, study.target
    cards = {a.factor_id: a.evaluation.scorecard for a in attempts if a.evaluation is not None}

    def scorer(expression: Expression) -> QuickScorer:
        rule = chosen_rule(cards[expression.id]) if expression.id in cards else None
        under = target if rule is None else replace(target, spec=rule.applied(target.spec))
        return QuickScorer(under, engine.rows)

    engine = Engine(study.panel, stop=train.stop, threads=threads)
    paid = paid_rows(train)
    bars = paid.stop - paid.start
    edges = block_edges(bars)
    expressions = [_read(a, study) for a in attempts]
    found = _Measured([], [], [], np.empty((bars, len(attempts)), dtype=np.float32), [])
    for outcome in engine.run(expressions, scorer):
        if isinstance(outcome.result, Rejection):
            why = outcome.result.one_line()
            raise InputError(f"{outcome.expression.id} cannot be evaluated again: {why}", "the machine may be busy")
        net = outcome.result.net(train)
        found.ratios.append(metrics.sharpe(net, 1.0))
        found.gross.append(metrics.sharpe(outcome.result.gross(train), 1.0))
        quick = outcome.result.result(train)
        # How alike the rules are is not measured again: the choice counts as one among independent ones.
        tried = len(cards[outcome.expression.id].rules) if outcome.expression.id in cards else 0
        net_z = quick.net_z if tried == 0 else chosen_score(quick.net_z, np.eye(tried))
        found.scores.append((quick.payoff_z, net_z))
        found.fingerprints.append(fingerprint_of(outcome.result.gross(train)))
        found.p_values.append(one_sided_p(net_z))
        found.nets[:, len(found.sums)] = np.nan_to_num(net)
        found.sums.append(block_sums(np.nan_to_num(net), edges))
        show(len(found.ratios), len(expressions))
    return found


def _choices(nets: NDArray[np.float32], study: Study, year: float) -> tuple[float | None, tuple[float, ...]]:
    """Return what choosing the best earns, walking forward and on the paths of a cross-validation, a year."""
    bars, factors = nets.shape
    # A return is paid two bars after its decision, and a portfolio is kept for `holding` of them.
    purge = 2 + study.spec.holding
    if factors < 2 or bars < 10 * _GROUPS * purge:
        return None, ()
    out = choose_forward(nets, walk_forward(bars, folds=_FOLDS, embargo=purge)).returns
    paths = choose_combined(nets, combinatorial_purged(bars, groups=_GROUPS, tests=2, purge=purge))
    return metrics.sharpe(out, 1.0) * year, tuple(sorted(float(p) * year for p in paths))


def _superior(nets: NDArray[np.float32], accepted: list[bool], study: Study) -> tuple[Superior | None, int]:
    """Test all factors, or the accepted ones where all are too many to resample."""
    which = np.flatnonzero(accepted) if nets.shape[1] > _MOST_TESTED else np.arange(nets.shape[1])
    moving = which[nets[:, which].std(axis=0) > 0] if len(which) else which
    if len(moving) == 0 or find_spec("arch") is None:
        return None, len(moving)
    found = superior_ability(nets[:, moving], seed=study.seed)
    return replace(found, superior=tuple(int(moving[k]) for k in found.superior)), len(moving)


def _read(attempt: AttemptRecord, study: Study) -> Expression:
    found = parse(attempt.canonical or "", fields=study.fields, bar=study.panel.bar, dialect="native")
    if isinstance(found, Rejection):
        raise InputError(f"{attempt.factor_id} cannot be read on this data: {found.message}", "name the run's data")
    return found
