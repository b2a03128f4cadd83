"""Windows in pandas code: `.rolling(n)`, `.ewm(...)`, `.expanding()` and their statistics."""

from __future__ import annotations

import ast
import math
import re

from factors.dialects.templates import formula
from factors.pycode.arguments import Arguments, bars_of
from factors.pycode.gaps import has_gaps, of_known
from factors.pycode.methods import EXPANDING, ROLLING
from factors.pycode.values import Reader, SeriesValue, Value, WindowValue
from factors.pycode.wholes import applied_to_windows
from factors.syntax import Raw, RawNumber

_FULL_WINDOWS = "pandas may fill windows early (min_periods); here a value needs its full window"


def open_window(reader: Reader, node: ast.Call, series: SeriesValue, kind: str, arguments: Arguments) -> WindowValue:
    """Return the window of a column, which waits for its statistic."""
    if arguments.flag("center", False):
        raise reader.places.fault(node, "center=True looks at later bars", "leave it out", "look_ahead")
    if kind == "rolling":
        bars = _length(reader, node, arguments)
        least = arguments.number("min_periods")
        early = least is not None and not (isinstance(bars, RawNumber) and bars.value == least)
        if early:
            reader.notes.append(_FULL_WINDOWS)
        return WindowValue(kind, series, bars, least=least if early and has_gaps(series.raw) else None)
    least = arguments.number("min_periods") if kind == "expanding" else _named_number(arguments, "min_periods")
    if kind == "expanding":
        if least is not None and least > 1:
            reader.notes.append("expanding: values begin with the first bar here, whatever min_periods says")
        return WindowValue(kind, series)
    if least is not None:
        reader.notes.append(_FULL_WINDOWS)
    if arguments.flag("adjust", True):
        reader.notes.append("ewm: pandas adjusts for the start unless adjust=False; it differs while warming up")
    if arguments.flag("ignore_na", False):
        raise reader.places.fault(node, "ignore_na is not read", "leave it out")
    return _ewm(reader, node, series, arguments)


def _length(reader: Reader, node: ast.Call, arguments: Arguments) -> Raw:
    """Return the window: bars, or a length of time such as '20D'."""
    given = arguments.node_of("window")
    if isinstance(given, ast.Constant) and isinstance(given.value, str):
        found = re.fullmatch(r"(\d{1,4})\s*(d|h|min|t|w)", given.value.lower())
        if found is None:
            raise reader.places.fault(node, f"{given.value[:20]!r} is no length", "write the window in bars")
        reader.notes.append(_FULL_WINDOWS)
        return RawNumber(float(found[1]), {"t": "min"}.get(found[2], found[2]), reader.places.at(given))
    if given is None:
        raise reader.places.fault(node, "window is missing", "give it")
    return reader.series(given).raw


def _named_number(arguments: Arguments, name: str) -> float | None:
    """Take a keyword that must be a number where it is given, whatever places are filled."""
    places, arguments.places = arguments.places, []
    found = arguments.number(name)
    arguments.places = places
    return found


def _ewm(reader: Reader, node: ast.Call, series: SeriesValue, arguments: Arguments) -> WindowValue:
    if arguments.places:
        raise reader.places.fault(node, "say how ewm forgets", "write span=20, alpha=0.1, com=10 or halflife=10")
    for name in ("span", "com", "halflife", "alpha"):
        value = arguments.number(name)
        if value is None:
            continue
        if value <= 0:
            raise reader.places.fault(node, f"{name} must be above 0", "write span=20")
        if name == "span" and value >= 1 and value == int(value):
            return WindowValue("ewm", series, bars_of(reader, node, value))
        alpha = {
            "span": 2.0 / (value + 1.0),
            "com": 1.0 / (1.0 + value),
            "halflife": 1.0 - math.exp(-math.log(2.0) / value),
            "alpha": value,
        }[name]
        if alpha > 1:
            raise reader.places.fault(node, "alpha lies in (0, 1]", "write span=20")
        return WindowValue("ewm", series, alpha=alpha)
    raise reader.places.fault(node, "say how ewm forgets", "write span=20, alpha=0.1, com=10 or halflife=10")


def statistic(reader: Reader, node: ast.Call, window: WindowValue, method: str) -> Value:
    """Return a statistic of a window."""
    arguments = Arguments(reader, node)
    x = window.series.raw
    if window.kind == "expanding":
        if method in ("std", "var"):
            degrees = arguments.number("ddof", 1.0)
            arguments.done()
            return SeriesValue(_spread_so_far(reader, node, x, method, degrees or 0.0))
        if method not in EXPANDING:
            why = f".expanding().{method[:40]}() is not read"
            raise reader.places.fault(node, why, f"one of {', '.join(EXPANDING)}, std, var; or use .rolling(n)")
        arguments.done()
        return SeriesValue(reader.ours(EXPANDING[method], node, x))
    if window.kind == "ewm":
        if method not in ("mean", "std", "var"):
            raise reader.places.fault(node, f"ewm().{method[:40]} is not read", "mean, std and var are")
        biased = method != "mean" and arguments.flag("bias", False)
        arguments.done()
        if method != "mean":
            return SeriesValue(_spread(reader, node, x, window, method, biased=biased))
        return SeriesValue(_faded(reader, node, x, window))
    assert window.bars is not None
    if window.least is not None:
        known = of_known(reader, node, window, method, arguments)
        arguments.done()
        return SeriesValue(known)
    found = _rolled(reader, node, x, window.bars, method, arguments)
    arguments.done()
    return SeriesValue(found)


