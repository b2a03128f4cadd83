"""What a panel holds, as plain JSON types: its span, its size, its fields, its gaps, and each asset's life."""

from __future__ import annotations

import numpy as np

from market.panel import Panel


def describe_panel(panel: Panel, name: str) -> dict[str, object]:
    """Return span, size, fields, gaps and what each asset has of its own life."""
    close = np.isfinite(panel["close"])
    steps = np.diff(panel.times)
    wide = np.flatnonzero(steps > panel.bar)
    gaps = [{"after": str(panel.times[i])[:16], "missing_bars": round(float(steps[i] / panel.bar)) - 1} for i in wide]
    assets = []
    for column, asset in enumerate(panel.assets):
        seen = np.flatnonzero(close[:, column])
        if len(seen) == 0:
            assets.append({"asset": asset, "bars": 0, "first": None, "last": None, "missing_inside": 0})
            continue
        first, last = int(seen[0]), int(seen[-1])
        assets.append(
            {
                "asset": asset,
                "bars": len(seen),
                "first": str(panel.times[first])[:16],
                "last": str(panel.times[last])[:16],
                "missing_inside": last - first + 1 - len(seen),
            }
        )
    return {
        "name": name,
        "id": panel.id,
        "bars": panel.shape[0],
        "assets": panel.shape[1],
        "bar_minutes": float(panel.bar / np.timedelta64(1, "m")),
        "start": str(panel.times[0])[:16],
        "end": str(panel.times[-1])[:16],
        "calendar": panel.calendar,
        "bars_per_year": panel.bars_per_year,
        "fields": sorted(panel.fields),
        "gaps": gaps,
        "per_asset": assets,
    }
