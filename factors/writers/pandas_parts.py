"""The pieces of an exported pandas function: each operator of ours, written for itself with numpy and pandas.

They are text, put together by `factors.writers.pandas_code`. They are written for clarity, one window at a time, and
apart from the engine's kernels, so that the two check each other.
"""

from __future__ import annotations

from collections.abc import Mapping

# name -> (names of the parts it uses, source). The names of operators are those of the language.
HELPERS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "finite": ((), """
def finite(x):
    x = np.asarray(x, dtype=float)
    return np.where(np.isfinite(x), x, np.nan)
"""),
    "windows": ((), """
def windows(x, d):
    # (T, N, d): the last d bars of each cell, oldest first; NaN before the first full window.
    padded = np.vstack([np.full((d - 1, x.shape[1]), np.nan), x])
    return np.lib.stride_tricks.sliding_window_view(padded, d, axis=0)
"""),
    "rolled": (("windows",), """
def rolled(statistic, d, *series):
    # statistic of windows without a gap; series of one asset at a time keep memory small.
    out = np.full(series[0].shape, np.nan)
    for i in range(out.shape[1]):
        views = [windows(x[:, i : i + 1], d)[:, 0] for x in series]
        full = np.all([np.isfinite(view).all(axis=1) for view in views], axis=0)
        if full.any():
            out[full, i] = statistic(*(view[full] for view in views))
    return out
"""),
    "flat": ((), """
def flat(w):
    return w.max(axis=1) == w.min(axis=1)
"""),
    "centred": (("flat",), """
def centred(w):
    # Deviations from the mean; exactly 0 where nothing moves.
    return np.where(flat(w)[:, None], 0.0, w - w.mean(axis=1, keepdims=True))
"""),
    "tied": ((), """
def tied(a, b):
    return np.abs(a - b) <= 1e-12 * np.maximum(np.abs(a), np.abs(b))
"""),
    "recursive": ((), """
def recursive(x, alpha, warm):
    # alpha x + (1 - alpha) last, starting again after a gap; NaN until `warm` values in a row.
    out = np.full(x.shape, np.nan)
    for i in range(x.shape[1]):
        run = 0
        level = 0.0
        for t in range(len(x)):
            if not np.isfinite(x[t, i]):
                run = 0
                continue
            level = x[t, i] if run == 0 else alpha * x[t, i] + (1.0 - alpha) * level
            run += 1
            if run >= warm:
                out[t, i] = level
    return out
"""),
    "average_ranks": (("tied",), """
def average_ranks(x):
    # 1..n in each row; values equal but for rounding share their average rank, and NaN stays NaN.
    order = np.argsort(x, axis=1, kind="stable")
    values = np.take_along_axis(x, order, axis=1)
    columns = np.arange(x.shape[1])
    # In ascending order, where each value's group of ties starts and ends.
    start = np.zeros(x.shape, dtype=int)
    for k in columns[1:]:
        smallest = np.take_along_axis(values, start[:, k - 1 : k], axis=1)[:, 0]
        start[:, k] = np.where(tied(values[:, k], smallest), start[:, k - 1], k)
    end = np.tile(columns, (len(x), 1))
    for k in columns[-2::-1]:
        end[:, k] = np.where(start[:, k + 1] == start[:, k], end[:, k + 1], k)
    out = np.empty(x.shape)
    np.put_along_axis(out, order, 0.5 * (start + end) + 1.0, axis=1)
    return np.where(np.isfinite(x), out, np.nan)
"""),
    "shares": ((), """
def shares(ranks):
    # Ranks over how many there are in the row.
    return ranks / np.maximum(np.isfinite(ranks).sum(axis=1, keepdims=True), 1)
"""),
    "places": (("average_ranks",), """
def places(x):
    # Where each value stands in its row, in (0, 1).
    return (average_ranks(x) - 0.5) / np.maximum(np.isfinite(x).sum(axis=1, keepdims=True), 1)
"""),
    "market": ((), """
def market(opened, close, inside, at_open):
    # Equal-weighted index: 1 times its assets' mean moves; its open is yesterday's close times the mean gap.
    before = np.vstack([np.full((1, close.shape[1]), np.nan), close[:-1]])
    def mean_move(price):
        move = price / before - 1.0
        known = inside & np.isfinite(move)
        return np.cumsum(np.where(known, move, 0.0), axis=1)[:, -1] / np.maximum(known.sum(axis=1), 1)
    level = np.cumprod(1.0 + mean_move(close))
    start = np.concatenate([[np.nan], level[:-1]]) * (1.0 + mean_move(opened))
    return np.broadcast_to((start if at_open else level)[:, None], close.shape)
"""),
    "by_bar": ((), """
def by_bar(statistic, x, *others):
    return np.vstack([statistic(*rows) for rows in zip(x, *others, strict=True)])
"""),
    "in_groups": ((), """
def in_groups(statistic, x, g):
    out = np.full(x.shape, np.nan)
    for t in range(len(x)):
        for code in np.unique(g[t][np.isfinite(g[t])]):
            members = g[t] == code
            out[t, members] = statistic(x[t, members])
    return out
"""),
    "fit": (("centred",), """
def fit(w):
    # Slope on time, and the deviations from the mean of time and value.
    time = np.arange(w.shape[1]) - 0.5 * (w.shape[1] - 1)
    gaps = centred(w)
    return gaps @ time / (time @ time), time, gaps
"""),
    "spread": ((), """
def spread(row):
    known = row[np.isfinite(row)]
    if len(known) < 2 or known.max() == known.min():
        return 0.0 if len(known) > 1 else np.nan
    return np.std(known, ddof=1)
"""),
}  # fmt: skip

