"""A factor or a pool as a strategy file for freqtrade: interface version 3, one cross-section over the whitelist.

freqtrade shows a strategy one pair at a time, so the file gathers the candles of all pairs by
``dp.get_pair_dataframe``, computes signal and weights once a candle, and gives each pair its column. Nothing of
freqtrade (GPL-3.0) is imported or copied here; the interface is as its documentation has it
(freqtrade.io: strategy customization, strategy callbacks, bot basics); tried in freqtrade 2026.9.
"""

from __future__ import annotations

import numpy as np

from factors.writers.module import Exported, about_text, carried_fields, comment, core_of, is_group_field
from factors.writers.module_text import HEAD
from market.errors import InputError

CANDLE = ("open", "high", "low", "close", "volume")
# What is derived from candles where the data do not carry it.
_DERIVED = ("vwap", "amount", "returns", "market_open", "market_close")
_MINUTE = np.timedelta64(1, "m")
TIMEFRAMES = {1: "1m", 3: "3m", 5: "5m", 15: "15m", 30: "30m", 60: "1h", 120: "2h", 240: "4h", 360: "6h", 480: "8h",
              720: "12h", 1440: "1d", 4320: "3d", 10080: "1w"}  # fmt: skip


def timeframe_of(bar: np.timedelta64) -> str:
    """Return what freqtrade calls bars of this length; an `InputError` where exchanges have no such candles."""
    minutes = float(bar / _MINUTE)
    if minutes not in TIMEFRAMES:
        known = ", ".join(TIMEFRAMES.values())
        raise InputError(f"freqtrade has no candles of {minutes:g} minutes", f"use data with bars of {known}")
    return TIMEFRAMES[int(minutes)]


def require_candles(exported: Exported, carried: frozenset[str] = frozenset()) -> None:
    """Refuse, as an `InputError`, what candles do not tell.

    `carried` are the fields that the data has beyond candles: what is derived where it is not carried would have other
    values there.
    """
    nodes = [expression.root for expression in exported.expressions]
    if exported.rules.group is not None:
        nodes.append(exported.rules.group)
    named = carried_fields(nodes)
    foreign = sorted(name for name in named if not _is_derived(name) and name not in CANDLE)
    if foreign:
        groups = [name for name in foreign if is_group_field(name)]
        hint = (
            "use liquidity_group, volatility_group or beta_group, which candles tell"
            if len(groups) == len(foreign)
            else "leave them out of the factor, or export --to pandas and feed it what your own data have"
        )
        raise InputError(f"freqtrade's candles have no {', '.join(foreign)}", hint)
    given = sorted((_sources(named) | ({"amount"} if exported.rules.liquid_half else set())) & carried)
    if given:
        raise InputError(
            f"the data carry {', '.join(given)}, which freqtrade would make of its candles: values would differ",
            "write it with volume and close, or export --to pandas",
        )
    if any(not expression.is_bounded for expression in exported.expressions):
        raise InputError(
            "it looks back to the first bar, and freqtrade forgets: each candle comes with some hundreds before it",
            "use ts_sum, ts_mean, ts_max or ts_min over a window in the place of cum_",
        )


def _is_derived(name: str) -> bool:
    return name in _DERIVED or (name.startswith("adv") and name[3:].isdecimal())


def _sources(named: frozenset[str]) -> frozenset[str]:
    """Return the derived fields that these names are made of, themselves included."""
    found = {name for name in named if _is_derived(name)}
    if any(name.startswith("adv") for name in found):
        found.add("amount")
    if "amount" in found:
        found.add("vwap")
    elif "vwap" in found:
        found.add("amount")
    return frozenset(found)


