"""What the writer is given at the start of a round, drawn from the knowledge base.

Figures and verdicts are of train alone, unless the run asks for validation's verdicts (``[loop] feedback``). Nothing
else is available here: the study's panel ends with validation and the knowledge base keeps holdout results in a table
that this module does not read.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agent.knowledge.attempt_figures import or_none, train_of
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord, RunRecord
from agent.mining.asked_tasks import keeping, of_kind
from agent.mining.brief import Brief
from agent.mining.constraints import Constraints
from agent.mining.judge_skill import judge_record
from agent.mining.lessons import DrawnLesson, draw_lessons
from agent.mining.recall import Recalled, recall
from agent.mining.retrieval import crowded
from agent.mining.search.elites import by_merit, merit, predicts
from agent.mining.search.room import room_left
from agent.mining.search.round_plan import Measured, Writers, plan_refinements, plan_tasks
from agent.mining.search.tasks import Task
from agent.pools.marginal import describe_pool
from agent.study.blocks import blocks_of
from agent.study.settings import LoopSettings, loop_of
from agent.study.study import Study
from agent.untrusted.quoting import as_shown
from backtest.rule_words import grid_sentence
from factors.table import prompt_table
from market.panel import Panel

SHOWN_SUCCESSES = 6
SHOWN_FAILURES = 6
SHOWN_BLOCKS = 10
SHOWN_LESSONS = 10
SHOWN_POOL = 6
_NAMED_ASSETS = 40
GOAL = (
    "Find a factor whose higher values come before higher returns of the next bars, after costs, "
    "and that is not a variation of what is already known."
)


def write_brief(study: Study, knowledge: KnowledgeBase, run: RunRecord, number: int) -> Brief:
    """Return the brief of round `number`: a function of the knowledge base as it is now."""
    loop = loop_of(run.config)
    known = recall(knowledge, study.dataset, loop)
    lessons = _lessons(known, run, number) if loop.lessons else ()
    tasks = _tasks(study, knowledge, run, loop, number, known)
    attempt_index = known.index()
    asked = Constraints.from_dict(run.config.request)
    longest = min(asked.longest or study.max_lookback, study.max_lookback)
    return Brief(
        round=number,
        goal=GOAL,
        fields=asked.allowed(study.fields),
        operators=prompt_table(longest, cross_section=study.spec.is_cross_sectional),
        successes=tuple(known.show(a) for a in _successes(known)),
        failures=tuple(known.show(a) for a in _failures(known)),
        lessons=tuple(lesson.text for lesson in lessons),
        market=describe_market(study),
        # A named factor may hold what the request does not allow.
        blocks={} if asked else _blocks(known, study.fields),
        known=knowledge.index_factors(),
        attempts_until=knowledge.newest_attempt(study.dataset),
        tasks=tasks,
        related=tuple(tuple(known.show(a) for a in attempt_index.for_task(task)) for task in tasks),
        crowded=(
            *known.counted_among(),
            *crowded(known.typical, passes=known.steering.passes),
            *_pool_of(known, knowledge, study),
        ),
        left=_left(knowledge, run, loop, number),
        taught=tuple(lesson.facts for lesson in lessons),
        longest=longest,
        asked=asked,
        room=room_left(known.typical, known.returns, known.pool),
        rules="" if study.grid is None else grid_sentence(study.grid),
        record=judge_record(known.attempts) if loop.judge else "",
    )


def _lessons(known: Recalled, run: RunRecord, number: int) -> list[DrawnLesson]:
    """Return the lessons of all that is recalled; those that rest on the round before come first."""
    newest = frozenset(a.id for a in known.typical if a.run_id == run.id and a.round == number - 1)
    return draw_lessons(known.typical, known.returns, newest)[:SHOWN_LESSONS]


def _blocks(known: Recalled, fields: Sequence[str]) -> dict[str, str]:
    """Return name to text of the factors that passed, of each distinct idea the best, those that net most."""
    names = blocks_of(known.attempts, fields, known.steering.passes)
    ranked = by_merit(a for a in known.attempts if a.canonical is not None and known.steering.passes(a))
    ideas = {known.returns.cluster(a.id): a.canonical for a in reversed(ranked)}
    best = [a.canonical for a in ranked if ideas[known.returns.cluster(a.id)] == a.canonical]
    shown = set(list(dict.fromkeys(best))[:SHOWN_BLOCKS])
    return {name: text for name, text in names.items() if text in shown}


def _pool_of(known: Recalled, knowledge: KnowledgeBase, study: Study) -> tuple[str, ...]:
    """Say what is found already, beside which a factor has to add something.

    A fitted pool holds what validation let through, so it is described only where validation steers.
    """
    if known.steering.validated:
        return tuple(describe_pool(knowledge, study.dataset))
    pool = by_merit(known.pool)
    if not pool:
        return ()
    first = f"{len(pool)} factors each added something to those before them: what goes with them adds little (adds_z)"
    return (first, *(f"of these: {as_shown(a.canonical or '')}" for a in pool[:SHOWN_POOL]))


def _tasks(
    study: Study,
    knowledge: KnowledgeBase,
    run: RunRecord,
    loop: LoopSettings,
    number: int,
    known: Recalled,
) -> tuple[Task, ...]:
    """Return what each candidate is to be; nothing where the writer is to choose."""
    rng = np.random.default_rng([run.seed, number, 11])
    asked = Constraints.from_dict(run.config.request)
    recalled = keeping(asked, known.attempts, study.fields)
    writers = _writers(knowledge, run, loop, recalled)
    start = run.config.improve
    if start:
        line = [a for a in recalled if a.run_id == run.id]
        gated = study.exposures is not None
        return plan_refinements(start, recalled, line, loop.candidates, rng, gated=gated, writers=writers)
    if not loop.search:
        return ()
    tasks = plan_tasks(
        recalled,
        asked.allowed(study.fields),
        loop.candidates,
        rng,
        writers=writers,
        varied=loop.archive,
        measured=Measured(known.worth, known.added if loop.marginal else None, known.returns.fingerprints),
    )
    return of_kind(asked, tasks)


def _writers(
    knowledge: KnowledgeBase, run: RunRecord, loop: LoopSettings, recalled: Sequence[AttemptRecord]
) -> Writers | None:
    """Return the models that may write, with what a candidate of each has cost on this data; one: None."""
    names = [run.config.model, *run.config.writers]
    if len(names) < 2:
        return None
    spent = dict.fromkeys(names, 0.0)
    for run_id in dict.fromkeys(a.run_id for a in recalled):
        for model, tokens, cost in knowledge.writer_calls(run_id):
            if model in spent:
                # Where a price is missing, tokens stand for dollars: a millionth each.
                spent[model] += cost if cost is not None else tokens / 1e6
    made = {name: sum(a.claims.model == name for a in recalled) for name in names}
    known = {name: spent[name] / made[name] for name in names if made[name] and spent[name]}
    least = min(known.values(), default=1.0)
    return Writers(tuple(names), {name: value / least for name, value in known.items()}, loop.proposals)


def _left(knowledge: KnowledgeBase, run: RunRecord, loop: LoopSettings, number: int) -> str:
    """Say how much of the run is left, and of the budget that it was begun with."""
    rounds = loop.rounds - number + 1
    said = [f"{rounds} of {loop.rounds} rounds, {rounds * loop.candidates} candidates"]
    bounds, spent = run.config.bounds, knowledge.calls_total(run.id)
    if bounds.calls:
        said.append(f"{max(0, bounds.calls - spent.calls)} of {bounds.calls} calls")
    if bounds.tokens:
        left = max(0, bounds.tokens - spent.prompt_tokens - spent.completion_tokens)
        said.append(f"{left:,} of {bounds.tokens:,} tokens")
    if bounds.usd and spent.cost_usd is not None:
        said.append(f"${max(0.0, bounds.usd - spent.cost_usd):.2f} of ${bounds.usd:.2f}")
    return "; ".join(said)


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
        + f". Costs: {spec.costs.per_trade * 1e4:g} bp of traded notional{_dear(study)}. "
        f"Look-back of a factor: at most {study.max_lookback} bars."
        + _regimes(study)
        + ("" if study.blind else _named(panel))
    )


def _dear(study: Study) -> str:
    """Say what trading costs a year."""
    yearly = study.yearly_cost(0.1)
    return f" (trading a tenth of the capital every bar costs {yearly:.0%} of it a year)" if yearly >= 0.005 else ""


def _regimes(study: Study) -> str:
    """Say in which states the market was, and for which share of the bars of train."""
    shares = {name: float(np.mean(bars[study.split.train])) for name, bars in study.clusters.items()}
    if not shares:
        return ""
    return " Regimes, by share of the bars of train: " + ", ".join(f"{n} {s:.0%}" for n, s in shares.items()) + "."


def _named(panel: Panel) -> str:
    """Say what a blinded prompt hides: names and dates, which a model may remember the fate of."""
    shown = ", ".join(as_shown(name) for name in panel.assets[:_NAMED_ASSETS]) + (
        ", ..." if len(panel.assets) > _NAMED_ASSETS else ""
    )
    return f" Assets: {shown}. From {str(panel.times[0])[:10]} to {str(panel.times[-1])[:10]}."


def _successes(known: Recalled) -> list[AttemptRecord]:
    """Return the factors that net most on train among those that pay there, of each distinct idea the best."""
    ranked = by_merit(a for a in known.attempts if predicts(a))
    best = {known.returns.cluster(a.id): a for a in reversed(ranked)}
    # Factors that rank assets alike (a sum for a mean, a rank of a rank) would crowd out everything else.
    distinct = {_ranks(a): a for a in reversed(ranked)}
    return [a for a in ranked if best[known.returns.cluster(a.id)] is a and distinct[_ranks(a)] is a][:SHOWN_SUCCESSES]


def _ranks(attempt: AttemptRecord) -> tuple[float | None, float | None]:
    """Return figures that factors share that rank assets alike."""
    train = train_of(attempt)
    return or_none(train.rank_ic), or_none(train.turnover)


def _failures(known: Recalled) -> list[AttemptRecord]:
    """Return the newest refusals and the worst factor of each of the worst ideas, half and half."""
    attempts = known.attempts
    refused = [a for a in attempts if a.evaluation is None and a.stage != "novelty"]
    half = SHOWN_FAILURES // 2
    newest = sorted(refused, key=lambda a: -a.id)[:half]
    # Of an idea whose other side pays there is nothing left to be said.
    pays = {known.returns.cluster(a.id) for a in attempts if predicts(a)}
    worst: dict[int, AttemptRecord] = {}
    for attempt in reversed(by_merit(a for a in attempts if (merit(a) or 0.0) < 0)):
        if known.returns.cluster(attempt.id) not in pays:
            worst.setdefault(known.returns.cluster(attempt.id), attempt)
    return newest + list(worst.values())[: SHOWN_FAILURES - len(newest)]
