"""A run of a workspace as Python holds it: its attempts, factors and lessons as frames, and its page."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from alphaglow import base_frames

if TYPE_CHECKING:
    from alphaglow.workspace_face import Workspace


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A run of a workspace: its attempts, its factors, its page.

    Attributes
    ----------
    outcome
        How this session of it ended: ``finished``, or why it stopped; `Workspace.resume` goes on.
    """

    workspace: Workspace
    id: str
    outcome: str = ""

    @property
    def attempts(self) -> pd.DataFrame:
        """Every attempt, in order; figures are of train."""
        with self.workspace.folder.listing() as knowledge:
            return base_frames.attempts_frame(knowledge.attempts(run_id=self.id))

    @property
    def factors(self) -> pd.DataFrame:
        """The scored factors, best first."""
        return self.workspace.factors(self.id)

    @property
    def lessons(self) -> pd.DataFrame:
        """What was learned, newest first."""
        with self.workspace.folder.knowledge() as knowledge:
            return base_frames.lessons_frame(knowledge, self.id)

    def report(self, path: str | PathLike[str] | None = None) -> Path:
        """Write the page of the run, and return its path."""
        return self.workspace.report(self.id, path)

    def __repr__(self) -> str:
        """Return id, outcome and counts."""
        attempts = self.attempts
        scored = int(attempts["payoff_z"].notna().sum())
        accepted = int((attempts["verdict"] == "accepted").sum())
        ended = f", {self.outcome}" if self.outcome else ""
        return f"Run({self.id}{ended}: {len(attempts)} attempts, {scored} scored, {accepted} accepted)"

    def _repr_html_(self) -> str:
        shown = self.factors.head(10)[["text", "verdict", "payoff_z", "net_z", "sharpe_net", "turnover", "reason"]]
        return f"<div><b>{escape(repr(self))}</b>{shown.to_html(float_format='{:.2f}'.format)}</div>"
