"""A model to ask outside of the loops: whom, within which budget, and where its replies are kept."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from agent.knowledge.run_config import Bounds
from agent.llm.addresses import check_server, warnings_about
from agent.llm.budget import Budget, BudgetReached, StopRequested
from agent.llm.client import LanguageModel, Speaking
from agent.llm.patience import RetryRules
from agent.llm.providers import DEFAULT, ProviderAddress, model_for, provider_named
from agent.mining.spending import make_budget, model_chain
from agent.study.workspace import Workspace
from agent.texts.call_journal import open_journal

# Of a workspace, beside its runs: what was paid for is found again by what was asked.
_JOURNAL = "asked.jsonl"


@dataclass(frozen=True)
class ModelChoice:
    """Whom to ask, as the command line or a caller says it; None and empty: as the workspace's settings say.

    `seed` is that of a simulated model; for any model, another seed asks again what was asked before.
    """

    llm: str = DEFAULT
    model: str | None = None
    base_url: str | None = None
    api: str | None = None
    seed: int = 7
    bounds: Bounds = field(default_factory=Bounds)


@dataclass(frozen=True, eq=False)
class AskedModel:
    """An open model, its budget, its name and whether a program makes up what it says; close its connection."""

    speaker: LanguageModel
    budget: Budget
    name: str
    simulated: bool
    seed: int

    def key(self, system: str, user: str) -> str:
        """Return the key of a question: the same one, to the same model with the same seed, is paid for once."""
        asked = "\n".join((self.name, str(self.seed), system, user))
        return f"asked/{hashlib.sha256(asked.encode()).hexdigest()[:24]}"


def open_model(
    workspace: Workspace,
    choice: ModelChoice,
    *,
    note: Callable[[str], None] = lambda _text: None,
    stop: Callable[[], bool] = lambda: False,
) -> AskedModel:
    """Open a model; everything that can be refused is refused here, before a call.

    Raises
    ------
    InputError
        For an unknown provider, no model's name, a bad address, or a bound in dollars on a model without a price.
    """
    settings, provider = workspace.settings.llm, provider_named(choice.llm)
    name = model_for(provider, choice.model, settings.model)
    url = provider.address(choice.base_url or settings.base_url)
    check_server(url, (name,))
    chain = model_chain(workspace.settings, name, ())
    budget = make_budget(chain, choice.bounds, simulated=provider.simulated)
    place = ProviderAddress(url, choice.api or settings.api, settings.timeout_s, choice.seed, settings.key_env)
    provider.check(place)
    for warning in warnings_about(url):
        note(warning)

    def before_call() -> None:
        if stop():
            raise StopRequested

    speech = Speaking(
        models=chain,
        budget=budget,
        journal=open_journal(workspace.folder("runs") / _JOURNAL),
        reply_tokens=settings.reply_tokens,
        patience=RetryRules(tries=settings.tries),
        before_call=before_call,
        deadline_s=5 * settings.timeout_s,
        note=note,
        seed=choice.seed,
        prompt_tokens=settings.prompt_tokens or None,
    )
    speaker = LanguageModel(provider.connect(place), speech)
    return AskedModel(speaker, budget, name, provider.simulated, choice.seed)


def outcome_of(model: AskedModel, ask: Callable[[], Awaitable[None]]) -> str:
    """Let `ask` put its questions to an open model, and close the connection, however that ends.

    Return ``finished``, ``budget`` where the next call could have cost too much, or ``stopped`` on a wish to stop.
    """

    async def go() -> str:
        try:
            await ask()
        except BudgetReached:
            return "budget"
        except StopRequested:
            return "stopped"
        finally:
            await model.speaker.connection.close()
        return "finished"

    return asyncio.run(go())
