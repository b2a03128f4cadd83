"""The scorecard: what a factor did on train and on validation."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from backtest import metrics
from backtest.ic import correlate_rows, newey_west_t, pooled_ic, rank_ic_of
from backtest.known import Attribution, attribute
from backtest.luck import sharpe_standard_error
from backtest.mean_test import mean_test
from backtest.payoff import rank_payoffs
from backtest.placebo import random_gate, shifted_gates, volatility_gate
from backtest.profile import Signals, mean_quantiles, profile_of
from backtest.result_types import Scorecard, SegmentScore
from backtest.rule_choice import RuleChoice, choose_rule
from backtest.rule_grid import RuleGrid
from backtest.run import Backtest, small_universe, trade
from backtest.target import Target
from backtest.trading_rules import BacktestSpec
from market.errors import Rejection
from market.panel import FloatArray, Panel
from market.ranking import rank_panel
from market.split import MIN_BARS, Split

SHIFTS = 19
NAN = float("nan")


@dataclass(frozen=True, eq=False)
class Scored:
    """A scorecard with what it was read from, over the whole panel (train, embargo, validation).

    `ic` is the (T,) rank IC a bar, NaN in a time series; `payoffs` (T,) is what a bar paid before costs (see
    `backtest.payoff`), the gross return in a time series. `choice` is of its trading rule, where that was chosen.
    """

    scorecard: Scorecard
    backtest: Backtest
    gated: Backtest | None
    ic: FloatArray
    payoffs: FloatArray
    split: Split
    choice: RuleChoice | None = None

    @property
    def plain_gross(self) -> FloatArray:
        """(T,) gross returns under the rule of the settings, which trials of all rules are compared by."""
        return self.backtest.gross if self.choice is None else self.choice.plain_gross

    def paid(self, series: FloatArray, name: str) -> FloatArray:
        """Return the rows of `series` whose decisions are paid within the segment (see `score`)."""
        return series[paid_rows(getattr(self.split, name))]


def paid_rows(part: slice) -> slice:
    """Return the decisions of a segment that are paid by it: one at t is paid at bar t+2."""
    return slice(part.start, part.stop - 2)


@dataclass(frozen=True, eq=False)
class PaidSeries:
    """What each decision of a signal (T,) pays: before costs (see `backtest.payoff`), and gross and net as traded."""

    payoffs: FloatArray
    gross: FloatArray
    net: FloatArray


@dataclass(frozen=True, eq=False)
class _Run:
    """One factor on one panel, before it is cut into segments."""

    target: Target
    signals: Signals
    targets: FloatArray
    plain: Backtest
    gated: Backtest | None
    gate: FloatArray | None
    payoffs: FloatArray
    spec: BacktestSpec
    choice: RuleChoice | None = None


def score_signal(
    values: FloatArray,
    target: Target,
    split: Split,
    *,
    gate: FloatArray | None = None,
    rng: np.random.Generator,
    cutoff: np.datetime64 | None = None,
    grid: RuleGrid | None = None,
) -> Scored | Rejection:
    """Backtest a signal on a panel that ends with validation, and score train and validation apart.

    Positions are simulated once over the panel; segments are cut from the result, each without its last two
    decisions, whose pay would come from beyond the segment.

    Parameters
    ----------
    values
        (T, N) signal known at the close of each bar; NaN is no opinion.
    gate
        (T, N) exposures in [0, 1], or None.
    cutoff
        Bars from this time on are scored apart as well, where there are enough of them.
    grid
        Rules from which the signal's own is chosen on train; None: that of the target's rules.
    """
    run = _run(values, target, gate, None if grid is None else (grid, split.train))
    if isinstance(run, Rejection):
        return run
    card = _scorecard(run, split, rng, cutoff)
    return Scored(card, run.plain, run.gated, run.signals.ic, run.payoffs, split, run.choice)


def _scorecard(run: _Run, split: Split, rng: np.random.Generator, cutoff: np.datetime64 | None) -> Scorecard:
    """Return the figures of train and of validation, the rules they were made under, and those since the cutoff."""
    target, spec = run.target, run.spec
    names = {"train": split.train, "validation": split.validation}
    known = {name: _explain(run, part) for name, part in names.items()}
    return Scorecard(
        train=_segment(run, split.train, known["train"], rng),
        validation=_segment(run, split.validation, known["validation"], rng),
        bars_per_year=target.panel.bars_per_year,
        weighting=spec.weighting,
        holding=spec.holding,
        cost_bp=spec.costs.per_trade * 1e4,
        fill=spec.fill,
        rebalance=spec.rebalance,
        rate=spec.rate,
        band=spec.band,
        volatility_scaled=spec.volatility_scaled,
        market_neutral=spec.market_neutral,
        liquid_half=spec.liquid_half,
        rules=() if run.choice is None else run.choice.figures,
        profiles={name: profile_of(run.signals, run.plain, target, part, known[name]) for name, part in names.items()},
        after_cutoff=_since(run, cutoff),
    )


def _since(run: _Run, cutoff: np.datetime64 | None) -> SegmentScore | None:
    """Score the bars from a time on; None where no time is given, or too few bars came since."""
    if cutoff is None:
        return None
    times = run.target.panel.times
    after = slice(int(np.searchsorted(times, cutoff)), len(times))
    if after.stop - after.start < MIN_BARS:
        return None
    return _segment(run, after, _explain(run, after), None)


def segment_score(
    values: FloatArray, target: Target, part: slice, *, gate: FloatArray | None = None, rng: np.random.Generator
) -> SegmentScore | Rejection:
    """Score one segment of a panel; for the holdout, by its own command."""
    run = _run(values, target, gate)
    return run if isinstance(run, Rejection) else _segment(run, part, _explain(run, part), rng)


def paid_series(values: FloatArray, target: Target, *, gate: FloatArray | None = None) -> PaidSeries | Rejection:
    """Return what a signal (T, N) pays over a whole panel under the target's rules, its last two decisions unpaid."""
    run = _run(values, target, gate)
    if isinstance(run, Rejection):
        return run
    traded = run.plain if run.gated is None else run.gated
    paid = np.arange(len(run.payoffs)) < len(run.payoffs) - 2
    return PaidSeries(*(np.where(paid, one, NAN) for one in (run.payoffs, traded.gross, traded.net)))


