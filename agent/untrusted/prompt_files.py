"""Prompt files: templates of text for a model, with the filters that keep quoted text data."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2

from agent.untrusted.quoting import as_shown, indented, one_line


@cache
def _templates(folder: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Prompts are text for a model, not HTML; nothing here is shown in a page.
        autoescape=False,
    )
    # `told` is the name of `as_shown` in the frozen wording that the mock's draws are seeded by.
    environment.filters.update(as_shown=as_shown, told=as_shown, one_line=one_line, indented=indented)
    return environment


def render_prompt(folder: Path, template: str, **values: object) -> str:
    """Render a prompt file of a folder; a name that it lacks is an error, not an empty string."""
    return _templates(folder).get_template(template).render(**values).strip()
