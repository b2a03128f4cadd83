"""Themes of factors, and the ways in which a given factor is refined."""

from __future__ import annotations

import re
from collections.abc import Mapping

from agent.knowledge.records import AttemptRecord

# What a theme is about, and the fields without which there is none of it.
THEMES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "momentum": ("what rose goes on rising", ()),
    "reversal": ("what moved too far comes back", ()),
    "volatility": ("how wild prices are, and how that changes", ()),
    "volume": ("how much is traded, against its own past", ()),
    "liquidity": ("what it takes to move a price", ()),
    "seasonality": ("what recurs by hour or day", ()),
    "cross-asset": ("what others of the market or a group do", ()),
    "candle": ("where a bar closes within its range", ()),
    "funding": ("what holders of perpetuals pay", ("funding",)),
    "open interest": ("how many contracts are open", ("open_interest",)),
    "sentiment": ("what is written about an asset", ("sentiment",)),
}
# What may be done to a given factor, one at a time.
REFINEMENTS: Mapping[str, str] = {
    "confirm": "let it count where trading confirms it: more volume than usual",
    "scale": "divide by the asset's own realised volatility, so that wild assets do not dominate",
    "smooth": "average it over time, so that it changes its mind less often and costs less",
    "normalise": "measure it against its own past (ts_zscore, ts_rank) or across assets (cs_rank, cs_zscore)",
    "neutralise": "take out what the market or the asset's group does",
    "condition": "let it count only in the state of the market in which it works",
    "tame": "limit what extreme values can do (cs_winsorize, tanh, rank)",
}


def themes_of_fields(fields: frozenset[str]) -> list[str]:
    """Return the themes that a panel with these fields can have."""
    return [name for name, (_, needs) in THEMES.items() if set(needs) <= fields]


def about(theme: str) -> str:
    """Return what a theme or refinement is about; nothing for neither."""
    return THEMES[theme][0] if theme in THEMES else REFINEMENTS.get(theme, "")


def theme_of(attempt: AttemptRecord) -> str:
    """Return the theme that an attempt was written to, or the one that its fields and operators tell."""
    said = attempt.claims.theme
    return said if said in THEMES else theme_of_text(attempt.canonical or "")


def is_theme(theme: str, canonical: str, claims: Mapping[str, object]) -> bool:
    """Whether a factor's text and stored claims are of a theme, as `theme_of` tells it."""
    said = claims.get("theme")
    return (said if isinstance(said, str) and said in THEMES else theme_of_text(canonical)) == theme


def theme_of_text(text: str) -> str:
    """Return the theme that a factor's fields and operators tell."""
    words = set(re.findall(r"[a-z_]+", text))
    for name, (_, needs) in THEMES.items():
        if needs and set(needs) <= words:
            return name
    if words & {"amount"} and words & {"abs", "returns"}:
        return "liquidity"
    if words & {"volume", "amount", "adv"}:
        return "volume"
    if words & {"ts_std", "ts_var", "atr", "ts_mad"}:
        return "volatility"
    if {"open", "high", "low"} & words:
        return "candle"
    return "reversal" if text.startswith("-") else "momentum"
