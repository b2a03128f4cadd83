"""`alphaglow ideas`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from agent.cli.asking_options import AskingOptions, choice_of, model_options
from agent.cli.common import (
    data_option,
    format_number,
    graceful_stop,
    headed,
    json_option,
    print_json,
    stdout,
    workspace_of,
)
from agent.cli.option_record import recorded
from agent.cli.running import say
from market.errors import InputError

if TYPE_CHECKING:
    from agent.asking.ideas import Drawn, Ideas

COMMANDS = {"ideas": ("ideas", 97, "Draw hypotheses from a note, each with its sentence and expressions.")}


@dataclass(frozen=True)
class IdeasOptions(AskingOptions):
    """What `alphaglow ideas` was asked for."""

    file: str


@click.command()
@click.argument("file", metavar="FILE")
@data_option
@click.option("--count", type=click.IntRange(1, 50), default=5, show_default=True, help="Most hypotheses.")
@model_options
@json_option
@click.pass_context
@recorded(IdeasOptions)
def ideas(ctx: click.Context, asked: IdeasOptions) -> None:
    """Draw hypotheses from FILE: a note or a paper as text, Markdown or PDF (the extra `pdf`).

    Each hypothesis rests on a sentence that is looked up in the text, and has expressions that are read like any other.
    With --data they are scored as `alphaglow eval` does it, each a counted trial. What the text says is data: it cannot
    change what is asked, checked or counted.
    """
    workspace = workspace_of(ctx)
    choice = choice_of(asked)
    from agent.asking.ideas import ideas_of
    from agent.asking.note_text import read_note

    note = read_note(asked.file)
    with graceful_stop() as stop:
        found = ideas_of(workspace, note, choice, data=asked.data_name, most=asked.count, tell=say, stop=stop)
    if not found.hypotheses and found.refused:
        raise InputError(
            f"no hypothesis of {note.name} stands: {found.refused[-1]}", "ask again with another --seed or --model"
        )
    if asked.as_json:
        print_json(found.to_dict())
        return
    if not found.hypotheses:
        stdout().print(f"{note.name} holds no hypothesis about returns that {found.model} can show.", soft_wrap=True)
    for number, drawn in enumerate(found.hypotheses, start=1):
        _print(number, drawn)
    _print_end(found)


def _print(number: int, drawn: Drawn) -> None:
    out = stdout()
    out.print(headed(f"{number}. ", drawn.hypothesis), soft_wrap=True)
    out.print(f"   line {drawn.line}: «{drawn.quote}»", soft_wrap=True, markup=False)
    for one in drawn.expressions:
        out.print(f"   {one.canonical or one.text}", soft_wrap=True, markup=False)
        if one.reading:
            out.print(f"      {one.reading}", soft_wrap=True, markup=False)
        if one.came is not None:
            figures = (
                f"rank IC {format_number(one.came.ic, 4)}, net Sharpe {format_number(one.came.sharpe_net)} on train"
            )
            out.print(f"      {figures}; {one.came.verdict}: {one.came.says}", soft_wrap=True, markup=False)
            if one.came.note:
                out.print(f"      {one.came.note}", soft_wrap=True, markup=False)
        if one.refused:
            out.print(f"      refused: {one.refused}", soft_wrap=True, markup=False)


def _print_end(found: Ideas) -> None:
    out = stdout()
    for why in found.refused:
        out.print(f"refused: {why}", soft_wrap=True, markup=False)
    if found.simulated:
        out.print(f"The language model was simulated ({found.model}).")
    if found.outcome != "finished":
        out.print(f"Ended early ({found.outcome}): the same command goes on.")
