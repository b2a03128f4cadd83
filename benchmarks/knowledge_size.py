"""What a large knowledge base costs each who asks it: seconds of the processor and memory, each in its own process.

    python -m benchmarks.knowledge_size [--size N] [--keep DIR] [--quick]

A base of N attempts on a small simulated market is made (see `benchmarks.knowledge_rows`; a tenth is scored in full),
then the commands of the program are run on it, each in a process of its own. A base of 500 stands beside it: what it
costs there is Python, imports and data. Last, what one more attempt costs with all that the loop asks for it. What a
search leaves beside the base, draws of the largest score among all trials, is made before: a search of that many
attempts spreads this over its days.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from agent.knowledge.knowledge_base import KnowledgeBase
from benchmarks.knowledge_rows import ROUND, Variants, fill, ideas_of
from factors.parse import parse
from factors.tree import Expression
from market.panel_store import load_panel

_CONSOLE = Console(stderr=True)
_NEW = 200
# A small process waits for the command: what a large one holds when it begins another counts as that one's memory.
_WATCH = """
import os, sys
child = os.fork()
if not child:
    os.dup2(2, 1)
    os.execv(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""
# What is asked; RUN and FACTOR are those of the base.
_ASKED = {
    "start a run, brief a round": "mine --llm mock --rounds 1 --candidates 1 --no-gate",
    "kb list": "kb list",
    "kb list --run": "kb list --run RUN",
    "kb search WORDS": "kb search idea crowds",
    "kb search --theme": "kb search --theme volume",
    "kb show": "kb show FACTOR",
    "kb lessons": "kb lessons",
    "kb luck": "kb luck RUN",
    "kb judge": "kb judge",
    "kb verify": "kb verify",
}


def make_workspace(folder: Path, size: int) -> Path:
    """Make a workspace with a simulated market, and a knowledge base of a given number of attempts on it."""
    for words in (["init", str(folder)], ["-w", str(folder), "data", "synth", "--bars", "2500", "--name", "toy"]):
        subprocess.run([sys.executable, "-m", "agent", *words], check=True, stdout=subprocess.DEVNULL)
    panel = load_panel(folder / "data" / "toy.parquet")
    with Progress(console=_CONSOLE, transient=True) as bar, KnowledgeBase.open(folder / "knowledge.db") as knowledge:
        task = bar.add_task("writing attempts", total=size)
        fill(knowledge, panel, size, show=lambda done: bar.update(task, completed=done))
        bar.update(task, description="drawing the largest score")
        knowledge.largest_scores(panel.id)
    return folder


def measured(folder: Path, words: str, names: dict[str, str]) -> tuple[float, float]:
    """Run a command; return its seconds of the processor and the megabytes that it held at most."""
    asked = [names.get(word, word) for word in words.split()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as said:
        command = [sys.executable, "-m", "agent", "-w", str(folder), *asked]
        watched = [sys.executable, "-S", "-c", _WATCH, *command]
        done = subprocess.run(watched, stdout=subprocess.PIPE, stderr=said, env=environment, check=True)
        code, seconds, kilobytes = done.stdout.split()
        if int(code) not in (0, 1):
            said.seek(0)
            raise SystemExit(f"{' '.join(asked)} ended with {int(code)}: {said.read()[-2000:].decode()}")
    return float(seconds), float(kilobytes) / 1024


def names_in(folder: Path) -> dict[str, str]:
    """Return a run and a factor of a base, to be named in a command."""
    with closing(sqlite3.connect(folder / "knowledge.db")) as base:
        run = base.execute("SELECT id FROM runs ORDER BY seq LIMIT 1").fetchone()
        factor = base.execute("SELECT factor_id FROM evaluations ORDER BY attempt_id LIMIT 1 OFFSET 20").fetchone()
    return {"RUN": run[0], "FACTOR": factor[0]} if run and factor else {}


def one_more(folder: Path, size: int) -> float:
    """Return the milliseconds of the processor that one more attempt takes, with what the loop asks for it: a median.

    What a process asks once (which clusters there are, how many trials) is not in it.
    """
    panel = load_panel(folder / "data" / "toy.parquet")
    variants, spent = Variants(7, ideas_of(size)), []
    with KnowledgeBase.open(folder / "knowledge.db") as knowledge:
        run = knowledge.create_run(panel.id, knowledge.runs()[0].config, 1)
        for number in range(_NEW):
            if number % ROUND == 0:
                knowledge.start_round(run.id, number // ROUND, {})
            attempt = variants.draw(run.id, number).attempt
            expression = parse(attempt.text, dialect="native")
            start = time.process_time()
            if isinstance(expression, Expression) and attempt.evaluation is not None:
                knowledge.scored_twin(expression, panel_id=panel.id, ranks_alike=True)
                knowledge.novelty(expression)
                knowledge.trials(panel.id)
                fingerprint = attempt.evaluation.returns_fingerprint
                assert fingerprint is not None
                knowledge.accepted_nearby(panel.id, fingerprint, but=expression.id, most=3)
            knowledge.record_attempt(attempt)
            spent.append(1e3 * (time.process_time() - start))
    return median(spent[_NEW // 4 :])


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its table and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=float, default=20_000)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="Keep the workspaces here, and use what is here.")
    options = parser.parse_args(argv)
    size = 2_000 if options.quick else int(options.size)
    figures: dict[str, object] = {"size": size}
    with tempfile.TemporaryDirectory() as name:
        root = options.keep or Path(name)
        small, large = (root / f"attempts_{count}" for count in (500, size))
        for folder, count in ((small, 500), (large, size)):
            if not (folder / "knowledge.db").is_file():
                make_workspace(folder, count)
        figures["bytes_an_attempt"] = round((large / "knowledge.db").stat().st_size / size)
        table = Table("asked", "500: s", "MB", f"{size:,}: s", "MB")
        for what, words in _ASKED.items():
            row = []
            for folder in (small, large):
                # A run writes; what only reads needs no copy of gigabytes.
                place = shutil.copytree(folder, root / "copy") if words.startswith("mine") else folder
                row += [round(value, 2) for value in measured(place, words, names_in(place))]
                if place != folder:
                    shutil.rmtree(place)
            figures[what] = row
            table.add_row(what, *map(str, row))
        for folder in (small, large):
            copy = shutil.copytree(folder, root / "copy")
            figures[f"ms an attempt, {folder.name}"] = round(one_more(copy, size), 2)
            shutil.rmtree(copy)
    Console().print(table)
    Console().print(f"seconds of the processor; {figures['bytes_an_attempt']} bytes an attempt in the file")
    print(json.dumps(figures))


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()
