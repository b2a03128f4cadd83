"""Numbers behind the charts: ticks, thinning, rolling means, number formats. Pure, NaN-safe."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.panel import FloatArray, TimeArray

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DASH = "–"
# Beyond this a span overflows a float; no figure of a report is that large, a broken one may be.
_HUGE = 1e150
# Below this, halves and fifths of a number round to nothing.
_TINY = 1e-300
_DAY_STEPS = (1, 2, 7, 14)
_MINUTE_STEPS = (1, 5, 15, 30, 60, 180, 360, 720)


@dataclass(frozen=True, slots=True)
class PlotFrame:
    """The plotting rectangle of a chart and its data range."""

    width: int
    height: int
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    left: int = 58
    right: int = 14
    top: int = 30
    bottom: int = 26

    def x(self, value: float) -> float:
        """Return the horizontal pixel of `value`."""
        low, high = self.x_range
        return self.left + (value - low) / (high - low) * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        """Return the vertical pixel of `value`, kept within the drawing."""
        low, high = self.y_range
        share = min(max((value - low) / (high - low), -0.02), 1.02)
        return self.height - self.bottom - share * (self.height - self.top - self.bottom)

    @property
    def base(self) -> float:
        """Vertical pixel of the lower edge of the plot."""
        return float(self.height - self.bottom)


def finite_range(arrays: Sequence[FloatArray]) -> tuple[float, float] | None:
    """Return (min, max) over the finite values of all arrays, or None when there are none."""
    kept = [array[np.isfinite(array)] for array in (np.asarray(item, dtype=np.float64) for item in arrays)]
    kept = [array for array in kept if array.size]
    if not kept:
        return None
    low = min(float(array.min()) for array in kept)
    high = max(float(array.max()) for array in kept)
    return max(low, -_HUGE), min(high, _HUGE)


def padded(low: float, high: float, *, share: float = 0.06) -> tuple[float, float]:
    """Return the range widened by `share` of its span on each side; a single value gets room around it."""
    span = high - low
    if span <= 1e-12 * max(abs(low), abs(high)) or span < _TINY:
        room = 0.5 * abs(low) if abs(low) > _TINY else 1.0
        return low - room, high + room
    return low - share * span, high + share * span


def nice_ticks(low: float, high: float, *, about: int = 5) -> list[float]:
    """Return round values (1, 2 or 5 times a power of ten apart) inside [low, high], `about` many."""
    span = high - low
    if not math.isfinite(span) or span < _TINY:
        return [low]
    raw = span / max(about, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * power for unit in (1.0, 2.0, 5.0, 10.0) if unit * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    count = min(math.floor(high / step + 1e-9) - first + 1, 4 * about)
    return [(first + k) * step for k in range(max(count, 0))]


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2, 5 x 10^k inside [low, high] (both > 0), thinned to powers of ten over long ranges."""
    bottom, top = math.floor(math.log10(low)), math.ceil(math.log10(high))
    units = (1.0, 2.0, 5.0) if top - bottom <= 3 else (1.0,)
    stride = max(1, (top - bottom) // 8)
    ticks = [unit * 10.0**power for power in range(bottom, top + 1, stride) for unit in units]
    return [tick for tick in ticks if low <= tick <= high]


def time_ticks(times: TimeArray, *, about: int = 8) -> list[tuple[int, str]]:
    """Return (row, label) at round dates: years, months, days or hours, whichever gives at most `about`."""
    if len(times) == 0:
        return []
    stamps = times.astype("datetime64[s]")
    first, last = stamps[0], stamps[-1]
    for spaced, label in _calendars(first, last):
        levels = spaced[(spaced >= first) & (spaced <= last)]
        if 2 <= len(levels) <= about:
            rows = np.searchsorted(stamps, levels)
            seen: dict[int, str] = {}
            for row, level in zip(rows.tolist(), levels, strict=True):
                seen.setdefault(row, label(level))
            return list(seen.items())
    return [(0, _day(first))]


def _calendars(
    first: np.datetime64, last: np.datetime64
) -> list[tuple[NDArray[np.datetime64], Callable[[np.datetime64], str]]]:
    """Return candidate tick times from the finest spacing to the coarsest, skipping hopelessly fine ones."""
    span = float((last - first) / np.timedelta64(1, "s"))
    found: list[tuple[NDArray[np.datetime64], Callable[[np.datetime64], str]]] = []
    for minutes in _MINUTE_STEPS:
        if span / (60 * minutes) < 100:
            found.append((_every(first, last, "m", minutes), _minute))
    for days in _DAY_STEPS:
        if span / (86400 * days) < 100:
            found.append((_every(first, last, "D", days), _day))
    for months in (1, 2, 3, 6):
        found.append((_every(first, last, "M", months), _month))
    for years in (1, 2, 5, 10, 20, 50):
        found.append((_every(first, last, "M", 12 * years), _year))
    return found


def _every(first: np.datetime64, last: np.datetime64, unit: str, step: int) -> NDArray[np.datetime64]:
    start = int(first.astype(f"datetime64[{unit}]").astype(np.int64)) // step * step
    stop = int(last.astype(f"datetime64[{unit}]").astype(np.int64)) + 1
    return np.arange(start, stop + 1, step).astype(f"datetime64[{unit}]").astype("datetime64[s]")


def _year(stamp: np.datetime64) -> str:
    return str(stamp)[:4]


def _month(stamp: np.datetime64) -> str:
    text = str(stamp)
    return f"{MONTHS[int(text[5:7]) - 1]} {text[:4]}"


def _day(stamp: np.datetime64) -> str:
    text = str(stamp)
    return f"{text[8:10]} {MONTHS[int(text[5:7]) - 1]}"


def _minute(stamp: np.datetime64) -> str:
    return f"{_day(stamp)} {str(stamp)[11:16]}"


def thin(values: FloatArray, *, limit: int = 800) -> tuple[NDArray[np.int64], FloatArray]:
    """Return (rows, values) of at most `limit` points that keep every bucket's extremes.

    A bucket without a finite value yields one NaN, so that a gap stays a gap. Infinite counts as missing.
    """
    clean = np.where(np.isfinite(values), values, np.nan)
    count = len(clean)
    if count <= limit:
        return np.arange(count, dtype=np.int64), clean
    edges = np.linspace(0, count, limit // 2 + 1).astype(np.int64)
    missing = np.isnan(clean)
    # Where a whole bucket is missing, both are its first row.
    lowest = _first_least(np.where(missing, np.inf, clean), edges)
    highest = _first_least(np.where(missing, np.inf, -clean), edges)
    kept: NDArray[np.int64] = np.unique(np.concatenate([lowest, highest]))
    return kept, clean[kept]


def _first_least(values: FloatArray, edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first row of the least value in each bucket between two edges."""
    least = np.minimum.reduceat(values, edges[:-1])
    is_least = values == np.repeat(least, np.diff(edges))
    rows = np.where(is_least, np.arange(len(values), dtype=np.int64), len(values))
    found: NDArray[np.int64] = np.minimum.reduceat(rows, edges[:-1])
    return found


def rolling_mean(values: FloatArray, window: int) -> tuple[FloatArray, FloatArray]:
    """Return (mean, standard error) of the finite values in each trailing window, both (T,).

    NaN until at least half of the window (and two values) is finite.
    """
    finite = np.isfinite(values)
    # A broken series must not overflow its own squares; nothing the reports smooth comes near the limit.
    filled = np.clip(np.where(finite, values, 0.0), -1e6, 1e6)
    number = _trailing(finite.astype(np.float64), window)
    total = _trailing(filled, window)
    squares = _trailing(filled * filled, window)
    enough = number >= max(2.0, window / 2)
    safe = np.where(enough, number, 2.0)
    mean = total / safe
    variance = np.maximum(squares / safe - mean * mean, 0.0) * safe / (safe - 1.0)
    error = np.sqrt(variance / safe)
    return np.where(enough, mean, np.nan), np.where(enough, error, np.nan)


def _trailing(values: FloatArray, window: int) -> FloatArray:
    sums = np.concatenate(([0.0], np.cumsum(values)))
    stop = np.arange(1, len(values) + 1)
    result: FloatArray = sums[stop] - sums[np.maximum(stop - window, 0)]
    return result


def format_number(value: object, style: str = "plain", *, signed: bool = False) -> str:
    """Return `value` as a person reads it; None, NaN, infinite and non-numbers are a dash.

    Styles: ``plain`` (2 decimals), ``ic`` (4 decimals), ``score`` (1 decimal), ``percent`` (1 decimal),
    ``fine_percent`` (2 decimals), ``share`` (whole percent), ``probability`` (3 decimals, never
    rounded up to 1), ``count`` (thin spaces between thousands).
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return DASH
    figure = float(value)
    if not math.isfinite(figure):
        return DASH
    sign = "+" if signed else ""
    if style == "count":
        return f"{figure:,.0f}".replace(",", "\u202f")
    if style == "probability":
        return f"{figure:.3f}" if figure <= 0.9995 or figure >= 1 else ">0.999"
    if style in ("percent", "fine_percent", "share"):
        digits = {"percent": 1, "fine_percent": 2, "share": 0}[style]
        return _minus(f"{100 * figure:{sign},.{digits}f}".replace(",", "\u202f") + "\u202f%")
    if abs(figure) >= 1e6:
        return _minus(f"{figure:{sign}.2e}")
    decimals = {"ic": 4, "score": 1}.get(style, 2)
    return _minus(f"{figure:{sign}.{decimals}f}")


def _minus(text: str) -> str:
    """Use the typographic minus, and no minus before a rounded zero."""
    if text.startswith("-") and not any(digit in text for digit in "123456789"):
        text = text[1:]
    return text.replace("-", "−")


def tick_label(value: float, step: float, *, percent: bool = False) -> str:
    """Return `value` with as many decimals as `step` (the distance between ticks) needs."""
    scale = 100.0 if percent else 1.0
    shown, apart = value * scale, abs(step * scale)
    if apart > 0 and (abs(shown) >= 1e6 or apart < 1e-6):
        return _minus(f"{shown:.1e}" if shown else "0") + ("\u202f%" if percent else "")
    digits = max(0, -math.floor(math.log10(apart) + 1e-9)) if apart > 0 else 2
    text = f"{shown:,.{min(digits, 8)}f}".replace(",", "\u202f")
    return _minus(text) + ("\u202f%" if percent else "")
