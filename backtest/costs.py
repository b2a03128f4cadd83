"""What trading costs: fees, slippage, impact, borrow, and presets of venues."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

from market.errors import InputError


@dataclass(frozen=True, slots=True)
class Costs:
    """Basis points of traded notional, and of shorted notional a year.

    Attributes
    ----------
    fee_bp, maker_bp, maker_share
        Fee of what takes liquidity, of what makes it, and the share of trades that makes it.
    slippage_bp
        Paid on every unit of notional that changes hands, whatever its size.
    borrow_bp_year
        Paid on short positions for as long as they are held.
    impact
        Coefficient Y of the square-root law: a trade of Q costs Y sigma sqrt(Q / V) of Q, with sigma the deviation of a
        bar's return and V the money traded in the bar of the fill (Almgren et al. 2005; Tóth et al. 2011 find Y about
        1). The law has no scale of its own: a day's sigma and V say the same as an hour's.
    capital
        Money under management, in the currency of prices. 0 is too small to move a price: no impact.
    """

    fee_bp: float = 5.0
    slippage_bp: float = 5.0
    borrow_bp_year: float = 0.0
    maker_bp: float = 0.0
    maker_share: float = 0.0
    impact: float = 1.0
    capital: float = 0.0

    def __post_init__(self) -> None:
        """Refuse costs that are negative or not known; a maker's fee may be a rebate."""
        unknown = [f.name for f in fields(self) if not _is_number(getattr(self, f.name))]
        if unknown:
            raise InputError(f"costs are not known: {', '.join(unknown)}", "set each to a number; 0 is free of it")
        if min(self.fee_bp, self.slippage_bp, self.borrow_bp_year, self.impact, self.capital) < 0:
            raise InputError("costs cannot be negative", "set fees, slippage, borrow, impact and capital to 0 or more")
        if not 0 <= self.maker_share <= 1:
            raise InputError(f"maker_share is a share, not {self.maker_share:g}", "set it between 0 and 1")

    @property
    def per_trade(self) -> float:
        """Fraction of traded notional, impact apart."""
        fee = self.maker_share * self.maker_bp + (1.0 - self.maker_share) * self.fee_bp
        return (fee + self.slippage_bp) * 1e-4


# What an ordinary account pays by the venues' published schedules, and a slippage that is usual for their liquid half.
# Fees change: they are a start, and every figure can be set.
PRESETS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "binance_spot": {"fee_bp": 10.0, "maker_bp": 10.0, "slippage_bp": 3.0, "borrow_bp_year": 1000.0},
        "binance_perp": {"fee_bp": 5.0, "maker_bp": 2.0, "slippage_bp": 2.0},
        "bybit_spot": {"fee_bp": 10.0, "maker_bp": 10.0, "slippage_bp": 3.0, "borrow_bp_year": 1000.0},
        "bybit_perp": {"fee_bp": 5.5, "maker_bp": 2.0, "slippage_bp": 2.0},
        "okx_perp": {"fee_bp": 5.0, "maker_bp": 2.0, "slippage_bp": 2.0},
        "coinbase_spot": {"fee_bp": 60.0, "maker_bp": 40.0, "slippage_bp": 3.0},
        "us_equity": {"fee_bp": 0.5, "maker_bp": 0.5, "slippage_bp": 4.0, "borrow_bp_year": 50.0},
        "us_equity_small": {"fee_bp": 0.5, "maker_bp": 0.5, "slippage_bp": 15.0, "borrow_bp_year": 300.0},
    }
)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
