"""The 101 formulaic alphas: Kakushadze 2015 (arXiv 1601.00991), appendix A.1."""

from __future__ import annotations

from factors.dialects.base import GROUPS, Dialect, Rewrite, extreme, from_oldest, renamed, same, scale
from factors.dialects.brain import BRAIN
from factors.dialects.loose import LOOSE

_LIKE_LOOSE = ("rank", "delta", "delay", "correlation", "covariance", "sum", "stddev", "decay_linear", "product",
               "indneutralize")  # fmt: skip
# BRAIN's short names of arithmetic and conditions, which texts in the paper's language have, too.
_LIKE_BRAIN = ("add", "subtract", "multiply", "divide", "reverse", "inverse", "less", "less_equal", "greater",
               "greater_equal", "equal", "not_equal", "and", "or", "zscore", "winsorize", "normalize", "ts_std_dev",
               "ts_av_diff", "ts_covariance", "trade_when", "hump", "if_else", "signed_power",
               "ts_backfill")  # fmt: skip
_CALLS: dict[str, Rewrite] = {
    **{word: BRAIN.calls[word] for word in _LIKE_BRAIN},
    **{word: LOOSE[word] for word in _LIKE_LOOSE},
    "min": extreme("min", "ts_min"),
    "max": extreme("max", "ts_max"),
    "scale": scale,
    "signedpower": same("signed_power", "read as sign(x)·|x|^a, not as the paper's x^a"),
    "ts_argmax": from_oldest("ts_argmax", "the paper's Ts_ArgMax"),
    "ts_argmin": from_oldest("ts_argmin", "the paper's Ts_ArgMin"),
}

WORLDQUANT = Dialect(
    _CALLS,
    {"ret": renamed("returns"), **GROUPS},
    BRAIN.targets,
    {word: BRAIN.parameters[word] for word in _LIKE_BRAIN if word in BRAIN.parameters},
    {word: BRAIN.defaults[word] for word in _LIKE_BRAIN if word in BRAIN.defaults},
    BRAIN.takes_keywords & set(_LIKE_BRAIN),
    floors_windows=True,
    stands_in=True,
)
