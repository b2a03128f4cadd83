"""`import alphaglow`: what it has, what it loads, what it says of files that stand in its way."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import alphaglow as ag

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numpy", "pandas", "torch", "openai", "sqlalchemy", "pydantic", "numba", "matplotlib", "click")


def _python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    start = f"import sys; sys.path[1:1] = [{str(ROOT)!r}]; "
    return subprocess.run(
        [sys.executable, "-c", start + code], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_an_import_loads_nothing_heavy(tmp_path: Path) -> None:
    done = _python(f"import alphaglow; print([m for m in {HEAVY} if m in sys.modules])", tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_file_that_stands_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "market.py").write_text("BARS = 1\n", encoding="utf-8")
    done = _python("import alphaglow", tmp_path)
    assert f"market: {tmp_path / 'market.py'}" in done.stderr
    assert "rename it" in done.stderr


def test_every_public_name_is_there_and_no_other() -> None:
    assert all(getattr(ag, name) is not None for name in ag.__all__)
    assert dir(ag) == sorted(ag.__all__)
    with pytest.raises(AttributeError, match="it has Factor, FactorError"):
        _ = ag.nonsense
    assert (Path(ag.__file__).parent / "py.typed").exists()


def test_panels_and_errors_are_those_of_the_house() -> None:
    from market.errors import InputError
    from market.panel import Panel

    assert ag.InputError is InputError
    assert ag.Panel is Panel
    assert issubclass(ag.FactorError, InputError)


@pytest.mark.parametrize("name", ["", ".factor_face", ".panels"])
def test_the_examples_of_the_docstrings_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"alphaglow{name}"))
    assert found.attempted > 0
    assert found.failed == 0
