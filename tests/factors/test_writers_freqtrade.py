"""An exported strategy gives each pair its column of our signal, trades it after the close, and nothing else."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agent.live.exporting import fills_are_gaps
from agent.pools.fitting import combine_expressions
from backtest.asset_facts import asset_facts
from backtest.trading_rules import BacktestSpec
from backtest.weights import target_weights
from factors.engine import evaluate
from factors.writers.freqtrade import require_candles, timeframe_of, to_freqtrade
from factors.writers.module import Exported, Rules
from market.errors import InputError
from market.panel import FloatArray, Panel
from tests.alone import difference
from tests.factors.test_engine_oracles import FIELDS, read
from tests.factors.test_writers_module import HOSTILE, REAL
from tests.helpers import random_panel
from tests.standin import aligned, analyse, candles_of, load_strategy

NEAR = 1e-9
MORE = (*FIELDS, "funding", "open_interest")


def pool_of(texts: list[str], weights: list[float], rules: Rules | None = None) -> Exported:
    return Exported("A pool", tuple(read(text) for text in texts), rules or Rules(), tuple(weights))


def factor_of(text: str, rules: Rules | None = None) -> Exported:
    return Exported(f"The factor {text}", (read(text, fields=MORE),), rules or Rules())


def strategy_of(
    exported: Exported, panel: Panel, folder: Path, *, fill: bool = False, gaps: bool = False, **view: Any
) -> Any:
    source = to_freqtrade(
        exported, class_name="AlphaglowTest", timeframe=timeframe_of(panel.bar), minutes=60, filled_are_gaps=gaps
    )
    (folder / "strategy.py").write_text(source, encoding="utf-8")
    return load_strategy(folder / "strategy.py", "AlphaglowTest", candles_of(panel, fill=fill), **view)


def seen(panel: Panel, values: FloatArray) -> FloatArray:
    """What of our values a pair's candles can carry: those of bars that the pair has."""
    return np.where(np.isfinite(panel["close"]), values, np.nan)


@pytest.mark.parametrize("fill", [False, True])
def test_real_coins_each_pair_has_our_signal(fill: bool, coins_by_hour: Panel, tmp_path: Path) -> None:
    # A stretch with the outage of 2021-08-13, when no pair traded for hours.
    panel = coins_by_hour.rows(2900, 3900)
    expressions = [read(text) for text in REAL[:4]]
    pool = Exported("A pool", tuple(expressions), Rules(holding=6), (0.4, -0.3, 0.2, 0.1))
    strategy = strategy_of(pool, panel, tmp_path, fill=fill, gaps=fills_are_gaps(panel))
    frames = analyse(strategy)
    wanted = seen(panel, combine_expressions(expressions, np.array(pool.weights), panel))
    assert len(np.unique(np.diff(panel.times))) > 1
    assert np.isfinite(wanted).mean() > 0.2
    assert difference(aligned(frames, "signal", panel), wanted) <= NEAR
    target = target_weights(np.where(panel.universe, wanted, np.nan), BacktestSpec(holding=6))
    np.testing.assert_allclose(aligned(frames, "weight", panel), seen(panel, target), atol=NEAR)
    # All pairs' candles were read once for each pair that was handed over, and once for all.
    assert strategy.dp.asked == 2 * len(frames)


def test_targets_free_of_the_market_and_of_the_liquid_half_are_our_own(tmp_path: Path) -> None:
    panel = random_panel(300, 24)
    exported = replace(factor_of("-ts_mean(returns, 5)"), rules=Rules(market_neutral=True, liquid_half=True))
    spec = BacktestSpec(market_neutral=True, liquid_half=True)
    values = np.where(panel.universe, evaluate(exported.expressions[0], panel).values, np.nan)
    target = target_weights(values, spec, facts=asset_facts(panel, spec))
    frames = analyse(strategy_of(exported, panel, tmp_path))
    np.testing.assert_allclose(aligned(frames, "weight", panel), seen(panel, target), atol=NEAR)
    assert np.abs(target).sum() > 100
    with pytest.raises(InputError, match="amount, which freqtrade would make of its candles"):
        require_candles(exported, frozenset({"amount"}))


