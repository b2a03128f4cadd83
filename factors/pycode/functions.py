"""Functions of a text: which of them is the factor, and what the others return where they are called."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from factors.pycode.values import FrameValue, Function, Reader, SeriesValue, Value, dotted
from factors.syntax import RawName
from factors.table import STANDARD_FIELDS

_MOST_CALLS = 40


def factor_among(functions: Sequence[ast.FunctionDef]) -> ast.FunctionDef:
    """Return the function that none of the others calls; the last of them where there are several."""
    called = called_names(functions)
    free = [function for function in functions if function.name not in called]
    return (free or list(functions))[-1]


def called_names(functions: Sequence[ast.FunctionDef]) -> set[str]:
    """Return the names that functions use, of objects' methods too: which of them another calls or hands on."""
    found = set()
    for function in functions:
        for part in ast.walk(function):
            if isinstance(part, ast.Name):
                found.add(part.id)
            elif isinstance(part, ast.Attribute) and dotted(part.value) in ("self", "cls"):
                found.add(part.attr)
    return found


def unwrapped(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Return statements with the methods of classes that hold nothing else, in their place."""
    found: list[ast.stmt] = []
    for node in body:
        inside = node.body if isinstance(node, ast.ClassDef) else []
        only = [part for part in inside if not isinstance(part, ast.Expr | ast.Assign | ast.AnnAssign)]
        if isinstance(node, ast.ClassDef) and only and all(isinstance(part, ast.FunctionDef) for part in only):
            found += [part for part in only if getattr(part, "name", "") != "__init__"]
        else:
            found.append(node)
    return found


# Names of arguments that are columns where there are several arguments.
_COLUMNS = {"prices": "close", "price": "close", "volumes": "volume", "vol": "volume", "rets": "returns",
            "opens": "open", "highs": "high", "lows": "low", "closes": "close", "open_": "open", "o": "open",
            "h": "high", "l": "low", "c": "close", "v": "volume", "close_price": "close", "open_price": "open",
            "high_price": "high", "low_price": "low", "close_prices": "close"}  # fmt: skip


def first_value(reader: Reader, name: str, node: ast.AST, *, several: bool = False) -> Value:
    """Return what an argument without a default stands for: a column where it has a field's name, else the frame."""
    word = name.lower()
    if several:
        word = _COLUMNS.get(word, word)
    if word in STANDARD_FIELDS:
        return SeriesValue(RawName(word, reader.places.at(node)))
    return FrameValue()


def bind(reader: Reader, node: ast.Call, function: Function) -> dict[str, Value]:
    """Return the arguments of a call of a function of the text by their names, defaults included."""
    arguments = function.node.args
    if arguments.vararg or arguments.kwarg or arguments.posonlyargs:
        raise reader.places.fault(node, "functions with stars are not read", "name the arguments")
    names = [arg.arg for arg in (*arguments.args, *arguments.kwonlyargs)]
    names = [name for name in names if name not in ("self", "cls")]
    given = {name: reader.expr(value) for name, value in zip(names, node.args, strict=False)}
    if len(node.args) > len(names):
        raise reader.places.fault(node, "too many arguments", f"the function takes {', '.join(names)}")
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg not in names or keyword.arg in given:
            raise reader.places.fault(node, f"no free argument {keyword.arg}", f"the function takes {', '.join(names)}")
        given[keyword.arg] = reader.expr(keyword.value)
    defaults = dict(zip(reversed([arg.arg for arg in arguments.args]), reversed(arguments.defaults), strict=False))
    keyword_only = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    defaults |= {arg.arg: value for arg, value in keyword_only if value is not None}
    for name in names:
        if name not in given:
            if name not in defaults:
                raise reader.places.fault(node, f"the argument {name} is missing", "give it")
            given[name] = reader.expr(defaults[name])
    return given


class CallCount:
    """Bounds how often functions of a text are followed: each call may multiply the tree."""

    def __init__(self) -> None:
        self.made = 0

    def one(self, reader: Reader, node: ast.AST) -> None:
        """Count a call."""
        self.made += 1
        if self.made > _MOST_CALLS:
            raise reader.places.fault(node, "too many calls of functions", "write the steps out", "too_large")
