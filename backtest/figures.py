"""The four figures by which signals of one panel are compared with one another on a segment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backtest import metrics
from backtest.evidence import Trials, deflated_sharpe
from backtest.ic import newey_west_t
from backtest.result_types import Figures
from market.panel import FloatArray

SEGMENTS = ("train", "validation")


def figures_of(ic: FloatArray, net: FloatArray, trials: Trials, bars_per_year: float) -> Figures:
    """Return the figures of a segment from its rank IC a bar and its net returns, both (T,).

    The trial variance is never taken below that of a skill-less Sharpe estimate, as in
    `backtest.evidence.reach_verdict`.
    """
    known, paid = ic[np.isfinite(ic)], net[np.isfinite(net)]
    floor = replace(trials, sharpe_variance=max(trials.sharpe_variance, 1.0 / max(len(paid), 1)))
    shape = metrics.skewness(paid), metrics.kurtosis(paid)
    return Figures(
        float(known.mean()) if len(known) else float("nan"),
        newey_west_t(ic),
        metrics.sharpe(paid, bars_per_year),
        deflated_sharpe(metrics.sharpe(paid, 1.0), len(paid), *shape, floor),
        float(metrics.wealth(paid)[-1] - 1.0) if len(paid) else float("nan"),
    )