def _spread_so_far(reader: Reader, node: ast.Call, x: Raw, method: str, degrees: float) -> Raw:
    """`expanding().std()` and `.var()`, of all values up to the bar."""
    at = reader.places.at(node)
    parts = {
        "s": reader.ours("cum_sum", node, x),
        "q": formula("cum_sum(x * x)", at, {"x": x}),
        "n": formula("cum_count(!is_nan(x))", at, {"x": x}),
        "k": bars_of(reader, node, degrees),
    }
    text = "max(q - s * s / n, 0) / (n - k)"
    return formula(text if method == "var" else f"sqrt({text})", at, parts)


def _faded(reader: Reader, node: ast.Call, x: Raw, window: WindowValue) -> Raw:
    """`ewm(...).mean()`."""
    if window.alpha is None:
        assert window.bars is not None
        return reader.ours("ts_ema", node, x, window.bars)
    # alpha = m / n, with the n whose span it is: this many bars does it need before its first value.
    span = float(max(1, min(10_000, round(2.0 / window.alpha - 1.0))))
    size, weight = bars_of(reader, node, span), bars_of(reader, node, window.alpha * span)
    return reader.ours("ts_sma", node, x, size, weight)


def _spread(reader: Reader, node: ast.Call, x: Raw, window: WindowValue, method: str, *, biased: bool) -> Raw:
    """`ewm(...).std()` and `.var()`: the faded mean of squares less the squared mean, corrected for bias if asked.

    With weights alpha (1 - alpha)^i the sum of squared weights tends to alpha / (2 - alpha), and the correction to
    1 / (1 - that). It is exact but for the warm-up.
    """
    assert window.bars is None or isinstance(window.bars, RawNumber)
    alpha = window.alpha if window.bars is None else 2.0 / (window.bars.value + 1.0)
    if alpha is None or alpha >= 1:
        raise reader.places.fault(node, "a deviation of one value", "write a longer span")
    squares = _faded(reader, node, reader.ours("mul", node, x, x), window)
    mean = _faded(reader, node, x, window)
    factor = 1.0 if biased else (2.0 - alpha) / (2.0 - 2.0 * alpha)
    reader.notes.append(
        f"ewm().{method}: the correction for bias is that of a long history; it differs while warming up"
    )
    text = "k * max(s - m * m, 0)" if method == "var" else "sqrt(k * max(s - m * m, 0))"
    return formula(text, reader.places.at(node), {"k": bars_of(reader, node, factor), "s": squares, "m": mean})


def _rolled(reader: Reader, node: ast.Call, x: Raw, bars: Raw, method: str, arguments: Arguments) -> Raw:
    if method in ("agg", "aggregate") and arguments.places:
        what = arguments.places[0]
        if isinstance(what, ast.Attribute) and what.attr in ROLLING and what.attr not in ("std", "var"):
            arguments.places.pop(0)
            method = what.attr
        elif isinstance(what, ast.Constant) and isinstance(what.value, str):
            arguments.places.pop(0)
            method = what.value
        else:
            method = "apply"
    if method == "apply":
        return applied_to_windows(reader, node, x, bars, arguments)
    if method == "sem":
        names = {"x": x, "d": bars}
        return formula("ts_std(x, d) / sqrt(d)", reader.places.at(node), names)
    if method not in ROLLING:
        hint = f"one of {', '.join(ROLLING)}"
        raise reader.places.fault(node, f".rolling().{method[:40]} is not read", hint)
    word = ROLLING[method]
    if method in ("corr", "cov"):
        return reader.ours(word, node, x, arguments.raw("other"), bars)
    if method == "quantile":
        level = arguments.number("q")
        if arguments.plain("interpolation") not in (None, "linear"):
            raise reader.places.fault(node, "quantiles lie between values here", "leave interpolation out")
        return reader.ours(word, node, x, bars, bars_of(reader, node, 0.5 if level is None else level))
    arguments.named.pop("raw", None)
    found = reader.ours(word, node, x, bars)
    if method in ("std", "var"):
        ddof = arguments.number("ddof", 1.0)
        if ddof == 0 and isinstance(bars, RawNumber) and bars.value >= 2:
            share = (bars.value - 1.0) / bars.value
            factor = bars_of(reader, node, share if method == "var" else math.sqrt(share))
            return reader.ours("mul", node, factor, found)
        if ddof != 1:
            raise reader.places.fault(node, "ddof is 0 or 1", "leave it out")
    if method == "rank" and not arguments.flag("pct", False):
        return reader.ours("mul", node, bars, found)
    return found
