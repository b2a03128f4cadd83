"""AlphaGen's expressions (Yu et al. 2023, arXiv 2306.12964): prefix operators, windows as deltas (`20d` is 20 bars)."""

from __future__ import annotations

import math
import re

from factors.dialects.base import Dialect, Rewrite, exactly, number_node, ours, same, whole
from factors.syntax import Fault, Raw, RawCall, RawName, RawNumber

_SAME = {
    "add": "add", "sub": "sub", "mul": "mul", "div": "div", "pow": "power", "greater": "max", "less": "min",
    "abs": "abs", "sign": "sign", "log": "log", "inv": "inverse", "ref": "ts_delay", "mean": "ts_mean",
    "sum": "ts_sum", "std": "ts_std", "var": "ts_var", "max": "ts_max", "min": "ts_min", "mad": "ts_mad",
    "delta": "ts_delta", "tsir": "ts_ir", "tsminmaxdiff": "ts_min_max_diff", "tspctchange": "ts_returns",
    "cov": "ts_cov", "corr": "ts_corr",
}  # fmt: skip
_UNARY = ("abs", "sign", "slog1p", "inv", "log", "csrank")
_TERNARY = ("cov", "corr")


def _bars(raw: Raw) -> RawNumber:
    """Return a window: `20d` means 20 bars here, whatever a bar is."""
    return number_node(float(whole(number_node(raw.value, raw) if isinstance(raw, RawNumber) else raw, "a delta")), raw)


def _windowed(inner: Rewrite) -> Rewrite:
    def rewrite(raw: RawCall, notes: list[str]) -> Raw:
        if len(raw.args) < 2:
            return inner(raw, notes)
        return inner(RawCall(raw.name, (*raw.args[:-1], _bars(raw.args[-1])), raw.at), notes)

    return rewrite


def _rank(raw: RawCall, notes: list[str]) -> Raw:
    exactly(raw, 2, "Rank(x, d)")
    notes.append("AlphaGen's Rank counts from the top, the largest first: 1 + 1/d - ts_rank(x, d)")
    size = whole(raw.args[1], "Rank")
    return ours("sub", raw, number_node(1.0 + 1.0 / size, raw), ours("ts_rank", raw, *raw.args))


def _median(raw: RawCall, notes: list[str]) -> Raw:
    exactly(raw, 2, "Med(x, d)")
    size = whole(raw.args[1], "Med")
    if size % 2:
        return ours("ts_median", raw, *raw.args)
    notes.append("AlphaGen's Med of an even window is the lower of the two middle values")
    return ours("ts_quantile", raw, *raw.args, number_node((size / 2 - 1) / (size - 1), raw))


def _skew(raw: RawCall, notes: list[str]) -> Raw:
    exactly(raw, 2, "Skew(x, d)")
    size = whole(raw.args[1], "Skew")
    if size < 3:
        raise Fault("window", "Skew needs a window of at least 3", "choose a longer one", raw.at)
    notes.append("AlphaGen's Skew is not bias-corrected")
    share = (size - 2) / math.sqrt(size * (size - 1))
    return ours("mul", raw, number_node(share, raw), ours("ts_skew", raw, *raw.args))


def _kurt(raw: RawCall, notes: list[str]) -> Raw:
    exactly(raw, 2, "Kurt(x, d)")
    size = whole(raw.args[1], "Kurt")
    if size < 4:
        raise Fault("window", "Kurt needs a window of at least 4", "choose a longer one", raw.at)
    notes.append("AlphaGen's Kurt is not bias-corrected, and divides by the square of the unbiased variance")
    # raw + 3 = m4 / m2^2 from the bias-corrected excess, then m2 in terms of the unbiased variance.
    shrink = ((size - 1) / size) ** 2
    slope = (size - 2) * (size - 3) / ((size - 1) * (size + 1)) * shrink
    level = (3.0 - 6.0 / (size + 1)) * shrink - 3.0
    return ours(
        "add", raw, ours("mul", raw, number_node(slope, raw), ours("ts_kurt", raw, *raw.args)), number_node(level, raw)
    )


def _wma(raw: RawCall, notes: list[str]) -> Raw:
    exactly(raw, 2, "WMA(x, d)")
    size = whole(raw.args[1], "WMA")
    if size < 2:
        raise Fault("window", "WMA over one bar gives all weight to nothing", "choose a longer window", raw.at)
    notes.append("AlphaGen's WMA gives the oldest bar weight 0: ts_decay_linear over one bar less")
    return ours("ts_decay_linear", raw, raw.args[0], number_node(float(size - 1), raw))


