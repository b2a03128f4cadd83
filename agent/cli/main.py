"""`alphaglow`: the command group, and the one place where errors become exit codes."""

from __future__ import annotations

import gc
import os
import sys
from functools import cached_property

import click

from agent.cli.discovery import Entry, outside_commands, own_commands
from agent.cli.groups import Group
from agent.cli.stop_signals import ended_by_signals
from agent.untrusted.showing import printable
from market.errors import InputError

# Objects that are made before the youngest are searched for cycles. Imports and rows make hundreds of thousands that
# live on or are freed without it: at Python's 700, an eighth of the imports of a run is spent on searching them.
_YOUNG = 50_000


class _Commands(Group):
    """The commands that were found; one is imported when it is first asked for, so that `--help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return command names in the order a newcomer meets them, those of other packages last."""
        return list(self._found)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        entry = self._own.get(cmd_name) or self._found.get(cmd_name)
        return None if entry is None else entry.load()

    def help_lines(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Return name and line of each command without importing them."""
        return [(entry.name, entry.help) for entry in self._found.values()]

    @cached_property
    def _own(self) -> dict[str, Entry]:
        return own_commands()

    @cached_property
    def _found(self) -> dict[str, Entry]:
        """All commands; no other package replaces one of ours."""
        return {**self._own, **{n: e for n, e in outside_commands().items() if n not in self._own}}


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="alphaglow", prog_name="alphaglow")
@click.option("--workspace", "-w", metavar="DIR", help="Workspace to use (default: the nearest one at or above here).")
@click.pass_context
def cli(ctx: click.Context, workspace: str | None) -> None:
    """Mine trading alphas with language models, and be able to believe them."""
    ctx.obj = workspace


def main(argv: list[str] | None = None) -> None:
    """Run the command line; bad input ends with one line on stderr and exit code 2, a defect with a report and 70."""
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
    try:
        with ended_by_signals():
            code = cli.main(args=argv, prog_name="alphaglow", standalone_mode=False)
    except InputError as error:
        # It may hold a file's name, or what a server said.
        click.echo(f"alphaglow: {printable(str(error))}", err=True)
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("alphaglow: stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # Nobody reads on, as with `| head`; what is still in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:  # noqa: BLE001 - the last place: it ends here, and is reported
        from agent.cli.failure import given_words, report_failure

        sys.exit(report_failure(error, given_words(argv)))
    sys.exit(code if isinstance(code, int) else 0)
