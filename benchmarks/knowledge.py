"""What the knowledge base adds to each attempt of a run of 1 000 factors, beside two other ways to keep trials.

    python -m benchmarks.knowledge [--quick] [--attempts N] [--postgres URL] [--size N]

Timed is what the loop asks and writes for one attempt: was it scored before, is it new, how many trials there were, how
many of them effective, the nearest accepted factor, and then the attempt itself with a verdict, its scorecards and the
fingerprint of its returns. Every eight attempts a round begins, for which all attempts of the data are read. Figures
are of the last fifth of the run, when the knowledge base is full. An attempt is not waited for until the disk has it
(a reply that was paid for is): `synced` is with that wait, and `bare_commit` is an empty transaction's wait for the
same disk in the same run. Beside it: what the draws behind the hurdle cost a process, among 100 000 trials.

The peers: one JSON line an attempt, all read again for each; and Optuna's storage of trials in SQLite, to which one
trial with one number and the same scorecard is checked, if it is installed.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agent.knowledge.claims import Claims
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import JudgeVerdict, NewAttempt, NewEvaluation
from agent.knowledge.run_config import RunConfig
from agent.knowledge.score_documents import read_evidence, read_scorecard
from backtest.luck import fingerprint_of
from backtest.result_types import Scorecard, SegmentScore
from benchmarks.novelty import draw
from factors.tree import Expression
from market.panel import OHLCV, Panel

_ROUND = 8
# Of a peer whose every attempt takes as long as the last.
_SAMPLE = 25
_CONSOLE = Console(stderr=True)
Step = Callable[[int], None]


def make_panel() -> Panel:
    """Return a small market: only its id is of use here."""
    times = np.datetime64("2024-01-01", "ns") + np.arange(50) * np.timedelta64(1, "h")
    values = np.full((50, 2), 100.0)
    return Panel(times, ("AAA", "BBB"), dict.fromkeys(OHLCV, values), np.ones((50, 2), bool), np.timedelta64(1, "h"))


def scorecard(rng: np.random.Generator) -> Scorecard:
    """Return as much as a real scorecard holds: about forty figures a split, and profiles."""
    names = [one.name for one in fields(SegmentScore)]
    splits = {part: {name: float(rng.normal()) for name in names} for part in ("train", "validation")}
    months = [{"name": f"2023-{k % 12 + 1:02d}", "rank_ic": float(rng.normal()), "bars": 700} for k in range(60)]
    return read_scorecard({**splits, "profiles": {"train": {"years": months}}})


def _returns(rng: np.random.Generator, ideas: np.ndarray) -> np.ndarray:
    """Return (T,) returns of a factor: one of many ideas, with noise."""
    series: np.ndarray = ideas[int(rng.integers(len(ideas)))] + rng.normal(size=ideas.shape[1])
    return series


def attempts_of(run_id: str, expressions: Sequence[Expression], seed: int = 0) -> list[NewAttempt]:
    """Return one scored attempt for each expression; one in fifty is accepted."""
    rng = np.random.default_rng(seed)
    ideas = rng.normal(size=(len(expressions) // 2 + 1, 5_000))
    found = []
    for number, expression in enumerate(expressions):
        fingerprint = fingerprint_of(_returns(rng, ideas))
        sharpe = float(rng.normal(0.0, 0.05))
        verdict = read_evidence({"verdict": "rejected", "dsr": 0.1, "accepted": number % 50 == 0})
        scored = NewEvaluation(scorecard(rng), verdict, sharpe, fingerprint)
        found.append(
            NewAttempt(
                run_id, number // _ROUND, number % _ROUND, expression.text, "evidence", expression.text, expression.id,
                name=f"idea {number}", rationale="crowds are slow to notice what volume tells " * 4,
                verdicts=(JudgeVerdict(1, True, 7.0, "plausible, cheap to trade, easy to test " * 5),),
                evaluation=scored, claims=Claims(mechanism="herding " * 10, theme="volume"),
            )
        )  # fmt: skip
    return found


@contextmanager
def ours(place: str, expressions: Sequence[Expression]) -> Iterator[Step]:
    """Lend the work of one attempt, as the loop does it, on a knowledge base at `place`."""
    panel = make_panel()
    with KnowledgeBase.open(place) as knowledge:
        knowledge.register_dataset(panel)
        run = knowledge.create_run(panel.id, RunConfig(data="toy"), 0)
        attempts = attempts_of(run.id, expressions)
        for number in range(len(expressions) // _ROUND + 1):
            knowledge.start_round(run.id, number, {})

        brief: dict[str, int] = {}

        def step(number: int) -> None:
            attempt, expression = attempts[number], expressions[number]
            if number % _ROUND == 0:
                known = knowledge.attempts(panel_id=panel.id)
                knowledge.attempts(run_id=run.id)
                brief.update(known=knowledge.index_factors(), until=known[-1].id if known else 0)
            # When it is proposed, as of the round's beginning; and when it is evaluated.
            knowledge.scored_twin(expression, panel_id=panel.id, ranks_alike=True, until=brief["until"])
            knowledge.novelty(expression, until=brief["known"])
            knowledge.scored_twin(expression, panel_id=panel.id, ranks_alike=True)
            knowledge.novelty(expression)
            knowledge.trials(panel.id)
            assert attempt.evaluation is not None
            assert attempt.evaluation.returns_fingerprint is not None
            knowledge.nearest_accepted(panel.id, attempt.evaluation.returns_fingerprint, but=expression.id)
            knowledge.record_attempt(attempt)

        yield step


@contextmanager
def json_lines(path: Path, expressions: Sequence[Expression], filled: int) -> Iterator[Step]:
    """Lend the same in the plainest way: a line an attempt, all read again for each; `filled` are there already."""
    attempts = attempts_of("run", expressions)

    def write(number: int) -> None:
        attempt = attempts[number]
        assert attempt.evaluation is not None
        assert attempt.evaluation.returns_fingerprint is not None
        row = {
            "factor_id": attempt.factor_id,
            "text": attempt.text,
            "rationale": attempt.rationale,
            "scorecard": attempt.evaluation.scorecard,
            "sharpe": attempt.evaluation.sharpe_per_bar,
            "fingerprint": [round(float(value), 4) for value in attempt.evaluation.returns_fingerprint],
        }
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def step(number: int) -> None:
        attempt = attempts[filled + number]
        known = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
        assert attempt.evaluation is not None
        assert attempt.evaluation.returns_fingerprint is not None
        sum(row["factor_id"] == attempt.factor_id for row in known)
        fingerprints = [row["fingerprint"] for row in known]
        if fingerprints:
            np.abs(np.array(fingerprints) @ attempt.evaluation.returns_fingerprint).max()
            np.var([row["sharpe"] for row in known])
        write(filled + number)

    for number in range(filled):
        write(number)
    yield step


@contextmanager
def optuna_storage(path: Path, expressions: Sequence[Expression]) -> Iterator[Step]:
    """Lend the telling of one trial to Optuna, which reads no other trial for it."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=f"sqlite:///{path}", sampler=optuna.samplers.RandomSampler(0))
    attempts = attempts_of("run", expressions)

    def step(number: int) -> None:
        attempt = attempts[number]
        assert attempt.evaluation is not None
        trial = study.ask()
        trial.set_user_attr("scorecard", attempt.evaluation.scorecard)
        study.tell(trial, attempt.evaluation.sharpe_per_bar)

    yield step


