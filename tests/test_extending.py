"""A distribution from outside the packages adds one of each kind, and each is used end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]

OPERATOR = """
import numpy as np
from factors.operator_checks import operator_faults
from factors.operator_plugin import NewOperator
from factors.operators.row import row, window_reach
from factors.streams import Kernel


def widths(x, out, before):
    whole = np.vstack([before, x])
    view = np.lib.stride_tricks.sliding_window_view(whole, len(before) + 1, axis=0)
    out[:] = view.max(axis=-1) - view.min(axis=-1)
    before[:] = whole[len(x):]


def plainly(x, d):
    out = np.full(x.shape, np.nan)
    for t in range(int(d) - 1, len(x)):
        part = x[t - int(d) + 1 : t + 1]
        out[t] = part.max(axis=0) - part.min(axis=0)
    return out


ts_width = NewOperator(
    row=row(
        "time series", "ts_width(x, d)", "largest minus smallest of d values", "the {d}-bar width of {x}", window_reach
    ),
    arrays=1,
    stream=lambda at, n: Kernel(widths, (at.missing(int(n[0]) - 1),)),
    oracle=plainly,
    pandas="w = windows(x, d)\\nreturn w.max(axis=2) - w.min(axis=2)",
    needs=("windows",),
    polars="({0}.rolling_max({1}) - {0}.rolling_min({1}))",
    along_time=True,
    latex=r"W_{{{1}}}({0})",
)
"""
SOURCE = """
from market.bar_source import FetchedBars
from market.synthetic.demo_market import SynthSpec, make_market


class Simulated:
    def fetch(self, request):
        for done, symbol in enumerate(request.symbols, start=1):
            request.progress(done, len(request.symbols), symbol)
        return FetchedBars(make_market(SynthSpec(bars=2000)).panel, ("simulated",), {"bars_of": request.timeframe})


simulated = Simulated()
"""
GATE = """
from backtest.result_types import GateVerdict


def stubborn(of):
    return GateVerdict("stubborn", False, {"payoff": of.figures.payoff_z}, "never", ("it never lets one pass",))
"""
MODEL = '''
import torch
from torch import nn
from flows.bases import NormalBase
from flows.flow_model import MarketFlow


class Diagonal(MarketFlow):
    """A Gaussian with independent features."""

    def __init__(self, config):
        nn.Module.__init__(self)
        self.config, self.base = config, NormalBase()
        self.shift, self.scale = nn.Parameter(torch.zeros(config.dim)), nn.Parameter(torch.zeros(config.dim))

    @property
    def initialized(self):
        return True

    def initialize(self, x):
        pass

    def encode(self, x):
        return (x - self.shift) * torch.exp(-self.scale), -self.scale.sum().expand(len(x))

    def decode(self, z):
        return z * torch.exp(self.scale) + self.shift
'''
CHART = """
from agent.drawing import svg
from agent.review.chart_registry import ReviewChart

bars = ReviewChart(lambda review: svg.empty_chart(f"{len(review.times)} bars", 300, 80), "Number of bars", "Counted.")
"""
POINTS = """\
[alphaglow.operators]
ts_width = gift_operator:ts_width
[alphaglow.sources]
simulated = gift_source:simulated
[alphaglow.gates]
stubborn = gift_gate:stubborn
[alphaglow.models]
diagonal = gift_model:Diagonal
[alphaglow.charts]
bars = gift_chart:bars
"""
FACTOR = "cs_rank(ts_width(close, 12) / close)"


def distribution(folder: Path, name: str, points: str, **modules: str) -> Path:
    """Write what `pip install` leaves of a distribution."""
    folder.mkdir(exist_ok=True)
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)
    return folder


def python(site: Path, *argv: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(site)])}
    return subprocess.run([sys.executable, *argv], env=env, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return distribution(
        tmp_path_factory.mktemp("gift") / "site", "gift", POINTS,
        gift_operator=OPERATOR, gift_source=SOURCE, gift_gate=GATE, gift_model=MODEL, gift_chart=CHART,
    )  # fmt: skip


@pytest.fixture(scope="module")
def home(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose data came from the new source, with the new gate and the new model in its settings."""
    home = tmp_path_factory.mktemp("workspace") / "w"
    made = python(site, "-m", "agent", "init", str(home), cwd=home.parent)
    assert made.returncode == 0, made.stderr
    shown = alphaglow(site, home, "data", "fetch", "simulated", "--symbols", "A,B", "--since", "2024-01-01")
    assert shown["fetch"]["bars_of"] == "1h"
    assert shown["fetch"]["notes"] == ["simulated"]
    (home / "alphaglow.toml").write_text(
        '[admission]\ngates = ["sanity", "stubborn"]\n[gate]\nmodel = "diagonal"\nepochs = 1\nmax_rows = 1000\n'
    )
    return home


