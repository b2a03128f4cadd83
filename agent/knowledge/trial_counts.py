"""How often luck had its chance on a panel, and which accepted factor is nearest to given returns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrialCount:
    """How often luck had its chance on a panel.

    Attributes
    ----------
    count
        Every attempt on the panel across all runs, those that were refused included.
    sharpe_variance
        Sample variance (ddof 1) of the per-bar Sharpe ratios of the attempts that were scored. While fewer
        than two were: 1 / bars of the panel, the variance that estimation alone gives a factor without
        skill; 0.0 for a panel that no run has worked on.
    evaluated
        How many Sharpe ratios the variance rests on.
    effective
        How many effective trials the scored attempts were: clusters of returns that correlate by half or more.
    """

    count: int
    sharpe_variance: float
    evaluated: int
    effective: int = 0


@dataclass(frozen=True, slots=True)
class Nearest:
    """The accepted factor whose returns correlate most with given ones; NaN and empty where there is none."""

    correlation: float
    text: str
