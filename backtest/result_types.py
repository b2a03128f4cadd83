"""What a score is made of, as frozen types with a JSON form; nothing here computes, so an import costs little."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Literal

NAN = float("nan")


# Untested: it passes on train, which led the search to it, and validation has not been asked.
Verdict = Literal["accepted", "promising", "untested", "rejected"]


@dataclass(frozen=True)
class GateVerdict:
    """What one gate says: numbers by what they are of, the bar in words, and the reason where it is not passed."""

    gate: str
    passed: bool
    numbers: Mapping[str, float]
    bar: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class HorizonIC:
    """Rank IC at one horizon: mean, and its t statistic with at least as many lags as returns overlap."""

    horizon: int
    mean: float
    tstat: float


@dataclass(frozen=True)
class RuleFigures:
    """A trading rule (see `backtest.rule_grid.TradingRule`), and what a factor did on train under it.

    `net_z` is the normal score of its mean net return, by which rules are chosen; the Sharpe ratio is net and a year,
    `turnover` what is traded a bar. NaN, and a turnover of 0, where the rule never trades.
    """

    rate: float
    band: float
    holding: int
    volatility_scaled: bool
    net_z: float = NAN
    sharpe_net: float = NAN
    turnover: float = NAN
    market_neutral: bool = False
    liquid_half: bool = False


@dataclass(frozen=True)
class DecayPoint:
    """What positions taken `lag` bars ago pay in a bar: mean (see `backtest.payoff`), standard error and score."""

    lag: int
    payoff: float
    error: float
    z: float


@dataclass(frozen=True)
class SliceScore:
    """A factor on some bars of a segment: a year, or a regime.

    Sharpe, its standard error and return are net, ungated and a year; the return is the mean a bar times the bars in a
    year. Below 30 bars there is no Sharpe ratio: NaN.
    """

    name: str
    bars: int
    rank_ic: float
    ic_tstat: float
    sharpe_net: float
    annual_return_net: float
    sharpe_error: float = NAN


@dataclass(frozen=True)
class AssetIC:
    """Rank correlation over time of one asset's signal and return."""

    asset: str
    ic: float


