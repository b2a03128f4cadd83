"""The arguments of one call in pandas code, and the refusal of a method."""

from __future__ import annotations

import ast

from factors.pycode.methods import REFUSED
from factors.pycode.values import Plain, Reader, SeriesValue, Value
from factors.syntax import Fault, Raw, RawNumber


class Arguments:
    """The arguments of one call, taken one by one; what is left over is refused."""

    def __init__(self, reader: Reader, node: ast.Call) -> None:
        self.reader, self.node = reader, node
        self.places = list(node.args)
        self.named = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise reader.places.fault(node, "stars are not read", "write the arguments out")
            self.named[keyword.arg] = keyword.value

    def node_of(self, name: str) -> ast.expr | None:
        """Take the next argument by place, else the one of this name; None where neither is given."""
        if self.places:
            return self.places.pop(0)
        return self.named.pop(name, None)

    def value(self, name: str, default: Value | None = None) -> Value | None:
        """Take an argument of any kind."""
        found = self.node_of(name)
        return default if found is None else self.reader.expr(found)

    def raw(self, name: str) -> Raw:
        """Take a column or a number that must be given."""
        found = self.node_of(name)
        if found is None:
            raise self.reader.places.fault(self.node, f"{name} is missing", "give it")
        return self.reader.series(found).raw

    def branch(self, name: str) -> Raw:
        """Take a column or a number that must be given; NaN stands for a missing value."""
        found = self.node_of(name)
        if found is None:
            raise self.reader.places.fault(self.node, f"{name} is missing", "give it")
        return self.reader.branch(found)

    def number(self, name: str, default: float | None = None) -> float | None:
        """Take an argument that must be a number where it is given."""
        found = self.node_of(name)
        if found is None:
            return default
        raw = self.reader.series(found).raw
        if not isinstance(raw, RawNumber):
            raise self.reader.places.fault(found, f"{name} must be a number", "write it out")
        return raw.value

    def flag(self, name: str, default: bool) -> bool:
        """Return a keyword that is True or False."""
        found = self.named.pop(name, None)
        if found is None:
            return default
        value = self.reader.expr(found)
        if isinstance(value, Plain) and isinstance(value.value, bool):
            return value.value
        raise self.reader.places.fault(found, f"{name} must be True or False", "write it out")

    def plain(self, name: str) -> object:
        """Return a keyword's constant, None where it is not given."""
        found = self.named.pop(name, None)
        if found is None:
            return None
        value = self.reader.expr(found)
        if isinstance(value, Plain):
            return value.value
        if isinstance(value, SeriesValue) and isinstance(value.raw, RawNumber):
            return value.raw.value
        raise self.reader.places.fault(found, f"{name} is not read so", "leave it out")

    def done(self) -> None:
        """Refuse what is left over."""
        if self.places or self.named:
            left = next(iter(self.named), "an argument")
            raise self.reader.places.fault(self.node, f"{left} is not read here", "leave it out")


def refused_method(reader: Reader, node: ast.AST, method: str) -> Fault:
    """Return the refusal of a method, with the reason where there is a particular one."""
    why, hint = REFUSED.get(method, (f".{method[:40]} is not read", "see the operators of the language"))
    return reader.places.fault(node, why, hint, "look_ahead" if "later bars" in why else "python")


def bars_of(reader: Reader, node: ast.AST, count: float) -> RawNumber:
    """Return a number of bars, at the place of `node`."""
    return RawNumber(float(count), "", reader.places.at(node))
