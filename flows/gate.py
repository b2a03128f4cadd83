"""The regime gate: from likelihood to exposure, by one fit or by dated refits that never see later bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from factors.features import STATE_FEATURES, VOLATILITY, Feature
from flows.density import DensityPlan, StateDensity, fit_density
from flows.drawdown import fit_drawdown, plain_volatility
from flows.exposure import Thresholds, calibrate, is_shut, judged, ramp, steadied
from flows.fit_rules import MEMBERS, REFIT_DAYS, FlowConfig, GateRules, Measure, TrainConfig
from flows.reference import Reference, fit_reference, measured
from flows.state import features_reach, known_rows
from flows.train import Progress
from market.errors import InputError
from market.panel import FloatArray, Panel
from market.split import Split

# Of the bars before a refit, the share that thresholds are set on, and that training is stopped early by.
_CALIBRATION = 0.2
# Bars, of train, before the first dated fit.
_FIRST_REFIT = 0.5
# A refit begins from the last one's weights, and needs so much of the epochs.
_WARM = 0.4


@dataclass(frozen=True, eq=False)
class GateFit:
    """A density with the thresholds at which it shuts.

    Attributes
    ----------
    since
        The first bar that it gates, or None: all.
    trained, calibrated
        Times of the first and the last bar that it was trained on, and that set its thresholds.
    train_shut, calibration_shut
        Share of states shut on the rows that it was trained and calibrated on.
    """

    density: StateDensity
    reference: Reference
    thresholds: Thresholds
    since: np.datetime64 | None
    trained: tuple[np.datetime64, np.datetime64]
    calibrated: tuple[np.datetime64, np.datetime64]
    train_shut: float
    calibration_shut: float


@dataclass(frozen=True, eq=False)
class GateSource:
    """The data set that a gate was fitted on a part of: its bars, and a sample of its cells (`market.lineage`)."""

    bars: int
    sample: bytes


@dataclass(frozen=True, eq=False)
class RegimeGate:
    """One fit, or several, each from its date on; before the first of several there is no gate, and it stands open.

    `source` is not known of gates of earlier versions.
    """

    fits: tuple[GateFit, ...]
    rules: GateRules
    panel_id: str
    source: GateSource | None = None

    @property
    def latest(self) -> GateFit:
        """The fit of the newest bars."""
        return self.fits[-1]

    @property
    def density(self) -> StateDensity:
        """The density of the newest bars."""
        return self.latest.density

    def log_likelihood(self, panel: Panel, newest: FloatArray | None = None) -> FloatArray:
        """Return (T, N) what is judged, in nats: averaged over the window (and the market, if so ruled); else NaN.

        `newest` are the panel's states (T, N, D) to the newest density, where they are known already.
        """
        out = np.full(panel.shape, np.nan)
        for fit, rows in self.turns(panel):
            # A window reaches back before the fit's own bars.
            begin = max(0, rows.start - self.rules.window)
            if newest is not None and fit is self.latest:
                states = newest[begin : rows.stop]
            else:
                states = fit.density.states(panel.rows(0, rows.stop))[begin:]
            out[rows] = judged(measured(fit.density, fit.reference, states), self.rules)[rows.start - begin :]
        return out

    def by_likelihood(self) -> RegimeGate:
        """Return the same densities, judged by likelihood itself; its thresholds are not for that."""
        plain = tuple(replace(fit, reference=None) for fit in self.fits)
        return replace(self, fits=plain, rules=replace(self.rules, measure="likelihood"))

    def thresholds(self, panel: Panel) -> FloatArray:
        """Return (T,) nats below which the gate is shut at each bar; NaN before the first of several fits."""
        out = np.full(len(panel.times), np.nan)
        for fit, rows in self.turns(panel):
            out[rows] = fit.thresholds.threshold
        return out

    def exposures_of(self, likelihood: FloatArray, panel: Panel) -> FloatArray:
        """Return (T, N) exposures in [0, 1] for what `log_likelihood` gave; 0 without a state."""
        out = np.ones(panel.shape)
        for fit, rows in self.turns(panel):
            out[rows] = ramp(likelihood[rows], fit.thresholds)
        return steadied(out, self.rules.band)

    def exposures(self, panel: Panel) -> FloatArray:
        """Return (T, N) exposures in [0, 1] of each bar, from that bar and earlier ones alone."""
        return self.exposures_of(self.log_likelihood(panel), panel)

    def shut(self, likelihood: FloatArray, panel: Panel) -> FloatArray:
        """Return (T,) share of the known states of a bar that the gate shuts; NaN where none is known."""
        out = np.full(len(panel.times), np.nan)
        for fit, rows in self.turns(panel):
            there = np.isfinite(likelihood[rows]).sum(axis=1)
            shares = is_shut(likelihood[rows], fit.thresholds).sum(axis=1) / np.maximum(there, 1)
            out[rows] = np.where(there > 0, shares, np.nan)
        return out

    def turns(self, panel: Panel) -> Iterator[tuple[GateFit, slice]]:
        """Yield each fit with the rows of a panel that it gates."""
        begins = [0 if f.since is None else int(np.searchsorted(panel.times, f.since)) for f in self.fits]
        for fit, (begin, end) in zip(self.fits, pairwise([*begins, len(panel.times)]), strict=True):
            if end > begin:
                yield fit, slice(begin, end)

    def drift(self, panel: Panel, likelihood: FloatArray, bars: int) -> str | None:
        """Say when the share shut over the newest `bars` has left the band that calibration lets expect."""
        newest = self.shut(likelihood, panel)[-bars:]
        newest = newest[np.isfinite(newest)]
        if not len(newest):
            return None
        low, high = self.latest.thresholds.band(len(newest), np.random.default_rng(self.density.config.seed))
        share = float(newest.mean())
        if low <= share <= high:
            return None
        return (
            f"since {str(panel.times[-bars:][0])[:16]} the gate is shut in {share:.1%} of states, and {low:.1%} to "
            f"{high:.1%} are to be expected: the market has left what it was fitted on; fit it again: "
            "alphaglow flow fit"
        )

    def summary(self) -> dict[str, object]:
        """Return the gate's figures as plain JSON types."""
        fit = self.latest
        return {
            **fit.density.summary(),
            **asdict(self.rules),
            "threshold_nats": fit.thresholds.threshold,
            "threshold_interval_nats": list(fit.thresholds.interval),
            "full_nats": fit.thresholds.full,
            "ceiling_nats": fit.thresholds.ceiling,
            "coverage_iid": fit.thresholds.coverage,
            "coverage_nominal": self.rules.percentile / 100.0,
            "shut_train": fit.train_shut,
            "shut_calibration": fit.calibration_shut,
            "fits": len(self.fits),
            "fitted_for_bars_since": [None if f.since is None else str(f.since)[:16] for f in self.fits],
            "notes": "; ".join(fit.density.notes),
        }


