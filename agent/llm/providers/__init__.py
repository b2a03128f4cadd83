"""Who gives models: one protocol, and how a provider is found by its name.

A provider is a module with a `PROVIDER`: a file of this folder, or one that another distribution names by an entry
point of the group ``alphaglow.providers``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from agent.llm.answer import Answer, Ask
from market.errors import InputError
from market.plugins import Plugin, declared

# Asked where none is named.
DEFAULT = "openai"
# Providers of these packages that are no file of this folder, as an entry point would name them.
_ELSEWHERE = {"mock": "agent.mock.provider:PROVIDER"}


@dataclass(frozen=True)
class ProviderAddress:
    """Where a run asks, and how.

    Attributes
    ----------
    base_url
        Address of the server; empty: the provider's own.
    api
        Which of a server's APIs is used, where it has several.
    timeout_s
        Seconds of silence after which a request is given up.
    seed
        Of a simulated model.
    key_env
        Address to the environment variable with its key; see `agent.llm.server_keys`.
    """

    base_url: str
    api: str
    timeout_s: float
    seed: int = 0
    key_env: Mapping[str, str] = field(default_factory=dict)


class Connection(Protocol):
    """An open way to a server, used by one run.

    Attributes
    ----------
    url
        The server, as messages name it.
    secret
        The key, which is taken out of all that is kept; empty where there is none.
    bounds
        The names by which the server may know the bound on a reply's tokens, likeliest first; None: by none.
    """

    @property
    def url(self) -> str:
        """The server's address or name."""

    @property
    def secret(self) -> str:
        """The key."""

    @property
    def bounds(self) -> tuple[str | None, ...]:
        """Names of the bound on a reply's tokens."""

    async def send(self, ask: Ask) -> Answer:
        """Send one request, once, and read the reply; raises `agent.llm.faults.CallFault` where there is none."""

    async def close(self) -> None:
        """Let go of what is open."""


@runtime_checkable
class TellsContext(Protocol):
    """A connection that can find out, without a paid call, how much a model holds."""

    async def context_tokens(self, model: str) -> int | None:
        """Return tokens of prompt and reply together; None: its server does not say."""


@runtime_checkable
class Provider(Protocol):
    """Gives connections to models.

    Attributes
    ----------
    name
        What ``--llm`` calls it, and a run records.
    model
        The model that is asked for where none is named; empty: one must be named.
    simulated
        Whether a program makes up what it says. It costs nothing and always uses its own model; a run records it, and
        every table and report of the run says so.
    """

    @property
    def name(self) -> str:
        """What ``--llm`` calls it."""

    @property
    def model(self) -> str:
        """The model where none is named."""

    @property
    def simulated(self) -> bool:
        """Whether it costs nothing."""

    def address(self, asked: str) -> str:
        """Return the address that a run records, of the one that was asked for; empty: the provider's own."""

    def check(self, place: ProviderAddress) -> None:
        """Refuse, as an `InputError` and before anything is loaded, a place that cannot be reached, such as keyless."""

    def connect(self, place: ProviderAddress) -> Connection:
        """Return a connection; it makes no call by itself, and retries none."""


def provider_named(name: str) -> Provider:
    """Return the provider of a name.

    Raises
    ------
    InputError
        For an unknown name, with the names that there are; for a provider that cannot be loaded; and where an installed
        distribution takes the name of a built-in provider.
    """
    own, outside = own_providers(), {}
    for point in declared("providers"):
        if point.name in own or point.name in _ELSEWHERE:
            raise Plugin(point.name, None, point.distribution).fault("providers", "alphaglow has one of the same name")
        outside[point.name] = point.target
    if name in own:
        return own[name]
    where = {**outside, **_ELSEWHERE}
    if name not in where:
        known = ", ".join(sorted({*own, *where}))
        raise InputError(f"--llm {name!r} is no provider of models", f"there are: {known}")
    return _loaded(name, where[name])


def model_for(provider: Provider, asked: str | None, configured: str) -> str:
    """Return the model that a provider is asked for.

    Parameters
    ----------
    asked
        What the command line names.
    configured
        What the settings name.

    Raises
    ------
    InputError
        Where nobody names one and the provider has none of its own.
    """
    model = (provider.model if provider.simulated else "") or asked or provider.model or configured
    if not model:
        raise InputError("which model? say --model NAME", "or set [llm] model in alphaglow.toml")
    return model


def own_providers() -> Mapping[str, Provider]:
    """Return the providers that are files of this folder, by name."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    found = [module.PROVIDER for module in modules if hasattr(module, "PROVIDER")]
    return {provider.name: provider for provider in found}


def _loaded(name: str, value: str) -> Provider:
    module, _, attribute = value.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"the provider {name!r} ({value}) cannot be loaded: {error}", "install it again") from error
    if not isinstance(found, Provider):
        raise InputError(f"the provider {name!r} ({value}) lacks what a provider has", "see docs/extending-provider.md")
    return found