def timed(name: str, step: Step, count: int) -> tuple[float, float, float]:
    """Return milliseconds an attempt over the last fifth of a run: mean, median, and mean of the processor's time."""
    spent, busy = [], []
    for number in track(range(count), description=name, console=_CONSOLE, transient=True):
        begun, worked = time.perf_counter(), time.process_time()
        step(number)
        spent.append(1e3 * (time.perf_counter() - begun))
        busy.append(1e3 * (time.process_time() - worked))
    last, work = np.array(spent[-count // 5 :]), np.array(busy[-count // 5 :])
    return round(float(last.mean()), 2), round(float(np.median(last)), 2), round(float(work.mean()), 2)


def bare_commit(path: Path, count: int) -> tuple[float, float, float]:
    """Return the milliseconds that SQLite needs to commit one small row and wait for the disk."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t (a)")

    def step(_number: int) -> None:
        connection.execute("INSERT INTO t VALUES (1)")

    found = timed("bare commits", step, count)
    connection.close()
    return found


def draws(path: Path, trials: int) -> dict[str, float]:
    """Return processor seconds of the largest scores among `trials`: when first asked, and by the next process."""
    panel = make_panel()
    with KnowledgeBase.open(path) as knowledge:
        knowledge.register_dataset(panel)
    rng, names = np.random.default_rng(0), ("attempt_id", "panel_id", "seq", "cluster", "fingerprint")
    with closing(sqlite3.connect(path)) as base:
        for first in range(0, trials, 10_000):
            prints = rng.standard_normal((min(10_000, trials - first), 512))
            prints /= np.linalg.norm(prints, axis=1, keepdims=True)
            rows = ((n, panel.id, n, n, row.astype("<f2").tobytes()) for n, row in enumerate(prints, start=first + 1))
            base.executemany(f"INSERT INTO trial_returns ({', '.join(names)}) VALUES (?, ?, ?, ?, ?)", rows)
        base.commit()
    found = {}
    for what in ("first", "next"):
        start = time.process_time()
        with KnowledgeBase.open(path) as knowledge:
            knowledge.largest_scores(panel.id)
            found[what] = round(time.process_time() - start, 2)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its table and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--attempts", type=int, default=1000)
    parser.add_argument("--postgres", metavar="URL", help="An empty database to measure as well.")
    parser.add_argument("--size", type=float, help="Measure a base of this many attempts: see knowledge_size.")
    options = parser.parse_args(argv)
    if options.size:
        from benchmarks.knowledge_size import main as measure

        measure(["--size", str(options.size)])
        return
    count = 200 if options.quick else options.attempts
    expressions = draw(np.random.default_rng(1), count, _CONSOLE)
    figures: dict[str, Any] = {"attempts": count}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with ours(str(folder / "k.db"), expressions) as step:
            figures["sqlite"] = timed("SQLite", step, count)
        with (
            mock.patch("agent.knowledge.database.connection.RELAXED", "FULL"),
            ours(str(folder / "s.db"), expressions) as step,
        ):
            figures["sqlite_synced"] = timed("SQLite, synced", step, count)
        figures["bare_commit"] = bare_commit(folder / "bare.db", min(count, 200))
        if options.postgres:
            with ours(options.postgres, expressions) as step:
                figures["postgresql"] = timed("PostgreSQL", step, count)
        with json_lines(folder / "lines", expressions, count - _SAMPLE) as step:
            figures["json_lines"] = timed("JSON lines", step, _SAMPLE)
        try:
            with optuna_storage(folder / "optuna.db", expressions) as step:
                figures["optuna_storage"] = timed("Optuna", step, count)
        except ImportError:
            _CONSOLE.print("Optuna is not installed (pip install optuna): it is left out")
        trials = 10_000 if options.quick else 100_000
        figures["largest_scores"] = {"trials": trials, **draws(folder / "draws.db", trials)}
        figures["megabytes"] = round((folder / "k.db").stat().st_size / 1e6, 1)
    table = Table("milliseconds an attempt", "mean", "median", "of the processor")
    for key, value in figures.items():
        if isinstance(value, tuple):
            table.add_row(key, *(f"{part:.2f}" for part in value))
    Console().print(table)
    took = figures["largest_scores"]
    Console().print(
        f"draws of the largest of {trials:,} trials: {took['first']} s of the processor at first, "
        f"{took['next']} s for the next process"
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
