"""The admission policy: which gates a factor must pass, in which order, and where their bars are.

A gate's verdict states its numbers and its bar for people. Its words go into prompts as well, so of validation, and of
what rests on validation, they hold no figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from backtest.result_types import GateVerdict
from market.errors import InputError
from market.plugins import Registry

if TYPE_CHECKING:
    from backtest.scorecard import Scored

GATES = ("novelty", "sanity", "train_ic", "validation", "net_sharpe", "dsr")


@dataclass(frozen=True, slots=True)
class Policy:
    """What admits a factor.

    Attributes
    ----------
    gates
        Their names, in order. A factor is admitted when it passes all of them, and promising when only ``dsr`` fails.
    max_overlap
        ``novelty``: largest share that it has in common with a known factor, as a tree.
    min_coverage, max_correlation
        ``sanity``: least share of train's bars on which it takes positions, and largest absolute correlation of its
        gross returns on train with those of an accepted factor.
    min_ic_t
        ``train_ic``: least t statistic of the rank IC on train (Harvey, Liu & Zhu 2016 argue for 3).
    min_kept
        ``validation``: least rank IC there, as a share of train's; the sign has to be the same in any case.
    min_sharpe
        ``net_sharpe``: what the net Sharpe ratio a year must exceed, on train and on validation.
    min_dsr
        ``dsr``: least Deflated Sharpe Ratio over both together.
    """

    gates: tuple[str, ...] = GATES
    max_overlap: float = 1.0
    min_coverage: float = 0.1
    max_correlation: float = 0.7
    min_ic_t: float = 3.0
    min_kept: float = 0.25
    min_sharpe: float = 0.0
    min_dsr: float = 0.95

    def __post_init__(self) -> None:
        """Refuse gates that do not exist, or stand twice."""
        wrong = gate_faults(self.gates)
        if wrong:
            raise InputError(wrong, "correct alphaglow.toml [admission] gates")


@dataclass(frozen=True, slots=True)
class TrainFigures:
    """What is known of a factor on train alone; Sharpe ratios are annual, NaN is undefined.

    `traded` is the net Sharpe ratio that it would be traded with: gated where there is a gate, and NaN where that is
    not known yet.
    """

    rank_ic: float
    ic_tstat: float
    coverage: float
    sharpe_gross: float
    traded: float


@dataclass(frozen=True, slots=True)
class NearestKnown:
    """How a factor stands to what is known: tree overlap, and correlation of returns with the accepted one nearest."""

    overlap: float = float("nan")
    overlaps: str = ""
    correlation: float = float("nan")
    correlates: str = ""


def train_gates(figures: TrainFigures, policy: Policy) -> list[GateVerdict]:
    """Return the verdicts of the gates, in order, as far as train alone decides them."""
    found = {"sanity": _coverage(figures, policy), "train_ic": _train_ic(figures, policy)}
    if math.isfinite(figures.traded):
        found["net_sharpe"] = _earns(figures, policy)
    return [found[name] for name in policy.gates if name in found]


@dataclass(frozen=True)
class AdmissionInput:
    """What a gate may look at: a scored factor, its deflated Sharpe ratio after `trials`, its relation to others."""

    scored: Scored
    figures: TrainFigures
    dsr: float
    trials: int
    policy: Policy
    nearest: NearestKnown
    use_gate: bool


def all_gates(
    scored: Scored, dsr: float, trials: int, policy: Policy, nearest: NearestKnown, *, use_gate: bool
) -> list[GateVerdict]:
    """Return the verdicts of all gates of the policy, in order."""
    figures = train_figures(scored, use_gate=use_gate)
    candidate = AdmissionInput(scored, figures, dsr, trials, policy, nearest, use_gate)
    return [ADMISSION_GATES[name](candidate) for name in policy.gates]


def counted(trials: int) -> str:
    """Return a number of trials in words."""
    return "1 trial" if trials == 1 else f"{trials} trials"


def train_figures(scored: Scored, *, use_gate: bool) -> TrainFigures:
    """Read off a scorecard what train says."""
    train = scored.scorecard.train
    gated = use_gate and scored.gated is not None
    return TrainFigures(
        rank_ic=train.rank_ic,
        ic_tstat=train.ic_tstat,
        coverage=coverage(scored),
        sharpe_gross=train.sharpe_gross,
        traded=train.sharpe_gated if gated else train.sharpe_net,
    )


def coverage(scored: Scored) -> float:
    """Return the share of train's bars with a position."""
    exposure = scored.paid(scored.backtest.exposure, "train")
    return float((exposure > 0).mean()) if len(exposure) else float("nan")


def _coverage(figures: TrainFigures, policy: Policy) -> GateVerdict:
    return GateVerdict(
        "sanity",
        figures.coverage >= policy.min_coverage,
        {"coverage": figures.coverage},
        f"positions on at least {policy.min_coverage:.0%} of train's bars",
        ("it takes a position too seldom on train: loosen its conditions",),
    )


