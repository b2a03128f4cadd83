"""What members of a pool would net when each is traded by itself, some of the way to its target at each bar.

A position that moves a share `rate` of the way to its target is an average of past targets whose weights fall by
1 - rate a bar. It is linear in the targets: the position of a sum of members is the sum of their positions. So a pool's
gross payoff at a rate is the weighted sum of its members' at that rate, and weights can be found from these series.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.asset_facts import AssetFacts
from backtest.combine import UNKNOWN, Members
from backtest.market_rows import MarketRows
from backtest.trading_rules import BacktestSpec
from market.panel import FloatArray

# Cells of positions, over members, rates, bars and assets, from which correlations of trades are read.
_SAMPLED_CELLS = 20_000_000


@dataclass(frozen=True, eq=False)
class SlowPayoffs:
    """What each member earns and pays when it is traded alone at each rate; aligned to the decision.

    Attributes
    ----------
    rates
        Shares of the way to the target that are traded at a bar.
    gross, costs
        (K, R, T) what positions of gross 1 earn less funding and borrow, and what trading them costs: fees and
        slippage. Impact, drift and halts are left to the ledger. The last two decisions are not paid yet: 0.
    together
        (R, K, K) correlations of changes of position, on a sample of bars: members that trade against one another cost
        a pool less than they cost alone.
    """

    rates: tuple[float, ...]
    gross: NDArray[np.float32]
    costs: NDArray[np.float32]
    together: FloatArray

    def without(self, number: int) -> SlowPayoffs:
        """Return the payoffs of all members but one."""
        keep = np.delete(np.arange(len(self.gross)), number)
        among = self.together[:, keep][:, :, keep]
        return SlowPayoffs(self.rates, self.gross[keep], self.costs[keep], among)


def slow_payoffs(
    members: Members,
    market: MarketRows,
    spec: BacktestSpec,
    bars_per_year: float,
    *,
    part: slice,
    rates: Sequence[float],
    facts: AssetFacts | None = None,
) -> SlowPayoffs:
    """Trade each member alone at each rate.

    Targets are a member's centred ranks over the sum of their sizes (divided by volatility first, where the rules say
    so), averaged over `holding` bars and traded at every `rebalance`-th; without what the market explains, and of the
    liquid half alone, where the rules say so: they need `facts` then. Correlations of trades are read from bars of
    `part`: no return is in them.
    """
    count, length, width = members.ranks.shape
    scale = np.zeros((0, width))
    if spec.volatility_scaled:
        with np.errstate(all="ignore"):
            scale = np.nan_to_num(1.0 / market.volatility, nan=0.0, posinf=0.0)
    ranks, beta = members.ranks, np.zeros((0, width))
    if facts is not None and spec.liquid_half:
        ranks = np.where(facts.liquid, ranks, np.int16(UNKNOWN))
    if facts is not None and spec.market_neutral:
        beta = facts.beta
    earned = market.returns - market.funding if len(market.funding) else market.returns
    sampled = max(2, min(_SAMPLED_CELLS // (max(count, 1) * len(rates) * width), part.stop - part.start))
    at = np.full(length, -1)
    at[np.linspace(part.start, part.stop - 1, sampled).astype(int)] = np.arange(sampled)
    gross, costs, changes = _slow(
        ranks,
        np.ascontiguousarray(earned),
        (scale, beta),
        np.asarray(rates, dtype=np.float64),
        np.array([spec.costs.per_trade, spec.costs.borrow_bp_year * 1e-4 / bars_per_year]),
        np.array([spec.holding, spec.rebalance]),
        at,
        sampled,
    )
    return SlowPayoffs(tuple(rates), gross, costs, np.stack([_alike(one.reshape(count, -1)) for one in changes]))


def _alike(rows: NDArray[np.float32]) -> FloatArray:
    """Return (K, K) cosines of rows; 1 with itself and 0 with others where a row is all 0."""
    length = np.sqrt((rows.astype(np.float64) ** 2).sum(axis=1))
    unit = rows / np.maximum(length, 1e-300)[:, None]
    found = np.asarray(unit @ unit.T, dtype=np.float64)
    np.fill_diagonal(found, 1.0)
    return found


@njit(cache=True, error_model="numpy", nogil=True)
def _target(line: NDArray[np.int16], known: tuple[FloatArray, FloatArray], t: int, out: FloatArray) -> None:
    """Write (N,) the target of a bar: gross 1 and neutral, or nothing where all assets are alike or unknown.

    `known` are what weights are multiplied by, and betas that are taken out of them, (T, N) or without rows.
    """
    scale, beta = known
    total, mean, count, centre, free = 0.0, 0.0, 0, 0.0, len(beta) > 0
    for i in range(len(line)):
        out[i] = 0.0
        if line[i] != UNKNOWN and not (free and beta[t, i] != beta[t, i]):
            out[i] = line[i] * scale[t, i] if len(scale) else 1.0 * line[i]
            mean += out[i]
            centre += beta[t, i] if free else 0.0
            count += 1
    mean, centre = mean / max(count, 1), centre / max(count, 1)
    shared, square = 0.0, 0.0
    for i in range(len(line)):
        if line[i] != UNKNOWN and free and beta[t, i] == beta[t, i]:
            shared += (out[i] - mean) * (beta[t, i] - centre)
            square += (beta[t, i] - centre) ** 2
    share = shared / square if square > 1e-9 else 0.0
    for i in range(len(line)):
        if line[i] != UNKNOWN and not (free and beta[t, i] != beta[t, i]):
            out[i] -= mean + (share * (beta[t, i] - centre) if free else 0.0)
            total += abs(out[i])
    for i in range(len(line)):
        out[i] = out[i] / total if total > 1e-12 else 0.0


@njit(cache=True, error_model="numpy", nogil=True)
def _slow(
    ranks: NDArray[np.int16],
    earned: FloatArray,
    known: tuple[FloatArray, FloatArray],
    rates: FloatArray,
    charged: FloatArray,
    bars: NDArray[np.int64],
    at: NDArray[np.int64],
    sampled: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return gross payoffs and costs (K, R, T), and the changes of position at sampled bars, (R, K, sampled, N).

    `charged` are fees a trade and borrow a bar, `bars` the holding and rebalancing; `at` (T,) is the place of a bar in
    the sample, or -1.
    """
    count, length, width = ranks.shape
    gross = np.zeros((count, len(rates), length), dtype=np.float32)
    costs = np.zeros((count, len(rates), length), dtype=np.float32)
    changes = np.zeros((len(rates), count, sampled, width), dtype=np.float32)
    holding, rebalance = bars[0], bars[1]
    target, recent, total = np.empty(width), np.zeros((holding, width)), np.empty(width)
    for k in range(count):
        held = np.zeros((len(rates), width))
        recent[:] = 0.0
        total[:] = 0.0
        for t in range(length):
            _target(ranks[k, t], known, t, target)
            place = t % holding
            for i in range(width):
                total[i] += target[i] - recent[place, i]
                recent[place, i] = target[i]
            due = t % rebalance == 0
            for r in range(len(rates)):
                paid = moved = 0.0
                for i in range(width):
                    now = held[r, i]
                    if due:
                        now += rates[r] * (total[i] / holding - now)
                        moved += abs(now - held[r, i])
                        if at[t] >= 0:
                            changes[r, k, at[t], i] = now - held[r, i]
                        held[r, i] = now
                    paid += now * earned[t, i] - charged[1] * max(-now, 0.0)
                if t < length - 2:
                    gross[k, r, t] = paid
                    costs[k, r, t] = charged[0] * moved
    return gross, costs, changes