def _run(
    values: FloatArray, target: Target, gate: FloatArray | None, chosen: tuple[RuleGrid, slice] | None = None
) -> _Run | Rejection:
    """Backtest a signal under the target's rules, or under the rule of a grid that is best on train."""
    panel, spec = target.panel, target.spec
    refused = small_universe(values, panel, spec)
    if refused is not None:
        return refused
    signal = np.where(panel.universe, values, np.nan)
    ranked = rank_panel(signal)
    choice = None if chosen is None else choose_rule(signal, target, chosen[1], chosen[0], ranked.ranks)
    if choice is not None:
        spec = choice.rule.applied(spec)
    targets = target.weights(signal, ranked.ranks) if choice is None else choice.targets
    plain = trade(targets, target.market, spec, None, bars_per_year=panel.bars_per_year)
    gated = None if gate is None else trade(targets, target.market, spec, gate, bars_per_year=panel.bars_per_year)
    wide = spec.is_cross_sectional
    ic = rank_ic_of(ranked, target.ranked) if wide else np.full(len(signal), NAN)
    payoffs = rank_payoffs(signal, target.forward, target.risk, ranked.ranks) if wide else plain.gross
    signals = Signals(signal, ranked, ic, target.forward)
    return _Run(target, signals, targets, plain, gated, gate, payoffs, spec, choice)


def unscored_segment(panel: Panel, part: slice) -> SegmentScore:
    """Return the segment's dates with every figure undefined."""
    figures: dict[str, Any] = {f.name: NAN for f in fields(SegmentScore) if f.name not in ("n_bars", "start", "end")}
    return SegmentScore(n_bars=0, **_dates(panel, part), **figures)


def _dates(panel: Panel, part: slice) -> dict[str, Any]:
    return {"start": str(panel.times[part.start])[:16], "end": str(panel.times[part.stop - 1])[:16]}


def _explain(run: _Run, part: slice) -> Attribution:
    paid = paid_rows(part)
    return attribute(run.plain.net[paid], run.target.known_factors.returns[paid])


