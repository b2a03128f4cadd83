"""What is stored of the train returns of attempts: the fingerprint of each, and which are one distinct idea."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BindParameter, Connection, bindparam, text

from agent.knowledge.database.transactions import Handle
from agent.knowledge.tables.packed_returns import unpacked

_ROWS = "SELECT attempt_id, cluster, fingerprint FROM trial_returns WHERE panel_id IN :panels"
_PANELS: BindParameter[str] = bindparam("panels", expanding=True)
_STORED = text(f"{_ROWS} ORDER BY attempt_id").bindparams(_PANELS)
_SOME = text(
    "SELECT attempt_id, cluster, fingerprint, panel_id FROM trial_returns WHERE attempt_id IN :numbers "
    "ORDER BY attempt_id"
).bindparams(bindparam("numbers", expanding=True))
_AT_ONCE = 500


@dataclass(frozen=True)
class StoredReturns:
    """Clusters and fingerprints by the id of an attempt; what has no stored returns is in neither.

    Attributes
    ----------
    clusters
        The first attempt of the cluster that an attempt belongs to: returns that correlate by a half or more, with
        either sign, are one distinct idea.
    fingerprints
        Sums of gross train returns over blocks of time, less their mean and of length 1 (see
        `backtest.luck.fingerprint_of`).
    """

    clusters: Mapping[int, int] = field(default_factory=dict)
    fingerprints: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)

    def cluster(self, attempt_id: int) -> int:
        """Return the cluster of an attempt; one without stored returns is its own."""
        return self.clusters.get(attempt_id, attempt_id)


def stored_returns(knowledge: Handle, panel_ids: Sequence[str], numbers: Sequence[int] | None = None) -> StoredReturns:
    """Return what is stored of the attempts of panels that are related, in the order in which they came.

    With `numbers`, of these attempts alone.
    """
    clusters: dict[int, int] = {}
    fingerprints: dict[int, NDArray[np.float32]] = {}
    with knowledge.lend() as connection:
        for attempt_id, cluster, packed in _rows(connection, list(panel_ids), numbers):
            clusters[attempt_id] = cluster
            fingerprints[attempt_id] = _remembered(bytes(packed))
    return StoredReturns(clusters, fingerprints)


@lru_cache(maxsize=4_096)
def _remembered(packed: bytes) -> NDArray[np.float32]:
    """Return a fingerprint, which nobody may change: a round asks three times for those that it recalls."""
    found = unpacked(packed)
    found.flags.writeable = False
    return found


def _rows(connection: Connection, panels: list[str], numbers: Sequence[int] | None) -> Iterator[tuple[int, int, bytes]]:
    if numbers is None:
        for row in connection.execute(_STORED, {"panels": panels}):
            yield row[0], row[1], row[2]
        return
    # By their ids, whatever the panels: many attempts of a panel are passed by.
    for start in range(0, len(numbers), _AT_ONCE):
        for row in connection.execute(_SOME, {"numbers": list(numbers[start : start + _AT_ONCE])}):
            if row[3] in panels:
                yield row[0], row[1], row[2]
