"""Reading files of published factors as their sources wrote them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from market.errors import InputError


@dataclass(frozen=True)
class PublishedFactor:
    """A factor as published: its name there, where it comes from, its dialect and its text."""

    name: str
    source: str
    dialect: Literal["worldquant", "gtja", "qlib"]
    text: str


_LINE = re.compile(r"^#?\s*(?P<name>Alpha#?\s*\d+):?\s+(?P<text>\S.*)$")


def read_corpus(path: Path) -> list[PublishedFactor]:
    """Read a corpus file: Qlib's JSON, or one expression a line (WorldQuant 101, GTJA 191), commented out or not."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if path.suffix == ".json":
        entries = json.loads(text)
        return [PublishedFactor(name, "Qlib Alpha158", "qlib", body) for name, body in entries.items()]
    dialect: Literal["worldquant", "gtja"] = "gtja" if "191" in path.stem or "gtja" in path.stem else "worldquant"
    source = "GTJA 191 (2017)" if dialect == "gtja" else "Kakushadze 2015, arXiv 1601.00991"
    found = [match for line in text.splitlines() if (match := _LINE.match(line.strip()))]
    return [PublishedFactor(m["name"].replace(" ", ""), source, dialect, m["text"].strip()) for m in found]
