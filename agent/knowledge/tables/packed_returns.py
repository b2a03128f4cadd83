"""Fingerprints of returns as they are stored, and a number by which equal ones are found.

A fingerprint is some hundred numbers in half precision. Their upper bytes (sign, exponent, two digits) take few values
and are stored by a Huffman code, the lower ones as they are: an eighth less, and read back to the bit.
"""

from __future__ import annotations

import hashlib
import zlib
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from market.panel import FloatArray

# Below it, a code would take more than it saves.
_WORTH_CODING = 256
# Numbers by which equal fingerprints are looked for, and how far apart those of equal ones may be.
SHADOWS, NEAR = 8, 1e-3
# Shadows are distinguished by the cells that they lie in; each deviates from 0 by about 1.
_CELL = 0.25
_Floats = NDArray[np.float32]


def pack(fingerprint: FloatArray) -> bytes:
    """Return a fingerprint in half precision: the figures that all comparisons are made with."""
    # Values are about 0.04: half precision keeps three digits of each, far more than a fingerprint knows.
    return fingerprint.astype("<f2").tobytes()


def coded(packed: bytes) -> bytes:
    """Return a packed fingerprint as a row holds it: of odd length where it is coded, which a plain one never is."""
    if len(packed) < _WORTH_CODING:
        return packed
    coder = zlib.compressobj(1, zlib.DEFLATED, -9, 5, zlib.Z_HUFFMAN_ONLY)
    found = coder.compress(packed[1::2]) + coder.flush() + packed[::2]
    if len(found) + 1 >= len(packed):
        return packed
    return found if len(found) % 2 else found + b"\0"


def plain(stored: bytes) -> bytes:
    """Return what `coded` was given; what is damaged is a `zlib.error` or a `ValueError`."""
    if len(stored) % 2 == 0:
        return stored
    reader = zlib.decompressobj(-9)
    upper = reader.decompress(stored, len(stored))
    lower = reader.unused_data[: len(upper)]
    if not reader.eof or len(lower) < len(upper):
        raise ValueError("a fingerprint is cut short")
    found = bytearray(2 * len(upper))
    found[::2], found[1::2] = lower, upper
    return bytes(found)


def unpacked(stored: bytes) -> _Floats:
    """Return a stored fingerprint."""
    values: _Floats = np.frombuffer(plain(stored), dtype="<f2").astype(np.float32)
    return values


def read_fingerprint(stored: object) -> _Floats | None:
    """Return what is stored if it is a fingerprint: finite numbers of length 1, as far as half precision tells."""
    if not isinstance(stored, (bytes, memoryview)):
        return None
    try:
        values = unpacked(bytes(stored))
    except (zlib.error, ValueError):
        return None
    # What is not finite has no length.
    return values if abs(float(values @ values) - 1.0) < 0.01 else None


def shadow(fingerprint: _Floats) -> _Floats:
    """Return a few random projections of a fingerprint: those of equal returns are equal."""
    found: _Floats = fingerprint @ _projection(len(fingerprint))
    return found


@lru_cache(maxsize=64)
def _projection(length: int) -> _Floats:
    return np.random.default_rng(length).standard_normal((length, SHADOWS), dtype=np.float32)


def likeness(fingerprint: _Floats) -> int:
    """Return the number under which a fingerprint is found: that of the cells in which its shadows lie."""
    return _number(len(fingerprint), tuple(np.floor(shadow(fingerprint) / _CELL).astype(int).tolist()))


def near_likenesses(fingerprint: _Floats) -> list[int]:
    """Return the numbers under which an equal fingerprint may be: its own, and others where a shadow is near an edge.

    Of 256 at most; nearly always there is one.
    """
    at = shadow(fingerprint).astype(np.float64)
    cells = [sorted({int(np.floor((one - NEAR) / _CELL)), int(np.floor((one + NEAR) / _CELL))}) for one in at.tolist()]
    return [_number(len(fingerprint), found) for found in product(*cells)]


def _number(length: int, cells: tuple[int, ...]) -> int:
    said = " ".join(map(str, (length, *cells))).encode()
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "big") >> 1
