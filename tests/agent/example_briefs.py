"""Briefs that tests of the loop and of the mock model show."""

from __future__ import annotations

from agent.mining.brief import Brief, Example
from factors.table import prompt_table


def brief(*successes: Example) -> Brief:
    return Brief(
        round=2,
        goal="find one",
        fields=("open", "high", "low", "close", "volume", "returns", "vwap", "amount"),
        operators=prompt_table(),
        successes=successes,
        failures=(Example("ts_meen(close)", "x", {}, "parse", "unknown operator\ndid you mean ts_mean?"),),
        lessons=("smooth it",),
        market="12 assets. Look-back of a factor: at most 240 bars.",
        longest=240,
    )


def shown(text: str, **metrics: float) -> Example:
    return Example(text, "n", metrics, "promising", "because")
