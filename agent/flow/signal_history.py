"""What `flow signal` takes from the bars before the newest, kept beside the gate until one of the two changes."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.flow.opened import OpenFlow
from flows.direction import Direction, Kind
from market.array_file import read_archive, write_archive
from market.errors import InputError
from market.panel import FloatArray

# Raised when what is kept, or how it is made, changes: older files are then made again.
_VERSION = 1


@dataclass(frozen=True, eq=False)
class SignalHistory:
    """What the past says.

    Attributes
    ----------
    direction
        Fitted on the rows that the flow was trained on.
    gross, net
        Sharpe ratios a year of the direction on the calibration bars, before and after costs.
    usual
        (M,) log-likelihoods of calibration states, in nats, the least first.
    latents, after
        (K, D) latents of past states, and (K,) the return of the bar after each.
    """

    direction: Direction
    gross: float
    net: float
    usual: FloatArray
    latents: FloatArray
    after: FloatArray


def kept_history(opened: OpenFlow, kind: Kind, make: Callable[[], SignalHistory]) -> SignalHistory:
    """Return the history of a gate and its data: as it was kept, or made by `make` and kept where that is possible."""
    path, key = history_path(opened.gate_file, kind), _key(opened, kind)
    found = _read(path, key, kind)
    if found is None:
        found = make()
        _write(path, key, found)
    return found


def history_path(gate_file: Path, kind: Kind) -> Path:
    """Return where the history of a direction is kept."""
    return gate_file.with_suffix(f".signal-{kind}.npz")


def _key(opened: OpenFlow, kind: Kind) -> str:
    """Return a hash of all that a history depends on: the gate, the bars, and the rules of trading."""
    study = opened.study
    parts = (
        _VERSION,
        kind,
        study.panel.id,
        study.seed,
        study.spec,
        study.target.spec,
        opened.workspace.settings.backtest,
    )
    text = "|".join(map(repr, parts)).encode()
    return hashlib.sha256(opened.gate_file.read_bytes() + text).hexdigest()


def _read(path: Path, key: str, kind: Kind) -> SignalHistory | None:
    """Return what is kept under a key; None where there is nothing, something older, or a file that is no such one."""
    if not path.is_file():
        return None
    try:
        document, arrays = read_archive(path, "history of a signal", "")
        if document.get("key") != key:
            return None
        figures = (float(document[name]) for name in ("correlation", "spread", "gross", "net"))
        correlation, spread, gross, net = figures
        direction = Direction(kind, arrays["vector"], correlation, spread)
        return SignalHistory(direction, gross, net, arrays["usual"], arrays["latents"], arrays["after"])
    except (InputError, KeyError, TypeError, ValueError):
        return None


def _write(path: Path, key: str, found: SignalHistory) -> None:
    """Keep a history; where the folder cannot be written to, it is made again each time."""
    along = found.direction
    document = {"correlation": along.correlation, "spread": along.spread, "gross": found.gross, "net": found.net}
    arrays = {"vector": along.vector, "usual": found.usual, "latents": found.latents, "after": found.after}
    with contextlib.suppress(InputError, OSError):
        write_archive(path, {"key": key, **document}, arrays)
