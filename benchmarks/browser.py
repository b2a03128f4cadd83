"""What `alphaglow ui` costs: pages of a large base, a server that waits, and 50 tabs that stay open.

    python -m benchmarks.browser WORKSPACE [--tabs N] [--minutes M]

Starts a server of its own on the workspace (make one by `python -m benchmarks.knowledge --size 100000`) and prints, for
each page, the median time and the processor time of the server; its load while nothing is asked; and its memory, files
and load with N tabs of Chromium open for M minutes on *Now*, which listens for events, and after they are closed.
Linux only: figures come from /proc.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path
from urllib.request import urlopen

from tests.agent.web_server import ARGUMENTS, CHROMIUM, served

PAGES = ("/", "/factors", "/factors?sort=predicts", "/factors?q=volume", "/pools", "/knowledge", "/spend")
_TIMES = 11


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    facts = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")


def held_now(pid: int) -> str:
    """Return memory, open files and threads of a process, in words."""
    status = dict(
        line.split(":", 1)
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        if ":" in line
    )
    megabytes = int(status["VmRSS"].split()[0]) / 1024
    files = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return f"{megabytes:.0f} MB, {files} open files, {status['Threads'].strip()} threads"


def time_pages(address: str, pid: int) -> None:
    """Print what each page takes, the first time and then."""
    for page in PAGES:
        took, before = [], processor_seconds(pid)
        for turn in range(_TIMES):
            started = time.perf_counter()
            with urlopen(address + page) as answer:
                answer.read()
            took.append(1e3 * (time.perf_counter() - started))
            if turn == 0:
                before = processor_seconds(pid)
        used = 1e3 * (processor_seconds(pid) - before) / (_TIMES - 1)
        print(f"{page}: first {took[0]:.0f} ms, then {statistics.median(took[1:]):.0f} ms, processor {used:.0f} ms")


def load_over(pid: int, seconds: float) -> str:
    """Return the share of a core that a process uses over some seconds, in words."""
    before, started = processor_seconds(pid), time.perf_counter()
    time.sleep(seconds)
    used = processor_seconds(pid) - before
    return f"{100 * used / (time.perf_counter() - started):.2f} % of a core"


def open_tabs(address: str, pid: int, tabs: int, minutes: float) -> None:
    """Open tabs, leave them, close them, twice; print what the server keeps each time."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        for turn in (1, 2):
            browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            # Six connections a browser context: tabs that listen would wait for each other.
            pages = [browser.new_context().new_page() for _ in range(tabs)]
            for page in pages:
                page.set_default_timeout(240_000)
                page.goto(address, wait_until="domcontentloaded")
            print(f"{tabs} tabs, turn {turn}: {held_now(pid)}")
            print(f"  left open: {load_over(pid, 60 * minutes)}; then {held_now(pid)}")
            browser.close()
            time.sleep(20)
            print(f"  closed: {held_now(pid)}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--tabs", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=2.0, help="for which the tabs stay open, each time")
    args = parser.parse_args()
    with served(args.workspace) as (address, pid):
        time_pages(address, pid)
        print(f"nothing asked: {load_over(pid, 30)}; {held_now(pid)}")
        open_tabs(address, pid, args.tabs, args.minutes)


if __name__ == "__main__":
    main()