@dataclass(frozen=True)
class Profile:
    """Tables of one segment; `loadings` on known factors by name, `assets` in time series only.

    `decay` is what positions pay as they age, `half_life` after how many bars the signal's order of assets is half
    alike (see `backtest.decay`).
    """

    horizons: tuple[HorizonIC, ...]
    quantiles: tuple[float, ...]
    years: tuple[SliceScore, ...]
    regimes: tuple[SliceScore, ...]
    loadings: Mapping[str, float]
    assets: tuple[AssetIC, ...] = ()
    decay: tuple[DecayPoint, ...] = ()
    half_life: float = NAN

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types, NaN as None."""
        found = to_json_types(self)
        assert isinstance(found, dict)
        return {**found, "half_life": _plain(self.half_life)}


@dataclass(frozen=True)
class SegmentScore:
    """Figures of one segment; NaN where undefined, and in the gate's figures without a gate.

    Returns and turnover are fractions of capital; Sharpe (with its standard error), Sortino, Calmar and alpha are
    annualised by the panel's bars. All but the gate's own figures are of the ungated portfolio.

    Attributes
    ----------
    rank_ic, ic
        Mean rank correlation and mean correlation a bar of signal and return; in a time series `rank_ic` is pooled over
        assets. `ic_ir` is mean over deviation of the rank IC a bar, `ic_tstat` is robust to autocorrelation.
    shift_percentile
        Share of circularly shifted gates whose net Sharpe the gate beats.
    drawdown_bars
        Longest stretch below an earlier peak.
    turnover, mean_exposure, mean_bias
        A bar: traded notional, sum of absolute weights, sum of weights.
    trades, duration
        Positions opened or turned, and bars that one is held.
    autocorrelation
        Mean rank correlation of the signal with that of the bar before.
    monotonicity
        Rank correlation of quantile number and mean return: 1 rises all the way.
    var_95, cvar_95
        Loss a bar exceeded in 5 % of bars, and the mean of those losses.
    beta, alpha, alpha_tstat, r_squared
        Loading on the market, what is left a year after known factors, its t statistic, and what they explain.
    break_even_bp
        Cost of traded notional at which nothing is earned.
    capacity
        Capital at which impact halves the net Sharpe ratio, in the currency of prices.
    cost_year, funding_year
        What trading (with borrow and impact) and funding take a year.
    payoff, payoff_error, payoff_z
        Mean payoff a bar before costs, of rank weights on market-residual returns in units of risk (see
        `backtest.payoff`), its standard error, and its normal score; in a time series those of the gross return.
    net_z
        Normal score of the mean net return that the factor would be traded with.
    per_bar_sharpe_net, skew, kurt
        Those of the returns that the factor would be traded with: gated where there is a gate; kurtosis is 3 for a
        normal.
    """

    n_bars: int
    start: str
    end: str
    rank_ic: float
    ic: float
    ic_ir: float
    ic_tstat: float
    sharpe_gross: float
    sharpe_net: float
    sharpe_error: float
    sharpe_gated: float
    sharpe_vol_gated: float
    sharpe_random_gated: float
    shift_percentile: float
    sortino: float
    calmar: float
    max_drawdown: float
    drawdown_bars: float
    turnover: float
    hit_rate: float
    profit_factor: float
    tail_ratio: float
    var_95: float
    cvar_95: float
    annual_return_net: float
    annual_return_gated: float
    cost_year: float
    funding_year: float
    mean_exposure: float
    mean_bias: float
    trades: float
    duration: float
    autocorrelation: float
    monotonicity: float
    beta: float
    alpha: float
    alpha_tstat: float
    r_squared: float
    break_even_bp: float
    capacity: float
    per_bar_sharpe_net: float
    skew: float
    kurt: float
    payoff: float = NAN
    payoff_error: float = NAN
    payoff_z: float = NAN
    net_z: float = NAN

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types, NaN as None; an infinite capacity stands as text."""
        return {name: _plain(getattr(self, name)) for name in _SEGMENT_FIELDS}


_SEGMENT_FIELDS = tuple(one.name for one in fields(SegmentScore))


