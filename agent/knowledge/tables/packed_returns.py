"""Fingerprints of returns as they are stored, and a number by which equal ones are found.

A fingerprint is some hundred numbers of which the squares add up to 1. What is recorded is rounded to a sixteenth of
their deviation from 0, which takes six bits each by a Huffman code. Each number is then off by 0.018 of that deviation,
and the correlation of two of 512 numbers by 0.001: its own standard error, of as many blocks of time, is 0.04.

What earlier versions recorded is in half precision and stays so: a cluster follows from what is stored. Then the upper
bytes (sign, exponent, two digits) are stored by a Huffman code, the lower ones as they are.
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
# Steps of what is recorded in a deviation.
_STEPS = 16
# What is recorded begins with one of these: steps in one byte each, or in two. A Huffman code never does.
_NARROW, _WIDE = 0x07, 0x0F
# Numbers by which equal fingerprints are looked for, and how far apart those of equal ones may be: equal returns of two
# formulas differ in their last digits, so that some five of five hundred numbers are rounded to the other side.
SHADOWS, NEAR = 8, 0.02
# Shadows are distinguished by the cells that they lie in; each deviates from 0 by about 1.
_CELL = 0.25
# Half precision holds steps up to this one apart from each other; a byte holds the lower ones.
_MOST_STEPS, _MOST_NARROW = 1_000, 127
_MOST_BYTES = 20_000
_Floats = NDArray[np.float32]


def pack(fingerprint: FloatArray | _Floats) -> bytes:
    """Return a fingerprint in half precision."""
    # Values are about 0.04: half precision keeps three digits of each, far more than a fingerprint knows.
    return fingerprint.astype("<f2").tobytes()


def recorded(fingerprint: FloatArray | _Floats) -> bytes:
    """Return a fingerprint in half precision, as it is recorded: the figures that all comparisons are made with.

    A short one is not rounded any more: what it takes is little.
    """
    packed = pack(fingerprint)
    if len(packed) < _WORTH_CODING:
        return packed
    # By way of half precision: what an earlier version recorded rounds to the same.
    return _halves(np.rint(np.frombuffer(packed, dtype="<f2").astype(np.float64) * _scale(len(packed) // 2)))


def _scale(length: int) -> float:
    return _STEPS * float(np.sqrt(length))


def _halves(steps: FloatArray) -> bytes:
    # A zero has no sign.
    return (steps / _scale(len(steps)) + 0.0).astype("<f2").tobytes()


def coded(packed: bytes) -> bytes:
    """Return a packed fingerprint as a row holds it: of odd length where it is coded, which a plain one never is."""
    if len(packed) < _WORTH_CODING:
        return packed
    return _coded_steps(packed) or _coded_halves(packed)


def _coded_steps(packed: bytes) -> bytes | None:
    """Return the code of what was rounded; None where it was not."""
    values = np.frombuffer(packed, dtype="<f2").astype(np.float64)
    steps = np.rint(values * _scale(len(values)))
    if not np.isfinite(steps).all() or np.abs(steps).max() > _MOST_STEPS or _halves(steps) != packed:
        return None
    narrow = bool(np.abs(steps).max() <= _MOST_NARROW)
    # Of two bytes the upper ones are nearly all alike, and stand together.
    found = steps.astype(np.int8) if narrow else steps.astype("<i2").view(np.uint8).reshape(-1, 2).T
    coder = zlib.compressobj(9, zlib.DEFLATED, -9, 5, zlib.Z_HUFFMAN_ONLY if narrow else zlib.Z_RLE)
    code = bytes([_NARROW if narrow else _WIDE]) + coder.compress(found.tobytes()) + coder.flush()
    return code if len(code) % 2 else code + b"\0"


def _plain_steps(stored: bytes) -> bytes:
    reader = zlib.decompressobj(-9)
    # Ten thousand blocks are far more than a fingerprint has.
    code = reader.decompress(stored[1:], _MOST_BYTES)
    if not reader.eof:
        raise ValueError("a fingerprint is cut short")
    if stored[0] == _NARROW:
        return _halves(np.frombuffer(code, dtype=np.int8).astype(np.float64))
    planes = np.frombuffer(code, dtype=np.uint8).reshape(2, -1)
    return _halves(np.ascontiguousarray(planes.T).view("<i2")[:, 0].astype(np.float64))


def _coded_halves(packed: bytes) -> bytes:
    coder = zlib.compressobj(1, zlib.DEFLATED, -9, 5, zlib.Z_HUFFMAN_ONLY)
    found = coder.compress(packed[1::2]) + coder.flush() + packed[::2]
    if len(found) + 1 >= len(packed):
        return packed
    return found if len(found) % 2 else found + b"\0"


def plain(stored: bytes) -> bytes:
    """Return what `coded` was given; what is damaged is a `zlib.error` or a `ValueError`."""
    if len(stored) % 2 == 0:
        return stored
    if stored[0] in (_NARROW, _WIDE):
        return _plain_steps(stored)
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
    at = shadow(unpacked(recorded(fingerprint)))
    return _number(len(fingerprint), tuple(np.floor(at / _CELL).astype(int).tolist()))


def near_likenesses(fingerprint: _Floats) -> list[int]:
    """Return the numbers under which an equal fingerprint may be: its own, and others where a shadow is near an edge.

    Of 256 at most; of a few, most often.
    """
    at = shadow(unpacked(recorded(fingerprint))).astype(np.float64)
    cells = [sorted({int(np.floor((one - NEAR) / _CELL)), int(np.floor((one + NEAR) / _CELL))}) for one in at.tolist()]
    return [_number(len(fingerprint), found) for found in product(*cells)]


def _number(length: int, cells: tuple[int, ...]) -> int:
    said = " ".join(map(str, (length, *cells))).encode()
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "big") >> 1
