"""`alphaglow export`: what is written runs elsewhere with our values, and says what it is and what it is not."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agent.pools.fitting import pool_values
from agent.pools.weighting import METHODS
from agent.study.settings import Settings
from agent.study.study import make_spec, narrowed
from agent.study.workspace import Workspace
from backtest.ledger import keep_ledger
from backtest.market_rows import market_rows
from backtest.target import prepare_target
from factors.engine import evaluate
from factors.parse import parse
from factors.tree import Expression
from market.panel import Panel
from tests.agent.commands import as_json, refused, run
from tests.alone import call_alone, difference, run_alone
from tests.standin import aligned, analyse, candles_of, load_strategy

NEAR = 1e-9
MEMBERS = ["cs_rank(ts_mean(volume, 24) / ts_mean(volume, 96))", "-ts_mean(returns, 12)", "ts_std(returns, 24)"]


def toy(home: Path) -> Panel:
    return Workspace(home).load_panel("toy")


def settings_of(home: Path, **sections: dict[str, Any]) -> Settings:
    """Write settings into the workspace, and return them; factors are traded as they say."""
    sections["backtest"] = {"rule": "as set", **sections.get("backtest", {})}
    lines = []
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
    (home / "alphaglow.toml").write_text("\n".join(lines))
    return Workspace(home).settings


def test_pools_of_all_methods_run_alone(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    members = [part for text in MEMBERS for part in ("-f", text)]
    fitted = as_json(capsys, "pool", "fit", "--name", "mine", "--method", "all", *members)
    names = [pool["name"] for pool in fitted["pools"]]
    assert {pool["method"] for pool in fitted["pools"]} == set(METHODS)
    sources = {}
    for name in names:
        code, out, err = run(capsys, "export", "--pool", name, "--to", "pandas", "-o", f"{name}.py")
        assert (code, out.strip()) == (0, f"{name}.py"), err
        sources[name.replace("-", "_")] = Path(f"{name}.py").read_text()
    alone = tmp_path / "alone"
    alone.mkdir()
    panel = toy(home)
    found = run_alone(alone, sources, panel)
    with Workspace(home).knowledge() as knowledge:
        for name in names:
            pool = knowledge.get_pool(name)
            # Each is traded by the rule that it was fitted under: the aim has chosen its own.
            target = prepare_target(panel, make_spec(Settings().under(pool.spec.rules)))
            wanted = pool_values(pool, panel)
            values, weights = found[name.replace("-", "_")]
            assert difference(values, wanted) <= NEAR
            portfolio = target.weights(np.where(panel.universe, wanted, np.nan))
            np.testing.assert_allclose(weights, portfolio, atol=NEAR)
    about = about_of(sources[names[0].replace("-", "_")])
    assert {member["text"] for member in about["members"]} == {m["text"] for m in fitted["pools"][0]["members"]}
    assert about["fitted_on"]["bars"] > 0


def about_of(source: str) -> Any:
    assign = next(node for node in ast.parse(source).body if isinstance(node, ast.Assign))
    return ast.literal_eval(assign.value)


def test_a_pool_keeps_the_rules_it_was_fitted_under(
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings_of(home, backtest={"holding": 12, "max_weight": 0.2})
    as_json(capsys, "pool", "fit", "--name", "mine", "--method", "equal", "-f", MEMBERS[0], "-f", MEMBERS[1])
    settings_of(home, backtest={"weighting": "long_only"})
    written = as_json(capsys, "export", "--pool", "mine", "--to", "pandas")
    rules = about_of(written["source"])["rules"]
    assert rules["weights"] == "by rank across assets, dollar-neutral, gross 1, none above 0.2, averaged over 12 bars"


RULES: list[dict[str, dict[str, Any]]] = [
    {},
    {"backtest": {"weighting": "zscore", "holding": 6, "max_weight": 0.15, "group_neutral": "liquidity_group"}},
    {"backtest": {"weighting": "long_only", "quantiles": 3, "volatility_scaled": True}},
    {"backtest": {"weighting": "timeseries", "max_risk": 0.0005}, "universe": {"top": 7, "days": 10.0}},
]


@pytest.mark.parametrize("number", range(len(RULES)))
def test_a_factor_runs_alone_under_the_workspaces_rules(
    number: int,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    from agent.study.study import group_values
    from backtest.weights import cap_risk

    settings = settings_of(home, **RULES[number])
    text = "zscore(close, 20) * rank(volume)"
    source = as_json(capsys, "export", text, "--to", "pandas")["source"]
    whole = toy(home)
    panel = narrowed(whole, settings)
    spec = make_spec(settings)
    expression = parse(text)
    assert isinstance(expression, Expression)
    wanted = evaluate(expression, panel).values
    neutral = settings.backtest.group_neutral
    target = prepare_target(panel, spec, groups=group_values(neutral, panel) if neutral else None)
    portfolio = target.weights(np.where(panel.universe, wanted, np.nan))
    portfolio = cap_risk(portfolio, target.market.volatility, spec.max_risk, neutral=spec.is_neutral)
    alone = tmp_path / "alone"
    alone.mkdir()
    # The stored universe goes in; the file narrows it by itself.
    values, weights = run_alone(alone, {"f": source}, whole)["f"]
    assert difference(values, wanted) <= NEAR
    np.testing.assert_allclose(weights, portfolio, atol=NEAR)
    assert np.abs(portfolio).sum() > 1


def test_positions_of_a_module_are_those_of_the_ledger(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = settings_of(home, backtest={"rate": 0.1, "band": 0.002, "rebalance": 2, "borrow_bp_year": 900.0})
    source = as_json(capsys, "export", "-ts_mean(returns, 12)", "--to", "pandas")["source"]
    panel = toy(home).rows(0, 700)
    fields = {name: np.array(values) for name, values in panel.fields.items()}
    for values in fields.values():
        # One asset dies in mid-position, another pauses.
        values[300:, 1] = values[400:403, 2] = np.nan
    panel = replace(panel, fields=fields, universe=np.isfinite(fields["close"]))
    spec, found = make_spec(settings), {}
    exec(compile(source, "exported", "exec"), found)
    frames = {name: pd.DataFrame(values, panel.times, list(panel.assets)) for name, values in fields.items()}
    weights = found["weights"](found["values"](frames), frames)
    held, _ = keep_ledger(weights.to_numpy(), market_rows(panel, spec), spec, panel.bars_per_year)
    positions = found["positions"](weights, frames).to_numpy()
    assert np.abs(positions).sum(axis=1).max() > 0.3
    np.testing.assert_allclose(positions[:-2], held[:-2], rtol=0, atol=1e-12)


def test_a_strategy_has_our_signal(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    members = [part for text in MEMBERS for part in ("-f", text)]
    as_json(capsys, "pool", "fit", "--name", "mine", "--method", "equal", *members)
    written = as_json(capsys, "export", "--pool", "mine", "--to", "freqtrade", "-o", "mine.py")
    assert written["source"] is None
    assert Path("mine.py").stat().st_mode & 0o777 == 0o644
    strategy = load_strategy(Path("mine.py"), written["strategy"], candles_of(toy(home)))
    assert (strategy.timeframe, strategy.can_short, strategy.INTERFACE_VERSION) == ("1h", True, 3)
    frames = analyse(strategy)
    with Workspace(home).knowledge() as knowledge:
        wanted = pool_values(knowledge.get_pool("mine"), toy(home))
    assert difference(aligned(frames, "signal", toy(home)), wanted) <= NEAR


def test_the_stored_data_can_be_read_by_the_program(
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = run(capsys, "export", "-ts_mean(returns, 5)", "--to", "pandas")
    assert code == 0, err
    (home / "f.py").write_text(out)
    lines = call_alone(["f.py", "data/toy.parquet"], home).splitlines()
    panel = toy(home)
    assert lines[0] == f"# {pd.Timestamp(panel.times[-1], tz='UTC')}"
    weights = [float(line.split(",")[2]) for line in lines[2:]]
    assert len(weights) == panel.shape[1]
    assert sum(abs(weight) for weight in weights) == pytest.approx(1.0)


def test_a_known_factor_is_named_by_its_id_and_what_its_writer_said_stays_text(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dataclasses import replace

    from agent.knowledge.knowledge_base import KnowledgeBase

    assert run(capsys, "mine", "--llm", "mock", "--rounds", "1", "--candidates", "4", "--no-gate")[0] == 0
    with Workspace(home).knowledge() as knowledge:
        attempts = knowledge.attempts(panel_id=toy(home).id)
    chosen = next(one.factor_id for one in attempts if one.factor_id and one.evaluation)
    real = KnowledgeBase.get_factor

    def hostile(self: KnowledgeBase, *args: Any, **options: Any) -> Any:
        record = real(self, *args, **options)
        return replace(record, attempt=replace(record.attempt, name='"""\nraise SystemExit(7)\n#'))

    monkeypatch.setattr(KnowledgeBase, "get_factor", hostile)
    written = as_json(capsys, "export", chosen, "--to", "pandas")
    assert written["subject"] == chosen
    (home / "f.py").write_text(written["source"])
    call_alone(["-c", "import runpy; runpy.run_path('f.py')"], home)
    assert about_of(written["source"])["name"] == '"""\nraise SystemExit(7)\n#'


