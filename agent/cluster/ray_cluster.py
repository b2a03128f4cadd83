"""A Ray cluster, as far as it is used here: one is joined, data are shared, shards are started and what came is read.

Ray is imported when a cluster is asked for, and not before.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from agent.cluster.node_facts import node_facts
from agent.cluster.shard_task import ShardAnswer, do_shard, look_around
from agent.cluster.work import Work
from market.errors import InputError

LOCAL = "local"
# A machine answers within this many seconds, the time for starting a process and importing the library included.
_ANSWERS_WITHIN = 180.0
_LISTENS_WITHIN = 10.0


@dataclass(frozen=True)
class Loss:
    """Why nothing came of a shard: its process ended, or its machine did (then the shard is not to blame)."""

    why: str
    machine: bool


class RayCluster:
    """A joined cluster; see `joined`."""

    def __init__(self, ray: Any) -> None:  # noqa: ANN401 - the module, which may not be installed
        self._ray = ray
        task = ray.remote(num_cpus=1, max_retries=0)
        self._shard, self._look = task(do_shard), ray.remote(num_cpus=0, max_retries=0)(look_around)

    def processors(self) -> int:
        """Return how many processors its machines have that are there now."""
        return int(self._ray.cluster_resources().get("CPU", 0))

    def machines(self) -> list[str]:
        """Return the ids of machines with processors that are there now."""
        nodes = self._ray.nodes()
        return [node["NodeID"] for node in nodes if node["Alive"] and node["Resources"].get("CPU", 0) > 0]

    def check_machines(self) -> None:
        """Refuse, as an `InputError`, machines whose code, libraries or Python differ from those of this process."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        asked = [
            self._look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=True)).remote(node_facts())
            for node in self.machines()
        ]
        ready, late = self._ray.wait(asked, num_returns=len(asked), timeout=_ANSWERS_WITHIN) if asked else ([], [])
        for ref in ready:
            found = self._read(ref)
            if isinstance(found, Loss):
                continue
            node, apart = found
            if apart:
                raise different(node, apart)
        if late and not ready:
            raise InputError(
                f"no machine of the cluster answers within {_ANSWERS_WITHIN:g} s",
                "is it overloaded? look at it with: ray status",
            )

    def share(self, work: Work[Any, Any]) -> Any:  # noqa: ANN401 - a reference of Ray
        """Send work with its data into the cluster; each machine keeps it once, whatever its processes."""
        try:
            return self._ray.put(work)
        except self._ray.exceptions.OutOfDiskError as error:
            raise _no_disk(error) from error
        except self._ray.exceptions.ObjectStoreFullError as error:
            raise InputError(
                f"the data do not fit the cluster's shared memory: {_first_line(error)}",
                "start its machines with more: ray start --object-store-memory BYTES",
            ) from error

    def start(self, shared: Any, work_id: str, items: Sequence[Any]) -> Any:  # noqa: ANN401 - references of Ray
        """Start a shard, and return what is waited for."""
        return self._shard.remote(shared, work_id, list(items), node_facts())

    def finished(self, references: Sequence[Any], seconds: float) -> list[Any]:
        """Return those that are done, as soon as there is one, and after `seconds` in any case."""
        ready, _ = self._ray.wait(list(references), num_returns=1, timeout=seconds)
        return list(ready)

    def answer(self, reference: Any) -> ShardAnswer | Loss:  # noqa: ANN401
        """Return what came of a shard that is done."""
        found: ShardAnswer | Loss = self._read(reference)
        return found

    def end(self, reference: Any) -> None:  # noqa: ANN401
        """Give up a shard; its process is ended."""
        self._ray.cancel(reference, force=True)

    def _read(self, reference: Any) -> Any:  # noqa: ANN401
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            raise _raised(error) from error
        except errors.OutOfDiskError as error:
            raise _no_disk(error) from error
        except (errors.NodeDiedError, errors.ObjectLostError, errors.LocalRayletDiedError) as error:
            return Loss(_first_line(error), machine=True)
        except (errors.WorkerCrashedError, errors.OutOfMemoryError) as error:
            return Loss(_first_line(error), machine=False)


