"""What a machine computes with: Python, libraries, our own source; where two machines differ, so may their answers."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# What answers are computed with. torch is for gates and learned factors.
LIBRARIES = ("numpy", "numba", "llvmlite", "scipy", "pandas", "torch")
PACKAGES = ("agent", "backtest", "factors", "flows", "market")
Facts = Mapping[str, str]


@cache
def source_id() -> str:
    """Return a hash of alphaglow's own source files. It is read once."""
    root, digest = Path(__file__).resolve().parents[2], hashlib.sha256()
    for path in sorted(path for name in PACKAGES for path in (root / name).rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@cache
def node_facts() -> Facts:
    """Return what this process computes with, by name."""
    found = {"python": platform.python_version(), "alphaglow's source": source_id()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def differences(here: Facts, there: Facts) -> str:
    """Return in what the facts of another machine differ, in words; nothing where they agree."""
    apart = [
        f"{name} {there.get(name, 'none')} (here {here.get(name, 'none')})"
        for name in sorted(here.keys() | there.keys())
        if here.get(name) != there.get(name)
    ]
    return ", ".join(apart)
