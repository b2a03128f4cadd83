"""The texts that a model may read at a place: the newest about the asset that were known by the bar's close."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.learned.sample_windows import Places
from agent.texts.embedding import embed
from agent.texts.scores import Scores
from market.documents import Documents
from market.errors import InputError
from market.news import columns_of, first_bar_after
from market.panel import Panel

# Larger than any row: texts are sorted by column * this + row.
_STRIDE = 1 << 40


@dataclass(frozen=True, eq=False)
class TextMemory:
    """Texts of a panel's assets, to be found by column and row; made by `remember`.

    Attributes
    ----------
    keys
        (M,) sorted: column and row of each mention, as one number.
    rows, text
        (M,) the first bar that closes after the text was known, and which text it is.
    vectors
        (K, F) of each text.
    count, reach
        At most this many texts are read at a place, and none that is this many bars old or older.
    digest
        Of all that the texts decide.
    """

    keys: Places
    rows: Places
    text: Places
    vectors: NDArray[np.float32]
    count: int
    reach: int
    digest: str

    @property
    def width(self) -> int:
        """Numbers of a text as a model reads it: its vector, and its age."""
        return int(self.vectors.shape[1]) + 1

    def at(self, assets: Places, bars: Places) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return (B, count, width) texts at places, the newest first, and (B, count) which of them are there.

        A text of a later bar is never among them. What is not there is 0. The age is log(1 + bars), scaled to 1 at
        the reach.
        """
        after = np.searchsorted(self.keys, assets * _STRIDE + bars, side="right")
        begin = np.searchsorted(self.keys, assets * _STRIDE, side="left")
        place = after[:, None] - 1 - np.arange(self.count)
        there = place >= begin[:, None]
        place = np.where(there, place, 0)
        out = np.zeros((len(bars), self.count, self.width), dtype=np.float32)
        if not len(self.keys):
            return out, np.zeros(place.shape, dtype=bool)
        age = bars[:, None] - self.rows[place]
        there &= age < self.reach
        out[:, :, :-1] = self.vectors[self.text[place]]
        out[:, :, -1] = np.log1p(np.maximum(age, 0)) / np.log1p(self.reach)
        out[~there] = 0.0
        return out, there


def remember(panel: Panel, documents: Documents, scores: Scores, *, count: int = 8, reach: int = 72) -> TextMemory:
    """Return the texts about a panel's assets; none at all is allowed, and a model then reads numbers alone.

    Raises
    ------
    InputError
        When texts and scores are not of each other, or nothing may be read.
    """
    if len(scores.texts) != len(documents):
        raise InputError("the scores are of other texts", "score them again: alphaglow text score")
    if count < 1 or reach < 1:
        raise InputError(f"{count} texts of {reach} bars", "both must be at least 1")
    columns = columns_of(documents, panel.assets)
    rows = first_bar_after(documents.known, panel)
    pairs = sorted(
        (columns[asset], int(rows[text]), text)
        for text, assets in enumerate(documents.assets)
        if rows[text] < len(panel.times)
        for asset in dict.fromkeys(assets)
        if asset in columns
    )
    table = np.array(pairs, dtype=np.int64).reshape(-1, 3)
    vectors = embed(documents, scores)
    digest = hashlib.blake2b(repr((scores.by, count, reach, vectors.shape)).encode(), digest_size=16)
    for array in (table, vectors):
        digest.update(np.ascontiguousarray(array).tobytes())
    return TextMemory(
        keys=table[:, 0] * _STRIDE + table[:, 1],
        rows=table[:, 1],
        text=table[:, 2],
        vectors=vectors,
        count=count,
        reach=reach,
        digest=digest.hexdigest(),
    )
