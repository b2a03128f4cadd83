"""Arithmetic and logic, cell by cell. What is not finite becomes NaN; `x / 0` is NaN that way."""

from __future__ import annotations

import numpy as np
from numba import njit

from market.panel import FloatArray

LT, LE, GT, GE, EQ, NE, AND, OR = range(8)


@njit(cache=True, error_model="numpy", nogil=True)
def plus(x: FloatArray, y: FloatArray, out: FloatArray) -> None:
    """X + y."""
    a, b, result = x.ravel(), y.ravel(), out.ravel()
    for i in range(len(a)):
        value = a[i] + b[i]
        result[i] = value if abs(value) < np.inf else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def sub(x: FloatArray, y: FloatArray, out: FloatArray) -> None:
    """X - y."""
    a, b, result = x.ravel(), y.ravel(), out.ravel()
    for i in range(len(a)):
        value = a[i] - b[i]
        result[i] = value if abs(value) < np.inf else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def mul(x: FloatArray, y: FloatArray, out: FloatArray) -> None:
    """X y."""
    a, b, result = x.ravel(), y.ravel(), out.ravel()
    for i in range(len(a)):
        value = a[i] * b[i]
        result[i] = value if abs(value) < np.inf else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def div(x: FloatArray, y: FloatArray, out: FloatArray) -> None:
    """X / y; NaN where y is 0."""
    a, b, result = x.ravel(), y.ravel(), out.ravel()
    for i in range(len(a)):
        value = a[i] / b[i]
        result[i] = value if b[i] != 0.0 and abs(value) < np.inf else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def larger(x: FloatArray, y: FloatArray, out: FloatArray) -> None:
    """Larger of x and y; NaN where either is."""
    a, b, result = x.ravel(), y.ravel(), out.ravel()
    for i in range(len(a)):
        value = a[i] if a[i] > b[i] else b[i]
        result[i] = value if a[i] == a[i] else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def smaller(x: FloatArray, y: FloatArray, out: FloatArray) -> None:
    """Smaller of x and y; NaN where either is."""
    a, b, result = x.ravel(), y.ravel(), out.ravel()
    for i in range(len(a)):
        value = a[i] if a[i] < b[i] else b[i]
        result[i] = value if a[i] == a[i] else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def clip(x: FloatArray, out: FloatArray, low: float, high: float) -> None:
    """X limited to [low, high]."""
    a, result = x.ravel(), out.ravel()
    for i in range(len(a)):
        value = low if a[i] < low else a[i]
        result[i] = high if value > high else value


@njit(cache=True, error_model="numpy", nogil=True)
def compare(x: FloatArray, y: FloatArray, out: FloatArray, mode: int) -> None:
    """1 where the comparison holds, 0 where not, NaN where either side is."""
    a, b, result = x.ravel(), y.ravel(), out.ravel()
    if mode in (LT, GT):
        if mode == GT:
            a, b = b, a
        for i in range(len(a)):
            result[i] = (1.0 if a[i] < b[i] else 0.0) if a[i] == a[i] and b[i] == b[i] else np.nan
    elif mode in (LE, GE):
        if mode == GE:
            a, b = b, a
        for i in range(len(a)):
            result[i] = (1.0 if a[i] <= b[i] else 0.0) if a[i] == a[i] and b[i] == b[i] else np.nan
    elif mode in (EQ, NE):
        same = 1.0 if mode == EQ else 0.0
        for i in range(len(a)):
            result[i] = (same if a[i] == b[i] else 1.0 - same) if a[i] == a[i] and b[i] == b[i] else np.nan
    elif mode == AND:
        for i in range(len(a)):
            value = 1.0 if a[i] != 0.0 and b[i] != 0.0 else 0.0
            result[i] = value if a[i] == a[i] and b[i] == b[i] else np.nan
    else:
        for i in range(len(a)):
            value = 1.0 if a[i] != 0.0 or b[i] != 0.0 else 0.0
            result[i] = value if a[i] == a[i] and b[i] == b[i] else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def negate(p: FloatArray, out: FloatArray, truth: float) -> None:
    """Whether p is 0 (`truth` 1) or is not (`truth` 0), as 1 or 0."""
    a, result = p.ravel(), out.ravel()
    for i in range(len(a)):
        result[i] = (truth if a[i] == 0.0 else 1.0 - truth) if a[i] == a[i] else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def if_else(c: FloatArray, x: FloatArray, y: FloatArray, out: FloatArray) -> None:
    """X where c is not 0, else y; NaN where c is."""
    a, b, e, result = c.ravel(), x.ravel(), y.ravel(), out.ravel()
    for i in range(len(a)):
        value = b[i] if a[i] != 0.0 else e[i]
        result[i] = value if a[i] == a[i] else np.nan


@njit(cache=True, error_model="numpy", nogil=True)
def missing(x: FloatArray, out: FloatArray) -> None:
    """1 where x is NaN, 0 where it is not."""
    a, result = x.ravel(), out.ravel()
    for i in range(len(a)):
        result[i] = 0.0 if a[i] == a[i] else 1.0


@njit(cache=True, error_model="numpy", nogil=True)
def finite(out: FloatArray) -> None:
    """Make NaN what is not finite, in place."""
    result = out.ravel()
    for i in range(len(result)):
        result[i] = result[i] if abs(result[i]) < np.inf else np.nan