def to_freqtrade(exported: Exported, *, class_name: str, timeframe: str, minutes: int, filled_are_gaps: bool) -> str:
    """Return the source of a strategy file.

    Parameters
    ----------
    exported
        As checked by `require_candles`.
    class_name
        What ``--strategy`` names.
    timeframe, minutes
        Length of a bar, as freqtrade writes it and in minutes.
    filled_are_gaps
        Whether candles of volume 0 that stand at the last close are taken as missing: freqtrade fills gaps so.
    """
    core = core_of(exported)
    shorts = exported.rules.weighting != "long_only"
    head = comment([*HEAD, exported.title, "", *_NOTES, *(_SHORTS if shorts else ())])
    text = _STRATEGY
    for token, value in {
        "name": class_name,
        "timeframe": ascii(timeframe),
        "minutes": str(minutes),
        "startup": str(exported.lookback + exported.rules.memory + 1),
        "shorts": str(shorts),
        "gaps": str(filled_are_gaps),
        "rebalance": str(exported.rules.rebalance),
        "rate": repr(exported.rules.rate),
        "band": repr(exported.rules.band),
    }.items():
        text = text.replace(f"<<{token}>>", value)
    return "\n".join([head, _IMPORTS, about_text(exported), "", "", f"{core.source}{text}"])


