"""The live line: what it counts, and that it is safe to print."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from agent.cli.live_line import LiveLine
from agent.knowledge.run_config import Bounds
from agent.llm.budget import Budget
from agent.mining.outer_loop import Event
from tests.agent.commands import run


def test_it_tells_round_best_spend_and_time_left() -> None:
    budget = Budget(Bounds(usd=5.0, calls=400), calls=12, usd=0.42, tokens=9000)
    live = LiveLine(budget, total=20, before=4)
    live.take(Event("round", 2))
    for k in range(5):
        live.take(Event("proposed", 2, k))
    assert "left" not in live.line()
    for k, figure in enumerate((0.1, None, 3.1, -2.0)):
        live.take(Event("attempt", 2, k, f"[red]factor {k}", figure))
    line = Text.from_markup(live.line()).plain
    pieces = (
        "round 2",
        "1 to score",
        "best net score +3.1 [red]factor 2",
        "12 calls of 400",
        "$0.42 of $5",
        "0 s left",
    )
    for piece in pieces:
        assert piece in line
    assert (live.done, live.scored) == (4, 3)


def test_spend_without_prices_is_in_tokens() -> None:
    live = LiveLine(Budget(Bounds(tokens=50_000), calls=3, tokens=1234), total=5)
    assert live.spend() == "3 calls, 1,234 tokens of 50,000"
    assert LiveLine(Budget(), total=5).spend() == "0 calls"


def test_elsewhere_each_event_is_a_line() -> None:
    live = LiveLine(Budget(), total=5, before=1)
    out = Console(file=io.StringIO(), width=200)
    for event in (
        Event("round", 1),
        Event("attempt", 1, 0, "cs_rank(close)", 2.0),
        Event("attempt", 1, 1, "ts_meen is unknown\ndid you mean"),
        Event("lessons", 1, text="volume helps"),
        Event("proposed", 1, 2),
    ):
        live.take(event)
        live.plain(event, out)
    assert out.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "round 1",
        "2/5 net score +2.0 cs_rank(close) (0 calls)",
        "3/5 not scored ts_meen is unknown (0 calls)",
        "lesson: volume helps",
    ]


def test_a_run_that_is_not_watched_leaves_a_log(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "mine", "--llm", "mock", "--rounds", "1", "--candidates", "3", "--no-gate", "--json")
    assert code == 0
    assert "round 1" in err
    assert "3/3" in err
    assert "round 1" not in out
