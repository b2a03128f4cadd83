"""The operators nearest to an unknown word, by what it means and how it is spelled, with their signatures."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from factors.table import OPERATORS

# Parts of words, and the operators that people who write them mean, the likeliest first.
_MEANT: Mapping[str, tuple[str, ...]] = {
    "volatil": ("ts_std", "ts_var"), "vol": ("ts_std",), "dispersion": ("ts_std",), "deviation": ("ts_std", "ts_mad"),
    "risk": ("ts_std",), "momentum": ("ts_returns", "ts_delta"), "return": ("ts_returns", "ts_log_return"),
    "change": ("ts_delta", "ts_returns"), "pct": ("ts_returns",), "growth": ("ts_returns",), "roc": ("ts_returns",),
    "percentile": ("ts_quantile", "cs_quantile"), "quantile": ("ts_quantile", "cs_quantile"),
    "average": ("ts_mean", "ts_ema"), "avg": ("ts_mean",), "mean": ("ts_mean", "cs_mean"), "moving": ("ts_mean",),
    "smooth": ("ts_ema", "ts_decay_linear"), "exponential": ("ts_ema",), "ewm": ("ts_ema",),
    "weight": ("ts_decay_linear",),
    "decay": ("ts_decay_linear", "ts_decay_exp"), "lag": ("ts_delay",), "prev": ("ts_delay",), "past": ("ts_delay",),
    "before": ("ts_delay",), "ago": ("ts_delay",), "delay": ("ts_delay",), "high": ("ts_max", "ts_argmax"),
    "peak": ("ts_max",), "low": ("ts_min", "ts_argmin"), "bottom": ("ts_min", "cs_top_bottom"),
    "top": ("ts_max", "cs_top_bottom"), "largest": ("ts_max",), "smallest": ("ts_min",), "rank": ("cs_rank", "ts_rank"),
    "order": ("cs_rank",), "sort": ("cs_rank",), "score": ("cs_zscore", "ts_zscore"), "standard": ("cs_zscore",),
    "normal": ("cs_zscore", "cs_scale"), "neutral": ("group_neutralize", "cs_demean"), "center": ("cs_demean",),
    "industry": ("group_neutralize",), "sector": ("group_neutralize",), "group": ("group_neutralize", "group_mean"),
    "beta": ("ts_beta",), "regress": ("ts_beta", "ts_regression_resid"), "resid": ("ts_resid", "ts_regression_resid"),
    "slope": ("ts_slope",), "trend": ("ts_slope", "ts_rsquare"), "corr": ("ts_corr",), "cov": ("ts_cov",),
    "skew": ("ts_skew",), "kurt": ("ts_kurt",), "median": ("ts_median",), "var": ("ts_var",), "sum": ("ts_sum",),
    "total": ("ts_sum",), "accum": ("ts_sum", "cum_sum"), "cumul": ("cum_sum", "ts_sum"), "product": ("ts_product",),
    "count": ("ts_count",), "often": ("ts_count",), "since": ("bars_since",), "days": ("bars_since",),
    "clip": ("clip",), "cap": ("clip",), "limit": ("clip",), "bound": ("clip",), "winsor": ("cs_winsorize",),
    "trunc": ("clip", "cs_winsorize"), "outlier": ("cs_winsorize",), "scale": ("cs_scale", "ts_scale"),
    "where": ("if_else",), "cond": ("if_else",), "switch": ("if_else",), "select": ("if_else",), "case": ("if_else",),
    "missing": ("is_nan", "fill_nan"), "nan": ("is_nan", "fill_nan"), "null": ("is_nan", "fill_nan"),
    "fill": ("ts_backfill", "fill_nan"), "last": ("ts_backfill", "ts_delay"), "power": ("power", "signed_power"),
    "square": ("power", "sqrt"), "root": ("sqrt",), "log": ("log", "log1p"), "ln": ("log",), "sign": ("sign",),
    "direction": ("sign", "adx"), "round": ("round", "floor"), "ceil": ("ceil",), "remainder": ("mod",),
    "bollinger": ("bollinger_position", "bbands_upper"), "band": ("bollinger_upper", "bbands_upper"),
    "bb": ("bbands_upper", "bbands_lower"), "range": ("true_range", "ts_min_max_diff"), "strength": ("rsi",),
    "stoch": ("stochastic", "williams_r"), "channel": ("keltner_upper",), "money": ("mfi", "obv"),
    "flow": ("mfi", "obv"), "obv": ("obv",), "aroon": ("aroon_osc", "aroon_up"), "entropy": ("ts_std", "ts_kurt"),
    "auto": ("ts_autocorr",), "sharpe": ("ts_ir",), "ir": ("ts_ir",), "ratio": ("ts_ir", "div"), "bucket": ("bucket",),
    "bin": ("bucket",), "decile": ("bucket", "cs_quantile"), "hold": ("trade_when", "keep"), "trade": ("trade_when",),
    "turnover": ("hump", "ts_decay_linear"), "greater": ("gt", "max"), "less": ("lt", "min"), "equal": ("eq",),
    "argmax": ("ts_argmax",), "argmin": ("ts_argmin",), "trough": ("ts_min",), "index": ("ts_argmax",),
    "idx": ("ts_argmax", "ts_argmin"), "shift": ("ts_delay",),
    "diff": ("ts_delta",), "delta": ("ts_delta",), "negative": ("neg",), "minus": ("neg", "sub"), "abs": ("abs",),
    "sigmoid": ("sigmoid",), "exp": ("exp",), "vwap": ("ts_vwap",), "rolling": ("ts_mean", "ts_std"),
    "ts": ("ts_mean", "ts_rank"), "cs": ("cs_rank", "cs_zscore"),
}  # fmt: skip
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# How alike two spellings are from which on one is likelier meant than a word of that meaning.
_ALIKE = 0.8
# These say only along what an operator works.
_VAGUE = frozenset({"rolling", "moving", "ts", "cs", "last", "past"})
_SHOWN = 3


def nearest_operators(word: str, known: Mapping[str, str]) -> list[str]:
    """Return up to three signatures that are nearest to an unknown word, the nearest first.

    `known` are words that the language at hand has beside the operators, with the operators that they mean.
    """
    low = word.lower()[:64]
    names = sorted({*OPERATORS, *known})
    alike = difflib.get_close_matches(low, names, n=_SHOWN, cutoff=0.55)
    sure = [name for name in alike if _alike(low, name) >= _ALIKE and _alike(_core(low), _core(name)) >= _ALIKE - 0.2]
    meant: list[str] = []
    parts = [part.lower() for part in _PART.findall(word[:64])]
    said = [key for key in _MEANT if any(_says(part, key) for part in parts)]
    keys = sorted(said, key=lambda key: (key in _VAGUE, -len(key)))
    for rank in range(2):
        meant += [_MEANT[key][rank] for key in keys if len(_MEANT[key]) > rank]
    if _VAGUE & set(parts) - {"cs"}:
        meant.sort(key=lambda name: not name.startswith("ts_"))
    found = [known.get(name, name) for name in (*sure[:1], *meant, *sure[1:], *alike)]
    return [OPERATORS[name].signature for name in dict.fromkeys(found) if name in OPERATORS][:_SHOWN]


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _core(word: str) -> str:
    """Return a word without what only says along what it works."""
    return re.sub(r"^(?:rolling|moving|ts|cs)_", "", word)


def _says(part: str, key: str) -> bool:
    whole = part == key or (len(key) == 3 and part.startswith(key)) or (len(part) >= 5 and key.startswith(part))
    return whole or (len(key) >= 4 and key in part)


def nearest_words(word: str, known: Mapping[str, str]) -> str:
    """Return a hint for an unknown operator."""
    found = nearest_operators(word, known)
    if not found:
        return "`alphaglow operators` lists them"
    return f"did you mean {' or '.join(found)}?"
