"""Whether a gate was fitted on the data that it is to be used on, on others of their lineage, or on too few of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from market.errors import InputError
from market.lineage import RELATED_SHARE, Signature, shared_share, signature
from market.panel import Panel

if TYPE_CHECKING:
    from flows.gate import RegimeGate

# By what share data may grow before a gate that was fitted on them is due.
_GROWN = 0.10
_REMEDY = "fit it again: alphaglow flow fit"


def changed_since(gate: RegimeGate, path: Path, panel: Panel) -> str:
    """Say how train and validation differ from what a gate was fitted on, data of the same lineage.

    Raises
    ------
    InputError
        When the gate was fitted on other data.
    """
    last = gate.latest.calibrated[1]
    bars = int(np.searchsorted(panel.times, last, side="right"))
    if bars < len(panel.times) and panel.rows(0, bars).id == gate.panel_id:
        return (
            f"the gate {path.name} was fitted on bars up to {str(last)[:16]}, and validation now ends at "
            f"{str(panel.times[-1])[:16]}: it is due: alphaglow flow fit"
        )
    if gate.source is None or not _is_related(gate.source.sample, panel):
        raise InputError(
            f"the gate {path} was trained on other data ({gate.panel_id}, not {panel.id})",
            _REMEDY,
        )
    return (
        f"the gate {path.name} was fitted on {gate.source.bars} bars before data or split were changed (repaired, "
        "joined, cut down or imported again): it is due: alphaglow flow fit"
    )


def grown_since(gate: RegimeGate, path: Path, bars: int) -> str:
    """Say that data of this length have outgrown a gate; empty where they have not, or where it is not known."""
    if gate.source is None or bars <= (1.0 + _GROWN) * gate.source.bars:
        return ""
    return (
        f"the data have {bars / gate.source.bars - 1.0:.0%} more bars than when the gate {path.name} was fitted: it is "
        "due, but train and validation end where they did; move their ends (alphaglow data split), then fit it again: "
        "alphaglow flow fit"
    )


def _is_related(sample: bytes, panel: Panel) -> bool:
    return shared_share(Signature.from_bytes(sample), signature(panel)) >= RELATED_SHARE
