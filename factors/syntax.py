"""Text to an untyped tree: tokens, precedence, positions. Names mean nothing here yet."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from factors.limits import Limits
from market.errors import Rejection


class RawName(NamedTuple):
    """A bare name."""

    name: str
    at: int


class RawNumber(NamedTuple):
    """A number, with its unit where it was written as a duration (``20d``) or in sessions (``5s``)."""

    value: float
    unit: str
    at: int


class RawCall(NamedTuple):
    """A call or an infix form; `at` is where its name or sign stands.

    `names` are the keywords that arguments were given by, "" for those given by place; empty where all were.
    """

    name: str
    args: tuple[Raw, ...]
    at: int
    names: tuple[str, ...] = ()


Raw = RawName | RawNumber | RawCall


class Fault(Exception):
    """Carries a rejection out of the parser; never leaves `factors.parse`."""

    def __init__(self, code: str, message: str, hint: str = "", at: int | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.hint, self.at = code, message, hint, at

    def rejection(self, text: str) -> Rejection:
        """Return the fault as data, with the place drawn under the text."""
        stage = "check" if self.code in ("too_long", "too_deep", "too_large") else "parse"
        drawn = self.message if self.at is None else f"{self.message}\n{caret(text, self.at)}"
        return Rejection(stage, self.code, drawn, self.hint, self.at)


# Says that a call is already ours, so that no dialect translates it again.
NATIVE = "\0"


def caret(text: str, at: int, width: int = 72) -> str:
    """Draw the part of the line of `text` around offset `at`, and a caret under it."""
    begin = text.rfind("\n", 0, at) + 1
    text, at = text[begin:].partition("\n")[0], at - begin
    start = max(0, min(at - width // 2, len(text) - width))
    # As it was written; what a terminal would act on is not shown.
    shown = "".join(sign if sign.isprintable() else "?" for sign in text[start : start + width])
    return f"  {shown}\n  {' ' * (at - start)}^"


class Token(NamedTuple):
    """A piece of text: its kind (number, name, sign, end), its text and where it starts."""

    kind: str
    text: str
    at: int


_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>\$?[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)?)"
    r"|(?P<quoted>\"[A-Za-z_][A-Za-z0-9_.]*\"|'[A-Za-z_][A-Za-z0-9_.]*')"
    r"|(?P<listed>\"[-0-9.,\s]+\"|'[-0-9.,\s]+')"
    r"|(?P<sign>\*\*|<=|>=|==|!=|&&|\|\||[-+*/^<>!&|?:(),=\[\]])",
    re.ASCII,
)
_UNIT = re.compile(r"(?:min|[dhsw])\b", re.ASCII)
# Deeper than any tree that the limits admit, and far from Python's own recursion limit.
_MAX_PARENTHESES = 64


def tokenize(text: str, limits: Limits) -> Iterator[Token]:
    """Yield the tokens of `text`; a character outside the language is a `Fault` at its place."""
    if len(text) > limits.max_chars:
        raise Fault(
            "too_long", f"the text has {len(text)} characters, at most {limits.max_chars} are read", "say it shorter"
        )
    at = 0
    read = _TOKEN.match
    while at < len(text):
        match = read(text, at)
        if match is None:
            shown = repr(text[at])
            if text.startswith("$$", at):
                why = "$$ names a figure of a report as it was known at the time, which is no field of bars"
                raise Fault("bad_character", why, "import it as a column of its own, and write its name", at)
            raise Fault(
                "bad_character", f"{shown} is not part of the language", "use plain letters, digits and signs", at
            )
        kind = match.lastgroup or ""
        value = match.group()
        if kind == "number":
            unit = _UNIT.match(text, match.end())
            if unit is not None:
                yield Token("number", value + unit.group(), at)
                at = unit.end()
                continue
        if kind == "quoted":
            # A name in quotes, such as a group's, is that name.
            yield Token("name", value[1:-1], at)
        elif kind == "listed":
            # Numbers in quotes are an argument of few calls; everywhere else they are an unknown name.
            yield Token("name", value, at)
        elif kind != "space":
            yield Token(kind, value, at)
        at = match.end()
    yield Token("end", "", len(text))


_BINARY = {
    "||": (1, "or_"), "|": (1, "or_"), "or": (1, "or_"),
    "&&": (2, "and_"), "&": (2, "and_"), "and": (2, "and_"),
    "<": (4, "lt"), "<=": (4, "le"), ">": (4, "gt"), ">=": (4, "ge"), "==": (4, "eq"), "=": (4, "eq"), "!=": (4, "ne"),
    "+": (5, "add"), "-": (5, "sub"),
    "*": (6, "mul"), "/": (6, "div"),
    "^": (8, "power"), "**": (8, "power"),
}  # fmt: skip
_PREFIXES = ("-", "+", "!", "not")
_COMPARISON = 4
_POWER = 8


class _Reader:
    def __init__(self, text: str, limits: Limits) -> None:
        self.text = text
        self.tokens = list(tokenize(text, limits))
        self.place = 0
        # The token to be read next; a plain attribute, because it is asked for all the time.
        self.now = self.tokens[0]
        self.nested = 0
        self.limits = limits
        # Each name and number is a node of its own: what cannot fit is refused before any tree exists.
        leaves = sum(token.kind in ("name", "number") for token in self.tokens)
        if leaves > limits.max_nodes:
            raise Fault(
                "too_large",
                f"the text has {leaves} names and numbers, at most {limits.max_nodes} are allowed",
                "simplify it",
            )

    def take(self) -> Token:
        token = self.now
        self.place += 1
        self.now = self.tokens[self.place] if self.place < len(self.tokens) else token
        return token

    def expect(self, sign: str, why: str) -> None:
        if self.now.text != sign:
            raise Fault(
                "syntax",
                f"expected {sign!r} {why}, found {self.found()}",
                "check the parentheses, and the commas between arguments",
                self.now.at,
            )
        self.take()

    def found(self) -> str:
        return "the end of the text" if self.now.kind == "end" else repr(self.now.text)

    def enter(self) -> None:
        self.nested += 1
        if self.nested > _MAX_PARENTHESES:
            raise Fault("too_deep", f"more than {_MAX_PARENTHESES} levels of nesting", "say it flatter", self.now.at)

    def ternary(self) -> Raw:
        self.enter()
        condition = self.binary(1)
        if self.now.text == "?":
            at = self.take().at
            yes = self.ternary()
            self.expect(":", "of the ? at an earlier place")
            condition = RawCall("if_else", (condition, yes, self.ternary()), at)
        self.nested -= 1
        return condition

    def binary(self, level: int) -> Raw:
        left = self.unary()
        while True:
            found = _BINARY.get(self.now.text.lower()) if self.now.kind in ("sign", "name") else None
            if found is None or found[0] < level:
                return left
            strength, name = found
            at = self.take().at
            if strength == _COMPARISON and isinstance(left, RawCall) and self._is_open_comparison(left, at):
                raise Fault("syntax", "comparisons do not chain", "write (a < b) & (b < c)", at)
            right = self.binary(strength if strength == _POWER else strength + 1)
            left = RawCall(name, (left, right), at)

    def _is_open_comparison(self, left: RawCall, at: int) -> bool:
        """Whether `left` is a comparison written without parentheses right before offset `at`."""
        if left.name not in ("lt", "le", "gt", "ge", "eq", "ne"):
            return False
        return not self.text[:at].rstrip().endswith(")")

    def unary(self) -> Raw:
        if self.now.kind == "number" or self.now.text == "(" or self.now.text.lower() not in _PREFIXES:
            return self.power()
        signs: list[Token] = []
        while self.now.text in ("-", "+", "!") or (self.now.kind == "name" and self.now.text.lower() == "not"):
            signs.append(self.take())
            if len(signs) > self.limits.max_depth:
                raise Fault(
                    "too_deep", f"more than {self.limits.max_depth} signs in a row", "one is enough", self.now.at
                )
        node = self.power()
        for token in reversed(signs):
            if token.text == "-":
                node = RawCall("neg", (node,), token.at)
            elif token.text != "+":
                node = RawCall("not_", (node,), token.at)
        return node

    def indexed(self) -> Raw:
        """Read `close[t-5]`: the value five bars ago."""
        node = self.atom()
        while self.now.text == "[":
            at = self.take().at
            if self.now.text.lower() != "t":
                raise Fault("syntax", "a series is indexed by time", "write close[t-1] or ts_delay(close, 1)", at)
            self.take()
            if self.now.text == "+":
                raise Fault("look_ahead", "[t+n] would look into the future", "only the past is known", at)
            if self.now.text == "-":
                self.take()
                if self.now.kind != "number":
                    why = f"expected a number of bars, found {self.found()}"
                    raise Fault("syntax", why, "write [t-1]", self.now.at)
                node = RawCall(f"{NATIVE}ts_delay", (node, _number(self.take())), at)
            self.expect("]", "to close the bracket")
        return node

    def power(self) -> Raw:
        base = self.indexed()
        if self.now.text in ("^", "**"):
            at = self.take().at
            self.enter()
            base = RawCall("power", (base, self.unary()), at)
            self.nested -= 1
        return base

    def atom(self) -> Raw:
        token = self.take()
        if token.kind == "number":
            return _number(token)
        if token.kind == "name":
            return self.call(token) if self.now.text == "(" else RawName(token.text, token.at)
        if token.text == "(":
            inside = self.ternary()
            self.expect(")", "to close the parenthesis")
            return inside
        found = "the end of the text" if token.kind == "end" else repr(token.text)
        what = (
            "nothing to compute"
            if token.kind == "end" and self.place == 1
            else f"expected a name or number, found {found}"
        )
        raise Fault("syntax", what, "an expression looks like ts_mean(close, 20) / close", token.at)

    def call(self, name: Token) -> Raw:
        self.take()
        args: list[tuple[str, Raw]] = []
        if self.now.text != ")":
            args.append(self.argument())
            while self.now.text == ",":
                self.take()
                args.append(self.argument())
        self.expect(")", f"to close {name.text}(")
        names = tuple(word for word, _ in args)
        return RawCall(name.text, tuple(arg for _, arg in args), name.at, names if any(names) else ())

    def argument(self) -> tuple[str, Raw]:
        """Read an argument; return the keyword it is given by, "" for none, and the argument."""
        following = self.tokens[min(self.place + 1, len(self.tokens) - 1)]
        keyword = ""
        if self.now.kind == "name" and following.text == "=":
            keyword = self.take().text
            self.take()
        return keyword, self.ternary()


def _number(token: Token) -> RawNumber:
    match = re.match(r"[0-9.]+(?:[eE][+-]?\d+)?", token.text)
    assert match is not None
    value = float(match.group())
    if not math.isfinite(value):
        shown = token.text if len(token.text) <= 40 else f"{token.text[:40]}…"
        raise Fault("bad_number", f"{shown} is too large for a number", "use a smaller one", token.at)
    return RawNumber(value, token.text[match.end() :], token.at)


def read_tree(text: str, limits: Limits) -> Raw:
    """Return the untyped tree of `text`; raises `Fault`."""
    if not text.strip():
        raise Fault("empty", "the expression is empty", "an expression looks like ts_mean(close, 20) / close")
    reader = _Reader(text, limits)
    tree = reader.ternary()
    if reader.now.kind != "end":
        raise Fault(
            "syntax", f"did not expect {reader.found()} here", "an operator or the end should follow", reader.now.at
        )
    return tree
