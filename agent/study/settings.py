"""The settings of a workspace: `alphaglow.toml`, and the environment variables that replace its values."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from agent.knowledge.run_config import SECTIONS, RunConfig, ScoringRules
from agent.knowledge.score_documents import Document
from agent.study.declaring import Section
from agent.study.mining_sections import (
    ClusterSettings,
    DataSettings,
    KnowledgeSettings,
    LlmSettings,
    LoopSettings,
    Price,
)
from agent.study.sections import AdmissionSettings, BacktestSettings, GateSettings, SplitSettings, UniverseSettings
from backtest.trading_rules import NEUTRAL
from market.errors import InputError

__all__ = [
    "AdmissionSettings",
    "BacktestSettings",
    "ClusterSettings",
    "DataSettings",
    "GateSettings",
    "KnowledgeSettings",
    "LlmSettings",
    "LoopSettings",
    "Price",
    "Settings",
    "SplitSettings",
    "UniverseSettings",
    "load_settings",
    "loop_of",
]

# ALPHAGLOW_LOOP__ROUNDS=3 is rounds = 3 in [loop].
PREFIX, BETWEEN = "ALPHAGLOW_", "__"


class Settings(Section):
    """The whole of `alphaglow.toml`."""

    backtest: BacktestSettings = BacktestSettings()
    universe: UniverseSettings = UniverseSettings()
    admission: AdmissionSettings = AdmissionSettings()
    split: SplitSettings = SplitSettings()
    gate: GateSettings = GateSettings()
    loop: LoopSettings = LoopSettings()
    llm: LlmSettings = LlmSettings()
    knowledge: KnowledgeSettings = KnowledgeSettings()
    cluster: ClusterSettings = ClusterSettings()
    data: DataSettings = DataSettings()
    prices: dict[str, Price] = Field(default_factory=dict)

    @property
    def gates_portfolios(self) -> bool:
        """Whether a fitted gate is used on the portfolios that these settings make."""
        return self.gate.neutral or self.backtest.weighting not in NEUTRAL

    def rules(self) -> dict[str, Document]:
        """Return the sections that decide what a factor scores; a run records them."""
        return {name: getattr(self, name).model_dump(mode="json") for name in SECTIONS}

    def under(self, recorded: ScoringRules) -> Settings:
        """Return these settings with the rules that a run recorded in the place of today's.

        An earlier admission policy is not taken up again: what it decided stands as recorded, beside today's.
        """
        sections = dict(recorded.sections)
        if "backtest" in sections:
            # What was recorded before there was a choice was traded as set.
            sections["backtest"] = {"rule": "as set", **sections["backtest"]}
        if recorded.earlier_policy:
            kept = {k: v for k, v in sections["admission"].items() if k in AdmissionSettings.model_fields}
            sections["admission"] = {**kept, "gates": self.admission.gates, "level": self.admission.level}
        return Settings.model_validate({**self.model_dump(), **sections})


def loop_of(config: RunConfig) -> LoopSettings:
    """Return the settings of the loop that a run recorded."""
    return LoopSettings.model_validate(config.rules.sections.get("loop", {}))


def sections() -> dict[str, type[Section]]:
    """Return the sections whose settings have names of their own, in the order of the file."""
    kinds = {name: field.annotation for name, field in Settings.model_fields.items()}
    return {name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Section)}


def load_settings(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read `path`, and what environment variables say in its place.

    Raises
    ------
    InputError
        For broken TOML, an unknown key or a value that does not fit; it names the key, or the variable.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not valid TOML: {error}", "correct the line it names") from error
    chosen = overrides(os.environ if environment is None else environment)
    for (section, name), value in chosen.items():
        table = raw.setdefault(section, {})
        if isinstance(table, dict):
            raw[section] = {**table, name: value}
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["loc"][:2] in chosen:
            variable = variable_of(str(first["loc"][0]), str(first["loc"][1]))
            raise InputError(f"the environment variable {variable}: {first['msg']}", "correct or unset it") from error
        raise InputError(f"{path}: {where}: {first['msg']}", "see the comments that `alphaglow init` writes") from error


def variable_of(section: str, name: str) -> str:
    """Return the environment variable that replaces a setting."""
    return f"{PREFIX}{section}{BETWEEN}{name}".upper()


def overrides(environment: Mapping[str, str]) -> dict[tuple[str, str], Any]:
    """Return the values that environment variables give, by section and name; an unknown one is an `InputError`."""
    known = {
        variable_of(section, name): (section, name)
        for section, kind in sections().items()
        for name in kind.model_fields
    }
    found: dict[tuple[str, str], Any] = {}
    for variable, text in sorted(environment.items()):
        if not variable.startswith(PREFIX) or BETWEEN not in variable:
            continue
        if variable not in known:
            raise InputError(
                f"the environment variable {variable} names no setting",
                f"write {variable_of('section', 'name')}, such as {variable_of('loop', 'rounds')}, or unset it",
            )
        section, name = known[variable]
        found[section, name] = _read(text, sections()[section].model_fields[name].annotation)
    return found


def _read(text: str, kind: object) -> object:
    """Read a value as TOML does where it is no text: a number, a date, true, or a list such as [12, 2]."""
    if kind is str:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
