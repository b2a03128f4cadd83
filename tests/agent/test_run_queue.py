"""Runs that wait for a worker: whose turn it is, leases, what is given back, and commands around them."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import select

from agent.cli.worker import Lease
from agent.knowledge.database.queue_table import TABLE
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.run_config import RunConfig
from agent.knowledge.run_queue import QueueEntry, in_turn
from market.errors import InputError
from tests.agent.commands import as_json, refused
from tests.agent.knowledge_rows import make_panel
from tests.agent.postgres import Server


def _ask(kb: KnowledgeBase, *people: str) -> list[str]:
    panel = make_panel()
    kb.register_dataset(panel)
    made = []
    for person in people:
        run = kb.create_run(panel.id, RunConfig(data="toy", llm="mock"), len(made))
        kb.enqueue(run.id, person)
        made.append(run.id)
    return made


def _anything(_run_id: str) -> bool:
    return True


def test_people_take_turns_and_each_keeps_the_order_of_asking(kb: KnowledgeBase) -> None:
    runs = _ask(kb, "ann", "ann", "ann", "ben")
    taken = [kb.take_run(f"w{number}", 60, _anything) for number in range(5)]
    # Ann asked first; then it is Ben's turn, who has none at work; then Ann's again.
    assert [one and one.run_id for one in taken] == [runs[0], runs[3], runs[1], runs[2], None]
    assert {one.state for one in kb.queue()} == {"at work"}


def test_a_lease_that_is_over_is_lost_and_another_worker_has_the_run(kb: KnowledgeBase) -> None:
    (run,) = _ask(kb, "ann")
    first = kb.take_run("first", 60, _anything)
    assert first is not None
    assert kb.take_run("second", 60, _anything) is None
    with pytest.raises(InputError, match="the worker first has run"):
        kb.require_free(run)
    kb.require_free(run, "first")
    assert kb.renew_lease(run, "first", -1), "renewed, and over already"
    assert kb.queue()[0].state == "waiting"
    second = kb.take_run("second", 60, _anything)
    assert second is not None
    assert not kb.renew_lease(run, "first", 60)
    kb.give_back(run, "first", ended=True)
    assert kb.queue()[0].worker == "second", "who lost a run cannot end it"
    kb.give_back(run, "second", ended=True, message="no key")
    assert (kb.queue()[0].state, kb.queue()[0].message) == ("failed", "no key")
    kb.require_free(run)
    kb.enqueue(run, "ben")
    assert (kb.queue()[0].state, kb.queue()[0].message, kb.queue()[0].asked_by) == ("waiting", "", "ben")


def test_the_work_stops_when_the_run_is_taken_out_of_the_queue(kb: KnowledgeBase) -> None:
    (run,) = _ask(kb, "ann")
    assert kb.take_run("first", 60, _anything)
    with Lease(kb, run, "first", 0.04) as lease:
        assert not lease.lost
        kb.drop_run(run)
        lease._thread.join(30)
        assert lease.lost
    with pytest.raises(InputError, match="not in the queue"):
        kb.drop_run(run)
    kb.enqueue(run, "ann")
    assert kb.get_run(run).status == "queued"
    kb.drop_run(run)
    assert kb.get_run(run).status == "interrupted"
    assert kb.take_run("second", 60, _anything) is None
    kb.enqueue(run, "ann")
    assert kb.take_run("third", 60, _anything)
    kb.set_run_status(run, "running")
    kb.give_back(run, "second", ended=False)
    assert kb.get_run(run).status == "running", "it is the third worker's"
    kb.give_back(run, "third", ended=False)
    assert kb.get_run(run).status == "queued"


def test_what_a_worker_cannot_do_is_left_to_others(kb: KnowledgeBase) -> None:
    first, second = _ask(kb, "ann", "ann")
    taken = kb.take_run("elsewhere", 60, lambda run_id: run_id == second)
    assert taken is not None
    assert taken.run_id == second
    assert kb.queue()[0].run_id == first
    assert kb.queue()[0].state == "waiting"


def test_many_workers_take_each_run_once(base: str) -> None:
    with KnowledgeBase.open(base) as kb:
        runs = _ask(kb, *(f"person {number % 3}" for number in range(12)))

    def work(name: str) -> list[str]:
        found = []
        with KnowledgeBase.open(base) as own:
            while (one := own.take_run(name, 60, _anything)) is not None:
                found.append(one.run_id)
                own.give_back(one.run_id, name, ended=True)
        return found

    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(work, ("a", "b", "c", "d")))
    assert sorted(run for found in taken for run in found) == sorted(runs)


def test_on_a_server_a_claim_waits_for_no_writer_and_passes_over_what_others_claim(postgres: Server) -> None:
    base = postgres.new_database(postgres.migrated)
    with KnowledgeBase.open(base) as kb, KnowledgeBase.open(base) as other:
        runs = _ask(kb, "ann", "ann", "ben", "ben")
        # A writer's lock is taken, and would be waited for for a minute.
        with kb._writing():
            first = other.take_run("first", 60, _anything)
            assert first is not None
            assert first.run_id == runs[0]
            assert other.renew_lease(runs[0], "first", 60)
        with kb._claiming() as session:
            # Ben's first run is being claimed by a worker that has not said so yet.
            session.execute(select(TABLE).where(TABLE.c.run_id == runs[2]).with_for_update())
            second = other.take_run("second", 60, _anything)
            assert second is not None
            assert second.run_id == runs[1], "Ben is as good as served: it is Ann's turn, who asked first"
            third = other.take_run("third", 60, _anything)
            assert third is not None
            assert third.run_id == runs[3]
            assert other.take_run("fourth", 60, _anything) is None
        again = other.take_run("fourth", 60, _anything)
        assert again is not None
        assert again.run_id == runs[2], "who was claiming it took it after all"


def test_on_a_server_many_workers_at_once_serve_people_alike(postgres: Server) -> None:
    base = postgres.new_database(postgres.migrated)
    with KnowledgeBase.open(base) as kb:
        _ask(kb, *(["ann"] * 9), "ben", "ben", "ben", "cat", "cat", "cat")
    start = Barrier(6)

    def work(name: str) -> str:
        with KnowledgeBase.open(base) as own:
            start.wait(60)
            one = own.take_run(name, 60, _anything)
            assert one is not None
            return one.asked_by

    with ThreadPoolExecutor(6) as pool:
        served = Counter(pool.map(work, "abcdef"))
    assert served == {"ann": 2, "ben": 2, "cat": 2}


def test_whose_turn_it_is_by_hand() -> None:
    def entry(run: str, person: str, state: str, taken: str | None = None) -> QueueEntry:
        return QueueEntry(run, person, run, state, None, taken, None, None, "")  # type: ignore[arg-type]

    queue = [
        entry("1", "ann", "ended", "09:00"),
        entry("2", "ben", "ended", "10:00"),
        entry("3", "ben", "waiting"),
        entry("4", "ann", "waiting"),
        entry("5", "cat", "at work", "08:00"),
        entry("6", "cat", "waiting"),
    ]
    # Cat has one at work; Ann was served longer ago than Ben.
    assert [one.run_id for one in in_turn(queue)] == ["4", "3", "6"]


def test_a_run_that_fails_says_why_and_the_next_one_is_done(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = ("mine", "--llm", "mock", "--rounds", "1", "--candidates", "2", "--no-gate", "--queue")
    broken, good = (str(as_json(capsys, *short, "--seed", seed)["run"]) for seed in ("1", "2"))
    assert "said where the work is done" in refused(capsys, *short, "--record", "calls.jsonl")
    with KnowledgeBase.open(home / "knowledge.db") as kb:
        assert [one.run_id for one in kb.queue()] == [broken, good]
    from agent.mining import session

    really = session.resume_run

    def resume(*given: object, **named: object) -> object:
        if given[2] == broken:
            raise InputError("the gate of the run was replaced", "start a new run")
        return really(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(session, "resume_run", resume)
    summary = as_json(capsys, "worker", "--once")
    assert (summary["run"], summary["attempts"]) == (good, 2)
    shown = {one["run_id"]: one for one in as_json(capsys, "queue")}
    assert (shown[broken]["state"], shown[good]["state"]) == ("failed", "ended")
    assert "the gate of the run was replaced" in shown[broken]["message"]
    assert "is not in the queue" in refused(capsys, "queue", "--drop", good)