@dataclass(frozen=True)
class GatePlan:
    """What to fit: the flow, how it is trained, and how its likelihood gates.

    `refit_bars` is 0 for one fit on train, calibrated on validation; else fits are dated, this many bars apart.
    """

    rules: GateRules = field(default_factory=GateRules)
    flow: FlowConfig = field(default_factory=FlowConfig)
    config: TrainConfig = field(default_factory=TrainConfig)
    features: tuple[Feature, ...] = STATE_FEATURES
    given: tuple[str, ...] = VOLATILITY
    members: int = MEMBERS
    # Of REFIT_DAYS, as bars of the panel.
    refit_bars: int = int(REFIT_DAYS)


def fit_gate(
    panel: Panel, split: Split, plan: GatePlan, progress: Progress | None = None, *, resume: Path | None = None
) -> RegimeGate:
    """Train on the train rows of `panel` and set the thresholds on its validation rows, or fit again as time goes on.

    Dated fits begin half-way through train; each is trained on what came before it, calibrated on the last fifth of
    that, and gates from its date to the next. The last rows before a calibration are not trained on, as many as the
    features look back: no bar that a state of the one was made of is in a state of the other.

    `panel` ends with validation (`market.split.loop_panel`); rows beyond it are refused, so no holdout bar can move a
    threshold.
    """
    if len(panel.times) > split.validation.stop:
        raise ValueError("the gate is fitted on a panel without the holdout")
    reach = features_reach(panel, plan.features)
    if not plan.refit_bars:
        train = slice(split.train.start, min(split.train.stop, split.validation.start - reach))
        if train.stop <= train.start:
            raise InputError("the gate's features look back over all of train", "use more bars, or shorter features")
        fit = _fit(panel, train, split.validation, None, plan, progress, resume, None)
        return RegimeGate((fit,), plan.rules, panel.id)
    dates = refit_dates(split, plan.refit_bars)
    fits: list[GateFit] = []
    for number, date in enumerate(dates):
        calibration = slice(date - int(_CALIBRATION * (date - split.train.start)), date)
        train = slice(split.train.start, calibration.start - reach)
        if train.stop <= train.start:
            raise InputError("too few bars before the first refit", "fit once: [gate] refit_days = 0")
        # The next fit begins from the last one's weights.
        shorter = plan if not fits else replace(plan, config=_shorter(plan.config))
        tick = None if progress is None else _numbered(progress, number, len(dates))
        file = None if resume is None else resume.with_name(f"{resume.name}.fit{number}")
        start = fits[-1].density if fits else None
        fits.append(_fit(panel, train, calibration, panel.times[date], shorter, tick, file, start))
    return RegimeGate(tuple(fits), plan.rules, panel.id)


