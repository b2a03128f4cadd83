"""What a model makes of the prompts: proposals read at the first try, repair turns, factors that can be scored, ideas.

    python -m benchmarks.prompt_forms --base-url URL --model NAME [--calls 20] [--json FILE]

Asks for `--calls` proposals, each of another theme, by the prompts of this version and on a made market of daily bars;
nothing is scored. To compare versions, run it in a checkout of each against the same server. `make real-model` says
how a small real model comes to this machine; `python tests/real_model/serve.py` serves it. With `--llm mock` the
simulated model answers, for the plumbing: its draws do not depend on wording.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from agent.knowledge.records import CallRecord, NewCall
from agent.llm.budget import Budget
from agent.llm.client import LanguageModel, ModelName, Speaking
from agent.llm.forms import read_reply
from agent.llm.patience import RetryRules
from agent.llm.providers import ProviderAddress, provider_named
from agent.mining.brief import Brief, writer_facts, writer_prompt
from agent.mining.replies import Proposal
from agent.mining.search.tasks import Task
from agent.mining.search.themes import themes_of_fields
from factors.parse import parse
from factors.table import prompt_table
from factors.tree import Expression
from market.errors import Rejection

FIELDS = ("open", "high", "low", "close", "volume", "vwap", "amount", "returns")
MARKET = "40 assets, bars of 1 days, 365 bars a year. Costs: 10 bp of traded notional."


@dataclass(frozen=True)
class Found:
    """What came of the calls; tokens are the server's counts, cached ones among the prompt's."""

    calls: int
    first_try: int
    repairs: int
    unread: int
    factors: int
    distinct: int
    prompt_tokens: int
    reply_tokens: int
    cached: str


class Memory:
    """A journal in memory."""

    def __init__(self) -> None:
        self.calls: dict[str, CallRecord] = {}

    def find(self, key: str) -> CallRecord | None:
        """Return the call under `key`, if any."""
        return self.calls.get(key)

    def record(self, call: NewCall) -> CallRecord:
        """Keep a call."""
        self.calls[call.key] = CallRecord(**call.to_dict())  # type: ignore[arg-type]
        return self.calls[call.key]

    def lose(self, key: str, role: str, model: str, request: str) -> None:
        """Pass over a call that got no answer."""


def brief_of(count: int) -> Brief:
    """Return a brief that asks for a new idea of each theme in turn."""
    names = themes_of_fields(frozenset(FIELDS))
    tasks = tuple(Task("new", names[k % len(names)]) for k in range(count))
    empty = Brief(
        1,
        "Find a factor whose higher values come before higher returns.",
        FIELDS,
        prompt_table(500),
        (),
        (),
        (),
        MARKET,
    )
    return replace(empty, tasks=tasks, longest=500)


async def ask(asked: argparse.Namespace) -> Found:
    """Make the calls one after another."""
    provider = provider_named(asked.llm)
    connection = provider.connect(ProviderAddress(asked.base_url, "chat", asked.timeout, 7))
    journal, budget, brief = Memory(), Budget(), brief_of(asked.calls)
    rules = RetryRules(tries=2)
    speech = Speaking(
        [ModelName(asked.model)], budget, journal, asked.reply_tokens, rules, deadline_s=asked.timeout, note=print
    )
    model = LanguageModel(connection, speech)
    found: list[Proposal | Rejection] = []
    for slot in range(asked.calls):
        prompts, facts = writer_prompt(brief, [slot]), writer_facts(brief, [slot])
        found.append(await model.ask(f"k{slot}", "writer", *prompts, Proposal, facts))
        first = read_reply(journal.calls[f"k{slot}/1"], Proposal)
        print(slot, "read" if isinstance(first, Proposal) else f"{first.code}: {first.message}", flush=True)
        print("  ", getattr(found[-1], "expression", "(none)")[:150], flush=True)
    await connection.close()
    return summed(journal, found, budget)


def summed(journal: Memory, found: list[Proposal | Rejection], budget: Budget) -> Found:
    """Count what came of the calls."""
    read = [one for one in found if isinstance(one, Proposal)]
    factors = [e for one in read if isinstance(e := parse(one.expression, fields=FIELDS), Expression)]
    first = sum(
        isinstance(read_reply(call, Proposal), Proposal) for key, call in journal.calls.items() if key[-2:] == "/1"
    )
    calls = journal.calls.values()
    return Found(
        calls=len(found),
        first_try=first,
        repairs=sum(key.endswith("/2") for key in journal.calls),
        unread=len(found) - len(read),
        factors=len(factors),
        distinct=len(Counter(one.text for one in factors)),
        prompt_tokens=sum(call.prompt_tokens or 0 for call in calls),
        reply_tokens=sum(call.completion_tokens or 0 for call in calls),
        cached=getattr(budget, "cache_sentence", str)(),
    )


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llm", default="openai")
    parser.add_argument("--base-url", default="")
    parser.add_argument("--model", default="mock")
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--reply-tokens", type=int, default=600)
    parser.add_argument("--timeout", type=float, default=1800.0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = asdict(asyncio.run(ask(asked)))
    print(json.dumps(found, indent=1))
    if asked.json is not None:
        asked.json.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
