"""What `alphaglow.toml` may say: every setting with its default, and nothing else."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from backtest.costs import PRESETS
from backtest.policy import GATES
from factors.features import STATE_FEATURES, VOLATILITY, Feature
from market.errors import InputError

# What a run records of the settings it scored under.
RULES = ("backtest", "universe", "admission", "split", "loop")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BacktestSettings(_Section):
    """How a signal becomes positions and what trading costs; see `backtest.trading_rules` and `backtest.costs`."""

    weighting: Literal["rank", "zscore", "quantile", "long_only", "timeseries"] = "rank"
    holding: int = Field(default=1, ge=1, le=10_000, description="bars over which targets are averaged")
    fill: Literal["open", "close"] = "open"
    rebalance: int = Field(default=1, ge=1, le=100_000)
    band: float = Field(default=0.0, ge=0, lt=1)
    max_weight: float = Field(default=1.0, gt=0, le=1)
    quantiles: int = Field(default=5, ge=2, le=100)
    group_neutral: str = Field(default="", description="a group of the language, such as sector or liquidity_group")
    volatility_scaled: bool = False
    kelly: float = Field(default=0.0, ge=0, le=1)
    max_leverage: float = Field(default=1.0, gt=0, le=100)
    max_risk: float | None = Field(default=None, gt=0)
    delisting_return: float = Field(default=0.0, ge=-1, le=1)
    preset: str = ""
    fee_bp: float = Field(default=5.0, ge=0, le=1000)
    maker_bp: float = Field(default=0.0, ge=-100, le=1000)
    maker_share: float = Field(default=0.0, ge=0, le=1)
    slippage_bp: float = Field(default=5.0, ge=0, le=1000)
    borrow_bp_year: float = Field(default=0.0, ge=0, le=100_000)
    impact: float = Field(default=1.0, ge=0, le=100)
    capital: float = Field(default=0.0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _filled_by_preset(cls, raw: object) -> object:
        """Take from the preset what is not said; every other figure stands as it was written."""
        if not isinstance(raw, dict) or not raw.get("preset"):
            return raw
        name = raw["preset"]
        if name not in PRESETS:
            raise ValueError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
        return {**PRESETS[name], **raw}


class UniverseSettings(_Section):
    """Which assets count at a bar, by the money they traded before it."""

    top: int = Field(default=0, ge=0, description="the most liquid so many; 0: all")
    least_money: float = Field(default=0.0, ge=0, description="a day; 0: any")
    days: float = Field(default=30.0, gt=0)
    refresh_days: float = Field(default=7.0, gt=0)


class AdmissionSettings(_Section):
    """The gates that admit a factor, in order, and where their bars are; see `backtest.policy`."""

    gates: tuple[str, ...] = GATES
    max_overlap: float = Field(default=1.0, gt=0, le=1)
    min_coverage: float = Field(default=0.1, ge=0, le=1)
    max_correlation: float = Field(default=0.7, gt=0, le=1)
    min_ic_t: float = 3.0
    min_kept: float = Field(default=0.25, ge=0, le=1)
    min_sharpe: float = 0.0
    min_dsr: float = Field(default=0.95, gt=0, lt=1)

    @field_validator("gates")
    @classmethod
    def _known(cls, gates: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in gates if name not in GATES]
        if unknown or len(set(gates)) < len(gates):
            raise ValueError(f"each at most once, among {', '.join(GATES)}; not {', '.join(unknown) or 'twice'}")
        return gates


class SplitSettings(_Section):
    """Shares of the bars, in time order; `max_lookback` also sets the embargo between segments."""

    train: float = Field(default=0.70, gt=0, lt=1)
    validation: float = Field(default=0.15, gt=0, lt=1)
    max_lookback: int | None = Field(default=None, ge=1, description="bars; unset: from the panel's length")


class GateSettings(_Section):
    """The flow of the regime gate: its shape, its training and where exposure is cut; see `flows.exposure`."""

    percentile: float = Field(default=5.0, gt=0, lt=50)
    side: Literal["low", "both"] = Field(default="low", description="both: the most ordinary states shut it, too")
    hysteresis: float = Field(default=0.25, ge=0, lt=1)
    window: int = Field(default=12, ge=1, le=1000, description="bars over which likelihood is averaged")
    scope: Literal["asset", "market"] = Field(default="market", description="market: one exposure for all assets")
    measure: Literal["likelihood", "given_volatility", "over_gaussian"] = "likelihood"
    given: tuple[str, ...] = Field(default=VOLATILITY, description="features that given_volatility conditions on")
    members: int = Field(default=1, ge=1, le=32, description="flows of the ensemble, from seeds in a row")
    refit_days: float = Field(default=0.0, ge=0, description="between dated refits; 0: fit once, on train")
    model: Literal["glow", "realnvp", "nsf"] = "glow"
    base: Literal["normal", "student", "mixture"] = "normal"
    steps: tuple[int, ...] = Field(default=(14,), min_length=1, max_length=4, description="of each level")
    hidden: int = Field(default=48, ge=4, le=2048)
    features: tuple[str, ...] = Field(default=(), description="expressions; none: the 16 of a market state")
    epochs: int = Field(default=30, ge=1, le=10_000)
    max_rows: int = Field(default=40_000, ge=500)
    ema: float = Field(default=0.0, ge=0, lt=1, description="decay of an average of the weights; 0: none")
    threads: int = Field(default=1, ge=1, le=256, description="of torch; two lose manifold on a busy machine")
    device: Literal["cpu", "cuda", "auto"] = "cpu"

    def asked(self) -> tuple[Feature, ...]:
        """Return what a state is to be made of."""
        return tuple(Feature(text, text) for text in self.features) or STATE_FEATURES

    @field_validator("steps", mode="before")
    @classmethod
    def _levels(cls, steps: object) -> object:
        """Read a single number as one level of so many steps."""
        return (steps,) if isinstance(steps, int) else steps


class LoopSettings(_Section):
    """The two loops: outer rounds, candidates a round, writer-judge turns a candidate."""

    rounds: int = Field(default=4, ge=1, le=100_000)
    candidates: int = Field(default=8, ge=1, le=1000)
    turns: int = Field(default=3, ge=1, le=20)
    proposals: int = Field(default=1, ge=1, le=50, description="of one call: candidates that are asked for together")
    memory: bool = Field(default=True, description="false: the writer is told nothing of what was tried; an ablation")
    lessons: bool = Field(default=True, description="false: the writer is told factors, but no lessons; an ablation")
    search: bool = Field(default=True, description="each candidate is told what to be, by what earned its keep")
    archive: bool = Field(default=True, description="false: the best factors are parents, whatever their kind")
    judge: bool = Field(default=True, description="false: what can be read and is new is scored unjudged")
    concurrency: int = Field(default=4, ge=1, le=256)
    seed: int = Field(default=7, ge=0)
    blind: bool = Field(default=True, description="no asset names and no dates in prompts")
    strict: bool = Field(default=False, description="refuse quantities that do not fit, added or compared")
    max_seconds: float = Field(default=60.0, gt=0, description="of one core, estimated, for one factor's values")
    max_gigabytes: float = Field(default=4.0, gt=0, description="estimated, for one factor's values")


class LlmSettings(_Section):
    """Which model writes and judges when the command line does not say."""

    model: str = ""
    base_url: str = ""
    api: Literal["chat", "responses"] = Field(default="chat", description="of a server, by which it is asked")
    writers: tuple[str, ...] = Field(default=(), description="more models that write; who earns its cost writes more")
    judge: str = Field(default="", description="another model that judges; none: the one that writes")
    fallback: tuple[str, ...] = Field(default=(), description="asked in turn when a model can no longer answer")
    timeout_s: float = Field(default=120.0, gt=0)
    reply_tokens: int = Field(default=4000, ge=100, description="the most tokens of a reply")
    tries: int = Field(default=6, ge=1, le=100, description="of one call, with growing pauses")
    knowledge_cutoff: date | None = Field(default=None, description="last day that the model may have read about")


class Price(_Section):
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


class KnowledgeSettings(_Section):
    """Where the knowledge base is; a password in the URL is never printed."""

    url: str = Field(default="", description="a SQLAlchemy URL; empty: knowledge.db in the workspace", repr=False)


class Settings(_Section):
    """The whole of `alphaglow.toml`."""

    backtest: BacktestSettings = BacktestSettings()
    universe: UniverseSettings = UniverseSettings()
    admission: AdmissionSettings = AdmissionSettings()
    split: SplitSettings = SplitSettings()
    gate: GateSettings = GateSettings()
    loop: LoopSettings = LoopSettings()
    llm: LlmSettings = LlmSettings()
    knowledge: KnowledgeSettings = KnowledgeSettings()
    prices: dict[str, Price] = {}

    def rules(self) -> dict[str, object]:
        """Return the sections that decide what a factor scores; a run records them."""
        return {name: getattr(self, name).model_dump(mode="json") for name in RULES}

    def under(self, config: Mapping[str, object]) -> Settings:
        """Return these settings with the rules that a run recorded in the place of today's."""
        recorded = {name: config[name] for name in RULES if name in config}
        return Settings.model_validate({**self.model_dump(), **recorded})


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
# rank, zscore: dollar-neutral, gross 1. quantile: top against bottom. long_only: the top. timeseries: each asset alone.
weighting = "rank"
# Targets are averaged over this many bars: more means slower trading and lower costs.
holding = 1
# Decisions at a bar's close are filled at the next bar's open or close.
fill = "open"
# Trade every so many bars; only what is further from its target than the band; no position above max_weight.
rebalance = 1
band = 0.0
max_weight = 1.0
# For quantile and long_only.
quantiles = 5
# Positions neutral within groups, such as "sector" or "liquidity_group"; divided by their volatility.
group_neutral = ""
volatility_scaled = false
# Size of the book: 0 is fixed, 0.5 is half-Kelly of its own record, up to max_leverage.
kelly = 0.0
max_leverage = 1.0
# max_risk = 0.002   # largest position times its volatility a bar
# What a position earns over its last price when its asset ceases to trade; -1.0 is all lost.
delisting_return = 0.0
# A venue's costs: binance_spot, binance_perp, bybit_spot, bybit_perp, okx_perp, coinbase_spot, us_equity,
# us_equity_small. What is said below takes its place; without either, it is what stands there.
preset = ""
# fee_bp = 5.0
# maker_bp = 0.0
# maker_share = 0.0
# slippage_bp = 5.0
# borrow_bp_year = 0.0
# Square-root impact: coefficient, and the capital that trades (0: too small to move a price).
impact = 1.0
capital = 0.0

