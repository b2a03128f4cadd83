"""Writers wait for those who write to the same trials, briefly, and for nobody else; none is locked out."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

import numpy as np
import pytest

from agent.knowledge.database.turns import MOST_TRIALS, turn_of_trials
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import NewAttempt, RunRecord
from agent.knowledge.run_config import RunConfig
from agent.knowledge.tables import attempts
from agent.knowledge.verifying import find_faults
from market.errors import InputError
from market.panel import OHLCV, Panel
from tests.agent.knowledge_rows import tried
from tests.agent.postgres import Server


def market(seed: int, bars: int = 60) -> Panel:
    """Return a data set that has no bar in common with one of another seed; a longer one of the same seed grew."""
    times = np.datetime64("2024-01-01", "ns") + np.arange(bars) * np.timedelta64(1, "h")
    values = np.cumsum(np.random.default_rng(seed).random((400, 2)), axis=0)[:bars] + 1
    return Panel(times, ("AAA", "BBB"), dict.fromkeys(OHLCV, values), np.ones((bars, 2), bool), np.timedelta64(1, "h"))


def begin(knowledge: KnowledgeBase, panel: Panel) -> RunRecord:
    knowledge.register_dataset(panel)
    run = knowledge.create_run(panel.id, RunConfig(data="toy"), 1)
    knowledge.start_round(run.id, 1, {})
    return run


@contextmanager
def under_way(knowledge: KnowledgeBase, new: NewAttempt) -> Iterator[int]:
    """Record an attempt; it is committed at the end."""
    with knowledge._recording(turn_of_trials([new])) as session:
        yield attempts.add_attempt(session, new, knowledge._memory)


@pytest.fixture
def url(postgres: Server) -> str:
    return postgres.new_database(postgres.migrated)


def test_writers_on_other_data_are_not_waited_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with KnowledgeBase.open(url) as one, KnowledgeBase.open(url) as other:
        runs = [begin(one, panel) for panel in (market(1), market(2), market(1, 90))]
        related = [{data.panel_id for data in one.related(run.panel_id)} for run in runs]
        assert related == [{runs[0].panel_id, runs[2].panel_id}, {runs[1].panel_id}, related[0]]
        # Whoever has to wait is refused after a moment: here nobody lets go in time.
        monkeypatch.setattr("agent.knowledge.database.connection.BUSY_SECONDS", 0.2)
        with under_way(one, tried(runs[0], 0, "close")) as first:
            second = other.record_attempt(tried(runs[1], 0, "open"))
            other.journal_lost(runs[1].id, "k", "writer", "m", "x")
            other.finish_round(runs[1].id, 1, [])
            assert other.record_attempt(tried(runs[1], 1, "low")) > second > first
            # The same data, data that grew out of them, the same factor, and what concerns all are waited for.
            for waiting in (
                lambda: other.record_attempt(tried(runs[0], 1, "high")),
                lambda: other.record_attempt(tried(runs[2], 1, "high")),
                lambda: other.record_attempt(tried(runs[1], 2, "close")),
                lambda: other.create_run(runs[1].panel_id, RunConfig(data="toy"), 1),
                other.index_factors,
            ):
                with pytest.raises(InputError, match="locked by another process"):
                    waiting()
        assert other.record_attempt(tried(runs[1], 2, "close")) > second
        assert other.index_factors() == one.index_factors() == 3
        assert find_faults(one) == []


def test_what_is_committed_late_is_seen_by_those_who_looked_before(url: str) -> None:
    with KnowledgeBase.open(url) as one, KnowledgeBase.open(url) as other:
        here, there = (begin(one, market(seed)) for seed in (1, 2))
        with under_way(one, tried(here, 0, "close")) as late:
            early = other.record_attempt(tried(there, 0, "open"))
            assert early > late
            seen = [[a.id for a in other.attempts(panel_id=run.panel_id)] for run in (here, there)]
            assert seen == [[], [early]]
        assert [[a.id for a in other.attempts(panel_id=run.panel_id)] for run in (here, there)] == [[late], [early]]
        assert other.trials(here.panel_id).count == 1


def test_many_writers_at_once_are_all_heard(base: str) -> None:
    count, each = (24, 5) if base.startswith("postgresql") else (8, 5)
    texts = [f"ts_mean(close, {k + 2})" for k in range(each)]
    with KnowledgeBase.open(base) as knowledge:
        # Four writers on each data set; all try the same factors, in another order each.
        runs = [begin(knowledge, market(k // 4)) for k in range(count)]
    start = Barrier(count)

    def write(k: int) -> None:
        order = np.random.default_rng(k).permutation(each)
        with KnowledgeBase.open(base) as knowledge:
            start.wait()
            for slot in order[:3]:
                knowledge.record_attempt(tried(runs[k], int(slot), texts[slot]))
                knowledge.journal_lost(runs[k].id, f"k{slot}", "writer", "m", "x")
            knowledge.record_attempts([tried(runs[k], int(slot), texts[slot]) for slot in order[3:]])

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(write, range(count)))
    with KnowledgeBase.open(base) as knowledge:
        assert {run.id: knowledge.count_attempts(run.id) for run in runs} == {run.id: each for run in runs}
        assert all(len(knowledge.calls(run.id)) == 3 for run in runs)
        assert {knowledge.trials(run.panel_id).count for run in runs} == {4 * each}
        assert find_faults(knowledge) == []


def test_a_long_list_is_recorded_a_few_at_a_time(base: str) -> None:
    with KnowledgeBase.open(base) as knowledge:
        run = begin(knowledge, market(1))
        new = [tried(run, k, f"ts_mean(close, {k + 2})") for k in range(MOST_TRIALS + 3)]
        knowledge.record_attempts(new)
        knowledge.record_attempts(new)
        assert knowledge.count_attempts(run.id) == len(new)