_NOTES = (
    "A strategy for freqtrade (interface version 3), which is software of others under GPL-3.0: who hands on a program "
    "made of both should read that licence. The text of this file is yours, to use and change as you like. Nothing "
    "here says that it will earn: ABOUT says what it is and what it was fitted on. Run it dry first.",
    "",
    "The whitelist is the universe: assets are compared across its pairs, so it should hold those that the factor was "
    "found on, and more than ten of them. In the configuration set max_open_trades to the number of pairs and "
    'stake_amount to "unlimited": stakes are set here, as a share of the whole.',
    "",
    "A signal of a closed candle is traded at the next one's open. Exits are by signal alone: minimal_roi and stoploss "
    "are as good as off; choose your own stoploss.",
)
_SHORTS = (
    "",
    "The portfolio has a short side, so it needs a futures market. On a spot market set can_short = False: the short "
    "half is then not traded, which is another portfolio than the one that was tested.",
)
_IMPORTS = """
import warnings

import numpy as np
import pandas as pd
from freqtrade.strategy import IStrategy
"""
_STRATEGY = '''

class <<name>>(IStrategy):
    INTERFACE_VERSION = 3
    timeframe = <<timeframe>>
    can_short = <<shorts>>
    process_only_new_candles = True
    startup_candle_count = <<startup>>

    use_exit_signal = True
    exit_profit_only = False
    minimal_roi = {"0": 1000.0}
    stoploss = -0.99
    trailing_stop = False
    position_adjustment_enable = True

    # freqtrade fills a gap with candles of volume 0 at the last close. True: they are gaps here too.
    filled_are_gaps = <<gaps>>
    # Trade once in this many candles (counted from 1970), and only what is further from its target than the band.
    rebalance = <<rebalance>>
    band = <<band>>
    # A position moves this share of the way to its target each time.
    rate = <<rate>>

    def informative_pairs(self):
        """All pairs of the whitelist: each is compared with all others."""
        return [(pair, self.timeframe) for pair in self.dp.current_whitelist()]

    def bot_start(self, **kwargs):
        self._reset()

    def bot_loop_start(self, current_time=None, **kwargs):
        """New candles may have come: look again before the next pair is analysed."""
        if not hasattr(self, "_seen"):
            self._reset()
        self._fresh = False

    def _reset(self):
        self._seen = None
        self._fresh = False
        self._signal = self._weight = None
        self._adjusted = {}

    def _gather(self):
        """Return the candles of all pairs, a DataFrame for each field, and what tells whether they changed."""
        candles = {}
        for pair in self.dp.current_whitelist():
            frame = self.dp.get_pair_dataframe(pair=pair, timeframe=self.timeframe)
            if frame is not None and len(frame):
                candles[pair] = frame.drop_duplicates("date").set_index("date")
        seen = tuple((pair, len(frame), frame.index[-1]) for pair, frame in candles.items())
        return candles, seen

    def _frames(self, candles):
        names = ("open", "high", "low", "close", "volume")
        frames = {
            name: pd.DataFrame({pair: frame[name].astype(float) for pair, frame in candles.items()}).sort_index()
            for name in names
        }
        # A candle of volume 0 that stands at the last close: nothing was traded, or freqtrade filled a gap.
        before = frames["close"].ffill().shift(1)
        still = frames["volume"] == 0
        for name in names[:4]:
            still &= frames[name] == before
        if self.filled_are_gaps:
            frames = {name: frame.mask(still) for name, frame in frames.items()}
        # A bar that no pair traded is no bar.
        traded = (frames["close"].notna() & ~still).any(axis=1)
        return {name: frame[traded] for name, frame in frames.items()}

    def _compute(self):
        """Compute signal and weights of all pairs, once for the candles at hand."""
        candles, seen = self._gather()
        if seen != self._seen:
            frames = self._frames(candles)
            self._signal = values(frames)
            self._weight = weights(self._signal, frames)
            self._seen = seen
        self._fresh = True

    def populate_indicators(self, dataframe, metadata):
        """Add the columns signal and weight: the pair's own columns of what is computed for all pairs at once."""
        if not hasattr(self, "_seen"):
            self._reset()
        pair, newest = metadata["pair"], dataframe["date"].iloc[-1] if len(dataframe) else None
        known = self._signal is not None and pair in self._signal and newest in self._signal.index
        if not (self._fresh and known):
            self._compute()
        if pair in self._signal:
            dataframe["signal"] = dataframe["date"].map(self._signal[pair])
            dataframe["weight"] = dataframe["date"].map(self._weight[pair])
        else:
            # It left the whitelist: its position is closed.
            dataframe["signal"] = np.nan
            dataframe["weight"] = 0.0
        return dataframe

    def _is_turn(self, dates):
        """Whether candles of these dates are ones at which positions are traded."""
        since = (dates - pd.Timestamp("1970-01-01", tz="UTC")) // pd.Timedelta(minutes=<<minutes>>)
        return since % self.rebalance == 0

    def populate_entry_trend(self, dataframe, metadata):
        turn = self._is_turn(dataframe["date"])
        dataframe["enter_long"] = (turn & (dataframe["weight"] > 0)).astype(int)
        if self.can_short:
            dataframe["enter_short"] = (turn & (dataframe["weight"] < 0)).astype(int)
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        turn = self._is_turn(dataframe["date"])
        dataframe["exit_long"] = (turn & (dataframe["weight"] <= 0)).astype(int)
        if self.can_short:
            dataframe["exit_short"] = (turn & (dataframe["weight"] >= 0)).astype(int)
        return dataframe

    def _newest(self, pair):
        """Return date and weight of the newest closed candle of a pair, or None."""
        dataframe, _ = self.dp.get_analyzed_dataframe(pair, self.timeframe)
        if dataframe is None or not len(dataframe) or "weight" not in dataframe:
            return None
        row = dataframe.iloc[-1]
        return (row["date"], float(row["weight"])) if np.isfinite(row["weight"]) else None

    def leverage(self, pair, current_time, current_rate, proposed_leverage, max_leverage, entry_tag, side, **kwargs):
        return 1.0

    def custom_stake_amount(
        self, pair, current_time, current_rate, proposed_stake, min_stake, max_stake, leverage, entry_tag, side,
        **kwargs,
    ):
        """The size of the target weight as a share of the whole stake; nothing where there is none."""
        newest = self._newest(pair)
        if newest is None or newest[1] * (-1.0 if side == "short" else 1.0) <= 0:
            return 0.0
        return self.rate * abs(newest[1]) * self.wallets.get_total_stake_amount() / (leverage or 1.0)

    def adjust_trade_position(
        self, trade, current_time, current_rate, current_profit, min_stake, max_stake, *args, **kwargs
    ):
        """Bring a position to its target once a candle; one that turned is left to the exit signal."""
        if not hasattr(self, "_seen"):
            self._reset()
        newest = self._newest(trade.pair)
        if newest is None or self._adjusted.get(trade.pair) == newest[0]:
            return None
        self._adjusted[trade.pair] = newest[0]
        weight = newest[1] * (-1.0 if trade.is_short else 1.0)
        if weight <= 0 or not self._is_turn(newest[0]):
            return None
        total = self.wallets.get_total_stake_amount()
        current, wanted = trade.amount * current_rate, weight * total
        leverage = trade.leverage or 1.0
        if current <= 0 or abs(wanted - current) <= max(self.band * total, (min_stake or 0.0) * leverage):
            return None
        wanted = current + self.rate * (wanted - current)
        if wanted > current:
            return min((wanted - current) / leverage, max_stake)
        # freqtrade sells this share of what the position cost.
        return -(1.0 - wanted / current) * trade.stake_amount
'''
