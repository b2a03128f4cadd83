"""Questions to positions that a test of a mean does not ask: on how little it rests, and what other terms leave."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.stats import hypergeom

from agent.verify.positions import Positions
from agent.verify.verification import Concentration, Flaw, Traded, UnderRules, Worlds, YearFigures
from backtest import metrics
from backtest.bar_regimes import week_bars
from backtest.costs import Costs
from backtest.decay import decay_of
from backtest.ic import newey_west_t, rank_ic
from backtest.luck import sharpe_standard_error
from backtest.market_rows import market_rows
from backtest.mean_test import mean_test
from backtest.nulls import null_market
from backtest.result_types import NAN, DecayPoint
from backtest.run import MAX_SMALL_UNIVERSE, trade
from backtest.trading_rules import BacktestSpec, Fill
from market.panel import FloatArray, Panel
from market.ranking import rank_panel

LAGS = (0, 1, 2, 4, 8, 16, 32)
# A signal that orders assets as their prices do, to this rank correlation, is one of price levels.
_LIKE_PRICES = 0.8
# An asset without a price for this share of the bars, at the end, has died.
_DEAD = 0.02
# As unlikely as this it is no chance that no dead asset was chosen.
_NO_CHANCE = 0.001
_LONG_AGO = 1.0
_MANY_ASSETS = 30


def figures_of(one: Positions) -> Traded:
    """Return what the positions did over the judged bars."""
    paid, year, result = one.paid, one.panel.bars_per_year, one.backtest
    net, gross = result.net[paid], result.gross[paid]
    costs = one.spec.costs
    on_trades = result.turnover * costs.per_trade + result.impact * np.sqrt(costs.capital)
    ic = rank_ic(one.values, one.target.forward)[paid] if one.wide else np.array([NAN])
    impact = result.impact[paid]
    return Traded(
        sharpe_gross=metrics.sharpe(gross, year),
        sharpe_net=metrics.sharpe(net, year),
        sharpe_error=sharpe_standard_error(net) * float(np.sqrt(year)),
        return_gross=metrics.annual_return(gross, year),
        return_net=metrics.annual_return(net, year),
        cost_year=float((result.cost + result.impact * np.sqrt(costs.capital))[paid].mean()) * year,
        turnover=float(result.turnover[paid].mean()),
        max_drawdown=metrics.max_drawdown(net),
        break_even_bp=metrics.break_even_bp((result.net + on_trades)[paid], result.turnover[paid]),
        capacity=metrics.capacity(
            net + impact * np.sqrt(costs.capital), impact if np.any(impact) else np.full(len(net), NAN)
        ),
        mean_exposure=float(result.exposure[paid].mean()),
        rank_ic=float(np.nanmean(ic)) if np.isfinite(ic).any() else NAN,
        rank_ic_t=newey_west_t(ic),
    )


def concentration_of(one: Positions) -> Concentration:
    """Return which share of the gross gain came from the best bar, the best per cent of bars, and the best asset."""
    paid = one.paid
    by_asset = np.nansum(one.backtest.weights[paid] * one.target.market.returns[paid], axis=0)
    found = concentration(one.backtest.gross[paid], one.panel.times[paid])
    total = float(by_asset.sum())
    if not total > 0 or len(by_asset) < 2:
        return found
    best = int(np.argmax(by_asset))
    return replace(found, best_asset=float(by_asset[best]) / total, best_asset_name=one.panel.assets[best])


def concentration(series: FloatArray, times: np.ndarray) -> Concentration:
    """Return which share of the sum of a series (T,) came from its best bar, and from the best per cent."""
    known = np.nan_to_num(series)
    total = float(known.sum())
    if not total > 0:
        return Concentration()
    ordered = np.sort(known)[::-1]
    few = max(1, len(known) // 100)
    return Concentration(
        best_bar=float(ordered[0]) / total,
        best_percent=float(ordered[:few].sum()) / total,
        best_bar_time=str(times[int(np.argmax(known))])[:16].removesuffix("T00:00").replace("T", " "),
    )


def under_other_rules(one: Positions) -> tuple[UnderRules, ...]:
    """Return what is left of the net result under other costs, at another fill, and a bar later."""
    spec, found = one.spec, []
    for factor, label in (
        (0.0, "no costs"),
        (0.5, "half the costs"),
        (1.0, "the costs"),
        (2.0, "twice"),
        (4.0, "4 times"),
    ):
        found.append(_under(one, label, replace(spec, costs=_scaled(spec.costs, factor))))
    other: Fill = "close" if spec.fill == "open" else "open"
    found.append(_under(one, f"filled at the {other}", replace(spec, fill=other)))
    late = one.later(1)
    net, year = late.backtest.net[one.paid], one.panel.bars_per_year
    found.append(
        UnderRules("a bar later", metrics.sharpe(net, year), metrics.annual_return(net, year), mean_test(net).z)
    )
    return tuple(found)


def _under(one: Positions, label: str, spec: BacktestSpec) -> UnderRules:
    market = one.target.market if spec.fill == one.spec.fill else market_rows(one.panel, spec)
    year = one.panel.bars_per_year
    net = trade(one.targets, market, spec, None, bars_per_year=year).net[one.paid]
    return UnderRules(label, metrics.sharpe(net, year), metrics.annual_return(net, year), mean_test(net).z)


def _scaled(costs: Costs, factor: float) -> Costs:
    names = ("fee_bp", "maker_bp", "slippage_bp", "borrow_bp_year", "impact")
    return replace(costs, **{name: getattr(costs, name) * factor for name in names})


def years_of(one: Positions) -> tuple[YearFigures, ...]:
    """Return each calendar year of the judged bars."""
    paid = one.paid
    return by_year(one.panel.times[paid], one.backtest.gross[paid], one.backtest.net[paid], one.payoffs[paid])


def by_year(times: np.ndarray, gross: FloatArray, net: FloatArray, payoffs: FloatArray) -> tuple[YearFigures, ...]:
    """Return each calendar year of series (T,)."""
    number = times.astype("datetime64[Y]").astype(int) + 1970
    found = []
    for year in np.unique(number).tolist():
        here = number == year
        made = [float(metrics.wealth(series[here])[-1]) - 1.0 for series in (gross, net)]
        found.append(YearFigures(str(year), int(here.sum()), made[0], made[1], mean_test(payoffs[here]).z))
    return tuple(found)


def decay_points(one: Positions) -> tuple[DecayPoint, ...]:
    """Return what positions pay as they age; of few assets nothing."""
    if not one.wide:
        return ()
    ranks = rank_panel(one.values).ranks
    return decay_of(ranks, one.target.risk, one.part, LAGS)[0]


def worlds_of(one: Positions, count: int, seed: int, score: float) -> tuple[Worlds, ...]:
    """Score the same positions in worlds without skill (see `backtest.nulls`): skew and dependence stay."""
    if count == 0:
        return ()
    kinds = ("signs", "blocks") if one.wide else ("blocks", "bars")
    found = []
    for k, kind in enumerate(kinds):
        scores = []
        for world in range(count):
            rng = np.random.default_rng([seed, k, world])
            outcomes = null_market(kind, one.panel, rng, one.spec.fill).outcomes
            scores.append(mean_test(one.payoffs_in(outcomes)[one.paid]).z)
        found.append(summarised(kind, np.array(scores), score))
    return tuple(found)


def summarised(kind: str, scores: FloatArray, score: float) -> Worlds:
    """Return what the scores of worlds say beside the score of this one."""
    known = scores[np.isfinite(scores)]
    if not len(known):
        return Worlds(kind, 0, NAN, NAN, NAN)
    reached = (float((known >= score).sum()) + 1.0) / (len(known) + 1.0) if np.isfinite(score) else NAN
    return Worlds(kind, len(known), float(known.mean()), float(known.std(ddof=1)) if len(known) > 1 else NAN, reached)


def flaws_of_data(one: Positions) -> list[Flaw]:
    """Return what the choice of assets, or of prices, may have known of the future."""
    return [*_survivors(one), *_price_levels(one)]


def _survivors(one: Positions) -> list[Flaw]:
    """Say where only assets were chosen that outlived the data, as no choice at the time could have."""
    panel, part = one.panel, one.part
    listed = np.isfinite(panel["close"][part])
    ever = listed.any(axis=0)
    last = len(listed) - 1 - np.argmax(listed[::-1], axis=0)
    died = ever & (last < len(listed) - 1 - max(5, int(_DEAD * len(listed))))
    chosen = ever & (np.isfinite(one.values[part]) & (one.values[part] != 0.0 if not one.is_signal else True)).any(
        axis=0
    )
    years = len(listed) / panel.bars_per_year
    if not died.any():
        if ever.sum() >= _MANY_ASSETS and years > _LONG_AGO:
            text = f"none of {int(ever.sum())} assets ends within {years:.1f} years: the data may hold survivors only"
            return [Flaw("survivors_data", False, text)]
        return []
    # Large assets die less: those are compared that were traded as much as the chosen ones at first.
    money = _early_money(panel, part)
    if np.isfinite(money[chosen]).any():
        ever &= ~(money < np.nanquantile(money[chosen], 0.1))
    total, dead, taken = int(ever.sum()), int((ever & died).sum()), int((ever & chosen).sum())
    both = int((ever & died & chosen).sum())
    if dead and taken and hypergeom.cdf(both, total, dead, taken) < _NO_CHANCE:
        text = (
            f"of {dead} assets that ended, {both} were ever chosen, of {total - dead} that live on, {taken - both}: it "
            "was made with the survivors, which nobody knew then"
        )
        return [Flaw("survivors", True, text)]
    return []


def _early_money(panel: Panel, part: slice) -> FloatArray:
    """Return (N,) the median money of an asset's first bars within the part; NaN without a volume."""
    money, out = panel.money[part], np.full(panel.shape[1], np.nan)
    for k in range(len(out)):
        own = money[:, k][np.isfinite(money[:, k])][:60]
        if len(own) and own.any():
            out[k] = float(np.median(own))
    return out


def _price_levels(one: Positions) -> list[Flaw]:
    """Say where a signal orders assets by their price: adjusted prices know later splits and dividends."""
    if not one.wide or len(one.panel.assets) <= MAX_SMALL_UNIVERSE:
        return []
    ics = rank_ic(one.values, one.panel["close"])[one.part]
    like = float(np.nanmean(ics)) if np.isfinite(ics).any() else 0.0
    if abs(like) < _LIKE_PRICES:
        return []
    stocks = one.panel.calendar == "exchange"
    text = (
        f"it orders assets as their prices do (rank correlation {like:.2f}), and prices adjusted backwards know "
        "later splits and dividends" + ("" if stocks else "; of coins, redenominations")
    )
    return [Flaw("price_levels", stocks, text)]


def week_of(panel: Panel) -> int:
    """Return how many bars a week has, at least two."""
    return max(2, week_bars(panel))
