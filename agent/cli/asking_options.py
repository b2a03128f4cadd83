"""Options that `propose`, `ideas` and `mine` share: what a factor has to keep to, and which model is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from agent.cli.common import Command, with_options

if TYPE_CHECKING:
    from agent.asking.model_access import ModelChoice
    from agent.mining.request import FactorRequest

REQUEST_NAMES = ("--type", "--lookback", "--context", "--fields")
_REQUEST = (
    click.option("--type", "kind", metavar="TYPE", help="momentum, mean_reversion, volatility, volume, ... (checked)."),
    click.option("--lookback", metavar="SPAN", help="Longest look-back: 20 (bars), 5d, 12h (checked)."),
    click.option("--context", metavar="TEXT", help="What else is wanted, in your own words and language."),
    click.option("--fields", "only_fields", metavar="A,B", help="The only fields that may be used (checked)."),
)
_MODEL = (
    click.option("--llm", metavar="NAME", help="Provider of models. mock: simulated, offline. Default: openai."),
    click.option("--model", help="Model name to ask the server for."),
    click.option("--base-url", help="Server, such as http://localhost:11434/v1 (default: OpenAI's)."),
    click.option("--api", type=click.Choice(["chat", "responses"]), help="How the server is asked (default: chat)."),
    click.option(
        "--seed", type=click.IntRange(min=0), default=7, help="Another seed asks again what was asked before."
    ),
    click.option("--budget-usd", type=float, help="Stop before a call could spend more than this."),
    click.option("--budget-tokens", type=click.IntRange(min=1), help="Stop before a call could take more tokens."),
    click.option("--budget-calls", type=click.IntRange(min=1), help="Stop before making more calls than this."),
)


@dataclass(frozen=True)
class AskingOptions:
    """What every command that asks a model outside of a run was given: data, how many answers, and the model."""

    data_name: str | None
    count: int
    llm: str | None
    model: str | None
    base_url: str | None
    api: str | None
    seed: int
    budget_usd: float | None
    budget_tokens: int | None
    budget_calls: int | None
    as_json: bool


def request_options(command: Command) -> Command:
    """Add what a factor has to keep to: keywords `kind`, `lookback`, `context` and `only_fields`."""
    return with_options(command, _REQUEST)


def model_options(command: Command) -> Command:
    """Add which model is asked: fields of `AskingOptions`."""
    return with_options(command, _MODEL)


def request_of(
    kind: str | None, lookback: str | None, context: str | None, only_fields: str | None, words: str = ""
) -> FactorRequest:
    """Return the request that options make; refuse an option that was given without a value."""
    from agent.mining.request import FactorRequest
    from market.errors import InputError

    given = zip(REQUEST_NAMES, (kind, lookback, context, only_fields), strict=True)
    empty = [name for name, value in given if value is not None and not value.strip()]
    if empty:
        raise InputError(f"{', '.join(empty)} says nothing", "give it a value, or leave it out")
    fields = () if only_fields is None else (only_fields,)
    return FactorRequest(words=words, kind=kind or "", lookback=lookback or "", context=context or "", fields=fields)


def choice_of(asked: AskingOptions) -> ModelChoice:
    """Return whom to ask, and how much it may cost."""
    from agent.asking.model_access import ModelChoice
    from agent.cli.common import require_positive
    from agent.knowledge.run_config import Bounds
    from agent.llm.providers import DEFAULT

    require_positive("--budget-usd", asked.budget_usd)
    bounds = Bounds(asked.budget_calls, asked.budget_usd, asked.budget_tokens)
    return ModelChoice(asked.llm or DEFAULT, asked.model, asked.base_url, asked.api, asked.seed, bounds)
