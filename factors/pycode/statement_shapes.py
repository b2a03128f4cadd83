"""What a statement of pandas code looks like, before it is read: whether it does nothing, or only calls the factor."""

from __future__ import annotations

import ast

from factors.pycode.values import dotted


def does_nothing(node: ast.stmt) -> bool:
    """Whether a statement of a handler gives no factor: it ends, or says something."""
    said = isinstance(node, ast.Expr) and called(node.value).split(".")[0] in (
        "print",
        "logger",
        "logging",
        "warnings",
    )
    return said or isinstance(node, ast.Return | ast.Pass | ast.Raise)


def called(node: ast.expr) -> str:
    """Return the dotted name of what is called; "" where nothing is."""
    return dotted(node.func) if isinstance(node, ast.Call) else ""


def plain_decorators(node: ast.FunctionDef) -> bool:
    """Whether a function is decorated by nothing that changes what it returns."""
    return all(dotted(part) in ("staticmethod", "classmethod") for part in node.decorator_list)


def without_dropna(node: ast.expr) -> ast.expr:
    """Return what is returned without a last `.dropna()`: missing values stay missing here, and move no window."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "dropna":
        node = node.func.value
    return node


def calls_it(node: ast.stmt, name: str) -> bool:
    """Whether a statement only calls the function with names: `result = factor(df)`."""
    value = node.value if isinstance(node, ast.Expr | ast.Assign | ast.AnnAssign) else None
    if not isinstance(value, ast.Call) or not isinstance(value.func, ast.Name) or value.func.id != name:
        return False
    targets = node.targets if isinstance(node, ast.Assign) else []
    plain = all(isinstance(target, ast.Name | ast.Subscript) for target in targets)
    return plain and not value.keywords and all(isinstance(arg, ast.Name) for arg in value.args)


def loaded(target: ast.expr) -> ast.expr:
    """Return a name that is assigned to as one that is read; anything else as it is."""
    if isinstance(target, ast.Name):
        return ast.copy_location(ast.Name(target.id, ast.Load()), target)
    return target
