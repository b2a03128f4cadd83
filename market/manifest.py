"""The manifest beside a data set: where it came from, when, what is in it, and what was repaired."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from market.errors import InputError

if TYPE_CHECKING:
    from market.panel import Panel

_FORMAT = 1


@dataclass(frozen=True)
class Origin:
    """Where a panel came from.

    Attributes
    ----------
    source
        A word: ``file``, an exchange's name, ``simulated``, ``repair``.
    query
        What was asked: files, symbols, bar size, span, seed. Plain JSON types.
    fetched
        When, ISO 8601 UTC; empty is now.
    repairs
        What was repaired on the way, a sentence each.
    parent
        Id of the panel that this one was made from; empty for none.
    """

    source: str
    query: Mapping[str, object] = field(default_factory=dict)
    fetched: str = ""
    repairs: Sequence[str] = ()
    parent: str = ""


@dataclass(frozen=True)
class Part:
    """One Parquet file of a data set: name, rows, bytes and SHA-256."""

    file: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What the manifest of a data set says; see `Origin` for the first fields."""

    panel: str
    source: str
    query: Mapping[str, object]
    fetched: str
    repairs: tuple[str, ...]
    parent: str
    rows: int
    bars: int
    assets: int
    fields: tuple[str, ...]
    start: str
    end: str
    parts: tuple[Part, ...]

    @property
    def origin(self) -> Origin:
        """The first fields as an `Origin`, to hand on to what is made of the data set."""
        return Origin(self.source, self.query, self.fetched, self.repairs, self.parent)

    def to_json(self) -> str:
        """Return the manifest as indented JSON."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, indent=1, ensure_ascii=False, default=str) + "\n"


def manifest_path(path: Path) -> Path:
    """Return where the manifest of the data set at `path` (NAME.parquet) lies: NAME.json beside it."""
    return path.with_suffix(".json")


def manifest_of(panel: Panel, origin: Origin, parts: Sequence[Part]) -> Manifest:
    """Return the manifest of a panel stored as `parts`."""
    stamps = [str(time)[:19] for time in panel.times[[0, -1]]] if len(panel.times) else ["", ""]
    return Manifest(
        panel=panel.id,
        source=origin.source,
        query=dict(origin.query),
        fetched=origin.fetched or datetime.now(UTC).isoformat(timespec="seconds"),
        repairs=tuple(origin.repairs),
        parent=origin.parent,
        rows=sum(part.rows for part in parts),
        bars=panel.shape[0],
        assets=panel.shape[1],
        fields=tuple(sorted(panel.fields)),
        start=stamps[0],
        end=stamps[1],
        parts=tuple(parts),
    )


def read_manifest(path: Path) -> Manifest | None:
    """Return the manifest of the data set at `path`, None where it has none; a damaged one is an `InputError`."""
    place = manifest_path(path)
    try:
        facts = json.loads(place.read_text(encoding="utf-8"))
        if facts.pop("format") > _FORMAT:
            raise InputError(f"{place} was written by a newer alphaglow", "upgrade alphaglow")
        parts = tuple(Part(**part) for part in facts.pop("parts"))
        repairs, fields = tuple(facts.pop("repairs")), tuple(facts.pop("fields"))
        return Manifest(**facts, repairs=repairs, fields=fields, parts=parts)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{place} is damaged: {error}", "import the data again, or remove the file") from error


def file_part(path: Path, rows: int) -> Part:
    """Return the facts of one written file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return Part(path.name, rows, path.stat().st_size, digest.hexdigest())
