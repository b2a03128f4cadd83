"""In what encoding a text is written: by its first bytes, by whether it decodes, then by the words it would hold."""

from __future__ import annotations

import codecs
from collections.abc import Iterable

from charset_normalizer import from_bytes

from market.errors import InputError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
# Tried in this order where neither a mark nor a known word decides.
_LINES = 12
_CANDIDATES = ("gb18030", "big5", "shift_jis", "euc_kr", "cp1252", "cp1251", "cp1250")


def encoding_of(data: bytes, words: Iterable[str], path: object) -> str:
    """Return the encoding of a text's first bytes.

    Parameters
    ----------
    data
        Cut at any byte.
    words
        Column names that are known in languages written otherwise than in ASCII: who decodes to them is right.
    """
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if marked:
        return marked
    if b"\x00" in data[:4096]:
        halves = data[0:4096:2].count(0), data[1:4096:2].count(0)
        if max(halves) > 0.6 * len(data[:4096]) / 2:
            return "utf-16-be" if halves[0] > halves[1] else "utf-16-le"
        raise InputError(f"{path} is no text", "is it CSV, JSON, Parquet, Feather or Excel?")
    if decodes(data, "utf-8"):
        return "utf-8"
    # A title may stand above the names.
    first = b"\n".join(data.split(b"\n", _LINES)[:_LINES])
    known = [word for word in words if not word.isascii()]
    scores = {
        name: sum(word in first.decode(name, errors="replace").lower() for word in known)
        for name in _CANDIDATES
        if decodes(data, name)
    }
    if not scores:
        raise InputError(f"{path}: its encoding is not recognised", "say --encoding NAME, such as --encoding latin-1")
    best = max(scores, key=lambda name: scores[name])
    if scores[best]:
        return best
    guess = from_bytes(data[:65536], cp_isolation=list(scores)).best()
    return guess.encoding if guess is not None else best


def decodes(data: bytes, encoding: str) -> bool:
    """Whether bytes, cut at any place, are text of that encoding."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(data, final=False)
    except UnicodeDecodeError:
        return False
    return True
