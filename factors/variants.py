"""Changing a factor's tree by machine: its windows, and a part of it."""

from __future__ import annotations

import numpy as np

from factors.printing import to_text
from factors.table import OPERATORS
from factors.tree import Call, Node, Number

Path = tuple[int, ...]
# A window is tried at these multiples of itself.
_STEPS = (0.5, 0.7, 1.4, 2.0)


def nodes_below(node: Node, path: Path = ()) -> list[tuple[Path, Node, str]]:
    """List (path, node, parameter kind) of every node below the root."""
    found: list[tuple[Path, Node, str]] = []
    if isinstance(node, Call):
        for index, (arg, param) in enumerate(zip(node.args, OPERATORS[node.op].params, strict=True)):
            found.append(((*path, index), arg, param.kind))
            found += nodes_below(arg, (*path, index))
    return found


def windows(root: Node) -> list[tuple[Path, Node]]:
    """List the windows of a factor with their paths."""
    return [(path, node) for path, node, kind in nodes_below(root) if kind == "window"]


def replaced(root: Node, path: Path, new: Node) -> Node:
    """Return the tree with the node at a path replaced."""
    if not path:
        return new
    assert isinstance(root, Call)
    args = list(root.args)
    args[path[0]] = replaced(args[path[0]], path[1:], new)
    return Call(root.op, tuple(args))


def window_variants(root: Node, longest: int, rng: np.random.Generator) -> list[str]:
    """Return texts of a factor with one window or all of them longer or shorter, in random order."""
    places = windows(root)
    found: dict[str, None] = {}
    for step in _STEPS:
        scaled = root
        for path, node in places:
            assert isinstance(node, Number)
            new = Number(float(np.clip(round(node.value * step), 2, longest)))
            scaled = replaced(scaled, path, new)
            found[to_text(replaced(root, path, new))] = None
        found[to_text(scaled)] = None
    found.pop(to_text(root), None)
    texts = list(found)
    return [texts[int(k)] for k in rng.permutation(len(texts))]
