"""The sections of `alphaglow.toml`: every setting with its default, its unit, its bounds and its meaning.

A default that a record of the library has is taken from that record. The text of `alphaglow.toml` and
`docs/settings.md` are generated from here; see `agent.study.settings_text`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator, model_validator

from agent.study.declaring import Section, defaults_of, setting, toml_value
from backtest.costs import PRESETS, Costs
from backtest.policy import FORMER_THRESHOLDS, GATES, Control, Policy, gate_faults
from backtest.trading_rules import SLOWEST, STYLES, BacktestSpec, Fill, Weighting, residual_fault
from factors.features import STATE_FEATURES, VOLATILITY, Feature
from flows.fit_rules import (
    MEMBERS,
    REFIT_DAYS,
    Base,
    Device,
    FlowConfig,
    GateRules,
    Measure,
    Scope,
    Side,
    TrainConfig,
    model_fault,
)
from market.panel_rules import SplitRules, UniverseRules

_TRADED, _COSTS, _POLICY = defaults_of(BacktestSpec), defaults_of(Costs), defaults_of(Policy)
_UNIVERSE, _SPLIT = defaults_of(UniverseRules), defaults_of(SplitRules)
_RULES, _FLOW, _TRAIN = defaults_of(GateRules), defaults_of(FlowConfig), defaults_of(TrainConfig)


RuleChoosing = Literal["as set", "auto"]


class BacktestSettings(Section):
    """How a signal becomes positions and what trading costs; see `backtest.trading_rules` and `backtest.costs`."""

    rule: RuleChoosing = setting(
        "auto",
        "as set: all factors are traded by the same rule. auto: what of rate and "
        "volatility_scaled is left at its default is chosen for each factor on train, by its net payoff; each rule "
        "tried counts.",
    )
    weighting: Weighting = setting(
        _TRADED["weighting"],
        "Positions from signals. rank, zscore: dollar-neutral, gross 1. quantile: top against bottom. long_only: the "
        "top. timeseries: each asset alone.",
    )
    holding: int = setting(
        _TRADED["holding"],
        "Targets are averaged over this many bars: more means slower trading and lower costs.",
        unit="bars",
        ge=1,
        le=10_000,
    )
    fill: Fill = setting(_TRADED["fill"], "Decisions at a bar's close are filled at this price of the next bar.")
    rebalance: int = setting(
        _TRADED["rebalance"], "Positions are traded once every this many bars.", unit="bars", ge=1, le=100_000
    )
    rate: float = setting(
        _TRADED["rate"],
        "At each trade a position moves this share of the way to its target; 1.0: all the way.",
        unit="fraction",
        ge=SLOWEST,
        le=1,
    )
    band: float = setting(
        _TRADED["band"],
        "An asset is traded only when its target is further than this from its position.",
        unit="fraction of capital",
        ge=0,
        lt=1,
    )
    max_weight: float = setting(
        _TRADED["max_weight"], "Largest position in one asset.", unit="fraction of capital", gt=0, le=1
    )
    quantiles: int = setting(
        _TRADED["quantiles"],
        "Number of parts that the assets of a bar fall into, for quantile and long_only.",
        ge=2,
        le=100,
    )
    group_neutral: str = setting(
        "",
        'Positions are neutral within each group of this kind, such as "sector" or "liquidity_group"; empty: '
        "no groups.",
    )
    volatility_scaled: bool = setting(
        _TRADED["volatility_scaled"], "Positions are divided by the trailing volatility of their asset."
    )
    market_neutral: bool = setting(_TRADED["market_neutral"], "The market's part is taken out: no beta is left.")
    liquid_half: bool = setting(_TRADED["liquid_half"], "Only the half of the universe that trades most is traded.")
    kelly: float = setting(
        _TRADED["kelly"],
        "Total size as a share of the Kelly size of the portfolio's own past returns; 0: fixed size, 0.5: half-Kelly.",
        ge=0,
        le=1,
    )
    max_leverage: float = setting(
        _TRADED["max_leverage"], "Largest total size under kelly.", unit="multiple of capital", gt=0, le=100
    )
    max_risk: float | None = setting(
        None,
        "Largest position times the volatility of its asset over one bar; unset: no limit.",
        unit="fraction of capital",
        written="0.002",
        gt=0,
    )
    residual_to: tuple[str, ...] = setting(
        _TRADED["residual_to"],
        "What returns are made residual to before the payoff of a factor is tested: market, and beside it any of "
        f"{', '.join(STYLES)}.",
    )
    delisting_return: float = setting(
        _TRADED["delisting_return"],
        "What a position earns over its last price when its asset stops trading; -1.0: all is lost.",
        unit="fraction",
        ge=-1,
        le=1,
    )
    preset: str = setting(
        "",
        f"Costs of a venue: {', '.join(PRESETS)}. A cost that is set below replaces the cost of the preset.",
    )
    fee_bp: float = setting(
        _COSTS["fee_bp"],
        "Fee of a trade that takes liquidity.",
        unit="basis points",
        written=toml_value(_COSTS["fee_bp"]),
        ge=0,
        le=1000,
    )
    maker_bp: float = setting(
        _COSTS["maker_bp"],
        "Fee of a trade that makes liquidity; below 0: a rebate.",
        unit="basis points",
        written=toml_value(_COSTS["maker_bp"]),
        ge=-100,
        le=1000,
    )
    maker_share: float = setting(
        _COSTS["maker_share"],
        "Share of the trades that makes liquidity.",
        unit="fraction",
        written=toml_value(_COSTS["maker_share"]),
        ge=0,
        le=1,
    )
    slippage_bp: float = setting(
        _COSTS["slippage_bp"],
        "Slippage of every trade.",
        unit="basis points",
        written=toml_value(_COSTS["slippage_bp"]),
        ge=0,
        le=1000,
    )
    borrow_bp_year: float = setting(
        _COSTS["borrow_bp_year"],
        "Cost of borrowing for short positions.",
        unit="basis points a year",
        written=toml_value(_COSTS["borrow_bp_year"]),
        ge=0,
        le=100_000,
    )
    impact: float = setting(_COSTS["impact"], "Coefficient of the square-root law of market impact.", ge=0, le=100)
    capital: float = setting(
        _COSTS["capital"],
        "Capital that trades: it moves prices (market impact), and profits are shown in money; 0: too small to move a "
        "price, and profits are fractions.",
        unit="currency of prices",
        ge=0,
    )

    @field_validator("residual_to", mode="before")
    @classmethod
    def _residual(cls, given: object) -> object:
        """Read one name as a list of one."""
        names = (given,) if isinstance(given, str) else given
        wrong = residual_fault(tuple(names)) if isinstance(names, (list, tuple)) else ""
        if wrong:
            raise ValueError(wrong)
        return names

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


class UniverseSettings(Section):
    """Which assets count at a bar, by the money they traded before it."""

    top: int = setting(
        _UNIVERSE["top"], "Number of assets that count, the most liquid first; 0: all.", unit="assets", ge=0
    )
    least_money: float = setting(
        _UNIVERSE["least_money"], "Least money that an asset must trade; 0: any.", unit="currency of prices a day", ge=0
    )
    days: float = setting(_UNIVERSE["days"], "Period over which traded money is averaged.", unit="days", gt=0)
    refresh_days: float = setting(
        _UNIVERSE["refresh_days"], "Time between two choices of the universe.", unit="days", gt=0
    )


class AdmissionSettings(Section):
    """The gates that admit a factor, in order, and their thresholds; see `backtest.policy`."""

    gates: tuple[str, ...] = setting(GATES, "Names of the gates, in order; a factor is admitted when it passes all.")
    max_overlap: float = setting(
        _POLICY["max_overlap"],
        "novelty: largest share of its tree that a factor may have in common with a known one.",
        unit="fraction",
        gt=0,
        le=1,
    )
    min_coverage: float = setting(
        _POLICY["min_coverage"],
        "sanity: least share of the bars of train with a position.",
        unit="fraction",
        ge=0,
        le=1,
    )
    max_correlation: float = setting(
        _POLICY["max_correlation"],
        "sanity: largest absolute correlation of returns on train with those of an accepted factor.",
        gt=0,
        le=1,
    )
    min_spread: float = setting(
        _POLICY["min_spread"],
        "sanity: least share of assets, on average over the bars of train, whose value is not the commonest of its "
        "bar.",
        unit="fraction",
        ge=0,
        lt=1,
    )
    max_size: float = setting(
        _POLICY["max_size"],
        "sanity, under zscore: largest distance of a value from its bar's median, at the 99 % quantile.",
        unit="usual distances of the bar",
        gt=0,
    )
    max_value_correlation: float = setting(
        _POLICY["max_value_correlation"],
        "sanity: largest absolute rank correlation of values on train with those of an accepted factor; 1: any.",
        gt=0,
        le=1,
    )
    control: Control = setting(
        _POLICY["control"],
        "predicts, earns: fwer bounds how often anything passes by luck, fdr the share of luck in what passes.",
    )
    level: float = setting(
        _POLICY["level"],
        "predicts, earns: how often the best of all trials may pass by luck alone; with fdr, the share of luck.",
        unit="probability",
        gt=0,
        lt=0.5,
    )

    @model_validator(mode="before")
    @classmethod
    def _of_today(cls, given: object) -> object:
        former = [name for name in FORMER_THRESHOLDS if isinstance(given, dict) and name in given]
        if former:
            raise ValueError(
                f"{', '.join(former)} belong to an earlier policy: remove them; the gates predicts and earns have one "
                "threshold, level"
            )
        return given

    @field_validator("gates")
    @classmethod
    def _known(cls, gates: tuple[str, ...]) -> tuple[str, ...]:
        wrong = gate_faults(gates)
        if wrong:
            raise ValueError(wrong)
        return gates


class SplitSettings(Section):
    """Shares of the bars, in time order; what train and validation leave is the holdout, which no loop sees.

    The first run on a data set fixes the dates that they come to; `alphaglow data split` moves them.
    """

    train: float = setting(_SPLIT["train"], "Share of the bars for train.", unit="fraction", gt=0, lt=1)
    validation: float = setting(_SPLIT["validation"], "Share of the bars for validation.", unit="fraction", gt=0, lt=1)
    max_lookback: int | None = setting(
        None,
        "Longest look-back of a mined factor; unset: 240, or 40 % of validation where that is less.",
        unit="bars",
        written="240",
        ge=1,
    )


class GateSettings(Section):
    """The flow of the regime gate: its shape, its training and where exposure is cut; see `flows.exposure`."""

    percentile: float = setting(
        _RULES["percentile"],
        "Share of the calibration states that find the gate shut.",
        unit="percent",
        gt=0,
        lt=50,
    )
    side: Side = setting(
        _RULES["side"],
        "low: unlikely states shut the gate. both: half of the percentile each for the unlikely and the most likely.",
    )
    hysteresis: float = setting(
        _RULES["hysteresis"],
        "Exposure stays until it would change by more than this, so that small changes are not traded.",
        unit="exposure",
        ge=0,
        lt=1,
    )
    window: int = setting(_RULES["window"], "Bars over which likelihood is averaged.", unit="bars", ge=1, le=1000)
    scope: Scope = setting(_RULES["scope"], "asset: each asset has its own exposure. market: all assets have one.")
    measure: Measure = setting(
        _RULES["measure"],
        "What is judged. drawdown: that which is to be expected of the next day; exposure follows it. likelihood: how "
        "usual the state is. given_volatility: unlikely even for the volatility of the market. over_gaussian: less "
        "likely than a Gaussian says. volatility: over 20 bars. All but drawdown shut at a percentile.",
    )
    exposure: float = setting(
        _RULES["exposure"],
        "Under measure drawdown: mean exposure on the calibration bars; it sets the drawdown that is aimed at.",
        unit="exposure",
        gt=0,
        lt=1,
    )
    neutral: bool = setting(
        False,
        "Whether neutral portfolios are gated, too. They have no fall to be kept out of, and a gate costs turnover.",
    )
    given: tuple[str, ...] = setting(VOLATILITY, "Features on which given_volatility conditions.")
    members: int = setting(MEMBERS, "Number of flows in the ensemble, from successive seeds.", ge=1, le=32)
    refit_days: float = setting(
        REFIT_DAYS, "Time between dated refits, which never see later bars; 0: fit once, on train.", unit="days", ge=0
    )
    model: str = setting(
        _FLOW["kind"],
        'Kind of density: glow, realnvp, nsf (spline couplings; needs the extra "flows"), autoregressive (with '
        "steps = 3), or one that a plugin adds.",
    )
    base: Base = setting(_FLOW["base"], "Distribution of the flow's latents; student has heavier tails.")
    steps: tuple[int, ...] = setting(
        _FLOW["steps"], "Steps of each level of the flow; [12, 2, 2] is multi-scale.", min_length=1, max_length=4
    )
    hidden: int = setting(_FLOW["hidden"], "Hidden units of each coupling.", unit="units", ge=4, le=2048)
    actnorm: bool = setting(_FLOW["actnorm"], "Whether steps begin with an ActNorm; only realnvp may do without.")
    features: tuple[str, ...] = setting(
        (),
        "Expressions that a market state is made of; unset: the 16 standard ones.",
        written='["ts_returns(close, 24)", "log(ts_std(returns, 24))"]',
    )
    epochs: int = setting(_TRAIN["epochs"], "Passes over the training rows.", unit="epochs", ge=1, le=10_000)
    lr: float = setting(_TRAIN["lr"], "Learning rate at its highest, after the warm-up.", gt=0, le=1)
    max_rows: int = setting(_TRAIN["max_rows"], "Most training rows; more are sampled down.", unit="rows", ge=500)
    ema: float = setting(_TRAIN["ema"], "Decay a step of an average of the weights; 0: no average.", ge=0, lt=1)
    threads: int = setting(
        _TRAIN["threads"],
        "Threads of torch: two gain a fifth on a quiet machine and lose much on a busy one.",
        unit="threads",
        ge=1,
        le=256,
    )
    device: Device = setting(_TRAIN["device"], "Where the flow is trained; auto: a GPU where there is one.")

    def asked(self) -> tuple[Feature, ...]:
        """Return what a state is to be made of."""
        return tuple(Feature(text, text) for text in self.features) or STATE_FEATURES

    @field_validator("model")
    @classmethod
    def _known(cls, model: str) -> str:
        wrong = model_fault(model)
        if wrong:
            raise ValueError(wrong)
        return model

    @field_validator("steps", mode="before")
    @classmethod
    def _levels(cls, steps: object) -> object:
        """Read a single number as the steps of one level."""
        return (steps,) if isinstance(steps, int) else steps
