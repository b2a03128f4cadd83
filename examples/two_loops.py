"""The two loops of QuantAgent: a writer proposes, a judge criticises, the market decides, lessons are kept."""

from __future__ import annotations

import tempfile
from pathlib import Path

import alphaglow as ag


def main() -> None:
    """Run one round, go on with another, and write the page of the run."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = ag.Workspace.create(Path(folder) / "study").add(ag.demo_panel(), "coins")
        run = workspace.mine("coins", llm="mock", rounds=1, candidates=4, gate=False)
        print(run)
        run = workspace.resume(run, rounds=2)
        print(run.factors[["text", "verdict", "payoff_z", "net_z", "turnover"]])
        print(run.lessons["text"].head(3).to_string(index=False))
        print(f"page: {run.report().name}")


if __name__ == "__main__":
    main()
