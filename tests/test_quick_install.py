"""The quick installation asks the indexes that pip asks."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest


def test_uv_is_handed_what_pip_is_set_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex-url = https://one.invalid/simple\nfind-links = /first\ntimeout = 9\n"
        "[install]\nextra-index-url =\n    https://two.invalid/simple\n    https://three.invalid/simple\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    # The environment counts more than files.
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels /more")
    script = Path(__file__).resolve().parents[1] / ".ci" / "quick_install.py"
    found = runpy.run_path(str(script))["settings_of_pip"]()
    assert found["UV_DEFAULT_INDEX"] == "https://one.invalid/simple"
    assert found["UV_FIND_LINKS"] == "/wheels,/more"
    assert "https://two.invalid/simple https://three.invalid/simple" in found["UV_INDEX"]
    assert "9" not in found.values()
