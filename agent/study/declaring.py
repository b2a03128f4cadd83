"""How a setting is declared: its default, its meaning in a sentence, its unit and its bounds, all in one place."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A table of `alphaglow.toml`: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def setting(
    default: object,
    sentence: str,
    *,
    unit: str = "",
    written: str = "",
    secret: bool = False,
    **bounds: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401 - it stands for a value of the field's type, as pydantic's Field does
    """Declare a setting.

    Parameters
    ----------
    default
        Its value where nothing is said.
    sentence
        Its meaning, for `alphaglow.toml` and the docs.
    unit
        Of a number, such as ``bars``; empty for a pure number or a text.
    written
        The value that the comment in `alphaglow.toml` shows: that line is commented out, since the default has no
        text in TOML, or another setting decides it.
    secret
        Whether its value is kept out of what is printed.
    bounds
        As pydantic's ``Field`` takes them: ``ge``, ``gt``, ``le``, ``lt``, ``min_length``, ``max_length``.
    """
    extra: dict[str, Any] = {"unit": unit, "written": written}
    return Field(default=default, description=sentence, json_schema_extra=extra, repr=not secret, **bounds)


def defaults_of(record: type) -> dict[str, Any]:
    """Return the defaults that a dataclass of the library declares, by field."""
    return {f.name: f.default for f in fields(record) if f.default is not MISSING}


def toml_value(value: object) -> str:
    """Return a default as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(toml_value(one) for one in value)}]"
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{toml_value(k)} = {toml_value(v)}" for k, v in value.items()) + " }" if value else "{}"
        )
    return str(value)
