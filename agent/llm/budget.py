"""What a run may spend, checked before each call."""

from __future__ import annotations

from dataclasses import dataclass

from market.errors import InputError


class BudgetReached(Exception):
    """No further call may be made; the loop stops cleanly and what was paid for is kept."""


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars for a million tokens."""

    input_per_million: float
    output_per_million: float

    def cost(self, prompt_tokens: int | None, completion_tokens: int | None) -> float | None:
        """Return a call's cost in dollars; None when the server did not say how many tokens it took."""
        if prompt_tokens is None or completion_tokens is None:
            return None
        return (prompt_tokens * self.input_per_million + completion_tokens * self.output_per_million) / 1e6


@dataclass
class Budget:
    """Upper bounds on calls and dollars (None: no bound), and what was used so far.

    A cost that turns out to be unknown, under a bound in dollars, ends the run: what cannot be counted cannot be
    bounded.
    """

    max_calls: int | None = None
    max_usd: float | None = None
    calls: int = 0
    usd: float = 0.0
    unknown: bool = False
    dearest: float = 0.0
    under_way: int = 0

    def already(self, calls: int, usd: float | None) -> None:
        """Count what a resumed run spent before."""
        self.calls += calls
        self.usd += usd or 0.0
        self.unknown = self.unknown or (calls > 0 and usd is None)

    def reserve(self) -> None:
        """Count a call that is about to be made; raises `BudgetReached` when it would go past a bound.

        In dollars a call is expected to cost as much as the dearest one so far, and calls under way count as well.
        """
        if self.max_calls is not None and self.calls + self.under_way >= self.max_calls:
            raise BudgetReached(f"budget of {self.max_calls} calls reached")
        if self.max_usd is not None:
            if self.unknown:
                raise BudgetReached("the server reports no token counts, so the bound in dollars cannot be kept")
            if self.usd + self.dearest * (self.under_way + 1) > self.max_usd:
                raise BudgetReached(f"budget of ${self.max_usd:g} reached (spent ${self.usd:.4f})")
        self.under_way += 1

    def settle(self, usd: float | None, *, priced: bool) -> None:
        """Count a call that returned; `priced` tells whether the model has a price at all."""
        self.under_way -= 1
        self.calls += 1
        if usd is None:
            self.unknown = self.unknown or priced
            return
        self.usd += usd
        self.dearest = max(self.dearest, usd)

    def release(self) -> None:
        """Give back a reservation whose call never reached a server."""
        self.under_way -= 1


def require_price(model: str, usd: float | None, prices: Prices | None) -> None:
    """Refuse a bound in dollars for a model whose price is unknown."""
    if usd is not None and prices is None:
        raise InputError(
            f"--budget-usd needs a price for {model!r}, and none is known",
            f'add [prices."{model}"] input = …, output = … to alphaglow.toml, or use --budget-calls',
        )
