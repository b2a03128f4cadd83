"""What is generated from the declared settings: the text of `alphaglow.toml`, and the table in `docs/settings.md`.

`python -m agent.study.settings_text` writes both into the repository that it is run from.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from agent.study.declaring import toml_value
from agent.study.settings import sections, variable_of

_WIDTH = 118
_PRICES = """\
# Prices in US dollars for a million tokens. A model without one has an unknown cost, not a cost of 0.
# [prices."my-model"]
# input = 0.50
# output = 1.50
# cached = 0.05   # of prompt tokens that the server had read before; unset: as input
"""
_PAGE = """\
# Settings

`alphaglow init` writes them, with their defaults, into `alphaglow.toml` of a workspace; each is optional. This page and
that text are generated from the declarations: `python -m agent.study.settings_text`.

An environment variable replaces a value of the file: `{variable}=3` is `rounds = 3` in `[loop]`, and a list is
written as in the file, `{steps}='[12, 2, 2]'`. `ALPHAGLOW_KNOWLEDGE` is a short name for the place of the
knowledge base. An unknown variable with two underscores in a row, or a value that does not fit, is refused by its name.
"""


def default_toml() -> str:
    """Return the text of `alphaglow.toml` with every setting at its default."""
    parts = ["# alphaglow workspace. Every setting is optional; the values below are the defaults.\n"]
    for section, kind in sections().items():
        lines = [f"[{section}]"]
        for name, field in kind.model_fields.items():
            lines += [f"# {line}" for line in textwrap.wrap(_meaning(field), _WIDTH)]
            shown = _extra(field, "written")
            lines.append(f"# {name} = {shown}" if shown else f"{name} = {toml_value(field.default)}")
        parts.append("\n".join(lines) + "\n")
    return "\n".join([*parts, _PRICES])


def settings_page() -> str:
    """Return `docs/settings.md`."""
    parts = [_PAGE.format(variable=variable_of("loop", "rounds"), steps=variable_of("gate", "steps"))]
    for section, kind in sections().items():
        about = " ".join((kind.__doc__ or "").split())
        rows = [f"## `[{section}]`", "", about, "", "| name | default | unit | meaning |", "|---|---|---|---|"]
        for name, field in kind.model_fields.items():
            default = "unset" if field.default is None else f"`{toml_value(field.default)}`"
            meaning = _described(field).replace("|", "\\|")
            rows.append(f"| `{name}` | {default} | {_extra(field, 'unit')} | {meaning} |")
        parts.append("\n".join(rows) + "\n")
    parts.append(f"## `[prices]`\n\n```toml\n{_PRICES}```\n")
    return "\n".join(parts)


def _meaning(field: FieldInfo) -> str:
    unit = _extra(field, "unit")
    return _described(field) + (f" Unit: {unit}." if unit and unit not in _described(field) else "")


def _described(field: FieldInfo) -> str:
    """Return the sentence, and the choices that it does not name itself."""
    said = field.description or ""
    choices: tuple[Any, ...] = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    if all(choice in said for choice in choices):
        return said
    return f"{said} One of: {', '.join(choices)}."


def _extra(field: FieldInfo, name: str) -> str:
    extra = field.json_schema_extra
    return str(extra.get(name, "")) if isinstance(extra, dict) else ""


def settings_main() -> None:
    """Write the generated files under the working folder."""
    for path, text in (("alphaglow.toml", default_toml()), ("docs/settings.md", settings_page())):
        Path(path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    settings_main()
