"""Making text from models and data sets safe to show."""

from __future__ import annotations

import re

# Neither HTML nor XML can hold these: control characters, half surrogates, non-characters. A carriage return writes
# over what stands there already. Characters that turn the reading direction can make a factor look like another one,
# and tags cannot be seen at all while a model reads them, so they are shown as replaced too.
UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff"
    "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\U000e0000-\U000e0fff]"
)
MAX_TEXT = 4000


def printable(text: str) -> str:
    """Return `text` with what no page can hold, and what would command a terminal, replaced by U+FFFD."""
    # Nearly all that is shown: a table asks for each piece of each cell.
    if text.isascii() and text.isprintable():
        return text
    return UNSHOWABLE.sub("\ufffd", text.replace("\r\n", "\n"))


def displayable(text: str) -> str:
    """Return `text` with what no page can hold replaced by U+FFFD, and cut to 4 000 characters, saying so."""
    shown = printable(text)
    if len(shown) <= MAX_TEXT:
        return shown
    return f"{shown[:MAX_TEXT]} … ({len(shown) - MAX_TEXT} more characters not shown)"