def alphaglow(site: Path, home: Path, *argv: str) -> Any:
    done = python(site, "-m", "agent", *argv, "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_an_operator_is_read_computed_streamed_and_printed(site: Path, home: Path) -> None:
    written = python(site, "-m", "agent", "translate", FACTOR, "--to", "pandas", cwd=home)
    assert written.returncode == 0, written.stderr
    check = (
        "import numpy as np, pandas as pd, sys\n"
        "from factors.engine import evaluate\n"
        "from factors.operator_checks import operator_faults\n"
        "from factors.parse import parse\n"
        "from factors.table import describe\n"
        "from gift_operator import ts_width\n"
        "from market.synthetic.demo_market import SynthSpec, make_market\n"
        "panel = make_market(SynthSpec(bars=400)).panel\n"
        "assert operator_faults(ts_width, 'ts_width(close, 12)', panel) == []\n"
        "assert 'largest minus smallest' in describe('ts_width')\n"
        "space = {}\n"
        "exec(compile(sys.argv[1], 'printed', 'exec'), space)\n"
        "frames = {n: pd.DataFrame(panel[n], panel.times, panel.assets) for n in panel.fields}\n"
        f"values = evaluate(parse({FACTOR!r}, fields=tuple(panel.fields), bar=panel.bar), panel).values\n"
        "assert np.isfinite(values).sum() > 1000\n"
        "assert np.allclose(space['factor'](frames), values, rtol=1e-9, equal_nan=True)\n"
    )
    done = python(site, "-c", check, written.stdout, cwd=home)
    assert done.returncode == 0, done.stderr
    polars = python(site, "-m", "agent", "translate", "ts_width(close, 12)", "--to", "polars", cwd=home)
    assert "rolling_max(12)" in polars.stdout
    latex = python(site, "-m", "agent", "translate", "ts_width(close, 12)", "--to", "latex", cwd=home)
    assert "W_{12}" in latex.stdout
    qlib = python(site, "-m", "agent", "translate", "ts_width(close, 12)", "--to", "qlib", cwd=home)
    assert qlib.returncode == 2
    assert "no such operator" in qlib.stderr


def test_a_gate_and_a_model_from_the_settings_judge_a_factor(site: Path, home: Path) -> None:
    fitted = alphaglow(site, home, "flow", "fit")
    assert fitted["flow"] == "diagonal"
    found = alphaglow(site, home, "eval", FACTOR)
    gates = {gate["gate"]: gate for gate in found["evidence"]["gates"]}
    assert list(gates) == ["sanity", "stubborn"]
    assert "it never lets one pass" in json.dumps(gates["stubborn"])


def test_a_chart_stands_in_the_report_of_a_factor(site: Path) -> None:
    draw = (
        "from agent.review.render import render_factor\n"
        "from tests.agent.review_examples import make_review\n"
        "print(render_factor(make_review(300)))\n"
    )
    page = python(site, "-c", draw)
    assert page.returncode == 0, page.stderr
    assert "<h2>Number of bars</h2>" in page.stdout
    assert "<figcaption>Counted.</figcaption>" in page.stdout
    assert "Number of bars" not in python(ROOT, "-c", draw).stdout


def test_without_the_distribution_what_names_it_is_refused(home: Path, tmp_path: Path) -> None:
    done = python(tmp_path, "-m", "agent", "eval", "close", cwd=home)
    assert done.returncode == 2
    assert "no such gate: stubborn; there are novelty" in done.stderr


@pytest.mark.parametrize(
    ("points", "module", "argv", "says"),
    [
        ("[alphaglow.gates]\nbad = absent:gate\n", "", "gates", "ModuleNotFoundError"),
        ("[alphaglow.gates]\nearns = broken:x\n", "x = print", "gates", "alphaglow has one of the same name"),
        ("[alphaglow.gates]\nodd = broken:x\n", "x = 1", "gates", "it is a int"),
    ],
)
def test_a_broken_plugin_is_named_with_its_distribution(
    tmp_path: Path, points: str, module: str, argv: str, says: str
) -> None:
    site = distribution(tmp_path / "site", "brokengift", points, broken=module)
    (tmp_path / "alphaglow.toml").write_text(f'[admission]\n{argv} = ["unknown"]\n')
    done = python(site, "-m", "agent", "kb", "list", cwd=tmp_path)
    assert done.returncode == 2
    assert "brokengift" in done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
