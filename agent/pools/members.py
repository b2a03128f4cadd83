"""The members of a pool: which factors they are, and each of them ranked and traded by itself."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from agent.knowledge.attempt_figures import passed_on_train, predicts_on_train, train_of, verdict_of
from agent.knowledge.dataset_records import SAME_DATA
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord
from agent.study.blocks import all_blocks
from agent.study.progress import Progress, no_progress
from agent.study.study import Study, read_expression
from backtest.combine import Folds, Members, fold_edges, fold_moments
from backtest.evidence import Trials
from backtest.figures import figures_of
from backtest.ic import forward_returns, horizon_ic, rank_ic_of
from backtest.result_types import Figures
from backtest.rule_grid import TradingRule, rates_for
from backtest.run import trade
from backtest.scorecard import paid_rows
from backtest.slow_payoffs import SlowPayoffs, slow_payoffs
from factors.batch import evaluate_within
from factors.tree import Expression
from market.errors import InputError, Rejection
from market.panel import FloatArray
from market.ranking import Ranked, rank_panel
from market.split import Split

# Words of verdicts, from the best on.
VERDICTS = ("accepted", "promising", "rejected")
_ID = re.compile(r"(factor:)?[0-9a-f]{4,16}")


@dataclass(frozen=True)
class PoolCandidate:
    """A factor that is to be a member; its verdict is the recorded one, or ``not tried``.

    One that was given another verdict since (`alphaglow kb reassess`) has both: "accepted, now rejected".

    `simulated` says that a simulated model wrote it, `other_rules` that it was evaluated under other trading rules than
    the study's.
    """

    expression: Expression
    name: str
    verdict: str
    simulated: bool = False
    other_rules: bool = False


@dataclass(frozen=True, eq=False)
class Traded:
    """A signal traded by itself: (T,) rank IC with the next return, and returns after and before costs, ungated."""

    ic: FloatArray
    net: FloatArray
    gross: FloatArray

    def figures(self, study: Study, trials: Trials, segment: str) -> Figures:
        """Return its figures on ``train`` or ``validation``."""
        paid = paid_rows(getattr(study.split, segment))
        return figures_of(self.ic[paid], self.net[paid], trials, study.panel.bars_per_year)


@dataclass(frozen=True, eq=False)
class MeasuredOne:
    """A factor by itself: its ranks, what it earns when traded, and its (T,) rank IC with the label."""

    ranked: Ranked
    traded: Traded
    ic: FloatArray


# Measures factors of a study in their order; what cannot be evaluated is the error.
Elsewhere = Callable[[Study, Sequence[Expression]], Iterable[MeasuredOne | InputError]]


@dataclass(frozen=True, eq=False)
class MeasuredFactors:
    """What pools are fitted on: candidates with their ranks, and each traded by itself.

    Attributes
    ----------
    horizon
        Bars of the label: as long as a decision is kept.
    ics
        (K, T) rank IC with the label a bar.
    """

    study: Study
    candidates: tuple[PoolCandidate, ...]
    members: Members
    traded: tuple[Traded, ...]
    horizon: int
    ics: FloatArray

    @property
    def rows(self) -> slice:
        """Decisions of train whose label ends within it."""
        return label_rows(self.study.split, self.horizon)

    @property
    def purge(self) -> int:
        """Bars whose label reaches past a border behind them."""
        return self.horizon + 1

    @cached_property
    def edges(self) -> list[int]:
        """Where blocks of train begin, and where the last one ends."""
        return fold_edges(self.rows, purge=self.purge)

    @cached_property
    def folds(self) -> Folds:
        """Moments of the blocks of train; nothing past train enters."""
        return fold_moments(self.members, label_of(self.study, self.horizon), self.edges, purge=self.purge)

    @cached_property
    def _slow(self) -> dict[bool, SlowPayoffs]:
        return {}

    def slow(self, *, scaled: bool) -> SlowPayoffs:
        """Return what members net when they are traded slowly, scaled by volatility or not; computed once."""
        if scaled not in self._slow:
            study = self.study
            spec = replace(study.spec, volatility_scaled=scaled)
            self._slow[scaled] = slow_payoffs(
                self.members,
                study.target.market,
                spec,
                study.panel.bars_per_year,
                part=self.rows,
                rates=sorted({*rates_for(study.panel.bars_per_year), spec.rate}, reverse=True),
                facts=study.target.facts(spec),
            )
        return self._slow[scaled]

    def ic_until(self, stop: int) -> tuple[FloatArray, FloatArray]:
        """Return (K,) mean rank IC with the label on train's bars before `stop`, and its t statistic."""
        series_ics = [horizon_ic(series[self.rows.start : stop], self.horizon) for series in self.ics]
        return np.array([one.mean for one in series_ics]), np.array([one.tstat for one in series_ics])

    @cached_property
    def correlations(self) -> FloatArray:
        """(K, K) correlations of the members' returns before costs on train; NaN for one that never trades."""
        paid = paid_rows(self.study.split.train)
        returns = np.stack([np.nan_to_num(one.gross[paid]) for one in self.traded])
        gap = returns - returns.mean(axis=1, keepdims=True)
        length = np.sqrt((gap**2).sum(axis=1))
        with np.errstate(all="ignore"):
            unit = np.where(length[:, None] > 1e-15, gap / length[:, None], np.nan)
        return np.asarray(np.clip(unit @ unit.T, -1.0, 1.0), dtype=np.float64)


