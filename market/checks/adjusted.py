"""Look-ahead in adjusted prices: what can be determined from the figures, and what cannot.

Prices adjusted backwards hold what came later: each dividend or split rewrites all that lies before it. Ratios of such
prices, returns among them, are right; levels are not what was quoted, so that a factor on price levels sees the future.
Two traces remain. A raw and an adjusted close side by side part as one goes back. And quotes lie on a tick, cents on
American exchanges since 2001, which divided prices do not. That a series was never adjusted can be seen (all on the
tick), and that its levels were moved; not by what (split or dividend), nor whether an adjustment is complete.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from market.checks.finding import Finding
from market.checks.tracks import Track
from market.panel import FloatArray, Panel

_PAIRS = (("adj_close", "close"), ("close", "raw_close"), ("close", "unadjusted_close"), ("adjusted_close", "close"))
# Bars among which the share on the tick is measured.
_BLOCK = 60


def check_adjusted(panel: Panel, tracks: Sequence[Track]) -> list[Finding]:
    """Return assets whose old prices were adjusted backwards, by a second column or by the tick."""
    pair = next((pair for pair in _PAIRS if pair[0] in panel.fields and pair[1] in panel.fields), None)
    if pair is not None:
        return [found for track in tracks if (found := _by_ratio(panel, track, *pair)) is not None]
    # Coins have ticks of their own that change; and no dividends.
    if panel.calendar != "exchange":
        return []
    return [found for track in tracks if (found := _by_tick(track)) is not None]


def _by_ratio(panel: Panel, track: Track, adjusted: str, raw: str) -> Finding | None:
    column = panel.assets.index(track.asset)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = panel[adjusted][track.rows, column] / panel[raw][track.rows, column]
    known = np.flatnonzero(np.isfinite(ratio))
    if len(known) < 2:
        return None
    steps = np.abs(np.diff(np.log(ratio[known]))) > 1e-4
    if not steps.any():
        return None
    last = int(known[np.flatnonzero(steps)[-1]])
    text = (
        f"{adjusted} is {ratio[known[0]]:.3g} of {raw} at first and steps {int(steps.sum())} times: adjusted "
        "backwards, so old levels hold later dividends and splits; use its returns, not its levels"
    )
    return Finding("adjusted", track.asset, track.times[0], track.times[last], "doubtful", float(ratio[known[0]]), text)


def _by_tick(track: Track) -> Finding | None:
    """Return a finding where early closes are off a cent that late closes are on."""
    prices = np.exp(track.close)
    count = len(prices) // _BLOCK
    if count < 2:
        return None
    on = _on_tick(prices)
    edges = np.linspace(0, len(prices), count + 1).astype(int)
    share: FloatArray = np.array([on[a:b].mean() for a, b in itertools.pairwise(edges)])
    # The end is the only stretch that nothing later can have rewritten.
    if share[-1] < 0.95 or share[0] > 0.7:
        return None
    off = int(np.flatnonzero(share < 0.7)[-1])
    last = int(edges[off + 1]) - 1
    text = (
        f"only {share[: off + 1].mean():.0%} of its closes until here are whole cents, all later ones are: adjusted "
        "backwards (split, dividend); use returns, not levels"
    )
    return Finding("adjusted", track.asset, track.times[0], track.times[last], "doubtful", float(share[0]), text)


def _on_tick(prices: FloatArray) -> np.ndarray:
    cents = prices * 100
    # float32 sources keep 24 bits.
    return np.abs(cents - np.round(cents)) < np.maximum(1e-6, cents * 2.0**-22)
