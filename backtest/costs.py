"""What trading costs."""

from __future__ import annotations

from dataclasses import dataclass

from market.errors import InputError


@dataclass(frozen=True, slots=True)
class Costs:
    """Basis points of traded notional, and of shorted notional a year.

    Attributes
    ----------
    fee_bp, slippage_bp
        Paid on every unit of notional that changes hands.
    borrow_bp_year
        Paid on short positions for as long as they are held.
    """

    fee_bp: float = 5.0
    slippage_bp: float = 5.0
    borrow_bp_year: float = 0.0

    def __post_init__(self) -> None:
        """Refuse negative costs."""
        if min(self.fee_bp, self.slippage_bp, self.borrow_bp_year) < 0:
            raise InputError("costs cannot be negative", "set fee_bp, slippage_bp and borrow_bp_year to 0 or more")

    @property
    def per_trade(self) -> float:
        """Fraction of traded notional."""
        return (self.fee_bp + self.slippage_bp) * 1e-4
