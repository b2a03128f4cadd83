"""Is it luck? Two tests among all trials, the verdict, and probabilistic and deflated Sharpe ratios beside."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from backtest import metrics
from backtest.discovery import TrialScores, discovery_hurdle, discovery_q
from backtest.luck import min_track_record, sharpe_standard_error, sharpe_variance_factor
from backtest.max_test import LargestScores
from backtest.mean_test import MeanTest, mean_test
from backtest.policy import AdmissionInput, NearestKnown, Policy, all_gates, counted, train_figures
from backtest.result_types import Evidence, SignalShape, Tested
from backtest.rule_test import chosen_score
from backtest.scorecard import Scored, paid_rows
from market.panel import FloatArray

EULER_GAMMA = 0.5772156649015329
SUSPICIOUS_IC = 0.1
SUSPICIOUS_SHARPE = 4.0
# Fewer trials than this say nothing of how alike those to come will be.
_ENOUGH = 10
_BOTH = ("train", "validation")


@dataclass(frozen=True, slots=True)
class Trials:
    """How often luck had its chance: attempts on this data, and the variance of their per-bar Sharpe ratios.

    Attributes
    ----------
    count
        Trials that could have been lucky, this one and those still to come among them.
    sharpe_variance
        Of their per-bar Sharpe ratios: what the Deflated Sharpe Ratio, which is shown, rests on.
    effective
        How many effective trials those were, by clustering their returns; 0 is unknown.
    largest
        Draws of the largest score among those whose returns are known; without it all are taken as independent.
    scores
        Scores of the trials before, which a false discovery rate rests on.
    """

    count: int
    sharpe_variance: float
    effective: int = 0
    largest: LargestScores | None = None
    scores: TrialScores = field(default_factory=TrialScores)

    @property
    def more(self) -> float:
        """Trials that the draws do not hold; where many are alike, those to come are taken to be so as well."""
        if self.largest is None or self.largest.count == 0:
            return float(self.count)
        left = max(0, self.count - self.largest.count)
        alike = self.largest.effective() / self.largest.count if self.largest.count >= _ENOUGH else 1.0
        return left * alike

    def hurdle(self, level: float) -> float:
        """Return the score that the best of all these trials exceeds with probability `level` by luck."""
        return (self.largest or LargestScores(0)).hurdle(level, self.more)

    def test(self, series: FloatArray, policy: Policy, others: FloatArray, rules: FloatArray | None = None) -> Tested:
        """Test the mean of a series (T,), NaN left out, among all these trials, as the policy has it.

        `others` are the scores of the same test of the trials before. `rules` (K, K) are correlations of the returns
        under the K rules that the series' own was chosen from on these bars: its score is lowered by that choice.
        """
        plain = mean_test(series)
        if rules is None:
            return self._among(plain, policy, others)
        one = replace(plain, z=chosen_score(plain.z, rules))
        return replace(self._among(one, policy, others), rules=len(rules), plain_z=plain.z)

    def _among(self, one: MeanTest, policy: Policy, others: FloatArray) -> Tested:
        level = policy.level
        if policy.control == "fdr":
            rate, hurdle = discovery_q(one.z, others, self.count), discovery_hurdle(others, self.count, level)
            return Tested(one.n, one.mean, one.error, one.z, one.p, rate, hurdle, "fdr")
        adjusted = (self.largest or LargestScores(0)).adjusted_p(one.z, self.more)
        hurdle = self.hurdle(level)
        return Tested(one.n, one.mean, one.error, one.z, one.p, adjusted, hurdle, "fwer")


@dataclass(frozen=True, slots=True)
class Aim:
    """What a search that train led needs for its tests: the trials of such searches that came to validation before.

    Each round varies what did well on train, so that the best of a search rises by luck above the best of as many
    trials that were given: no hurdle for given trials holds on train. Validation led nothing. A factor must pass on
    train, among all trials as if they were given, and then on validation, among those that came so far.

    Attributes
    ----------
    confirmed
        Gives the trials that were tested on validation before, with their returns and scores; asked only of a factor
        that passes on train.
    tried
        Trials in all, this one left out; their share that came so far is taken for those to come.
    ahead
        Attempts that the run has still to make.
    """

    confirmed: Callable[[], Trials]
    tried: int
    ahead: int

    def on_validation(self) -> Trials:
        """Return among how many trials this one is tested on validation."""
        confirmed = self.confirmed()
        coming = self.ahead * confirmed.count / max(self.tried, 1)
        return replace(confirmed, count=confirmed.count + 1 + math.ceil(coming))


def probabilistic_sharpe(sharpe_per_bar: float, benchmark: float, n: int, skew: float, kurt: float) -> float:
    """Return the probability that the true Sharpe ratio lies above `benchmark` (Bailey & López de Prado 2012, eq. 11).

    All per bar, not annualised; `kurt` is 3 for a normal. NaN where undefined.
    """
    spread = sharpe_variance_factor(sharpe_per_bar, skew, kurt)
    if n < 2 or not math.isfinite(spread):
        return float("nan")
    return float(ndtr((sharpe_per_bar - benchmark) * math.sqrt(n - 1.0) / math.sqrt(spread)))


def expected_max_sharpe(trials: Trials) -> float:
    """Return the Sharpe ratio that the best of this many skill-less trials is expected to show.

    Bailey & López de Prado 2014, eq. 1: sqrt(V) ((1 - g) Z(1 - 1/N) + g Z(1 - 1/(N e))). 0 for a single trial.
    """
    if trials.count < 2 or trials.sharpe_variance <= 0:
        return 0.0
    first = ndtri(1.0 - 1.0 / trials.count)
    second = ndtri(1.0 - 1.0 / (trials.count * math.e))
    return float(math.sqrt(trials.sharpe_variance) * ((1.0 - EULER_GAMMA) * first + EULER_GAMMA * second))


def deflated_sharpe(sharpe_per_bar: float, n: int, skew: float, kurt: float, trials: Trials) -> float:
    """Return the Deflated Sharpe Ratio (Bailey & López de Prado 2014, eq. 2): PSR against the expected maximum."""
    return probabilistic_sharpe(sharpe_per_bar, expected_max_sharpe(trials), n, skew, kurt)


def reach_verdict(
    scored: Scored,
    trials: Trials,
    policy: Policy | None = None,
    nearest: NearestKnown | None = None,
    *,
    use_gate: bool = True,
    shape: SignalShape | None = None,
    aim: Aim | None = None,
) -> Evidence:
    """Return the verdict of a policy's gates on a scored factor.

    Both tests are of what it pays before costs, and of what it nets; the latter of the gated returns where there is a
    gate and `use_gate`. They are made on train and validation together or, where train led the search to the factor
    (`aim`), on one after the other. `shape` is of the signal's values on train. Deflated and probabilistic Sharpe
    ratios are figures beside.
    """
    policy = policy or Policy()
    result = scored.gated if use_gate and scored.gated is not None else scored.backtest
    returns = _of_parts(scored, result.net, *_BOTH)
    predicts = _test(scored, scored.payoffs, trials, policy, aim, "predicts")
    earns = _test(scored, result.net, trials, policy, aim, "earns")
    figures = train_figures(scored)
    known, seen = nearest or NearestKnown(), shape or SignalShape()
    gates = all_gates(AdmissionInput(scored, figures, predicts, earns, trials.count, policy, known, seen))
    failed = [gate for gate in gates if not gate.passed]
    reasons = tuple(word for gate in failed for word in gate.words)
    if not failed:
        reasons = (_admitted(policy, trials.count),)
    promising = [gate.gate for gate in failed] == ["earns"]
    return Evidence(
        accepted=not failed,
        verdict="accepted" if not failed else "promising" if promising else "rejected",
        reasons=reasons,
        trials=trials.count,
        audits=_audits(scored),
        gates=tuple(gates),
        effective_trials=trials.effective,
        predicts=predicts,
        earns=earns,
        **_sharpe_figures(returns, trials, policy),
    )


def _admitted(policy: Policy, trials: int) -> str:
    if policy.control == "fdr":
        return (
            f"predicts and earns: of what passes so among {counted(trials)}, at most {policy.level:.0%} are luck on "
            "average"
        )
    return f"predicts and earns beyond what luck gives in {counted(trials)}"


def _test(scored: Scored, series: FloatArray, trials: Trials, policy: Policy, aim: Aim | None, verdict: str) -> Tested:
    """Test a series on all that was looked at or, for a search that train led, on train and then on validation."""
    others: FloatArray = getattr(trials.scores, verdict)
    seen = _BOTH if aim is None else ("train",)
    rules = None
    if verdict == "earns" and scored.choice is not None:
        # The choice was made on train: bars with train in them have seen it, and validation alone has not.
        rows = np.concatenate([np.arange(len(series))[paid_rows(getattr(scored.split, name))] for name in seen])
        rules = scored.choice.correlation(rows)
    first = trials.test(_of_parts(scored, series, *seen), policy, others, rules)
    if aim is None:
        return first
    if not first.adjusted_p <= policy.level:
        return replace(first, decided_on="train")
    family = aim.on_validation()
    scores: FloatArray = getattr(family.scores, verdict)
    found = family.test(_of_parts(scored, series, "validation"), policy, scores)
    return replace(found, decided_on="validation", among=family.count)


def _of_parts(scored: Scored, series: FloatArray, *parts: str) -> FloatArray:
    found = np.concatenate([scored.paid(series, name) for name in parts])
    known: FloatArray = found[np.isfinite(found)]
    return known


def _sharpe_figures(returns: FloatArray, trials: Trials, policy: Policy) -> dict[str, Any]:
    """Return deflated and probabilistic Sharpe ratios, and how long a record would have to be.

    The trial variance is never taken below that of a skill-less Sharpe estimate, 1/n.
    """
    n = len(returns)
    per_bar = metrics.sharpe(returns, 1.0)
    floor = replace(trials, sharpe_variance=max(trials.sharpe_variance, 1.0 / max(n, 1)))
    skew, kurt = metrics.skewness(returns), metrics.kurtosis(returns)
    fewer = replace(floor, count=max(1, floor.effective or floor.count))
    return {
        "dsr": deflated_sharpe(per_bar, n, skew, kurt, floor),
        "psr": probabilistic_sharpe(per_bar, 0.0, n, skew, kurt),
        "sharpe_error": sharpe_standard_error(returns),
        "min_bars": min_track_record(
            per_bar, skew, kurt, benchmark=expected_max_sharpe(floor), level=1.0 - policy.level
        ),
        "bars": n,
        "dsr_effective": deflated_sharpe(per_bar, n, skew, kurt, fewer),
    }


def _audits(scored: Scored) -> tuple[str, ...]:
    """Name what looks too good in either segment; validation is named without its figure."""
    found = []
    for name in ("train", "validation"):
        part = getattr(scored.scorecard, name)
        if abs(part.rank_ic) > SUSPICIOUS_IC:
            found.append(f"|rank IC| above {SUSPICIOUS_IC:g} on {name}: look-ahead check made")
        best = np.nanmax([part.sharpe_net, part.sharpe_gross, part.sharpe_gated, -math.inf])
        if best > SUSPICIOUS_SHARPE:
            found.append(f"Sharpe above {SUSPICIOUS_SHARPE:g} on {name}: look-ahead check made")
    return tuple(found)
