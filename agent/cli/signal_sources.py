"""`alphaglow signal sources`: news, price and volume as one signal for an asset, with its confidence and reasons."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.common import FactorCommand, headed, json_option, print_json, stdout, workspace_of
from agent.cli.option_record import recorded
from agent.cli.signal_emitting import documents_of, emitted_before, of_known_bars, say_aside, service_of
from agent.cli.signal_opening import opened_signal
from agent.cli.signal_words import signed
from agent.untrusted.showing import printable
from market.errors import InputError

if TYPE_CHECKING:
    from agent.study.workspace import Workspace
    from market.panel import Panel

# Each source as a rank among the assets: news of three days, the price of one, volume of one beside that of twenty.
NEWS_DAYS, PRICE_DAYS, VOLUME_DAYS = 3, 1, 20
_QUOTES = ("", "USDT", "USD", "USDC")


@dataclass(frozen=True, slots=True)
class SourcesOptions:
    """What `signal sources` was asked for."""

    symbol: str | None
    data: str | None
    texts: str | None
    factor: str | None
    as_json: bool


@click.command(cls=FactorCommand)
@click.option("--symbol", metavar="ASSET", help="Whose signal, such as BTCUSDT or BTC (default: the largest weight).")
@click.option("--data", "-d", metavar="NAME|FILE", help="Bars: a data set of the workspace, or a file to import.")
@click.option("--texts", metavar="NAME|FILE", help="Texts with times: a set of the workspace, or a file to import.")
@click.option("--factor", metavar="TEXT", help="Another sum of sources than news, price and volume.")
@json_option
@click.pass_context
@recorded(SourcesOptions)
def sources(ctx: click.Context, asked: SourcesOptions) -> None:
    """Make one signal of news, price and volume: BUY, SELL or HOLD, how sure that is, and why.

    Files are imported first, texts are scored by a word list and joined to the bars, in the workspace: each step is
    printed as the command that does it alone, and is not done again. The signal is the sum of three ranks among the
    assets, that of the newest bar that has texts. It was not chosen by what it earned: `alphaglow eval` says that.
    """
    workspace = workspace_of(ctx)
    name = _with_texts(workspace, asked)
    panel = workspace.load_panel(name)
    asset = None if asked.symbol is None else _asset(panel, asked.symbol)
    factor = asked.factor or _sum_of_sources(panel)
    document = _newest(workspace, name, factor)
    rows: list[Any] = list(document["weights"])  # type: ignore[call-overload]
    if asset is None:
        asset = str(max(rows, key=lambda row: abs(row["weight"]))["asset"])
    row = next((one for one in rows if one["asset"] == asset), None)
    if row is None:
        raise InputError(f"{asset} has no signal at {document['closed']}", "choose another --symbol")
    if asked.as_json:
        facts = {key: document[key] for key in ("time", "closed", "data_age_s", "var_95")}
        print_json({"kind": "sources", "data": name, "factor": factor, **facts, **row})
        return
    _show(document, row, factor, name)
    if asked.texts is not None:
        _show_headline(workspace, Path(asked.texts).stem, asset, str(document["closed"]).removesuffix("Z"))


def _with_texts(workspace: Workspace, asked: SourcesOptions) -> str:
    """Return the data set that has the fields of the texts, made where it is missing."""
    data = _brought(workspace, asked.data, "data")
    if asked.texts is None:
        name = workspace.resolve_data(data).stem
        if "sentiment" not in workspace.load_panel(name).fields:
            raise InputError(f"{name} has no texts", "say which: --texts NAME|FILE")
        return name
    texts = _brought(workspace, asked.texts, "text", "--data", data or "")
    assert texts is not None
    from agent.cli.text_sources import SCORERS, texts_path
    from agent.texts.scores import scores_path

    texts_path(workspace, texts)
    data = workspace.resolve_data(data).stem
    name = f"{data}-{texts}"
    if name in workspace.data_names():
        return name
    folder = workspace.folder("texts")
    if not any(scores_path(folder, texts, by).is_file() for by in SCORERS):
        _step(workspace, "text", "score", texts)
    _step(workspace, "text", "join", texts, "--data", data, "--name", name, "--within")
    return name


def _brought(workspace: Workspace, given: str | None, kind: str, *more: str) -> str | None:
    """Return the name of what is in the workspace; a file is imported under its own name, once."""
    if given is None or not Path(given).suffix:
        return given
    file = Path(given)
    there = workspace.stored_path(file.stem) if kind == "data" else workspace.folder("texts") / f"{file.stem}.parquet"
    if there.exists():
        say_aside(f"{file.stem} is in the workspace already: it is not imported again")
        return file.stem
    if not file.exists():
        raise InputError(f"there is no file {given}", "name a file, or what is in the workspace already")
    words = [word for word in more if word] if all(more) else []
    _step(workspace, kind, "import", given, "--name", file.stem, *words)
    return file.stem


def _step(workspace: Workspace, *words: str) -> None:
    """Run a command of the program in the workspace, and say which; what it prints is no part of the answer."""
    import contextlib
    import io

    from agent.cli.main import cli

    say_aside(f"$ alphaglow {shlex.join(words)}")
    with contextlib.redirect_stdout(io.StringIO()):
        cli.main(args=["-w", str(workspace.root), *words], prog_name="alphaglow", standalone_mode=False)


def _sum_of_sources(panel: Panel) -> str:
    """Return the factor: three ranks among the assets, over days of the panel's bars."""
    import numpy as np

    day = panel.session_bars or max(1, round(np.timedelta64(1, "D") / panel.bar))
    news, price, volume = NEWS_DAYS * day, PRICE_DAYS * day, VOLUME_DAYS * day
    recent = f"ts_mean(volume, {day})" if day > 1 else "volume"
    return (
        f"cs_rank(ts_mean(sentiment, {news})) + cs_rank(ts_returns(close, {price})) + "
        f"cs_rank({recent} / ts_mean(volume, {volume}))"
    )


