"""Whole reports: well-formed, offline, escaped, small, honest about simulation, silent about the holdout."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from agent.knowledge.score_documents import read_flat
from agent.review.render import render_factor, render_run, write_report
from agent.review.review_records import (
    CorrelatedFactor,
    Critique,
    Expectation,
    FactorRow,
    FunnelStep,
    LedgerRow,
    LessonRow,
    PanelNote,
    RelatedFactor,
    Review,
    RunReview,
    Stop,
    compound,
    likelihood_histogram,
)
from backtest import result_types
from backtest.result_types import (
    DecayPoint,
    GateVerdict,
    HorizonIC,
    Profile,
    RuleFigures,
    SegmentScore,
    SliceScore,
)
from market.errors import InputError

HOSTILE = "</title></style><script>alert(1)</script>\" onload='x' &amp; {{ 7 * 7 }} \x00\x1b\ud800\u202e <![CDATA["
SEGMENT = read_flat(
    SegmentScore,
    {
        "n_bars": 16800,
        "start": "2022-01-01T00:00:00",
        "end": "2023-12-01T23:00:00",
        "rank_ic": 0.0231,
        "ic_ir": 0.0872,
        "ic_tstat": 6.41,
        "sharpe_gross": 4.9,
        "sharpe_net": 2.31,
        "sharpe_gated": 2.94,
        "sharpe_vol_gated": 2.52,
        "sharpe_random_gated": 2.26,
        "shift_percentile": 0.981,
        "sortino": 3.4,
        "calmar": 2.9,
        "max_drawdown": -0.0712,
        "turnover": 0.0421,
        "hit_rate": 0.524,
        "profit_factor": 1.12,
        "annual_return_net": 0.207,
        "annual_return_gated": 0.231,
        "mean_exposure": 0.871,
        "per_bar_sharpe_net": 0.0247,
        "skew": -0.21,
        "kurt": 7.3,
    },
)
UNKNOWN = read_flat(SegmentScore, None)


def make_profile(ics: list[float], quantiles: tuple[float, ...]) -> Profile:
    """Tables of one segment."""
    year = SliceScore("2022", 8760, 0.02, 4.0, 2.0, 0.2)
    regimes = (SliceScore("bull", 9000, 0.03, 5.0, 2.5, 0.3), SliceScore("bear", 7000, 0.01, 1.0, float("nan"), 0.0))
    horizons = tuple(HorizonIC(2**k, ic, 3.0) for k, ic in enumerate(ics))
    decay = tuple(DecayPoint(lag, 0.03 / (1 + lag), 0.01, 3.0) for lag in (0, 1, 2, 4))
    loadings = {"market": 0.1, "momentum": -0.2}
    return Profile(horizons, quantiles, (year,), regimes, loadings, decay=decay, half_life=7.5)


def make_review(bars: int = 2000, **changes: Any) -> Review:
    """A factor over `bars` hourly bars, 82 % of them train, with everything a review can hold."""
    rng = np.random.default_rng(11)
    slow = np.sin(np.arange(bars) / 400) * 0.00004
    gross = rng.standard_t(5, bars) * 0.0009 + 0.00009 + slow
    net = gross - 0.00004
    exposure = np.clip(
        1.15 - np.abs(np.convolve(rng.normal(size=bars + 47), np.ones(48) / 7, "full")[47 : bars + 47]) ** 3,
        0,
        1,
    )
    ic = rng.normal(0.022, 0.28, bars)
    ic[: min(168, bars)] = np.nan
    curves = {
        "gross": gross,
        "net": net,
        "gated": net * exposure + 0.00001,
        "vol_gate": net * np.roll(exposure, 500),
        "random_gate": net * float(np.mean(exposure)) if bars else net,
    }
    likelihood = likelihood_histogram(rng.gamma(6, 3, 50_000) * -1 + 22 - rng.pareto(2, 50_000), -12.4)
    times = np.datetime64("2022-01-01T00", "ns") + np.arange(bars) * np.timedelta64(1, "h")
    review = Review(
        factor_id="f:3f9a61c20b77d4e1",
        name="Quiet accumulation",
        text="cs_rank(ts_decay_linear(ts_mean(volume, 24) / ts_mean(volume, 168), 12)) "
        "- 0.5 * cs_rank(ts_std(returns, 24))",
        reading="Ranks coins by how much recent volume exceeds its weekly norm, smoothed over 12 hours, "
        "less half the rank of their volatility.",
        rationale="Volume that builds while volatility stays low tends to precede informed buying.",
        verdict="accepted",
        train=SEGMENT,
        validation=replace(SEGMENT, n_bars=3336, sharpe_net=1.84, sharpe_gated=2.17, sharpe_vol_gated=1.95),
        times=times,
        equity={name: compound(values) for name, values in curves.items()},
        ic=ic,
        turnover=np.abs(rng.normal(0.042, 0.01, bars)),
        train_end=int(bars * 0.81),
        validation_start=int(bars * 0.82),
        validation_stop=bars,
        simulated_market=True,
        simulated_llm=True,
        panel=PanelNote("demo", "panel:0011223344556677", 12, bars, "2022-01-01", "2024-09-26", "1 h"),
        critiques=(
            Critique(1, False, 4.0, "The ratio isn't normalised across assets."),
            Critique(2, True, 7.5, "Ranks now; turnover is moderate because the ratio moves slowly."),
        ),
        lineage=(RelatedFactor("parent", "f:aaaa", "cs_rank(ts_mean(volume, 24))", "promising"),),
        reasons=("Positive after costs on train and validation.", "Rank IC keeps its sign."),
        audits=("Sharpe above 4 before costs: truncation check passed.",),
        dsr=0.973,
        psr=0.998,
        trials=148,
        gate_exposure=exposure,
        profiles={
            "train": make_profile([0.023, 0.021, 0.018], (-0.00012, -0.00004, 0.00001, 0.00005, 0.00014)),
            "validation": make_profile([0.019, 0.018, 0.012], (-0.0001, -0.00005, 0.00002, 0.00003, 0.00011)),
        },
        gates=(GateVerdict("train_ic", True, {"train": 6.41}, "a t statistic above 3"),),
        rules="rank weights, filled at the next open",
        likelihood=likelihood,
        payoffs=rng.normal(0.03, 0.3, bars),
        quantile_returns=rng.normal(0.0, 0.01, (bars, 5)) + np.linspace(-1e-4, 1e-4, 5),
        tests={"earns": result_types.Tested(bars, 0.0009, 0.0003, 3.0, 0.001, 0.01, 2.4)},
        correlated=(CorrelatedFactor("cs_rank(ts_mean(volume, 24))", 0.41),),
        expected=(Expectation("rank IC", 0.02, 0.0231),),
        rule="all the way each bar",
        tried_rules=(RuleFigures(1.0, 0.0, 1, False, 2.1, 1.84, 0.04), RuleFigures(0.1, 0.0, 1, False, 1.2, 1.0, 0.01)),
        cost_bp=10.0,
    )
    return replace(review, **changes)


def make_run(best: Review | None = None, **changes: Any) -> RunReview:
    """A run of 16 attempts with one factor of each verdict."""
    lower = replace(SEGMENT, sharpe_net=-0.42, sharpe_gated=0.1, rank_ic=0.004)
    run = RunReview(
        run_id="run:01hf7k2m",
        title="demo",
        status="finished",
        created="2024-10-01 08:00 UTC",
        finished="2024-10-01 08:02 UTC",
        seed=7,
        rounds=4,
        panel=PanelNote("demo", "panel:0011223344556677", 12, 8760, "2024-01-01", "2024-11-07", "1 h"),
        simulated_market=True,
        simulated_llm=True,
        factors=(
            FactorRow("f:3f9a", "Quiet accumulation", "cs_rank(volume)", 3, "accepted", SEGMENT, SEGMENT, 0.973),
            FactorRow("f:77b0", "Range reversal", "-ts_zscore(close, 20)", 2, "promising", SEGMENT, lower, 0.61),
            FactorRow("f:0c4e", "Late momentum", "ts_delta(close, 5)", 1, "rejected", lower, lower, None),
        ),
        funnel=(
            FunnelStep("written", 16),
            FunnelStep("parsed", 12),
            FunnelStep("let through by the judge", 8),
            FunnelStep("scored", 3),
            FunnelStep("accepted", 1),
        ),
        stops=(
            Stop("parse", "unknown_operator", 3),
            Stop("reply", "invalid_json", 1),
            Stop("judge", "turn_limit", 4),
        ),
        ledger=(
            LedgerRow("writer", "mock", 31, 40_211, 3_902, 0.0, 1.2),
            LedgerRow("judge", "mock", 24, 22_015, 1_310, None, 0.9),
        ),
        lessons=(LessonRow(1, "success", "Slow volume ratios survive costs.", ("a12", "a15")),),
        settings={"weighting": "rank", "fee": "5 bp", "slippage": "5 bp"},
        seconds={"gate": 31.2, "mining": 44.0},
        conclusion="The best accepted factor correlates 0.91 with the planted truth.",
        best=best,
    )
    return replace(run, **changes)


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
