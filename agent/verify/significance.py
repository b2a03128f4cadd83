"""Both tests of a signal among a number of trials, and what each number of trials would mean where none is declared."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from agent.verify.verification import IF_TRIALS, AmongTrials
from backtest.max_test import LargestScores
from backtest.mean_test import mean_test, one_sided_p
from backtest.result_types import NOT_TESTED, Tested
from backtest.rule_test import chosen_score
from market.panel import FloatArray

# More trials than this are written as this many.
_MANY = 10**9


def tested(series: FloatArray, trials: int, level: float, rules: FloatArray | None = None) -> Tested:
    """Test the mean of a series (T,), NaN left out, as the best of `trials` independent ones.

    `rules` (K, K) are correlations of the returns under the K rules that the series' own was chosen from.
    """
    one = mean_test(series)
    z = one.z if rules is None else chosen_score(one.z, rules)
    # Far below, the allowance for the choice is no number any more, and changes nothing.
    z = one.z if z == -math.inf else z
    found = Tested(one.n, one.mean, one.error, z, one_sided_p(z), best_of(z, trials), 0.0, "fwer", among=trials)
    hurdle = LargestScores(0).hurdle(level, trials)
    return replace(found, hurdle=hurdle, rules=0 if rules is None else len(rules), plain_z=one.z)


def best_of(z: float, trials: int) -> float:
    """Return the probability that the best of a number of independent trials without skill reaches `z`; NaN for NaN."""
    p = one_sided_p(z)
    return -math.expm1(trials * math.log1p(-p)) if p < 1.0 else 1.0


def among_trials(predicts: Tested, earns: Tested, trials: int | None, level: float) -> tuple[AmongTrials, ...]:
    """Return both tests among the declared trials, or among each of `IF_TRIALS` where none are declared."""
    found = []
    for count in IF_TRIALS if trials is None else (trials,):
        first, second = best_of(predicts.z, count), best_of(earns.z, count)
        ok = all(p <= level for p in _made(predicts, first) + _made(earns, second))
        found.append(AmongTrials(count, first, second, LargestScores(0).hurdle(level, count), ok))
    return tuple(found)


def _made(test: Tested, p: float) -> tuple[float, ...]:
    """Return the p-value of a test that was made; one that could not be made is not passed."""
    if test is NOT_TESTED:
        return ()
    return (p if math.isfinite(p) else 1.0,)


def most_trials(predicts: Tested, earns: Tested, level: float) -> int:
    """Return the largest number of trials of which, as the best, both tests pass; 0 where none do."""
    ps = _made(predicts, predicts.p) + _made(earns, earns.p)
    worst = max(ps)
    if not worst <= level:
        return 0
    return int(min(_MANY, math.log1p(-level) / math.log1p(-worst))) if worst > 1e-12 else _MANY


def bootstrapped_scores(series: FloatArray, block: int, count: int, rng: np.random.Generator) -> FloatArray:
    """Return (count,) scores of a series (T,) without its mean, drawn again in blocks: skew and dependence stay."""
    known = series[np.isfinite(series)]
    gaps, length = known - known.mean(), len(known)
    starts = rng.integers(0, length, (count, length // block + 1))
    rows = (starts[:, :, None] + np.arange(block)).reshape(count, -1)[:, :length] % length
    return np.array([mean_test(gaps[row]).z for row in rows])
