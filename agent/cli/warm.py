"""`alphaglow warm`."""

from __future__ import annotations

import click

from agent.cli.common import progress_bar, stderr

COMMANDS = {"warm": ("warm", 190, "Compile the engine once, after installation.")}


@click.command()
@click.option("--cluster", is_flag=True, help="Also what a machine of a cluster needs, such as in an image of it.")
def warm(cluster: bool) -> None:
    """Compile the engine now, once after installation, rather than when it is first used."""
    from backtest.warm_backtest import warm_backtest
    from factors.warm_engine import warm_up as compile_all

    with progress_bar() as bar:
        task = bar.add_task("compiling operators", total=None)
        compile_all(show=lambda done, of: bar.update(task, completed=done, total=of))
        bar.update(task, description="compiling the backtest")
        warm_backtest()
        if cluster:
            from agent.cluster.warm_machine import warm_machine

            bar.update(task, description="compiling for shared data")
            warm_machine()
    stderr().print("the engine and the backtest are compiled")
