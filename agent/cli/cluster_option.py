"""`--cluster`: whether a command scores here or on the machines of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from market.errors import InputError

if TYPE_CHECKING:
    from agent.cluster.ray_cluster import RayCluster
    from agent.study.workspace import Workspace

HERE = "none"

cluster_option = click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Score on a Ray cluster: auto, ray://HOST:10001, HOST:6379, or local to try it; none: here. "
    "Default: [cluster] address.",
)


@contextmanager
def cluster_of(workspace: Workspace, asked: str | None, say: Callable[[str], None]) -> Iterator[RayCluster | None]:
    """Join the cluster that was asked for, or that the settings name, and leave it at the end; None: score here.

    `say` is called with its size.
    """
    address = workspace.settings.cluster.address if asked is None else asked
    if address in ("", HERE):
        yield None
        return
    from agent.cluster.ray_cluster import joined
    from agent.study.mining_sections import address_fault

    wrong = address_fault(address)
    if wrong:
        raise InputError(wrong, f"or {HERE}, to score here")
    with joined(address) as cluster:
        say(f"cluster: processors {cluster.processors()}, machines {len(cluster.machines())}")
        yield cluster
