"""The wheel holds all that the program needs, and runs where nothing but its dependencies is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.pages import ROOT

END = "-- ended --"
EACH = f"""
import json, sys
from agent.cli import main
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as ended:
        assert not ended.code, words
    print({END!r})
"""
COMMANDS = [
    ["init", "study"],
    ["-w", "study", "kb", "search", "alpha101_001"],
    ["-w", "study", "data", "synth", "--bars", "400", "--assets", "3"],
    ["-w", "study", "data", "show"],
]
PACKAGES = ("alphaglow", "market", "factors", "flows", "backtest", "agent")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built as `make wheel` does, from a copy of what is kept under version control."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("dist")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("no git checkout")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if name.split("/")[0] in (*PACKAGES, "pyproject.toml", "setup.py", "README.md", "LICENSE", "knowledge.db"):
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", str(out), str(copy)], check=True)
    (built,) = out.glob("alphaglow-*.whl")
    return built


@pytest.mark.slow
def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    listed = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True)
    assert [name for name in listed.stdout.split() if name not in inside] == []
    assert "agent/study/starter.db" in inside
    assert not any(name.startswith(("tests", "benchmarks", "docs")) for name in inside)


@pytest.mark.slow
def test_an_installed_wheel_works_anywhere(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "env"
    venv.create(place, with_pip=False, symlinks=True)
    (site,) = place.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    # Its dependencies come from the environment of the tests; a path in a .pth file does not read that one's .pth
    # files, so that the checkout, which is installed there, is not seen.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"], encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    where = "import alphaglow, agent; print(agent.__file__); print(alphaglow.factor('-ts_mean(returns, 5)').lookback)"
    shown = subprocess.run(
        [str(place / "bin" / "python"), "-c", where], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert shown.stdout.split() == [str(site / "agent" / "__init__.py"), "5"], shown.stderr
    # One process for all commands: each would import everything again.
    done = subprocess.run(
        [str(place / "bin" / "python"), "-c", EACH, json.dumps(COMMANDS)],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = done.stdout.split(END)
    # The starter base came along: published factors are known.
    assert "alpha101" in said[1]
    assert "synth" in said[3]
