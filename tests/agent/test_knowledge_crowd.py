"""Processes that mine into one knowledge base at once: none waits in vain, nothing is lost or counted wrong."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.verifying import find_faults
from tests.forked import start

ROUNDS, CANDIDATES = 2, 3


@pytest.mark.parametrize("processes", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_processes_mine_into_one_knowledge_base(prepared: Path, tmp_path: Path, place: str, processes: int) -> None:
    home = tmp_path / "home"
    shutil.copytree(prepared, home)
    words = ("mine", "--llm", "mock", "--rounds", str(ROUNDS), "--candidates", str(CANDIDATES), "--no-gate", "--json")
    # The base is not there yet: making it is a race as well.
    miners = [
        start([*words, "--seed", str(seed)], cwd=home, env={**os.environ, "ALPHAGLOW_KNOWLEDGE": place})
        for seed in range(processes)
    ]
    outcomes = [miner.communicate() for miner in miners]
    assert [miner.wait() for miner in miners] == [0] * processes, [err[-500:] for _, err in outcomes]
    assert not [err for _, err in outcomes if "locked" in err]
    # An event a line; the last is the summary.
    summaries = [json.loads(out.splitlines()[-1]) for out, _ in outcomes]
    with KnowledgeBase.open(place) as kb:
        assert {run.id: run.status for run in kb.runs()} == {one["run"]: "finished" for one in summaries}
        everything = kb.attempts()
        places = {(a.run_id, a.round, a.slot) for a in everything}
        assert len(places) == len(everything) == processes * ROUNDS * CANDIDATES
        for one in summaries:
            assert len(kb.calls(one["run"])) == one["calls"]
            assert all(a.evaluation is not None or a.message for a in kb.attempts(run_id=one["run"]))
        (panel,) = {a.panel_id for a in everything}
        counted = kb.trials(panel)
        assert counted.count == len(everything)
        assert counted.evaluated == sum(a.evaluation is not None for a in everything)
        assert len(kb.library()) > 400, "the published factors are there, once"
        # It counts trials, effective trials and clusters again, one attempt after the other.
        assert find_faults(kb) == []
