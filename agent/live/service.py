"""The signal service: a bar that arrives is decided on, paid on paper and recorded, before its signal is given out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from agent.live.advice import Confidence, action_of, change_of_side, changes_since, reasons_of, shares_below, trades
from agent.live.arrivals import HEAL_BARS, Arrival
from agent.live.decisions import Decision, DecisionMaker, Show
from agent.live.feed import Bar, bar_at, with_bars
from agent.live.last_rows import LastRows
from agent.live.paper_ledger import Running, lag_of
from agent.live.reason_words import reason_in_words
from agent.live.signal_journal import Paid, SignalJournal, Stored, signal_id
from agent.live.signal_source import TradedSignal
from backtest.ledger import NET
from backtest.market_rows import market_rows
from backtest.rule_grid import TradingRule
from market.panel import FloatArray, Panel

# Positions that changed by less are not worth a line.
_DUST = 1e-12
Document = Mapping[str, object]


def ledger_id(portfolio: TradedSignal, feed: str) -> str:
    """Return the id of a portfolio's ledger on a feed: a replay is kept apart from what is traded on paper now."""
    # The text whose hash named the ledgers of earlier versions: with another one they would begin again, at nothing.
    named = f"book:{portfolio.id.removeprefix('portfolio:')}/{feed}"
    return f"ledger:{hashlib.sha256(named.encode()).hexdigest()[:16]}"


@dataclass
class _Ledger:
    """The paper ledger under way: decisions that are not paid yet, and the capital."""

    running: Running
    waiting: LastRows
    equity: float


