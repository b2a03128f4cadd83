"""Whether validation steered a search on some data: then nothing found there is admitted by a test on it."""

from __future__ import annotations

from sqlalchemy import text

from agent.knowledge.database.transactions import Handle

# A run records its settings as JSON text. A screening or a learned factor records them as well, and is not steered.
_STEERED = text(
    "SELECT 1 FROM runs WHERE panel_id = :panel AND CAST(config AS TEXT) LIKE :steered "
    "AND CAST(config AS TEXT) NOT LIKE :screen AND CAST(config AS TEXT) NOT LIKE :learn LIMIT 1"
)
_WORDS = {"steered": '%"feedback": "validation"%', "screen": '%"kind": "screen"%', "learn": '%"kind": "learn"%'}


def validation_steered(knowledge: Handle, panel_id: str) -> bool:
    """Whether any run on these data was begun with ``[loop] feedback = "validation"``."""
    with knowledge.lend() as connection:
        return connection.execute(_STEERED, {"panel": panel_id, **_WORDS}).first() is not None
