"""The page of flows shows what is on the disk: regimes as they were stored, and the pages that commands wrote."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from flows.regime_store import store_regimes
from flows.regimes import Projection, RegimeModel
from market.panel_store import save_panel
from market.synthetic.demo_market import SynthSpec, make_market
from tests.agent.web_client import Browser, text_of


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A workspace with a fitted flow by its files' names: the page opens neither data nor gate."""
    (tmp_path / "alphaglow.toml").touch()
    for folder, file in (("data", "toy.parquet"), ("models", "toy.gate.npz"), ("reports", "toy-flow-scenarios.html")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_text("x")
    (tmp_path / "reports" / "toy-audit.html").write_text("x")
    return tmp_path


def _regimes(names: tuple[str, str]) -> RegimeModel:
    return RegimeModel(
        "hmm",
        Projection(np.zeros(2), np.eye(2)),
        np.zeros((2, 2)),
        np.stack([np.eye(2)] * 2),
        np.array([[0.95, 0.05], [0.25, 0.75]]),
        names,
        stability=0.5,
    )


def test_stored_regimes_and_written_pages_are_shown(home: Path) -> None:
    model = _regimes(("calm, up", "wild <b>"))
    labels = np.array([-1] * 10 + [0] * 30 + [1] * 4 + [0] * 30 + [1] * 16)
    store_regimes(model, labels, "panel:1", 12, home / "models" / "toy.regimes.npz")
    page = Browser(home).get("/flow")
    assert page.status_code == 200
    said = text_of(page).replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert "The last bar is wild &lt;b&gt; ." in said
    assert "agree to 0.50 " in said
    # Share of the labelled bars, bars a stay, the next one and the chance of it.
    assert "calm, up 75.0 % 30.0 wild &lt;b&gt; 5.00 %" in said
    assert "wild &lt;b&gt; 25.0 % 10.0 calm, up 25.00 %" in said
    assert '<a href="/written/toy-flow-scenarios.html">Scenarios</a>' in page.text
    assert "Risk: none yet alphaglow flow risk --data toy" in said
    others = page.text.split("Other written pages")[1]
    assert "toy-audit.html" in others
    assert "scenarios" not in others


def test_regimes_are_drawn_over_time(home: Path) -> None:
    """Over the labelled bars of the stored data; the first ten had no label, and stand on no picture."""
    panel = make_market(SynthSpec(bars=400)).panel
    save_panel(panel, home / "data" / "toy.parquet")
    model = _regimes(("calm, up", "wild <b>"))
    store_regimes(model, np.array([-1] * 10 + [0] * 60 + [1] * 330), "panel:1", 12, home / "models" / "toy.regimes.npz")
    page = Browser(home).get("/flow").text
    drawn = page.split('<figure class="areas">')[1].split("</figure>")[0]
    assert "Share of each regime over the last 10 bars." in drawn
    assert "wild &lt;b&gt;" in drawn
    assert "<b>" not in drawn
    paths = re.findall(r'<path class="area c(\d) stack" d="M([\d.]+),([\d.]+)', drawn)
    assert {colour for colour, _, _ in paths} == {"1", "2"}
    assert "Jan" in drawn
    assert drawn.count("<svg") == 2


def test_regimes_that_cannot_be_read_leave_the_page_whole(home: Path) -> None:
    assert "Regimes: none yet" in text_of(Browser(home).get("/flow"))
    (home / "models" / "toy.regimes.npz").write_bytes(b"no")
    page = Browser(home).get("/flow")
    assert page.status_code == 200
    assert "not a set of regimes" in text_of(page)
    assert "Scenarios" in text_of(page)
