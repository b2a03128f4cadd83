"""Several statements in one text: `a = ...; b = ...; a * b`, with comments, each on a line or after a semicolon."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from factors.limits import Limits
from factors.syntax import Fault, Raw, RawCall, RawName, RawNumber, read_tree
from factors.table import GROUP_FIELDS, OPERATORS, STANDARD_FIELDS

_ASSIGNED = re.compile(r"\s*([A-Za-z_]\w*)\s*(?::=|=(?!=))\s*", re.ASCII)
_COMMENTS = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|#[^\n]*|/\*[\s\S]*?\*/")
_CONTINUES = re.compile(r"\s*(?:[-+*/^<>!&|?:),=]|and\b|or\b)", re.ASCII)
_OPEN_END = re.compile(r"(?:[-+*/^<>!&|?:(,=]|\band|\bor|\bnot)\s*$", re.ASCII)


def without_comments(text: str) -> str:
    """Blank out what follows a # up to the end of its line, and /* ... */; offsets stay, as does quoted text."""
    return _COMMENTS.sub(lambda m: m[0] if m[0][0] in "\"'" else re.sub(r"[^\n]", " ", m[0]), text)


def is_script(text: str) -> bool:
    """Whether a text has more than one statement."""
    parts = list(_statements(text))
    return len(parts) > 1 and (";" in text or any(_ASSIGNED.match(text[a:b]) for a, b in parts))


def read_script(text: str, limits: Limits, notes: list[str]) -> Raw:
    """Return the tree of the last statement, with the names of those before in their places.

    A name may be given again. What is computed and not used is named in a note, as nothing of a text is dropped unsaid.
    """
    known: dict[str, Raw] = {}
    used: set[str] = set()
    parts = list(_statements(text))
    for place, (start, stop) in enumerate(parts):
        found = _ASSIGNED.match(text[start:stop])
        begin = start + (found.end() if found else 0)
        last = place == len(parts) - 1
        if found is None and not last:
            raise Fault("syntax", "this statement has no effect", "give it a name: x = ...", _first(text, start))
        # Blanks in the place of all others keep the offsets for carets.
        tree = read_tree(" " * begin + text[begin:stop], limits)
        tree = _filled(tree, known, used)
        if last:
            unused = [name for name in known if name not in used]
            if unused:
                notes.append(f"computed and not used: {', '.join(unused)}")
            return tree
        assert found is not None
        name = found[1]
        if name in STANDARD_FIELDS or name in GROUP_FIELDS or name in OPERATORS:
            what = "an operator" if name in OPERATORS else "a field"
            raise Fault(
                "syntax",
                f"{name} is {what} and cannot be given another meaning",
                "choose another name, such as x",
                start,
            )
        known[name] = tree
        used.discard(name)
    raise Fault("empty", "the expression is empty", "an expression looks like ts_mean(close, 20) / close")


def _first(text: str, start: int) -> int:
    return start + len(text[start:]) - len(text[start:].lstrip())


def _statements(text: str) -> Iterator[tuple[int, int]]:
    """Yield where statements begin and end: at semicolons, and at ends of lines outside parentheses."""
    depth, start = 0, 0
    for place, sign in enumerate(text):
        if sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        elif depth <= 0 and (sign == ";" or (sign == "\n" and _ends(text, start, place))):
            if text[start:place].strip():
                yield start, place
            start = place + 1
    if text[start:].strip():
        yield start, len(text)


def _ends(text: str, start: int, place: int) -> bool:
    """Whether a statement ends with the line: neither does it lack something, nor does the next line go on with it."""
    return _OPEN_END.search(text[start:place]) is None and _CONTINUES.match(text, place + 1) is None


def _filled(raw: Raw, known: Mapping[str, Raw], used: set[str]) -> Raw:
    if isinstance(raw, RawNumber):
        return raw
    if isinstance(raw, RawName):
        if raw.name in known:
            used.add(raw.name)
            return known[raw.name]
        return raw
    return RawCall(raw.name, tuple(_filled(arg, known, used) for arg in raw.args), raw.at, raw.names)