def label_horizon(study: Study) -> int:
    """Return how many bars a decision is kept: the longer of overlapping portfolios and bars between rebalancing."""
    return max(study.spec.holding, study.spec.rebalance)


def label_rows(split: Split, horizon: int) -> slice:
    """Return the decisions of train whose label is paid by its last bar: one at t is paid at t + 1 + horizon."""
    return slice(split.train.start, max(split.train.stop - 1 - horizon, split.train.start))


def label_of(study: Study, horizon: int) -> FloatArray:
    """Return (T, N) what a decision earns between its fills, `horizon` bars apart, before costs."""
    target = study.target
    return target.forward if horizon == 1 else forward_returns(target.panel, horizon, study.spec.fill)


def choose_members(
    study: Study,
    knowledge: KnowledgeBase,
    *,
    factors: Sequence[str] = (),
    verdicts: Sequence[str] = ("accepted",),
    most: int | None = None,
) -> tuple[PoolCandidate, ...]:
    """Return the named factors or, if none is named, those of the panel with one of these verdicts.

    `most` keeps those that earned most on train, net of costs.

    Raises
    ------
    InputError
        When there is none, one is named twice, or one cannot be read on this data.
    """
    if factors:
        found = [read_candidate(text, study, knowledge) for text in factors]
        known: set[str] = set()
        for candidate in found:
            if candidate.expression.id in known:
                raise InputError(f"{candidate.expression.text} is named twice", "name each factor once")
            known.add(candidate.expression.id)
        return in_order(found if most is None else found[:most])
    attempts = sorted(knowledge.factors_with_verdict(study.dataset, verdicts), key=lambda a: -_earned(a))
    if not attempts:
        raise InputError(
            f"no factor is {' or '.join(verdicts)} on this data: there is nothing to combine. "
            f"{what_there_is(study, knowledge)}",
            "mine or screen some, name some (--factors TEXT), or bring published ones (--file FILE)"
            if "rejected" in verdicts
            else "say --members promising or --members scored, name some (--factors TEXT), or bring published ones "
            "(--file FILE); the pool says so",
        )
    kept = attempts if most is None else attempts[:most]
    return in_order([_stored(a, study, knowledge) for a in kept])


def what_there_is(study: Study, knowledge: KnowledgeBase) -> str:
    """Say what could be pooled of what was scored on the data, and on what evidence."""
    scored = knowledge.factors_with_verdict(study.dataset, VERDICTS)
    if not scored:
        return "Nothing was scored in full on it yet"
    words = [verdict_of(a) for a in scored]
    pays, nets = sum(map(predicts_on_train, scored)), sum(map(passed_on_train, scored))
    return (
        f"Of {len(scored)} factors that were scored in full, {words.count('accepted')} are accepted and "
        f"{words.count('promising')} promising (they predict, costs eat it); by train alone {pays} predict, and {nets} "
        "of those net something"
    )


