"""The sections of `alphaglow.toml` for mining: the loops, the language model, its prices, the knowledge base."""

from __future__ import annotations

import re
from datetime import date
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from agent.study.declaring import Section, setting
from factors.limits import GIGABYTES, SECONDS


class LoopSettings(Section):
    """The two loops: outer rounds, candidates a round, writer-judge turns a candidate."""

    rounds: int = setting(4, "Outer rounds of a run.", unit="rounds", ge=1, le=100_000)
    candidates: int = setting(8, "Candidates of one round.", unit="candidates", ge=1, le=1000)
    turns: int = setting(3, "Most turns of writer and judge for one candidate.", unit="turns", ge=1, le=20)
    proposals: int = setting(
        1,
        "Candidates that one call asks for: more is cheaper, and each gets less thought.",
        unit="candidates",
        ge=1,
        le=50,
    )
    memory: bool = setting(True, "false: the prompt holds nothing of earlier attempts; for ablations.")
    lessons: bool = setting(True, "false: the prompt holds known factors, but no lessons; for ablations.")
    search: bool = setting(
        True,
        "Each candidate gets a theme or a parent to change, chosen by past success; false: the writer chooses.",
    )
    archive: bool = setting(
        True, "Parents are the best factors of each kind; false: the best factors, whatever their kind."
    )
    marginal: bool = setting(
        True,
        "An attempt is worth what it adds on train to the factors found before it; false: what it pays by itself; for "
        "ablations.",
    )
    feedback: Literal["train", "validation"] = setting(
        "train",
        "What steers plans and prompts. validation: its verdicts as well; from then on nothing on these data is "
        "accepted on validation, and what is promising is tested on later bars alone.",
    )
    judge: bool = setting(True, "false: what can be read and is new is scored without the judge, at half the calls.")
    concurrency: int = setting(4, "Calls under way at the same time.", unit="calls", ge=1, le=256)
    seed: int = setting(7, "Seed of all random choices.", ge=0)
    blind: bool = setting(
        True, "No asset names and no dates in prompts, since a model may remember what happened then."
    )
    strict: bool = setting(False, "Refuse, and not only warn of, quantities that do not fit, such as close + volume.")
    max_seconds: float = setting(
        SECONDS,
        "Most time of one core for the values of one factor, by estimate and by the clock.",
        unit="seconds",
        gt=0,
    )
    max_gigabytes: float = setting(GIGABYTES, "Most memory for the values of one factor, by estimate.", unit="GB", gt=0)


class LlmSettings(Section):
    """Which model writes and judges when the command line does not say."""

    model: str = setting("", "The model that writes; empty: the command line must name one.")
    base_url: str = setting("", "Address of the server; empty: OPENAI_BASE_URL, else the provider's own.")
    api: Literal["chat", "responses"] = setting(
        "chat", "chat: Chat Completions, which every server knows. responses: OpenAI's newer API."
    )
    writers: tuple[str, ...] = setting(
        (), "More models that write; the one with better factors for its cost writes more."
    )
    judge: str = setting("", "Another model that judges; empty: the model that writes.")
    fallback: tuple[str, ...] = setting(
        (), "Models used in turn when the model can no longer answer (unknown, out of quota, down)."
    )
    key_env: dict[str, str] = setting(
        {},
        "The environment variable with the key of each server, by its address. OPENAI_API_KEY goes to OpenAI and to "
        "OPENAI_BASE_URL; another server gets a key only where it is named here.",
        written='{ "https://api.example.com/v1" = "EXAMPLE_API_KEY" }',
    )
    prompt_tokens: int = setting(
        0,
        "Most tokens of a prompt: what matters least is left out. 0: what the server says that its model holds, less "
        "the reply, else no bound.",
        unit="tokens",
        ge=0,
    )
    timeout_s: float = setting(120.0, "Longest wait for one reply.", unit="seconds", gt=0)
    reply_tokens: int = setting(
        4000, "Most tokens of a reply, which a budget reserves for each call under way.", unit="tokens", ge=100
    )
    tries: int = setting(6, "Tries of one call, with growing pauses.", unit="tries", ge=1, le=100)
    knowledge_cutoff: date | None = setting(
        None,
        "Last day that the model may have read about; scorecards show separately what a factor did after it.",
        written="2024-06-01",
    )

    @field_validator("key_env")
    @classmethod
    def _names_variables(cls, value: dict[str, str]) -> dict[str, str]:
        """Refuse a key that stands in the place of its variable's name, unseen."""
        for address, variable in value.items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", variable):
                raise ValueError("names the environment variable of a key, and holds no key itself")
            if urlsplit(address).scheme not in ("http", "https") or "@" in address:
                raise ValueError("an address looks like https://api.example.com/v1")
        return value


class Price(Section):
    """US dollars for a million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached: float | None = Field(default=None, ge=0, description="of prompt tokens that the server had read before")

    @model_validator(mode="after")
    def _never_dearer(self) -> Price:
        """Refuse what would make a budget's worst case too low."""
        if self.cached is not None and self.cached > self.input:
            raise ValueError("cached tokens cannot cost more than others: cached is above input")
        return self


class KnowledgeSettings(Section):
    """Where the knowledge base is; a password in the URL is never printed."""

    url: str = setting(
        "",
        "Empty: knowledge.db in this folder. Else a path, or a URL such as postgresql://USER:PASSWORD@HOST/NAME "
        '(needs the extra "postgres"). The environment variable ALPHAGLOW_KNOWLEDGE replaces it.',
        secret=True,
    )


class DataSettings(Section):
    """Data larger than memory; see docs/large-panels.md."""

    whole_gb: float = setting(
        1.0,
        "Files up to this size are read whole; larger ones in pieces, into a data set that is stored by field.",
        unit="GB",
        gt=0,
    )
    memory_gb: float = setting(
        2.0,
        "What a screening of a data set that is stored by field may take beside the program itself.",
        unit="GB",
        ge=0.1,
    )


class ClusterSettings(Section):
    """Many machines that score, by Ray (the extra "cluster"); see docs/cluster.md."""

    address: str = setting(
        "",
        "Empty: this machine scores. auto: the cluster that it belongs to. ray://HOST:10001: another one. local: one "
        "made of this machine's processors, to try it. --cluster replaces it.",
    )
    shard: int = setting(
        500,
        "Most expressions that a process is given at once, and that are lost with it.",
        unit="expressions",
        ge=200,
        le=2000,
    )

    @field_validator("address")
    @classmethod
    def _known(cls, address: str) -> str:
        wrong = address_fault(address)
        if wrong:
            raise ValueError(wrong)
        return address


def address_fault(address: str) -> str:
    """Return what is wrong with the address of a cluster, or nothing."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address in ("", "auto", "local") or (host and "/" not in host and port.isdigit()):
        return ""
    return f"{address!r} is no address of a cluster: write auto, local, HOST:6379 or ray://HOST:10001"
