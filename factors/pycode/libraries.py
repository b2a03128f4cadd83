"""Functions of TA-Lib, pandas_ta and ta in pandas code, as formulas of ours."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import NamedTuple

from factors.dialects.templates import formula
from factors.pycode.arguments import Arguments
from factors.pycode.constants import number_of
from factors.pycode.values import FrameValue, Listed, Module, Plain, Reader, SeriesValue, Value
from factors.syntax import Raw, RawNumber

_HLC = ("high", "low", "close")
_WARMS = "recursive averages of this library begin in another way: values differ while they warm up"
_RANGE = "a bar without a range is missing here, 0 there"


class Known(NamedTuple):
    """A function of a library: its columns, its numbers with their defaults, and a formula for each of its results."""

    columns: tuple[str, ...]
    numbers: Mapping[str, float]
    texts: tuple[str, ...]
    note: str = ""


def _of(columns: str, numbers: str, *texts: str, note: str = "") -> Known:
    pairs = (pair.split("=") for pair in numbers.split())
    return Known(tuple(columns.split()), {name: float(value) for name, value in pairs}, texts, note)


_TALIB: Mapping[str, Known] = {
    "SMA": _of("real", "timeperiod=30", "ts_mean(real, timeperiod)"),
    "EMA": _of("real", "timeperiod=30", "ts_ema(real, timeperiod)", note=_WARMS),
    "WMA": _of("real", "timeperiod=30", "ts_wma(real, timeperiod)"),
    "DEMA": _of("real", "timeperiod=30", "ts_dema(real, timeperiod)", note=_WARMS),
    "TEMA": _of("real", "timeperiod=30", "ts_tema(real, timeperiod)", note=_WARMS),
    "RSI": _of("real", "timeperiod=14", "rsi_wilder(real, timeperiod)", note=_WARMS),
    "CMO": _of("real", "timeperiod=14", "2 * rsi_wilder(real, timeperiod) - 100", note=_WARMS),
    "TRIX": _of("real", "timeperiod=30", "100 * ts_returns(ts_ema(ts_ema(ts_ema(real, timeperiod), timeperiod), "
                "timeperiod), 1)", note=_WARMS),
    "MOM": _of("real", "timeperiod=10", "ts_delta(real, timeperiod)"),
    "ROC": _of("real", "timeperiod=10", "100 * ts_returns(real, timeperiod)"),
    "ROCP": _of("real", "timeperiod=10", "ts_returns(real, timeperiod)"),
    "ROCR": _of("real", "timeperiod=10", "real / ts_delay(real, timeperiod)"),
    "ROCR100": _of("real", "timeperiod=10", "100 * real / ts_delay(real, timeperiod)"),
    "STDDEV": _of("real", "timeperiod=5 nbdev=1", "nbdev * ts_std_pop(real, timeperiod)"),
    "VAR": _of("real", "timeperiod=5", "(1 - 1 / timeperiod) * ts_var(real, timeperiod)"),
    "MAX": _of("real", "timeperiod=30", "ts_max(real, timeperiod)"),
    "MIN": _of("real", "timeperiod=30", "ts_min(real, timeperiod)"),
    "SUM": _of("real", "timeperiod=30", "ts_sum(real, timeperiod)"),
    "MIDPOINT": _of("real", "timeperiod=14", "(ts_max(real, timeperiod) + ts_min(real, timeperiod)) / 2"),
    "MIDPRICE": _of("high low", "timeperiod=14", "(ts_max(high, timeperiod) + ts_min(low, timeperiod)) / 2"),
    "LINEARREG": _of("real", "timeperiod=14", "real - ts_resid(real, timeperiod)"),
    "LINEARREG_SLOPE": _of("real", "timeperiod=14", "ts_slope(real, timeperiod)"),
    "LINEARREG_ANGLE": _of("real", "timeperiod=14", "57.29577951308232 * atan(ts_slope(real, timeperiod))"),
    "LINEARREG_INTERCEPT": _of("real", "timeperiod=14", "real - ts_resid(real, timeperiod)"
                               " - (timeperiod - 1) * ts_slope(real, timeperiod)"),
    "TSF": _of("real", "timeperiod=14", "real - ts_resid(real, timeperiod) + ts_slope(real, timeperiod)"),
    "CORREL": _of("real0 real1", "timeperiod=30", "ts_corr(real0, real1, timeperiod)"),
    "ATR": _of("high low close", "timeperiod=14", "atr_wilder(high, low, close, timeperiod)", note=_WARMS),
    "NATR": _of("high low close", "timeperiod=14", "100 * atr_wilder(high, low, close, timeperiod) / close",
                note=_WARMS),
    "TRANGE": _of("high low close", "", "true_range(high, low, close)"),
    "ADX": _of("high low close", "timeperiod=14", "adx(high, low, close, timeperiod)", note=_WARMS),
    "CCI": _of("high low close", "timeperiod=14", "cci(high, low, close, timeperiod)"),
    "WILLR": _of("high low close", "timeperiod=14", "williams_r(high, low, close, timeperiod)"),
    "MFI": _of("high low close volume", "timeperiod=14", "mfi(high, low, close, volume, timeperiod)"),
    "AROON": _of("high low", "timeperiod=14", "aroon_down(low, timeperiod)", "aroon_up(high, timeperiod)"),
    "AROONOSC": _of("high low", "timeperiod=14", "aroon_osc(high, low, timeperiod)"),
    "BOP": _of("open high low close", "", "(close - open) / (high - low)", note=_RANGE),
    "BBANDS": _of("real", "timeperiod=5 nbdevup=2 nbdevdn=2 matype=0", "bbands_upper(real, timeperiod, nbdevup)",
                  "ts_mean(real, timeperiod)", "bbands_lower(real, timeperiod, nbdevdn)"),
    "MACD": _of("real", "fastperiod=12 slowperiod=26 signalperiod=9", "macd(real, fastperiod, slowperiod)",
                "macd_signal(real, fastperiod, slowperiod, signalperiod)",
                "macd_hist(real, fastperiod, slowperiod, signalperiod)", note=_WARMS),
    "APO": _of("real", "fastperiod=12 slowperiod=26 matype=0", "ts_mean(real, fastperiod) - ts_mean(real, slowperiod)"),
    "PPO": _of("real", "fastperiod=12 slowperiod=26 matype=0",
               "100 * (ts_mean(real, fastperiod) / ts_mean(real, slowperiod) - 1)"),
    "STOCHF": _of("high low close", "fastk_period=5 fastd_period=3 fastd_matype=0",
                  "stochastic(high, low, close, fastk_period)",
                  "stochastic_d(high, low, close, fastk_period, fastd_period)"),
    "STOCH": _of("high low close", "fastk_period=5 slowk_period=3 slowk_matype=0 slowd_period=3 slowd_matype=0",
                 "stochastic_d(high, low, close, fastk_period, slowk_period)",
                 "ts_mean(stochastic_d(high, low, close, fastk_period, slowk_period), slowd_period)"),
    "OBV": _of("real volume", "", "cum_sum(fill_nan(sign(ts_delta(real, 1)), 1) * volume)"),
    "TYPPRICE": _of("high low close", "", "(high + low + close) / 3"),
    "MEDPRICE": _of("high low", "", "(high + low) / 2"),
    "WCLPRICE": _of("high low close", "", "(high + low + 2 * close) / 4"),
    "AVGPRICE": _of("open high low close", "", "(open + high + low + close) / 4"),
    **{name: _of("real", "", f"{ours}(real)")
       for name, ours in (("LN", "log"), ("EXP", "exp"), ("SQRT", "sqrt"), ("TANH", "tanh"), ("ATAN", "atan"),
                          ("FLOOR", "floor"), ("CEIL", "ceil"))},
}  # fmt: skip
_PANDAS_TA: Mapping[str, Known] = {
    "sma": _of("close", "length=10", "ts_mean(close, length)"),
    "ema": _of("close", "length=10", "ts_ema(close, length)", note=_WARMS),
    "wma": _of("close", "length=10", "ts_wma(close, length)"),
    "rma": _of("close", "length=10", "ts_sma(close, length, 1)", note=_WARMS),
    "dema": _of("close", "length=10", "ts_dema(close, length)", note=_WARMS),
    "tema": _of("close", "length=10", "ts_tema(close, length)", note=_WARMS),
    "rsi": _of("close", "length=14", "rsi_wilder(close, length)", note=_WARMS),
    "mom": _of("close", "length=10", "ts_delta(close, length)"),
    "roc": _of("close", "length=10", "100 * ts_returns(close, length)"),
    "willr": _of("high low close", "length=14", "williams_r(high, low, close, length)"),
    "cci": _of("high low close", "length=14", "cci(high, low, close, length)"),
    "mfi": _of("high low close volume", "length=14", "mfi(high, low, close, volume, length)"),
    "true_range": _of("high low close", "", "true_range(high, low, close)"),
    "atr": _of("high low close", "length=14", "atr_wilder(high, low, close, length)", note=_WARMS),
    "median": _of("close", "length=30", "ts_median(close, length)"),
    "skew": _of("close", "length=30", "ts_skew(close, length)"),
    "kurtosis": _of("close", "length=30", "ts_kurt(close, length)"),
    "mad": _of("close", "length=30", "ts_mad(close, length)"),
    "slope": _of("close", "length=1", "ts_delta(close, length) / length"),
    "vwma": _of("close volume", "length=10", "ts_vwap(close, volume, length)"),
    "hl2": _of("high low", "", "(high + low) / 2"),
    "hlc3": _of("high low close", "", "(high + low + close) / 3"),
    "ohlc4": _of("open high low close", "", "(open + high + low + close) / 4"),
}  # fmt: skip
_TA: Mapping[str, Known] = {
    "rsi": _of("close", "window=14", "rsi_wilder(close, window)", note=_WARMS),
    "roc": _of("close", "window=12", "100 * ts_returns(close, window)"),
    "stoch": _of("high low close", "window=14 smooth_window=3", "stochastic(high, low, close, window)"),
    "williams_r": _of("high low close", "lbp=14", "williams_r(high, low, close, lbp)"),
    "sma_indicator": _of("close", "window=12", "ts_mean(close, window)"),
    "ema_indicator": _of("close", "window=12", "ts_ema(close, window)", note=_WARMS),
    "macd": _of("close", "window_slow=26 window_fast=12", "macd(close, window_fast, window_slow)", note=_WARMS),
    "macd_signal": _of("close", "window_slow=26 window_fast=12 window_sign=9",
                       "macd_signal(close, window_fast, window_slow, window_sign)", note=_WARMS),
    "macd_diff": _of("close", "window_slow=26 window_fast=12 window_sign=9",
                     "macd_hist(close, window_fast, window_slow, window_sign)", note=_WARMS),
    "average_true_range": _of("high low close", "window=14", "atr_wilder(high, low, close, window)", note=_WARMS),
    "bollinger_hband": _of("close", "window=20 window_dev=2", "bbands_upper(close, window, window_dev)"),
    "bollinger_lband": _of("close", "window=20 window_dev=2", "bbands_lower(close, window, window_dev)"),
    "bollinger_mavg": _of("close", "window=20", "ts_mean(close, window)"),
    "cci": _of("high low close", "window=20", "cci(high, low, close, window)"),
    "money_flow_index": _of("high low close volume", "window=14", "mfi(high, low, close, volume, window)"),
}  # fmt: skip
# Classes of ta and their methods, as its functions.
_CLASSES: Mapping[tuple[str, str], str] = {
    ("RSIIndicator", "rsi"): "rsi", ("ROCIndicator", "roc"): "roc", ("StochasticOscillator", "stoch"): "stoch",
    ("WilliamsRIndicator", "williams_r"): "williams_r", ("SMAIndicator", "sma_indicator"): "sma_indicator",
    ("EMAIndicator", "ema_indicator"): "ema_indicator", ("MACD", "macd"): "macd",
    ("MACD", "macd_signal"): "macd_signal", ("MACD", "macd_diff"): "macd_diff",
    ("AverageTrueRange", "average_true_range"): "average_true_range",
    ("BollingerBands", "bollinger_hband"): "bollinger_hband", ("BollingerBands", "bollinger_lband"): "bollinger_lband",
    ("BollingerBands", "bollinger_mavg"): "bollinger_mavg", ("CCIIndicator", "cci"): "cci",
    ("MFIIndicator", "money_flow_index"): "money_flow_index",
}  # fmt: skip
_TABLES: Mapping[str, Mapping[str, Known]] = {"talib": _TALIB, "pandas_ta": _PANDAS_TA, "ta": _TA}
LIBRARIES = ("talib", "pandas_ta", "pandas_ta_classic", "ta")
_WHY_NOT: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("stdev", "variance", "zscore", "bbands"),
                    ("its deviation has ddof 0 or 1, by what else is installed", "write x.rolling(n).std()")),
    "macd": ("it gives a table of three", "write ta.ema(x, 12) - ta.ema(x, 26)"),
    "SAR": ("it runs on without end", "write a stop by the highest or lowest of n bars"),
}  # fmt: skip
# How pandas_ta names the column that it appends.
_APPENDED: Mapping[str, str] = {"atr": "ATRr_{length:g}", "cci": "CCI_{length:g}_0.015"}
_UNNAMED = frozenset({"true_range", "hl2", "hlc3", "ohlc4", "vwma", "slope", "median", "skew", "kurtosis", "mad"})


def library_of(name: str) -> Module:
    """Return the module that a library's name stands for."""
    return Module("pandas_ta" if name == "pandas_ta_classic" else name)


