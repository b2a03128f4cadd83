"""What was found out about each text of a set, and the file that keeps it beside the texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from market.atomic_files import write_atomically
from market.documents import Documents
from market.errors import InputError
from market.panel import FloatArray

_KEY = b"alphaglow.scores"
Event = Literal[
    "security", "insolvency", "legal", "regulation", "macro", "earnings", "listing", "deal", "technology", "price",
    "other",
]  # fmt: skip
EVENTS: tuple[str, ...] = get_args(Event)


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of K texts, in their order.

    Attributes
    ----------
    texts
        K hashes of what each text says, to know it by again.
    sentiment
        (K,) for the price of what it speaks of: -1 very bad to 1 very good; NaN: not scored.
    relevance
        (K,) 0 to 1, how much it is about its assets; NaN: not scored.
    novelty
        (K,) 0 (a repeat) to 1 (nothing like it in the days before), by what was known then; see `measure_novelty`.
    event
        K of `EVENTS`; empty: not scored.
    by
        Who scored, with its version: ``lexicon/1``, ``llm/1:MODEL``.
    """

    texts: tuple[str, ...]
    sentiment: FloatArray
    relevance: FloatArray
    novelty: FloatArray
    event: tuple[str, ...]
    by: str

    @property
    def unscored(self) -> int:
        """How many texts have no sentiment."""
        return int(np.isnan(self.sentiment).sum())


def text_hash(documents: Documents, place: int) -> str:
    """Return a hash of what a text says and of which assets it speaks: the same text is scored once."""
    said = [documents.title[place], documents.body[place], sorted(documents.assets[place])]
    return hashlib.sha256(json.dumps(said, ensure_ascii=True).encode()).hexdigest()[:24]


def text_hashes(documents: Documents) -> tuple[str, ...]:
    """Return `text_hash` of each text."""
    return tuple(text_hash(documents, place) for place in range(len(documents)))


def scores_path(texts: Path, name: str, by: str) -> Path:
    """Return where the scores of the texts `name` lie, in the folder of texts; `by` is ``lexicon`` or ``llm``."""
    return texts / "scores" / by / f"{name}.parquet"


def save_scores(scores: Scores, path: Path, about: Mapping[str, object]) -> None:
    """Write scores as Parquet, whole or not at all; who scored, and `about`, go into the file's metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {**about, "by": scores.by}
    table = pa.table(
        {
            "text": pa.array(scores.texts, type=pa.string()),
            **{name: pa.array(getattr(scores, name)) for name in ("sentiment", "relevance", "novelty")},
            "event": pa.array(scores.event, type=pa.string()),
        }
    ).replace_schema_metadata({_KEY: json.dumps(facts, default=str).encode()})
    write_atomically(path, lambda target: pq.write_table(table, target, compression="zstd"))


def load_scores(path: Path, documents: Documents) -> Scores:
    """Read scores that `save_scores` wrote, which must be of these documents.

    Raises
    ------
    InputError
        For an absent, damaged or foreign file, and for scores of other texts.
    """
    try:
        table = pq.read_table(path)
        facts: dict[str, Any] = json.loads((table.schema.metadata or {})[_KEY])
    except FileNotFoundError as error:
        raise InputError(f"no scores: {path}", f"score the texts: alphaglow text score {path.stem}") from error
    except (OSError, pa.ArrowInvalid, KeyError, ValueError) as error:
        raise InputError(f"cannot read the scores {path}", "score the texts again") from error
    scores = Scores(
        texts=tuple(table["text"].to_pylist()),
        sentiment=table["sentiment"].to_numpy(),
        relevance=table["relevance"].to_numpy(),
        novelty=table["novelty"].to_numpy(),
        event=tuple(table["event"].to_pylist()),
        by=str(facts["by"]),
    )
    if scores.texts != text_hashes(documents):
        raise InputError(f"{path} scores other texts than these", f"score them again: alphaglow text score {path.stem}")
    return scores
