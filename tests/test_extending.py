"""A distribution from outside the packages adds one of each kind, and each is used end to end."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from market.panel_store import save_panel
from tests import forked
from tests.helpers import make_panel, random_panel

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
FORECAST = """
import numpy as np
from scipy.stats import norm
from flows.day_methods import LEVELS, Predicted, outcomes


class Steady:
    def __init__(self, deviation):
        self.deviation = deviation

    def predict(self, days, rows, asked):
        came = outcomes(days, rows)[:, 0]
        law, ones = norm(0.0, self.deviation), np.ones((len(came), 1))
        return Predicted(ones * law.ppf(LEVELS), ones * law.cdf(asked.below), np.nan * came, law.logpdf(came))


def steady(past, before):
    return Steady(past.returns.std())


class Odd(Steady):
    def predict(self, days, rows, asked):
        return Predicted(*(np.zeros(3) for _ in range(4)))


def odd(past, before):
    return Odd(1.0)
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
[alphaglow.forecasts]
steady = gift_forecast:steady
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


@dataclass(frozen=True)
class Ended:
    """What a process printed, and its exit status."""

    returncode: int
    stdout: str
    stderr: str


def beside(
    site: Path, *argv: str, cwd: Path = ROOT, function: Callable[[list[str]], None] = forked.beside_site
) -> Ended:
    """Run `alphaglow ARGV`, or a function, in a process of its own that has the folder `site` on its path."""
    going = forked.start(list(argv), cwd=cwd, env={**os.environ, "SITE": str(site)}, function=function)
    out, err = going.communicate()
    return Ended(going.wait(), out, err)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return distribution(
        tmp_path_factory.mktemp("gift") / "site", "gift", POINTS,
        gift_operator=OPERATOR, gift_source=SOURCE, gift_gate=GATE, gift_model=MODEL, gift_chart=CHART,
        gift_forecast=FORECAST,
    )  # fmt: skip


