"""What only POSIX systems have is not needed to start: names and modules that Windows lacks are taken away."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.knowledge import processes

# Libraries are loaded before, since they look at the system, which is still this one; so is what they import late.
_WITHOUT = """
import asyncio, concurrent.futures, ctypes, importlib, multiprocessing, os, pkgutil, shutil, signal, socket, subprocess
import sys, tempfile, threading
import click, fastapi, filelock, httpx2, numpy, pandas, pydantic, rich.console, sqlalchemy
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty"):
    sys.modules[name] = None
for name in ("getuid", "geteuid", "getgid", "fork", "setsid", "killpg", "getpgid", "sched_getaffinity", "getloadavg",
             "WNOHANG", "uname", "statvfs", "mkfifo", "nice", "wait"):
    vars(os).pop(name, None)
for name in ("SIGHUP", "SIGKILL", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGQUIT", "pause", "alarm"):
    vars(signal).pop(name, None)
for room in ("agent.cli", "agent.web"):
    room = importlib.import_module(room)
    for found in pkgutil.iter_modules(room.__path__, room.__name__ + "."):
        importlib.import_module(found.name)
from agent.cli.main import main
main(["--help"])
"""
_POSIX_MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty"}
_POSIX_NAMES = {
    "os": {"getuid", "geteuid", "fork", "setsid", "killpg", "getpgid", "sched_getaffinity", "getloadavg", "WNOHANG",
           "uname", "statvfs", "mkfifo", "nice", "wait"},
    "signal": {"SIGHUP", "SIGKILL", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGQUIT", "pause", "alarm"},
}  # fmt: skip
_ROOT = Path(__file__).resolve().parents[2]


def unguarded(text: str) -> list[str]:
    """Names that Windows lacks, in a module that does not ask for them by ``hasattr(os, "name")`` first."""
    found: list[str] = []
    if not any(name in text for name in {*_POSIX_MODULES}.union(*_POSIX_NAMES.values())):
        return found
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [one.name for one in node.names if one.name in _POSIX_MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module in _POSIX_MODULES:
            found.append(node.module)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module, name = node.value.id, node.attr
            if name in _POSIX_NAMES.get(module, ()) and f'hasattr({module}, "{name}")' not in text:
                found.append(f"{module}.{name}")
    return found


def test_what_windows_lacks_is_asked_for_before_it_is_used() -> None:
    assert unguarded("import os\nos.fork()") == ["os.fork"]
    assert unguarded('import os\nif hasattr(os, "fork"):\n    os.fork()') == []
    rooms = ("agent", "alphaglow", "backtest", "factors", "flows", "market")
    paths = [path for room in rooms for path in (_ROOT / room).rglob("*.py")]
    assert len(paths) > 300
    found = {path.relative_to(_ROOT).as_posix(): unguarded(path.read_text(encoding="utf-8")) for path in paths}
    assert {path: names for path, names in found.items() if names} == {}


def test_every_command_is_there_without_what_only_posix_has() -> None:
    ended = subprocess.run([sys.executable, "-c", _WITHOUT], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "demo" in ended.stdout


def test_whether_a_process_is_gone_is_not_asked_by_a_signal_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(_number: int, _signal: int) -> None:
        raise AssertionError("signal 0 is Ctrl-C on Windows")

    # One that ended long ago: there is no such number.
    known = processes.this_process().rsplit(" ", 2)
    gone = f"{known[0]} {2**22 + 1} 5"
    assert processes.is_gone(gone)
    monkeypatch.setattr(os, "kill", pressed)
    monkeypatch.setattr(processes, "_WINDOWS", True)
    assert not processes.is_gone(gone)
