"""`alphaglow mcp`."""

from __future__ import annotations

from dataclasses import dataclass

import click

from agent.cli.common import stderr, workspace_of
from agent.cli.option_record import recorded
from market.errors import InputError

COMMANDS = {"mcp": ("mcp", 175, "Serve the workspace to other agents (Model Context Protocol).")}
_ENDPOINT = "/mcp"


@dataclass(frozen=True)
class ServeOptions:
    """What `alphaglow mcp` was asked for."""

    http: bool
    port: int
    allow_runs: bool
    budget_usd: float | None
    budget_calls: int | None
    llm: str
    model: str
    evaluations: int


@click.command()
@click.option("--http", is_flag=True, help="Over HTTP on this machine, in the place of stdin and stdout.")
@click.option("--port", type=click.IntRange(1, 65_535), default=8765, show_default=True, help="Of --http.")
@click.option("--allow-runs", is_flag=True, help="Let clients start runs and ask models, within the budget.")
@click.option("--budget-usd", type=click.FloatRange(min=0, min_open=True), help="Of all runs together.")
@click.option("--budget-calls", type=click.IntRange(min=1), help="Of all runs together.")
@click.option("--llm", default="", metavar="NAME", help="Provider of models for runs (default: the workspace's).")
@click.option("--model", default="", metavar="NAME", help="Model for runs (default: the workspace's).")
@click.option(
    "--evaluations",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    help="Evaluations that clients may ask for, each of them a trial.",
)
@click.pass_context
@recorded(ServeOptions)
def mcp(ctx: click.Context, asked: ServeOptions) -> None:
    """Serve the workspace to other agents, over stdin and stdout or over HTTP on this machine.

    Clients read the language, the knowledge base and the documentation, and evaluate factors: figures of train alone,
    each evaluation recorded as a trial. They start no run and ask no model, but for --allow-runs with a budget.
    """
    workspace = workspace_of(ctx)
    try:
        from agent.mcp.allowance import Allowance
        from agent.mcp.model_server import build_server, serve_http, serve_stdio
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("mcp", "mcp_types"):
            raise
        raise InputError("the server needs the package mcp", "pip install 'alphaglow[mcp]'") from error
    allowance = Allowance(
        asked.evaluations, asked.allow_runs, asked.budget_usd, asked.budget_calls, asked.llm, asked.model
    )
    server = build_server(workspace, allowance)
    if not asked.http:
        serve_stdio(server)
        return
    url = f"http://127.0.0.1:{asked.port}{_ENDPOINT}"
    stderr().print(f"serving {workspace.root} at {url}; Ctrl-C ends it", markup=False)
    serve_http(server, asked.port)