def test_gaps_that_freqtrade_fills_are_gaps_again(tmp_path: Path) -> None:
    panel = random_panel(300, 12, gaps=0.03)
    exported = factor_of("ts_mean(returns, 5) - cs_rank(volume)")
    wanted = seen(panel, evaluate(exported.expressions[0], panel).values)
    strategy = strategy_of(exported, panel, tmp_path, fill=True, gaps=True)
    assert difference(aligned(analyse(strategy), "signal", panel), wanted) <= NEAR
    left = strategy_of(exported, panel, tmp_path, fill=True, gaps=False)
    assert difference(aligned(analyse(left), "signal", panel), wanted) > NEAR


def test_whether_still_candles_are_gaps_is_read_off_the_data() -> None:
    panel = random_panel(100, 12)
    assert fills_are_gaps(panel)
    still = {name: panel[name].copy() for name in panel.fields}
    for name in ("open", "high", "low", "close"):
        still[name][50, 3] = still["close"][49, 3]
    still["volume"][50, 3] = 0.0
    # One such candle and no gap: the exchange writes them. One gap as well: as likely freqtrade's.
    assert not fills_are_gaps(panel.with_fields(still))
    holed = {name: np.where(np.arange(100)[:, None] == 70, np.nan, values) for name, values in still.items()}
    assert fills_are_gaps(panel.with_fields(holed))


def test_a_candle_is_computed_once_and_the_next_one_afresh(tmp_path: Path) -> None:
    panel = random_panel(120, 12)
    exported = factor_of("-ts_mean(returns, 5)")
    dates = pd.DatetimeIndex(panel.times).tz_localize("UTC")
    strategy = strategy_of(exported, panel, tmp_path, now=dates[99], limit=60)
    made = []
    compute = strategy._compute
    strategy._compute = lambda: (made.append(strategy.dp.now), compute())
    for newest in (dates[99], dates[99], dates[100]):
        strategy.dp.now = newest
        strategy.bot_loop_start(current_time=newest)
        frames = analyse(strategy)
        whole = seen(panel, evaluate(exported.expressions[0], panel).values)
        found = aligned(frames, "signal", panel)
        at = list(dates).index(newest)
        np.testing.assert_allclose(found[at - 50 : at + 1], whole[at - 50 : at + 1], rtol=NEAR)
        assert all(frame["date"].iloc[-1] == newest for frame in frames.values())
    # Once a loop, though each of twelve pairs was shown.
    assert len(made) == 3


def test_later_candles_change_nothing(tmp_path: Path) -> None:
    panel = random_panel(300, 12, gaps=0.01)
    exported = pool_of(["ts_zscore(close, 20)", "cs_rank(volume)"], [0.5, 0.5], Rules(holding=4, max_weight=0.2))
    dates = pd.DatetimeIndex(panel.times).tz_localize("UTC")
    whole = analyse(strategy_of(exported, panel, tmp_path))
    part = analyse(strategy_of(exported, panel, tmp_path, now=dates[200]))
    for pair, frame in part.items():
        columns = ["signal", "weight", "enter_long", "exit_long", "enter_short", "exit_short"]
        pd.testing.assert_frame_equal(frame[columns], whole[pair].iloc[: len(frame)][columns])


def test_the_lookback_is_enough_for_the_newest_candle(tmp_path: Path) -> None:
    panel = random_panel(700, 12)
    rules = Rules(holding=5, volatility_scaled=True)
    exported = factor_of("ts_mean(ts_zscore(close, 30), 10)", rules)
    strategy = strategy_of(exported, panel, tmp_path)
    whole = aligned(analyse(strategy), "weight", panel)[-1]
    assert strategy.startup_candle_count == 30 + 10 - 2 + 60 + 5
    short = strategy_of(exported, panel, tmp_path, limit=strategy.startup_candle_count)
    np.testing.assert_allclose(aligned(analyse(short), "weight", panel)[-1], whole, atol=NEAR)


