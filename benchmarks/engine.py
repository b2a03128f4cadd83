"""The engine beside other engines: new factors evaluated and scored a second, memory, start-up, live bars, scaling.

    python -m benchmarks.engine [--quick] [--only SECTION ...] [--data FOLDER]

Panel A has 50 assets and 17 520 hourly bars, panel B 500 assets and 2 520 daily ones. Factors are drawn by the
project's own grammar, with seed 0, over operators that every peer has. Peers run on the same trees and fields in the
same process, in turn with ours; their values are compared with ours first. They come with the extra `bench`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import engine_rivals as rivals
from benchmarks import engine_sections as sections
from benchmarks.engine_setup import draw_batch, histogram, make_market, rows_of

SHARED = Path(__file__).resolve().parents[2] / "shared"
SECTIONS: dict[str, Callable[[sections.Setting], dict[str, Any]]] = {
    "screen": sections.screen,
    "memory": sections.memory,
    "cold": sections.cold,
    "peers": rivals.peers,
    "kunquant": rivals.kunquant,
    "worldquant": rivals.worldquant,
    "live": sections.live,
    "evolving": sections.evolving,
    "scaling": sections.scaling,
    "windows": sections.windows,
    "profile": sections.profile,
    "real": sections.real,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the sections asked for; print a table each, and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small batches and few peers, under a minute")
    parser.add_argument("--only", nargs="*", choices=list(SECTIONS), default=None)
    parser.add_argument("--data", type=Path, default=SHARED)
    args = parser.parse_args(argv)
    # Peers divide by zero and take logarithms of negatives aloud.
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    console = Console(stderr=True)
    setting = sections.Setting(
        quick=args.quick,
        console=console,
        hourly=make_market(17_520, 50, "h"),
        daily=make_market(2_520, 500, "D"),
        batch=draw_batch(100 if args.quick else 1_000),
        shared=args.data,
    )
    Console().print(f"operators of the batch: {histogram(setting.batch)}")
    slow = {"worldquant", "scaling", "real", "windows"} if args.quick else set()
    missing = [name for name in ("bottleneck", "KunQuant", "polars") if importlib.util.find_spec(name) is None]
    if missing:
        console.print(
            f"without {', '.join(missing)} nothing runs beside peers: pip install -e '.[bench]'", markup=False
        )
        slow |= {"peers", "kunquant", "worldquant"}
    figures: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        if name in slow if args.only is None else name not in args.only:
            continue
        begun = time.perf_counter()
        with console.status(name):
            figures[name] = section(setting)
        _print(name, figures[name], time.perf_counter() - begun)
    print(json.dumps({"benchmark": "engine", "quick": args.quick, **figures}))


def _print(name: str, figures: dict[str, Any], seconds: float) -> None:
    table = Table(title=f"{name} ({seconds:.0f} s)", show_header=False, title_justify="left")
    for label, value in rows_of(figures):
        table.add_row(label, value)
    Console().print(table)


if __name__ == "__main__":
    main()
