"""What the commands share: finding the workspace, options, printing."""

from __future__ import annotations

import json
import math
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agent.cli.stop_signals import handling
from agent.study.workspace import Workspace, find_workspace
from agent.untrusted.showing import UNSHOWABLE
from market.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console, ConsoleRenderable, RichCast
    from rich.progress import Progress
    from rich.table import Table
    from rich.text import Text

Command = TypeVar("Command", bound=Callable[..., Any])


def workspace_of(ctx: click.Context) -> Workspace:
    """Return the workspace of this invocation."""
    given = ctx.find_root().obj
    return find_workspace(given, Path.cwd())


class FactorCommand(click.Command):
    """A command whose argument is a factor, which may begin with a minus sign: `eval "-ts_mean(close, 5)"`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what looks like an option, but is an expression, as the argument."""
        names = {name for param in self.params for name in (*param.opts, *param.secondary_opts)} | {"-h", "--help"}
        texts = [arg for arg in args if arg.startswith("-") and arg not in names and _is_expression(arg)]
        if texts and "--" not in args:
            args = [arg for arg in args if arg not in texts] + ["--", *texts]
        return super().parse_args(ctx, args)


def _is_expression(text: str) -> bool:
    """Whether a word that begins with a minus sign is a factor: options have no parentheses, spaces or digits first."""
    return any(sign in text for sign in "( */+") or text[1:2].isdigit()


def data_option(command: Command) -> Command:
    """Add `--data`."""
    return click.option(
        "--data", "-d", "data_name", metavar="NAME", help="Data set of the workspace, or a panel file."
    )(command)


def panel_option(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--data`, and `--since`, `--until`, `--assets`, which make a part of it; write it above `click.pass_context`.

    The command gets all of it as `data_name`, in the words of `market.panel_part`, which `open_data` reads.
    """

    @wraps(command)
    def callback(*args: Any, **options: Any) -> None:  # noqa: ANN401 - click's own values
        cut = [options.pop(name) for name in ("since", "until", "assets")]
        if any(cut):
            from market.panel_part import part_of, read_part

            given = options["data_name"] or ""
            if "@" in given and read_part(given)[1]:
                raise InputError(f"--data {given!r} says dates or assets already", "say them once")
            options["data_name"] = part_of(*cut).label(given)
        command(*args, **options)

    for option in (
        click.option("--assets", metavar="A,B", help="Only these assets of it."),
        click.option("--until", metavar="DATE", help="Only its bars before this time, UTC."),
        click.option("--since", metavar="DATE", help="Only its bars from this time on, UTC."),
    ):
        callback = option(callback)
    return data_option(callback)


def json_option(command: Command) -> Command:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")(command)


def with_options(command: Command, options: Sequence[Callable[[Any], Any]]) -> Command:
    """Add options to a command, in the order in which its help lists them."""
    for option in reversed(options):
        command = option(command)
    return command


def target_options(default: str, what: str = "data set") -> Callable[[Command], Command]:
    """Add `--name` and `--replace`, of what a command stores; `default` says what it is called without."""
    named = click.option("--name", help=f"Name of the {what} (default: {default}).")
    replacing = click.option("--replace", is_flag=True, help=f"Overwrite a {what} of the same name.")

    def add(command: Command) -> Command:
        return named(replacing(command))

    return add


def headed(head: str, rest: str) -> Text:
    """Return a line that begins in bold."""
    from rich.text import Text

    return Text.assemble((head, "bold"), rest)


def stdout() -> Console:
    """Return a console for results; wide enough for tables when piped."""
    from agent.cli.plain_console import PlainConsole

    console = PlainConsole(highlight=False)
    return console if console.is_terminal else PlainConsole(highlight=False, width=140)


# The console on which a table lives at present: what is printed on it stands above the table.
_LIVING: list[Console] = []


def stderr() -> Console:
    """Return a console for progress and notes; while a table lives there, the one that prints above it."""
    from agent.cli.plain_console import PlainConsole

    return _LIVING[-1] if _LIVING else PlainConsole(stderr=True, highlight=False)


@contextmanager
def living(shown: ConsoleRenderable | RichCast, *, as_json: bool = False) -> Iterator[Console | None]:
    """Show something on stderr, drawn again four times a second, if that is a terminal; else yield None.

    It is not shown among JSON lines either, where stdout is that terminal, too.
    """
    from rich.live import Live

    console = stderr()
    if not console.is_terminal or (as_json and sys.stdout is not None and sys.stdout.isatty()):
        yield None
        return
    _LIVING.append(console)
    try:
        # What is written on stdout stays there: it may be a file.
        with Live(shown, console=console, refresh_per_second=4, transient=True, redirect_stdout=False):
            yield console
    finally:
        _LIVING.pop()


def progress_bar(label: str = "") -> Progress:
    """Return a progress display on stderr that leaves stdout to results."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=stderr(),
        transient=True,
    )


def finite_json(value: object) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Return `value` with NaN and infinities as None, so that the output is JSON everywhere."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): finite_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite_json(item) for item in value]
    return value


def json_line(document: object) -> str:
    """Return a JSON document in one line that is safe to show: what would command a terminal is escaped, not lost."""
    return escape_json(json.dumps(finite_json(document), ensure_ascii=False, default=str))


def escape_json(text: str) -> str:
    """Return JSON text with what would command a terminal, which can only stand in its strings, escaped."""
    return UNSHOWABLE.sub(lambda found: json.dumps(found[0])[1:-1], text)


def print_json(document: object) -> None:
    """Print one JSON document on stdout."""
    click.echo(json_line(document))


def format_number(value: float | None, digits: int = 2, *, percent: bool = False) -> str:
    """Format a figure; an undefined one is a dash, never a zero."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}%}" if percent else f"{value:.{digits}f}"


def text_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> Table:
    """Return a table whose first `left` columns are text and the rest figures."""
    from rich.table import Table

    drawn = Table(title=title, title_justify="left", header_style="bold", pad_edge=False)
    for index, name in enumerate(columns):
        drawn.add_column(name, justify="left" if index < left else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    return drawn


def require_positive(name: str, value: float | None) -> None:
    """Refuse a zero or negative option value."""
    if value is not None and not value > 0:
        raise InputError(f"{name} must be above 0, not {value}")


@contextmanager
def graceful_stop(
    note: str = "stopping after the calls under way; Ctrl-C again to stop at once",
) -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop, which the callable returns; the second stops at once."""
    asked = False

    def handler(signum: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        stderr().print(note)

    before = signal.signal(signal.SIGINT, handler)
    try:
        with handling(handler):
            yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
