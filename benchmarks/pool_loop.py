"""Mining for a pool: reward by what a factor adds against reward by what it pays alone, where five signals pay.

    python -m benchmarks.pool_loop [--quick] [--market NAME [--whole]] [--seeds N] [--results FOLDER]

On simulated markets without skill of their own, five independent signals that the mock could write are planted, each
worth a score of 6. The same mock mines under both rewards (``[loop] marginal``), free of costs. Of each run: how many
of the five were found (a factor that predicts and earns on train puts assets in that order, or its opposite, by a half
or more), different ideas among all that pass on train (returns that correlate by half or more are one), both per 100
calls; and the net Sharpe ratio on validation of the pool of what passes on train (the aim). With `--market` the same on
a real market of `benchmarks.pool`, where nobody knows what pays: at the costs of its venue, and of what *predicts* on
train, a score of its payoff before costs above 1.645. Each run is a file in the folder of results: a stopped benchmark
goes on where it was.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from agent.knowledge.attempt_figures import passed_on_train, train_of
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord
from agent.knowledge.run_config import RunConfig, ScoringRules
from agent.knowledge.stored_returns import stored_returns
from agent.llm.budget import Budget
from agent.mining.session import MOCK_MODEL, Session
from agent.mock.grammar import compose
from agent.pools.members import PoolCandidate, measure_members, trade_values, under_rule
from agent.pools.weighting import fit_weights, unseen_values
from agent.study.settings import Settings
from agent.study.study import Study, backtest_expression, open_study, read_expression
from backtest.ic import rank_ic
from backtest.metrics import sharpe
from backtest.planted_payoffs import plant_payoff
from backtest.scorecard import paid_rows
from benchmarks.pool import MARKETS, SHARED, open_market
from factors.engine import evaluate
from factors.tree import Expression
from market.errors import Rejection
from market.panel import FloatArray
from market.synthetic.demo_market import SynthSpec, make_market

SIGNALS, STRENGTH = 5, 6.0
_FOUND, _APART = 0.5, 0.2
_MOST = 40
LEAST_SCORE = 1.645


@dataclass(frozen=True)
class LoopRun:
    """What one run found; the Sharpe ratio is NaN where no pool could be fitted."""

    seed: int
    marginal: bool
    found: int
    ideas: int
    passed: int
    calls: int
    sharpe: float


def planted_study(seed: int, bars: int, settings: Settings) -> tuple[Study, list[FloatArray]]:
    """Return a study in which five independent signals pay, and their values."""
    panel = make_market(SynthSpec(seed=seed, bars=bars, effect_bp=0.0, crashes=0)).panel
    base = open_study(panel, settings)
    rng = np.random.default_rng([seed, 3])
    parts = [paid_rows(part) for part in (base.split.train, base.split.validation)]
    rows = np.concatenate([np.arange(part.start, part.stop) for part in parts])
    values: list[FloatArray] = []
    outcomes = base.panel
    while len(values) < SIGNALS:
        expression = read_expression(compose(rng, 60)[1], base)
        if isinstance(expression, Rejection) or isinstance(backtest_expression(expression, base), Rejection):
            continue
        own = evaluate(expression, base.panel).values
        if all(_alike(own, other) < _APART for other in values):
            outcomes = plant_payoff(outcomes, own, STRENGTH, rows, base.spec.fill).panel
            values.append(own)
    return replace(base, outcomes=outcomes), values


def _alike(one: FloatArray, other: FloatArray) -> float:
    found = rank_ic(one, other)
    return float(abs(np.nanmean(found))) if np.isfinite(found).any() else 0.0


def planted_run(seed: int, *, marginal: bool, rounds: int, candidates: int, bars: int) -> LoopRun:
    """Mine once where five signals pay."""
    free = {"backtest": {"fee_bp": 0.0, "slippage_bp": 0.0}, "split": {"max_lookback": 120}}
    loop = {"rounds": rounds, "candidates": candidates, "seed": seed, "marginal": marginal}
    settings = Settings.model_validate({**free, "loop": loop})
    study, values = planted_study(seed, bars, settings)
    return mined(study, values, settings, passed_on_train)


def real_run(options: argparse.Namespace, seed: int, *, marginal: bool, rounds: int, candidates: int) -> LoopRun:
    """Mine once on a real market, at the costs of its venue."""
    market = MARKETS[options.market]
    loop = {"rounds": rounds, "candidates": candidates, "seed": seed, "marginal": marginal}
    universe = {"top": 0 if options.whole else market.top}
    settings = Settings.model_validate({"backtest": {"preset": market.preset}, "universe": universe, "loop": loop})
    return mined(open_market(options.market, options.data, 0, whole=options.whole), [], settings, predicts)


def predicts(attempt: AttemptRecord) -> bool:
    """Whether a factor pays before costs on train, more surely than one in twenty without skill would."""
    return attempt.evaluation is not None and train_of(attempt).payoff_z > LEAST_SCORE


def mined(
    study: Study, values: Sequence[FloatArray], settings: Settings, chosen: Callable[[AttemptRecord], bool]
) -> LoopRun:
    """Mine once, in a knowledge base of its own, and count what is `chosen` of the attempts."""
    seed, marginal = settings.loop.seed, settings.loop.marginal
    config = RunConfig(
        llm="mock", model=MOCK_MODEL, simulated=True, rules=ScoringRules({"loop": settings.loop.model_dump()})
    )
    with tempfile.TemporaryDirectory() as folder, KnowledgeBase.open(Path(folder) / "knowledge.db") as knowledge:
        knowledge.register_dataset(study.panel)
        study = replace(study, dataset=study.panel.id)
        run = knowledge.create_run(study.panel.id, config, seed)
        session = Session(run, study, knowledge, settings, config, Budget(), simulated=True)
        asyncio.run(session.go(lambda: False, lambda _event, _total: None))
        passed = [a for a in knowledge.attempts(run_id=run.id) if a.canonical and chosen(a)]
        stored = stored_returns(knowledge, [study.panel.id])
        own = [evaluate(expression, study.panel).values for expression in _read(passed, study)]
        found = sum(any(_alike(one, value) >= _FOUND for one in own) for value in values)
        ideas = len({stored.cluster(a.id) for a in passed})
        calls = knowledge.calls_total(run.id).calls
        return LoopRun(seed, marginal, found, ideas, len(passed), calls, _pooled(passed, study))


def _read(attempts: Sequence[AttemptRecord], study: Study) -> list[Expression]:
    found: dict[str, Expression] = {}
    for attempt in attempts:
        expression = read_expression(attempt.canonical or "", study, dialect="native")
        if not isinstance(expression, Rejection):
            found[expression.id] = expression
    return list(found.values())


def _pooled(passed: Sequence[AttemptRecord], study: Study) -> float:
    """Return the net Sharpe ratio on validation of the pool of what passes on train."""
    members = [PoolCandidate(one, "", "passes on train") for one in _read(passed, study)[:_MOST]]
    if not members:
        return math.nan
    measured = measure_members(members, study, left_out=[])
    fitted = fit_weights(measured, "aim")
    if isinstance(fitted, Rejection):
        return math.nan
    net = trade_values(unseen_values(measured, fitted), under_rule(study, fitted.rule)).net
    return sharpe(net[paid_rows(study.split.validation)], study.panel.bars_per_year)


def _figures(run: LoopRun) -> dict[str, float]:
    hundred = max(1, run.calls) / 100
    ideas = {"found_per_100": run.found / hundred, "found": run.found, "ideas_per_100": run.ideas / hundred}
    return {**ideas, "sharpe": run.sharpe}


def _spread(values: Sequence[float]) -> str:
    known = np.array([v for v in values if math.isfinite(v)])
    if len(known) < 2:
        return f"{known.mean():.2f}" if len(known) else "-"
    return f"{known.mean():.2f} ({known.std(ddof=1) / math.sqrt(len(known)):.2f})"


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is missing; print the table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=None)
    parser.add_argument("--market", choices=list(MARKETS), help="A real market, in the place of planted signals.")
    parser.add_argument("--whole", action="store_true", help="With --market: all assets, not the most traded alone.")
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--results", type=Path, default=Path("results"))
    options = parser.parse_args(argv)
    options.results.mkdir(parents=True, exist_ok=True)
    seeds = options.seeds or (1 if options.quick else 8)
    rounds, candidates, bars = (2, 6, 1500) if options.quick else (10, 8, 3000)
    runs: list[LoopRun] = []
    for seed in range(seeds):
        for marginal in (True, False):
            place = f"{options.market.replace(' ', '-')}{'-whole' * options.whole}-" if options.market else ""
            file = options.results / f"pool-loop-{place}{rounds}x{candidates}-{seed}-{marginal}.json"
            if not file.is_file():
                size = {"marginal": marginal, "rounds": rounds, "candidates": candidates}
                one = real_run(options, seed, **size) if options.market else planted_run(seed, bars=bars, **size)
                file.write_text(json.dumps(asdict(one)), encoding="utf-8")
            runs.append(LoopRun(**json.loads(file.read_text(encoding="utf-8"))))
    table = Table("reward", "found of 5, per 100 calls", "found of 5", "ideas per 100 calls", "pool: validation Sharpe")
    added, alone = ([_figures(one) for one in runs if one.marginal is marginal] for marginal in (True, False))
    rows = {
        "what it adds": added,
        "what it pays alone": alone,
        "difference, by seed": [
            {name: one[name] - other[name] for name in one} for one, other in zip(added, alone, strict=True)
        ],
    }
    figures = {label: {name: _spread([one[name] for one in row]) for name in row[0]} for label, row in rows.items()}
    for label, cells in figures.items():
        table.add_row(label, *cells.values())
    Console(width=130).print(table)
    print(json.dumps({"benchmark": "pool_loop", "seeds": seeds, "attempts": rounds * candidates, **figures}))


if __name__ == "__main__":
    main()
