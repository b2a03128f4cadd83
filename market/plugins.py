"""What other distributions add to alphaglow: their entry points, by kind, beside what is built in.

A distribution declares what it adds in the group ``alphaglow.KIND`` of its entry points, such as ``alphaglow.gates``.
It is imported when something of its kind is first looked up.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from market.errors import InputError

V = TypeVar("V")
KINDS = ("operators", "sources", "gates", "models", "forecasts", "charts", "providers", "commands")
_GROUP = "alphaglow."


@dataclass(frozen=True, slots=True)
class Plugin:
    """An object that a distribution adds under a name."""

    name: str
    value: Any
    distribution: str

    def fault(self, kind: str, why: str) -> InputError:
        """Return the error that names the distribution."""
        return InputError(
            f"{kind} {self.name!r} of the installed distribution {self.distribution}: {why}",
            f"correct it, or remove it: pip uninstall {self.distribution}",
        )


@dataclass(frozen=True, slots=True)
class Declared:
    """An entry point of ours: its name, where the object is (``module:attribute``), and who declares it."""

    name: str
    target: str
    distribution: str


def declared(kind: str) -> tuple[Declared, ...]:
    """Return what the distributions on the path declare of a kind, in the order of the path; nothing is imported.

    The files are read as they are: ``importlib.metadata`` reads every distribution's description for the same answer,
    which costs more than all else that `--help` does. Of a distribution that is there twice, the first counts.
    """
    return _scan(tuple(sys.path)).get(kind, ())


@cache
def plugins(kind: str) -> tuple[Plugin, ...]:
    """Return what installed distributions add of a kind, sorted by name; they are looked for once a process.

    Raises
    ------
    InputError
        When one cannot be imported, or two have the same name; it names the distribution.
    """
    found: dict[str, Plugin] = {}
    for point in sorted(declared(kind), key=lambda point: (point.name, point.target)):
        from importlib.metadata import EntryPoint

        plugin = Plugin(point.name, None, point.distribution)
        if point.name in found:
            raise plugin.fault(kind, f"{found[point.name].distribution} has one of the same name")
        try:
            value = EntryPoint(point.name, point.target, _GROUP + kind).load()
        except (ImportError, AttributeError, SyntaxError, TypeError, ValueError) as error:
            raise plugin.fault(kind, f"it cannot be imported ({type(error).__name__}: {error})") from error
        found[point.name] = Plugin(point.name, value, point.distribution)
    return tuple(found.values())


@cache
def _scan(path: tuple[str, ...]) -> Mapping[str, tuple[Declared, ...]]:
    """Return what is declared by kind; a file that cannot be read declares nothing."""
    found: dict[str, list[Declared]] = {}
    seen: set[str] = set()
    for folder in path:
        for file in sorted(Path(folder or ".").glob("*-info/entry_points.txt")):
            distribution = re.split(r"-|\.egg", file.parent.name)[0]
            if distribution in seen:
                continue
            seen.add(distribution)
            try:
                text = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            for group, body in re.findall(r"^\[" + re.escape(_GROUP) + r"(\w+)\]$(.*?)(?=^\[|\Z)", text, re.M | re.S):
                pairs = (line.split("#")[0].partition("=") for line in body.splitlines() if "=" in line.split("#")[0])
                found.setdefault(group, []).extend(
                    # What stands in brackets is an extra that the entry point wants.
                    Declared(name.strip(), value.split("[")[0].strip(), distribution)
                    for name, _, value in pairs
                )
    return {kind: tuple(points) for kind, points in found.items()}


class Registry(Mapping[str, V], Generic[V]):
    """Things of one kind by name: those built in, then those of plugins, which are imported at the first look-up.

    Parameters
    ----------
    kind
        One of `KINDS`.
    built_in
        Name to thing; a plugin may not take such a name.
    read
        From a plugin's object to the thing; None leaves it out, a `TypeError` says what is wrong with it.
    """

    def __init__(self, kind: str, built_in: Mapping[str, V], read: Callable[[Any], V | None]) -> None:
        self.kind, self.built_in, self.read = kind, built_in, read

    @cached_property
    def _all(self) -> Mapping[str, V]:
        found = plugins(self.kind)
        if not found:
            return self.built_in
        every = dict(self.built_in)
        for plugin in found:
            if plugin.name in self.built_in:
                raise plugin.fault(self.kind, "alphaglow has one of the same name")
            try:
                thing = self.read(plugin.value)
            except TypeError as error:
                raise plugin.fault(self.kind, str(error)) from error
            if thing is not None:
                every[plugin.name] = thing
        return every

    def __getitem__(self, name: str) -> V:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, name: object) -> bool:
        return name in self._all

    @property
    def added(self) -> tuple[str, ...]:
        """Names that plugins added."""
        return tuple(name for name in self._all if name not in self.built_in)
