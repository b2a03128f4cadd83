"""What `alphaglow.toml` may say: every setting with its default, and nothing else."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from market.errors import InputError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BacktestSettings(_Section):
    """How a signal is turned into positions and what trading costs (basis points of traded notional)."""

    weighting: Literal["rank", "zscore", "timeseries"] = "rank"
    holding: int = Field(default=1, ge=1, le=10_000, description="bars over which targets are averaged")
    fee_bp: float = Field(default=5.0, ge=0, le=1000)
    slippage_bp: float = Field(default=5.0, ge=0, le=1000)
    borrow_bp_year: float = Field(default=0.0, ge=0, le=100_000)


class SplitSettings(_Section):
    """Shares of the bars, in time order; `max_lookback` also sets the embargo between segments."""

    train: float = Field(default=0.70, gt=0, lt=1)
    validation: float = Field(default=0.15, gt=0, lt=1)
    max_lookback: int | None = Field(default=None, ge=1, description="bars; unset: from the panel's length")


class GateSettings(_Section):
    """The GLOW regime gate: its size, its training and where exposure is cut."""

    percentile: float = Field(default=5.0, gt=0, lt=50)
    steps: int = Field(default=4, ge=1, le=64, description="flow steps K per level")
    hidden: int = Field(default=64, ge=4, le=2048)
    epochs: int = Field(default=30, ge=1, le=10_000)
    max_rows: int = Field(default=40_000, ge=500)


class LoopSettings(_Section):
    """The two loops: outer rounds, candidates a round, writer-judge turns a candidate."""

    rounds: int = Field(default=4, ge=1, le=100_000)
    candidates: int = Field(default=8, ge=1, le=1000)
    turns: int = Field(default=3, ge=1, le=20)
    concurrency: int = Field(default=4, ge=1, le=256)
    seed: int = Field(default=7, ge=0)
    min_dsr: float = Field(default=0.95, gt=0, lt=1)
    strict: bool = Field(default=False, description="refuse quantities that do not fit, added or compared")
    max_seconds: float = Field(default=60.0, gt=0, description="of one core, estimated, for one factor's values")
    max_gigabytes: float = Field(default=4.0, gt=0, description="estimated, for one factor's values")


class LlmSettings(_Section):
    """Which model writes and judges when the command line does not say."""

    model: str = ""
    base_url: str = ""
    timeout_s: float = Field(default=120.0, gt=0)


class Price(_Section):
    """US dollars for a million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class Settings(_Section):
    """The whole of `alphaglow.toml`."""

    backtest: BacktestSettings = BacktestSettings()
    split: SplitSettings = SplitSettings()
    gate: GateSettings = GateSettings()
    loop: LoopSettings = LoopSettings()
    llm: LlmSettings = LlmSettings()
    prices: dict[str, Price] = {}


def load_settings(path: Path) -> Settings:
    """Read `path`; an unknown key, a wrong type or broken TOML is an `InputError` naming it."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not valid TOML: {error}", "mend the line it names") from error
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {where}: {first['msg']}", "see the comments that `alphaglow init` writes") from error


DEFAULT_TOML = """\
# alphaglow workspace. Every setting is optional; the values below are the defaults.

[backtest]
# rank or zscore: dollar-neutral cross-section, gross 1. timeseries: each asset on its own.
weighting = "rank"
# Targets are averaged over this many bars: more means slower trading and lower costs.
holding = 1
fee_bp = 5.0
slippage_bp = 5.0
borrow_bp_year = 0.0

[split]
# What train and validation leave over is the holdout. It is never shown to the loop.
train = 0.70
validation = 0.15
# max_lookback = 240   # bars; longest look-back a mined factor may have, and so the embargo

[gate]
percentile = 5.0
steps = 4
hidden = 64
epochs = 30
max_rows = 40000

[loop]
rounds = 4
candidates = 8
turns = 3
concurrency = 4
seed = 7
min_dsr = 0.95
# Refuse, and not only warn of, quantities that do not fit: close + volume.
strict = false
# What one factor may cost, by its estimate, before it is refused.
max_seconds = 60.0
max_gigabytes = 4.0

[llm]
model = ""
base_url = ""
timeout_s = 120.0

# Prices in US dollars for a million tokens. A model without one has an unknown cost, not a cost of 0.
# [prices."my-model"]
# input = 0.50
# output = 1.50
"""
