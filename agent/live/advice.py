"""A signal in the words of who trades it: buy, sell or hold, how sure that is, why, and what would change it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.live.signal_source import TradedSignal
from agent.pools.fitting import combine_expressions
from backtest.market_rows import market_rows
from backtest.trading_rules import BacktestSpec
from factors.engine import evaluate
from factors.parse import parse
from factors.printing import to_text
from factors.tree import Call, Expression, Node
from market.errors import Rejection
from market.panel import FloatArray, Panel
from market.ranking import rank_panel

DECILES = 10
REASONS = 3
# Smaller trades are rounding, as a fraction of capital.
_DUST = 1e-9
# A gate that lets this much through is open.
_OPEN = 0.999


IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Confidence:
    """How often signals of each rank decile were right about the next bar, on train.

    Attributes
    ----------
    share
        (10,) of (bar, asset) pairs whose next payoff had the sign that the signal gave it; NaN without any.
    error
        (10,) standard errors, by bars: what happens in one bar is one thing, however many assets there are.
    bars
        How many bars of train were counted.
    relative
        Whether the payoff is that beside the median of the assets; False: that of the asset alone.
    """

    share: FloatArray
    error: FloatArray
    bars: int
    relative: bool

    def of(self, rank: float) -> dict[str, object] | None:
        """Return what is known of a rank in [0, 1]; None where nothing is."""
        if not np.isfinite(rank):
            return None
        decile = _decile(np.array(rank))[()]
        share, error = float(self.share[decile]), float(self.error[decile])
        if not (np.isfinite(share) and np.isfinite(error)):
            return None
        return {
            "decile": int(decile) + 1,
            "share": share,
            "error": error,
            "better_than_a_coin": share - 2.0 * error > 0.5,
        }


def shares_below(signal: FloatArray) -> FloatArray:
    """Return (T, N) which share of a row's known values lies below each, in (0, 1), half of its own counted."""
    ranked = rank_panel(signal)
    found: FloatArray = (ranked.ranks - 0.5) / np.maximum(ranked.counts, 1)[:, None]
    return found


def _decile(ranks: FloatArray) -> IntArray:
    return np.minimum(np.floor(ranks * DECILES), DECILES - 1).astype(np.int64)


def confidence_on(portfolio: TradedSignal, panel: Panel, train: slice) -> Confidence:
    """Count on the train of a panel how often the signal's side was that of the next payoff.

    The side is up in the upper half of the ranks and down in the lower one; for positions of single assets, the
    signal's own sign. The payoff goes from the fill of the decision to the next one, before costs. The last two bars
    of train are left out: validation pays them.
    """
    if portfolio.combined:
        values = combine_expressions(portfolio.expressions, portfolio.weights, panel)
    else:
        values = evaluate(portfolio.expressions[0], panel).values
    rows = slice(train.start, max(train.start, train.stop - 2))
    signal = np.where(panel.universe, values, np.nan)[rows]
    market = market_rows(panel, portfolio.spec)
    payoff = np.where(market.tradable & np.isfinite(market.returns), market.returns, np.nan)[rows]
    relative = portfolio.spec.is_cross_sectional
    return calibrated(signal, payoff, relative=relative)


def calibrated(signal: FloatArray, payoff: FloatArray, *, relative: bool) -> Confidence:
    """Return the confidence of a signal (T, N) whose next payoffs (T, N) are known; NaN takes no part."""
    ranks = shares_below(signal)
    if relative:
        # Beside the median, since beside the mean a coin is wrong about most assets: few of them go up much.
        side, payoff = np.sign(ranks - 0.5), shares_below(payoff) - 0.5
    else:
        side = np.sign(signal)
    counted = np.isfinite(ranks) & np.isfinite(payoff) & (side != 0) & (payoff != 0)
    decile = _decile(np.where(counted, ranks, 0.0))
    right = counted & (side == np.sign(payoff))
    share, error = np.full(DECILES, np.nan), np.full(DECILES, np.nan)
    for k in range(DECILES):
        inside = counted & (decile == k)
        number, hits = inside.sum(axis=1), (right & inside).sum(axis=1)
        total = int(number.sum())
        if total and (number > 0).sum() > 1:
            share[k] = hits.sum() / total
            error[k] = np.sqrt(np.square(hits - share[k] * number).sum()) / total
    return Confidence(share, error, int(counted.any(axis=1).sum()), relative)


def terms_of(expression: Expression, panel: Panel) -> tuple[Expression, ...]:
    """Return the terms that a factor adds up, each with its sign; a factor that is no sum has none."""
    terms = list(_terms(expression.root, negative=False))
    if len(terms) < 2:
        return ()
    fields = tuple(sorted({*panel.fields, "vwap", "amount", "returns"}))
    found = []
    for node, negative in terms:
        text = f"-({to_text(node)})" if negative else to_text(node)
        read = parse(text, fields=fields, bar=panel.bar, session=panel.session_bars)
        if isinstance(read, Rejection):
            # A term that cannot stand alone, such as a number, has no opinion on any asset.
            continue
        found.append(read)
    return tuple(found) if len(found) > 1 else ()


