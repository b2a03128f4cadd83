"""Long work in notebooks: bars where they are wanted, loops that run already, an interrupt that keeps what is done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from alphaglow.notebook import apart, bar, in_notebook


def test_a_bar_is_shown_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []
    monkeypatch.setattr("rich.progress.Progress.update", lambda _self, _task, **what: shown.append(what["completed"]))
    assert not in_notebook()
    for asked in (None, False, True):
        with bar(asked) as tick:
            tick("work", 1, 2)
    assert shown == [1]


def test_work_may_run_a_loop_where_one_runs() -> None:
    async def cell() -> str:
        async def inner() -> str:
            await asyncio.sleep(0)
            return "done"

        return apart(lambda _stop: asyncio.run(inner()))

    assert asyncio.run(cell()) == "done"


def test_an_interrupt_asks_the_work_to_stop_and_keeps_what_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_futures: object, timeout: float) -> object:
        raise KeyboardInterrupt

    def work(stop: Callable[[], bool]) -> str:
        while not stop():
            time.sleep(0.005)
        return "half of it"

    monkeypatch.setattr("alphaglow.notebook.wait", interrupted)
    assert apart(work) == "half of it"


def test_what_goes_wrong_in_the_work_is_raised() -> None:
    def work(_stop: Callable[[], bool]) -> str:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        apart(work)
