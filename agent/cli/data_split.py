"""`alphaglow data split`: the dates at which a data set is cut into train, validation and holdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agent.cli.common import json_option, print_json, stdout, workspace_of

if TYPE_CHECKING:
    import numpy as np


@click.command("split")
@click.argument("name", required=False)
@click.option("--train-until", metavar="DATE", help="First time that is no longer in train.")
@click.option("--validation-until", metavar="DATE", help="First time that is no longer in validation.")
@json_option
@click.pass_context
def split_command(
    ctx: click.Context, name: str | None, train_until: str | None, validation_until: str | None, as_json: bool
) -> None:
    """Show the dates at which the data set NAME is cut, or move them on purpose.

    The first run on a data set fixes them; bars that come later are holdout. Moving them makes new bars of train or
    validation, for all data sets that have most bars in common with this one. Runs that are there keep their own dates.
    """
    from agent.study.moving_dates import move_dates, shown_dates

    workspace = workspace_of(ctx)
    panel = workspace.load_panel(name)
    asked = _moment(train_until, "--train-until"), _moment(validation_until, "--validation-until")
    if any(date is not None for date in asked):
        with workspace.knowledge() as knowledge:
            move_dates(workspace, knowledge, panel, *asked)
    shown = shown_dates(workspace, panel)
    if as_json:
        print_json(shown)
        return
    stdout().print(dates_in_words(shown), soft_wrap=True)


def dates_in_words(shown: dict[str, object]) -> str:
    """Return the segments as a line of text."""
    parts = []
    for name in ("train", "validation", "holdout", "forward"):
        span = shown[name]
        parts.append(f"{name} {span[0]} to {span[1]}" if isinstance(span, list) else f"no {name}")
    by = shown["fixed_by"]
    why = "by the shares in alphaglow.toml, until a run begins" if by is None else f"fixed by {by}"
    return f"{', '.join(parts)} ({why})"


def _moment(text: str | None, option: str) -> np.datetime64 | None:
    if text is None:
        return None
    import numpy as np

    from agent.cli.data_fetch import parse_date

    return np.datetime64(parse_date(text, option).replace(tzinfo=None), "ns")
