"""Reviews, runs and pools with everything that a page can hold, made of random series; no data set, no database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from agent.drawing.axes import DASH
from agent.evidence.audit_page import findings_of_audit
from agent.evidence.control_audit import Audit, AuditPlan
from agent.evidence.control_runs import Control
from agent.evidence.factor_checks import FactorCheck
from agent.flow.flow_pictures import gate_dots, noticed_map, regime_areas
from agent.knowledge.score_documents import read_flat
from agent.review.comparison import Comparison, compare_reviews
from agent.review.data_page import findings_of_quality
from agent.review.findings import Findings, grid
from agent.review.pool_page import MemberRow, PoolReview, Rival
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
from backtest.nulls import NULLS
from backtest.result_types import (
    DecayPoint,
    Figures,
    GateVerdict,
    HorizonIC,
    Profile,
    RuleFigures,
    SegmentScore,
    SliceScore,
    Tested,
)
from market.checks.all_checks import check_panel
from market.synthetic.demo_market import SynthSpec, make_market

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


def make_review(bars: int = 2000, *, seed: int = 11, **changes: Any) -> Review:
    """A factor over `bars` hourly bars, 82 % of them train, with everything a review can hold."""
    rng = np.random.default_rng(seed)
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
        tests={"earns": Tested(bars, 0.0009, 0.0003, 3.0, 0.001, 0.01, 2.4)},
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


def make_pool(bars: int = 2000) -> PoolReview:
    """A pool of three members, one of which has a long name."""
    review = make_review(bars, kind="Pool", name="mix", critiques=(), lineage=(), rationale="", claims={})
    own = {"train": Figures(0.03, 6.0, 2.4, 0.9, 0.61), "validation": Figures(0.028, 4.0, 1.9, 0.7, 0.17)}
    less = {"train": Figures(0.02, 5.0, 1.4, 0.5), "validation": Figures(0.018, 3.0, 1.1, 0.3)}
    names = ("Quiet accumulation", "Range reversal of the week against the quarter, volatility removed", "")
    members = tuple(
        MemberRow(f"f:{k}", name, f"cs_rank(ts_mean(volume, {12 * k + 12}))", "promising", 0.5 - 0.2 * k, less, less)
        for k, name in enumerate(names)
    )
    correlations = np.array([[1.0, 0.4, -0.3], [0.4, 1.0, 0.1], [-0.3, 0.1, 1.0]])
    curves = {"this pool": review.equity["net"], "equal weights": 0.5 * review.equity["net"]}
    rivals = (Rival("This pool", "aim weights", own), Rival("Equal weights", "of the same members", less))
    facts = {"id": "pool:1", "method": "aim", "weights from": "2022-01-01 to 2024-01-01 (1,640 bars of train)"}
    return PoolReview(review, members, rivals, correlations, curves, ("It was fitted on few bars",), facts)


def make_comparison(count: int = 3, bars: int = 2000) -> Comparison:
    """Factors of one data set, of which one did not reach its profile."""
    names = ("Quiet accumulation", "Range reversal of the week against the quarter", "Late momentum", "Four", "Five")
    verdicts = ("accepted", "untested", "rejected", "promising", "rejected")
    return compare_reviews(
        [
            make_review(bars, name=names[k], factor_id=f"factor:{k}aaaaaaaaaaaa", verdict=verdicts[k], seed=11 + k)
            for k in range(count)
        ]
    )


def make_findings() -> Findings:
    """What `flow backtest` and `flow eval` have: a table of thirty rows and twelve columns, and three pictures."""
    rng = np.random.default_rng(5)
    portfolios = ("the market", "direction, fitted", "momentum", "low volatility", "illiquidity", "direction, first")
    gates = ("flow", "by asset", "both sides", "over Gaussian", "volatility")
    keys = ("ungated", "gated", "shifted", "timing", "tradable", "p_value")
    values = [
        {"portfolio": p, "gate": g, **dict(zip(keys, rng.normal(0.3, 1.0, 6).round(2).tolist(), strict=True))}
        for p in portfolios
        for g in gates
    ]
    columns = ["portfolio", "gate", *keys, "vol., hindsight", "exposure", "turnover", "note"]
    rows = [
        [str(one["portfolio"]), str(one["gate"]), *(f"{one[k]:.2f}" for k in keys), "0.44", "91.2 %", "1.08", DASH]
        for one in values
    ]
    anomalies = [
        {"kind": kind, "score": score, "auroc_bar": 0.6, "auroc_window": float(rng.uniform(0.4, 1.0))}
        for kind in ("jump", "crash", "dead volume", "reversed", "shuffled in time", "scaled")
        for score in ("flow", "flow, both sides", "Gaussian", "isolation forest", "20-bar volatility")
    ]
    times = np.datetime64("2022-01-01", "ns") + np.arange(700) * np.timedelta64(1, "D")
    labels = rng.integers(0, 3, 700)
    areas = regime_areas(times, ("calm, rising", "calm, falling", "wild"), [labels == k for k in range(3)], 60)
    return Findings(
        title="What the gate of demo is worth",
        lead="A plain volatility gate does as well. 2022-01-01 to 2023-12-01, one fit. It costs 3 of 6 portfolios.",
        grids=[
            grid("Falls", ["gate", "fall taken"], [["flow", "93 %"], ["volatility", "90 %"]]),
            grid("Value", columns, rows, left=2, note="Net Sharpe ratios a year."),
        ],
        charts=[gate_dots(values, "flow"), noticed_map(anomalies), ("Share of each regime", areas, "Over 60 bars.")],
        sentences=["never seen in training: A, B"],
        document={},
    )


def make_audit() -> Findings:
    """An audit of two runs on each kind of null market and three with a planted signal, one of them found."""
    plan = AuditPlan(nulls=2, planted=3, strengths=(8.0,))
    controls = [Control(kind, n, 24, 20, 0, n, 1.2) for kind in NULLS for n in range(2)]
    gates = {"predicts": True, "earns": True}
    controls += [
        Control("planted", n, 24, 20, 1, 1, 7.0, 8.0, "cs_rank(volume)", n == 0, True, True, 7.5, "accepted", gates)
        for n in range(3)
    ]
    checks = (
        FactorCheck(
            "f:1", "cs_rank(ts_mean(volume, 24) / ts_mean(volume, 168))", True, True, 0.03, 0.02, 2.0, 1.5, 0.6
        ),
    )
    return findings_of_audit(Audit(plan, tuple(controls), checks), "demo")


def make_health() -> Findings:
    """What is wrong with a small market in which a price jumped, bars are missing and nothing traded."""
    panel = make_market(SynthSpec(assets=12, bars=2000)).panel
    close = panel["close"].copy()
    close[400:420, 3] = np.nan
    close[900, 5] *= 4.0
    fields = {**{name: panel[name] for name in panel.fields}, "close": close}
    spoiled = replace(panel, fields=fields)
    return findings_of_quality(check_panel(spoiled), spoiled)
