"""How pages are laid out: where headings, pictures, tables and forms stand on the screen; kept in `page_layouts.json`.

    python -m tests.agent.page_layouts

writes the file again from the reports of `review_examples`, after a page was changed on purpose and looked at. What is
kept allows for other fonts: which blocks follow each other, and where on the width of the screen each begins and ends,
but not how high it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.review.comparison import render_comparison
from agent.review.render import render_factor, render_findings, render_pool, render_run
from tests.agent.review_examples import (
    make_audit,
    make_comparison,
    make_findings,
    make_health,
    make_pool,
    make_review,
    make_run,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# A block: what it is, and its left and right edge in hundredths of the screen's width.
Block = tuple[str, int, int]
FILE = Path(__file__).with_suffix(".json")
WIDTHS = (390, 1280)
# Hundredths of the screen by which an edge may differ: other fonts break lines and columns elsewhere.
TOLERANCE = 4
REPORTS: dict[str, Callable[[], str]] = {
    "factor": lambda: render_factor(make_review()),
    "run": lambda: render_run(make_run(make_review())),
    "pool": lambda: render_pool(make_pool()),
    "findings": lambda: render_findings(make_findings()),
    "audit": lambda: render_findings(make_audit()),
    "health": lambda: render_findings(make_health()),
    "comparison": lambda: render_comparison(make_comparison(5)),
}
# Blocks that are seen, from the top; what stands inside another block of the list is part of that block.
_BLOCKS = """() => {
  const kinds = "h1, h2, h3, figure, table, form, pre, dl, nav, progress, .verdict, .claim";
  const seen = (one) => { const box = one.getBoundingClientRect(); return box.width > 2 && box.height > 2; };
  return [...document.querySelectorAll(kinds)]
    .filter((one) => seen(one) && one.checkVisibility() && !one.parentElement.closest("figure, table, form, dl, nav"))
    .map((one) => {
      const box = one.getBoundingClientRect();
      return [one.tagName.toLowerCase(), box.left, box.right, box.top + scrollY, box.bottom + scrollY];
    });
}"""


def blocks_of(page: Page, width: int) -> tuple[list[Block], list[str]]:
    """Return the blocks of a page as it is shown, and in words which of them lie over one another."""
    found = page.evaluate(_BLOCKS)
    over = []
    for k, (kind, left, right, _, bottom) in enumerate(found):
        for other, start, end, top, _ in found[k + 1 :]:
            if top < bottom - 2 and min(right, end) - max(left, start) > 2:
                over.append(f"a {other} lies over the {kind} before it, {bottom - top:.0f} px")
    return [(kind, round(100 * left / width), round(100 * right / width)) for kind, left, right, _, _ in found], over


def differences(came: Sequence[Block], kept: Sequence[Block]) -> list[str]:
    """Return in words where a layout differs from the one that was kept by more than fonts explain."""
    if [one[0] for one in came] != [one[0] for one in kept]:
        return [f"other blocks: {' '.join(x[0] for x in came)}; were: {' '.join(x[0] for x in kept)}"]
    return [
        f"block {k}, {kind}: from {left} to {right} hundredths of the width; was from {old_left} to {old_right}"
        for k, ((kind, left, right), (_, old_left, old_right)) in enumerate(zip(came, kept, strict=True))
        if max(abs(left - old_left), abs(right - old_right)) > TOLERANCE
    ]


def report_layouts(browser: Browser, folder: Path) -> Mapping[str, tuple[list[Block], list[str]]]:
    """Return the layout of every report at every width, by `name-width`, and what overlaps there."""
    found = {}
    for width in WIDTHS:
        page = browser.new_page(viewport={"width": width, "height": 900})
        for name, make in REPORTS.items():
            file = folder / f"{name}.html"
            if not file.is_file():
                file.write_text(make(), encoding="utf-8")
            page.goto(file.as_uri())
            found[f"{name}-{width}"] = blocks_of(page, width)
        page.close()
    return found


def kept_layouts() -> dict[str, list[Block]]:
    """Return the layouts that were kept."""
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    return {name: [(kind, left, right) for kind, left, right in blocks] for name, blocks in stored.items()}


def main() -> None:
    """Write the file again."""
    import tempfile

    from playwright.sync_api import sync_playwright

    from tests.agent.web_server import ARGUMENTS, CHROMIUM

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        found = report_layouts(browser, Path(folder))
        browser.close()
    lines = (f'"{name}": {json.dumps(blocks)}' for name, (blocks, _) in found.items())
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
