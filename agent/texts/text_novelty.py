"""How new a text is beside what was known before it about the same assets: TF-IDF cosine, causal."""

from __future__ import annotations

import itertools
import re

import numpy as np
import scipy.sparse as sp

from market.documents import Documents
from market.panel import FloatArray

_DAYS = 7.0
_WORD = re.compile(r"\w{2,}")


def measure_novelty(documents: Documents, days: float = _DAYS) -> FloatArray:
    """Return (K,) one minus the greatest cosine similarity to a text of the `days` before about an asset of its own.

    Texts that are about no asset are compared with such texts. Rare words count more, by how many of the n texts known
    before the day began hold them (``log((1 + n) / (1 + df)) + 1``), so that no score depends on what came later. 1
    where nothing came before; texts of one moment count as known in their order.
    """
    out = np.ones(len(documents))
    if not len(documents):
        return out
    counts, about = _count(documents), _about(documents)
    span = np.timedelta64(round(days * 86_400_000_000_000), "ns")
    day = documents.known.astype("datetime64[D]")
    edges = [0, *(np.flatnonzero(day[1:] != day[:-1]) + 1).tolist(), len(documents)]
    # How many of the texts so far hold each word.
    holding = np.zeros(counts.shape[1])
    for low, high in itertools.pairwise(edges):
        first = int(np.searchsorted(documents.known, documents.known[low] - span, side="left"))
        rows = _unit_rows(counts[first:high], np.log((1 + low) / (1 + holding)) + 1)
        alike = (rows[low - first :] @ rows.T).toarray()
        shared = (about[low:high] @ about[first:high].T).toarray() > 0
        ages = documents.known[low:high, None] - documents.known[None, first:high]
        earlier = np.arange(first, high)[None, :] < np.arange(low, high)[:, None]
        alike[~(shared & earlier & (ages <= span))] = 0.0
        out[low:high] = 1.0 - np.minimum(alike.max(axis=1), 1.0)
        holding += np.bincount(counts[low:high].indices, minlength=len(holding))
    return out


def _unit_rows(counts: sp.csr_matrix, weights: FloatArray) -> sp.csr_matrix:
    """Return rows times weights, of length 1; a row without words stays 0."""
    data = counts.data * weights[counts.indices]
    owner = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    lengths = np.sqrt(np.bincount(owner, data * data, minlength=counts.shape[0]))
    return sp.csr_matrix((data / lengths[owner], counts.indices, counts.indptr), counts.shape)


def _about(documents: Documents) -> sp.csr_matrix:
    """Return (K, assets + 1) which assets each text is about; the last column is of texts about none."""
    named = {asset: n for n, asset in enumerate(sorted({one for assets in documents.assets for one in assets}))}
    places = [[named[one] for one in dict.fromkeys(assets)] or [len(named)] for assets in documents.assets]
    return _csr(places, [[1.0] * len(one) for one in places], len(named) + 1)


def _count(documents: Documents) -> sp.csr_matrix:
    """Return (K, V) how often each text holds each word; n times counts as log(1 + n)."""
    vocabulary: dict[str, int] = {}
    columns, values = [], []
    for title, body in zip(documents.title, documents.body, strict=True):
        found: dict[int, int] = {}
        for word in _WORD.findall(f"{title} {body}".casefold()):
            column = vocabulary.setdefault(word, len(vocabulary))
            found[column] = found.get(column, 0) + 1
        columns.append(list(found))
        values.append([float(np.log1p(count)) for count in found.values()])
    return _csr(columns, values, max(1, len(vocabulary)))


def _csr(columns: list[list[int]], values: list[list[float]], width: int) -> sp.csr_matrix:
    starts = np.cumsum([0, *map(len, columns)])
    flat = np.array(list(itertools.chain.from_iterable(columns)), dtype=np.int64)
    data = np.array(list(itertools.chain.from_iterable(values)), dtype=np.float64)
    return sp.csr_matrix((data, flat, starts), (len(columns), width))
