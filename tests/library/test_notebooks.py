"""The notebooks are the examples, and run in a kernel."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.library.make_notebooks import EXAMPLES, written

SCRIPTS = sorted(EXAMPLES.glob("[a-z]*.py"))


def test_each_example_is_a_notebook_too() -> None:
    for script in SCRIPTS:
        kept = EXAMPLES / "notebooks" / f"{script.stem}.ipynb"
        assert kept.read_text(encoding="utf-8") == written(script.read_text(encoding="utf-8")), kept.name
        nbformat.validate(nbformat.read(kept, as_version=4))
    assert len(list((EXAMPLES / "notebooks").glob("*.ipynb"))) == len(SCRIPTS)


@pytest.mark.slow
def test_a_notebook_runs_in_a_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    # Each example's code is run as a script elsewhere. What a kernel adds is a loop of events that is under way: the
    # example whose commands are asynchronous inside is tried.
    page = nbformat.read(EXAMPLES / "notebooks" / "two_loops.ipynb", as_version=4)
    done = NotebookClient(page, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(out.get("text", "") for cell in done.cells for out in cell.get("outputs", []))
    assert "page: " in printed
