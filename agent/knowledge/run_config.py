"""What a run, a pool or an opening of the holdout was made under, as frozen types, and how that is stored.

A document keeps the form that it was written in. What a form lacked is read here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from agent.knowledge.score_documents import Document, read_strings
from backtest.policy import FORMER_THRESHOLDS

RunKind = Literal["mine", "screen", "learn", "eval"]
# Sections of the settings that a run records.
SECTIONS = ("backtest", "universe", "admission", "split", "loop")
_KINDS: Mapping[object, RunKind] = {"screen": "screen", "learn": "learn", "eval": "eval"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most calls, dollars, tokens (prompt and reply) and seconds of a session; None is no bound."""

    calls: int | None = None
    usd: float | None = None
    tokens: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Inputs:
    """Content hashes of what was used beside the data: the gate, its regimes, and learned factors by name.

    A gate or regimes that were not used are None. `learned` is None where it was not recorded.
    """

    gate: str | None = None
    regimes: str | None = None
    learned: Mapping[str, str] | None = None

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        found: dict[str, object] = {"gate": self.gate, "regimes": self.regimes}
        return found if self.learned is None else {**found, "learned": dict(self.learned)}


@dataclass(frozen=True)
class Cut:
    """Where the data were cut into train, validation and holdout, and what was left of them for the loop.

    Attributes
    ----------
    panel
        Content id of the panel of train and validation.
    fields
        Names of that panel's fields, sorted: what is joined to the data later is none of them.
    train_until, validation_until
        The first time that is no longer in train, or in validation, ISO 8601, UTC.
    embargo, max_lookback
        Bars between segments, and the longest look-back of a factor.
    """

    panel: str
    fields: tuple[str, ...]
    train_until: str
    validation_until: str
    embargo: int
    max_lookback: int

    @property
    def decides(self) -> Document:
        """What of it decides a factor's score on given data."""
        return {"train_until": self.train_until, "validation_until": self.validation_until, "embargo": self.embargo}


@dataclass(frozen=True)
class ScoringRules:
    """The rules that something was scored under.

    Attributes
    ----------
    sections
        Sections of the settings by name, as far as they were recorded: `agent.study.settings.Settings.under` reads
        them.
    gate
        Whether it was scored behind the regime gate; None where that was not recorded.
    inputs
        What was used beside the data; None where that was not recorded.
    cut
        Where the data were cut; None where that was not recorded: earlier versions went by shares, with an embargo of
        the longest look-back and 24 bars.
    """

    sections: Mapping[str, Document] = field(default_factory=dict)
    gate: bool | None = None
    inputs: Inputs | None = None
    cut: Cut | None = None

    def to_dict(self) -> dict[str, object]:
        """Return what is recorded, as plain JSON types: sections stand beside ``gate``, ``inputs`` and ``cut``."""
        found: dict[str, object] = {} if self.gate is None else {"gate": self.gate}
        found |= {name: dict(section) for name, section in self.sections.items()}
        if self.inputs is not None:
            found["inputs"] = self.inputs.to_dict()
        return found if self.cut is None else {**found, "cut": {**asdict(self.cut), "fields": list(self.cut.fields)}}

    @property
    def earlier_policy(self) -> bool:
        """Whether factors were admitted by the policy before the one of two tests."""
        admission = self.sections.get("admission", {})
        return any(name in admission for name in FORMER_THRESHOLDS)

    def with_loop(self, loop: Document) -> ScoringRules:
        """Return the rules with another section ``loop``."""
        return replace(self, sections={**self.sections, "loop": loop})


