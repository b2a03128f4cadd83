"""Machines of a Ray cluster, simulated on this one; they are waited for also where it has other things to do."""

from __future__ import annotations

import socket
import time
from typing import Any

# Ray gives up a machine that has not come up after half a minute; where the processor is busy, one of a few comes up.
TRIES, PATIENCE = 8, 300.0
# A machine ends if its processes do not say within 15 s at which ports they listen. Of given ports nothing is asked.
_PORTS = ("metrics_agent_port", "metrics_export_port", "runtime_env_agent_port", "dashboard_agent_listen_port")
STORE = 100_000_000
QUIET = {"log_to_driver": False, "logging_level": "ERROR"}


class SimulatedMachines:
    """A head, without processors where nothing is said, and machines of one each; this process is connected to it."""

    def __init__(self, count: int, store: int = STORE, head: int = 0) -> None:
        import ray
        from ray.cluster_utils import Cluster

        self._ray, self._cluster, self._store = ray, Cluster(), store
        self._start(num_cpus=head, include_dashboard=False)
        self._head = head
        self.nodes: list[Any] = [self.add() for _ in range(count)]
        self.connect()
        self._wait()

    def connect(self) -> None:
        """Connect this process to it, where it is not connected to a cluster."""
        if not self._ray.is_initialized():
            self._ray.init(address=self._cluster.address, **QUIET)

    def grow(self, count: int) -> None:
        """Add machines, and wait until they are there."""
        self.nodes += [self.add() for _ in range(count)]
        self._wait()

    def _wait(self) -> None:
        wanted, end = len(self.nodes) + self._head, time.monotonic() + PATIENCE
        while self._ray.cluster_resources().get("CPU", 0) < wanted and time.monotonic() < end:
            time.sleep(0.2)

    def add(self) -> Any:  # noqa: ANN401
        """Add a machine and return it."""
        return self._start(num_cpus=1)

    def _start(self, **options: Any) -> Any:  # noqa: ANN401
        for left in reversed(range(TRIES)):
            ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
            try:
                return self._cluster.add_node(wait=False, object_store_memory=self._store, **ports, **options)
            except Exception as error:
                if "timed out during startup" not in str(error) or not left:
                    raise
        raise AssertionError("it returns or raises")

    def replace(self, place: int) -> None:
        """Take a machine away without a warning, and put another one in its place."""
        self._cluster.remove_node(self.nodes[place], allow_graceful=False)
        self.nodes[place] = self.add()

    def close(self) -> None:
        """End all of it."""
        self._ray.shutdown()
        self._cluster.shutdown()


def _free_ports(count: int) -> list[int]:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    return ports
