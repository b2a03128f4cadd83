"""Whether forecasts of risk were right: tests of value at risk and of expected shortfall.

Returns are of one bar, losses are negative; value at risk (VaR) and expected shortfall (ES) are positive for a loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, xlogy

from market.panel import BoolArray, FloatArray


@dataclass(frozen=True)
class RiskTest:
    """How forecasts at one level did.

    Attributes
    ----------
    level
        Probability of a loss beyond VaR that was meant.
    bars, exceptions
        Forecasts, and losses beyond them.
    kupiec
        p-value that exceptions are as frequent as meant (Kupiec 1995, proportion of failures).
    christoffersen
        p-value that they do not follow on each other (Christoffersen 1998, independence).
    coverage
        p-value of both (conditional coverage).
    shortfall
        Acerbi & Szekely's (2014) second statistic: 0 is meant, below 0 losses are larger or more frequent than ES says.
    shortfall_p
        Its one-sided p-value, by draws from the forecasts themselves.
    """

    level: float
    bars: int
    exceptions: int
    kupiec: float
    christoffersen: float
    coverage: float
    shortfall: float
    shortfall_p: float


def kupiec_ratio(exceptions: int, bars: int, level: float) -> float:
    """Return the likelihood ratio of the proportion of failures, chi-squared with one degree of freedom."""
    share = exceptions / bars
    as_meant = xlogy(bars - exceptions, 1 - level) + xlogy(exceptions, level)
    as_seen = xlogy(bars - exceptions, 1 - share) + xlogy(exceptions, share)
    return float(-2.0 * (as_meant - as_seen))


def christoffersen_ratio(beyond: BoolArray) -> float:
    """Return the likelihood ratio of independence of exceptions (T,), chi-squared with one degree of freedom."""
    before, after = beyond[:-1], beyond[1:]
    n00, n01 = int((~before & ~after).sum()), int((~before & after).sum())
    n10, n11 = int((before & ~after).sum()), int((before & after).sum())
    share = (n01 + n11) / max(1, n00 + n01 + n10 + n11)
    from_calm, from_hit = n01 / max(1, n00 + n01), n11 / max(1, n10 + n11)
    one = xlogy(n00 + n10, 1 - share) + xlogy(n01 + n11, share)
    two = xlogy(n00, 1 - from_calm) + xlogy(n01, from_calm) + xlogy(n10, 1 - from_hit) + xlogy(n11, from_hit)
    return float(max(0.0, -2.0 * (one - two)))


def tail_risk(scenarios: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Return VaR and ES (T,) of scenarios (T, S) at a level: the quantile, and the mean of what is at or below it."""
    count = max(1, round(level * scenarios.shape[1]))
    worst = np.sort(np.partition(scenarios, count - 1, axis=1)[:, :count], axis=1)
    return -worst[:, -1], -worst.mean(axis=1)


def check_risk(
    returns: FloatArray, scenarios: FloatArray, level: float, rng: np.random.Generator, *, draws: int = 500
) -> RiskTest:
    """Test forecasts made of scenarios (T, S) against the returns (T,) that came."""
    value, shortfall = tail_risk(scenarios, level)
    beyond = returns < -value
    bars, hits = len(returns), int(beyond.sum())
    frequency, independence = kupiec_ratio(hits, bars, level), christoffersen_ratio(beyond)
    seen = _acerbi_szekely(returns, value, shortfall, level)
    rows = np.arange(bars)
    simulated = np.array(
        [
            _acerbi_szekely(scenarios[rows, rng.integers(scenarios.shape[1], size=bars)], value, shortfall, level)
            for _ in range(draws)
        ]
    )
    return RiskTest(
        level=level,
        bars=bars,
        exceptions=hits,
        kupiec=float(chdtrc(1, frequency)),
        christoffersen=float(chdtrc(1, independence)),
        coverage=float(chdtrc(2, frequency + independence)),
        shortfall=seen,
        shortfall_p=float((1 + (simulated <= seen).sum()) / (1 + draws)),
    )


def _acerbi_szekely(returns: FloatArray, value: FloatArray, shortfall: FloatArray, level: float) -> float:
    """Return the second statistic: the sum of exceptions over what ES says of them, plus 1 (eq. 6)."""
    beyond = returns < -value
    return float((returns[beyond] / shortfall[beyond]).sum() / (len(returns) * level) + 1.0)