def in_order(candidates: Sequence[PoolCandidate]) -> tuple[PoolCandidate, ...]:
    """Return candidates by their text: in whatever order they are named, they are the same pool."""
    return tuple(sorted(candidates, key=lambda c: c.expression.text))


def read_candidate(text: str, study: Study, knowledge: KnowledgeBase) -> PoolCandidate:
    """Return the factor meant by an id of the knowledge base, or by an expression; neither is an `InputError`."""
    if _ID.fullmatch(text.strip()):
        return _stored(knowledge.get_factor(text.strip(), panel_id=study.dataset).attempt, study, knowledge)
    expression = read_expression(text, study, blocks=all_blocks(knowledge, study.dataset, study.fields))
    if isinstance(expression, Rejection):
        raise InputError(expression.message, expression.hint)
    twin = knowledge.scored_twin(expression, panel_id=study.dataset, ranks_alike=False, covered=SAME_DATA)
    return PoolCandidate(expression, "", "not tried") if twin is None else _known(expression, twin, study, knowledge)


def _stored(attempt: AttemptRecord, study: Study, knowledge: KnowledgeBase) -> PoolCandidate:
    expression = read_expression(attempt.canonical or attempt.text, study, dialect="native")
    if isinstance(expression, Rejection):
        raise InputError(f"{attempt.factor_id} cannot be read on this data: {expression.one_line()}")
    return _known(expression, attempt, study, knowledge)


def _known(expression: Expression, attempt: AttemptRecord, study: Study, knowledge: KnowledgeBase) -> PoolCandidate:
    simulated = knowledge.get_run(attempt.run_id).simulated
    if attempt.evaluation is None:
        return PoolCandidate(expression, attempt.name, "not scored", simulated, other_rules=False)
    card, spec = attempt.evaluation.scorecard, study.spec
    scored_under = (card.weighting, card.holding, card.cost_bp, card.fill, card.rebalance)
    now = (spec.weighting, spec.holding, spec.costs.per_trade * 1e4, spec.fill, spec.rebalance)
    # The first scorecards did not say.
    other = bool(card.weighting) and scored_under != now
    verdict: str = attempt.evaluation.evidence.verdict
    later = knowledge.later_verdicts().get(attempt.id)
    return PoolCandidate(
        expression, attempt.name, verdict if later is None else later.beside(verdict), simulated, other
    )


def _earned(attempt: AttemptRecord) -> float:
    value = train_of(attempt).per_bar_sharpe_net
    return value if math.isfinite(value) else -1e9


def measure_members(
    candidates: Sequence[PoolCandidate],
    study: Study,
    show: Progress = no_progress,
    *,
    left_out: list[str] | None = None,
    elsewhere: Elsewhere | None = None,
) -> MeasuredFactors:
    """Evaluate, rank and trade each candidate by itself; nothing is recorded.

    With `left_out`, a candidate that cannot be evaluated is left out, and why is added to it. `elsewhere` measures them
    in the place of this process, such as on a cluster.

    Raises
    ------
    InputError
        When one cannot be evaluated, none can, members do not overlap in time, the universe is too small to rank, or
        the rules evaluate assets one by one.
    """
    if not study.spec.is_cross_sectional:
        raise InputError(
            "a pool ranks assets against one another, but the rules size each alone (timeseries)",
            "use another weighting in alphaglow.toml [backtest]",
        )
    horizon = label_horizon(study)
    members = Members.empty(len(candidates), study.panel.shape)
    kept: list[PoolCandidate] = []
    traded, ics = [], []
    measured = (elsewhere or _measured_here)(study, [candidate.expression for candidate in candidates])
    for number, (candidate, found) in enumerate(zip(candidates, measured, strict=True)):
        show("members", number, len(candidates))
        if isinstance(found, InputError):
            if left_out is None:
                raise found
            left_out.append(f"{candidate.name or candidate.expression.text}: {found.message}")
            continue
        members.put(len(kept), found.ranked)
        kept.append(candidate)
        traded.append(found.traded)
        ics.append(found.ic)
    show("members", len(candidates), len(candidates))
    if not kept:
        raise InputError("no member can be evaluated on this data", (left_out or [""])[0])
    members = Members(members.ranks[: len(kept)], members.counts[: len(kept)])
    require_overlap(kept, members, study)
    return MeasuredFactors(study, tuple(kept), members, tuple(traded), horizon, np.stack(ics))


