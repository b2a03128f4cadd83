"""Which rules of then and of now differ, in words."""

from __future__ import annotations

from agent.knowledge.records import RunRecord
from agent.knowledge.run_config import SECTIONS
from agent.study.settings import Settings

# The loop decides what is proposed; only these of its settings decide how a factor fares.
_OF_LOOP = ("blind", "strict", "max_seconds", "max_gigabytes")


def differences(then: Settings, now: Settings) -> list[str]:
    """Name each rule that decides how a factor fares and that differs, with its value then and now."""
    old, new, found = then.rules(), now.rules(), []
    for section in SECTIONS:
        before, after = old[section], new[section]
        names = before if section != "loop" else _OF_LOOP
        found += [
            f"{section}.{name} = {_written(before[name])} (now {_written(after[name])})"
            for name in names
            if before[name] != after[name]
        ]
    return found


def scored_otherwise(run: RunRecord, what: str, current: Settings) -> str:
    """Say that a run scored `what` under other rules than the current ones, which are used; empty where they agree."""
    found = differences(current.under(run.config.rules), current)
    if not found:
        return ""
    return f"{what} goes by the rules of alphaglow.toml; run {run.id} scored it under others: {', '.join(found)}"


def _written(value: object) -> str:
    return "unset" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
