"""How long work on a device takes, and what takes it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch


def wait_for(device: str) -> None:
    """Wait until the device has done what was asked of it."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def seconds_of(device: str, work: Callable[[], object]) -> float:
    """Return how long a piece of work takes, to its end on the device."""
    wait_for(device)
    begun = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - begun


def print_profile(device: str, work: Callable[[], object]) -> None:
    """Print what takes the time."""
    from torch.profiler import ProfilerActivity, profile

    on_card = device.startswith("cuda")
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_card else [])]
    with profile(activities=kinds) as seen:
        work()
        wait_for(device)
    order = "self_cuda_time_total" if on_card else "self_cpu_time_total"
    print(seen.key_averages().table(sort_by=order, row_limit=30, max_name_column_width=60), flush=True)


def median_seconds(work: Callable[[], object], turns: int = 5) -> float:
    """Return the median of several turns, after one that is not counted."""
    work()
    taken = []
    for _ in range(turns):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)