def label_ranks(study: Study) -> Ranked:
    """Return the ranks of the label that members are weighted by."""
    horizon = label_horizon(study)
    return study.target.ranked if horizon == 1 else rank_panel(label_of(study, horizon))


def measure_one(expression: Expression, study: Study, labels: Ranked) -> MeasuredOne | InputError:
    """Evaluate, rank and trade one factor by itself; `labels` are those of `label_ranks`."""
    try:
        signal, ranked = ranked_signal(expression, study)
    except InputError as error:
        return error
    one = trade_alone(signal, ranked, study)
    return MeasuredOne(ranked, one, one.ic if label_horizon(study) == 1 else rank_ic_of(ranked, labels))


def _measured_here(study: Study, expressions: Sequence[Expression]) -> Iterator[MeasuredOne | InputError]:
    labels = label_ranks(study)
    for expression in expressions:
        yield measure_one(expression, study, labels)


def require_overlap(candidates: Sequence[PoolCandidate], members: Members, study: Study) -> None:
    """Refuse, as an `InputError`, members of which no bar of train knows half: they have nothing to combine."""
    known = members.counts[:, study.split.train] > 1
    if 2 * int(known.sum(axis=0).max(initial=0)) >= len(candidates):
        return
    times = study.panel.times[study.split.train]
    spans = [np.flatnonzero(one) for one in known]
    said = [
        f"{candidate.expression.text} has none"
        if not len(rows)
        else f"{candidate.expression.text} from {str(times[rows[0]])[:10]} to {str(times[rows[-1]])[:10]}"
        for candidate, rows in zip(candidates, spans, strict=True)
    ]
    raise InputError(
        f"members do not overlap in time: on no bar of train do half of them have values ({'; '.join(said[:4])})",
        "combine factors of the same years",
    )


def ranked_signal(expression: Expression, study: Study) -> tuple[FloatArray, Ranked]:
    """Return (T, N) values of a factor within the universe, and their ranks; what cannot be had is an `InputError`."""
    signal = evaluate_within(expression, study.panel, seconds=study.max_seconds, gigabytes=study.max_gigabytes)
    if isinstance(signal, Rejection):
        raise InputError(f"{expression.text}: {signal.message}", signal.hint)
    values = np.where(study.panel.universe, signal.values, np.nan)
    return values, rank_panel(values)


def trade_alone(values: FloatArray, ranked: Ranked, study: Study) -> Traded:
    """Trade a signal (T, N) under the study's rules, without the gate."""
    target = study.target
    result = trade(
        target.weights(values, ranked.ranks), target.market, study.spec, None, bars_per_year=study.panel.bars_per_year
    )
    return Traded(rank_ic_of(ranked, target.ranked), result.net, result.gross)


def trade_values(values: FloatArray, study: Study) -> Traded:
    """Trade a signal (T, N), within the universe, under the study's rules, without the gate."""
    signal = np.where(study.panel.universe, values, np.nan)
    return trade_alone(signal, rank_panel(signal), study)


def under_rule(study: Study, rule: TradingRule | None) -> Study:
    """Return the study with a trading rule in place of its own; what is prepared of its market is shared."""
    if rule is None or rule == TradingRule.of(study.spec):
        return study
    spec = rule.applied(study.spec)
    found = replace(study, spec=spec)
    # A rule of the grid changes neither fills nor costs, which are all that a target is prepared for.
    found.__dict__["target"] = replace(study.target, spec=spec)
    return found