def refit_dates(split: Split, every: int) -> range:
    """Return the rows at which a gate is fitted again: from half-way through train to the end of validation."""
    first = split.train.start + int(_FIRST_REFIT * (split.train.stop - split.train.start))
    return range(first, split.validation.stop, every)


def _shorter(config: TrainConfig) -> TrainConfig:
    return replace(config, epochs=max(1, round(_WARM * config.epochs)), lr=0.5 * config.lr)


def _numbered(progress: Progress, number: int, count: int) -> Progress:
    """Return a progress that counts epochs of all fits as if each had as many."""
    return lambda epoch, epochs, *nlls: progress(number * epochs + epoch, count * epochs, *nlls)


def _fit(
    panel: Panel,
    train: slice,
    calibration: slice,
    since: np.datetime64 | None,
    plan: GatePlan,
    progress: Progress | None,
    resume: Path | None,
    start: StateDensity | None,
) -> GateFit:
    shape = DensityPlan(plan.config, plan.flow, plan.features, plan.members)
    density = fit_density(panel, train, calibration, shape, progress=progress, resume=resume, start=start)
    states = density.states(panel.rows(0, calibration.stop))
    # Of a dated fit, nothing before its date is judged by it.
    past = train if since is None else slice(train.start, calibration.stop)
    reference = reference_of(plan.rules.measure, density, states, panel, (train, calibration, past), plan.given)
    likelihood = judged(measured(density, reference, states), plan.rules)
    day = max(1, round(panel.bars_per_year / 365))
    thresholds = calibrate(likelihood[calibration], plan.rules, np.random.default_rng(plan.config.seed), block=day)

    def shut(rows: slice) -> float:
        return float(is_shut(likelihood[rows], thresholds).sum() / max(1, np.isfinite(likelihood[rows]).sum()))

    trained, calibrated = ((panel.times[rows.start], panel.times[rows.stop - 1]) for rows in (train, calibration))
    return GateFit(density, reference, thresholds, since, trained, calibrated, shut(train), shut(calibration))


def reference_of(
    measure: Measure,
    density: StateDensity,
    states: FloatArray,
    panel: Panel,
    rows: tuple[slice, slice, slice],
    given: Sequence[str] = VOLATILITY,
) -> Reference:
    """Fit what a measure needs on states (T, N, D) of a panel.

    `rows` are those that the density was trained on and stopped early by, and those that a forecast is fitted on.
    """
    train, calibration, past = rows
    if measure == "drawdown":
        return fit_drawdown(states, density.names, panel, past)
    if measure == "volatility":
        return plain_volatility(density.names)
    return fit_reference(measure, density, known_rows(states[train]), known_rows(states[calibration]), given)


def rows_of(panel: Panel, span: tuple[np.datetime64, np.datetime64]) -> slice:
    """Return the rows of a panel from the first to the last time of a span."""
    first, last = np.searchsorted(panel.times, span[0]), np.searchsorted(panel.times, span[1], side="right")
    return slice(int(first), int(last))


def twin_exposures(
    gate: RegimeGate,
    panel: Panel,
    scores: Callable[[GateFit, slice], Mapping[str, FloatArray]],
    rules: Mapping[str, GateRules],
) -> dict[str, FloatArray]:
    """Return (T, N) exposures by name of gates that judge other scores, calibrated on the same bars, fit by fit.

    `scores` gives, for the rows of a fit that are asked for, what each name judges, higher for more usual. `rules` has
    the same names.
    """
    out = {name: np.ones(panel.shape) for name in rules}
    for fit, rows in gate.turns(panel):
        calibration = rows_of(panel, fit.calibrated)
        first = max(0, min(calibration.start, rows.start) - max(rule.window for rule in rules.values()))
        found = scores(fit, slice(first, rows.stop))
        for name, rule in rules.items():
            likelihood = judged(found[name], rule)
            calibrated = likelihood[calibration.start - first : calibration.stop - first]
            thresholds = calibrate(calibrated, rule, np.random.default_rng(0))
            out[name][rows] = ramp(likelihood[rows.start - first :], thresholds)
    return {name: steadied(exposures, rules[name].band) for name, exposures in out.items()}


def check_features(gate: RegimeGate, features: Sequence[Feature]) -> None:
    """Refuse a gate whose states are not made of `features`, in this order."""
    asked = tuple(feature.text for feature in gate.density.asked)
    wanted = tuple(feature.text for feature in features)
    if asked != wanted:
        names = ", ".join(text for text in wanted if text not in asked) or "the same ones in another order"
        raise InputError(
            f"the gate was fitted on other features than alphaglow.toml has now: {names}",
            "fit it again: alphaglow flow fit, or correct [gate] features",
        )
