"""Groups of commands: whole sentences in their help, and a guess at a mistyped name."""

from __future__ import annotations

import click

# click cuts a command's sentence after this many characters; a longer one goes on in the next line.
_WHOLE = 1_000


class Group(click.Group):
    """A group that guesses what a mistyped command was meant to be."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is meant; an unknown name fails with the nearest ones."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            ctx.fail(f"there is no command {name!r}{self._guess(ctx, name)}")
        return super().resolve_command(ctx, args)

    def _guess(self, ctx: click.Context, name: str) -> str:
        import difflib

        near = difflib.get_close_matches(name, self.list_commands(ctx), n=3, cutoff=0.5)
        return f"; did you mean {' or '.join(near)}?" if near else f"; list them: {ctx.command_path} --help"

    def help_lines(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Return name and first sentence of each command."""
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        return [(name, command.get_short_help_str(_WHOLE)) for name, command in commands if command is not None]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, each with its whole first sentence."""
        with formatter.section("Commands"):
            formatter.write_dl(self.help_lines(ctx))


class DefaultGroup(Group):
    """A group that takes what is no command of its own for arguments of its first command."""

    @property
    def default(self) -> tuple[str, click.Command]:
        """Name and command that is run where none is named."""
        return next(iter(self.commands.items()))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command's name before its arguments."""
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = [self.default[0], *args]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the default command's usage, and that others may be named."""
        return [*self.default[1].collect_usage_pieces(ctx), "| COMMAND [ARGS]..."]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the default command's options, then the commands."""
        self.default[1].format_options(ctx, formatter)
        self.format_commands(ctx, formatter)
