"""The admission policy: which gates a factor must pass, in which order, and where their bars are.

A gate's verdict states its numbers and its bar for people. Its words go into prompts as well, so of validation, and of
what rests on validation, they hold no figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

from backtest.result_types import GateVerdict, SegmentScore, SignalShape, Tested
from market.errors import InputError
from market.plugins import Registry

if TYPE_CHECKING:
    from backtest.scorecard import Scored

Control = Literal["fwer", "fdr"]
GATES = ("novelty", "sanity", "predicts", "earns")
# Gates of policies before, and what stands in their place.
FORMER = {"train_ic": "predicts", "validation": "predicts", "net_sharpe": "earns", "dsr": "earns"}
# Thresholds of policies before.
FORMER_THRESHOLDS = ("min_ic_t", "min_kept", "min_sharpe", "min_dsr")
# A normal score on train below which nothing is said to be there.
SEEN = 2.0


@dataclass(frozen=True, slots=True)
class Policy:
    """What admits a factor.

    Attributes
    ----------
    gates
        Their names, in order. A factor is admitted when it passes all of them, and promising when only ``earns`` fails.
    max_overlap
        ``novelty``: largest share that it has in common with a known factor, as a tree.
    min_coverage, max_correlation
        ``sanity``: least share of train's bars on which it takes positions, and largest absolute correlation of its
        gross returns on train with those of an accepted factor.
    min_spread, max_size, max_value_correlation
        ``sanity``: least share of assets, on average over train's bars, whose value is not the commonest of its bar;
        largest `SignalShape.size`, where positions go by value (``zscore``); largest absolute rank correlation of its
        values on train with those of an accepted factor.
    level, control
        ``predicts``, ``earns``: with ``fwer``, how often the best of all trials may pass by luck alone (family-wise
        error of each); with ``fdr``, which share of what passes may be luck, on average (false discovery rate of each).
    """

    gates: tuple[str, ...] = GATES
    max_overlap: float = 1.0
    min_coverage: float = 0.1
    max_correlation: float = 0.7
    min_spread: float = 0.02
    max_size: float = 10.0
    max_value_correlation: float = 0.7
    level: float = 0.05
    control: Control = "fwer"

    def __post_init__(self) -> None:
        """Refuse gates that do not exist, or stand twice."""
        wrong = gate_faults(self.gates)
        if wrong:
            raise InputError(wrong, "correct alphaglow.toml [admission] gates")


@dataclass(frozen=True, slots=True)
class TrainFigures:
    """What is known of a factor on train alone: normal scores of what it pays and of what it nets, and its coverage.

    `net_z` is of the returns that it would be traded with: gated where there is a gate, NaN where not known yet.
    """

    payoff_z: float
    net_z: float
    coverage: float


@dataclass(frozen=True, slots=True)
class NearestKnown:
    """How a factor stands to what is known: tree overlap, and correlations with the accepted factor nearest.

    Once of returns, once of values, each with the text of the factor that it is nearest to.
    """

    overlap: float = float("nan")
    overlaps: str = ""
    correlation: float = float("nan")
    correlates: str = ""
    value_correlation: float = float("nan")
    value_correlates: str = ""


def train_gates(figures: TrainFigures, policy: Policy) -> list[GateVerdict]:
    """Return, of the gates in order, what train alone says: a factor that is below chance there is let go."""
    found = {"sanity": _coverage(figures, policy), "predicts": _seen(figures)}
    if math.isfinite(figures.net_z):
        earning = figures.net_z > 0.0
        words = (f"it does not earn on train after costs (score {figures.net_z:.1f}): trade less",)
        found["earns"] = GateVerdict("earns", earning, {"train": figures.net_z}, "a mean above 0 on train", words)
    return [found[name] for name in policy.gates if name in found]


def _seen(figures: TrainFigures) -> GateVerdict:
    z = figures.payoff_z
    numbers, bar = {"train": z}, f"a score above {SEEN:g} on train"
    return GateVerdict("predicts", z > SEEN, numbers, bar, (train_words(z),))


def train_words(payoff_z: float) -> str:
    """Say what train shows of a payoff; advice is given where there is something to be seen."""
    if not math.isfinite(payoff_z):
        return "train has too few payoffs to test"
    if payoff_z <= -SEEN:
        return f"it pays the other way on train (score {payoff_z:.1f}): negate it"
    if payoff_z <= SEEN:
        return f"what it pays on train does not differ from chance (score {payoff_z:.1f})"
    return f"it pays on train before costs (score {payoff_z:.1f})"


@dataclass(frozen=True)
class AdmissionInput:
    """What a gate may look at: a scored factor, both tests among `trials`, its relation to others."""

    scored: Scored
    figures: TrainFigures
    predicts: Tested
    earns: Tested
    trials: int
    policy: Policy
    nearest: NearestKnown
    shape: SignalShape = field(default_factory=SignalShape)


def all_gates(candidate: AdmissionInput) -> list[GateVerdict]:
    """Return the verdicts of all gates of the policy, in order."""
    return [ADMISSION_GATES[name](candidate) for name in candidate.policy.gates]


def counted(trials: int) -> str:
    """Return a number of trials in words."""
    return "1 trial" if trials == 1 else f"{trials} trials"


def train_figures(scored: Scored) -> TrainFigures:
    """Read off a scorecard what train says."""
    train = scored.scorecard.train
    return TrainFigures(payoff_z=train.payoff_z, net_z=train.net_z, coverage=coverage(scored))


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
    covered, policy, shape, near = _coverage(of.figures, of.policy), of.policy, of.shape, of.nearest
    by_value = of.scored.scorecard.weighting == "zscore"
    words = [] if covered.passed else list(covered.words)
    if shape.spread < policy.min_spread:
        words.append(few_differ(shape.spread))
    if by_value and shape.size > policy.max_size:
        words.append(f"1 % of its values are {shape.size:.0f} usual distances from their bar's median: rank or log it")
    if abs(near.correlation) >= policy.max_correlation:
        words.append(f"its returns on train go with those of the accepted {near.correlates}")
    if abs(near.value_correlation) >= policy.max_value_correlation:
        words.append(f"its values on train go with those of the accepted {near.value_correlates}")
    seen = {"spread": shape.spread, "size": shape.size, "value correlation": near.value_correlation}
    numbers = {**covered.numbers, "correlation": near.correlation}
    numbers |= {name: value for name, value in seen.items() if math.isfinite(value)}
    bars = (
        covered.bar,
        f"spread of at least {policy.min_spread:.0%}",
        *((f"size of at most {policy.max_size:g}",) if by_value else ()),
        f"|correlation with accepted| < {policy.max_correlation:g} in returns, "
        f"< {policy.max_value_correlation:g} in values",
    )
    return GateVerdict("sanity", not words, numbers, "; ".join(bars), tuple(words))


def few_differ(spread: float) -> str:
    """Say of how many assets the value is not the commonest of its bar."""
    return f"all but {spread:.1%} of the assets of a bar have one value"


def _tested(gate: str, tested: Tested, of: AdmissionInput, words: tuple[str, ...]) -> GateVerdict:
    level, after = of.policy.level, counted(tested.among or of.trials)
    if tested.decided_on == "validation":
        after = f"{after} that passed on train, on validation"
    passed = tested.adjusted_p <= level
    numbers = {"z": tested.z, "hurdle": tested.hurdle, "p": tested.adjusted_p}
    if tested.rules:
        numbers["z before its choice"] = tested.plain_z
    if of.policy.control == "fdr":
        bar = f"of what passes among {after}, at most {level:.0%} are luck on average"
    else:
        bar = f"above what the best of {after} without skill exceeds in {level:.0%} of cases"
    return GateVerdict(gate, passed, numbers, bar, words)


def _gate_predicts(of: AdmissionInput) -> GateVerdict:
    return _tested("predicts", of.predicts, of, (predicts_words(of.predicts, of.trials, of.scored.scorecard.train),))


def predicts_words(tested: Tested, trials: int, train: SegmentScore) -> str:
    """Say how far a payoff is from what luck gives; of validation no figure is in it."""
    if not math.isfinite(tested.z):
        return f"{tested.bars} payoffs are too few to test" if tested.bars else "no bar has enough values to rank"
    if train.payoff_z <= SEEN:
        return train_words(train.payoff_z)
    if tested.decided_on == "validation":
        return "train shows that it pays before costs, and validation does not confirm it"
    ranks = " (it ranks, and ranks are not money)" if train.ic_tstat > 3.0 and tested.z < SEEN else ""
    return f"what it pays before costs may be luck after {counted(trials)}{ranks}"


def _gate_earns(of: AdmissionInput) -> GateVerdict:
    if not of.figures.net_z > 0.0:
        pays = of.figures.payoff_z > SEEN
        words = "costs eat what it pays on train: trade less" if pays else "it earns nothing on train"
    elif of.earns.decided_on == "validation":
        words = "train shows that it earns after costs, and validation does not confirm it"
    else:
        words = f"what it earns after costs may be luck after {counted(of.trials)}"
    return _tested("earns", of.earns, of, (words,))


def _gate_added(value: object) -> Callable[[AdmissionInput], GateVerdict]:
    if not callable(value):
        raise TypeError(f"it is a {type(value).__name__}, and not a function from an AdmissionInput to a GateVerdict")
    return cast("Callable[[AdmissionInput], GateVerdict]", value)


# Those built in, and those that installed distributions add in the group alphaglow.gates.
ADMISSION_GATES: Registry[Callable[[AdmissionInput], GateVerdict]] = Registry(
    "gates",
    {
        "novelty": _gate_novelty,
        "sanity": _gate_sanity,
        "predicts": _gate_predicts,
        "earns": _gate_earns,
    },
    _gate_added,
)


def gate_faults(gates: Sequence[str]) -> str:
    """Return what is wrong with a list of gates, in words; empty if nothing is."""
    former = [name for name in gates if name in FORMER and name not in ADMISSION_GATES]
    if former:
        instead = ", ".join(dict.fromkeys(FORMER[name] for name in former))
        return f"the gates {', '.join(former)} are of an earlier policy; {instead} stand in their place"
    unknown = [name for name in gates if name not in GATES and name not in ADMISSION_GATES]
    if unknown:
        return f"no such gate: {', '.join(unknown)}; there are {', '.join(ADMISSION_GATES)}"
    return "a gate stands twice" if len(set(gates)) < len(gates) else ""