def test_entries_and_exits_follow_the_weight(tmp_path: Path) -> None:
    panel = random_panel(200, 12)
    frames = analyse(strategy_of(factor_of("-ts_mean(returns, 5)"), panel, tmp_path))
    for frame in frames.values():
        weight = frame["weight"]
        assert ((frame["enter_long"] == 1) == (weight > 0)).all()
        assert ((frame["enter_short"] == 1) == (weight < 0)).all()
        assert ((frame["exit_long"] == 1) == (weight <= 0)).all()
        assert not ((frame["enter_long"] == 1) & (frame["exit_long"] == 1)).any()
        assert not ((frame["enter_short"] == 1) & (frame["exit_short"] == 1)).any()


def test_between_turns_nothing_is_traded(tmp_path: Path) -> None:
    panel = random_panel(200, 12)
    frames = analyse(strategy_of(factor_of("-ts_mean(returns, 5)", Rules(rebalance=8)), panel, tmp_path))
    for frame in frames.values():
        turn = frame["date"].dt.hour % 8 == 0
        thresholds = frame[["enter_long", "exit_long", "enter_short", "exit_short"]]
        assert not thresholds[~turn].to_numpy().any()
        assert thresholds[turn].to_numpy()[2:].any(axis=1).all()


def test_a_long_only_portfolio_has_no_short_side(tmp_path: Path) -> None:
    strategy = strategy_of(factor_of("cs_rank(volume)", Rules(weighting="long_only")), random_panel(60, 12), tmp_path)
    frames = analyse(strategy)
    assert strategy.can_short is False
    assert all("enter_short" not in frame for frame in frames.values())
    assert sum(frame["enter_long"].sum() for frame in frames.values()) > 0


@dataclass
class Trade:
    pair: str
    amount: float
    stake_amount: float
    is_short: bool = False
    leverage: float = 1.0


def adjusted(strategy: Any, trade: Trade, rate: float) -> float | None:
    # As freqtrade calls it: by name.
    change = strategy.adjust_trade_position(
        trade=trade, current_time=None, current_rate=rate, current_profit=0.0, min_stake=5.0, max_stake=9_000.0,
        current_entry_rate=rate, current_exit_rate=rate, current_entry_profit=0.0, current_exit_profit=0.0,
    )  # fmt: skip
    return None if change is None else float(change)


def stake(strategy: Any, pair: str, side: str) -> float:
    return float(
        strategy.custom_stake_amount(
            pair=pair, current_time=None, current_rate=1.0, proposed_stake=100.0, min_stake=5.0, max_stake=9_000.0,
            leverage=1.0, entry_tag=None, side=side,
        )
    )  # fmt: skip


def test_stakes_are_shares_of_the_whole(tmp_path: Path) -> None:
    strategy = strategy_of(factor_of("-ts_mean(returns, 5)"), random_panel(60, 12), tmp_path)
    frames = analyse(strategy)
    longs = shorts = 0.0
    for pair, frame in frames.items():
        weight = float(frame["weight"].iloc[-1])
        longs += stake(strategy, pair, "long")
        shorts += stake(strategy, pair, "short")
        assert stake(strategy, pair, "long") == pytest.approx(max(weight, 0.0) * 10_000)
    assert longs == pytest.approx(5_000)
    assert shorts == pytest.approx(5_000)
    assert stake(strategy, "unknown", "long") == 0.0


