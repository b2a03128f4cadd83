"""A factor's own trading rule, and the small declared grid that it is chosen from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import product

from backtest.trading_rules import BacktestSpec
from market.errors import InputError

_DAYS = 365.25


@dataclass(frozen=True, slots=True)
class TradingRule:
    """What of the trading rules is chosen for each factor by itself; see `BacktestSpec` for each.

    Costs, fills and the weighting are facts of the account and the study: all factors share those.

    Attributes
    ----------
    rate
        Share of the way to its target that a position moves at each bar, `SLOWEST` to 1.
    band
        An asset is traded only when its target is further than this from its position, as a fraction of capital.
    holding
        Targets are averaged over this many bars.
    volatility_scaled
        Whether positions are divided by the trailing volatility of their asset.
    market_neutral
        Whether what the market explains is taken out of the weights.
    liquid_half
        Whether only the half of the universe that trades most is traded.
    """

    rate: float = 1.0
    band: float = 0.0
    holding: int = 1
    volatility_scaled: bool = False
    market_neutral: bool = False
    liquid_half: bool = False

    def applied(self, spec: BacktestSpec) -> BacktestSpec:
        """Return `spec` under this rule; an `InputError` for a rule that means nothing."""
        return replace(spec, **asdict(self))

    @classmethod
    def of(cls, spec: BacktestSpec) -> TradingRule:
        """Return the rule that `spec` holds."""
        return cls(**{f.name: getattr(spec, f.name) for f in fields(cls)})

    @property
    def targets_key(self) -> tuple[int, bool, bool, bool]:
        """What of the rule decides the targets: rules that agree in it differ in how they are traded alone."""
        return self.holding, self.volatility_scaled, self.market_neutral, self.liquid_half

    def to_dict(self) -> dict[str, float | int | bool]:
        """Return plain JSON types."""
        return asdict(self)

    def __str__(self) -> str:
        """Say the rule in words."""
        share = "all the way" if self.rate >= 1 else f"{100 * self.rate:g}% of the way"
        said = [f"{share} each bar"]
        said += [f"outside a band of {self.band:.2%}"] if self.band > 0 else []
        said += [f"targets averaged over {self.holding} bars"] if self.holding > 1 else []
        said += ["scaled by volatility"] if self.volatility_scaled else []
        said += ["neutral to the market"] if self.market_neutral else []
        said += ["the liquid half alone"] if self.liquid_half else []
        return ", ".join(said)


def could_be_chosen(rule: TradingRule, spec: BacktestSpec) -> bool:
    """Return whether a rule is of the grid that `spec` leaves open, for bars of whatever size."""
    return any(rule in RuleGrid.around(spec, most * _DAYS).rules() for most, _ in _RATES)


def read_rule(stored: Mapping[str, object], where: str) -> TradingRule:
    """Return a rule from stored or written fields; `where` is what messages call their place.

    Raises
    ------
    InputError
        For a field that is missing, unknown or of another kind, such as in a rule of another version, and for a value
        that means nothing.
    """
    names = [f.name for f in fields(TradingRule)]
    unknown = sorted(set(stored) - set(names))
    if unknown:
        raise InputError(
            f"{where}: a trading rule has no {', '.join(unknown)}",
            f"it has {', '.join(names)}; a rule of another version has to be chosen again",
        )
    default = TradingRule()
    found: dict[str, float | int | bool] = {}
    for name, value in stored.items():
        wanted = type(getattr(default, name))
        fits = isinstance(value, bool) if wanted is bool else isinstance(value, (int, float))
        fits = fits and (wanted is bool or not isinstance(value, bool)) and (wanted is not int or value == int(value))  # type: ignore[call-overload]
        if not fits:
            kinds = {bool: "true or false", int: "a whole number", float: "a number"}
            raise InputError(f"{where}: {name} = {value!r} is not {kinds[wanted]}", "correct it")
        found[name] = wanted(value)
    rule = TradingRule(**found)  # type: ignore[arg-type]
    try:
        rule.applied(BacktestSpec())
    except InputError as error:
        raise InputError(f"{where}: {error.message}", "correct it") from error
    return rule


# Rates that are tried, by the most bars a day for which they are: the slowest goes some way to its target in a week or
# two, whatever the bars are.
_RATES: tuple[tuple[float, tuple[float, ...]], ...] = (
    (2.0, (1.0, 0.3, 0.1, 0.03)),
    (8.0, (1.0, 0.3, 0.1, 0.03, 0.008)),
    (math.inf, (1.0, 0.2, 0.05, 0.01, 0.002)),
)


def rates_for(bars_a_year: float) -> tuple[float, ...]:
    """Return the rates that are tried for a number of bars a year, the quickest first."""
    return next(rates for most, rates in _RATES if bars_a_year <= most * _DAYS)


@dataclass(frozen=True, slots=True)
class RuleGrid:
    """The rules that a factor's own is chosen from: every combination of these, each of them a trial.

    Attributes
    ----------
    rates, bands, holdings, scalings, neutrals, halves
        See `TradingRule`. The market's part and illiquid assets are taken out of no weights unless the settings do so:
        as further rules they did not pay (see docs/trading-rules.md).
    """

    rates: tuple[float, ...] = _RATES[0][1]
    bands: tuple[float, ...] = (0.0,)
    holdings: tuple[int, ...] = (1,)
    scalings: tuple[bool, ...] = (False, True)
    neutrals: tuple[bool, ...] = (False,)
    halves: tuple[bool, ...] = (False,)

    @classmethod
    def around(cls, spec: BacktestSpec, bars_a_year: float = _DAYS) -> RuleGrid:
        """Return the grid of what trading rules leave open: what they set otherwise than by default stays as it is.

        The more bars a year, the slower rates are tried; see `rates_for`.
        """
        usual = TradingRule()
        return cls(
            rates=rates_for(bars_a_year) if spec.rate == usual.rate else (spec.rate,),
            bands=cls().bands if spec.band == usual.band else (spec.band,),
            holdings=cls().holdings if spec.holding == usual.holding else (spec.holding,),
            scalings=(True,) if spec.volatility_scaled else cls().scalings,
            neutrals=(True,) if spec.market_neutral else cls().neutrals,
            halves=(True,) if spec.liquid_half else cls().halves,
        )

    def rules(self) -> tuple[TradingRule, ...]:
        """Return the rules of the grid, each once, the quickest first; an `InputError` where there are none."""
        every = product(self.halves, self.neutrals, self.scalings, self.holdings, self.bands, self.rates)
        made = (TradingRule(rate, band, hold, scaled, free, half) for half, free, scaled, hold, band, rate in every)
        found = tuple(dict.fromkeys(made))
        if not found:
            raise InputError("the grid of trading rules is empty", "give at least one value of each of its parts")
        for rule in found:
            rule.applied(BacktestSpec())
        return found
