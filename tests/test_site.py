"""The documentation as a site: it builds without a warning, covers everything, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import alphaglow
from factors.table import OPERATORS
from tests.pages import ROOT


@pytest.mark.slow
def test_the_site_builds_whole_and_offline(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = {str(path.relative_to(tmp_path)): path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.html")}
    written = {str(path.relative_to(ROOT / "docs").with_suffix("")) for path in (ROOT / "docs").rglob("*.md")}
    missing = {name for name in written if f"{name}.html" not in pages and f"{name[:-6]}index.html" not in pages}
    assert missing == set()
    for name in alphaglow.__all__:
        assert name == "__version__" or re.search(rf'id="[\w.]*\.{name}"', pages["reference/python.html"]), name
    assert [name for name in OPERATORS if f'id="{name}"' not in pages["reference/operators.html"]] == []
    assert 'id="kb-lessons"' in pages["reference/commands.html"]
    loads = re.compile(r'(?:<script[^>]* src|<link[^>]*rel="stylesheet"[^>]* href|<img[^>]* src)="(https?:[^"]+)"')
    assert {address for page in pages.values() for address in loads.findall(page)} == set()
