"""What a run may spend, checked before each call against the worst that the calls under way may still cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.knowledge.run_config import Bounds
from market.errors import InputError

# A prompt has at most a token for this many bytes of its text; what a server counts may prove it more.
_BYTES_PER_TOKEN = 2.0
# Of shorter prompts, most tokens are the server's own framing.
_LEAST_BYTES = 500


class BudgetReached(Exception):
    """No further call may be made; the loop stops cleanly and what was paid for is kept."""


class StopRequested(Exception):
    """The person asked to stop: no new call is made, what was paid for is kept."""


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars for a million tokens; of a prompt's tokens that the server had read before, `cached_per_million`.

    Without a price of their own, cached tokens cost what others do: no less than the bill will say.
    """

    input_per_million: float
    output_per_million: float
    cached_per_million: float | None = None

    def cost(
        self, prompt_tokens: int | None, completion_tokens: int | None, cached_tokens: int | None = None
    ) -> float | None:
        """Return a call's cost in dollars; None when the server did not say how many tokens it took.

        `cached_tokens` are among the prompt's; None: the server does not say.
        """
        if prompt_tokens is None or completion_tokens is None:
            return None
        cached = 0 if self.cached_per_million is None else min(cached_tokens or 0, prompt_tokens)
        read = (prompt_tokens - cached) * self.input_per_million + cached * (self.cached_per_million or 0.0)
        return (read + completion_tokens * self.output_per_million) / 1e6


@dataclass(frozen=True, slots=True)
class Worst:
    """The most that a call may take: tokens of prompt and reply, and dollars where there is a price."""

    prompt: int
    reply: int
    usd: float


@dataclass
class Budget:
    """What was spent so far, and what calls under way may still take.

    A call that is answered without token counts, or is lost on the way after it was sent, may have been billed: it
    counts at its worst, and `uncounted` and `lost` tell how many such there are. `cached` of `prompts_counted` tokens
    of prompts came from the server's memory, of the calls in this session whose server says so.
    """

    bounds: Bounds = field(default_factory=Bounds)
    clock: Callable[[], float] = time.monotonic
    calls: int = 0
    tokens: int = 0
    usd: float = 0.0
    uncounted: int = 0
    lost: int = 0
    under_way: list[Worst] = field(default_factory=list)
    bytes_per_token: float = _BYTES_PER_TOKEN
    started: float | None = None
    prompts_counted: int = 0
    cached: int = 0

    def count_cached(self, prompt_tokens: int | None, cached_tokens: int | None) -> None:
        """Count how much of a prompt the server had read before, where it says so."""
        if prompt_tokens is not None and cached_tokens is not None:
            self.prompts_counted += prompt_tokens
            self.cached += min(cached_tokens, prompt_tokens)

    def cache_sentence(self) -> str:
        """Say how much of this session's prompts the server had read before; empty where it does not say."""
        if not self.prompts_counted:
            return ""
        share = self.cached / self.prompts_counted
        return f"the server had read {self.cached:,} of {self.prompts_counted:,} prompt tokens before ({share:.0%})"

    def already(self, calls: int, tokens: int, usd: float) -> None:
        """Count what a resumed run spent before."""
        self.calls += calls
        self.tokens += tokens
        self.usd += usd

    def worst_of(self, prompt_bytes: int, reply_tokens: int, prices: Prices | None) -> Worst:
        """Return the most that a call may take whose prompt has this many bytes and whose reply this many tokens."""
        prompt = int(prompt_bytes / self.bytes_per_token) + 1
        usd = prices.cost(prompt, reply_tokens) if prices else None
        return Worst(prompt, reply_tokens, usd or 0.0)

    def reserve(self, worst: Worst) -> None:
        """Count a call that is about to be made; raises `BudgetReached` when it could go past a bound."""
        self.started = self.clock() if self.started is None else self.started
        bounds, flying = self.bounds, self.under_way
        if bounds.seconds is not None and self.clock() - self.started >= bounds.seconds:
            raise BudgetReached(f"budget of {bounds.seconds:g} seconds reached")
        if bounds.calls is not None and self.calls + len(flying) >= bounds.calls:
            raise BudgetReached(f"budget of {bounds.calls} calls reached")
        tokens = self.tokens + sum(w.prompt + w.reply for w in (*flying, worst))
        if bounds.tokens is not None and tokens > bounds.tokens:
            raise BudgetReached(f"budget of {bounds.tokens} tokens reached (spent {self.tokens})")
        usd = self.usd + sum(w.usd for w in (*flying, worst))
        if bounds.usd is not None and usd > bounds.usd:
            raise BudgetReached(f"budget of ${bounds.usd:g} reached (spent ${self.usd:.4f})")
        flying.append(worst)

    def settle(
        self, worst: Worst, prompt_bytes: int, prompt_tokens: int | None, reply_tokens: int | None, usd: float | None
    ) -> None:
        """Count a call that returned, with what its server says it took; None: it does not say."""
        self.under_way.remove(worst)
        self.calls += 1
        if prompt_tokens is None or reply_tokens is None:
            self.uncounted += 1
            self.tokens += worst.prompt + worst.reply
            self.usd += worst.usd
            return
        if prompt_tokens > 0 and prompt_bytes >= _LEAST_BYTES:
            self.bytes_per_token = min(self.bytes_per_token, prompt_bytes / prompt_tokens)
        self.tokens += prompt_tokens + reply_tokens
        self.usd += usd or 0.0

    def release(self, worst: Worst) -> None:
        """Give back a reservation whose call a server refused, or that never reached one."""
        self.under_way.remove(worst)

    def lose(self, worst: Worst) -> None:
        """Count a call that was sent and got no answer: it may have been billed."""
        self.under_way.remove(worst)
        self.lost += 1
        self.tokens += worst.prompt + worst.reply
        self.usd += worst.usd


def require_price(model: str, bounds: Bounds, prices: Prices | None) -> None:
    """Refuse a model whose price is unknown where dollars are bounded, or where no tokens are."""
    if prices is not None:
        return
    known = f'[prices."{model}"] input = …, output = … in alphaglow.toml (0 for a model of your own)'
    if bounds.usd is not None:
        raise InputError(
            f"--budget-usd needs a price for {model!r}, and none is known", f"write {known}, or use --budget-tokens"
        )
    if bounds.tokens is None:
        raise InputError(
            f"the price of {model!r} is unknown, so nothing bounds what the run may cost",
            f"say --budget-tokens N, or write {known}",
        )
