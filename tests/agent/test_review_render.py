"""Whole reports: well-formed, offline, escaped, small, honest about simulation, silent about the holdout."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from agent.knowledge.score_documents import read_flat
from agent.review.comparison import compare_reviews, render_comparison
from agent.review.factor_tables import drawdown_rows
from agent.review.render import render_factor, render_findings, render_pool, render_run, write_report
from agent.review.review_records import (
    Critique,
    FactorRow,
    FunnelStep,
    LedgerRow,
    LessonRow,
    PanelNote,
    RelatedFactor,
    Stop,
    compound,
)
from backtest.result_types import SegmentScore
from market.errors import InputError
from tests.agent.review_examples import (
    SEGMENT,
    UNKNOWN,
    make_audit,
    make_comparison,
    make_findings,
    make_health,
    make_pool,
    make_profile,
    make_review,
    make_run,
)

HOSTILE = "</title></style><script>alert(1)</script>\" onload='x' &amp; {{ 7 * 7 }} \x00\x1b\ud800\u202e <![CDATA["


def tree_of(html: str) -> ElementTree.Element:
    """Parse the page as XML: stricter than any browser."""
    assert html.startswith("<!DOCTYPE html>\n")
    return ElementTree.fromstring(html.split("\n", 1)[1])


class _References(HTMLParser):
    """Collects what a browser would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "link", "iframe", "img", "object", "embed", "base", "form", "image", "use", "a"}:
            self.found.append((tag, None))
        loads = {"src", "href", "xlink:href", "srcset", "data", "action", "poster", "background"}
        self.found.extend((name, value) for name, value in attrs if name in loads or name.startswith("on"))


def assert_offline(html: str) -> None:
    """Check that a page loads nothing, and that its policy lets run its own script and no other."""
    parser = _References()
    parser.feed(html)
    assert parser.found == [("script", None)]
    script = html.split("<script>", 1)[1].split("</script>", 1)[0]
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html
    assert "@import" not in html
    assert not re.search(r"url\s*\(", html)
    assert "default-src 'none'" in html


PAGES = {
    "factor": lambda: render_factor(make_review()),
    "run": lambda: render_run(make_run(make_review())),
    "pool": lambda: render_pool(make_pool()),
    "findings": lambda: render_findings(make_findings()),
    "audit": lambda: render_findings(make_audit()),
    "health": lambda: render_findings(make_health()),
    "comparison": lambda: render_comparison(make_comparison()),
    "empty run": lambda: render_run(
        make_run(factors=(), funnel=(), stops=(), ledger=(), lessons=(), settings={}, seconds={}, conclusion="")
    ),
}


@pytest.mark.parametrize("page", PAGES)
def test_page_is_well_formed_and_offline(page: str) -> None:
    html = PAGES[page]()
    tree_of(html)
    assert_offline(html)
    html.encode("utf-8")


