"""Files as people have them: each is read right, or refused with a way forward; none is misread."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent.cli.main import cli  # noqa: F401 - imported once, before the files are timed
from market.documents import load_documents
from market.panel_store import load_panel
from tests.conftest import SHARED
from tests.market.case_truths import (
    BARS,
    FUNDING,
    KINDS,
    MISREAD,
    NAMED,
    NEWS,
    READ,
    REFUSED,
    WRONG,
    invoke,
    judge_bars,
    options_of,
)  # fmt: skip

CASES = SHARED / "cases" / "market"
Table = dict[str, tuple[str, str]]


def judge_funding(workspace: Path, file: Path, truth: tuple[str, float]) -> tuple[str, str]:
    times = pd.date_range("2024-01-01", periods=24, freq="1h")
    bars = pd.DataFrame({"ts": times, "symbol": "BTCUSDT", "open": 10.0, "high": 11.0, "low": 9.0, "close": 10.0})
    bars.assign(volume=5.0).to_csv(workspace / "bars.csv", index=False)
    code, text = invoke(workspace, "data", "import", str(workspace / "bars.csv"), "--name", "perps", "--replace")
    assert code == 0, text
    base = ["data", "funding", str(file), "--data", "perps", "--name", "x", "--replace"]
    code, first = invoke(workspace, *base)
    kind = READ
    if code:
        for option in options_of(first):
            code, _ = invoke(workspace, *base, *option)
            kind = NAMED
            if not code:
                break
    if code:
        return WRONG, first
    panel = load_panel(workspace / "data" / "x.parquet")
    row = np.flatnonzero(panel.times == np.datetime64(truth[0], "ns"))[0]
    later = panel["funding"][row + 1, 0]
    return (kind if np.isclose(panel["funding"][row, 0], truth[1]) and later == 0 else MISREAD), first


def judge_news(workspace: Path, file: Path, truth: tuple[int, str]) -> tuple[str, str]:
    base = ["text", "import", str(file), "--data", "perps", "--name", "x", "--replace"]
    code, first = invoke(workspace, *base)
    kind = READ
    if code and truth[0]:
        for option in options_of(first):
            code, _ = invoke(workspace, *base, *option)
            kind = NAMED
            if not code:
                break
    if code:
        return (WRONG if truth[0] else REFUSED), first
    if not truth[0]:
        return MISREAD, first
    texts = load_documents(workspace / "texts" / "x.parquet")
    good = len(texts) == truth[0] and texts.known[0] == np.datetime64(truth[1], "ns")
    return (kind if good else MISREAD), first


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """How every file goes through the real commands; made once."""
    if not CASES.is_dir():
        pytest.skip("the cases are not here")
    workspace = tmp_path_factory.mktemp("cases") / "w"
    code, text = invoke(tmp_path_factory.getbasetemp(), "init", str(workspace))
    assert code == 0, text
    out: Table = {}
    for name, truth in BARS.items():
        out[name] = judge_bars(workspace, _placed(name, workspace), truth)
    for name, settled in FUNDING.items():
        out[name] = judge_funding(workspace, _placed(name, workspace), settled)
    for name, texts in NEWS.items():
        out[name] = judge_news(workspace, _placed(name, workspace), texts)
    return out


def _placed(name: str, workspace: Path) -> Path:
    """Copy a case under the name that its source gives it."""
    target = workspace / name.removeprefix("funding_binance_vision_")
    shutil.copyfile(CASES / name, target)
    return target


def counts(table: Table) -> dict[str, int]:
    return {kind: sum(one == kind for one, _ in table.values()) for kind in KINDS}


def test_every_case_has_a_truth(table: Table) -> None:
    assert set(table) == {path.name for path in CASES.iterdir() if path.name != "README.md"}


def test_no_case_is_misread_and_refusals_lead_on(table: Table) -> None:
    wrong = {name: text for name, (kind, text) in table.items() if kind in (MISREAD, WRONG)}
    assert not wrong, wrong
    assert counts(table)[READ] + counts(table)[NAMED] == len(table) - counts(table)[REFUSED]
