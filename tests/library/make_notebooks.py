"""Write each example as a notebook: `python -m tests.library.make_notebooks`; a test holds the two equal."""

from __future__ import annotations

import ast
import json
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def notebook(source: str) -> dict[str, object]:
    """Return the notebook (format 4.5) of an example's text.

    Its docstring is the title, its imports and each of its functions are cells, and so is what stands in `main`, a
    cell for each stretch between blank lines.
    """
    tree = ast.parse(source)
    title = ast.get_docstring(tree) or ""
    cells = [_markdown(f"# {title}")]
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom) and not _of_future(node)]
    first, last = imports[0].lineno, imports[-1].end_lineno
    cells.append(_code("\n".join(source.splitlines()[first - 1 : last])))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "main":
            cells += [_code(part) for part in _stretches(source, node)]
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Assign):
            cells.append(_code(_text(source, node)))
    numbered = [{"id": f"cell-{number}", **cell} for number, cell in enumerate(cells)]
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return {"cells": numbered, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}


def written(source: str) -> str:
    """Return the text of the notebook's file."""
    return json.dumps(notebook(source), indent=1, ensure_ascii=False) + "\n"


def _of_future(node: ast.Import | ast.ImportFrom) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _text(source: str, node: ast.AST) -> str:
    return ast.get_source_segment(source, node) or ""


def _stretches(source: str, main: ast.FunctionDef) -> list[str]:
    """Return the body of `main` without its docstring and indentation, whole when it is one block."""
    first, last = main.body[1].lineno, main.end_lineno
    lines = [line.removeprefix("    ") for line in source.splitlines()[first - 1 : last]]
    return [part.strip("\n") for part in "\n".join(lines).split("\n\n") if part.strip()]


def _markdown(text: str) -> dict[str, object]:
    return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}


def _code(text: str) -> dict[str, object]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": text.splitlines(keepends=True),
    }


def main() -> None:
    """Write all notebooks."""
    folder = EXAMPLES / "notebooks"
    folder.mkdir(exist_ok=True)
    for path in sorted(EXAMPLES.glob("[a-z]*.py")):
        (folder / f"{path.stem}.ipynb").write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