def _asset(panel: Panel, given: str) -> str:
    """Return the asset that is meant; BTC may be written for BTCUSDT, and BTC/USDT too."""
    plain = given.upper().replace("/", "")
    for quote in _QUOTES:
        if plain + quote in panel.assets:
            return plain + quote
    if given in panel.assets:
        return given
    raise InputError(f"no asset {given!r}", f"there is {', '.join(panel.assets[:8])} ...")


def _newest(workspace: Workspace, name: str, factor: str) -> Mapping[str, object]:
    """Return the signal of the newest bar, emitted now or before."""
    from agent.live.arrivals import WaitLimits

    limits = WaitLimits()
    with opened_signal(workspace, name, None, (factor,), None, True) as decider:
        for note in decider.portfolio.notes:
            say_aside(f"note: {note}")
        service = service_of(decider)
        found = list(documents_of(decider, service, limits, watch=False))
        before = emitted_before(decider, service)
        found = found or ([before] if before is not None else list(of_known_bars(decider, service, limits)))
    if not found:
        raise InputError(f"no bar of {name} can be decided on", "are there bars of all assets?")
    return found[-1]


def _show(document: Mapping[str, object], row: Any, factor: str, name: str) -> None:  # noqa: ANN401 - JSON
    out, closed = stdout(), str(document["closed"])[:16].replace("T", " ")
    out.print(headed(f"{row['asset']}: {row['action']}", f"  at the bar that closed {closed} UTC, data {name}"))
    lines = [f"weight {signed(row['weight'], 4)}, rank {row['rank']}", _sure(row["confidence"]), "because"]
    lines += [f"  - {reason}" for reason in row["reasons"]]
    lines += [f"changes side when {row['changes_when']}", f"signal: {factor}"]
    lines.append(f'what it earned: alphaglow eval "{factor}" --data {name}')
    for line in lines:
        out.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def _show_headline(workspace: Workspace, texts: str, asset: str, closed: str) -> None:
    """Print the newest text about an asset that was known when the bar closed."""
    import numpy as np

    from agent.cli.text_sources import texts_path
    from market.documents import load_documents

    documents = load_documents(texts_path(workspace, texts))
    known = np.searchsorted(documents.known, np.datetime64(closed, "ns"))
    about = next((k for k in range(int(known) - 1, -1, -1) if asset in documents.assets[k]), None)
    said = "nothing was written about it"
    if about is not None:
        when = str(documents.known[about])[:16].replace("T", " ")
        said = f"newest text about it, {when} UTC: {printable(documents.title[about])}"
    stdout().print(said, markup=False, highlight=False, soft_wrap=True)


def _sure(confidence: Any) -> str:  # noqa: ANN401 - JSON
    if confidence is None:
        return "confidence unknown: too few bars"
    said = f"confidence {confidence['share']:.1%} ± {confidence['error']:.1%}: so often did signals of its rank decile"
    said += " have the side of the next bar's payoff on train"
    return said if confidence["better_than_a_coin"] else f"{said}; no better than a coin"
