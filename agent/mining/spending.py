"""What a run may spend, is expected to spend, and has spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from agent.knowledge.records import CallRecord
from agent.knowledge.run_config import Bounds
from agent.llm.budget import Budget, Prices, require_price
from agent.llm.client import ModelName
from agent.mining.brief import Brief, writer_prompt
from agent.study.settings import LoopSettings, Settings

# A usual text has a token for this many bytes; the budget reckons with twice as many.
_USUAL_BYTES_PER_TOKEN = 4.0
# Tokens of a usual reply, and the writer's and judge's turns that a usual candidate takes.
_USUAL_REPLY, _USUAL_TURNS = 300, 1.5


def prices_of(settings: Settings, model: str) -> Prices | None:
    """Return what a model costs by the settings; None: unknown."""
    price = settings.prices.get(model)
    return Prices(price.input, price.output, price.cached) if price else None


def model_chain(settings: Settings, model: str, fallback: Sequence[str]) -> tuple[ModelName, ...]:
    """Return the model with what is to be asked when it can no longer answer."""
    return tuple(ModelName(name, prices_of(settings, name)) for name in (model, *fallback))


def make_budget(chain: Sequence[ModelName], bounds: Bounds, *, simulated: bool) -> Budget:
    """Return a budget; a bound that could not be kept is refused."""
    if not simulated:
        for model in chain:
            require_price(model.name, bounds, model.prices)
    return Budget(bounds)


def count_spent(budget: Budget, calls: Sequence[CallRecord], chain: Sequence[ModelName], reply_tokens: int) -> None:
    """Count what a run spent before; what its server did not count is counted at its worst, as it was then."""
    prices = {model.name: model.prices for model in chain}
    for call in calls:
        if call.prompt_tokens is None or call.completion_tokens is None:
            worst = budget.worst_of(len(call.request.encode()), reply_tokens, prices.get(call.model))
            lost = call.status == "lost"
            budget.lost += lost
            budget.uncounted += not lost
            budget.already(0 if lost else 1, worst.prompt + worst.reply, worst.usd)
            continue
        known = prices.get(call.model)
        cost = (
            call.cost_usd
            if call.cost_usd is not None or known is None
            else known.cost(call.prompt_tokens, call.completion_tokens)
        )
        budget.already(1, call.prompt_tokens + call.completion_tokens, cost or 0.0)


@dataclass(frozen=True)
class CostEstimate:
    """What a run is expected to take: calls and tokens of a usual course and of the longest, and their dollars."""

    calls: int
    most_calls: int
    tokens: int
    most_tokens: int
    usd: float | None
    most_usd: float | None

    def sentence(self) -> str:
        """Say it in one line."""
        cost = (
            "cost unknown (no price set)"
            if self.usd is None or self.most_usd is None
            else f"about ${self.usd:.2f}, at most ${self.most_usd:.2f}"
        )
        return (
            f"estimate: about {self.calls} calls and {self.tokens:,} tokens, at most {self.most_calls} and "
            f"{self.most_tokens:,}; {cost}"
        )

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        return asdict(self)


def estimate_cost(brief: Brief, loop: LoopSettings, model: ModelName, reply_tokens: int) -> CostEstimate:
    """Estimate a run by its first prompt; the longest course takes every turn, and asks everything twice."""
    size = sum(len(part.encode()) for part in writer_prompt(brief, [0]))
    slots = loop.rounds * loop.candidates
    judged = 1 + loop.judge
    # The first proposals of several candidates may share a call.
    shared = slots - -(-slots // loop.proposals)
    calls = max(1, round(judged * _USUAL_TURNS * slots - shared))
    most = 2 * judged * loop.turns * slots
    # The judge is given less than the writer.
    prompt = int(0.75 * calls * size / _USUAL_BYTES_PER_TOKEN)
    most_prompt = int(most * (size / 2.0 + reply_tokens))
    usd = model.prices.cost(prompt, calls * _USUAL_REPLY) if model.prices else None
    most_usd = model.prices.cost(most_prompt, most * reply_tokens) if model.prices else None
    return CostEstimate(calls, most, prompt + calls * _USUAL_REPLY, most_prompt + most * reply_tokens, usd, most_usd)


@dataclass(frozen=True)
class BillLine:
    """Calls of one agent in one round, with what they took; the cost is None where one of theirs is unknown."""

    round: int
    role: str
    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    uncounted: int
    cost_usd: float | None


def bill(calls: Sequence[CallRecord]) -> list[BillLine]:
    """Return what calls took, by round, agent and model."""
    groups: dict[tuple[int, str, str], list[CallRecord]] = {}
    for call in calls:
        groups.setdefault((_round(call.key), call.role, call.model), []).append(call)
    return [
        BillLine(
            number,
            role,
            model,
            len(group),
            sum(call.prompt_tokens or 0 for call in group),
            sum(call.completion_tokens or 0 for call in group),
            sum(call.prompt_tokens is None for call in group),
            None if any(call.cost_usd is None for call in group) else sum(call.cost_usd or 0.0 for call in group),
        )
        for (number, role, model), group in sorted(groups.items())
    ]


def _round(key: str) -> int:
    """Return the round that a call's key begins with: ``r3/s0/...``; 0 where it names none."""
    head = key.split("/", 1)[0]
    return int(head[1:]) if head[:1] == "r" and head[1:].isdigit() else 0