class SignalService:
    """A portfolio at work on a feed.

    Parameters
    ----------
    base
        The data set's bars before the feed's.
    feed
        Its name; bars of the journal go by it.
    """

    def __init__(
        self,
        portfolio: TradedSignal,
        base: Panel,
        journal: SignalJournal,
        feed: str,
        *,
        calibration: FloatArray | None = None,
        confidence: Confidence | None = None,
        show: Show = lambda _: None,
    ) -> None:
        self._confidence = confidence
        self.portfolio, self.journal, self.feed = portfolio, journal, feed
        self.id = ledger_id(portfolio, feed)
        self._base, self._calibration, self._show = base, calibration, show
        self._year = base.bars_per_year
        self._lag = lag_of(portfolio.spec, base.fields)
        about = {"data": base.name, "panel": base.id, "expressions": [e.text for e in portfolio.expressions]}
        journal.add_ledger(
            self.id, portfolio.name, feed, {**about, "portfolio": portfolio.id, "notes": list(portfolio.notes)}
        )
        self._ledger: _Ledger | None = None
        self._unrecorded: list[Paid] = []
        self._last: FloatArray | None = None
        self._before: Document | None = None
        self._build()

    def _build(self) -> None:
        """Build all state from the data set's bars and the journal's."""
        whole = self._past()
        self.decider = DecisionMaker(self.portfolio, whole, calibration=self._calibration, show=self._show)
        self.newest = bar_at(whole, len(whole.times) - 1)
        stored = self.journal.signals(self.id)
        emitted = [s for s in stored if s.status == "emitted"]
        self._last = emitted[-1].weights if emitted else None
        self._before = emitted[-1].document if emitted else None
        if stored:
            self._ledger = self._restored(whole, stored)

    def history(self) -> Panel:
        """Return the bars of the data set, and after them those that the journal has of the feed."""
        return with_bars(self._base, self.journal.bars(self.feed, self._base.times[-1]))

    def _past(self) -> Panel:
        """Return the history up to the newest bar that this ledger has decided on.

        Another portfolio may have brought the newest bar of the journal: here it is still to be decided on.
        """
        bars = self.journal.bars(self.feed, self._base.times[-1])
        own = self.journal.last(self.id, "emitted"), self.journal.last(self.id, "missed")
        if bars and all(one is None or one.time < bars[-1].time for one in own):
            bars = bars[:-1]
        return with_bars(self._base, bars)

    def _restored(self, whole: Panel, stored: list[Stored]) -> _Ledger:
        """Settle again the decisions of the journal, up to the newest bar.

        Bars that came into the data set while nobody watched were missed; what they pay is recorded with the next bar.
        """
        spec, ledger_rows = self.portfolio.spec, market_rows(whole, self.portfolio.spec)
        known = {one.time: one for one in stored}
        paid = self.journal.equity(self.id)
        recorded = {row["time"] for row in paid}
        first, bars = int(np.searchsorted(whole.times, stored[0].time)), len(whole.times)
        running = Running(len(whole.assets), spec, self._year)
        running.halt(ledger_rows, bars - 1 - first)
        ledger = _Ledger(running, LastRows(self._lag + 1), float(str(paid[-1]["equity"])) if paid else 1.0)
        for row in range(first, bars):
            one = known.get(whole.times[row])
            status, weights = ("missed", np.zeros(len(whole.assets))) if one is None else (one.status, one.weights)
            ledger.waiting.put((row, status, weights))
            if row + self._lag >= bars:
                continue
            due = status == "emitted" and row % spec.rebalance == 0
            figures = running.settle(weights, ledger_rows, bars - 1 - row, due=due)
            if whole.times[row] not in recorded:
                self._unrecorded.append(self._paid(ledger, whole.times[row], figures, whole[spec.fill][row + 1]))
        return ledger

    def owed(self) -> list[Bar]:
        """Return the newest bars that lacked an asset which may have come since."""
        late = [s.time for s in self.journal.signals(self.id)[-HEAL_BARS:] if s.document.get("stale")]
        return (
            [bar for bar in self.journal.bars(self.feed, min(late) - self._base.bar) if bar.time in late]
            if late
            else []
        )

    def work(self, arrivals: Iterator[Arrival], *, always: bool = False) -> Iterator[Document]:
        """Take bars as they arrive; yield the document of each signal that is emitted, once it is in the journal.

        `always` emits the last bar even when it is an old one: what was asked for is the newest there is.
        """
        for arrival in arrivals:
            if arrival.healed:
                self._heal(arrival.healed)
            document = self.take(arrival, always=always)
            if document is not None:
                yield document

    def _heal(self, healed: tuple[Bar, ...]) -> None:
        """Add what came late to the journal, and build all state from it again; what was decided stays decided."""
        for bar in healed:
            self.journal.add_bar(self.feed, bar)
        self._show("building the state again with bars that came late")
        self.decider = DecisionMaker(self.portfolio, self.history(), calibration=self._calibration, show=self._show)

    def take(self, arrival: Arrival, *, always: bool = False) -> Document | None:
        """Take one bar; return its document where it was emitted."""
        decision = self.decider.take(arrival.bar)
        weights = decision.weights
        if arrival.stale.any() and self._last is not None:
            weights = np.where(arrival.stale, self._last, weights)
        emit = arrival.newest or always
        # Before the first signal nothing is traded on paper.
        if not emit and self._ledger is None:
            if decision.row % 500 == 0:
                self._show(f"catching up: {str(arrival.bar.time)[:16]}")
            self.journal.add_bar(self.feed, arrival.bar)
            self.newest = arrival.bar
            return None
        if self._ledger is None:
            running = Running(len(self.decider.assets), self.portfolio.spec, self._year)
            running.halt(self.decider.ledger_rows(), 0)
            self._ledger = _Ledger(running, LastRows(self._lag + 1), 1.0)
        status = "emitted" if emit else "missed"
        document = self._document(arrival, decision, weights, status)
        signal = Stored(signal_id(self.id, arrival.bar.time), arrival.bar.time, status, weights, document)
        self._ledger.waiting.put((decision.row, status, weights))
        self._unrecorded += self._settle()
        self.journal.add_bar(self.feed, arrival.bar, signal, self.id, self._unrecorded)
        self._unrecorded = []
        self.newest = arrival.bar
        if not emit:
            return None
        self._last, self._before = weights, document
        return document

    def _settle(self) -> list[Paid]:
        """Settle the decision whose return is known with the newest bar."""
        assert self._ledger is not None
        ledger, spec = self._ledger, self.portfolio.spec
        if len(ledger.waiting) <= self._lag:
            return []
        row, status, weights = ledger.waiting.first()
        due = status == "emitted" and row % spec.rebalance == 0
        figures = ledger.running.settle(weights, self.decider.ledger_rows(), self._lag, due=due)
        return [self._paid(ledger, self.decider.time(self._lag), figures, self.decider.price(self._lag - 1))]

    def _paid(self, ledger: _Ledger, time: np.datetime64, figures: FloatArray, price: FloatArray) -> Paid:
        ledger.equity *= max(0.0, 1.0 + float(figures[NET]))
        changes, weights = ledger.running.changes, ledger.running.weights
        fills = [
            (self._base.assets[k], float(changes[k]), float(weights[k]), float(price[k]))
            for k in np.flatnonzero(np.abs(changes) > _DUST)
        ]
        return Paid(time, figures, ledger.equity, fills)

    def _document(self, arrival: Arrival, decision: Decision, weights: FloatArray, status: str) -> dict[str, object]:
        before = np.zeros(len(weights)) if self._last is None else self._last
        assert self.decider.risk is not None
        trade = self._trades(decision, weights)
        shown = np.flatnonzero((np.abs(weights) > _DUST) | (np.abs(before) > _DUST) | arrival.stale)
        rows = [
            {
                "asset": self.decider.assets[k],
                "weight": float(weights[k]),
                "change": float(weights[k] - before[k]),
                "price": _finite(decision.price[k]),
                "signal": _finite(decision.signal[k]),
                "contributions": {
                    label: _finite(part[k]) for label, part in zip(self.portfolio.labels, decision.parts, strict=True)
                },
                "gate_exposure": float(decision.exposure[k]),
                "likelihood_percentile": _finite(decision.percentile[k]),
                "stale": bool(arrival.stale[k]),
                **self._advice(decision, int(k), float(trade[k])),
            }
            for k in shown
        ]
        rows.sort(key=lambda row: (-float(str(row["weight"])), str(row["asset"])))
        length = self._base.bar
        known = decision.percentile[np.isfinite(decision.percentile)]
        exposure = float(decision.exposure[decision.inside].mean()) if decision.inside.any() else None
        return {
            "kind": "signal",
            "id": signal_id(self.id, arrival.bar.time),
            "ledger": self.id,
            "portfolio": self.portfolio.name,
            "feed": self.feed,
            "status": status,
            "time": _text(arrival.bar.time),
            "closed": _text(arrival.bar.time + length),
            "data_age_s": round(arrival.age, 3),
            "stale": [self.decider.assets[k] for k in np.flatnonzero(arrival.stale)],
            "regime": decision.regime,
            "likelihood_percentile": float(known.mean()) if len(known) else None,
            "gate_exposure": exposure,
            "var_95": _finite(self.decider.risk.value_at_risk(weights)),
            "gross": float(np.abs(weights).sum()),
            "net": float(weights.sum()),
            "turnover": float(np.abs(weights - before).sum()),
            "max_weight": self.portfolio.spec.max_weight,
            "rule": {**TradingRule.of(self.portfolio.spec).to_dict(), "rebalance": self.portfolio.spec.rebalance},
            "notes": list(self.portfolio.notes),
            "changes": changes_since(rows, self._before, exposure),
            "weights": rows,
        }

    def _trades(self, decision: Decision, weights: FloatArray) -> FloatArray:
        """Return (N,) what the rule trades now: from the positions on paper, with what is decided and not filled yet.

        That prices move positions until then is left out.
        """
        spec, ledger = self.portfolio.spec, self._ledger
        positions = np.zeros(len(weights))
        if ledger is not None:
            positions = ledger.running.weights.copy()
            waiting = ledger.waiting.each()
            for row, status, targets in waiting[max(0, len(waiting) - self._lag) :]:
                due = status == "emitted" and row % spec.rebalance == 0
                positions = positions + trades(targets, positions, spec, due=due)
        return trades(weights, positions, spec, due=decision.row % spec.rebalance == 0)

    def _advice(self, decision: Decision, asset: int, trade: float) -> dict[str, object]:
        """Return one asset's trade in words."""
        relative = self.portfolio.spec.is_cross_sectional
        values = decision.signal
        rank = float(shares_below(values[None])[0, asset])
        place = f"{int((values > values[asset]).sum()) + 1} of {int(np.isfinite(values).sum())}"
        terms: dict[str, float | None] = {}
        for term, row in zip(self.decider.terms, decision.terms, strict=True):
            known = row[np.isfinite(row)]
            middle = float(known.mean()) if relative and len(known) else 0.0
            terms[term.text] = _finite(row[asset] - middle)
        parts = dict(zip(self.portfolio.labels, (_finite(part[asset]) for part in decision.parts), strict=True))
        phrases = self._phrases(terms, values, asset)
        return {
            "action": action_of(trade),
            "trade": trade,
            "rank": place if np.isfinite(values[asset]) else None,
            "confidence": None if self._confidence is None else self._confidence.of(rank),
            "terms": terms,
            "reasons": reasons_of(terms or parts, float(decision.exposure[asset]), place, phrases),
            "changes_when": change_of_side(values, asset, relative=relative, spec=self.portfolio.spec),
        }

    def _phrases(self, terms: Mapping[str, float | None], signal: FloatArray, asset: int) -> dict[str, str | None]:
        """Return what the terms of a factor say of an asset in words, or the factor itself where it is no sum."""
        portfolio, relative = self.portfolio, self.portfolio.spec.is_cross_sectional
        if portfolio.combined:
            return {}
        said = partial(reason_in_words, bar=self._base.bar, relative=relative)
        if terms:
            found = ((term, terms[term.text]) for term in self.decider.terms)
            return {term.text: None if value is None else said(term, value) for term, value in found}
        # An asset is above the average where its signal is above the middle of the ranks.
        value = float(shares_below(signal[None])[0, asset]) - 0.5 if relative else float(signal[asset])
        return {portfolio.labels[0]: said(portfolio.expressions[0], value)}


def _finite(value: float | np.floating) -> float | None:
    return float(value) if np.isfinite(value) else None


def _text(time: np.datetime64) -> str:
    return f"{str(time)[:19]}Z"
