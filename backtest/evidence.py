"""Is it luck? Probabilistic and Deflated Sharpe Ratios, and the verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, ndtri

from backtest import metrics
from backtest.luck import min_track_record, sharpe_standard_error, sharpe_variance_factor
from backtest.policy import NearestKnown, Policy, all_gates, counted
from backtest.result_types import Evidence
from backtest.scorecard import Scored

EULER_GAMMA = 0.5772156649015329
SUSPICIOUS_IC = 0.1
SUSPICIOUS_SHARPE = 4.0


@dataclass(frozen=True, slots=True)
class Trials:
    """How often luck had its chance: attempts on this data, and the variance of their per-bar Sharpe ratios.

    `effective` is how many effective trials those were that could be scored, by clustering their returns; 0 is unknown.
    """

    count: int
    sharpe_variance: float
    effective: int = 0


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
) -> Evidence:
    """Return the verdict of a policy's gates on a scored factor.

    The returns judged are the gated ones where there is a gate and `use_gate`. The trial variance is never taken below
    that of a skill-less Sharpe estimate, 1/n: a handful of similar trials would otherwise make the hurdle vanish.
    """
    policy = policy or Policy()
    result = scored.gated if use_gate and scored.gated is not None else scored.backtest
    returns = np.concatenate([scored.paid(result.net, name) for name in ("train", "validation")])
    returns = returns[np.isfinite(returns)]
    n = len(returns)
    per_bar = metrics.sharpe(returns, 1.0)
    floor = replace(trials, sharpe_variance=max(trials.sharpe_variance, 1.0 / max(n, 1)))
    skew, kurt = metrics.skewness(returns), metrics.kurtosis(returns)
    dsr = deflated_sharpe(per_bar, n, skew, kurt, floor)
    fewer = replace(floor, count=max(1, floor.effective or floor.count))
    gates = all_gates(scored, dsr, trials.count, policy, nearest or NearestKnown(), use_gate=use_gate)
    failed = [gate for gate in gates if not gate.passed]
    reasons = tuple(word for gate in failed for word in gate.words)
    if not failed:
        reasons = (f"passes every gate, and survives deflation by {counted(trials.count)}",)
    only_dsr = [gate.gate for gate in failed] == ["dsr"]
    return Evidence(
        accepted=not failed,
        verdict="accepted" if not failed else "promising" if only_dsr else "rejected",
        reasons=reasons,
        dsr=dsr,
        psr=probabilistic_sharpe(per_bar, 0.0, n, skew, kurt),
        trials=trials.count,
        audits=_audits(scored),
        sharpe_error=sharpe_standard_error(returns),
        min_bars=min_track_record(per_bar, skew, kurt, benchmark=expected_max_sharpe(floor), level=policy.min_dsr),
        bars=n,
        gates=tuple(gates),
        effective_trials=trials.effective,
        dsr_effective=deflated_sharpe(per_bar, n, skew, kurt, fewer),
    )


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