def _train_ic(figures: TrainFigures, policy: Policy) -> GateVerdict:
    bar = f"a t statistic above {policy.min_ic_t:g}"
    if not math.isfinite(figures.ic_tstat):
        words = "no bar of train has enough values to rank"
    elif figures.rank_ic < 0:
        words = "it predicts with the wrong sign on train: negate it"
    else:
        words = f"its rank IC on train may be chance (t {figures.ic_tstat:.1f}, asked are {policy.min_ic_t:g})"
    numbers = {"train": figures.ic_tstat}
    return GateVerdict("train_ic", figures.ic_tstat > policy.min_ic_t, numbers, bar, (words,))


def _earns(figures: TrainFigures, policy: Policy) -> GateVerdict:
    eaten = figures.sharpe_gross > 0
    return GateVerdict(
        "net_sharpe",
        figures.traded > policy.min_sharpe,
        {"train": figures.traded},
        f"above {policy.min_sharpe:g} a year, net of costs, on train and on validation",
        ("costs eat what it earns on train: trade less" if eaten else "it earns nothing on train",),
    )


def _validation(scored: Scored, policy: Policy) -> GateVerdict:
    train, validation = scored.scorecard.train.rank_ic, scored.scorecard.validation.rank_ic
    kept = validation / train if train != 0 else float("nan")
    words = (
        "its rank IC does not keep its sign on validation"
        if not kept > 0
        else "its rank IC shrinks too far on validation"
    )
    return GateVerdict(
        "validation",
        kept >= policy.min_kept and kept > 0,
        {"validation": validation, "kept": kept},
        f"rank IC of the same sign, at least {policy.min_kept:.0%} of train's",
        (words,),
    )


def _net_sharpe(scored: Scored, figures: TrainFigures, policy: Policy, *, use_gate: bool) -> GateVerdict:
    validation = scored.scorecard.validation
    kept = validation.sharpe_gated if use_gate and scored.gated is not None else validation.sharpe_net
    train = _earns(figures, policy)
    words = () if train.passed else train.words
    if not kept > policy.min_sharpe:
        words = (*words, "it does not earn after costs on validation")
    return GateVerdict("net_sharpe", not words, {"train": figures.traded, "validation": kept}, train.bar, words)


def _gate_novelty(of: AdmissionInput) -> GateVerdict:
    most = of.policy.max_overlap
    return GateVerdict(
        "novelty",
        not of.nearest.overlap > most,
        {"overlap": of.nearest.overlap},
        f"at most {most:g} shared with a known factor",
        (f"it is a variation of {of.nearest.overlaps}",),
    )


def _gate_sanity(of: AdmissionInput) -> GateVerdict:
    sanity, most = _coverage(of.figures, of.policy), of.policy.max_correlation
    close = abs(of.nearest.correlation) >= most
    words = f"its returns on train go with those of the accepted {of.nearest.correlates}"
    return GateVerdict(
        "sanity",
        sanity.passed and not close,
        {**sanity.numbers, "correlation": of.nearest.correlation},
        f"{sanity.bar}; |correlation with accepted| < {most:g}",
        (*(sanity.words if not sanity.passed else ()), *((words,) if close else ())),
    )


def _gate_dsr(of: AdmissionInput) -> GateVerdict:
    least, after = of.policy.min_dsr, counted(of.trials)
    words = f"after {after} on this data its Sharpe ratio may be luck (deflated ratio below {least:g})"
    return GateVerdict("dsr", of.dsr >= least, {"dsr": of.dsr}, f"at least {least:g} after {after}", (words,))


def _gate_added(value: object) -> Callable[[AdmissionInput], GateVerdict]:
    if not callable(value):
        raise TypeError(f"it is a {type(value).__name__}, and not a function from a AdmissionInput to a GateVerdict")
    return cast("Callable[[AdmissionInput], GateVerdict]", value)


# Those built in, and those that installed distributions add in the group alphaglow.gates.
ADMISSION_GATES: Registry[Callable[[AdmissionInput], GateVerdict]] = Registry(
    "gates",
    {
        "novelty": _gate_novelty,
        "sanity": _gate_sanity,
        "train_ic": lambda of: _train_ic(of.figures, of.policy),
        "validation": lambda of: _validation(of.scored, of.policy),
        "net_sharpe": lambda of: _net_sharpe(of.scored, of.figures, of.policy, use_gate=of.use_gate),
        "dsr": _gate_dsr,
    },
    _gate_added,
)


def gate_faults(gates: Sequence[str]) -> str:
    """Return what is wrong with a list of gates, in words; empty if nothing is."""
    unknown = [name for name in gates if name not in GATES and name not in ADMISSION_GATES]
    if unknown:
        return f"no such gate: {', '.join(unknown)}; there are {', '.join(ADMISSION_GATES)}"
    return "a gate stands twice" if len(set(gates)) < len(gates) else ""
