"""The scorecard: what a factor did on train and on validation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np

from backtest import metrics
from backtest.engine import Backtest, BacktestSpec, run_backtest, target_weights, trade
from backtest.ic import newey_west_t
from backtest.placebo import random_gate, shifted_gates, volatility_gate
from market.errors import Rejection
from market.panel import FloatArray, Panel
from market.split import Split

SHIFTS = 19
NAN = float("nan")


@dataclass(frozen=True)
class SegmentScore:
    """Figures of one segment; NaN where undefined, and in the gate's figures without a gate.

    Returns and turnover are fractions of capital, Sharpe, Sortino and Calmar are annualised by the panel's bars,
    `ic_ir` is mean over standard deviation of the rank IC per bar, `turnover` is per bar, `shift_percentile` is the
    share of circularly shifted gates whose net Sharpe the gate beats. `per_bar_sharpe_net`, `skew` and `kurt` (3 =
    normal) are those of the returns that the factor would be traded with: gated where there is a gate.
    """

    n_bars: int
    start: str
    end: str
    rank_ic: float
    ic_ir: float
    ic_tstat: float
    sharpe_gross: float
    sharpe_net: float
    sharpe_gated: float
    sharpe_vol_gated: float
    sharpe_random_gated: float
    shift_percentile: float
    sortino: float
    calmar: float
    max_drawdown: float
    turnover: float
    hit_rate: float
    profit_factor: float
    annual_return_net: float
    annual_return_gated: float
    mean_exposure: float
    per_bar_sharpe_net: float
    skew: float
    kurt: float

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types, NaN as None."""
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, raw: Mapping[str, object]) -> SegmentScore:
        """Read what `to_dict` wrote."""
        return cls(**{f.name: NAN if raw[f.name] is None else raw[f.name] for f in fields(cls)})  # type: ignore[arg-type]  # JSON


@dataclass(frozen=True)
class Scorecard:
    """Train and validation, and the rules they were scored under. There is no place for a holdout."""

    train: SegmentScore
    validation: SegmentScore
    bars_per_year: float
    weighting: str
    holding: int
    cost_bp: float

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types, NaN as None."""
        return {**asdict(self), "train": self.train.to_dict(), "validation": self.validation.to_dict()}

    @classmethod
    def from_dict(cls, raw: Mapping[str, object]) -> Scorecard:
        """Read what `to_dict` wrote."""
        parts = {}
        for name in ("train", "validation"):
            part = raw[name]
            assert isinstance(part, Mapping)
            parts[name] = SegmentScore.from_dict(part)
        return cls(**{**raw, **parts})  # type: ignore[arg-type]  # JSON


@dataclass(frozen=True, eq=False)
class Scored:
    """A scorecard with the backtests it was read from, over the whole panel (train, embargo, validation)."""

    scorecard: Scorecard
    backtest: Backtest
    gated: Backtest | None
    split: Split

    def paid(self, series: FloatArray, name: str) -> FloatArray:
        """Return the rows of `series` whose decisions are paid within the segment (see `score`)."""
        return series[paid_rows(getattr(self.split, name))]


def paid_rows(part: slice) -> slice:
    """Return the decisions of a segment that are paid by it: one at t is paid at the open of t+2."""
    return slice(part.start, part.stop - 2)


def score(
    values: FloatArray,
    panel: Panel,
    split: Split,
    spec: BacktestSpec,
    *,
    gate: FloatArray | None = None,
    rng: np.random.Generator,
) -> Scored | Rejection:
    """Backtest a signal on a panel that ends with validation, and score train and validation apart.

    Positions are simulated once over the panel; segments are cut from the result, each without its last two
    decisions, whose pay would come from beyond the segment.
    """
    plain = run_backtest(values, panel, spec)
    if isinstance(plain, Rejection):
        return plain
    signal = np.where(panel.universe, values, np.nan)
    targets = target_weights(signal, spec)
    gated = None if gate is None else trade(targets, panel, spec, gate, ic=plain.ic)
    parts = [_segment(targets, plain, gated, gate, panel, part, spec, rng) for part in (split.train, split.validation)]
    card = Scorecard(
        train=parts[0],
        validation=parts[1],
        bars_per_year=panel.bars_per_year,
        weighting=spec.weighting,
        holding=spec.holding,
        cost_bp=spec.costs.fee_bp + spec.costs.slippage_bp,
    )
    return Scored(card, plain, gated, split)


def segment_score(
    values: FloatArray,
    panel: Panel,
    part: slice,
    spec: BacktestSpec,
    *,
    gate: FloatArray | None = None,
    rng: np.random.Generator,
) -> SegmentScore | Rejection:
    """Score one segment of `panel`; for the holdout, by its own command."""
    plain = run_backtest(values, panel, spec)
    if isinstance(plain, Rejection):
        return plain
    targets = target_weights(np.where(panel.universe, values, np.nan), spec)
    gated = None if gate is None else trade(targets, panel, spec, gate, ic=plain.ic)
    return _segment(targets, plain, gated, gate, panel, part, spec, rng)


def unscored_segment(panel: Panel, part: slice) -> SegmentScore:
    """Return the segment's dates with every figure undefined."""
    figures = {f.name: NAN for f in fields(SegmentScore) if f.name not in ("n_bars", "start", "end")}
    start, end = str(panel.times[part.start])[:16], str(panel.times[part.stop - 1])[:16]
    return SegmentScore(n_bars=0, start=start, end=end, **figures)


