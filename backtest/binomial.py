"""A share of so few cases is an estimate: its exact binomial interval, and how it is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scipy.special import betaincinv

_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Share:
    """How many of a number of independent cases.

    Attributes
    ----------
    count, cases
        Cases of which something is true, and all of them.
    """

    count: int
    cases: int

    @classmethod
    def of(cls, flags: Iterable[bool]) -> Share:
        """Count what is true."""
        found = [bool(flag) for flag in flags]
        return cls(sum(found), len(found))

    @property
    def value(self) -> float:
        """The share; NaN of no case."""
        return self.count / self.cases if self.cases else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true share lies with a confidence of 95 % (Clopper & Pearson 1934); all of [0, 1] of no case.

        Where none or all of the cases are true there is one bound to state, and all of the 5 % are beyond it.
        """
        if not self.cases:
            return 0.0, 1.0
        sides = 1.0 if self.count in (0, self.cases) else 2.0
        tail, missing = (1.0 - _LEVEL) / sides, self.cases - self.count
        low = float(betaincinv(self.count, missing + 1, tail)) if self.count else 0.0
        high = float(betaincinv(self.count + 1, missing, 1.0 - tail)) if missing else 1.0
        return low, high

    def __str__(self) -> str:
        """Say it with its interval: ``0 of 20: at most 14 %, 95 %``."""
        low, high = self.interval
        if not self.cases:
            return "none made"
        said = f"{self.count} of {self.cases}"
        if not self.count:
            return f"{said}: at most {100 * high:.0f} %, 95 %"
        if self.count == self.cases:
            return f"{said}: at least {100 * low:.0f} %, 95 %"
        return f"{said}: {100 * self.value:.0f} %, {100 * low:.0f} to {100 * high:.0f} %"

    def document(self) -> dict[str, float | int | None]:
        """Return it for JSON."""
        low, high = self.interval
        return {
            "count": self.count,
            "cases": self.cases,
            "share": self.value if self.cases else None,
            "low": low,
            "high": high,
        }