def _segment(run: _Run, part: slice, known: Attribution, rng: np.random.Generator | None) -> SegmentScore:
    """Score a segment; without a generator the gate's placebos are left out."""
    plain, gated, panel = run.plain, run.gated, run.target.panel
    year, paid = panel.bars_per_year, paid_rows(part)
    net, gross = plain.net[paid], plain.gross[paid]
    traded = net if gated is None else gated.net[paid]
    placebos, paying = (NAN, NAN, NAN), mean_test(run.payoffs[paid])
    if gated is not None and rng is not None:
        placebos = _placebos(run, part, rng)
    held, opened = float(plain.held[paid].sum()), float(plain.opened[paid].sum())
    trading = plain.cost + plain.impact * math.sqrt(plain.spec.costs.capital)
    return SegmentScore(
        n_bars=len(net),
        **_dates(panel, part),
        **_prediction(run, paid),
        sharpe_gross=metrics.sharpe(gross, year),
        sharpe_net=metrics.sharpe(net, year),
        sharpe_error=sharpe_standard_error(net) * math.sqrt(year),
        sharpe_gated=NAN if gated is None else metrics.sharpe(traded, year),
        sharpe_vol_gated=placebos[0],
        sharpe_random_gated=placebos[1],
        shift_percentile=placebos[2],
        **_performance(net, year),
        turnover=float(plain.turnover[paid].mean()),
        annual_return_gated=NAN if gated is None else metrics.annual_return(traded, year),
        cost_year=float(trading[paid].mean()) * year,
        funding_year=float(plain.funding[paid].mean()) * year,
        mean_exposure=float((plain if gated is None else gated).exposure[paid].mean()),
        mean_bias=float(plain.bias[paid].mean()),
        trades=opened,
        duration=held / opened if opened else NAN,
        **_explained(known, year),
        break_even_bp=metrics.break_even_bp(net + _on_trades(plain)[paid], plain.turnover[paid]),
        capacity=metrics.capacity(
            net + plain.impact[paid] * math.sqrt(plain.spec.costs.capital),
            plain.impact[paid] if np.any(plain.impact) else np.full(len(net), NAN),
        ),
        per_bar_sharpe_net=metrics.sharpe(traded, 1.0),
        skew=metrics.skewness(traded),
        kurt=metrics.kurtosis(traded),
        payoff=paying.mean,
        payoff_error=paying.error,
        payoff_z=paying.z,
        net_z=mean_test(traded).z,
    )


def _on_trades(result: Backtest) -> FloatArray:
    """Return (T,) what was paid for trading alone: fees, slippage and impact, but neither borrow nor funding."""
    costs = result.spec.costs
    return result.turnover * costs.per_trade + result.impact * math.sqrt(costs.capital)


def _prediction(run: _Run, paid: slice) -> dict[str, Any]:
    signals, forward = run.signals, run.target.forward
    if not run.target.spec.is_cross_sectional:
        pooled = pooled_ic(signals.values[paid], forward[paid])
        return {
            "rank_ic": pooled.mean,
            "ic": NAN,
            "ic_ir": NAN,
            "ic_tstat": pooled.tstat,
            "autocorrelation": NAN,
            "monotonicity": NAN,
        }
    ic = signals.ic[paid]
    known = ic[np.isfinite(ic)]
    deviation = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    return {
        "rank_ic": float(known.mean()) if len(known) else NAN,
        "ic": _mean(np.where(np.isfinite(ic), correlate_rows(signals.values[paid], forward[paid]), NAN)),
        "ic_ir": float(known.mean()) / deviation if deviation > 0 else NAN,
        "ic_tstat": newey_west_t(ic),
        "autocorrelation": _mean(signals.autocorrelation[paid]),
        "monotonicity": mean_quantiles(signals, paid).monotonicity,
    }


def _mean(series: FloatArray) -> float:
    known = series[np.isfinite(series)]
    return float(known.mean()) if len(known) else NAN


def _performance(net: FloatArray, year: float) -> dict[str, Any]:
    return {
        "sortino": metrics.sortino(net, year),
        "calmar": metrics.calmar(net, year),
        "max_drawdown": metrics.max_drawdown(net),
        "drawdown_bars": float(metrics.drawdown_bars(net)),
        "hit_rate": metrics.hit_rate(net),
        "profit_factor": metrics.profit_factor(net),
        "tail_ratio": metrics.tail_ratio(net),
        "var_95": metrics.value_at_risk(net),
        "cvar_95": metrics.expected_shortfall(net),
        "annual_return_net": metrics.annual_return(net, year),
    }


def _explained(known: Attribution, year: float) -> dict[str, Any]:
    return {
        "beta": known.loadings[0],
        "alpha": known.alpha * year,
        "alpha_tstat": known.tstat,
        "r_squared": known.r_squared,
    }


def _placebos(run: _Run, part: slice, rng: np.random.Generator) -> tuple[float, float, float]:
    """Return net Sharpe of the volatility gate and of a random gate, and the share of shifted gates beaten.

    Placebos are made within the segment, so that each has the gate's exposure there.
    """
    assert run.gate is not None
    assert run.gated is not None
    inside, own = run.gate[part], run.targets[part]
    market, year = run.target.market.rows(part), run.target.panel.bars_per_year

    def net_sharpe(other: FloatArray) -> float:
        return metrics.sharpe(trade(own, market, run.spec, other, bars_per_year=year).net, year)

    mine = metrics.sharpe(run.gated.net[paid_rows(part)], year)
    shifted = [net_sharpe(other) for other in shifted_gates(inside, SHIFTS, rng)]
    beaten = float(np.mean([mine > other for other in shifted])) if shifted else NAN
    return (
        net_sharpe(volatility_gate(run.target.calm_order(part), inside)),
        net_sharpe(random_gate(inside, rng)),
        beaten,
    )
