"""What a gate is worth in trading: beside no gate, beside itself at the wrong times, beside plain volatility."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backtest import metrics
from backtest.placebo import shifted_gates, volatility_gate
from backtest.run import trade
from backtest.scorecard import paid_rows
from backtest.target import Target
from market.panel import FloatArray


@dataclass(frozen=True)
class GateValue:
    """Net Sharpe ratios (annual) of one portfolio under several gates, over one segment.

    Attributes
    ----------
    ungated, gated
        Without a gate and with it.
    shifted
        Mean of circularly shifted gates: equal exposure and persistence, at other times.
    timing
        (gated - ungated) - (shifted - ungated): what its moments add to being less exposed.
    p_value
        Share of shifted gates that do as well or better, itself counted.
    volatility
        A gate by realised volatility that hands out the same exposures, with hindsight.
    tradable
        A gate by trailing volatility, calibrated as this one; NaN when none was given.
    exposure
        The gate's mean exposure, and `cost` its turnover over that of the ungated portfolio.
    """

    ungated: float
    gated: float
    shifted: float
    timing: float
    p_value: float
    volatility: float
    tradable: float
    exposure: float
    cost: float
    shifts: int


def gate_value(
    targets: FloatArray,
    target: Target,
    part: slice,
    gate: FloatArray,
    rng: np.random.Generator,
    *,
    shifts: int = 200,
    tradable: FloatArray | None = None,
) -> GateValue:
    """Trade (T, N) target weights over a segment with a gate (T, N), and with what it has to beat.

    Placebos are made within the segment, so each has the gate's exposure there.
    """
    market, own, inside = target.market.rows(part), targets[part], gate[part]
    year = target.panel.bars_per_year
    rows = paid_rows(slice(0, len(own)))

    def run(other: FloatArray | None) -> tuple[float, float]:
        result = trade(own, market, target.spec, other, bars_per_year=year)
        return metrics.sharpe(result.net[rows], year), float(result.turnover[rows].mean())

    (ungated, turnover), (gated, gated_turnover) = run(None), run(inside)
    found = np.array([run(other)[0] for other in shifted_gates(inside, shifts, rng)])
    shifted = float(found.mean()) if len(found) else float("nan")
    return GateValue(
        ungated=ungated,
        gated=gated,
        shifted=shifted,
        timing=gated - shifted,
        p_value=float((1 + (found >= gated).sum()) / (1 + len(found))),
        volatility=run(volatility_gate(target.calm_order(part), inside))[0],
        tradable=float("nan") if tradable is None else run(tradable[part])[0],
        exposure=float(inside[target.panel.universe[part]].mean()),
        cost=gated_turnover / turnover if turnover > 0 else float("nan"),
        shifts=len(found),
    )
