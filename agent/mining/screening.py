"""Screening: many expressions at once, each quick-scored on train, and the best of them scored in full.

What fails its quick score never gets a scorecard, but it is an attempt like any other: it is recorded with its figures
and counted as a trial. Attempts are written as they come, so a stopped screening goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agent.cluster.local_scorers import DeviceScorer, ThreadScorer
from agent.cluster.quick_work import QuickWork, Scored, Scorer
from agent.cluster.stretch_scorer import StretchScorer, StretchWork
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import NewAttempt, NewEvaluation, RunRecord
from agent.knowledge.score_documents import Document, read_strings
from agent.knowledge.tables.effective_trials import SAME_RETURNS
from agent.mining.forecast import repeated
from agent.mining.outer_loop import Outcome
from agent.study.copies import refused_copy
from agent.study.large_scorecards import read_into_memory, refused_scorecards
from agent.study.scoring import attempt_of, evaluate_expression
from agent.study.study import Scoring, Study, read_expression
from backtest.policy import Policy, TrainFigures, train_gates
from backtest.quick import QuickScore
from backtest.result_types import Evidence, Scorecard
from backtest.run import too_few_assets
from backtest.scorecard import unscored_segment
from factors.drawing import Drawer
from factors.measure import measure
from factors.stretch_pass import PassLimits
from factors.tree import Expression
from market.errors import InputError, Rejection
from market.panel import FloatArray
from market.panel_on_disk import PanelOnDisk
from market.split import Split

_WRITE_EVERY = 100
ROUND = 1


@dataclass(frozen=True, eq=False)
class Screening:
    """What a screening works with.

    Attributes
    ----------
    texts
        The expressions, in the order that gives them their slots.
    keep
        How many of those that pass are scored in full.
    stop
        Asked between expressions whether to stop.
    show
        Called with how many are done.
    device
        Where quick scores are computed, as torch names it; None is the engine on processors.
    say
        Called with a sentence for people.
    scorer
        Who computes them instead of threads or a device, such as a cluster; the answers are the same. On data that are
        stored by field it is a `StretchScorer`, and scorecards are made where its memory has room for them.
    """

    study: Study
    knowledge: KnowledgeBase
    run: RunRecord
    texts: Sequence[str]
    keep: int = 20
    threads: int = 1
    stop: Callable[[], bool] = lambda: False
    show: Callable[[str, int, int], None] = lambda _what, _done, _of: None
    device: str | None = None
    say: Callable[[str], None] = lambda _sentence: None
    scorer: Scorer | StretchScorer | None = None


@dataclass(frozen=True)
class _Passed:
    slot: int
    expression: Expression
    quick: QuickScore
    returns_fingerprint: FloatArray


def require_cross_section(study: Study) -> None:
    """Refuse, as an `InputError`, to rank too few assets against one another."""
    refused = too_few_assets(study.spec, study.panel.shape[1])
    if refused is not None:
        raise InputError(refused.message, refused.hint)


def draw_texts(study: Study, count: int, seed: int) -> list[str]:
    """Return canonical texts of distinct random expressions whose look-back the split allows."""
    rng = np.random.default_rng(seed)
    fields = tuple(name for name in study.fields if name not in ("sector", "industry", "subindustry"))
    drawer = Drawer(rng, fields=fields, longest=max(5, min(60, study.max_lookback // 3)))
    found: dict[str, None] = {}
    while len(found) < count:
        text = drawer.expression_text(int(rng.integers(3, 6)))
        expression = read_expression(text, study, dialect="native")
        if isinstance(expression, Expression) and measure(expression.root).size >= 4:
            found[text] = None
    return list(found)


def listed(knowledge: KnowledgeBase, run_id: str, texts: Callable[[], Sequence[str]]) -> Sequence[str]:
    """Return the expressions of a screening as they are stored with its run; those of a new one are stored first."""
    return knowledge.start_round(run_id, ROUND, lambda: {"texts": list(texts())}, _texts).brief


def _texts(stored: Document) -> tuple[str, ...]:
    return read_strings(stored["texts"])


def run_screening(screening: Screening) -> Outcome:
    """Screen every expression that is not recorded yet; safe to call again after a stop or a crash."""
    screening.knowledge.set_run_status(screening.run.id, "running")
    # The list is stored with the run: it need not be at hand to go on.
    listed(screening.knowledge, screening.run.id, lambda: screening.texts)
    try:
        passed = _quick(screening)
        outcome: Outcome = "interrupted" if passed is None else _full(screening, passed)
        if outcome == "finished":
            screening.knowledge.finish_round(screening.run.id, ROUND, [])
    except BaseException:
        screening.knowledge.set_run_status(screening.run.id, "interrupted")
        raise
    screening.knowledge.set_run_status(screening.run.id, outcome)
    return outcome


def _quick(screening: Screening) -> list[_Passed] | None:
    """Quick-score what is not recorded; record what fails, return what passes, or None when stopped."""
    knowledge = screening.knowledge
    passed: list[_Passed] = []
    unwritten: list[NewAttempt] = []
    slots: list[tuple[int, str]] = []

    def readable() -> Iterator[Expression]:
        seen: set[str] = set()
        for slot, text in enumerate(screening.texts):
            if slot in done or screening.stop():
                continue
            result = _read(screening, text, seen)
            if isinstance(result, Rejection):
                unwritten.append(_attempt(screening, slot, text, None, result))
            else:
                slots.append((slot, text))
                yield result

    copies = _Copies(screening)
    done = knowledge.slots(screening.run.id, ROUND)
    finished = len(done)
    for expression, result in _scores(screening, readable()):
        slot, text = slots.pop(0)
        finished += 1
        screening.show("quick scores", finished, len(screening.texts))
        if isinstance(result, Rejection):
            unwritten.append(_attempt(screening, slot, text, expression, result))
            continue
        one = _Passed(slot, expression, result.quick, result.fingerprint)
        failed = _failed(screening, copies, one)
        if failed is None:
            passed.append(one)
        else:
            unwritten.append(failed)
        if len(unwritten) >= _WRITE_EVERY:
            knowledge.record_attempts(unwritten)
            unwritten.clear()
    knowledge.record_attempts(unwritten)
    return None if screening.stop() else passed


def _failed(screening: Screening, copies: _Copies, one: _Passed) -> NewAttempt | None:
    """Return the attempt of a factor that goes no further than its quick score, or None."""
    copy = copies.refuse(one)
    if copy is not None:
        return _attempt(screening, one.slot, screening.texts[one.slot], one.expression, copy)
    study = screening.study
    later = study.exposures is not None or study.grid is not None
    reason = failure(one.quick, study.policy, gated=later)
    return None if reason is None else _screened(screening, one, reason)


def quick_work(study: Study) -> QuickWork:
    """Return the quick scores of a study on train, as work for a scorer."""
    return QuickWork(study.panel, study.target, study.split.train, study.max_seconds, study.max_gigabytes)


def local_scorer(screening: Screening) -> Scorer:
    """Return who scores on this machine."""
    if screening.device is None:
        return ThreadScorer(screening.threads)
    return DeviceScorer(screening.device, screening.threads, screening.say)


def _scores(screening: Screening, expressions: Iterable[Expression]) -> Iterator[Scored]:
    """Score expressions in their order, on data in memory or on disk."""
    study, scorer = screening.study, screening.scorer
    if isinstance(scorer, StretchScorer):
        yield from scorer.run(expressions, stretch_work(study, scorer.memory_gb), screening.stop)
    else:
        yield from (scorer or local_scorer(screening)).run(expressions, quick_work(study), screening.stop)


def stretch_work(study: Study, memory_gb: float) -> StretchWork:
    """Return the quick scores of a study of data on disk, on train, as work for a scorer within a memory."""
    if not isinstance(study.panel, PanelOnDisk) or study.group_neutral:
        raise InputError(
            "data that are stored by field are not scored within groups",
            'set group_neutral = "" in alphaglow.toml [backtest], or import data that fit into memory',
        )
    # Values are never there as a whole: what an expression needs is its state.
    limits = PassLimits(study.max_seconds, min(study.max_gigabytes, memory_gb))
    return StretchWork(study.panel, study.spec, study.split.train, limits)


def _read(screening: Screening, text: str, seen: set[str]) -> Expression | Rejection:
    expression = read_expression(text, screening.study)
    if isinstance(expression, Rejection):
        return expression
    if expression.id in seen:
        return Rejection("novelty", "duplicate", "the same factor stands earlier in the list")
    seen.add(expression.id)
    return repeated(screening.knowledge, screening.study, expression) or expression


class _Copies:
    """Finds factors of a list that earn the same at every bar as one before them, in the list or recorded."""

    def __init__(self, screening: Screening) -> None:
        self._knowledge, self._dataset = screening.knowledge, screening.study.dataset
        self._seen: dict[float, list[_Passed]] = {}

    def refuse(self, one: _Passed) -> Rejection | None:
        """Return whose copy a factor is, or None; what is no copy is remembered."""
        same = self._knowledge.same_returns(self._dataset, one.returns_fingerprint, but=one.expression.id)
        if same is not None:
            return refused_copy(f"{same[1]}, attempt {same[0]}")
        alike = self._seen.setdefault(round(one.quick.sharpe_gross, 6), [])
        mine = one.returns_fingerprint
        for other in alike if len(mine) else ():
            theirs = other.returns_fingerprint
            if len(theirs) == len(mine) and float(mine @ theirs) >= SAME_RETURNS:
                return refused_copy(f"{other.expression.text}, which stands earlier in the list")
        alike.append(one)
        return None


def failure(quick: QuickScore, policy: Policy, *, gated: bool) -> str | None:
    """Return why a quick score on train rules a factor out, or None.

    The gates are those of the admission policy that train alone can decide. With a regime gate, or a trading rule that
    is chosen for each factor (`gated`), what it earns is only known from its scorecard.
    """
    figures = TrainFigures(quick.payoff_z, float("nan") if gated else quick.net_z, quick.coverage)
    failed = next((gate for gate in train_gates(figures, policy) if not gate.passed), None)
    return None if failed is None else failed.words[0]


def _full(screening: Screening, passed: list[_Passed]) -> Outcome:
    """Record those that passed: the best with a full scorecard, the others with their quick score."""
    # Which rule a factor will have is not known yet: then by what it pays before costs.
    name = "payoff_z" if screening.study.grid is not None else "per_bar_sharpe_net"
    best = sorted(passed, key=lambda one: -np.nan_to_num(getattr(one.quick, name), nan=-np.inf))
    on_disk = screening.scorer if isinstance(screening.scorer, StretchScorer) else None
    refused = "" if on_disk is None else refused_scorecards(screening.study.panel, on_disk.memory_gb)
    best = [] if refused else best[: screening.keep]
    chosen = {one.slot for one in best}
    others = [one for one in passed if one.slot not in chosen]
    why = refused or f"but is not among the best {screening.keep}"
    screening.knowledge.record_attempts(
        [_screened(screening, one, f"it passed its quick score, {why}") for one in others]
    )
    study = screening.study if on_disk is None or not best else read_into_memory(screening.study, on_disk.memory_gb)
    for number, one in enumerate(best):
        if screening.stop():
            return "interrupted"
        screening.show("scorecards", number, len(chosen))
        # Every text of the list is a trial, whether or not it is written down yet.
        ahead = len(chosen) - number - 1
        result = evaluate_expression(one.expression, study, screening.knowledge, ahead=ahead)
        if isinstance(result, Scoring) and result.copy is not None:
            result = result.copy
        attempt = _attempt(screening, one.slot, one.expression.text, one.expression, result)
        screening.knowledge.record_attempt(attempt)
    return "finished"


def _attempt(
    screening: Screening, slot: int, text: str, expression: Expression | None, result: Scoring | Rejection
) -> NewAttempt:
    return attempt_of((screening.run.id, ROUND, slot), text, expression, result)


def _screened(screening: Screening, one: _Passed, reason: str) -> NewAttempt:
    """Return the attempt of a factor that is left at its quick score."""
    study, quick, expression = screening.study, one.quick, one.expression
    card = quick_scorecard(quick, study)
    evidence = Evidence(False, "rejected", (reason,), float("nan"), float("nan"), 0)
    year = study.panel.bars_per_year
    evaluation = NewEvaluation(card, evidence, quick.sharpe_gross / float(np.sqrt(year)), one.returns_fingerprint)
    return NewAttempt(
        run_id=screening.run.id,
        round=ROUND,
        slot=one.slot,
        text=screening.texts[one.slot],
        canonical=expression.text,
        factor_id=expression.id,
        stage="screen",
        evaluation=evaluation,
    )


def quick_scorecard(quick: QuickScore, study: Study) -> Scorecard:
    """Return a scorecard with what the quick score knows; validation was not looked at."""
    split: Split = study.split
    train = replace(
        unscored_segment(study.panel, split.train),
        n_bars=quick.n_bars,
        rank_ic=quick.rank_ic,
        ic=quick.ic,
        ic_ir=quick.ic_ir,
        ic_tstat=quick.ic_tstat,
        sharpe_gross=quick.sharpe_gross,
        sharpe_net=quick.sharpe_net,
        turnover=quick.turnover,
        per_bar_sharpe_net=quick.per_bar_sharpe_net,
        payoff=quick.payoff,
        payoff_error=quick.payoff_error,
        payoff_z=quick.payoff_z,
        net_z=quick.net_z,
    )
    spec = study.spec
    return Scorecard(
        train=train,
        validation=unscored_segment(study.panel, split.validation),
        bars_per_year=study.panel.bars_per_year,
        weighting=spec.weighting,
        holding=spec.holding,
        cost_bp=spec.costs.per_trade * 1e4,
        fill=spec.fill,
        rebalance=spec.rebalance,
    )
