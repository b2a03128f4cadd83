"""What is said where a command ends in an error that nobody foresaw: a sentence, and a report in a file."""

from __future__ import annotations

import platform
import sys
import tempfile
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from agent.untrusted.showing import printable

# BSD's sysexits: an error in the program itself.
SOFTWARE = 70
BAD_INPUT = 2


def report_failure(error: Exception, argv: list[str]) -> int:
    """Say in one sentence what happened, and write the traceback into a file; return the exit code.

    What comes out of the reading of a knowledge base that is found damaged is no defect of the program.
    """
    place = _write_report(error, argv)
    where = f"a report is in {place}" if place else "no report could be written"
    said = printable(f"{type(error).__name__}: {error}".splitlines()[0])[:300]
    damaged = _damaged_base(error)
    if damaged:
        click.echo(
            f"alphaglow: the knowledge base seems to be damaged ({said}); find what is: alphaglow kb verify; save what "
            f"can be read: alphaglow kb repair NEW; {where}",
            err=True,
        )
        return BAD_INPUT
    click.echo(
        f"alphaglow: this is an error in alphaglow itself ({said}); {where}: please send it with what you did",
        err=True,
    )
    return SOFTWARE


def _damaged_base(error: Exception) -> bool:
    """Whether an error came out of the functions that make records of stored rows."""
    module = "agent/knowledge/"
    readers = ("tables/convert.py", "packed_json.py", "claims.py", "score_documents.py", "run_config.py", "listing.py")
    files = [Path(frame.filename).as_posix() for frame in traceback.extract_tb(error.__traceback__)]
    return any(f"{module}{reader}" in file for file in files for reader in readers) and not isinstance(
        error, (NameError, ImportError, AssertionError)
    )


def _write_report(error: Exception, argv: list[str]) -> str:
    """Write what happened into a file of the user's own; return its path, or nothing where that cannot be."""
    try:
        alphaglow = version("alphaglow")
    except PackageNotFoundError:
        alphaglow = "unknown"
    lines = [
        f"alphaglow {alphaglow}, Python {platform.python_version()}, {platform.platform()}",
        # A key is never given on the command line; a URL may hold a password.
        f"command: {' '.join('(a URL)' if '://' in word else word for word in argv)}",
        "",
        "".join(traceback.format_exception(error)),
    ]
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="alphaglow-report-", suffix=".txt", delete=False, encoding="utf-8", errors="replace"
        ) as file:
            file.write("\n".join(lines))
            return file.name
    except OSError:
        return ""


def given_words(argv: list[str] | None) -> list[str]:
    """Return the words that a command was called with."""
    return sys.argv[1:] if argv is None else argv
