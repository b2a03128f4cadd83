"""What a pool of mined factors earns under the aim, beside equal weights, the best member and all members.

    python -m benchmarks.pool_mined [--quick] [--only planted|real] [--seeds N] [--data FOLDER]

The mock mines on a simulated market in which five independent signals pay (see `benchmarks.pool_loop`), and on daily
coins, the 50 most traded, at the costs of their venue. Members are what predicts on train: a payoff before costs whose
score is above 1.645, the best first, 40 at most. The tables are those of `benchmarks.pool`; members were chosen on all
of train, so train flatters every row, and validation chose nothing but for what the loop's own tests looked at.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from agent.knowledge.attempt_figures import train_of
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord
from agent.knowledge.run_config import RunConfig, ScoringRules
from agent.llm.budget import Budget
from agent.mining.session import MOCK_MODEL, Session
from agent.pools.members import MeasuredFactors, PoolCandidate, measure_members
from agent.pools.weighting import fit_weights
from agent.study.settings import Settings
from agent.study.study import Study, read_expression
from benchmarks.pool import MARKETS, SHARED, compare, no_worse, open_market
from benchmarks.pool_loop import LEAST_SCORE, planted_study
from market.errors import Rejection

_MOST = 40


def mined_members(study: Study, settings: Settings, seed: int) -> MeasuredFactors | None:
    """Mine once, in a knowledge base of its own; return what predicts on train, or None where nothing does."""
    loop = ScoringRules({"loop": settings.loop.model_dump()})
    config = RunConfig(llm="mock", model=MOCK_MODEL, simulated=True, rules=loop)
    with tempfile.TemporaryDirectory() as folder, KnowledgeBase.open(Path(folder) / "knowledge.db") as knowledge:
        knowledge.register_dataset(study.panel)
        study = replace(study, dataset=study.panel.id)
        run = knowledge.create_run(study.panel.id, config, seed)
        session = Session(run, study, knowledge, settings, config, Budget(), simulated=True)
        asyncio.run(session.go(lambda: False, lambda _event, _total: None))
        attempts = [one for one in knowledge.attempts(run_id=run.id) if _score(one) > LEAST_SCORE]
    found: dict[str, PoolCandidate] = {}
    for attempt in sorted(attempts, key=_score, reverse=True):
        expression = read_expression(attempt.canonical or "", study, dialect="native")
        if not isinstance(expression, Rejection):
            found.setdefault(expression.id, PoolCandidate(expression, attempt.canonical or "", "mined"))
    return measure_members(list(found.values())[:_MOST], study, left_out=[]) if found else None


def _score(attempt: AttemptRecord) -> float:
    """Return the score of what an attempt pays before costs on train; far below any where it was not scored."""
    value = train_of(attempt).payoff_z if attempt.canonical and attempt.evaluation is not None else -99.0
    return value if value == value else -99.0


def pooled(name: str, study: Study, settings: Settings, seed: int, console: Console) -> dict[str, object]:
    """Mine, fit the aim and compare; return the figures."""
    measured = mined_members(study, settings, seed)
    fitted = None if measured is None else fit_weights(measured, "aim")
    if measured is None or fitted is None or isinstance(fitted, Rejection):
        why = "nothing predicts on train" if measured is None or fitted is None else fitted.one_line()
        console.print(f"{name}: {why}")
        return {"none": why}
    figures = compare(f"{name}: {len(measured.candidates)} mined factors", measured, fitted, console)
    figures["no worse than the better rival within one error"] = no_worse(figures)
    return figures


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print tables and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=("planted", "real"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    options = parser.parse_args(argv)
    console, result = Console(width=170), {}
    rounds, candidates, bars = (2, 6, 1500) if options.quick else (8, 8, 3000)
    for seed in range(options.seeds):
        loop = {"loop": {"rounds": rounds, "candidates": candidates, "seed": seed}, "split": {"max_lookback": 120}}
        if options.only != "real":
            settings = Settings.model_validate(loop)
            study, _ = planted_study(seed, bars, settings)
            result[f"planted {seed}"] = pooled(f"five planted signals, seed {seed}", study, settings, seed, console)
        if options.only != "planted":
            chosen = MARKETS["daily coins"]
            settings = Settings.model_validate({**loop, "backtest": {"preset": chosen.preset}, "universe": {"top": 50}})
            study = open_market("daily coins", options.data, 0)
            result[f"daily coins {seed}"] = pooled(f"daily coins, seed {seed}", study, settings, seed, console)
    print(json.dumps({"benchmark": "pool_mined", "quick": options.quick, **result}))


if __name__ == "__main__":
    main()
