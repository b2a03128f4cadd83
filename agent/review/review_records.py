"""What a review report draws, as frozen records: no database, no torch, and no holdout.

Whoever builds a `Review` hands over arrays that end with the validation split. The record checks
that itself, so a report that shows holdout bars cannot be built by mistake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from agent.study.trade_frame import TradeTable
from backtest.result_types import GateVerdict, Profile, RuleFigures, SegmentScore, Tested
from market.panel import FloatArray, TimeArray

Amount = TypeVar("Amount", int, float)
# The order is the drawing order, the label what the legend says.
EQUITY_LABELS: Mapping[str, str] = {
    "gross": "gross",
    "net": "net of costs",
    "gated": "net, gated",
    "vol_gate": "net, volatility gate",
    "random_gate": "net, random gate",
}


@dataclass(frozen=True, slots=True)
class PanelNote:
    """The data set in words: `bars` counts what the report may show, never the holdout."""

    name: str
    panel_id: str
    assets: int
    bars: int
    start: str
    end: str
    bar: str
    calendar: str = "continuous"


@dataclass(frozen=True, slots=True)
class Critique:
    """One turn of the judge; `score` on 0 to 10."""

    turn: int
    accept: bool
    score: float
    critique: str


@dataclass(frozen=True, slots=True)
class RelatedFactor:
    """A factor this one came from (``parent``) or that came from it (``child``)."""

    relation: str
    factor_id: str
    text: str
    verdict: str


@dataclass(frozen=True, slots=True)
class CorrelatedFactor:
    """An accepted factor, and the correlation of its gross returns on train with those of the reviewed one."""

    text: str
    correlation: float


@dataclass(frozen=True, slots=True)
class Expectation:
    """A figure that the writer expected of its factor, and what came on train."""

    label: str
    said: float
    came: float


@dataclass(frozen=True, eq=False)
class LikelihoodHistogram:
    """How usual the bars were to the flow.

    Attributes
    ----------
    edges
        (B + 1,) nats, increasing.
    counts
        (B,) bars per bin.
    threshold
        Nats below which the gate is shut.
    below
        How many values lie below the first edge; they are counted in the first bin.
    shut
        Share of values below the threshold, in [0, 1]; NaN when there are none.
    """

    edges: FloatArray
    counts: FloatArray
    threshold: float
    below: int = 0
    shut: float = float("nan")


@dataclass(frozen=True, eq=False)
class Review:
    """One factor, ready to be drawn. T counts bars from the first of train to the last of validation.

    Attributes
    ----------
    factor_id, name, text, reading, rationale
        Who it is: content id, the writer's name, canonical text, plain-language sentence, why it should work.
    verdict
        ``accepted``, ``promising`` or ``rejected``.
    train, validation
        What it did on each; an undefined figure prints as a dash.
    times
        (T,) UTC open times.
    equity
        Name (a key of `EQUITY_LABELS`) to (T,) compounded return since the first bar, 0 = start; see
        `compound`.
    ic
        (T,) rank IC per bar, NaN where undefined.
    turnover
        (T,) traded share of the ungated portfolio per bar.
    train_end, validation_start, validation_stop
        Rows where train stops (exclusive), validation starts, and validation stops (exclusive).
    claims
        What else the writer said of it, by heading: mechanism, horizon, when it should fail, what it was asked to be.
    critiques, lineage, sentence, forward, reasons, audits
        What the judge said, relatives, the verdict in a sentence (see `backtest.verdict_words`), what to expect, why,
        and checks that a suspicious result had to pass.
    dsr, psr, trials
        Deflated and probabilistic Sharpe ratio in [0, 1] when the factor was scored, and the trials that deflated it,
        those that its run still had ahead included; None = unknown.
    dsr_now, trials_now, effective_trials
        The same by all trials recorded by now, whose spread may have grown with their skill; and how many different
        effective trials those were by their returns.
    panel
        The data set in words.
    gate_exposure
        (T,) mean exposure over assets in [0, 1], or None without a gate.
    profiles
        By segment (``train``, ``validation``), what goes into tables and charts by horizon, year, regime and quantile.
    gates
        The admission policy's verdicts, in order.
    failed
        The first test that it failed, in a few words; empty where it failed none.
    openings
        A sentence for each time that the holdout was opened for this factor; its result is not shown.
    rules
        How positions were taken, filled and paid, in words.
    payoffs
        (T,) what each bar paid before costs (see `backtest.payoff`), or None.
    quantile_returns
        (T, Q) mean forward return of each signal quantile, lowest first, NaN where none is; or None.
    tests
        ``predicts`` and ``earns``, as far as they were made.
    correlated
        Accepted factors of these data, the nearest first.
    expected
        What the writer expected in figures.
    rule, tried_rules
        The trading rule in words, and all that it was chosen from, that of the settings first; empty without a choice.
    cost_bp
        Fee and slippage that a trade pays, in basis points of what is traded.
    trades
        The trades that it made, in money where a capital is set.
    kind
        What it is: ``Factor``, or ``Pool``, which nobody wrote and nobody judged.
    simulated_market, simulated_llm
        Whether prices were generated, and whether a simulated model played writer and judge.

    Raises
    ------
    ValueError
        When a series and `times` differ in length, or bars past validation were handed over.
    """

    factor_id: str
    name: str
    text: str
    reading: str
    rationale: str
    verdict: str
    train: SegmentScore
    validation: SegmentScore
    times: TimeArray
    equity: Mapping[str, FloatArray]
    ic: FloatArray
    turnover: FloatArray
    train_end: int
    validation_start: int
    validation_stop: int
    simulated_market: bool
    simulated_llm: bool
    panel: PanelNote
    claims: Mapping[str, str] = field(default_factory=dict)
    critiques: Sequence[Critique] = ()
    lineage: Sequence[RelatedFactor] = ()
    further_children: int = 0
    sentence: str = ""
    forward: str = ""
    reasons: Sequence[str] = ()
    audits: Sequence[str] = ()
    dsr: float | None = None
    psr: float | None = None
    trials: int | None = None
    dsr_now: float | None = None
    trials_now: int | None = None
    effective_trials: int | None = None
    gate_exposure: FloatArray | None = None
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    gates: Sequence[GateVerdict] = ()
    failed: str = ""
    openings: Sequence[str] = ()
    rules: str = ""
    likelihood: LikelihoodHistogram | None = None
    kind: str = "Factor"
    payoffs: FloatArray | None = None
    quantile_returns: FloatArray | None = None
    tests: Mapping[str, Tested] = field(default_factory=dict)
    correlated: Sequence[CorrelatedFactor] = ()
    expected: Sequence[Expectation] = ()
    rule: str = ""
    tried_rules: Sequence[RuleFigures] = ()
    cost_bp: float = float("nan")
    trades: TradeTable | None = None

    def __post_init__(self) -> None:
        """Check lengths, and that nothing past validation is here."""
        count = len(self.times)
        if count > self.validation_stop:
            raise ValueError(f"a review ends with validation (row {self.validation_stop}), got {count} bars")
        series = {"ic": self.ic, "turnover": self.turnover, **self.equity}
        if self.gate_exposure is not None:
            series["gate_exposure"] = self.gate_exposure
        if self.payoffs is not None:
            series["payoffs"] = self.payoffs
        if self.quantile_returns is not None:
            series["quantile_returns"] = self.quantile_returns[:, 0]
        wrong = [name for name, values in series.items() if np.shape(values) != (count,)]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: not one value for each of {count} bars")
        unknown = sorted(set(self.equity) - set(EQUITY_LABELS))
        if unknown:
            raise ValueError(f"unknown equity series {', '.join(unknown)}; known: {', '.join(EQUITY_LABELS)}")


@dataclass(frozen=True, slots=True)
class FactorRow:
    """A scored factor in the run's table; `train` and `validation` as in `Review`.

    `failed` is the test that it failed first, `reason` why, both in words; `theme` what it was to be.
    """

    factor_id: str
    name: str
    text: str
    round: int
    verdict: str
    train: SegmentScore
    validation: SegmentScore
    dsr: float | None = None
    failed: str = ""
    reason: str = ""
    theme: str = ""


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """How many attempts got as far as `label`; steps are listed from the widest to the narrowest."""

    label: str
    count: int


@dataclass(frozen=True, slots=True)
class Stop:
    """How many attempts ended at `stage` for the reason `code`."""

    stage: str
    code: str
    count: int


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """Calls to one model in one role. An unknown token count or cost is None, never 0."""

    role: str
    model: str
    calls: int
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    latency_s: float


@dataclass(frozen=True, slots=True)
class LessonRow:
    """What a round taught; `evidence` names the attempts behind it."""

    round: int
    kind: str
    text: str
    evidence: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class RunReview:
    """One run, ready to be drawn.

    Attributes
    ----------
    run_id, title, status, created, finished, seed
        Which run; `finished` is empty while it isn't.
    rounds
        Outer rounds completed.
    settings
        Name to value, as text, for the reproducibility table.
    factors
        Best first; the report prints the first 200.
    conclusion
        One sentence above the tables, such as the distance to a planted truth; may be empty.
    seconds
        Wall time by stage.
    best
        The factor whose review is embedded, or None.
    """

    run_id: str
    title: str
    status: str
    created: str
    finished: str
    seed: int
    rounds: int
    panel: PanelNote
    simulated_market: bool
    simulated_llm: bool
    factors: Sequence[FactorRow] = ()
    funnel: Sequence[FunnelStep] = ()
    stops: Sequence[Stop] = ()
    ledger: Sequence[LedgerRow] = ()
    lessons: Sequence[LessonRow] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    conclusion: str = ""
    best: Review | None = None


def whole_sum(values: Sequence[Amount | None]) -> Amount | None:
    """Return the sum; None where a value is unknown: a sum that leaves some out would pass for the whole."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def compound(returns: FloatArray) -> FloatArray:
    """Return (T,) compounded return since the start from (T,) returns per bar.

    A return that is not finite earns nothing. A loss of 100 % or more is ruin: the curve stays at -1.
    """
    growth = np.maximum(1.0 + np.where(np.isfinite(returns), returns, 0.0), 0.0)
    return np.asarray(np.cumprod(growth) - 1.0, dtype=np.float64)


def likelihood_histogram(values: FloatArray, threshold: float, *, bins: int = 60) -> LikelihoodHistogram | None:
    """Bin log-likelihoods (any shape, nats, NaN ignored) for the report; None when nothing is finite.

    The left tail of a market's likelihood is very long: values below the 0.2 % quantile (or below a
    margin left of the threshold, whichever is lower) go into the first bin, and `below` counts them.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return None
    high = float(finite.max())
    low = float(np.quantile(finite, 0.002))
    if np.isfinite(threshold):
        low = min(low, threshold - 0.05 * max(high - threshold, 0.0))
    low = max(low, float(finite.min()))
    # A range that this many bins cannot divide, in the precision of its ends, is that of one value.
    if high - low <= 1e-9 * max(abs(high), abs(low), 1.0):
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(np.maximum(finite, low), bins=bins, range=(low, high))
    return LikelihoodHistogram(
        edges=edges.astype(np.float64),
        counts=counts.astype(np.float64),
        threshold=threshold,
        below=int(np.sum(finite < low)),
        shut=float(np.mean(finite < threshold)) if np.isfinite(threshold) else float("nan"),
    )