def _plain(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return "inf" if value == math.inf else None
    return value


@dataclass(frozen=True)
class Scorecard:
    """Train and validation, and the rules they were scored under. There is no place for a holdout.

    `profiles` has what goes into tables (by horizon, year, regime, quantile, asset), by segment. `after_cutoff` is what
    the factor did on the bars after the model's knowledge cutoff, where one is set: for people, never for prompts, as
    it reaches into validation. `holding`, `rate`, `band`, `volatility_scaled`, `market_neutral` and `liquid_half` are
    the trading rule. Where that was chosen for the factor by itself, `rules` has every rule that was tried, that of the
    settings first.
    """

    train: SegmentScore
    validation: SegmentScore
    bars_per_year: float
    weighting: str
    holding: int
    cost_bp: float
    fill: str = "open"
    rebalance: int = 1
    profiles: Mapping[str, Profile] | None = None
    after_cutoff: SegmentScore | None = None
    rate: float = 1.0
    band: float = 0.0
    volatility_scaled: bool = False
    rules: tuple[RuleFigures, ...] = ()
    market_neutral: bool = False
    liquid_half: bool = False

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types, NaN as None."""
        raw = {f.name: getattr(self, f.name) for f in fields(self)}
        segments = {n: raw[n].to_dict() for n in ("train", "validation")}
        late = None if self.after_cutoff is None else self.after_cutoff.to_dict()
        profiles = None if self.profiles is None else {n: p.to_dict() for n, p in self.profiles.items()}
        rules = to_json_types(self.rules)
        return {**raw, **segments, "after_cutoff": late, "profiles": profiles, "rules": rules}


@dataclass(frozen=True, slots=True)
class SignalShape:
    """What was seen of a signal's values on some bars, as shares; NaN where there is nothing to see.

    Attributes
    ----------
    bars
        Of the bars with assets, those on which any has a value.
    assets
        Of the assets of such a bar, those with a value, on average.
    tied
        Of such bars, those on which all assets have the same value.
    spread
        Of the assets of such a bar, those whose value is not its commonest one, on average.
    size
        99 % quantile of the distance of a value from its bar's median, in usual distances of the bar (median distance
        over 0.6745: about one deviation of a normal).
    """

    bars: float = NAN
    assets: float = NAN
    tied: float = NAN
    spread: float = NAN
    size: float = NAN


@dataclass(frozen=True)
class Tested:
    """A test of one mean among everything that was tried.

    Attributes
    ----------
    bars, mean, error, z
        Of train and validation together (see `backtest.mean_test`).
    p
        Probability of such a score, or a larger one, of a single factor without skill.
    adjusted_p
        What is compared with the level: the same of the best of all trials (see `backtest.max_test`) or, where
        `control` is ``fdr``, the false discovery rate at which it would pass (see `backtest.discovery`).
    hurdle
        The score that would pass at that level.
    control
        ``fwer`` or ``fdr``; empty in what was stored before there was a choice, which was ``fwer``.
    decided_on
        Of a factor that a search was led to by train: ``train`` while train alone was asked, ``validation`` where
        validation, which led nothing, decided. Empty: train and validation together.
    among
        How many trials it was tested among where validation decided: those that were tested there so far.
    rules
        How many trading rules the one that is tested was chosen from, where the tested bars have seen the choice: `z`
        and `p` then allow for it (see `backtest.rule_test`). 0: no choice.
    plain_z
        The score without that allowance; NaN where there was no choice.
    """

    bars: int
    mean: float
    error: float
    z: float
    p: float
    adjusted_p: float
    hurdle: float
    control: str = ""
    decided_on: str = ""
    among: int = 0
    rules: int = 0
    plain_z: float = NAN


NOT_TESTED = Tested(0, NAN, NAN, NAN, NAN, NAN, NAN)


@dataclass(frozen=True)
class Evidence:
    """The verdict and what it rests on.

    `reasons` are written for people and prompts alike: of validation they hold words, never figures. `audits` names
    what made the result suspicious. `sharpe_error` is the standard error of the per-bar Sharpe ratio over train and
    validation together, `bars` how many those are, and `min_bars` how many would make the ratio believable at `min_dsr`
    against the best that luck is expected to show in this many trials (infinite where it is no better). `gates` are the
    policy's verdicts in order. `dsr_effective` deflates by the number of effective trials instead of all attempts: it
    is shown, and admits nobody.
    """

    accepted: bool
    verdict: Verdict
    reasons: tuple[str, ...]
    dsr: float
    psr: float
    trials: int
    audits: tuple[str, ...] = ()
    sharpe_error: float = float("nan")
    min_bars: float = float("nan")
    bars: int = 0
    gates: tuple[GateVerdict, ...] = ()
    effective_trials: int = 0
    dsr_effective: float = float("nan")
    predicts: Tested = NOT_TESTED
    earns: Tested = NOT_TESTED

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types, NaN as None."""
        found = to_json_types(self)
        assert isinstance(found, dict)
        return found


@dataclass(frozen=True)
class Figures:
    """What a signal did on one segment; NaN where undefined.

    The Sharpe ratio is net and a year; `dsr` is the Deflated Sharpe Ratio of this segment alone; `total_return` is
    compounded over the segment, after costs.
    """

    rank_ic: float
    ic_tstat: float
    sharpe_net: float
    dsr: float
    total_return: float = float("nan")


def to_json_types(value: object) -> object:
    """Return plain JSON types all the way down: what is not finite is None, tuples are lists, dataclasses dicts."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, dict):
        return {key: to_json_types(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json_types(item) for item in value]
    if is_dataclass(value):
        # `dataclasses.asdict` copies all that it meets, which costs ten times as much: this is done for each attempt.
        return {one.name: to_json_types(getattr(value, one.name)) for one in fields(value)}
    return value