def _terms(node: Node, *, negative: bool) -> list[tuple[Node, bool]]:
    if isinstance(node, Call) and node.op in ("add", "sub"):
        left, right = node.args
        return _terms(left, negative=negative) + _terms(right, negative=negative != (node.op == "sub"))
    return [(node, negative)]


def trades(targets: FloatArray, positions: FloatArray, spec: BacktestSpec, *, due: bool) -> FloatArray:
    """Return (N,) what the rule trades from positions towards targets: nothing within its band, or between its bars."""
    off = targets - positions
    # As in the ledger, what is to be nothing is traded within the band too.
    beyond = (np.abs(off) > max(spec.band, _DUST)) | ((targets == 0.0) & (np.abs(off) > _DUST))
    moved = np.where(beyond, spec.rate * off, 0.0)
    return moved if due else np.zeros(len(moved))


def action_of(trade: float) -> str:
    """Return what a trade is called."""
    if trade > 0:
        return "BUY"
    return "SELL" if trade < 0 else "HOLD"


def reasons_of(
    contributions: Mapping[str, float | None],
    exposure: float,
    rank: str,
    phrases: Mapping[str, str | None] | None = None,
) -> list[str]:
    """Return the largest reasons of a weight, each in a phrase; the gate is one where it takes something away.

    `phrases` has what a contribution says in words, where that is known; see `reason_words`.
    """
    parts = {name: value for name, value in contributions.items() if value is not None}
    said = {name: (phrases or {}).get(name) for name in parts}
    found = [f"gate lets {exposure:.0%} through"] if exposure < _OPEN else []
    if len(parts) < 2:
        only = next(iter(parts), "signal")
        return [f"{said[only]} ({only} ranks {rank})" if said.get(only) else f"{only} ranks {rank}", *found]
    largest = sorted(parts, key=lambda name: -abs(parts[name]))[: REASONS - len(found)]
    return [
        f"{said[name]} ({parts[name]:+.3g})" if said[name] else f"{name} {parts[name]:+.3g}" for name in largest
    ] + found


def change_of_side(signal: FloatArray, asset: int, *, relative: bool, spec: BacktestSpec | None = None) -> str:
    """Return what would turn an asset's side, in a phrase; `spec` has the rules, where they may compare otherwise."""
    value = signal[asset]
    if not np.isfinite(value):
        return "its signal becomes known"
    if relative and spec is not None and spec.market_neutral:
        return "its rank passes what assets of its beta have"
    if relative and spec is not None and spec.liquid_half:
        return "it passes the middle of the liquid half"
    if not relative:
        return f"its signal, now {value:+.3g}, passes 0"
    known = signal[np.isfinite(signal)]
    above, below = int((known > value).sum()), int((known < value).sum())
    others = abs(above - below) // 2 + 1
    if below > above:
        return f"{others} of the {len(known) - 1} others come to rank above it"
    return f"{others} of the {len(known) - 1} others come to rank below it"


def changes_since(
    rows: Sequence[Mapping[str, object]], before: Mapping[str, object] | None, exposure: float | None
) -> dict[str, object] | None:
    """Return what differs from the signal before, and which reason moved most for the largest change of a weight."""
    if before is None:
        return None
    earlier = before["weights"]
    assert isinstance(earlier, Sequence)
    known = {row["asset"]: row for row in earlier}
    actions = [row["action"] for row in rows]
    turned = [
        row["asset"]
        for row in rows
        if float(str(row["weight"])) * float(known.get(row["asset"], {}).get("weight", 0.0)) < 0
    ]
    found: dict[str, object] = {
        "since": before["closed"],
        "bought": actions.count("BUY"),
        "sold": actions.count("SELL"),
        "turned": turned,
        "gate_before": before["gate_exposure"],
        "gate_now": exposure,
    }
    if rows:
        largest = max(rows, key=lambda row: abs(float(str(row["change"]))))
        found |= {"largest": largest["asset"], "largest_change": largest["change"]}
        found["because"] = _moved_most(largest, known.get(largest["asset"]))
    return found


def _moved_most(row: Mapping[str, object], before: Mapping[str, object] | None) -> str | None:
    """Return which reason of an asset moved most between two bars, and by how much."""
    now, then = (_reasons(row), _reasons(before or {}))
    moved = {name: now[name] - then[name] for name in now if name in then}
    if not moved:
        return None
    most = max(moved, key=lambda name: abs(moved[name]))
    return f"{most} {moved[most]:+.3g}"


def _reasons(row: Mapping[str, object]) -> dict[str, float]:
    found = row.get("terms") or row.get("contributions")
    assert found is None or isinstance(found, Mapping)
    return {name: float(value) for name, value in (found or {}).items() if value is not None}