def of_class(node: ast.Call) -> tuple[str, ast.Call] | None:
    """`ta.momentum.RSIIndicator(close, window=14).rsi()`: the function's name and the call with its arguments."""
    made = node.func.value if isinstance(node.func, ast.Attribute) else None
    if not isinstance(made, ast.Call) or not isinstance(node.func, ast.Attribute) or node.args or node.keywords:
        return None
    word = made.func.attr if isinstance(made.func, ast.Attribute) else getattr(made.func, "id", "")
    function = _CLASSES.get((word, node.func.attr))
    return None if function is None else (function, made)


def called_library(reader: Reader, node: ast.Call, library: str, name: str, frame: FrameValue | None = None) -> Value:
    """Return what a call of a library's function gives: a column, or a list of several.

    With a `frame`, its columns are taken by their names: `df.ta.rsi(length=14)`.
    """
    if reader.whole is not None:
        raise reader.places.fault(
            node, f"{name[:40]} inside this lambda looks along time", "do it in a step of its own"
        )
    library = "talib" if library == "pandas_ta" and name.isupper() else library
    known = _TABLES[library].get(name)
    if known is None:
        why, hint = _WHY_NOT.get(name, ("it has no operator here", f"{library} has {', '.join(_TABLES[library])}"))
        raise reader.places.fault(node, f"{library}.{name[:40]}: {why}", hint)
    arguments = Arguments(reader, node)
    for harmless in ("fillna", "append") if library != "talib" else ():
        if arguments.plain(harmless) not in (None, False, frame is not None and harmless == "append"):
            raise reader.places.fault(node, f"{harmless} is not read here", "leave it out")
    given: dict[str, Raw] = {}
    for column in known.columns:
        word = "close" if column == "close" and "close" in arguments.named else column
        given[column] = arguments.raw(word) if frame is None else reader.column(node, column, frame).raw
    for number, default in known.numbers.items():
        value = arguments.number(number, default)
        if number.endswith("matype") and value != 0:
            raise reader.places.fault(node, f"{number} is read as 0, a simple mean", f"leave {number} out")
        given[number] = RawNumber(default if value is None else value, "", reader.places.at(node))
    arguments.done()
    if known.note and (said := f"{name}: {known.note}") not in reader.notes:
        reader.notes.append(said)
    found = tuple(SeriesValue(formula(text, reader.places.at(node), given)) for text in known.texts)
    return found[0] if len(found) == 1 else Listed(found)


def appended(reader: Reader, node: ast.Call, frame: FrameValue, name: str) -> Value:
    """`df.ta.rsi(length=14, append=True)`: the column, which the frame gets, too, where that is asked for."""
    found = called_library(reader, node, "pandas_ta", name, frame)
    asked = next((word.value for word in node.keywords if word.arg == "append"), None)
    if asked is None or reader.expr(asked) != Plain(True):
        return found
    if not isinstance(found, SeriesValue) or name in _UNNAMED:
        raise reader.places.fault(node, "the name of this column is not known here", f"write df['x'] = df.ta.{name}()")
    lengths = [word.value for word in node.keywords if word.arg == "length"] or node.args[:1]
    length = number_of(reader.expr(lengths[0])) if lengths else _PANDAS_TA[name].numbers.get("length", 0.0)
    column = _APPENDED.get(name, name.upper() + "_{length:g}").format(length=length or 0.0)
    frame.columns[column] = found
    return found
