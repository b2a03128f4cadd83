"""`alphaglow ui` in a real browser: a run started, watched, stopped and gone on with; factors found and compared."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from agent.study.workspace import Workspace
from agent.web import run_processes
from agent.web.run_processes import under_way
from tests.agent.web_server import ARGUMENTS, BROWSER_MARKS, CHROMIUM, served

pytestmark = BROWSER_MARKS
_MILLISECONDS = 240_000


@pytest.fixture
def address(prepared: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a server that shows a copy of the small workspace."""
    folder = tmp_path / "w"
    shutil.copytree(prepared, folder)
    with served(folder) as (place, _):
        try:
            yield place
        finally:
            # A run goes on without its server: what a failed test left is stopped too.
            run = under_way(Workspace(folder))
            if run is not None:
                os.kill(run.pid, signal.SIGKILL)


def test_a_run_that_was_started_is_under_way_at_once(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A new process shows an empty command line at first; a page drawn then never heard of its run.
    folder = tmp_path / "w"
    shutil.copytree(prepared, folder)
    shown, asked = run_processes._command_of, []

    def late(pid: int) -> str:
        asked.append(pid)
        return "" if len(asked) < 4 else shown(pid)

    monkeypatch.setattr(run_processes, "_command_of", late)
    started = run_processes.start_process(Workspace(folder), ["mine", "--llm", "mock", "--rounds", "1"])
    try:
        assert under_way(Workspace(folder)) == started
    finally:
        os.kill(started.pid, signal.SIGKILL)
    while started.alive():
        pass
    # One that ended before it was seen is not waited for.
    monkeypatch.setattr(run_processes, "_command_of", lambda _pid: "")
    monkeypatch.setattr(run_processes.sys, "executable", shutil.which("true"))
    began = time.monotonic()
    assert not run_processes.start_process(Workspace(folder), ["mine"]).alive()
    assert time.monotonic() - began < run_processes._NAMED_SECONDS


def test_a_run_is_started_watched_stopped_and_gone_on_with(address: str) -> None:
    from playwright.sync_api import sync_playwright

    with urlopen(f"{address}/") as answer:
        assert answer.status == 200
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(_MILLISECONDS)
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        # By keyboard alone: to the field of rounds, along to candidates, and on to the button.
        page.locator("input[name=rounds]").focus()
        page.keyboard.type("200")
        page.keyboard.press("Tab")
        page.keyboard.type("3")
        page.locator("input[name=no_gate]").focus()
        page.keyboard.press("Space")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Start this run?")
        assert "200 rounds of 3 candidates" in page.inner_text("main")
        page.keyboard.press("Enter")
        # Candidates come without the page being loaded again.
        page.wait_for_selector("[data-live=attempts] tr:nth-child(3)")
        assert "is under way" in page.inner_text("h1")
        # A tab that nobody sees does not listen, and goes on where it was: each candidate once.
        page.evaluate("Object.defineProperty(document, 'hidden', {get: () => window.away, configurable: true})")
        page.evaluate("window.away = true; document.dispatchEvent(new Event('visibilitychange'))")
        there = page.locator("[data-live=attempts] tr").count()
        page.wait_for_timeout(3000)
        assert page.locator("[data-live=attempts] tr").count() == there
        page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
        page.wait_for_selector(f"[data-live=attempts] tr:nth-child({there + 1})")
        places = page.locator("[data-live=attempts] td[data-label=Place]").all_inner_texts()
        assert len(places) == len(set(places))
        # A second browser sees the same run, and one that closes does not end it.
        other = browser.new_page()
        other.goto(address)
        assert "is under way" in other.inner_text("h1")
        other.close()
        page.click("[data-live=attempts] td.what a >> nth=0")
        page.wait_for_selector("#said article")
        page.click("text=Stop after the calls under way")
        page.wait_for_selector("h1:has-text('ended')")
        assert "interrupted" in page.inner_text("main")
        page.fill(".acts input[name=budget_calls]", "30")
        page.click("button:has-text('go on')")
        page.wait_for_selector("td:has-text('budget')")
        # Found, opened, drawn, compared.
        page.click("nav >> text=Factors")
        page.select_option("select[name=sort]", "predicts")
        page.click("button:has-text('Find')")
        for box in page.query_selector_all("tbody input[name=id]")[:2]:
            box.check()
        page.click("text=Compare those that are ticked")
        page.wait_for_selector("figure[data-drawn='1'] canvas")
        page.click("thead a >> nth=0")
        page.wait_for_selector("figure[data-drawn='1'] canvas")
        assert said == []
        browser.close()


def test_no_page_is_wider_than_the_screen(address: str) -> None:
    from playwright.sync_api import sync_playwright

    paths = ("/", "/factors?refused=1", "/pools", "/data", "/data/toy", "/flow", "/live", "/knowledge", "/spend")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        said: list[str] = []
        for width, scheme in ((390, "light"), (768, "dark"), (1280, "light")):
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
            for path in paths:
                page.goto(address + path)
                over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
                assert over <= 0, (path, width, over)
            page.close()
        assert said == []
        browser.close()
