"""Processes of their own that run our command line, started in milliseconds: forked from a process that has imported.

A start of the interpreter costs seconds of imports. Tests that stop, kill or race programs start dozens: those are
forked from one server process per worker, which imports once. To the system they are processes like any other.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

import pytest

from market.plugins import Registry, plugins

_OURS = ("agent", "alphaglow", "backtest", "factors", "flows", "market")
_FORKSERVER = multiprocessing.get_context("forkserver") if sys.platform != "win32" else None


@dataclass
class Forked:
    """A running program, with the methods of `subprocess.Popen` that tests use; `wait` closes its output."""

    process: Any
    stdout: IO[str]
    errors: IO[bytes]
    stderr: str = ""

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        """Return the exit status, minus the signal that ended it, or None while it runs."""
        code: int | None = self.process.exitcode
        return code

    def wait(self, timeout: float = 300.0) -> int:
        self.process.join(timeout)
        code = self.poll()
        assert code is not None, "the program did not end"
        if not self.errors.closed:
            self.errors.seek(0)
            self.stderr = self.errors.read().decode()
            self.errors.close()
        self.stdout.close()
        return code

    def send_signal(self, number: int) -> None:
        # It may have ended by itself.
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = 300.0) -> tuple[str, str]:
        """Wait for the end; return the rest of the output, and all errors."""
        out = self.stdout.read()
        self.wait(timeout)
        return out, self.stderr


def start(
    argv: list[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    quiet: bool = False,
    function: Callable[[list[str]], None] | None = None,
) -> Forked:
    """Start `alphaglow ARGV`, or a function of a module, in a process of its own.

    Parameters
    ----------
    cwd, env
        Its folder and environment; those of this process unless given.
    quiet
        Whether its output goes nowhere, so that nobody has to read it.
    """
    if _FORKSERVER is None:
        pytest.skip("processes are forked: there is no fork here")
    _FORKSERVER.set_forkserver_preload(["tests.preloaded"])
    ours, theirs = _FORKSERVER.Pipe(duplex=False)
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the object
    folder, environment = str(cwd or Path.cwd()), dict(os.environ if env is None else env)
    duplicate = Connection(os.dup(errors.fileno()), readable=False)
    process = _FORKSERVER.Process(
        target=_run, args=(function or _command_line, argv, (folder, environment, quiet), (theirs, duplicate))
    )
    process.start()
    theirs.close()
    duplicate.close()
    stdout = os.fdopen(os.dup(ours.fileno()), encoding="utf-8")
    ours.close()
    return Forked(process, stdout, errors)


def run(argv: list[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run `alphaglow ARGV` to its end; return its exit status, output and errors."""
    going = start(argv, cwd=cwd, env=env)
    out, err = going.communicate()
    return going.wait(), out, err


def beside_site(argv: list[str]) -> None:
    """Run the command line where a distribution is installed, in the folder that the environment calls SITE."""
    see_site()
    _command_line(argv)


def see_site() -> None:
    """Put the folder SITE on the path, and forget what the server process found of plugins without it."""
    sys.path.insert(0, os.environ["SITE"])
    plugins.cache_clear()
    # Only our own modules: to look at all that is imported is to copy it, in a process that was forked.
    for module in [module for name, module in sys.modules.items() if name.partition(".")[0] in _OURS]:
        for thing in list(vars(module).values()):
            if isinstance(thing, Registry):
                vars(thing).pop("_all", None)


def _command_line(argv: list[str]) -> None:
    from agent.cli import main

    main(argv)


def _run(
    function: Callable[[list[str]], None],
    argv: list[str],
    place: tuple[str, dict[str, str], bool],
    streams: tuple[Connection, Connection],
) -> None:
    (folder, environment, quiet), (out, err) = place, streams
    if quiet:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
    else:
        os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    out.close()
    err.close()
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), encoding="utf-8")
    sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", closefd=False), encoding="utf-8", write_through=True)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["alphaglow", *argv]
    function(argv)