def _segment(
    targets: FloatArray,
    plain: Backtest,
    gated: Backtest | None,
    gate: FloatArray | None,
    panel: Panel,
    part: slice,
    spec: BacktestSpec,
    rng: np.random.Generator,
) -> SegmentScore:
    year = panel.bars_per_year
    paid = paid_rows(part)
    net, gross, ic = plain.net[paid], plain.gross[paid], plain.ic[paid]
    traded = net if gated is None else gated.net[paid]
    known = ic[np.isfinite(ic)]
    deviation = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    placebos = (NAN, NAN, NAN)
    if gated is not None and gate is not None:
        placebos = _placebos(targets, gated, gate, panel.rows(part.start, part.stop), part, spec, rng)
    return SegmentScore(
        n_bars=len(net),
        start=str(panel.times[part.start])[:16],
        end=str(panel.times[part.stop - 1])[:16],
        rank_ic=float(known.mean()) if len(known) else NAN,
        ic_ir=float(known.mean()) / deviation if deviation > 0 else NAN,
        ic_tstat=newey_west_t(ic),
        sharpe_gross=metrics.sharpe(gross, year),
        sharpe_net=metrics.sharpe(net, year),
        sharpe_gated=NAN if gated is None else metrics.sharpe(traded, year),
        sharpe_vol_gated=placebos[0],
        sharpe_random_gated=placebos[1],
        shift_percentile=placebos[2],
        sortino=metrics.sortino(net, year),
        calmar=metrics.calmar(net, year),
        max_drawdown=metrics.max_drawdown(net),
        turnover=float(plain.turnover[paid].mean()),
        hit_rate=metrics.hit_rate(net),
        profit_factor=metrics.profit_factor(net),
        annual_return_net=metrics.annual_return(net, year),
        annual_return_gated=NAN if gated is None else metrics.annual_return(traded, year),
        mean_exposure=float((plain if gated is None else gated).exposure[paid].mean()),
        per_bar_sharpe_net=metrics.sharpe(traded, 1.0),
        skew=metrics.skewness(traded),
        kurt=metrics.kurtosis(traded),
    )


def _placebos(
    targets: FloatArray,
    gated: Backtest,
    gate: FloatArray,
    rows: Panel,
    part: slice,
    spec: BacktestSpec,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """Return net Sharpe of the volatility gate and of a random gate, and the share of shifted gates beaten.

    Placebos are made within the segment, so that each has the gate's exposure there.
    """
    inside, own = gate[part], targets[part]
    year = rows.bars_per_year
    nothing = np.full(len(own), NAN)

    def net_sharpe(other: FloatArray) -> float:
        return metrics.sharpe(trade(own, rows, spec, other, ic=nothing).net, year)

    mine = metrics.sharpe(gated.net[paid_rows(part)], year)
    shifted = [net_sharpe(other) for other in shifted_gates(inside, SHIFTS, rng)]
    beaten = float(np.mean([mine > other for other in shifted])) if shifted else NAN
    return net_sharpe(volatility_gate(rows, inside)), net_sharpe(random_gate(inside, rng)), beaten
