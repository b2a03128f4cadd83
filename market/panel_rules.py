"""How a panel is cut where nothing else is said: its universe, and its segments in time. Settings take these values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UniverseRules:
    """Which assets count at a bar, by the money they traded before it; see `market.universe.liquid_universe`."""

    top: int = 0
    least_money: float = 0.0
    days: float = 30.0
    refresh_days: float = 7.0


@dataclass(frozen=True)
class SplitRules:
    """Shares of the bars, in time order; what they leave is the holdout. See `market.split.make_split`.

    Validation is sized for power (docs/decisions/0020-sized-for-power.md).
    """

    train: float = 0.60
    validation: float = 0.25

    @property
    def fractions(self) -> tuple[float, float, float]:
        """Shares of train, validation and holdout."""
        return self.train, self.validation, round(1.0 - self.train - self.validation, 12)