def test_what_is_not_in_the_file_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings_of(
        home,
        backtest={"kelly": 0.5, "rebalance": 4, "fill": "close"},
        universe={"top": 8, "days": 20.0},
    )
    code, out, err = run(capsys, "export", "close", "--to", "pandas")
    assert code == 0
    assert "Kelly" in err
    assert "every 4 bars" in err
    assert "not_in_this_file" in out
    said = as_json(capsys, "export", "close", "--to", "freqtrade")["not_in_this_file"]
    assert any("the 8 most traded over 20 days" in remark for remark in said)
    assert any("fills at the close" in remark for remark in said)


def test_nothing_of_this_machine_or_this_day_is_written(
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    as_json(capsys, "pool", "fit", "--name", "mine", "--method", "equal", "-f", MEMBERS[0], "-f", MEMBERS[1])
    for what in (["close - open"], ["--pool", "mine"]):
        for target in ("pandas", "freqtrade"):
            first, second = (as_json(capsys, "export", *what, "--to", target)["source"] for _ in range(2))
            assert first == second
            assert str(home) not in first
            assert first.isascii()


def test_what_cannot_be_exported_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "name a FACTOR, or a pool" in refused(capsys, "export", "--to", "pandas")
    assert "name a FACTOR, or a pool" in refused(capsys, "export", "close", "--pool", "x", "--to", "pandas")
    assert "no pool 'x'" in refused(capsys, "export", "--pool", "x", "--to", "pandas")
    assert "unknown field" in refused(capsys, "export", "ts_mean(klose, 3)", "--to", "pandas")
    assert "first bar" in refused(capsys, "export", "cum_sum(returns)", "--to", "freqtrade")
    assert "cannot write" in refused(capsys, "export", "close", "--to", "pandas", "-o", "none/f.py")
    assert list(home.glob("*.py")) == []


def test_fields_that_freqtrade_lacks_are_named(
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from market.panel_store import save_panel

    panel = toy(home)
    rate = np.full(panel.shape, 1e-4)
    save_panel(panel.with_fields({"funding": rate, "open_interest": rate}), home / "data" / "perp.parquet")
    said = refused(capsys, "export", "funding * open_interest", "--to", "freqtrade", "--data", "perp")
    assert "no funding, open_interest" in said
    assert "--to pandas" in said
    assert run(capsys, "export", "funding * open_interest", "--to", "pandas", "--data", "perp")[0] == 0
