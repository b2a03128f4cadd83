"""Kill -9 at random moments, resume until done, and compare the end with that of a run nobody killed.

    python -m benchmarks.kills [--quick] [--kills N] [--workers N]

Each run is killed up to twelve times, at a moment drawn uniformly over the time that a whole run takes, and resumed.
At its end, attempts with verdicts and evaluations, calls with prompts and replies, lessons and the cassette are
compared with those of an uninterrupted run. There is no peer: the figure that counts is how many differ.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from agent.knowledge.knowledge_base import KnowledgeBase

ROOT = Path(__file__).resolve().parents[1]
MINE = ("mine", "--llm", "mock", "--rounds", "3", "--candidates", "5", "--seed", "5", "--no-gate")
LEDGER_ROWS = ("--record", "rows.jsonl", "--json")
_MOST = 12
# What tells when and how long, not what; ids count what another process may have counted.
_TIMES = {"created", "latency_s", "id", "run_id"}


@dataclass(frozen=True)
class Killed:
    """One run: how often it was killed, whether its end equals the uninterrupted run's, and what differs if not."""

    kills: int
    same: bool
    different: tuple[str, ...]


def start(home: Path, *argv: str) -> subprocess.Popen[bytes]:
    """Start the program in a workspace."""
    return subprocess.Popen(
        [sys.executable, "-m", "agent", *argv],
        cwd=home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def content(home: Path) -> dict[str, object]:
    """Return all that a run left, but for times."""
    with KnowledgeBase.open(home / "knowledge.db") as knowledge:
        (run,) = knowledge.runs()
        parts: dict[str, list[object]] = {
            "attempts": [asdict(a) for a in knowledge.attempts(run_id=run.id)],
            "calls": [asdict(c) for c in sorted(knowledge.calls(run.id), key=lambda c: c.key)],
            "lessons": [asdict(x) for x in knowledge.lessons(run_id=run.id, limit=None)],
            "status": [run.status],
        }
    ledger_rows = (home / "rows.jsonl").read_text(encoding="utf-8").splitlines()[1:]
    parts["cassette"] = sorted((json.loads(line) for line in ledger_rows), key=lambda call: str(call.get("key")))  # type: ignore[type-var]
    return {name: _plain(part) for name, part in parts.items()}


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key not in _TIMES}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def one(base: Path, home: Path, whole: dict[str, object], seconds: float, seed: int, most: int) -> Killed:
    """Kill and resume one run until it ends, and compare."""
    rng = random.Random(seed)
    shutil.copytree(base, home)
    run, kills = None, 0
    while True:
        process = start(home, *(("mine", "--resume", run) if run else MINE), *LEDGER_ROWS)
        try:
            process.wait(timeout=rng.uniform(0.25, 1.0) * seconds if kills < most else None)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            with KnowledgeBase.open(home / "knowledge.db") as knowledge:
                run = next((r.id for r in knowledge.runs()), None)
            continue
        break
    found = content(home)
    different = tuple(name for name, part in whole.items() if found[name] != part)
    if not different:
        shutil.rmtree(home)
    return Killed(kills, not different, different)


def main() -> None:
    """Measure, print a line and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--kills", type=int)
    parser.add_argument("--workers", type=int, default=1, help="Runs killed side by side.")
    options = parser.parse_args()
    wanted = options.kills or (4 if options.quick else 200)
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder:
        base, whole = Path(folder) / "base", Path(folder) / "whole"
        subprocess.run([sys.executable, "-m", "agent", "init", str(base)], cwd=ROOT, check=True, capture_output=True)
        if start(base, "data", "synth", "--bars", "2500", "--name", "toy").wait() != 0:
            raise SystemExit("no market could be made")
        shutil.copytree(base, whole)
        started = time.perf_counter()
        if start(whole, *MINE, *LEDGER_ROWS).wait() != 0:
            raise SystemExit("the uninterrupted run failed")
        seconds, expected = time.perf_counter() - started, content(whole)
        found: list[Killed] = []
        most = min(_MOST, wanted)
        with ThreadPoolExecutor(options.workers) as pool, console.status("killing") as status:
            while (done := sum(k.kills for k in found)) < wanted:
                status.update(f"{done} of {wanted} kills, {len(found)} runs")
                first = len(found)
                jobs = [
                    pool.submit(one, base, Path(folder) / f"k{k}", expected, seconds, k, most)
                    for k in range(first, first + options.workers)
                ]
                found += [job.result() for job in jobs]
    kills, differ = sum(k.kills for k in found), [k for k in found if not k.same]
    Console().print(
        f"{kills} kills over {len(found)} runs: {len(differ)} ended otherwise {[k.different for k in differ]}"
    )
    print(json.dumps({"kills": kills, "runs": len(found), "different": len(differ), "whole_run_s": seconds}))


if __name__ == "__main__":
    main()
