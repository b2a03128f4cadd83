"""Texts of any folder, read as they are: by which reader, refused for which reason, and what is accepted in words."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from factors.parse import DialectName, parse
from factors.plain_words import read_aloud
from factors.table import GROUP_FIELDS, STANDARD_FIELDS
from market.errors import InputError, Rejection

# Columns that hold a factor's text, in the order in which they are looked for.
_COLUMNS = ("expression", "factor_expression", "formula", "alpha", "code", "factor", "text", "expr")
_SUFFIXES = (".txt", ".json", ".jsonl", ".csv", ".py")
_SHOWN = 20
# What data sets often carry beside prices and volumes.
_CARRIED = ("cap", "funding", "open_interest", "sentiment")


@dataclass
class Found:
    """What became of the texts of one file: how many, read by which language, refused for which reason."""

    texts: int = 0
    read: int = 0
    by: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    accepted: list[tuple[str, str]] = field(default_factory=list)


def texts_of(path: Path, column: str) -> Iterator[str]:
    """Yield the texts of a file: a line each of .txt, a value each of .json, .jsonl and .csv, a whole .py.

    Raises
    ------
    InputError
        Where a file is not of its kind, or has no column of that name.
    """
    try:
        content = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            yield content
        elif path.suffix == ".csv":
            yield from _column(list(csv.DictReader(content.splitlines())), column, path)
        elif path.suffix == ".jsonl":
            yield from _column([json.loads(line) for line in content.splitlines() if line.strip()], column, path)
        elif path.suffix == ".json":
            yield from _values(json.loads(content), column, path)
        else:
            lines = (line for line in content.splitlines() if line.strip() and not line.startswith("#"))
            # Such as `Alpha#12: rank(close)`.
            yield from (re.sub(r"^[\w.#]+:\s+", "", line) for line in lines)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}", "texts are .txt, .json, .jsonl, .csv or .py") from error


def _values(document: object, column: str, path: Path) -> Iterator[str]:
    if isinstance(document, dict) and all(isinstance(value, str) for value in document.values()):
        yield from map(str, document.values())
        return
    rows = document if isinstance(document, list) else list(document.values()) if isinstance(document, dict) else []
    if rows and all(isinstance(row, str) for row in rows):
        yield from rows
        return
    yield from _column(rows, column, path)


def _column(rows: Sequence[object], column: str, path: Path) -> Iterator[str]:
    records = [row for row in rows if isinstance(row, dict)]
    names = [column] if column else [name for name in _COLUMNS if records and name in records[0]]
    if not names or not any(names[0] in record for record in records):
        known = ", ".join(map(str, records[0])) if records else "none"
        raise InputError(f"{path} has no column {column or 'of texts'}", f"name one with --column; it has {known}")
    yield from (str(record[names[0]]) for record in records if record.get(names[0]))


def read_all(texts: Iterator[str], dialect: DialectName) -> Found:
    """Read every text, in one language or in the one that is found by trying."""
    found = Found()
    fields = (*STANDARD_FIELDS, *GROUP_FIELDS, *_CARRIED)
    for text in texts:
        found.texts += 1
        result = parse(text, fields=fields, bar=np.timedelta64(1, "D"), dialect=dialect)
        if isinstance(result, Rejection):
            # Without the word or number at hand, so that one reason counts as one.
            reason = re.sub(r"'[^']*'|\bline \d+: ", "…", result.message.partition("\n")[0])
            found.refused[f"{result.code}: {reason[:100]}"] += 1
            continue
        found.read += 1
        named = [note for note in result.notes if note.startswith("read in ")]
        found.by[named[0].partition("--from ")[2].rstrip(")") if named else dialect] += 1
        found.accepted.append((text, f"{result.text}\n      {read_aloud(result)}"))
    return found


def report(folder: Path, column: str, dialect: DialectName, *, quick: bool, out: Console) -> dict[str, object]:
    """Print what became of each file's texts; return it as a document of plain values.

    Raises
    ------
    InputError
        Where the folder holds no texts.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES and path.is_file())
    if not paths:
        raise InputError(f"{folder} holds no texts", f"it should have files that end in {', '.join(_SUFFIXES)}")
    rng = np.random.default_rng(0)
    document: dict[str, object] = {}
    table = Table("set", "texts", "read", "share", "by")
    for path in paths:
        texts = list(texts_of(path, column))
        found = read_all(iter(texts[::10] if quick else texts), dialect)
        by = ", ".join(f"{name} {count}" for name, count in found.by.most_common())
        share = f"{found.read / max(found.texts, 1):.1%}"
        table.add_row(path.name, str(found.texts), str(found.read), share, by)
        _details(path, found, rng, out)
        kept = {key: value for key, value in asdict(found).items() if key != "accepted"}
        document[path.name] = {**kept, "by": dict(found.by), "refused": dict(found.refused.most_common(50))}
    out.print(table)
    return document


def _details(path: Path, found: Found, rng: np.random.Generator, out: Console) -> None:
    out.print(f"{path.name}: refused", markup=False)
    for reason, count in found.refused.most_common(_SHOWN):
        out.print(f"  {count:5d}  {reason}", soft_wrap=True, markup=False)
    out.print(f"{path.name}: accepted, {_SHOWN} at random", markup=False)
    for place in rng.permutation(len(found.accepted))[:_SHOWN]:
        text, reading = found.accepted[int(place)]
        out.print(f"  {' '.join(text.split())[:200]}\n      {reading[:400]}", soft_wrap=True, markup=False)
