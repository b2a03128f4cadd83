"""Pages as pictures, compared loosely: blocks in their places, none over another; a page that lost its style fails."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.agent.page_layouts import blocks_of, differences, kept_layouts, report_layouts
from tests.agent.web_server import ARGUMENTS, BROWSER_MARKS, CHROMIUM, served

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = BROWSER_MARKS
PATHS = ("/", "/factors", "/pools", "/data", "/data/toy", "/data/toy/check", "/flow", "/live", "/knowledge", "/spend")


def test_reports_are_laid_out_as_they_were_and_a_broken_one_is_noticed(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        kept = kept_layouts()
        found = report_layouts(browser, tmp_path)
        assert set(found) == set(kept)
        faults = {name: differences(blocks, kept[name]) + over for name, (blocks, over) in found.items()}
        assert {name: said for name, said in faults.items() if said} == {}
        # What breaks a page in practice: its style does not load, a column does not fit, a block slides over another.
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        for broken in (
            "document.querySelectorAll('style').forEach((one) => one.remove())",
            "document.querySelector('figure').style.width = '60%'",
            "document.querySelector('h2').remove()",
        ):
            page.goto((tmp_path / "factor.html").as_uri())
            page.evaluate(broken)
            assert differences(blocks_of(page, 1280)[0], kept["factor-1280"]), broken
        page.goto((tmp_path / "factor.html").as_uri())
        page.evaluate("document.querySelector('figure').style.marginBottom = '-200px'")
        assert blocks_of(page, 1280)[1]
        browser.close()


def test_pages_of_the_server_stand_inside_one_column_and_nothing_lies_over_another(prepared: Path) -> None:
    from playwright.sync_api import sync_playwright

    with served(prepared) as (address, _), sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for width in (390, 1280):
            page = browser.new_page(viewport={"width": width, "height": 900})
            for path in PATHS:
                page.goto(address + path)
                blocks, over = blocks_of(page, width)
                assert over == [], (path, width)
                assert blocks[0][0] == "nav", path
                assert [kind for kind, _, _ in blocks].count("h1") == 1, path
                edge = next(left for kind, left, _ in blocks if kind == "h1")
                outside = [one for one in blocks[1:] if one[1] < edge - 1 or one[2] > 100 - edge + 1]
                assert outside == [], (path, width)
                assert _cut(page) == [], (path, width)
            page.close()
        browser.close()


def _cut(page: Page) -> list[str]:
    """Return what a reader would have to scroll sideways for."""
    found: list[str] = page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter((one) => one.scrollWidth > one.clientWidth + 1)"
        ".map((one) => one.textContent.trim().slice(0, 50))"
    )
    return found
