"""The pieces of an exported module that turn values into positions: combining, evaluating, averaging.

They are text like `factors.writers.pandas_parts`, and say once more, with numpy alone, what the backtest and the pools
do: the two check each other. Arrays are (T, N); `x` is the signal within the universe, NaN where there is no opinion.
"""

from __future__ import annotations

from collections.abc import Mapping

# name -> (names of the parts it uses, source)
PORTFOLIO: Mapping[str, tuple[tuple[str, ...], str]] = {
    "combine": (("average_ranks",), """
def combine(members, member_weights, least_share, decimals, inside):
    # The sum of members times their weights, each member as its rank among the assets of the bar, centred, in
    # (-1/2, 1/2). An unknown member adds nothing; too few known is NaN.
    total = np.zeros(inside.shape)
    known = np.zeros(inside.shape)
    for member, weight in zip(members, member_weights):
        x = np.where(inside, member, np.nan)
        count = np.isfinite(x).sum(axis=1, keepdims=True)
        centred = 2.0 * average_ranks(x) - (count + 1.0)
        has = np.isfinite(x)
        total += np.where(has, weight / (2.0 * np.maximum(count, 1)) * centred, 0.0)
        known += np.where(has, abs(weight), 0.0)
    # A hair below: weights of a third each add up to a little less than one.
    least = least_share * np.abs(member_weights).sum() * (1.0 - 1e-9)
    return np.round(np.where((known >= least) & (known > 0), total, np.nan), decimals)
"""),
    "liquid": (("finite",), """
def liquid(frames, inside, top, least_money, bars, bars_a_day, step):
    # Which assets were traded enough over the last `bars`, computed again every `step` bars from the first one.
    money = frames["amount"] if "amount" in frames else frames["volume"] * frames["close"]
    known = pd.DataFrame(np.where(inside, finite(money.to_numpy()), np.nan))
    mean = known.rolling(bars, min_periods=max(1, bars // 2)).mean().to_numpy()
    chosen = np.isfinite(mean)
    if least_money > 0:
        chosen &= np.nan_to_num(mean) * bars_a_day >= least_money
    if 0 < top < mean.shape[1]:
        ranked = -np.sort(-np.where(chosen, mean, -np.inf), axis=1)
        chosen &= mean >= ranked[:, top - 1 : top]
    return inside & chosen[np.arange(len(chosen)) // step * step]
"""),
    "row_sum": ((), """
def row_sum(x):
    # Summed in order, as rounding is then the same everywhere; NaN adds nothing.
    return np.cumsum(np.where(np.isnan(x), 0.0, x), axis=1)[:, -1:]
"""),
    "by_rank": (("average_ranks",), """
def by_rank(x):
    count = np.isfinite(x).sum(axis=1, keepdims=True)
    return np.where(np.isfinite(x), average_ranks(x) - 0.5 * (count + 1), 0.0)
"""),
    "by_zscore": (("row_sum",), """
def by_zscore(x):
    # Within three deviations, less their mean.
    count = np.isfinite(x).sum(axis=1, keepdims=True)
    gap = x - row_sum(x) / np.maximum(count, 1)
    deviation = np.sqrt(row_sum(gap**2) / np.maximum(count - 1, 1))
    z = np.clip(gap / deviation, -3.0, 3.0)
    z = np.where(np.isnan(z), 0.0, z)
    return np.where(np.isfinite(x), z - row_sum(z) / np.maximum(count, 1), 0.0)
"""),
    "by_ends": (("places",), """
def by_ends(x, quantiles, long_only):
    # The top quantile at 1 and, unless long only, the bottom one at -1.
    part = np.minimum(np.floor(places(x) * quantiles), quantiles - 1)
    out = np.where(part == quantiles - 1, 1.0, 0.0)
    if not long_only:
        out = np.where((part == 0) & (part < quantiles - 1), -1.0, out)
    return np.where(np.isfinite(x).sum(axis=1, keepdims=True) >= quantiles, out, 0.0)
"""),
    "within_groups": ((), """
def within_groups(out, x, groups):
    # Less the mean of its group; what has no group, or is alone in it, is 0.
    groups = np.broadcast_to(groups, out.shape)
    found = np.zeros(out.shape)
    for t in range(len(out)):
        for code in np.unique(groups[t][np.isfinite(groups[t])]):
            members = (groups[t] == code) & np.isfinite(x[t])
            if members.any():
                found[t, members] = out[t, members] - np.cumsum(out[t, members])[-1] / members.sum()
    return found
"""),
    "spread_of_last": (("windows",), """
def spread_of_last(x, d, least):
    # Mean and deviation (ddof 1) of the finite values among the last d; NaN where they are fewer than `least`.
    mean, deviation = np.full(x.shape, np.nan), np.full(x.shape, np.nan)
    for i in range(x.shape[1]):
        view = windows(x[:, i : i + 1], d)[:, 0]
        known = np.isfinite(view)
        count = known.sum(axis=1)
        pivot = np.where(count > 0, np.where(known, view, -np.inf).max(axis=1), 0.0)
        moved = np.where(known, view - pivot[:, None], 0.0)
        shift = moved.sum(axis=1) / np.maximum(count, 1)
        square = (np.where(known, moved - shift[:, None], 0.0) ** 2).sum(axis=1)
        enough = count >= max(least, 2)
        mean[:, i] = np.where(enough, pivot + shift, np.nan)
        deviation[:, i] = np.where(enough, np.sqrt(square / np.maximum(count - 1, 1)), np.nan)
    return mean, deviation
"""),
    "volatility": (("spread_of_last", "finite"), """
def volatility(frames):
    # Of the last 60 returns a bar, close to close; NaN below 20 of them.
    close = finite(frames["close"].to_numpy())
    moves = np.vstack([np.full((1, close.shape[1]), np.nan), close[1:] / close[:-1] - 1.0])
    return spread_of_last(finite(moves), 60, 20)[1]
"""),
    "newest_sum": ((), """
def newest_sum(x, bars):
    # Over the last bars, the oldest first, each row by itself; what is not known has to be 0.
    total = np.zeros(x.shape)
    for back in range(min(bars, len(x)) - 1, -1, -1):
        total[back:] += x[: len(x) - back]
    return total
"""),
    "market_beta": (("newest_sum", "finite"), """
def market_beta(frames, inside):
    # Of the last 60 returns to the mean return of the assets inside, a third of the way to 1; NaN below 20 of them.
    close = finite(frames["close"].to_numpy())
    moves = finite(np.vstack([np.full((1, close.shape[1]), np.nan), close[1:] / close[:-1] - 1.0]))
    known = np.isfinite(moves)
    moves = np.where(known, moves, 0.0)
    there = known & inside
    market = (np.where(there, moves, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1))[:, None]
    shared, square = newest_sum(moves * market, 60), newest_sum(np.where(known, market**2, 0.0), 60)
    own = np.where(square > 0.0, shared / np.where(square > 0.0, square, 1.0), 1.0)
    beta = np.clip((1.0 - 1.0 / 3.0) * own + 1.0 / 3.0, 0.0, 3.0)
    return np.where(newest_sum(known.astype(float), 60) >= 20, beta, np.nan)
"""),
    "free_of_market": (("within_groups",), """
def free_of_market(out, x, beta, groups, held_only):
    # Less the fit on beta, within groups, among assets with an opinion and a beta (and a weight, if held_only).
    member = np.isfinite(x) & np.isfinite(beta)
    if held_only:
        member &= np.abs(out) > 1e-9
    among = np.where(member, x, np.nan)
    out = within_groups(np.where(member, out, 0.0), among, groups)
    slope = within_groups(np.where(member, beta, 0.0), among, groups)
    square = (slope**2).sum(axis=1, keepdims=True)
    share = (out * slope).sum(axis=1, keepdims=True) / np.where(square > 1e-9, square, np.inf)
    found = out - share * slope
    # A fit that leaves nothing leaves rounding dust; that is not a position.
    left = np.abs(found).sum(axis=1, keepdims=True) > 1e-9 * np.abs(out).sum(axis=1, keepdims=True)
    return np.where(left, found, 0.0)
"""),
    "liquid_half": (("newest_sum", "finite"), """
def liquid_half(frames, inside):
    # Which assets are in the upper half by money traded over the last 60 bars, 20 of them known.
    money = frames["amount"] if "amount" in frames else frames["volume"] * frames["close"]
    money = finite(money.to_numpy())
    known = np.isfinite(money)
    count = newest_sum(known.astype(float), 60)
    mean = newest_sum(np.where(known, money, 0.0), 60) / np.maximum(count, 1.0)
    mean = np.where(inside & (count >= 20), mean, np.nan)
    middle = np.isfinite(mean).sum(axis=1, keepdims=True) // 2
    return mean >= np.take_along_axis(np.sort(mean, axis=1), middle, axis=1)
"""),
    "by_own_past": (("spread_of_last",), """
def by_own_past(x):
    # Each asset by its z-score against its last 240 values (20 at least), within three deviations, over three.
    mean, deviation = spread_of_last(x, 240, 20)
    moves = deviation > 1e-9 * np.abs(mean)
    z = np.where(moves & np.isfinite(x), (x - mean) / np.where(moves, deviation, 1.0), np.nan)
    out = np.clip(z, -3.0, 3.0) / 3.0
    return np.where(np.isfinite(out), out, 0.0)
"""),
    "to_size": ((), """
def to_size(out, x, sides):
    # To gross 1. sides: "long" keeps longs only, "each" brings both sides to a half, "both" scales all alike.
    ups = np.maximum(out, 0.0).sum(axis=1, keepdims=True)
    downs = np.maximum(-out, 0.0).sum(axis=1, keepdims=True)
    gross = ups + downs
    # Equal ranks leave rounding dust; that is not a position.
    whole = (np.isfinite(x).sum(axis=1, keepdims=True) > 1) & (gross > 1e-9) & (gross < np.inf)
    if sides != "long":
        whole &= np.minimum(ups, downs) > 0.0
    if sides == "long":
        up, down = 1.0 / ups, 0.0 * downs
    elif sides == "each":
        up, down = 0.5 / ups, 0.5 / downs
    else:
        up = down = 1.0 / gross
    return np.where(whole, np.where(out > 0.0, out * up, out * down), 0.0)
"""),
    "level_sides": ((), """
def level_sides(out):
    # The larger side is scaled down to the smaller: a neutral portfolio stays neutral.
    ups = np.maximum(out, 0.0).sum(axis=1, keepdims=True)
    downs = np.maximum(-out, 0.0).sum(axis=1, keepdims=True)
    kept = np.minimum(ups, downs)
    up = np.where(ups > 0.0, kept / np.where(ups > 0.0, ups, 1.0), 0.0)
    down = np.where(downs > 0.0, kept / np.where(downs > 0.0, downs, 1.0), 0.0)
    return out * np.where(out > 0.0, up, down)
"""),
    "capped": (("level_sides",), """
def capped(out, cap, neutral):
    # No position above the cap; what is cut off is not handed to others.
    cut = np.clip(out, -cap, cap)
    if not neutral:
        return cut
    both = (cut > 0).any(axis=1, keepdims=True) & (cut < 0).any(axis=1, keepdims=True)
    return np.where(both, level_sides(cut), cut)
"""),
    "risk_capped": (("level_sides",), """
def risk_capped(out, spread, largest, neutral):
    # No position's volatility a bar above the largest; without a volatility, no position.
    bound = np.where(spread > 0, largest / np.where(spread > 0, spread, 1.0), 0.0)
    keep = np.where(out == 0, 1.0, np.minimum(bound / np.where(out == 0, 1.0, np.abs(out)), 1.0))
    return level_sides(out * keep) if neutral else out * keep
"""),
    "averaged": ((), """
def averaged(out, bars):
    # The mean of the last targets, bars before the first counting as flat: as many overlapping portfolios.
    total = np.zeros(out.shape)
    for back in range(min(bars, len(out)) - 1, -1, -1):
        total[back:] += out[: len(out) - back]
    return total / bars
"""),
}  # fmt: skip
