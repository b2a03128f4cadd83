"""What the stored returns of trials say of others: the accepted ones nearest to them, and copies.

Data sets that share their bars are taken together; returns over other bars, of fingerprints of another length, are not
compared.
"""

from __future__ import annotations

from agent.knowledge.database.transactions import Handle
from agent.knowledge.tables import datasets, effective_trials
from agent.knowledge.trial_counts import Nearest
from backtest.discovery import TrialScores
from market.panel import FloatArray


class RelatedReturns(Handle):
    """The part of a knowledge base that compares returns by their fingerprints."""

    def nearest_accepted(self, panel_id: str, fingerprint: FloatArray, *, but: str = "") -> Nearest:
        """Return the accepted factor, but `but`, whose returns correlate most with a fingerprint."""
        found = self.accepted_nearby(panel_id, fingerprint, but=but, most=1)
        return found[0] if found else Nearest(float("nan"), "")

    def accepted_nearby(self, panel_id: str, fingerprint: FloatArray, *, but: str = "", most: int) -> list[Nearest]:
        """Return at most `most` accepted factors, but `but`, by how their returns correlate, nearest first.

        They were accepted on this panel, or on a related one. Each factor stands once, however often it was accepted.
        """
        with self._memory.reading(), self._asking_directly() as connection:
            panels = datasets.related_ids(connection, panel_id)
            known = self._memory.accepted(panel_id)
            return effective_trials.accepted_nearby(connection, fingerprint, but, known, panels, most)

    def confirmed_trials(self, panel_id: str) -> tuple[list[FloatArray], TrialScores]:
        """Return the trials of searches that train led which validation tested: fingerprints, and scores there."""
        with self._memory.reading(), self.lend() as connection:
            return effective_trials.confirmed_trials(connection, datasets.related_ids(connection, panel_id))

    def same_returns(self, panel_id: str, fingerprint: FloatArray, *, but: str) -> tuple[int, str] | None:
        """Return attempt and text of a factor, but `but`, that earned the same before costs at every bar of train."""
        with self._asking_directly() as connection:
            for related in datasets.related_ids(connection, panel_id):
                found = effective_trials.same_returns(connection, related, fingerprint, but)
                if found is not None:
                    return found
        return None
