"""Whether validation steered a search on some data: then nothing found there is admitted by a test on it."""

from __future__ import annotations

from sqlalchemy import text

from agent.knowledge.database.transactions import Handle

# A run records its settings as JSON text. A screening or a learned factor records them as well, and is not steered.
_STEERED = text(
    "SELECT 1 FROM runs WHERE panel_id = :panel AND seq > :after AND seq <= :newest AND CAST(config AS TEXT) LIKE "
    ":steered AND CAST(config AS TEXT) NOT LIKE :screen AND CAST(config AS TEXT) NOT LIKE :learn LIMIT 1"
)
_NEWEST = text("SELECT COALESCE(max(seq), 0) FROM runs")
_WORDS = {"steered": '%"feedback": "validation"%', "screen": '%"kind": "screen"%', "learn": '%"kind": "learn"%'}


def validation_steered(knowledge: Handle, panel_id: str) -> bool:
    """Whether any run on these data was begun with ``[loop] feedback = "validation"``."""
    # What a run was begun with never changes: only runs that are new are read, for this is asked at each attempt.
    with knowledge._memory.reading(), knowledge.lend() as connection:
        known = knowledge._memory.steered.setdefault(panel_id, [0, 0])
        newest = int(connection.execute(_NEWEST).scalar() or 0)
        if not known[1] and newest > known[0]:
            asked = {"panel": panel_id, "after": known[0], "newest": newest, **_WORDS}
            known[1] = int(connection.execute(_STEERED, asked).first() is not None)
            known[0] = newest
        return bool(known[1])
