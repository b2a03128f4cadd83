"""`alphaglow quickstart`: three questions, and then a workspace with data, a first run and a first report."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import click

from agent.cli.common import stdout
from agent.cli.option_record import recorded
from agent.cli.quick_data import QuickData, fetch_quick, few_words
from agent.cli.running import say
from agent.study.workspace import MARKER, Workspace, init_workspace
from market.errors import InputError

COMMANDS = {"quickstart": ("quickstart", 5, "Three questions, then data, a first run and a first report.")}
_SIMULATED, _MOCK = "simulated", "mock"
# Of a real model that nothing is known of: enough for a few candidates.
_TOKENS = 200_000


@dataclass(frozen=True)
class QuickstartOptions:
    """What `quickstart` was asked for; None is asked."""

    folder: Path
    data: str | None
    model: str | None
    capital: float | None
    exchange: str
    days: int
    candidates: int
    yes: bool
    base_url: str | None


@click.command()
@click.argument(
    "folder", metavar="[DIR]", type=click.Path(path_type=Path, file_okay=False), default=Path("alphas"), required=False
)
@click.option("--data", metavar="FILE|A,B|simulated", help="A file of prices, symbols of --exchange, or simulated.")
@click.option("--model", metavar="NAME", help="Who writes: mock (simulated, no key), or a model of your server.")
@click.option("--capital", type=click.FloatRange(min=0), help="Money that is traded; 0: figures in percent.")
@click.option("--exchange", default="bybit", show_default=True, help="Of symbols: any that ccxt knows.")
@click.option("--days", type=click.IntRange(1), default=365, show_default=True, help="Of symbols: how much is fetched.")
@click.option("--candidates", type=click.IntRange(1), default=6, show_default=True, help="Factors of the first run.")
@click.option("--yes", is_flag=True, help="Ask nothing: what is not said is simulated data, mock, 100000.")
@click.option("--base-url", hidden=True, help="Send every request to this server in the exchange's place.")
@click.pass_context
@recorded(QuickstartOptions)
def quickstart(_ctx: click.Context, asked: QuickstartOptions) -> None:
    """Make a workspace in DIR, bring data into it, mine a few factors, and write a first report.

    Three questions are asked (data, model, capital), unless options answer them. Nothing needs a key: without data of
    your own the market is simulated, and without a model the writer is. Each step is printed as the command that does
    it alone.
    """
    if (asked.folder / MARKER).exists():
        raise InputError(f"{asked.folder} is already a workspace", "choose another DIR, or go on in it: alphaglow mine")
    data = _answer(asked.data, "Data: a file, symbols such as BTC/USDT,ETH/USDT, or simulated", _SIMULATED, asked)
    model = _answer(asked.model, "Who writes factors: mock (simulated, no key), or a model's name", _MOCK, asked)
    capital = asked.capital
    if capital is None:
        capital = 100_000.0 if asked.yes else click.prompt("Capital, in money", default=100_000.0, type=float, err=True)
    if not 0 <= capital < float("inf"):
        raise InputError(f"--capital {capital} is no amount of money", "say 100000, or 0 for figures in percent")
    if Path(data).suffix and not Path(data).exists():
        raise InputError(f"there is no file {data}", "name a file, symbols such as BTC/USDT, or simulated")
    init_workspace(asked.folder)
    say(f"$ alphaglow init {asked.folder}")
    workspace = Workspace(asked.folder)
    name = _bring_data(workspace, data, asked)
    _settle_rules(workspace, name, capital)
    run = _mine(workspace, name, model, asked.candidates)
    _step(workspace, "report", run)
    out = stdout()
    out.print(
        f"Open that page in a browser. Go on with: cd {asked.folder}, alphaglow eval FACTOR, alphaglow mine, "
        "alphaglow compare FACTOR FACTOR, alphaglow ui",
        soft_wrap=not out.is_terminal,
    )


def _answer(given: str | None, question: str, default: str, asked: QuickstartOptions) -> str:
    if given is not None:
        return given.strip()
    return default if asked.yes else str(click.prompt(question, default=default, err=True)).strip()


def _step(workspace: Workspace, *words: str) -> None:
    """Run a command of the program in the workspace, and say which."""
    from agent.cli.main import cli

    say(f"$ alphaglow {shlex.join(words)}")
    cli.main(args=["-w", str(workspace.root), *words], prog_name="alphaglow", standalone_mode=False)


def _bring_data(workspace: Workspace, data: str, asked: QuickstartOptions) -> str:
    """Import, fetch or simulate the data, and return the name of the data set."""
    if data == _SIMULATED:
        _step(workspace, "data", "synth", "--name", "simulated", "--bars", "3000", "--assets", "12")
        return "simulated"
    if Path(data).exists():
        _step(workspace, "data", "import", data, "--name", "prices")
        return "prices"
    symbols = tuple(part.strip().upper() for part in data.split(",") if part.strip())
    market = "swap" if any(":" in symbol for symbol in symbols) else "spot"
    return fetch_quick(workspace, QuickData(symbols, asked.exchange, "1h", asked.days, market, asked.base_url))


def _settle_rules(workspace: Workspace, name: str, capital: float) -> None:
    """Write the capital, and how few assets are traded, into the settings; what is written is said."""
    from backtest.run import MAX_SMALL_UNIVERSE
    from market.manifest import read_manifest

    manifest = read_manifest(workspace.data_path(name))
    changed: list[tuple[str, str]] = [("capital = 0.0", f"capital = {capital!r}")] if capital > 0 else []
    if manifest is not None and manifest.assets <= MAX_SMALL_UNIVERSE:
        say(few_words(manifest.assets))
        changed.append(('weighting = "rank"', 'weighting = "timeseries"'))
    place = workspace.root / MARKER
    text = place.read_text(encoding="utf-8")
    for before, after in changed:
        text = text.replace(f"\n{before}\n", f"\n{after}\n", 1)
        say(f"alphaglow.toml [backtest]: {after}")
    place.write_text(text, encoding="utf-8")


def _mine(workspace: Workspace, name: str, model: str, candidates: int) -> str:
    """Mine one round, and return the run's id."""
    words = ["mine", "--data", name, "--rounds", "1", "--candidates", str(candidates)]
    asked = ["--llm", "mock"] if model == _MOCK else ["--model", model, "--budget-tokens", str(_TOKENS)]
    _step(workspace, *words, *asked)
    with workspace.listing() as known:
        return known.runs()[-1].id
