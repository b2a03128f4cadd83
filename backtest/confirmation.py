"""The end of a search that train led: the best of each idea is tested on validation, which led nothing.

Each round of a search varies what did well on train, so that the best of it rises by luck above the best of as many
trials that were given: no hurdle for given trials holds on train. What passes there goes on a shortlist, one factor an
idea, which train alone draws up. So validation tests few factors, and its test keeps its size whatever the search did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from backtest.discovery import TrialScores, discovery_hurdle, discovery_q
from backtest.evidence import conclude, of_parts, traded
from backtest.max_test import LargestScores, step_down_p
from backtest.mean_test import MeanTest, mean_test
from backtest.policy import AdmissionInput, NearestKnown, Policy, all_gates, train_figures
from backtest.result_types import Evidence, SignalShape, Tested
from backtest.scorecard import Scored
from market.panel import FloatArray


@dataclass(frozen=True, eq=False)
class Shortlisted:
    """A factor that passes on train: its score, its evidence there, its returns on train, and its relation to others.

    `fingerprint` is (blocks,) as of `backtest.luck.fingerprint_of`.
    """

    scored: Scored
    evidence: Evidence
    fingerprint: FloatArray
    nearest: NearestKnown = field(default_factory=NearestKnown)
    shape: SignalShape = field(default_factory=SignalShape)


@dataclass(frozen=True, eq=False)
class TestedBefore:
    """Factors of searches that validation tested before: scores of both tests, NaN where not made, and fingerprints."""

    __test__ = False

    scores: TrialScores = field(default_factory=TrialScores)
    fingerprints: Sequence[FloatArray] = ()


def confirm(
    shortlist: Sequence[Shortlisted], before: TestedBefore, policy: Policy, *, use_gate: bool = True, seed: int = 0
) -> list[Evidence]:
    """Return the evidence of each factor of a shortlist after both tests on validation.

    A test is made of the factors that passed the same test on train, among these and those `before`: what is found is
    left out and the hurdle drawn again among the rest (StepM, Romano & Wolf 2005), or their false discovery rate is
    computed, as the policy has it. A factor that train shows to predict and not to earn can become promising.
    """
    tests = {name: _tested(shortlist, before, policy, name, use_gate, seed) for name in ("predicts", "earns")}
    found = []
    for place, one in enumerate(shortlist):
        predicts, earns = tests["predicts"][place], tests["earns"][place]
        figures, trials = train_figures(one.scored), one.evidence.trials
        gates = all_gates(AdmissionInput(one.scored, figures, predicts, earns, trials, policy, one.nearest, one.shape))
        verdict, reasons = conclude(gates, policy, trials)
        if verdict == "accepted":
            reasons = (f"{reasons[0]}, and validation confirms it",)
        found.append(
            replace(
                one.evidence,
                accepted=verdict == "accepted",
                verdict=verdict,
                reasons=reasons,
                gates=tuple(gates),
                predicts=predicts,
                earns=earns,
            )
        )
    return found


def _tested(
    shortlist: Sequence[Shortlisted], before: TestedBefore, policy: Policy, name: str, use_gate: bool, seed: int
) -> list[Tested]:
    """Return the test of each factor: on validation where it passed on train, else what train said."""
    found: list[Tested] = [getattr(one.evidence, name) for one in shortlist]
    places = [k for k, tested in enumerate(found) if tested.adjusted_p <= policy.level]
    tests = [mean_test(_on_validation(shortlist[k].scored, name, use_gate)) for k in places]
    known: FloatArray = getattr(before.scores, name)
    made = np.flatnonzero(np.isfinite(known)).tolist()
    scores = np.concatenate([known[made], [one.z for one in tests]])
    prints = [*(before.fingerprints[k] for k in made), *(shortlist[k].fingerprint for k in places)]
    adjusted, hurdle = adjusted_for_all(scores, prints, policy, seed)
    for place, test, p in zip(places, tests, adjusted[len(made) :], strict=True):
        found[place] = _of_validation(test, float(p), hurdle, policy, len(scores))
    return found


def _on_validation(scored: Scored, name: str, use_gate: bool) -> FloatArray:
    series = scored.payoffs if name == "predicts" else traded(scored, use_gate=use_gate)
    return of_parts(scored, series, "validation")


def adjusted_for_all(
    scores: FloatArray, prints: Sequence[FloatArray], policy: Policy, seed: int
) -> tuple[FloatArray, float]:
    """Return what is compared with the level for each score, and the score that would pass among those not found."""
    count = len(scores)
    if policy.control == "fdr":
        rates = [discovery_q(z, np.delete(scores, k), count) for k, z in enumerate(scores)]
        return np.array(rates, dtype=np.float64), discovery_hurdle(scores, count, policy.level)
    adjusted = step_down_p(scores, prints, level=policy.level, seed=seed)
    rest = LargestScores(seed)
    rest.add(row for row, p in zip(prints, adjusted, strict=True) if not p <= policy.level)
    return adjusted, rest.hurdle(policy.level)


def _of_validation(test: MeanTest, adjusted: float, hurdle: float, policy: Policy, among: int) -> Tested:
    return Tested(test.n, test.mean, test.error, test.z, test.p, adjusted, hurdle, policy.control, "validation", among)
