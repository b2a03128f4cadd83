"""The normal and Student's distribution, by SciPy, which is imported when first asked: it takes half a second.

What opens a knowledge base imports the tests that use them and seldom asks.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType


@cache
def _special() -> ModuleType:
    from scipy import special

    return special


def ndtr(scores: Any) -> Any:  # noqa: ANN401 - a number, or an array of them
    """Return the share of a standard normal below each score."""
    return _special().ndtr(scores)


def ndtri(shares: Any) -> Any:  # noqa: ANN401 - as `ndtr`
    """Return the scores below which these shares of a standard normal lie."""
    return _special().ndtri(shares)


def stdtr(freedom: Any, scores: Any) -> Any:  # noqa: ANN401 - as `ndtr`
    """Return the share of Student's distribution of a given freedom below each score."""
    return _special().stdtr(freedom, scores)