@dataclass(frozen=True)
class RunConfig:
    """What a run was started with; empty or None is not recorded.

    Attributes
    ----------
    kind
        What the run does: mine with a language model, screen a list, learn a factor, or keep what a person evaluated.
    data
        Name of the data set.
    llm, model, writers, judge, fallback
        The provider; the first writer, and of a learned factor the kind of its model; further writers; the judge; the
        models that stand in.
    simulated
        Whether a program makes up what the model says, as its provider said. Runs of earlier versions recorded the
        provider alone, of which ``mock`` was simulated.
    base_url, api
        Where and how models are asked.
    bounds
        What it may spend.
    replay, improve
        Path of the cassette that answers, and text of the factor that is to be improved.
    request
        What each proposal has to keep to, as `agent.mining.constraints` writes it.
    keep
        Of a screening: how many are scored in full.
    learned_field, recipe
        Of a learned factor: its name, and all that its values depend on.
    """

    kind: RunKind = "mine"
    data: str = ""
    llm: str = ""
    model: str = ""
    simulated: bool = False
    writers: tuple[str, ...] = ()
    judge: str = ""
    fallback: tuple[str, ...] = ()
    base_url: str = ""
    api: str = "chat"
    rules: ScoringRules = field(default_factory=ScoringRules)
    bounds: Bounds = field(default_factory=Bounds)
    replay: str = ""
    improve: str = ""
    request: Document | None = None
    keep: int = 0
    learned_field: str = ""
    recipe: Document | None = None

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types: what a run of this kind records."""
        about: dict[str, object] = {"data": self.data, "llm": self.llm}
        if self.kind == "screen":
            return {**self.rules.to_dict(), "kind": self.kind, **about, "keep": self.keep}
        if self.kind == "eval":
            return {**self.rules.to_dict(), "kind": self.kind, **about}
        if self.kind == "learn":
            learned = {"model": self.model, "field": self.learned_field, "recipe": self.recipe}
            return {**self.rules.to_dict(), "kind": self.kind, **about, **learned}
        about |= {
            "model": self.model,
            "simulated": self.simulated,
            "writers": list(self.writers),
            "judge": self.judge,
            "fallback": list(self.fallback),
            "base_url": self.base_url,
            "api": self.api,
            **self.rules.to_dict(),
            "bounds": asdict(self.bounds),
        }
        more = {"replay": self.replay, "improve": self.improve, "request": self.request}
        return about | {name: said for name, said in more.items() if said}


def read_run_config(stored: Document) -> RunConfig:
    """Return a stored configuration; every form of it that was ever written can be read."""
    recipe, keep, request = stored.get("recipe"), stored.get("keep"), stored.get("request")
    return RunConfig(
        kind=_KINDS.get(stored.get("kind"), "mine"),
        data=_text(stored, "data"),
        llm=_text(stored, "llm"),
        model=_text(stored, "model"),
        simulated=bool(stored.get("simulated", stored.get("llm") == "mock")),
        writers=read_strings(stored.get("writers")),
        judge=_text(stored, "judge"),
        fallback=read_strings(stored.get("fallback")),
        base_url=_text(stored, "base_url"),
        # Runs of earlier versions knew one API.
        api="responses" if stored.get("api") == "responses" else "chat",
        rules=read_rules(stored),
        bounds=_bounds(stored),
        replay=_text(stored, "replay"),
        improve=_text(stored, "improve"),
        request=request if isinstance(request, Mapping) else None,
        keep=keep if isinstance(keep, int) else 0,
        learned_field=_text(stored, "field"),
        recipe=recipe if isinstance(recipe, Mapping) else None,
    )


def read_rules(stored: Document) -> ScoringRules:
    """Return the rules in a stored document whose sections stand beside ``gate``, ``inputs`` and ``cut``."""
    sections = {name: stored.get(name) for name in SECTIONS}
    gate = stored.get("gate")
    return ScoringRules(
        {name: section for name, section in sections.items() if isinstance(section, Mapping)},
        gate if isinstance(gate, bool) else None,
        read_inputs(stored.get("inputs")),
        _read_cut(stored.get("cut")),
    )


def read_inputs(stored: object) -> Inputs | None:
    """Return stored content hashes; None where there are none."""
    if not isinstance(stored, Mapping) or not stored:
        return None
    learned = stored.get("learned")
    return Inputs(
        _hash(stored.get("gate")),
        _hash(stored.get("regimes")),
        {str(name): str(digest) for name, digest in learned.items()} if isinstance(learned, Mapping) else None,
    )


def _read_cut(stored: object) -> Cut | None:
    if not isinstance(stored, Mapping) or not stored:
        return None
    embargo, longest = (int(_number(stored.get(name)) or 0) for name in ("embargo", "max_lookback"))
    dates = (_text(stored, "train_until"), _text(stored, "validation_until"))
    return Cut(_text(stored, "panel"), read_strings(stored.get("fields")), *dates, embargo, longest)


def _hash(stored: object) -> str | None:
    return stored if isinstance(stored, str) else None


def _text(stored: Document, name: str) -> str:
    found = stored.get(name)
    return found if isinstance(found, str) else ""


def _bounds(stored: Document) -> Bounds:
    recorded = stored.get("bounds")
    # Runs of earlier versions kept two of them on their own.
    known = {"usd": stored.get("budget_usd"), "calls": stored.get("budget_calls")}
    known |= recorded if isinstance(recorded, Mapping) else {}
    calls, tokens = (_number(known.get(name)) for name in ("calls", "tokens"))
    return Bounds(
        calls=None if calls is None else int(calls),
        usd=_number(known.get("usd")),
        tokens=None if tokens is None else int(tokens),
        seconds=_number(known.get("seconds")),
    )


def _number(stored: object) -> float | None:
    return stored if isinstance(stored, (int, float)) else None
