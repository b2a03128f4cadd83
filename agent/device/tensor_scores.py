"""Quick scores of a batch of signals on a device: the series of `backtest.quick` for E signals at once.

Only the usual rules are scored here: see `scorable`. The growth of the capital, by which positions drift, depends on
costs, which depend on how far positions drifted: a few rounds of substitution settle it to the last bits, as each makes
the error smaller by the cost of a trade.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agent.device.bar_kernels import CARRIED, GONE, TRADED, BarKernels
from agent.device.tensor_operators import centred, row_ranks
from backtest.ic import MIN_PAIRS, default_lags
from backtest.kernel_rules import LedgerRules, ledger_rules
from backtest.ledger import DELISTED_AFTER, RUIN
from backtest.mean_test import LEAST_PAYOFFS, MeanTest, inflation_of, lag_count, mean_test_of
from backtest.metrics import LEAST_BARS
from backtest.quick import QuickScore
from backtest.quick_kernels import EXPOSURE, GROSS, IC, NET, PAYOFF, PEARSON, SERIES, TURNOVER
from backtest.scorecard import paid_rows
from backtest.target import Target
from market.panel import BoolArray, FloatArray

# Series that figures are computed from.
_SUMMED = (IC, PEARSON, GROSS, NET, PAYOFF)
# Bytes of an array that is sent before it is read.
_MOST_IN_ADVANCE = 256_000_000
_ROUNDS = 6
_DUST = 1e-24
# Ranks whose distances sum to less are all equal but for rounding.
_LEAST = 1e-9


def scorable(target: Target) -> bool:
    """Whether a device knows the rules: ranks, traded in full at each bar, without groups, scaling, impact or size."""
    spec = target.spec
    plain = spec.weighting == "rank" and spec.holding == 1 and spec.rebalance == 1 and spec.band == 0.0
    unsized = spec.kelly == 0.0 and np.isinf(spec.max_risk) and spec.max_weight >= 1.0 and not spec.volatility_scaled
    nothing_lost = spec.delisting_return == 0.0 and spec.costs.capital == 0
    return bool(plain and unsized and nothing_lost and target.groups is None and not spec.reads_facts)


@dataclass(frozen=True, eq=False)
class _Stuck:
    """Places (K,) where an asset cannot be traded, at `bar`: what is held comes from `since`, by `moved`."""

    bar: Tensor
    asset: Tensor
    since: Tensor
    moved: Tensor


class BatchScorer:
    """Scores batches of signals on the first bars of a target, by kernels of the card where there are some."""

    def __init__(self, target: Target, device: torch.device, stop: int, kernels: BarKernels | None = None) -> None:
        def put(x: object) -> Tensor:
            return torch.from_numpy(np.array(x, dtype=np.float64)).to(device)

        self.rules: LedgerRules = ledger_rules(target.spec, target.panel.bars_per_year)
        universe = target.panel.universe[:stop]
        self.outside = put(np.where(universe, 0.0, np.nan))
        self.returns, self.forward = put(target.market.returns[:stop]), put(target.forward[:stop])
        self.unknown = put(np.where(target.known[:stop], 0.0, np.nan))
        self.centred_ranks, self.risk = put(target.centred_ranks[:stop]), put(target.risk[:stop])
        self.known_count = put(target.sums[:stop, 0])
        funding = target.market.funding
        self.funding = put(funding[:stop]) if len(funding) else None
        self.stuck = _stuck(target.market.tradable[:stop], target.market.returns[:stop], device)
        self.kernels = kernels
        self.costs = put([self.rules.per_trade, self.rules.borrow])
        self.states = put(_states(target.market.tradable[:stop])) if len(self.stuck.bar) else None

    @torch.no_grad()
    def series(self, values: Tensor) -> Tensor:
        """Return the series (E, 7, T) of signals (E, T, N), rows as in `backtest.quick_kernels`.

        A signal whose capital is lost has NaN for its net returns everywhere: score it on a processor.
        """
        out = torch.full((len(values), SERIES, values.shape[1]), math.nan, dtype=values.dtype, device=values.device)
        if self.kernels is not None:
            self._by_kernels(self.kernels, values, out)
            return out
        signal = values + self.outside
        ranks = row_ranks(signal)
        count = signal.isfinite().sum(dim=-1, keepdim=True)
        place = (ranks - 0.5 * (count + 1)).nan_to_num(nan=0.0)
        self._predict(signal, place, out)
        sizes = place.abs().sum(dim=-1, keepdim=True)
        self._trade(torch.where(sizes > _LEAST, place / sizes, 0.0), out)
        return out

    def _by_kernels(self, kernels: BarKernels, values: Tensor, out: Tensor) -> None:
        """Fill all that `_predict` and `_trade` fill."""
        known = (self.outside, self.unknown, self.forward, self.centred_ranks, self.risk, self.known_count)
        weights = kernels.predict(values, known, out)
        kernels.trade(weights, (self.returns, self.funding, self.states, self.costs), out)
        solvent = (out[:, NET] > RUIN - 1.0).all(dim=1, keepdim=True)
        out[:, NET] = torch.where(solvent, out[:, NET], math.nan)

    def _predict(self, signal: Tensor, place: Tensor, out: Tensor) -> None:
        """Fill rank IC, IC and payoff, over the assets that have both a signal and a forward return."""
        both = signal + self.unknown
        common = both.isfinite().sum(dim=-1)
        theirs = self.centred_ranks.expand_as(place)
        fewer = common < signal.isfinite().sum(dim=-1)
        place = _ranked_again(place, both, fewer)
        theirs = _ranked_again(theirs, self.forward + 0.0 * both, (common < self.known_count) & (common > 0))
        enough = common >= MIN_PAIRS
        xx, yy = place.square().sum(dim=-1), theirs.square().sum(dim=-1)
        ic = ((place * theirs).sum(dim=-1) / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0)
        out[:, IC] = torch.where(enough & (xx > _LEAST) & (yy > _LEAST), ic, math.nan)
        sizes = place.abs().sum(dim=-1)
        paid = (place * self.risk).sum(dim=-1) / sizes
        out[:, PAYOFF] = torch.where(enough & (sizes > _LEAST), paid, math.nan)
        out[:, PEARSON] = torch.where(enough, _correlation(both, self.forward + 0.0 * both), math.nan)

    def _trade(self, weights: Tensor, out: Tensor) -> None:
        """Fill gross and net return, turnover and exposure of target weights (E, T, N)."""
        growth = torch.ones(weights.shape[:2], dtype=weights.dtype, device=weights.device)
        held = weights
        for number in range(_ROUNDS):
            held = self._held(weights, growth) if len(self.stuck.bar) else weights
            if number == 0 or len(self.stuck.bar):
                gross = (held * self.returns).sum(dim=-1)
                short = (-held).clamp(min=0.0).sum(dim=-1)
                paid = 0.0 if self.funding is None else (held * self.funding).sum(dim=-1)
                drifted = held[:, :-1] * (1.0 + self.returns[:-1])
                if number == 0:
                    growth = 1.0 + gross - paid
            turnover = held.abs().sum(dim=-1)
            turnover[:, 1:] = (held[:, 1:] - drifted / growth[:, :-1, None]).abs().sum(dim=-1)
            net = gross - turnover * self.rules.per_trade - short * self.rules.borrow - paid
            growth = 1.0 + net
        lost = (growth <= RUIN).any(dim=1, keepdim=True)
        out[:, GROSS], out[:, NET], out[:, TURNOVER] = gross, torch.where(lost, math.nan, net), turnover
        out[:, EXPOSURE] = held.abs().sum(dim=-1)

    def _held(self, weights: Tensor, growth: Tensor) -> Tensor:
        """Return what is held after the fill: where an asset cannot be traded, what is left of before."""
        at = self.stuck
        paths = torch.cat([torch.zeros_like(growth[:, :1]), growth.clamp(min=RUIN).log().cumsum(dim=1)], dim=1)
        shrunk = (paths[:, at.since] - paths[:, at.bar]).exp()
        held = weights.clone()
        held[:, at.bar, at.asset] = weights[:, at.since, at.asset] * at.moved * shrunk
        return held


def _stuck(tradable: BoolArray, returns: FloatArray, device: torch.device) -> _Stuck:
    """Find where assets cannot be traded, since when, and how far prices moved since; nothing is held once delisted."""
    clock = np.arange(len(tradable))[:, None]
    last = np.maximum.accumulate(np.where(tradable, clock, -1), axis=0)
    bar, asset = np.nonzero(~tradable)
    since = last[bar, asset]
    moved = np.zeros(len(bar))
    for k, (t, n, s) in enumerate(zip(bar, asset, since, strict=True)):
        if s >= 0 and t - s <= DELISTED_AFTER:
            moved[k] = np.prod(1.0 + returns[s:t, n])
    places = [torch.from_numpy(np.array(x)).to(device) for x in (bar, asset, np.maximum(since, 0), moved)]
    return _Stuck(*places)


def _states(tradable: BoolArray) -> FloatArray:
    """Return what becomes of positions (T, N), as `BarKernels.trade` reads it."""
    clock = np.arange(len(tradable))[:, None]
    last = np.maximum.accumulate(np.where(tradable, clock, -1), axis=0)
    carried = (last >= 0) & (clock - last <= DELISTED_AFTER)
    return np.where(tradable, TRADED, np.where(carried, CARRIED, GONE))


def _ranked_again(place: Tensor, x: Tensor, rows: Tensor) -> Tensor:
    """Return centred ranks; those of the chosen rows (E, T) once more, among the finite values of `x` (E, T, N)."""
    if not bool(rows.any()):
        return place
    chosen = x[rows]
    ranks = row_ranks(chosen)
    middle = 0.5 * (chosen.isfinite().sum(dim=-1, keepdim=True) + 1)
    place = place.clone()
    place[rows] = (ranks - middle).nan_to_num(nan=0.0)
    return place


def _correlation(x: Tensor, y: Tensor) -> Tensor:
    """Return the correlation of rows (E, T, N) that are known together; NaN where a side is constant."""
    (a, mean_a, count), (b, mean_b, _) = centred(x), centred(y)
    xx, yy, xy = a.square().nansum(dim=-1), b.square().nansum(dim=-1), (a * b).nansum(dim=-1)
    dust = _DUST * count[..., 0]
    varies = (xx > dust * mean_a[..., 0].square()) & (yy > dust * mean_b[..., 0].square()) & (xx < math.inf)
    return torch.where(varies, (xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0), math.nan)


@dataclass(frozen=True, eq=False)
class _Sums:
    """Of the finite values of a series: how many, mean, second and third central moment, products at lags 1, 2, .."""

    count: int
    mean: float
    square: float
    cube: float
    products: list[float]

    @staticmethod
    def read(row: list[float]) -> _Sums:
        """Read a row of `_summed`."""
        return _Sums(int(row[0]), row[1], row[2], row[3], row[4:])

    def test(self) -> MeanTest:
        """Return `backtest.mean_test.mean_test` of the series."""
        n, square = self.count, self.square
        if n < LEAST_PAYOFFS or not square > 0.0:
            return mean_test_of(n, self.mean, square, self.cube, 1.0)
        inflated = inflation_of(n, n * square, self.products[: lag_count(n)])
        return mean_test_of(n, self.mean, square, self.cube, inflated)

    def newey_west(self) -> float:
        """Return `backtest.ic.newey_west_t` of the series."""
        n = self.count
        if n < 3:
            return math.nan
        variance, lags = self.square, min(default_lags(n), n - 1)
        for lag in range(1, lags + 1):
            variance += 2.0 * (1.0 - lag / (lags + 1.0)) * self.products[lag - 1] / n
        return self.mean / math.sqrt(variance / n) if variance > 0.0 else math.nan

    def ratio(self, least: int, dust: float) -> float:
        """Return mean over standard deviation (ddof 1) of the series; NaN for fewer than `least` values."""
        n = self.count
        deviation = math.sqrt(self.square * n / (n - 1)) if n > 1 else 0.0
        return self.mean / deviation if n >= least and deviation > dust else math.nan


def _summed(series: Tensor, kernels: BarKernels | None) -> Tensor:
    """Sum up series (S, T) to (S, 4 + lags), as `_Sums` has it; NaN is left out, and what comes after it moves up."""
    known = ~series.isnan()
    count = known.sum(dim=1)
    together = torch.zeros_like(series)
    place = (known.cumsum(dim=1) - 1).clamp_(min=0)
    together.scatter_add_(1, place, series.nan_to_num(nan=0.0))
    some = count.clamp(min=1)
    mean = together.sum(dim=1) / some
    filled = torch.arange(series.shape[1], device=series.device) < count[:, None]
    gaps = torch.where(filled, together - mean[:, None], 0.0)
    lags = min(max(1, series.shape[1] - 1), max(1, lag_count(max(2, series.shape[1]))))
    if kernels is None:
        products = torch.stack([(gaps[:, lag:] * gaps[:, :-lag]).sum(dim=1) for lag in range(1, lags + 1)], dim=1)
    else:
        products = kernels.products(gaps, lags)
    squares = gaps.square()
    square, cube = squares.sum(dim=1) / some, squares.mul_(gaps).sum(dim=1) / some
    mean = torch.where(count > 0, mean, math.nan)
    return torch.cat([torch.stack([count.to(mean.dtype), mean, square, cube], dim=1), products], dim=1)


@torch.no_grad()
def figure_table(series: Tensor, part: slice, kernels: BarKernels | None = None) -> Tensor:
    """Return what `read_figures` reads, (E, columns) on the device, of a segment of series (E, 7, T)."""
    paid = series[:, :, paid_rows(part)]
    count, _, bars = paid.shape
    sums = _summed(torch.stack([paid[:, row] for row in _SUMMED], dim=1).view(count * len(_SUMMED), bars), kernels)
    traded = torch.stack([paid[:, TURNOVER].mean(dim=1), (paid[:, EXPOSURE] > 0).to(paid.dtype).mean(dim=1)], dim=1)
    return torch.cat([sums.reshape(count, -1), traded], dim=1)


def read_figures(table: Tensor, part: slice, bars_per_year: float) -> list[QuickScore]:
    """Return the figures of each row: those of `backtest.quick.QuickScorer.result`."""
    paid = paid_rows(part)
    year, width, found = math.sqrt(bars_per_year), (table.shape[1] - 2) // len(_SUMMED), []
    for row in table.tolist():
        known = {name: _Sums.read(row[k * width : (k + 1) * width]) for k, name in enumerate(_SUMMED)}
        paying, net = known[PAYOFF].test(), known[NET].ratio(LEAST_BARS, 1e-15)
        found.append(
            QuickScore(
                n_bars=max(0, paid.stop - paid.start),
                rank_ic=known[IC].mean,
                ic_ir=known[IC].ratio(2, 0.0),
                ic_tstat=known[IC].newey_west(),
                ic=known[PEARSON].mean,
                coverage=row[-1],
                turnover=row[-2],
                sharpe_gross=known[GROSS].ratio(LEAST_BARS, 1e-15) * year,
                sharpe_net=net * year,
                per_bar_sharpe_net=net,
                payoff=paying.mean,
                payoff_error=paying.error,
                payoff_z=paying.z,
                net_z=known[NET].test().z,
            )
        )
    return found


class OnTheWay:
    """An array that a device sends as soon as it has computed it; the processor waits only when it reads it.

    A large one is sent when it is read: the memory that it would be sent to in advance is scarce.
    """

    def __init__(self, array: Tensor) -> None:
        early = array.is_cuda and array.nbytes <= _MOST_IN_ADVANCE
        self._array = array.to("cpu", non_blocking=True) if early else array
        self._sent = torch.cuda.Event() if early else None  # type: ignore[no-untyped-call]
        if self._sent is not None:
            self._sent.record()

    def read(self) -> Tensor:
        """Return the array, on the processor."""
        if self._sent is not None:
            self._sent.synchronize()
        return self._array.cpu()
