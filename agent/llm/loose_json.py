"""JSON as models write it: read strictly first, then with the slips that leave no doubt about what is meant.

Allowed: single quotes, commas before a closing bracket, names without quotes, Python's and JavaScript's words for
true, false and null, line breaks in texts, and text around the object. Nothing is run, and nothing is guessed: two
values without a comma, or an object that does not end, stay unreadable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

# Deeper than any reply that is asked for.
_DEEPEST = 20
# Places in one text where an object may begin; a text of braces is not tried at each.
_MOST_STARTS = 20
_SPACE = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_WORDS: dict[str, Any] = {
    "true": True, "True": True, "false": False, "False": False, "null": None, "None": None, "undefined": None,
}  # fmt: skip
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_LONGEST_NUMBER = 40


class _Unreadable(ValueError):
    """What stands there is no JSON, even with allowances."""


def objects_in(text: str) -> Iterator[dict[str, Any]]:
    """Yield the outermost objects of a text in order: each read strictly where that works, else with allowances."""
    place = start = 0
    for _ in range(_MOST_STARTS):
        start = text.find("{", place)
        if start < 0:
            return
        try:
            found, place = json.JSONDecoder(strict=False).raw_decode(text, start)
        except (ValueError, RecursionError):
            try:
                found, place = _Reader(text).value(start, 0)
            except _Unreadable:
                place = start + 1
                continue
        if isinstance(found, dict):
            yield found


class _Reader:
    """Reads one value, with allowances; each method returns what it read and the place after it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def value(self, place: int, depth: int) -> tuple[Any, int]:
        """Read a value that begins at a place."""
        place = self._past_space(place)
        sign = self._text[place : place + 1]
        if depth > _DEEPEST or not sign:
            raise _Unreadable
        if sign == "{":
            return self._object(place + 1, depth)
        if sign == "[":
            return self._list(place + 1, depth)
        if sign in "\"'":
            return self._string(place + 1, sign)
        number = _NUMBER.match(self._text, place)
        if number is not None and len(number[0]) <= _LONGEST_NUMBER:
            whole = number[0].lstrip("+-").isdigit()
            return (int(number[0]) if whole else float(number[0])), number.end()
        word = _NAME.match(self._text, place)
        if word is not None and word[0] in _WORDS:
            return _WORDS[word[0]], word.end()
        raise _Unreadable

    def _past_space(self, place: int) -> int:
        found = _SPACE.match(self._text, place)
        return place if found is None else found.end()

    def _object(self, place: int, depth: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        while True:
            place = self._past_space(place)
            if self._text[place : place + 1] == "}":
                return found, place + 1
            name, place = self._name(place)
            place = self._past_space(place)
            if self._text[place : place + 1] != ":":
                raise _Unreadable
            found[name], place = self.value(place + 1, depth + 1)
            place = self._past_comma(place, "}")

    def _list(self, place: int, depth: int) -> tuple[list[Any], int]:
        found: list[Any] = []
        while True:
            place = self._past_space(place)
            if self._text[place : place + 1] == "]":
                return found, place + 1
            one, place = self.value(place, depth + 1)
            found.append(one)
            place = self._past_comma(place, "]")

    def _name(self, place: int) -> tuple[str, int]:
        sign = self._text[place : place + 1]
        if sign and sign in "\"'":
            return self._string(place + 1, sign)
        word = _NAME.match(self._text, place)
        if word is None:
            raise _Unreadable
        return word[0], word.end()

    def _past_comma(self, place: int, end: str) -> int:
        """Return the place after a comma, or that of the closing bracket, which may follow one."""
        place = self._past_space(place)
        sign = self._text[place : place + 1]
        if sign == ",":
            return place + 1
        if sign != end:
            raise _Unreadable
        return place

    def _string(self, place: int, quote: str) -> tuple[str, int]:
        """Read a text to its quote: in single quotes, one between two letters is an apostrophe."""
        text, parts = self._text, []
        while place < len(text):
            sign = text[place]
            if sign == "\\":
                following = text[place + 1 : place + 2]
                digits = text[place + 2 : place + 6]
                if following == "u" and re.fullmatch(r"[0-9a-fA-F]{4}", digits):
                    parts.append(chr(int(digits, 16)))
                    place += 6
                    continue
                parts.append(_ESCAPES.get(following, following))
                place += 2
                continue
            if sign == quote and not (quote == "'" and self._apostrophe(place)):
                return "".join(parts), place + 1
            parts.append(sign)
            place += 1
        raise _Unreadable

    def _apostrophe(self, place: int) -> bool:
        return self._text[place - 1 : place].isalpha() and self._text[place + 1 : place + 2].isalpha()
