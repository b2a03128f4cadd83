"""The console of the commands; rich is imported where something is printed, and not for a refusal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from agent.untrusted.showing import printable


class PlainConsole(Console):
    """A console to which text is text: no markup is read from it, and nothing in it commands the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - rich's own options
        """Return text as it is."""
        return super().render_str(printable(text), **{**options, "markup": False, "emoji": False})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Clean what comes ready-made, too."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)
