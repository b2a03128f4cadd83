"""Stored documents are checked without being read: the answer is that of reading them."""

from __future__ import annotations

import zlib
from contextlib import closing

import numpy as np
import pytest

from agent.knowledge.document_checker import DocumentChecker
from agent.knowledge.packed_json import _DICTIONARY, StoredDocument, pack_json
from market.errors import InputError


def squeezed(text: bytes) -> bytes:
    squeezer = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, 0, _DICTIONARY)
    return squeezer.compress(text) + squeezer.flush()


def says(checker: DocumentChecker, packed: bytes) -> bool:
    sound = StoredDocument(pack_json({"a": 1}))
    found = []
    for pair in ((StoredDocument(packed), sound), (sound, StoredDocument(packed))):
        try:
            checker.check(*pair)
            found.append(True)
        except InputError:
            found.append(False)
    assert found[0] == found[1]
    return found[0]


def readable(packed: bytes) -> bool:
    try:
        StoredDocument(packed).read()
    except InputError:
        return False
    return True


@pytest.mark.parametrize(
    "text",
    [
        b"{}", b'{"a": [1, 2.5, null, true, "x"]}', b"[1]", b"null", b"", b"{", b'{"a": 1}x', b"{}\0", b'{"a": NaN}',
        b'{"a": "\xff"}', b'{"a": "\xed\xa0\x80"}', b"{a: 1}", b"{'a': 1}", b'{"a": 1,}', b' {"a": 1}', b'{"a": 0x10}',
        b'{"a": "\n"}', b'{"a": /* b */ 1}', b'{"a": +1}', b'{"a": .5}', '{"a": "\U0001f600"}'.encode(),
    ],
)  # fmt: skip
def test_what_a_text_holds_is_judged_as_if_it_were_read(text: bytes) -> None:
    with closing(DocumentChecker()) as checker:
        assert says(checker, squeezed(text)) == readable(squeezed(text))


def test_damaged_bytes_are_judged_as_if_they_were_read() -> None:
    rng = np.random.default_rng(0)
    packed = pack_json({"train": {"rank_ic": 0.1, "payoff_z": -1.5}, "weighting": "rank", "years": list(range(40))})
    seen = set()
    with closing(DocumentChecker()) as checker:
        for _ in range(500):
            damaged = bytearray(packed)
            damaged[int(rng.integers(len(packed)))] = int(rng.integers(256))
            one = bytes(damaged[: len(packed) - int(rng.integers(3))])
            seen.add(readable(one))
            assert says(checker, one) == readable(one)
    assert False in seen
