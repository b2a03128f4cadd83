"""What the stored returns of a panel's trials say of others: the accepted ones nearest to them, and copies."""

from __future__ import annotations

from agent.knowledge.database.transactions import Handle
from agent.knowledge.tables import effective_trials
from agent.knowledge.trial_counts import Nearest
from market.panel import FloatArray


class RelatedReturns(Handle):
    """The part of a knowledge base that compares returns by their fingerprints."""

    def nearest_accepted(self, panel_id: str, fingerprint: FloatArray, *, but: str = "") -> Nearest:
        """Return the accepted factor of a panel, but `but`, whose returns correlate most with a fingerprint."""
        found = self.accepted_nearby(panel_id, fingerprint, but=but, most=1)
        return found[0] if found else Nearest(float("nan"), "")

    def accepted_nearby(self, panel_id: str, fingerprint: FloatArray, *, but: str = "", most: int) -> list[Nearest]:
        """Return at most `most` accepted factors of a panel, but `but`, by how their returns correlate, nearest first.

        Each factor stands once, however often it was accepted.
        """
        with self._memory.reading(), self.lend() as connection:
            known = self._memory.accepted(panel_id)
            return effective_trials.accepted_nearby(connection, fingerprint, but, known, most)

    def trial_clusters(self, panel_id: str) -> dict[int, int]:
        """Return the cluster of each attempt of a panel with known returns: one cluster is one effective trial."""
        with self.lend() as connection:
            return effective_trials.stored_clusters(connection, panel_id)

    def same_returns(self, panel_id: str, fingerprint: FloatArray, *, but: str) -> tuple[int, str] | None:
        """Return attempt and text of a factor of a panel, but `but`, that earned the same before costs at every bar."""
        with self._memory.reading(), self.lend() as connection:
            return effective_trials.same_returns(connection, self._memory.maxima(panel_id), fingerprint, but)