_R = ("rolled",)
_RC = ("rolled", "centred")
ELEMENTWISE: Mapping[str, str] = {
    "div": "np.where(y == 0, np.nan, x / np.where(y == 0, 1.0, y))",
    "power": "np.where((x == 0) & (y < 0), np.nan, np.power(x, y))",
    "signed_power": "np.sign(x) * np.where((x == 0) & (y < 0), np.nan, np.power(np.abs(x), y))",
    "abs": "np.abs(x)",
    "sign": "np.sign(x)",
    "log": "np.log(np.where(x > 0, x, np.nan))",
    "log1p": "np.log1p(np.where(x > -1, x, np.nan))",
    "exp": "np.exp(x)",
    "sqrt": "np.sqrt(np.where(x >= 0, x, np.nan))",
    "tanh": "np.tanh(x)",
    "atan": "np.arctan(x)",
    "sigmoid": "1.0 / (1.0 + np.exp(-x))",
    "floor": "np.floor(x)",
    "round": "np.rint(x)",
    "mod": "np.mod(x, np.where(y == 0, np.nan, y))",
    "is_nan": "np.isnan(x) * 1.0",
    "max": "np.where(np.isnan(x) | np.isnan(y), np.nan, np.where(x > y, x, y))",
    "min": "np.where(np.isnan(x) | np.isnan(y), np.nan, np.where(x < y, x, y))",
    "lt": "np.where(np.isnan(x) | np.isnan(y), np.nan, x < y)",
    "le": "np.where(np.isnan(x) | np.isnan(y), np.nan, x <= y)",
    "gt": "np.where(np.isnan(x) | np.isnan(y), np.nan, x > y)",
    "ge": "np.where(np.isnan(x) | np.isnan(y), np.nan, x >= y)",
    "eq": "np.where(np.isnan(x) | np.isnan(y), np.nan, x == y)",
    "ne": "np.where(np.isnan(x) | np.isnan(y), np.nan, x != y)",
    "and_": "np.where(np.isnan(p) | np.isnan(q), np.nan, (p != 0) & (q != 0))",
    "or_": "np.where(np.isnan(p) | np.isnan(q), np.nan, (p != 0) | (q != 0))",
    "not_": "np.where(np.isnan(p), np.nan, p == 0)",
    "if_else": "np.where(np.isnan(c), np.nan, np.where(c != 0, x, y))",
    "clip": "np.where(np.isnan(x), np.nan, np.minimum(np.maximum(x, lo), hi))",
    "group_cross": "g * 1e6 + h",
}
# operator -> (parts it uses, body of its function)
OPERATORS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "ts_delay": ((), "return np.vstack([np.full((min(d, len(x)), x.shape[1]), np.nan), x[:-d]])"),
    "ts_delta": (("ts_delay",), "return x - ts_delay(x, d)"),
    "ts_returns": (("ts_delay", "div"), "return div(x, ts_delay(x, d)) - 1.0"),
    "ts_log_return": (("ts_delay", "div", "log"), "return log(div(x, ts_delay(x, d)))"),
    "ts_sum": (_R, "return rolled(lambda w: w.sum(axis=1), d, x)"),
    "ts_mean": (("rolled", "flat"), "return rolled(lambda w: np.where(flat(w), w[:, 0], w.mean(axis=1)), d, x)"),
    "ts_std": (_RC, "return rolled(lambda w: np.sqrt((centred(w) ** 2).sum(axis=1) / (d - 1)), d, x)"),
    "ts_var": (_RC, "return rolled(lambda w: (centred(w) ** 2).sum(axis=1) / (d - 1), d, x)"),
    "ts_skew": (_RC, """
def statistic(w):
    z = centred(w)
    return (z**3).mean(axis=1) / (z**2).mean(axis=1) ** 1.5 * np.sqrt(d * (d - 1)) / (d - 2)
return rolled(statistic, d, x)"""),
    "ts_kurt": (_RC, """
def statistic(w):
    z = centred(w)
    raw = (z**4).mean(axis=1) / (z**2).mean(axis=1) ** 2 - 3
    return (d - 1) / ((d - 2) * (d - 3)) * ((d + 1) * raw + 6)
return rolled(statistic, d, x)"""),
    "ts_moment": (_RC, """
def statistic(w):
    return (centred(w) ** int(k)).mean(axis=1) if k > 1 else 0.0 * w[:, 0]
return rolled(statistic, d, x)"""),
    "ts_min": (_R, "return rolled(lambda w: w.min(axis=1), d, x)"),
    "ts_max": (_R, "return rolled(lambda w: w.max(axis=1), d, x)"),
    "ts_argmax": (("rolled", "tied"), """
def statistic(w):
    best, age = w[:, -1].copy(), np.zeros(len(w))
    for back in range(1, d):
        value = w[:, -1 - back]
        better = (value > best) & ~tied(value, best)
        best, age = np.where(better, value, best), np.where(better, back, age)
    return age
return rolled(statistic, d, x)"""),
    "ts_argmin": (("ts_argmax",), "return ts_argmax(-x, d)"),
    "ts_rank": (("rolled", "tied"), """
def statistic(w):
    newest = w[:, -1:]
    equal = tied(w, newest)
    return ((~equal & (w < newest)).sum(axis=1) + 0.5 * (equal.sum(axis=1) + 1)) / d
return rolled(statistic, d, x)"""),
    "ts_zscore": (_RC, """
def statistic(w):
    z = centred(w)
    return z[:, -1] / np.sqrt((z**2).sum(axis=1) / (d - 1))
return rolled(statistic, d, x)"""),
    "ts_ir": (_RC, "return rolled(lambda w: w.mean(axis=1) / np.sqrt((centred(w) ** 2).sum(axis=1) / (d - 1)), d, x)"),
    "ts_median": (_R, "return rolled(lambda w: np.median(w, axis=1), d, x)"),
    "ts_quantile": (_R, "return rolled(lambda w: np.quantile(w, level, axis=1), d, x)"),
    "ts_mad": (_RC, "return rolled(lambda w: np.abs(centred(w)).mean(axis=1), d, x)"),
    "ts_product": (_R, "return rolled(lambda w: w.prod(axis=1), d, x)"),
    "ts_scale": (_R, """
def statistic(w):
    low, high = w.min(axis=1), w.max(axis=1)
    return (w[:, -1] - low) / (high - low)
return rolled(statistic, d, x)"""),
    "ts_backfill": ((), "return pd.DataFrame(x).ffill(limit=d - 1).to_numpy() if d > 1 else x"),
    "ts_decay_linear": (_R, "return rolled(lambda w: w @ (np.arange(1, d + 1) / (d * (d + 1) / 2)), d, x)"),
    "ts_decay_exp": (_R, """
weights = np.power(float(a), np.arange(d))[::-1]
return rolled(lambda w: w @ (weights / weights.sum()), d, x)"""),
    "ts_ema": (("recursive",), "return recursive(x, 2.0 / (d + 1.0), d)"),
    "ts_sma": (("recursive",), "return recursive(x, m / n, n)"),
    "ts_kama": ((), """
out = np.full(x.shape, np.nan)
for i in range(x.shape[1]):
    run, level = 0, 0.0
    for t in range(len(x)):
        run = run + 1 if np.isfinite(x[t, i]) else 0
        if run == d:
            level = x[t, i]
        if run > d:
            path = np.abs(np.diff(x[t - d : t + 1, i])).sum()
            efficiency = abs(x[t, i] - x[t - d, i]) / path if path > 0 else 0.0
            level += (efficiency * (2 / 3 - 2 / 31) + 2 / 31) ** 2 * (x[t, i] - level)
            out[t, i] = level
return out"""),
    "ts_slope": (("rolled", "fit"), "return rolled(lambda w: fit(w)[0], d, x)"),
    "ts_rsquare": (("rolled", "fit"), """
def statistic(w):
    slope, time, gaps = fit(w)
    return np.minimum(1.0, slope**2 * (time @ time) / (gaps**2).sum(axis=1))
return rolled(statistic, d, x)"""),
    "ts_resid": (("rolled", "fit"), """
def statistic(w):
    slope, time, gaps = fit(w)
    return gaps[:, -1] - slope * time[-1]
return rolled(statistic, d, x)"""),
    "ts_autocorr": (("ts_corr", "ts_delay"), "return ts_corr(x, ts_delay(x, lag), d)"),
    "ts_count": (_R, "return rolled(lambda w: (w != 0).sum(axis=1), d, c)"),
    "ts_sumif": (_R, "return rolled(lambda w, v: np.where(v != 0, w, 0.0).sum(axis=1), d, x, c)"),
    "bars_since": (_R, """
def statistic(w):
    true = w[:, ::-1] != 0
    return np.where(true.any(axis=1), true.argmax(axis=1), d)
return rolled(statistic, d, c)"""),
    "ts_corr": (_RC, """
def statistic(u, v):
    a, b = centred(u), centred(v)
    size = np.sqrt((a**2).sum(axis=1)) * np.sqrt((b**2).sum(axis=1))
    share = (a * b).sum(axis=1) / size
    share = np.where(np.abs(share) <= 1e-12, 0.0, share)
    return np.where(np.abs(share) > 1.0 - 1e-12, np.sign(share), share)
return rolled(statistic, d, x, y)"""),
    "ts_cov": (_RC, """
def statistic(u, v):
    a, b = centred(u), centred(v)
    together = (a * b).sum(axis=1)
    size = np.sqrt((a**2).sum(axis=1)) * np.sqrt((b**2).sum(axis=1))
    return np.where(np.abs(together) <= 1e-12 * size, 0.0, together) / (d - 1)
return rolled(statistic, d, x, y)"""),
    "ts_beta": (_RC, """
def statistic(u, v):
    a, b = centred(u), centred(v)
    together = (a * b).sum(axis=1)
    size = np.sqrt((a**2).sum(axis=1)) * np.sqrt((b**2).sum(axis=1))
    return np.where(np.abs(together) <= 1e-12 * size, 0.0, together) / (b**2).sum(axis=1)
return rolled(statistic, d, y, x)"""),
    "trade_when": ((), """
c, x, q = np.broadcast_arrays(c, x, q)
out, known, age = np.full(x.shape, np.nan), np.full(x.shape[1], np.nan), np.full(x.shape[1], d)
for t in range(len(x)):
    enters, leaves = np.nan_to_num(c[t]) != 0, np.nan_to_num(q[t]) != 0
    known = np.where(enters & ~leaves, x[t], known)
    age = np.where(leaves, d, np.where(enters, 0, age + 1))
    out[t] = np.where(age < d, known, np.nan)
return out"""),
    "hump": ((), """
out, level = np.full(x.shape, np.nan), np.full(x.shape[1], np.nan)
for t in range(len(x)):
    limit = k * np.nansum(np.abs(x[t]))
    change = x[t] - level
    moved = np.where(np.abs(change) >= limit, level + limit * np.sign(change), level)
    level = np.where(np.isnan(x[t]), level, np.where(np.isnan(change), x[t], moved))
    out[t] = np.where(np.isnan(x[t]), np.nan, level)
return out"""),
    "cum_sum": ((), "return np.where(np.isfinite(x), np.nancumsum(x, axis=0), np.nan)"),
    "cum_mean": (("cum_sum",), "return cum_sum(x) / np.maximum(np.cumsum(np.isfinite(x), axis=0), 1)"),
    "cum_max": ((), "return pd.DataFrame(x).cummax().to_numpy()"),
    "cum_min": ((), "return pd.DataFrame(x).cummin().to_numpy()"),
    "cum_product": ((), "return np.where(np.isfinite(x), np.nancumprod(x, axis=0), np.nan)"),
    "cum_count": (("cum_sum",), "return cum_sum(np.where(np.isnan(c), np.nan, c != 0))"),
    "rsi": (_R, """
def statistic(w):
    moves = np.diff(w, axis=1)
    gains, losses = np.maximum(moves, 0).sum(axis=1), np.maximum(-moves, 0).sum(axis=1)
    return 100 * gains / (gains + losses)
return rolled(statistic, d + 1, x)"""),
    "atr": (("ts_mean", "ts_delay"), """
before = ts_delay(close, 1)
return ts_mean(np.maximum(high - low, np.maximum(np.abs(high - before), np.abs(low - before))), d)"""),
    "adx": (("recursive", "ts_delay"), """
up, down = high - ts_delay(high, 1), ts_delay(low, 1) - low
known = np.isfinite(up + down + close)
plus = np.where(known, np.where((up > down) & (up > 0), up, 0.0), np.nan)
minus = np.where(known, np.where((down > up) & (down > 0), down, 0.0), np.nan)
plus, minus = recursive(plus, 1 / d, d), recursive(minus, 1 / d, d)
index = np.where(plus + minus == 0, 0.0, 100 * np.abs(plus - minus) / np.where(plus + minus == 0, 1.0, plus + minus))
return recursive(index, 1 / d, d)"""),
    "cs_rank": (("shares", "average_ranks"), "return shares(average_ranks(x))"),
    "cs_zscore": (("by_bar", "spread"), """
def statistic(row):
    deviation = spread(row)
    return (row - np.nanmean(row)) / deviation if deviation > 0 else np.full(len(row), np.nan)
return by_bar(statistic, x)"""),
    "cs_mean": (("by_bar",), "return by_bar(lambda row: np.where(np.isfinite(row), np.nanmean(row), np.nan), x)"),
    "cs_demean": (("by_bar",), "return by_bar(lambda row: row - np.nanmean(row), x)"),
    "cs_scale": (("by_bar",), """
def statistic(row):
    size = np.nansum(np.abs(row))
    return row / size if size > 0 else np.full(len(row), np.nan)
return by_bar(statistic, x)"""),
    "cs_winsorize": (("by_bar", "spread"), """
def statistic(row):
    reach = k * spread(row)
    return np.clip(row, np.nanmean(row) - reach, np.nanmean(row) + reach)
return by_bar(statistic, x)"""),
    "cs_quantile": (("by_bar",), """
def statistic(row):
    return np.where(np.isfinite(row), np.nanquantile(row, level), np.nan)
return by_bar(statistic, x)"""),
    "cs_top_bottom": (("places",), """
place = places(x)
sides = (place > 1 - share + 1e-9) * 1.0 - (place < share - 1e-9) * 1.0
return np.where(np.isfinite(x), sides, np.nan)"""),
    "cs_resid": (("by_bar",), """
def statistic(u, v):
    known = np.isfinite(u) & np.isfinite(v)
    out = np.full(len(u), np.nan)
    if known.any():
        a, b = u[known] - u[known].mean(), v[known] - v[known].mean()
        slope = a @ b / (b @ b) if v[known].max() > v[known].min() else 0.0
        out[known] = a - slope * b
    return out
return by_bar(statistic, y, x)"""),
    "bucket": (("places",), "return np.clip(np.floor(places(x) * n), 0, n - 1)"),
    "group_mean": (("in_groups",),
                   "return in_groups(lambda row: np.where(np.isfinite(row), np.nanmean(row), np.nan), x, g)"),
    "group_neutralize": (("in_groups",), "return in_groups(lambda row: row - np.nanmean(row), x, g)"),
    "group_std": (("in_groups", "spread"),
                  "return in_groups(lambda row: np.where(np.isfinite(row), spread(row), np.nan), x, g)"),
    "group_count": (("in_groups",),
                    "return in_groups(lambda row: np.where(np.isfinite(row), np.isfinite(row).sum(), np.nan), x, g)"),
    "group_max": (("in_groups",),
                  "return in_groups(lambda row: np.where(np.isfinite(row), np.nanmax(row), np.nan), x, g)"),
    "group_min": (("in_groups",),
                  "return in_groups(lambda row: np.where(np.isfinite(row), np.nanmin(row), np.nan), x, g)"),
    "group_rank": (("in_groups", "shares", "average_ranks"),
                   "return in_groups(lambda row: shares(average_ranks(row[None]))[0], x, g)"),
    "group_zscore": (("in_groups", "spread"), """
def statistic(row):
    deviation = spread(row)
    return (row - np.nanmean(row)) / deviation if deviation > 0 else np.full(len(row), np.nan)
return in_groups(statistic, x, g)"""),
}  # fmt: skip
