"""Does the loop learn? The same mock, with parts of the loop taken away, on a planted market and on coins.

    python -m benchmarks.loop [--quick] [--seeds N]

The mock's skill is the same throughout. Of each run: how near the best factor (by train Sharpe ratio among the sound,
else among all) is to the planted signal, and its train rank IC; per 100 backtests, how many were admitted, and how many
were sound: past every gate but deflation and novelty, since an accepted factor keeps out those like it; and how many
effective trials the sound were (returns that correlate by half or more are one). A figure per backtest favours a
judge, per model call one that is not asked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from agent.cli.demo_stages import distance_to_truth, prepare
from agent.knowledge.attempt_figures import least_figure, or_zero, sharpe_net, train_of
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.queries import query
from agent.knowledge.records import AttemptRecord
from agent.mining.session import MineRequest, start_run
from agent.study.workspace import Workspace, init_workspace
from market.files import import_files
from market.panel_store import save_panel

COINS = Path(__file__).resolve().parents[2] / "shared" / "data" / "crypto_spot_1d.parquet"
PARTS: Mapping[str, Mapping[str, bool]] = {
    "all of it": {},
    "no knowledge base": {"memory": False},
    "no lessons": {"lessons": False},
    "no archive": {"archive": False},
    "no plan (archive, bandit)": {"search": False},
    "no judge": {"judge": False},
}


@dataclass(frozen=True)
class Outcome:
    """Of one run: nearness to the truth (NaN on real data), train rank IC of the best, and what else was found."""

    truth: float
    rank_ic: float
    admitted: float
    sound: float
    effective: int
    backtests: int
    calls: int


def one(parts: Mapping[str, bool], seed: int, rounds: int, candidates: int, *, coins: bool) -> Outcome:
    """Mine once, without a gate."""
    with tempfile.TemporaryDirectory() as folder:
        return _mined(parts, seed, rounds, candidates, Path(folder) / "w", coins=coins)


def _mined(parts: Mapping[str, bool], seed: int, rounds: int, candidates: int, folder: Path, *, coins: bool) -> Outcome:
    if coins:
        workspace = init_workspace(folder)
        # Free of costs: with them nothing on these coins passes, whatever the loop does.
        text = (workspace.root / "alphaglow.toml").read_text(encoding="utf-8")
        free = text.replace("# fee_bp = 5.0", "fee_bp = 0.0").replace("# slippage_bp = 5.0", "slippage_bp = 0.0")
        (workspace.root / "alphaglow.toml").write_text(free, encoding="utf-8")
        save_panel(import_files([COINS], name="coins"), workspace.data_path("coins"))
        stage, data = None, "coins"
    else:
        stage = prepare(folder, seed=seed, rounds=rounds, candidates=candidates)
        workspace, data = stage.workspace, "simulated"
    workspace = _with_loop(workspace, parts)
    with workspace.knowledge() as knowledge:
        request = MineRequest(data=data, llm="mock", rounds=rounds, candidates=candidates, seed=seed, gate=False)
        session = start_run(workspace, knowledge, request, note=lambda _text: None)
        asyncio.run(session.go(lambda: False, lambda _event, _total: None))
        attempts = knowledge.attempts(run_id=session.run.id)
        scored = [a for a in attempts if a.evaluation is not None]
        sound = [a for a in scored if _is_sound(a)]
        admitted = sum(a.evaluation.accepted for a in scored if a.evaluation is not None)
        best = max(sound or scored, key=lambda a: least_figure(a, sharpe_net))
        near = float("nan") if stage is None else distance_to_truth(stage, session, knowledge)[0]
        return Outcome(
            float("nan") if near is None else near,
            or_zero(train_of(best).rank_ic),
            100 * admitted / max(1, len(scored)),
            100 * len(sound) / max(1, len(scored)),
            _effective_trials(knowledge, {a.id for a in sound}),
            len(scored),
            knowledge.calls_total(session.run.id).calls,
        )


def _with_loop(workspace: Workspace, parts: Mapping[str, bool]) -> Workspace:
    path = workspace.root / "alphaglow.toml"
    lines = [f"{name} = {str(value).lower()}" for name, value in parts.items()]
    text = path.read_text(encoding="utf-8")
    for name in parts:
        text = "\n".join(line for line in text.splitlines() if not line.startswith(f"{name} ="))
    path.write_text(text.replace("[loop]", "[loop]\n" + "\n".join(lines)), encoding="utf-8")
    return Workspace(workspace.root)


def _is_sound(attempt: AttemptRecord) -> bool:
    """Whether an attempt passed every gate but novelty and deflation."""
    assert attempt.evaluation is not None
    gates = attempt.evaluation.evidence.gates
    return all(gate.passed for gate in gates if gate.gate not in ("novelty", "dsr"))


def _effective_trials(knowledge: KnowledgeBase, attempts: set[int]) -> int:
    """Return how many effective trials attempts were."""
    found = query(knowledge, "SELECT attempt_id, cluster FROM trial_returns", 100_000)
    return len({cluster for attempt, cluster in found.rows if attempt in attempts})


def main() -> None:
    """Measure, print tables and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--market", choices=["planted", "coins"], help="Only this one.")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), help="Only these loops.")
    parser.add_argument("--workers", type=int, default=1, help="Runs side by side.")
    options = parser.parse_args()
    seeds = options.seeds or (1 if options.quick else 10)
    rounds, candidates = (2, 6) if options.quick else (8, 12)
    console = Console(stderr=True)
    result: dict[str, dict[str, list[dict[str, float | None]]]] = {}
    for market, coins in (("planted", False), ("daily coins, free of costs", True)):
        if (coins and not COINS.is_file()) or options.market == ("planted" if coins else "coins"):
            continue
        found: dict[str, list[Outcome]] = {}
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(options.workers, mp_context=context) as pool:
            for name, parts in PARTS.items():
                if options.parts and name not in options.parts:
                    continue
                with console.status(f"{market}: {name}"):
                    jobs = [pool.submit(one, parts, seed, rounds, candidates, coins=coins) for seed in range(seeds)]
                    found[name] = [job.result() for job in jobs]
        columns = (
            "best to truth",
            "its rank IC",
            "admitted per 100",
            "sound per 100",
            "sound effective trials",
            "backtests",
            "calls",
        )
        table = Table("loop", *columns)
        table.title = f"{market}: {seeds} seeds of {rounds} x {candidates}, mean (deviation of the mean)"
        for name, rows in found.items():
            cells = [
                _spread([getattr(row, field) for row in rows], digits)
                for field, digits in (
                    ("truth", 2),
                    ("rank_ic", 4),
                    ("admitted", 1),
                    ("sound", 1),
                    ("effective", 1),
                    ("backtests", 0),
                    ("calls", 0),
                )
            ]
            table.add_row(name, *cells)
        Console(width=140).print(table)
        result[market] = {name: [_plain(row) for row in rows] for name, rows in found.items()}
    print(json.dumps(result))


def _plain(row: Outcome) -> dict[str, float | None]:
    return {name: value if np.isfinite(value) else None for name, value in asdict(row).items()}


def _spread(values: list[float], digits: int) -> str:
    known = np.array([v for v in values if np.isfinite(v)])
    if not len(known):
        return "–"
    error = known.std(ddof=1) / np.sqrt(len(known)) if len(known) > 1 else float("nan")
    return f"{known.mean():.{digits}f} ({error:.{digits}f})"


if __name__ == "__main__":
    main()