def test_a_position_is_brought_to_its_target_once_a_candle(tmp_path: Path) -> None:
    strategy = strategy_of(factor_of("-ts_mean(returns, 5)", Rules(band=0.01)), random_panel(60, 12), tmp_path)
    frames = analyse(strategy)
    pair = max(frames, key=lambda name: frames[name]["weight"].iloc[-1])
    target = float(frames[pair]["weight"].iloc[-1]) * 10_000
    # Bought for half of the target at 50, worth the whole of a fourth of it now.
    small = Trade(pair, target / 200, target / 4)
    assert adjusted(strategy, small, 50.0) == pytest.approx(target * 0.75)
    assert adjusted(strategy, small, 50.0) is None
    strategy._adjusted.clear()
    # Worth twice the target: half is sold, stated as half of what it cost.
    assert adjusted(strategy, Trade(pair, target / 25, target / 3), 50.0) == pytest.approx(-target / 6)
    strategy._adjusted.clear()
    # Within the band, and on the wrong side, nothing is adjusted.
    assert adjusted(strategy, Trade(pair, (target + 90) / 50, target), 50.0) is None
    strategy._adjusted.clear()
    assert adjusted(strategy, Trade(pair, 1.0, 50.0, is_short=True), 50.0) is None


def test_what_leaves_the_whitelist_is_closed(tmp_path: Path) -> None:
    panel = random_panel(60, 12)
    strategy = strategy_of(factor_of("-ts_mean(returns, 5)"), panel, tmp_path)
    analyse(strategy)
    gone = candles_of(panel)["A03/USDT"].assign(date=lambda frame: frame["date"])
    frame = strategy.populate_indicators(gone, {"pair": "GONE/USDT"})
    frame = strategy.populate_exit_trend(strategy.populate_entry_trend(frame, {"pair": "GONE/USDT"}), {})
    assert frame["exit_long"].all()
    assert frame["exit_short"].all()
    assert not frame["enter_long"].any()


@pytest.mark.parametrize(
    ("text", "rules", "carried", "said"),
    [
        ("ts_mean(funding, 3) + open_interest", Rules(), frozenset(), "no funding, open_interest"),
        ("group_neutralize(close, sector)", Rules(), frozenset(), "liquidity_group"),
        ("cum_sum(returns)", Rules(), frozenset(), "first bar"),
        ("ts_mean(vwap, 3)", Rules(), frozenset({"vwap"}), "carry vwap"),
        ("volume / adv20", Rules(), frozenset({"amount", "funding"}), "carry amount"),
    ],
)
def test_what_candles_do_not_tell_is_refused(text: str, rules: Rules, carried: frozenset[str], said: str) -> None:
    with pytest.raises(InputError) as refusal:
        require_candles(factor_of(text, rules), carried)
    assert said in str(refusal.value)


def test_candles_are_enough_for_the_rest() -> None:
    require_candles(factor_of("ts_mean(vwap, 3) + adv20 / amount * market_close"), frozenset({"funding"}))


def test_a_group_of_the_rules_must_follow_from_candles() -> None:
    group = read("group_mean(close, sector)", fields=FIELDS).root
    with pytest.raises(InputError, match="sector"):
        require_candles(factor_of("close", Rules(group=group.args[1])))  # type: ignore[union-attr]


def test_bars_have_freqtrades_names() -> None:
    for size, unit, name in [(1, "h", "1h"), (4, "h", "4h"), (1, "D", "1d"), (15, "m", "15m"), (7, "D", "1w")]:
        assert timeframe_of(np.timedelta64(size, unit)) == name
    with pytest.raises(InputError, match="no candles of 7 minutes"):
        timeframe_of(np.timedelta64(7, "m"))


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_model_wrote_stays_text_in_a_strategy(text: str) -> None:
    exported = factor_of("close - open")
    options: dict[str, Any] = {"class_name": "A", "timeframe": "1h", "minutes": 60, "filled_are_gaps": True}
    clean = to_freqtrade(exported, **options)
    source = to_freqtrade(replace(exported, title=text, about={"name": text}), **options)
    assert source.isascii()
    bodies = [
        [ast.dump(node) for node in ast.parse(s).body if not isinstance(node, ast.Assign)] for s in (clean, source)
    ]
    assert bodies[0] == bodies[1]
