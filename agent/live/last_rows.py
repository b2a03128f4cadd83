"""The last rows of something that grows by a row a bar."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np


class LastRows:
    """At most this many of the newest rows; arrays of any one shape."""

    def __init__(self, most: int) -> None:
        self._rows: deque[Any] = deque(maxlen=most)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._rows)

    def put(self, row: Any) -> None:  # noqa: ANN401 - of any type
        """Take the next row."""
        self._rows.append(row)

    def clear(self) -> None:
        """Forget all."""
        self._rows.clear()

    def first(self) -> Any:  # noqa: ANN401 - of any type
        """Return the oldest."""
        return self._rows[0]

    def each(self) -> list[Any]:
        """Return them, oldest first, as they are."""
        return list(self._rows)

    def all(self) -> Any:  # noqa: ANN401 - of any type
        """Return them, oldest first, (rows, ...)."""
        return np.stack(list(self._rows))
