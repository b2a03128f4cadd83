"""Factors for a request in plain words: proposed by a model, checked, scored, and counted as trials."""

from __future__ import annotations

import tempfile
from pathlib import Path

import alphaglow as ag


def main() -> None:
    """Ask the simulated model twice, once without data; `llm="openai"` asks a real one."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = ag.Workspace.create(Path(folder) / "study").add(ag.demo_panel(), "coins")
        idea = workspace.propose("short-term reversal with volume, at most 3 days", llm="mock")
        print(idea[["text", "reading", "expected_ic"]].T)
        scored = workspace.propose("momentum over 2 days", "coins", count=2, llm="mock")
        print(scored[["text", "expected_ic", "ic", "verdict"]].T)
        print(workspace.factors()[["text", "verdict", "payoff_z", "net_z"]])


if __name__ == "__main__":
    main()