def different(node: str, apart: str) -> InputError:
    """Return the error for a machine that does not compute with what this one does."""
    return InputError(
        f"machine {node} differs: {apart}; its answers could, too",
        "install the same there, such as by one image for all (deploy/), or take it out of the cluster",
    )


def _raised(error: Any) -> Exception:  # noqa: ANN401 - a RayTaskError
    """Return what a task raised, as it concerns who asked for it."""
    cause = error.cause
    if isinstance(cause, InputError):
        return cause
    if isinstance(cause, OSError):
        where = getattr(error, "ip", "") or "of the cluster"
        why = cause.strerror or str(cause)
        return InputError(f"machine {where}: {why}", "repair it or take it out; what is done is kept")
    text = f"{cause or error}"
    if "No module named" in text:
        line = next(line for line in reversed(text.splitlines()) if "No module named" in line)
        return InputError(
            f"a machine of the cluster lacks alphaglow: {line.strip()[:120]}",
            "install the same version there, such as by one image for all (deploy/)",
        )
    return error if cause is None else cause  # type: ignore[no-any-return]


def _no_disk(error: Exception) -> InputError:
    return InputError(
        f"a machine of the cluster has no disk left: {_first_line(error)}",
        "free some, or take it out of the cluster; what is done is kept",
    )


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return (text.splitlines() or [type(error).__name__])[0].rstrip(".")[:200]


@contextmanager
def joined(address: str) -> Iterator[RayCluster]:
    """Join the cluster at an address, and leave it at the end.

    Parameters
    ----------
    address
        ``auto``: the one that this machine belongs to. ``ray://HOST:10001``: another one, by its head. ``local``: one
        is started for the time, of the processors of this machine. A process that has joined one already uses it.

    Raises
    ------
    InputError
        Where Ray is not installed, nobody answers at the address, a machine has other versions or there are none.
    """
    if find_spec("ray") is None:
        raise InputError("a cluster needs Ray, which is not installed", 'pip install "alphaglow[cluster]"')
    # Nothing about what is done here goes to others; the choice of who set it otherwise stands.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    own = not ray.is_initialized()
    if own:
        _join(ray, address)
    try:
        cluster = RayCluster(ray)
        if cluster.processors() == 0:
            raise InputError(
                f"the cluster at {address} has no processors", "add machines: ray start --address HEAD:6379"
            )
        cluster.check_machines()
        yield cluster
    except (ConnectionError, ray.exceptions.RpcError, ray.exceptions.RaySystemError) as error:
        raise InputError(
            f"the head of the cluster is gone: {_first_line(error)}",
            "start one again, then go on with --resume; what is done is kept",
        ) from error
    finally:
        if own:
            ray.shutdown()


def _require_answer(address: str) -> None:
    """Refuse, as an `InputError`, an address at which nothing listens: Ray itself would ask for a minute and more."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_LISTENS_WITHIN).close()
    except OSError as error:
        raise _nobody(address, error.strerror or str(error)) from error


def _nobody(address: str, why: str) -> InputError:
    return InputError(
        f"no cluster answers at {address!r}: {why}",
        "start a head (ray start --head), or name one: --cluster ray://HOST:10001",
    )


def _join(ray: Any, address: str) -> None:  # noqa: ANN401
    if ":" in address:
        _require_answer(address)
    started = {"include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **started)
    except ConnectionError as error:
        raise _nobody(address, _first_line(error)) from error
    except ImportError as error:
        raise InputError(f"{address} needs a library more: {error}", 'pip install "alphaglow[cluster]"') from error
    except (RuntimeError, ValueError, ray.exceptions.RayError) as error:
        # Ray refuses a head of another version so; its sentence names both.
        said = " ".join(str(error).split())[:300]
        raise InputError(f"the cluster at {address!r} cannot be joined: {said}", "see docs/cluster.md") from error
    except Exception as error:
        # Of a machine that it started and that is too busy to come up, Ray says so in an exception without a type.
        if "timed out during startup" not in str(error):
            raise
        raise InputError("Ray did not start here within its time", "is this machine busy? try again") from error