@pytest.fixture(scope="module")
def home(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose data came from the new source, with the new gate and the new model in its settings."""
    home = tmp_path_factory.mktemp("workspace") / "w"
    made = beside(site, "init", str(home), cwd=home.parent)
    assert made.returncode == 0, made.stderr
    shown = alphaglow(site, home, "data", "fetch", "simulated", "--symbols", "A,B", "--since", "2024-01-01")
    assert shown["fetch"]["bars_of"] == "1h"
    assert shown["fetch"]["notes"] == ["simulated"]
    (home / "alphaglow.toml").write_text(
        '[admission]\ngates = ["sanity", "stubborn"]\n[gate]\nmodel = "diagonal"\nepochs = 1\nmax_rows = 1000\n'
    )
    return home


def alphaglow(site: Path, home: Path, *argv: str) -> Any:
    done = beside(site, *argv, "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check_operator(argv: list[str]) -> None:
    """In a process beside the site: the new operator keeps its rules, and its printed pandas code has our values."""
    forked.see_site()
    import numpy as np
    import pandas as pd
    from gift_operator import ts_width  # type: ignore[import-not-found]

    from factors.engine import evaluate
    from factors.operator_checks import operator_faults
    from factors.parse import parse
    from factors.table import describe
    from market.synthetic.demo_market import SynthSpec, make_market

    panel = make_market(SynthSpec(bars=400)).panel
    assert operator_faults(ts_width, "ts_width(close, 12)", panel) == []
    assert "largest minus smallest" in describe("ts_width")
    space: dict[str, Any] = {}
    exec(compile(argv[0], "printed", "exec"), space)
    frames = {n: pd.DataFrame(panel[n], panel.times, panel.assets) for n in panel.fields}
    values = evaluate(parse(FACTOR, fields=tuple(panel.fields), bar=panel.bar), panel).values
    assert np.isfinite(values).sum() > 1000
    assert np.allclose(space["factor"](frames), values, rtol=1e-9, equal_nan=True)


def draw_report(_argv: list[str]) -> None:
    """In a process beside the site: print a factor's page."""
    forked.see_site()
    from agent.review.render import render_factor
    from tests.agent.review_examples import make_review

    print(render_factor(make_review(300)))  # noqa: T201 - the test reads it


def test_an_operator_is_read_computed_streamed_and_printed(site: Path, home: Path) -> None:
    written = beside(site, "translate", FACTOR, "--to", "pandas", cwd=home)
    assert written.returncode == 0, written.stderr
    done = beside(site, written.stdout, cwd=home, function=check_operator)
    assert done.returncode == 0, done.stderr
    polars = beside(site, "translate", "ts_width(close, 12)", "--to", "polars", cwd=home)
    assert "rolling_max(12)" in polars.stdout
    latex = beside(site, "translate", "ts_width(close, 12)", "--to", "latex", cwd=home)
    assert "W_{12}" in latex.stdout
    qlib = beside(site, "translate", "ts_width(close, 12)", "--to", "qlib", cwd=home)
    assert qlib.returncode == 2
    assert "no such operator" in qlib.stderr


def test_a_gate_and_a_model_from_the_settings_judge_a_factor(site: Path, home: Path) -> None:
    fitted = alphaglow(site, home, "flow", "fit")
    assert fitted["flow"] == "diagonal"
    found = alphaglow(site, home, "eval", FACTOR)
    gates = {gate["gate"]: gate for gate in found["evidence"]["gates"]}
    assert list(gates) == ["sanity", "stubborn"]
    assert "it never lets one pass" in json.dumps(gates["stubborn"])


@pytest.fixture(scope="module")
def daily(home: Path) -> Path:
    """The workspace, with 480 days of four assets as well."""
    save_panel(make_panel(dict(random_panel(480, 4, seed=8).fields), "D"), home / "data" / "days.parquet")
    return home


def test_a_forecast_is_scored_and_compared_like_those_built_in(site: Path, daily: Path) -> None:
    found = alphaglow(site, daily, "flow", "forecast", "--data", "days")
    rows = {row["method"]: row for row in found["forecasts"]}
    assert list(rows)[-1] == "steady"
    # Returns are independent and of one law, which this method knows: nothing is better.
    assert rows["steady"]["low_5"] == pytest.approx(-1.645 * 0.005, rel=0.2)
    assert next(row for row in found["differences"] if row["method"] == "steady")["crps_gap"] > -0.01


def test_a_forecast_of_wrong_shapes_is_named(daily: Path, tmp_path: Path) -> None:
    points = "[alphaglow.forecasts]\nodd = odd_forecast:odd\n"
    site = distribution(tmp_path / "site", "oddgift", points, odd_forecast=FORECAST)
    home = tmp_path / "w"
    shutil.copytree(daily, home)
    # Without the gate and the model of the other distribution, which is not on this path.
    (home / "alphaglow.toml").write_text("")
    done = beside(site, "flow", "forecast", "--data", "days", cwd=home)
    assert done.returncode == 2
    assert "the forecast 'odd' has quantiles of the shape (3,), and not (63, 100)" in done.stderr


def test_a_chart_stands_in_the_report_of_a_factor(site: Path) -> None:
    page = beside(site, function=draw_report)
    assert page.returncode == 0, page.stderr
    assert "<h2>Number of bars</h2>" in page.stdout
    assert "<figcaption>Counted.</figcaption>" in page.stdout
    assert "Number of bars" not in beside(ROOT, function=draw_report).stdout


def test_without_the_distribution_what_names_it_is_refused(home: Path, tmp_path: Path) -> None:
    done = beside(tmp_path, "eval", "close", "--data", "simulated-1h", cwd=home)
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
    done = beside(site, "kb", "list", cwd=tmp_path)
    assert done.returncode == 2
    assert "brokengift" in done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
