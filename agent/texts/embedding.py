"""Texts as vectors without a model to download: a hashed bag of words, and what a scorer said."""

from __future__ import annotations

import hashlib
import re
from functools import cache

import numpy as np
from numpy.typing import NDArray

from agent.texts.scores import EVENTS, Scores
from market.documents import Documents

HASHED = 256
# Behind the words: sentiment, relevance, novelty, whether scored, and the event.
SCORED = 4 + len(EVENTS)
_WORD = re.compile(r"[a-z0-9]{3,}")
_PLAIN_TEXT = (
    "the and for are with that this from has have will its was were been but not can could would should may might "
    "more than into over after before about what when which who why how you your our their his her they them some "
    "says said say new one two all also just here there out off per via"
)
_PLAIN = frozenset(_PLAIN_TEXT.split())


def embed(documents: Documents, scores: Scores) -> NDArray[np.float32]:
    """Return (K, HASHED + SCORED) vectors; each is a function of its own text and scores, and of nothing later.

    Words are hashed with a sign into 256 places, log(1 + count) each, to length 1 (Weinberger et al. 2009); a text
    without words is 0 there. What was not scored is 0.
    """
    out = np.zeros((len(documents), HASHED + SCORED), dtype=np.float32)
    for row, (title, body) in enumerate(zip(documents.title, documents.body, strict=True)):
        counts: dict[str, int] = {}
        for word in _WORD.findall(f"{title} {body}".lower()):
            if word not in _PLAIN:
                counts[word] = counts.get(word, 0) + 1
        for word, count in counts.items():
            place, sign = _place(word)
            out[row, place] += sign * np.log1p(count)
    lengths = np.linalg.norm(out, axis=1, keepdims=True)
    np.divide(out, lengths, out=out, where=lengths > 0)
    scored = np.isfinite(scores.sentiment)
    for place, values in enumerate((scores.sentiment, scores.relevance, scores.novelty, scored)):
        out[:, HASHED + place] = np.where(scored, values, 0.0)
    for row, event in enumerate(scores.event):
        if event:
            out[row, HASHED + 4 + EVENTS.index(event)] = 1.0
    return out


@cache
def _place(word: str) -> tuple[int, float]:
    digest = hashlib.blake2b(word.encode(), digest_size=4).digest()
    number = int.from_bytes(digest, "big")
    return number % HASHED, 1.0 if number >> 31 else -1.0
