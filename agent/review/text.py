"""Making text from models and data sets safe to show."""

from __future__ import annotations

import re

# Neither HTML nor XML can hold these: control characters, half surrogates, non-characters. Characters that
# turn the reading direction can make a factor look like another one, so they are shown as replaced too.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")
MAX_TEXT = 4000


def clean(text: str) -> str:
    """Return `text` with what no page can hold replaced by U+FFFD, and cut to 4 000 characters, saying so."""
    shown = _FORBIDDEN.sub("\ufffd", text)
    if len(shown) <= MAX_TEXT:
        return shown
    return f"{shown[:MAX_TEXT]} … ({len(shown) - MAX_TEXT} more characters not shown)"