def _ema(raw: RawCall, notes: list[str]) -> Raw:
    exactly(raw, 2, "EMA(x, d)")
    size = whole(raw.args[1], "EMA")
    if size < 2:
        return raw.args[0]
    notes.append("AlphaGen's EMA forgets what is older than d bars: ts_decay_exp with 1 - 2/(d + 1)")
    return ours("ts_decay_exp", raw, *raw.args, number_node(1.0 - 2.0 / (1.0 + size), raw))


def _csrank(raw: RawCall, notes: list[str]) -> Raw:
    notes.append("AlphaGen's CSRank counts from 0 and breaks ties by column; here ties share their average rank")
    return ours("cs_rank", raw, *raw.args)


def _gap(extreme: str) -> Rewrite:
    def rewrite(raw: RawCall, _notes: list[str]) -> Raw:
        exactly(raw, 2, f"{raw.name}(x, d)")
        return ours("sub", raw, raw.args[0], ours(extreme, raw, *raw.args))

    return rewrite


def _over_mean(raw: RawCall, _notes: list[str]) -> Raw:
    exactly(raw, 2, "TsDiv(x, d)")
    return ours("div", raw, raw.args[0], ours("ts_mean", raw, *raw.args))


def _from_mean(raw: RawCall, _notes: list[str]) -> Raw:
    exactly(raw, 2, "TsDiff(x, d)")
    return ours("sub", raw, raw.args[0], ours("ts_mean", raw, *raw.args))


def _constant(raw: RawCall, _notes: list[str]) -> Raw:
    exactly(raw, 1, "Constant(0.5)")
    return raw.args[0]


def _signed_log(raw: RawCall, _notes: list[str]) -> Raw:
    exactly(raw, 1, "SLog1p(x)")
    x = raw.args[0]
    return ours("mul", raw, ours("sign", raw, x), ours("log1p", raw, ours("abs", raw, x)))


_ROLLING: dict[str, Rewrite] = {
    "rank": _rank, "med": _median, "skew": _skew, "kurt": _kurt, "wma": _wma, "ema": _ema, "tsmaxdiff": _gap("ts_max"),
    "tsmindiff": _gap("ts_min"), "tsdiv": _over_mean, "tsdiff": _from_mean,
}  # fmt: skip
_ELEMENTWISE = ("add", "sub", "mul", "div", "pow", "greater", "less", "abs", "sign", "log", "inv")
_CALLS: dict[str, Rewrite] = {
    **{word: same(name) if word in _ELEMENTWISE else _windowed(same(name)) for word, name in _SAME.items()},
    **{word: _windowed(rewrite) for word, rewrite in _ROLLING.items()},
    "csrank": _csrank,
    "slog1p": _signed_log,
    "constant": _constant,
}

ALPHAGEN = Dialect(_CALLS)
_TOKEN = re.compile(r"[^\s,]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")


def read_prefix(text: str, deepest: int) -> Raw | None:
    """Return the tree of a text in bare prefix form, such as ``Div Mean $close 5d $close``; None if it is not one."""
    tokens = [(match.group(), match.start()) for match in _TOKEN.finditer(text)]
    if "(" in text or len(tokens) < 2 or tokens[0][0].lower() not in _CALLS:
        return None
    tree, used = _prefix(tokens, 0, deepest)
    if used != len(tokens):
        word, at = tokens[used]
        raise Fault("syntax", f"did not expect {word!r} here", "the expression is complete before", at)
    return tree  # fmt: skip


def _prefix(tokens: list[tuple[str, int]], place: int, deepest: int) -> tuple[Raw, int]:
    if place >= len(tokens):
        raise Fault("syntax", "the text ends before the expression does", "an operand is missing", tokens[-1][1])
    if deepest < 0:
        raise Fault("too_deep", "the expression is nested too deeply", "say it flatter", tokens[place][1])
    word, at = tokens[place]
    bare = word.removesuffix("d")
    if _NUMBER.fullmatch(bare) and len(bare) < 32:
        return RawNumber(float(bare), "", at), place + 1
    key = word.lower()
    if key not in _CALLS:
        return RawName(word, at), place + 1
    count = 1 if key in _UNARY or key == "constant" else 3 if key in _TERNARY else 2
    args = []
    place += 1
    for _ in range(count):
        arg, place = _prefix(tokens, place, deepest - 1)
        args.append(arg)
    return RawCall(word, tuple(args), at), place
