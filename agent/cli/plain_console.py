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
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else printable(segment.text)
            # Most are clean, and a table's pass here once for each thing that they are in.
            yield segment if text == segment.text else Segment(text, segment.style)
