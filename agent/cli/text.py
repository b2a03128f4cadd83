"""`alphaglow text ...`: the group of its commands."""

from __future__ import annotations

import click

from agent.cli.groups import Group
from agent.cli.text_import import import_texts
from agent.cli.text_join import join
from agent.cli.text_score import score

COMMANDS = {"text": ("text", 30, "Import and score texts, and join them to data.")}


@click.group(cls=Group)
def text() -> None:
    """Import and score texts, and join them to data."""


for _command in (import_texts, score, join):
    text.add_command(_command)
