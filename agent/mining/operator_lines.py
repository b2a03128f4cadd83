"""The table of operators as a prompt shows it: the usual ones with their meaning, the others by their signature alone.

The whole table is half of a prompt, and most factors are made of a third of it. Who uses one of the others wrongly is
answered with its meaning.
"""

from __future__ import annotations

import re

# What published factors are mostly made of.
USUAL = frozenset(
    (
        "abs", "sign", "log", "signed_power", "clip", "max", "min", "if_else", "ts_delay", "ts_delta", "ts_returns",
        "ts_sum", "ts_mean", "ts_std", "ts_skew", "ts_min", "ts_max", "ts_argmax", "ts_rank", "ts_zscore",
        "ts_decay_linear", "ts_ema", "ts_slope", "ts_autocorr", "ts_count", "ts_corr", "ts_beta", "ts_regression_resid",
        "trade_when", "cs_rank", "cs_zscore", "cs_demean", "cs_resid", "group_neutralize", "group_rank", "rsi", "atr",
        "bollinger_position",
    )
)  # fmt: skip
_LINE = re.compile(r"  ((\w+)\([^)]*\)): (.*)")


def operator_lines(table: str, *, others: bool = True, meanings: bool = True) -> str:
    """Return a table of `factors.table.prompt_table` in fewer words.

    Parameters
    ----------
    others
        Whether the less usual operators are named.
    meanings
        Whether the usual ones are explained.

    A text that is no such table is returned as it is.
    """
    usual: list[str] = []
    families: dict[str, list[str]] = {}
    family = ""
    for line in table.split("\n"):
        found = _LINE.fullmatch(line)
        if found is None:
            family = line.rstrip(":")
            continue
        if found[2] in USUAL:
            usual.append(line if meanings else f"  {found[1]}")
        else:
            families.setdefault(family, []).append(found[1])
    if not usual:
        return table
    if not others or not families:
        return "\n".join(usual)
    rest = [f"  {name}: {', '.join(signatures)}" for name, signatures in families.items()]
    return "\n".join([*usual, "Also, with their usual meaning:", *rest])
