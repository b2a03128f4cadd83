"""`alphaglow worker` works on queued runs, one after the other; `alphaglow queue` shows what waits."""

from __future__ import annotations

import platform
import threading
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from agent.cli.cluster_option import cluster_option
from agent.cli.common import graceful_stop, json_option, print_json, stdout, text_table, workspace_of
from agent.cli.running import say
from market.errors import InputError

if TYPE_CHECKING:
    from agent.knowledge.knowledge_base import KnowledgeBase
    from agent.knowledge.run_queue import QueueEntry
    from agent.study.workspace import Workspace

COMMANDS = {
    "worker": ("worker", 102, "Work on queued runs, one after the other."),
    "queue": ("queue", 103, "Show the runs that wait for a worker."),
}
# Seconds after which a run of a worker that says nothing any more is another's.
_LEASE = 120
_LOOK_AGAIN = 5.0
_SLICE = 0.25


class Lease:
    """A run that a worker has: renewed from a thread of its own as long as the work takes.

    `lost` is True once another has it, or it was taken out of the queue: then the work has to stop.
    """

    def __init__(self, knowledge: KnowledgeBase, run_id: str, worker: str, seconds: float) -> None:
        self.lost = False
        self._asked = (knowledge, run_id, worker, seconds)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Lease:
        """Begin to renew."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Renew no more."""
        self._done.set()
        self._thread.join()

    def _renew(self) -> None:
        knowledge, run_id, worker, seconds = self._asked
        kept_until = time.monotonic() + seconds
        while not self._done.wait(seconds / 4):
            try:
                self.lost = not knowledge.renew_lease(run_id, worker, seconds)
                kept_until = time.monotonic() + seconds
            except InputError as error:
                # The base may answer again before the lease is over; then nothing was lost.
                self.lost = time.monotonic() > kept_until
                say(f"the lease of run {run_id} could not be renewed: {error.message}")
            if self.lost:
                return


@click.command()
@click.option("--once", is_flag=True, help="End when no run waits that can be done here.")
@click.option("--name", metavar="NAME", help="What this worker is called (default: the machine and its process).")
@click.option(
    "--lease",
    default=_LEASE,
    show_default=True,
    type=click.IntRange(min=4),
    help="Seconds after which a run of a worker that died is another's.",
)
@cluster_option
@json_option
@click.pass_context
def worker(ctx: click.Context, *, once: bool, name: str | None, lease: int, cluster: str | None, as_json: bool) -> None:
    """Work on the runs that `alphaglow mine --queue` put into the knowledge base, one after the other.

    Several workers share a queue, on one machine or on many with one PostgreSQL base. A run is done under the rules
    and budgets that it was asked for with, on data that this workspace has under the same name; other runs are left to
    other workers. Ctrl-C stops after the calls under way and gives the run back. What was paid for is kept.
    """
    workspace, called = workspace_of(ctx), name or _own_name()
    with workspace.knowledge() as knowledge, graceful_stop("stopping; the run goes back into the queue") as asked:
        knowledge.require_writable()
        waited = False
        while not asked():
            entry = knowledge.take_run(called, lease, lambda run_id: _can_do(workspace, knowledge, run_id))
            if entry is not None:
                waited = False
                if not _work(workspace, knowledge, entry, lease, cluster, as_json=as_json):
                    break
                continue
            if once:
                break
            if not waited:
                say("no run waits that can be done here; looking again every 5 s")
            waited = True
            until = time.monotonic() + _LOOK_AGAIN
            while time.monotonic() < until and not asked() and not (workspace.root / "STOP").exists():
                time.sleep(_SLICE)
            if (workspace.root / "STOP").exists():
                break


def _work(
    workspace: Workspace,
    knowledge: KnowledgeBase,
    entry: QueueEntry,
    seconds: float,
    cluster: str | None,
    *,
    as_json: bool,
) -> bool:
    """Do one run as far as it goes; return whether to take another one."""
    from dataclasses import replace

    from agent.cli.running import Asked, conduct
    from agent.mining.session import resume_run

    run_id, worker = entry.run_id, str(entry.worker)
    say(f"run {run_id}, asked for by {entry.asked_by}")
    with Lease(knowledge, run_id, worker, seconds) as lease:
        asked = replace(Asked.nothing(as_json=as_json), cluster=cluster)
        try:
            found = conduct(
                workspace,
                lambda note: resume_run(workspace, knowledge, run_id, note=note),
                asked,
                lambda: lease.lost,
            )
        except InputError as error:
            knowledge.give_back(run_id, worker, ended=True, message=str(error))
            say(f"run {run_id} failed: {error!s}")
            return True
        except BaseException:
            knowledge.give_back(run_id, worker, ended=False)
            raise
        if lease.lost:
            say(f"run {run_id} is not this worker's any more")
            return True
        stopped = found.outcome == "interrupted"
        knowledge.give_back(run_id, worker, ended=not stopped)
    found.summary(knowledge, "mine")
    if not as_json:
        say(f"run {run_id} {found.outcome}: {knowledge.count_attempts(run_id)} attempts")
    return not stopped


def _own_name() -> str:
    """Return what this process is called, among the workers of a queue."""
    import os

    return f"{platform.node() or 'unnamed'}:{os.getpid()}"


def _can_do(workspace: Workspace, knowledge: KnowledgeBase, run_id: str) -> bool:
    """Whether this workspace has the data of a run, under the name that it goes by."""
    from market.manifest import read_manifest

    run = knowledge.get_run(run_id)
    if run.config.data not in workspace.data_names():
        return False
    manifest = read_manifest(workspace.data_path(run.config.data))
    return manifest is not None and manifest.panel == run.panel_id


@click.command()
@click.option("--drop", metavar="RUN", help="Take this run out of the queue; whoever works on it stops.")
@json_option
@click.pass_context
def queue(ctx: click.Context, drop: str | None, *, as_json: bool) -> None:
    """Show the runs that were put into the queue, the next one first, and who works on which.

    A run that failed says why; put it there again with `alphaglow mine --resume RUN --queue`.
    """
    from agent.knowledge.run_queue import in_turn

    with workspace_of(ctx).knowledge() as knowledge:
        if drop is not None:
            knowledge.drop_run(knowledge.get_run(drop).id)
        entries = knowledge.queue()
    waiting = in_turn(entries)
    ordered = waiting + sorted((one for one in entries if one not in waiting), key=lambda one: one.asked, reverse=True)
    if as_json:
        print_json([asdict(one) for one in ordered])
        return
    if not ordered:
        stdout().print("no run was put into the queue: alphaglow mine --queue")
        return
    rows = [[one.run_id, one.state, one.asked_by, one.asked[:16], one.worker or "", one.message] for one in ordered]
    stdout().print(text_table("Queue", ["run", "state", "asked by", "asked (UTC)", "worker", "why"], rows, left=6))
