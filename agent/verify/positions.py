"""What the positions of a claim pay and earn on a panel: before costs for one test, after them for the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from agent.verify.aligning import Aligned
from backtest.ic import forward_returns
from backtest.payoff import market_part, rank_payoffs, risk_returns, trailing_risk
from backtest.rule_choice import RuleChoice, choose_rule
from backtest.rule_grid import RuleGrid, TradingRule
from backtest.run import Backtest, small_universe, trade
from backtest.scorecard import paid_rows
from backtest.target import Target, prepare_target
from backtest.trading_rules import BacktestSpec
from market.errors import InputError
from market.panel import BoolArray, FloatArray, Panel
from market.ranking import rank_panel
from market.split import MIN_BARS

# Bars before the first row that trailing risk is read from.
_BEFORE = 500


@dataclass(frozen=True, eq=False)
class Positions:
    """A claim traded on a panel.

    Attributes
    ----------
    panel
        The judged bars, and those before them that trailing risk is read from.
    values
        (T, N) see `Aligned`; of signals within the universe.
    part, paid
        Rows that are judged, and the decisions of those that are paid within them.
    wide
        Whether assets are compared with one another; of few assets positions are compared with their own mean.
    targets
        (T, N) target weights, under the chosen rule where one was chosen.
    choice
        Of a trading rule, for signals; weights and trades are their own rule.
    """

    panel: Panel
    target: Target
    values: FloatArray
    part: slice
    is_signal: bool
    wide: bool
    targets: FloatArray
    backtest: Backtest
    choice: RuleChoice | None = None

    @property
    def paid(self) -> slice:
        """Rows of decisions that are paid within the judged bars."""
        return paid_rows(self.part)

    @property
    def spec(self) -> BacktestSpec:
        """The trading rules, with the chosen rule in them."""
        return self.backtest.spec

    @cached_property
    def payoffs(self) -> FloatArray:
        """(T,) what is tested before costs, on the true market."""
        return self.payoffs_in(self.panel)

    def payoffs_in(self, outcomes: Panel) -> FloatArray:
        """Return (T,) what is tested before costs, where `outcomes` is what happened after each decision.

        Of signals, the payoff of rank weights (see `backtest.payoff`); of weights, what they earn of returns that the
        market does not explain; of few assets, what positions earn by differing from their own mean in time.
        """
        forward = forward_returns(outcomes, 1, self.spec.fill)
        if self.wide and self.is_signal:
            return rank_payoffs(self.values, forward, risk_returns(outcomes, forward, self.spec.styles))
        if self.wide:
            known, explained = market_part(outcomes, forward, trailing_risk(outcomes)[1])
            own = np.where(known, forward - explained, 0.0)
            return np.where(self._held, (np.nan_to_num(self.targets) * own).sum(axis=1), np.nan)
        timed = self.targets - self.targets[self.paid].mean(axis=0)
        return np.where(self._held, (timed * np.nan_to_num(forward)).sum(axis=1), np.nan)

    @cached_property
    def _held(self) -> BoolArray:
        """(T,) whether a bar has an opinion at all."""
        return np.asarray(np.isfinite(self.values).any(axis=1))

    def later(self, bars: int) -> Positions:
        """Return the same rows known `bars` later, under the same trading rule."""
        return replace(
            self,
            values=_later(self.values, bars, np.nan),
            targets=_later(self.targets, bars, 0.0),
            backtest=trade(
                _later(self.targets, bars, 0.0),
                self.target.market,
                self.spec,
                None,
                bars_per_year=self.panel.bars_per_year,
            ),
        )


def _later(values: FloatArray, bars: int, fill: float) -> FloatArray:
    return np.vstack([np.full((bars, values.shape[1]), fill), values[:-bars]])


def take_positions(aligned: Aligned, panel: Panel, spec: BacktestSpec) -> Positions:
    """Trade a claim on a panel; of signals the trading rule is chosen from the grid, which the test allows for.

    Raises
    ------
    InputError
        Where too few bars are judged, or the positions never move.
    """
    start, stop = aligned.part.start, aligned.part.stop
    if stop - start < MIN_BARS:
        raise InputError(
            f"only {stop - start} bars are judged", f"{MIN_BARS} or more are needed: give more rows, or longer data"
        )
    cut = max(0, start - _BEFORE)
    panel = panel.rows(cut, min(stop + 2, len(panel.times)))
    part = slice(start - cut, len(panel.times))
    # Positions are what somebody took, wherever; a signal says something of the assets that it is asked about.
    asked = panel.universe if aligned.is_signal else np.isfinite(panel["close"])
    values = np.where(asked, aligned.values[cut : cut + len(panel.times)], np.nan)
    values[: part.start] = np.nan
    wide = small_universe(values, panel, replace(spec, weighting="rank")) is None
    if not wide and aligned.is_signal:
        spec = replace(spec, weighting="timeseries", market_neutral=False)
    target = prepare_target(panel, spec)
    if aligned.is_signal:
        ranks = rank_panel(values).ranks
        choice = choose_rule(values, target, part, RuleGrid.around(spec), ranks)
        rule, targets = choice.rule.applied(spec), choice.targets
    else:
        choice, rule = None, TradingRule().applied(spec)
        targets = np.nan_to_num(values)
    traded = trade(targets, target.market, rule, None, bars_per_year=panel.bars_per_year)
    if not np.any(traded.exposure[part] > 0):
        raise InputError(
            "the positions are nil at every bar", "are the assets traded then, and the values not all alike?"
        )
    return Positions(panel, target, values, part, aligned.is_signal, wide, targets, traded, choice)
