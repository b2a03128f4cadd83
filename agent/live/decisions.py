"""The decision maker: from one new bar to decided weights, by the functions of the backtest.

`DecisionMaker.take` gives, for the bar after a history, what `signal_source.batch_of` gives in the row of that bar for
the panel with it: factors by the engine's own state, everything else by the backtest's functions on as many of the
newest rows as decide the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from agent.live.advice import terms_of
from agent.live.feed import Bar, bar_at
from agent.live.last_rows import LastRows
from agent.live.paper_ledger import Running, lag_of
from agent.live.recent_bars import Liquid, Recent
from agent.live.signal_source import TradedSignal, batch_of
from agent.live.value_at_risk import LiveRisk, volatility_expression
from agent.study.study import group_expression
from backtest.asset_facts import FACT_BARS
from backtest.ledger import NET, keep_ledger
from backtest.market_rows import MarketRows
from backtest.run import too_few_assets
from backtest.weights import SERIES_WINDOW, apply_gate, average_over, cap_risk, kelly_leverage, target_weights
from factors.live_factors import LiveFactors
from market.errors import InputError
from market.panel import BoolArray, FloatArray, Panel
from market.universe import liquid_mask

_WARM = 512
Show = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Decision:
    """What is decided at the close of a bar; arrays are (N,).

    Attributes
    ----------
    row
        Number of the bar, counted from the panel's first.
    inside
        Which assets are in the universe.
    signal, parts
        The signal, and what each member adds to it, (K, N); NaN where there is no opinion.
    targets
        Weights before gate, size and caps.
    exposure
        Of the gate, 1 without one.
    weights
        What is decided.
    likelihood, percentile
        What the gate judges, in nats, and the percentile of it among the bars that its thresholds were set on.
    regime
        Of the market, or None.
    price
        Close.
    terms
        (M, N) values of the terms that a single factor adds up, without rows where it is no sum.
    """

    time: np.datetime64
    row: int
    inside: BoolArray
    signal: FloatArray
    parts: FloatArray
    targets: FloatArray
    exposure: FloatArray
    weights: FloatArray
    likelihood: FloatArray
    percentile: FloatArray
    regime: str | None
    price: FloatArray
    terms: FloatArray


class DecisionMaker:
    """A portfolio that has seen a history, and takes further bars.

    Parameters
    ----------
    whole
        The history, oldest bar first, its universe not narrowed yet.
    calibration
        Sorted likelihoods that percentiles are computed among.

    Raises
    ------
    InputError
        When the history is empty, or has too few assets for a cross-section.
    """

    def __init__(
        self,
        portfolio: TradedSignal,
        whole: Panel,
        *,
        calibration: FloatArray | None = None,
        show: Show = lambda _: None,
    ) -> None:
        if not len(whole.times):
            raise InputError("there is no bar before the first signal", "begin later, or with more data")
        refused = too_few_assets(portfolio.spec, len(whole.assets))
        if refused is not None:
            raise InputError(refused.message, refused.hint)
        self.portfolio, self.assets = portfolio, whole.assets
        self._calibration = np.empty(0) if calibration is None else calibration
        bars, warm = len(whole.times), max(_WARM, 2 * SERIES_WINDOW + portfolio.spec.holding)
        while True:
            show(f"reading {bars} bars")
            # The newest part of the history is taken bar by bar, as live bars are.
            start = max(0, bars - warm)
            self._begin(whole.rows(0, start))
            for row in range(start, bars):
                self.take(bar_at(whole, row))
            # A gate with hysteresis depends on its past, until it was fully shut or fully open once.
            if start == 0 or self._gate is None or self._gate.settled.all():
                break
            warm *= 4
        self._recall(whole)

    @property
    def bars(self) -> int:
        """How many bars it has seen."""
        return self._row

    def _begin(self, whole: Panel) -> None:
        portfolio, chosen = self.portfolio, self.portfolio.settings.universe
        rules = chosen.model_dump()
        self._liquid = Liquid(whole, **rules)
        self._recent = Recent(whole, portfolio.spec)
        self._inside = LastRows(FACT_BARS + 1)
        self._row = len(whole.times)
        self._plain_spec = replace(portfolio.spec, holding=1)
        self._net: list[float] | None = None
        neutral = portfolio.settings.backtest.group_neutral
        groups = [group_expression(neutral, whole)] if neutral else []
        self._gate = self._regime = None
        features = []
        if portfolio.gate is not None:
            from agent.live.gate_state import LiveGate, LiveRegime

            assert portfolio.gate_file is not None
            self._gate, self._regime = LiveGate(portfolio.gate, whole.assets), LiveRegime(portfolio.gate_file)
            features = self._gate.expressions(whole)
        self._members = slice(0, len(portfolio.expressions))
        self._group = len(portfolio.expressions) if groups else None
        self.terms = () if portfolio.combined else terms_of(portfolio.expressions[0], whole)
        first = len(portfolio.expressions) + len(groups)
        self._terms = slice(first, first + len(self.terms))
        self._features = slice(first + len(self.terms), -1)
        panel = replace(whole, universe=liquid_mask(whole, **rules))
        for row in panel.universe[-FACT_BARS - 1 :]:
            self._inside.put(row)
        asked = [*portfolio.expressions, *groups, *self.terms, *features, volatility_expression(whole)]
        self._live = LiveFactors(asked, panel)
        self._signals = LastRows(2 * SERIES_WINDOW)
        self._targets = LastRows(portfolio.spec.holding)
        self.risk: LiveRisk | None = None

    def _recall(self, whole: Panel) -> None:
        """Fill what reaches back further than the bars that were taken one by one."""
        from factors.engine import evaluate

        part = whole.rows(max(0, len(whole.times) - 6000), len(whole.times))
        self.risk = LiveRisk(part["close"], evaluate(volatility_expression(part), part).values)
        if self.portfolio.spec.kelly > 0:
            self._recall_record(whole)

    def _recall_record(self, whole: Panel) -> None:
        """Trade the whole history at unit size: what Kelly's fraction is read from."""
        batch = batch_of(self.portfolio, whole)
        spec, year = self.portfolio.spec, batch.panel.bars_per_year
        plain = batch.targets
        if batch.exposures is not None:
            plain = apply_gate(plain, batch.exposures, neutral=spec.is_neutral)
        _, series = keep_ledger(plain, batch.ledger_rows, spec, year)
        lag = lag_of(spec, batch.panel.fields)
        paid = len(plain) - lag
        self._net = series[NET][:paid].tolist()
        self._record = Running.after(plain[:paid], batch.ledger_rows, spec, year)
        self._plain = LastRows(lag + 1)
        for row in plain[-lag:]:
            self._plain.put(row)

    def take(self, bar: Bar) -> Decision:
        """Take the next bar; return what is decided at its close."""
        portfolio, spec = self.portfolio, self.portfolio.spec
        inside = self._liquid.put(bar)
        self._recent.put(bar)
        self._inside.put(inside)
        values = self._live.append(bar.fields, inside)
        signal, parts = portfolio.signal(values[self._members], inside)
        volatility = self._recent.volatility()
        groups = None if self._group is None else values[self._group][None]
        targets = self._target(signal, volatility, groups)
        likelihood, exposure, regime = self._gated(bar, values[self._features], inside)
        weights = targets[None]
        if self._gate is not None:
            weights = apply_gate(weights, exposure[None], neutral=spec.is_neutral)
        if spec.kelly > 0:
            weights = weights * self._size(weights[0])
        if not math.isinf(spec.max_risk):
            weights = cap_risk(weights, volatility, spec.max_risk, neutral=spec.is_neutral)
        if self.risk is not None:
            self.risk.step(bar.fields["close"], values[-1])
        self._row += 1
        return Decision(
            bar.time,
            self._row - 1,
            inside,
            signal,
            parts,
            targets,
            exposure,
            weights[0],
            likelihood,
            self._percentile(likelihood),
            regime,
            bar.fields["close"],
            np.where(inside, values[self._terms], np.nan),
        )

    def ledger_rows(self) -> MarketRows:
        """Return the market rows of the newest bars; the last ones are not paid yet."""
        return self._recent.ledger_rows()

    def time(self, back: int) -> np.datetime64:
        """Return when the bar this many bars ago opened."""
        return self._recent.time(back)

    def price(self, back: int) -> FloatArray:
        """Return (N,) prices of the fill this many bars ago."""
        return self._recent.price(back)

    def _target(self, signal: FloatArray, volatility: FloatArray, groups: FloatArray | None) -> FloatArray:
        spec = self.portfolio.spec
        self._signals.put(signal)
        facts = self._recent.facts(self._inside.all()) if spec.reads_facts else None
        if spec.is_cross_sectional:
            plain: FloatArray = target_weights(signal[None], self._plain_spec, volatility, groups, facts=facts)[0]
        else:
            # The z-score sums its window again every 240 bars: rows from the one before that on decide it.
            rows = self._signals.all()[-(SERIES_WINDOW + self._row % SERIES_WINDOW + 1) :]
            wide = np.broadcast_to(volatility, rows.shape)
            plain = target_weights(rows, self._plain_spec, np.ascontiguousarray(wide), groups, facts=facts)[-1]
        if spec.holding == 1:
            return plain
        self._targets.put(plain)
        averaged: FloatArray = average_over(self._targets.all(), spec.holding)[-1]
        return averaged

    def _gated(self, bar: Bar, features: FloatArray, inside: BoolArray) -> tuple[FloatArray, FloatArray, str | None]:
        if self._gate is None or self._regime is None:
            return np.full(len(self.assets), np.nan), np.ones(len(self.assets)), None
        from flows.train import torch_threads

        # Threads do not speed up a few rows, and on a busy machine they wait for each other.
        with torch_threads(1):
            flat = bar.fields["high"] == bar.fields["low"]
            likelihood, exposure = self._gate.step(bar.time, features, flat, inside)
            return likelihood, exposure, self._regime.step(self._gate)

    def _size(self, plain: FloatArray) -> float:
        """Return Kelly's size of the portfolio, from what it earned at unit size up to the bar."""
        spec = self.portfolio.spec
        if self._net is None:
            # These bars only bring the state up to date; their size is not used.
            return 1.0
        self._plain.put(plain)
        lag = len(self._plain.all()) - 1
        decided = self._row - lag
        ledger_rows = self._recent.ledger_rows()
        figures = self._record.settle(self._plain.all()[0], ledger_rows, lag, due=decided % spec.rebalance == 0)
        self._net.append(float(figures[NET]))
        known = np.array([*self._net, *[math.nan] * (self._row + 1 - len(self._net))])
        return float(kelly_leverage(known, spec.kelly, spec.max_leverage)[-1])

    def _percentile(self, likelihood: FloatArray) -> FloatArray:
        if not len(self._calibration):
            return np.full(len(likelihood), np.nan)
        place = 100.0 * np.searchsorted(self._calibration, likelihood) / len(self._calibration)
        return np.where(np.isfinite(likelihood), place, np.nan)