@pytest.mark.parametrize("bars", [0, 1, 2, 3, 50])
def test_short_series_still_make_a_page(bars: int) -> None:
    review = make_review(bars, train_end=bars // 2, validation_start=bars // 2)
    tree = tree_of(render_factor(review))
    assert len(tree.findall(".//svg")) >= 7
    assert "NaN" not in render_factor(review)


def test_missing_everything_prints_dashes_and_no_nan() -> None:
    bars = 300
    hole = np.full(bars, np.nan)
    nothing: dict[str, object] = {
        "sharpe_net": float("nan"),
        "rank_ic": None,
        "calmar": float("inf"),
        "sortino": "x",
    }
    review = make_review(
        bars,
        train=read_flat(SegmentScore, nothing),
        validation=UNKNOWN,
        equity={"gross": hole, "net": hole},
        ic=hole,
        turnover=hole,
        gate_exposure=None,
        likelihood=None,
        dsr=float("nan"),
        psr=None,
        trials=None,
        reasons=(),
        audits=(),
        lineage=(),
        critiques=(),
        profiles={"validation": make_profile([], (float("nan"),) * 5)},
        reading="",
        rationale="",
    )
    html = render_factor(review)
    tree_of(html)
    body = tree_of(html).find("body")
    assert body is not None
    script = body.find("script")
    assert script is not None
    body.remove(script)
    words = "".join(body.itertext())
    assert not re.search(r"\b(nan|inf|None)\b", words, re.IGNORECASE)
    assert "no data" in words
    # What there is nothing to say of has no section.
    assert "Does the gate earn" not in words
    assert "What the judge said" not in words and "Lineage" not in words and "Why it should work" not in words


def test_hostile_text_stays_text() -> None:
    review = make_review(
        400,
        name=HOSTILE,
        text=HOSTILE,
        reading=HOSTILE,
        rationale=HOSTILE,
        claims={"Who loses it": HOSTILE},
        factor_id=HOSTILE,
        verdict=HOSTILE,
        reasons=(HOSTILE,),
        audits=(HOSTILE,),
        critiques=(Critique(1, True, 3.0, HOSTILE),),
        lineage=(RelatedFactor(HOSTILE, HOSTILE, HOSTILE, HOSTILE),),
        panel=PanelNote(HOSTILE, HOSTILE, 1, 1, HOSTILE, HOSTILE, HOSTILE, HOSTILE),
        train=read_flat(SegmentScore, {"start": HOSTILE, "end": HOSTILE, "sharpe_net": HOSTILE}),
    )
    row = FactorRow(HOSTILE, HOSTILE, HOSTILE, 1, HOSTILE, UNKNOWN, UNKNOWN)
    run = make_run(
        review,
        title=HOSTILE,
        run_id=HOSTILE,
        status=HOSTILE,
        conclusion=HOSTILE,
        factors=(row,),
        funnel=(FunnelStep(HOSTILE, 1),),
        stops=(Stop(HOSTILE, HOSTILE, 1),),
        ledger=(LedgerRow(HOSTILE, HOSTILE, 1, None, None, None, float("nan")),),
        lessons=(LessonRow(1, HOSTILE, HOSTILE, (HOSTILE,)),),
        settings={HOSTILE: HOSTILE},
        seconds={HOSTILE: 1.0},
    )
    for html in (render_factor(review), render_run(run)):
        tree = tree_of(html)
        assert_offline(html)
        assert len(tree.findall(".//script")) == 1
        assert "{{ 7 * 7 }}" in "".join(tree.itertext())
        assert not re.search("[\x00\x1b\ud800\u202e]", html)
        html.encode("utf-8")


def words_before_opening(html: str) -> int:
    """Return how many words a page shows before anything is opened, pictures left out."""
    body = tree_of(html).find("body")
    assert body is not None

    def words(node: ElementTree.Element) -> int:
        if node.tag in {"script", "svg"}:
            return 0
        shown = [child for child in node if node.tag != "details" or child.tag == "summary"]
        own = len((node.text or "").split())
        return own + sum(words(child) + len((child.tail or "").split()) for child in shown)

    return words(body)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_short_until_it_is_opened(page: str) -> None:
    html = PAGES[page]()
    assert len(html.encode("utf-8")) <= 600_000
    assert 20 < words_before_opening(html) <= 1_500


def test_long_history_stays_small() -> None:
    bars = 60_000
    html = render_factor(make_review(bars, critiques=[Critique(k, False, 1.0, "x" * 50_000) for k in range(80)]))
    assert len(html.encode("utf-8")) <= 600_000
    row = FactorRow("f:1", "name", "cs_rank(close)", 1, "rejected", SEGMENT, SEGMENT)
    lessons = [LessonRow(1, "failure", "y" * 300)] * 3000
    html = render_run(make_run(make_review(bars), factors=[row] * 5000, lessons=lessons))
    assert len(html.encode("utf-8")) <= 600_000
    assert words_before_opening(html) <= 1_500
    assert "4\u202f800 more are in the knowledge base" in html


@pytest.mark.parametrize(("market", "llm"), [(True, True), (True, False), (False, True), (False, False)])
def test_simulation_is_said_exactly_when_it_is_so(market: bool, llm: bool) -> None:
    review = make_review(100, simulated_market=market, simulated_llm=llm)
    run = make_run(review, simulated_market=market, simulated_llm=llm)
    for html in (render_factor(review), render_run(run)):
        assert ("Simulated market" in html) is market
        assert ("Simulated language model" in html) is llm
        assert ("[simulated]</title>" in html) is (market or llm)


def test_no_holdout_figure_can_be_drawn_or_printed() -> None:
    with pytest.raises(ValueError, match="ends with validation"):
        make_review(1000, validation_stop=900)
    secret = {"holdout": 98765.4, "sharpe_net_holdout": 98765.4, "holdout_sharpe": {"net": 98765.4}}
    segment = read_flat(SegmentScore, {**SEGMENT.to_dict(), **secret})
    review = make_review(200, train=segment, validation=segment)
    row = FactorRow("f:1", "a", "close", 1, "rejected", segment, read_flat(SegmentScore, secret))
    for html in (render_factor(review), render_run(make_run(review, factors=(row,)))):
        assert "98765" not in html.replace("\u202f", "")


def test_series_must_match_the_times() -> None:
    with pytest.raises(ValueError, match="net"):
        make_review(100, equity={"net": np.zeros(99)})
    with pytest.raises(ValueError, match="unknown equity series holdout"):
        make_review(100, equity={"holdout": np.zeros(100)})


def test_unknown_cost_is_never_zero() -> None:
    words = "".join(tree_of(render_run(make_run(simulated_llm=False))).itertext())
    assert "unknown" in words
    ledger = (LedgerRow("writer", "m", 1, 5, 5, 0.5, 1.0), LedgerRow("judge", "m", 1, 5, 5, 0.25, 1.0))
    known = make_run(ledger=ledger, simulated_llm=False)
    assert "$0.7500" in render_run(known)


def test_same_review_same_bytes() -> None:
    assert render_factor(make_review()) == render_factor(make_review())


def test_write_is_whole_or_nothing(tmp_path: Path) -> None:
    target = tmp_path / "reports" / "factor.html"
    assert write_report("<p>é</p>", target) == target
    assert target.read_text(encoding="utf-8") == "<p>é</p>"
    assert [entry.name for entry in target.parent.iterdir()] == ["factor.html"]
    folder = tmp_path / "folder.html"
    folder.mkdir()
    with pytest.raises(InputError, match="cannot write the report"):
        write_report("x", folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write the report"):
        write_report("x", tmp_path / "file" / "report.html")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder.html", "reports"]


def words_of(html: str) -> str:
    """Return the text of a page as one line."""
    return " ".join("".join(tree_of(html).itertext()).split())


def test_a_run_says_which_test_each_factor_failed_and_labels_every_figure_with_its_split() -> None:
    row = FactorRow(
        "f:1", "Late", "ts_delta(close, 5)", 2, "rejected", SEGMENT, SEGMENT, None,
        "earns", "what it earns after costs may be luck", "momentum",
    )  # fmt: skip
    html = render_run(make_run(factors=(row,)))
    said = words_of(html)
    assert "earns: what it earns after costs may be luck" in said and "momentum" in said
    heads = [node.text or "" for node in tree_of(html).findall(".//table[@class]/thead/tr/th")]
    figures = [head for head in heads if any(word in head for word in ("Sharpe", "score", "Turnover", "a year"))]
    assert figures and all(head.endswith(("train", "valid.")) for head in figures)


def test_lessons_of_the_last_round_stand_by_kind_and_older_ones_wait() -> None:
    lessons = [LessonRow(1, "sign", "an old one"), LessonRow(2, "cost", "slower"), LessonRow(2, "sign", "negate it")]
    html = render_run(make_run(lessons=lessons))
    assert "Lessons of round 2" in html
    before = html.split("All lessons")[0]
    assert "slower" in before and "negate it" in before and "an old one" not in before


def test_columns_that_are_equal_in_all_rows_become_a_sentence() -> None:
    html = render_findings(make_findings())
    said = words_of(html)
    assert "In all rows: vol., hindsight 0.44, exposure 91.2 %, turnover 1.08." in said
    assert "Of none is known: note." in said
    assert not any((node.text or "") == "exposure" for node in tree_of(html).findall(".//th"))


def test_the_deepest_falls_are_ranked_and_dated() -> None:
    returns = np.zeros(200)
    returns[20], returns[30], returns[60], returns[190] = -0.1, 0.2, -0.3, 0.01
    review = make_review(200, equity={"net": compound(returns), "gross": compound(returns)})
    rows = drawdown_rows(review)
    assert [row.cells[0] for row in rows] == ["−30.0\u202f%", "−10.0\u202f%"]
    assert rows[0].cells[2] == "not yet" and rows[1].cells[2] == str(review.times[30])[:10]
    assert rows[1].cells[3] == "10"


def test_only_factors_of_the_same_bars_are_compared() -> None:
    first = make_review(300)
    other = make_review(300, panel=replace(first.panel, panel_id="panel:other", name="stocks"))
    with pytest.raises(InputError, match="stocks"):
        compare_reviews([first, other])
    with pytest.raises(InputError, match="1 factors"):
        compare_reviews([first])
    alike = make_comparison()
    assert alike.correlations.shape == (3, 3) and alike.correlations[0, 0] == pytest.approx(1.0)
    assert ("1.84" in words_of(render_comparison(alike))) and "train / validation" in render_comparison(alike)


def test_the_heaviest_members_of_a_pool_stand_open_and_all_are_one_click_away() -> None:
    pool = make_pool()
    members = tuple(
        replace(pool.members[0], factor_id=f"f:{k}", name=f"Alpha{k:03}", weight=max(0.0, 0.02 * (31 - k)))
        for k in range(101)
    )
    page = render_pool(replace(pool, members=members, correlations=np.eye(101)))
    open_part, folded = page.split("All 101 members")
    assert "70 of them have no weight" in folded
    assert "Alpha009" in open_part
    assert "Alpha010" not in open_part.partition("<h2>Members</h2>")[2]
    assert "Alpha100" in folded
    few = render_pool(pool)
    assert "All 3 members" not in few