[universe]
# The most liquid so many assets, and least money traded a day, by the last days, told anew every refresh_days; 0: all.
top = 0
least_money = 0.0
days = 30.0
refresh_days = 7.0

[admission]
# The gates in order, and their bars.
gates = ["novelty", "sanity", "train_ic", "validation", "net_sharpe", "dsr"]
max_overlap = 1.0
min_coverage = 0.1
max_correlation = 0.7
min_ic_t = 3.0
min_kept = 0.25
min_sharpe = 0.0
min_dsr = 0.95

[split]
# What train and validation leave over is the holdout. It is never shown to the loop.
train = 0.70
validation = 0.15
# max_lookback = 240   # bars; longest look-back a mined factor may have, and so the embargo

[gate]
percentile = 5.0
# low: unlikely states shut the gate. both: half of the percentile each for the unlikely and the all too likely.
side = "low"
# Exposure stays until it would change by more than this: what flickers is traded.
hysteresis = 0.25
# Bars over which likelihood is averaged; whether each asset has its exposure, or all have the market's.
window = 12
scope = "market"
# likelihood, given_volatility (unlikely even for how wild the market is), or over_gaussian.
measure = "likelihood"
# Flows of an ensemble. Days between dated refits, which never see later bars; 0: fit once, on train.
members = 1
refit_days = 0.0
# glow, realnvp, or nsf (spline couplings; needs the extra "flows"). Steps of each level; [12, 2, 2] is multi-scale.
model = "glow"
steps = [14]
hidden = 48
# features = ["ts_returns(close, 24)", "log(ts_std(returns, 24))"]   # what a state is made of; unset: 16 usual ones
epochs = 30
max_rows = 40000
# Threads of torch: two gain a fifth on a quiet machine and lose manifold on a busy one. device: cpu, cuda, auto.
threads = 1
device = "cpu"

