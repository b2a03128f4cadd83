"""What choosing the best of many factors is worth: walk-forward, combinatorial cross-validation, superior ability.

Returns are (T, factors), net a bar, without NaN. Choosing means taking the factor with the highest Sharpe ratio on what
is fitted on; it is the refit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backtest import metrics
from market.errors import InputError
from market.panel import FloatArray
from market.split import Combinations, Fold

# Bootstraps work on sums over at most this many periods: means are the same, and hours come in thousands.
_PERIODS = 2000


@dataclass(frozen=True, eq=False)
class WalkForward:
    """What choosing on the past alone earned: (T_out,) returns, and which factor each fold chose."""

    returns: FloatArray
    chosen: tuple[int, ...]


def choose_forward(returns: NDArray[np.floating], folds: list[Fold]) -> WalkForward:
    """Choose again before each fold, from what came before, and trade the choice through it."""
    chosen = [int(np.argmax(_ratios(returns[fold.train]))) for fold in folds]
    parts = [returns[fold.test, k].astype(np.float64) for fold, k in zip(folds, chosen, strict=True)]
    return WalkForward(np.concatenate(parts), tuple(chosen))


def choose_combined(returns: NDArray[np.floating], cut: Combinations) -> FloatArray:
    """Return the per-bar Sharpe ratio of each path of a combinatorial purged cross-validation.

    Each split chooses on its training rows; a path strings the tests together to a history of the whole time.
    """
    chosen = [int(np.argmax(_ratios(returns[split.train]))) for split in cut.splits]
    ratios = []
    for path in cut.paths():
        parts = [returns[group, chosen[split]] for group, split in zip(cut.groups, path, strict=True)]
        ratios.append(metrics.sharpe(np.concatenate(parts).astype(np.float64), 1.0))
    return np.array(ratios)


def _ratios(returns: NDArray[np.floating]) -> FloatArray:
    deviation = returns.std(axis=0, dtype=np.float64)
    mean = returns.mean(axis=0, dtype=np.float64)
    return np.where(deviation > 1e-15, mean / np.maximum(deviation, 1e-15), -np.inf)


@dataclass(frozen=True)
class Superior:
    """Whether any factor earns more than nothing, once it is known how many were looked at.

    Attributes
    ----------
    p_value
        Of Hansen's (2005) test of superior predictive ability, consistent version: small where some factor earns.
    superior
        Factors that Romano & Wolf's (2005) StepM finds to earn, at `level`.
    level
        Family-wise error rate of `superior`.
    periods
        What the bootstrap resampled, each a sum over bars.
    """

    p_value: float
    superior: tuple[int, ...]
    level: float
    periods: int


def superior_ability(returns: NDArray[np.floating], *, seed: int, level: float = 0.05, draws: int = 1000) -> Superior:
    """Test a set of factors against earning nothing, by the stationary bootstrap of the package `arch`.

    Raises
    ------
    InputError
        When `arch` is not installed, or there are too few bars.
    """
    try:
        from arch.bootstrap import StepM
    except ImportError as error:
        raise InputError("tests of superior ability need the package arch", "pip install 'alphaglow[stats]'") from error
    moving = np.flatnonzero(returns.std(axis=0) > 1e-15)
    bars = len(returns)
    if bars < 50 or len(moving) == 0:
        raise InputError(f"{bars} bars of {len(moving)} factors that earn or lose are too few for a bootstrap")
    edges: NDArray[np.int64] = np.linspace(0, bars, min(bars, _PERIODS) + 1).astype(np.int64)
    losses = -np.add.reduceat(returns[:, moving].astype(np.float64), edges[:-1], axis=0)
    nothing = np.zeros(len(losses))
    # As long as what remembers: the usual rule for a stationary bootstrap is about the cube root.
    block = max(2, round(len(losses) ** (1 / 3)))
    step = StepM(nothing, losses, size=level, block_size=block, reps=draws, seed=seed)
    # The steps begin with the test of all factors and keep its draws: its p-value is read before they go on.
    step.spa.compute()
    p_value = float(step.spa.pvalues["consistent"])
    step.compute()
    found = tuple(moving[np.asarray(step.superior_models, dtype=np.int64)].tolist())
    return Superior(p_value, found, level, len(losses))
