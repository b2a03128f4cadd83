"""Reports in a real browser: nothing wider than the screen, no text over text, tables that sort and filter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agent.review.render import render_run
from tests.agent.page_layouts import REPORTS
from tests.agent.review_examples import make_run
from tests.agent.web_server import ARGUMENTS, BROWSER_MARKS, CHROMIUM

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = BROWSER_MARKS
SCREENS: tuple[tuple[int, Literal["light", "dark"]], ...] = (
    (390, "light"),
    (390, "dark"),
    (768, "light"),
    (1280, "dark"),
)
# What a reader would notice: text of a picture over other text of it or cut by its edge, and text cut by its cell.
FAULTS = """() => {
  const found = [];
  for (const svg of document.querySelectorAll("svg.chart")) {
    const frame = svg.getBoundingClientRect();
    if (frame.width === 0) continue;
    const texts = [...svg.querySelectorAll("text")].map((t) => [t.textContent, t.getBoundingClientRect()]);
    texts.forEach(([a, r], i) => {
      if (r.left < frame.left - 1 || r.right > frame.right + 1 || r.bottom > frame.bottom + 1 || r.top < frame.top - 1)
        found.push("cut by its picture: " + a);
      for (const [b, s] of texts.slice(i + 1)) {
        const wide = Math.min(r.right, s.right) - Math.max(r.left, s.left);
        const high = Math.min(r.bottom, s.bottom) - Math.max(r.top, s.top);
        if (wide > 1.5 && high > 3) found.push("over one another: " + a + " | " + b);
      }
    });
  }
  for (const cell of document.querySelectorAll("th, td, dd, dt, h1, h2, h3, p, li, summary, figcaption, code")) {
    const box = cell.getBoundingClientRect();
    if (box.width < 3 || cell.closest("thead")) continue;
    const inline = getComputedStyle(cell).display === "inline";
    if (!inline && cell.scrollWidth > cell.clientWidth + 1) found.push("cut: " + cell.textContent.trim().slice(0, 50));
    if (box.right > window.innerWidth + 1) found.push("off the screen: " + cell.textContent.trim().slice(0, 50));
  }
  return found;
}"""


def listen(page: Page) -> list[str]:
    """Return a list that fills with what a page says to its console, and with its errors."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    return said


def test_pages_fit_every_screen_closed_and_opened(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    faults: list[tuple[str, int, str]] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for name, make in REPORTS.items():
            file = tmp_path / f"{name}.html"
            file.write_text(make(), encoding="utf-8")
            for width, scheme in SCREENS:
                page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
                said = listen(page)
                page.goto(file.as_uri())
                for opened in (False, True):
                    if opened:
                        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
                    over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
                    faults += [(name, width, f"wider than the screen by {over}")] if over > 0 else []
                    faults += [(name, width, fault) for fault in page.evaluate(FAULTS)]
                faults += [(name, width, text) for text in said]
                page.close()
        browser.close()
    assert faults == []


def test_a_table_sorts_and_filters_and_stands_whole_without_scripts(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    run = make_run()
    rows = [run.factors[k % 3] for k in range(9)]
    file = tmp_path / "run.html"
    file.write_text(render_run(make_run(factors=rows)), encoding="utf-8")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        page.goto(file.as_uri())
        column = "table.sortable tbody tr td:nth-child(4)"
        page.click("table.sortable thead button:has-text('Net Sharpe, train')")
        falling = [float(text.replace("−", "-")) for text in page.locator(column).all_inner_texts()]
        assert falling == sorted(falling, reverse=True) and len(set(falling)) > 1
        page.click("table.sortable thead button:has-text('Net Sharpe, train')")
        assert [float(text.replace("−", "-")) for text in page.locator(column).all_inner_texts()] == falling[::-1]
        page.fill("label.filter input", "momentum rejected")
        assert page.locator("table.sortable tbody tr:visible").count() == 3
        assert "3 of 9" in page.inner_text("label.filter")
        bare = browser.new_context(java_script_enabled=False).new_page()
        bare.goto(file.as_uri())
        assert bare.locator("table.sortable tbody tr:visible").count() == 9
        assert bare.locator("label.filter").count() == 0
        browser.close()