[loop]
rounds = 4
candidates = 8
turns = 3
# Candidates that one call asks for: more is cheaper, and less thought is given to each.
proposals = 1
# Each candidate is told what to be (a theme, a parent to change), by what earned its keep; false: the writer chooses.
search = true
# false: what can be read and is new is scored unjudged, at half the calls.
judge = true
concurrency = 4
seed = 7
# No asset names and no dates in prompts: a model may remember what happened then.
blind = true
# Refuse, and not only warn of, quantities that do not fit: close + volume.
strict = false
# What one factor may cost, by its estimate, before it is refused.
max_seconds = 60.0
max_gigabytes = 4.0

[llm]
model = ""
base_url = ""
# chat: Chat Completions, which every server knows. responses: OpenAI's newer API.
api = "chat"
# More models that write (the one that earns its cost writes more), and another that judges.
writers = []
judge = ""
# Asked in turn when the model can no longer answer (unknown, out of quota, down).
fallback = []
timeout_s = 120.0
# The most tokens of a reply: what a budget reckons with for each call under way. Tries of one call.
reply_tokens = 4000
tries = 6
# knowledge_cutoff = 2024-06-01   # scorecards then show what a factor did after it apart

[knowledge]
# Empty: knowledge.db in this folder. Else a URL, such as postgresql://USER:PASSWORD@HOST/NAME (needs the extra
# "postgres"). The environment variable ALPHAGLOW_KNOWLEDGE takes its place.
url = ""

# Prices in US dollars for a million tokens. A model without one has an unknown cost, not a cost of 0.
# [prices."my-model"]
# input = 0.50
# output = 1.50
# cached = 0.05   # of prompt tokens that the server had read before; unset: as input
"""
