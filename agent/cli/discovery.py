"""Finding the commands: those of this folder by a literal in their files, and those of other packages.

A file of this folder that has commands says so in one literal, which is read without importing the file::

    COMMANDS = {"warm": ("warm", 190, "Compile the engine once, after installation.")}

That is: the command's name, the click command's name in the file, its place in the list, and its line of help. Another
package adds a command by an entry point of the group ``alphaglow.commands``.
"""

from __future__ import annotations

import ast
import importlib
import re
from dataclasses import dataclass
from pathlib import Path

import click

from market.errors import InputError
from market.plugins import declared

_LITERAL = re.compile(r"^COMMANDS = (\{.*?\})$", re.MULTILINE | re.DOTALL)
_OUTSIDE = 1_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A command that was found: where it is, its place in the list and its line of help."""

    name: str
    module: str
    attribute: str
    place: int
    help: str

    def load(self) -> click.Command:
        """Import the module and return the command."""
        try:
            found = getattr(importlib.import_module(self.module), self.attribute, None)
        except ModuleNotFoundError as error:
            if error.name != self.module:
                raise
            found = None
        if not isinstance(found, click.Command):
            raise InputError(
                f"the command {self.name} is not at {self.module}:{self.attribute}",
                "its package is broken: install it again, or remove it",
            )
        return found


def own_commands() -> dict[str, Entry]:
    """Return the commands of this folder by name, in the order in which a newcomer meets them."""
    found = []
    for path in Path(__file__).parent.glob("*.py"):
        literal = _LITERAL.search(path.read_text(encoding="utf-8"))
        if literal is not None and path.stem != "discovery":
            module = f"{__package__}.{path.stem}"
            found += [Entry(name, module, *facts) for name, facts in ast.literal_eval(literal[1]).items()]
    return {entry.name: entry for entry in sorted(found, key=lambda entry: (entry.place, entry.name))}


def outside_commands() -> dict[str, Entry]:
    """Return the commands that installed packages declare, by name."""
    found: dict[str, Entry] = {}
    for point in declared("commands"):
        module, _, attribute = point.target.partition(":")
        line = f"Command of the package {point.distribution}."
        found.setdefault(point.name, Entry(point.name, module.strip(), attribute.strip() or point.name, _OUTSIDE, line))
    return found
