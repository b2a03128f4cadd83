"""`alphaglow`: the command group, and the one place where errors become exit codes."""

from __future__ import annotations

import importlib
import sys

import click

from agent.untrusted.showing import printable
from market.errors import InputError

# Command -> (module, attribute, help line). Modules load when their command runs, so that
# `alphaglow --help` starts without torch, ccxt, numba or SQLAlchemy.
_COMMANDS: dict[str, tuple[str, str, str]] = {
    "init": ("agent.cli.data", "init", "Make a workspace in DIR."),
    "data": ("agent.cli.data", "data", "Import, fetch, make, check and show market data."),
    "text": ("agent.cli.text", "text", "Import and score texts, and join them to data."),
    "operators": ("agent.cli.factor", "operators", "Explain the factor language, or one operator."),
    "translate": ("agent.cli.translate", "translate", "Translate a factor from and to other languages."),
    "eval": ("agent.cli.factor", "evaluate_factor", "Parse, evaluate and backtest one factor."),
    "screen": ("agent.cli.screen", "screen", "Quick-score many factors, score the best in full."),
    "flow": ("agent.cli.flow", "flow", "Fit the flow and its gate; regimes, scenarios, risk."),
    "learn": ("agent.cli.learn_fusion", "learn", "Train models walking forward; predictions become factors."),
    "mine": ("agent.cli.mine", "mine", "Run the writer and judge loops."),
    "optimise": ("agent.cli.optimise", "optimise", "Improve one factor, one respect at a time."),
    "pool": ("agent.cli.pool", "pool", "Combine factors into one signal, and hold it against them."),
    "export": ("agent.cli.export", "export", "Write a factor or a pool for what trades it."),
    "signal": ("agent.cli.signal", "signal", "Target weights now, bar by bar, and on paper."),
    "report": ("agent.cli.report", "report", "Write the review report of a run or a factor."),
    "kb": ("agent.cli.kb", "kb", "Look into the knowledge base."),
    "holdout": ("agent.cli.factor", "holdout", "Open the holdout for one factor or pool, once."),
    "audit": ("agent.cli.audit", "audit", "Audit the loop on permuted and planted returns."),
    "warm": ("agent.cli.warm", "warm", "Compile the engine now, once after installation."),
    "demo": ("agent.cli.demo", "demo", "Run the offline demo: simulated market, simulated model."),
}


class _LazyGroup(click.Group):
    """A group whose commands are imported when first asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return command names in the order a newcomer meets them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="alphaglow", prog_name="alphaglow")
@click.option("--workspace", "-w", metavar="DIR", help="Workspace to use (default: the nearest one at or above here).")
@click.pass_context
def cli(ctx: click.Context, workspace: str | None) -> None:
    """Mine trading alphas with language models, and be able to believe them."""
    ctx.obj = workspace


def main(argv: list[str] | None = None) -> None:
    """Run the command line; bad input ends with one line on stderr and exit code 2."""
    try:
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
    sys.exit(code if isinstance(code, int) else 0)
