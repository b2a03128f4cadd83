"""What is stored of the train returns of attempts: the fingerprint of each, and which are one distinct idea."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam, text

from agent.knowledge.database.transactions import Handle
from agent.knowledge.tables.effective_trials import unpacked

_STORED = text(
    "SELECT attempt_id, cluster, fingerprint FROM trial_returns WHERE panel_id IN :panels ORDER BY attempt_id"
).bindparams(bindparam("panels", expanding=True))


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


def stored_returns(knowledge: Handle, panel_ids: Sequence[str]) -> StoredReturns:
    """Return what is stored of the attempts of panels that are related, in the order in which they came."""
    clusters: dict[int, int] = {}
    fingerprints: dict[int, NDArray[np.float32]] = {}
    with knowledge.lend() as connection:
        for attempt_id, cluster, packed in connection.execute(_STORED, {"panels": list(panel_ids)}):
            clusters[attempt_id] = cluster
            fingerprints[attempt_id] = unpacked(bytes(packed))
    return StoredReturns(clusters, fingerprints)
