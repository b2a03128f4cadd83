"""The one way in: what belongs to a run goes by its recorded rules, whatever the settings say meanwhile."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.cli import screen
from agent.cli.main import main
from agent.knowledge.run_config import read_rules
from agent.live.signal_source import open_signal
from agent.study import opening, rule_differences
from agent.study.gates import gate_path
from agent.study.learned_fields import store_field
from agent.study.opening import CurrentRules, RecordedRules, open_data
from agent.study.settings import Settings
from agent.study.workspace import Workspace
from market.errors import InputError
from tests.agent.test_cli_journey import as_json, refused, run

BEFORE = "[gate]\nepochs = 2\nmax_rows = 2000\nsteps = 1\nhidden = 8\n[backtest]\nfee_bp = 1.0\n"
# The portfolios are neutral, and would else be left ungated.
GATED = BEFORE.replace("[gate]", "[gate]\nneutral = true")
AFTER = BEFORE.replace("fee_bp = 1.0", "fee_bp = 50.0\nholding = 24")
IDEAS = [
    "-ts_delta(close, 5) / close",
    "ts_mean(volume, 24) / ts_mean(volume, 120)",
    "close / ts_mean(close, 9)",
    "-ts_corr(close, volume, 20)",
    "ts_std(returns, 30)",
    "high / low",
    "ts_rank(volume, 12)",
    "volume *",
]
DIFFERS = ("backtest.holding = 1 (now 24)", "backtest.fee_bp = 1.0 (now 50.0)")


def quietly(*argv: str) -> Any:
    """Run a command for a fixture; return what it printed as JSON."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as stop:
        main([*argv, "--json"])
    assert not stop.value.code, out.getvalue()
    return json.loads(out.getvalue().splitlines()[-1])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A workspace with a mined run, an improved factor, a screening and a pool, all made under the same rules."""
    root = tmp_path_factory.mktemp("made") / "w"
    with contextlib.redirect_stdout(io.StringIO()), pytest.raises(SystemExit):
        main(["init", str(root)])
    with contextlib.chdir(root):
        (root / "alphaglow.toml").write_text(BEFORE)
        (root / "ideas.txt").write_text("\n".join(IDEAS))
        with contextlib.redirect_stdout(io.StringIO()), pytest.raises(SystemExit):
            main(["data", "synth", "--bars", "2500", "--name", "toy"])
        mined = quietly("mine", "--llm", "mock", "--rounds", "1", "--candidates", "3")
        improved = quietly("optimise", IDEAS[1], "--llm", "mock", "--rounds", "1", "--candidates", "2")
        screened = quietly("screen", "ideas.txt", "--keep", "1")
        quietly("pool", "fit", "-f", IDEAS[0], "-f", IDEAS[1], "--method", "equal", "--name", "even")
    return root, {
        "mined": mined["run"],
        "improved": improved["run"],
        "screened": screened["run"],
        "factor": mined["factors"][0]["factor"],
    }


@pytest.fixture
def work(made: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A copy of that workspace, as current folder; returns the ids of what is in it."""
    root, ids = made
    shutil.copytree(root, tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")
    return ids


def edit() -> None:
    Path("alphaglow.toml").write_text(AFTER)


def says_which(err: str) -> bool:
    return all(piece in " ".join(err.split()) for piece in DIFFERS)


def costs_of(capsys: pytest.CaptureFixture[str], run_id: str) -> set[tuple[int, float]]:
    """Return the holding period and the costs of every scorecard of a run."""
    attempts = as_json(capsys, "kb", "list", "--all", "--run", run_id)["attempts"]
    cards = [attempt["evaluation"]["scorecard"] for attempt in attempts if attempt["evaluation"]]
    assert cards
    return {rules_of(card) for card in cards}


def rules_of(card: dict[str, Any]) -> tuple[int, float]:
    return card["holding"], round(card["cost_bp"], 6)


def test_a_stopped_screening_goes_on_under_its_own_rules(
    work: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def soon(_say: str) -> Iterator[Any]:
        asked = iter(range(1000))
        yield lambda: next(asked) >= 4

    Path("more.txt").write_text("\n".join(f"ts_delta(close, {lag}) / close" for lag in range(11, 19)))
    with monkeypatch.context() as patch:
        patch.setattr(screen, "graceful_stop", soon)
        stopped = as_json(capsys, "screen", "more.txt", "--keep", "2", "--threads", "1")
    assert 0 < stopped["attempts"] < 8
    edit()
    code, _, err = run(capsys, "screen", "--resume", stopped["run"], "--json")
    assert code == 0, err
    assert says_which(err), err
    assert costs_of(capsys, stopped["run"]) == {(1, 6.0)}
    assert len(as_json(capsys, "kb", "list", "--all", "--run", stopped["run"])["attempts"]) == 8
    straight = as_json(capsys, "kb", "list", "--all", "--run", work["screened"])["runs"][0]["config"]
    assert straight["backtest"]["fee_bp"] == 1.0
    assert {"universe", "admission", "split", "loop", "gate", "inputs"} <= set(straight)


def test_a_screening_that_recorded_no_rules_is_not_mixed_with_those_of_now_unless_asked(
    work: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    again = ("screen", "--resume", work["screened"])
    assert "leave out --rules" in refused(capsys, *again, "--rules", "current")
    assert "--rules belongs to --resume" in refused(capsys, "screen", "ideas.txt", "--rules", "current")
    forget("backtest", "universe", "admission", "split", "loop", "gate", "inputs")
    # Nothing is left to score: nothing is mixed.
    assert run(capsys, *again)[0] == 0
    with contextlib.closing(sqlite3.connect("knowledge.db")) as base, base:
        base.execute("update runs set status = 'interrupted' where id = ?", (work["screened"],))
    said = " ".join(refused(capsys, *again).split())
    assert "recorded no rules of backtest, universe, admission, split" in said
    asked = said.rsplit("alphaglow ", 1)[1].split()
    assert asked == [*again, "--rules", "current"]
    code, _, err = run(capsys, *asked)
    assert code == 0, err
    assert "recorded no rules of backtest, universe, admission, split" in " ".join(err.split())


def forget(*names: str) -> None:
    """Take from every run what runs of earlier versions did not record."""
    paths = ", ".join(f"'$.{name}'" for name in names)
    with contextlib.closing(sqlite3.connect("knowledge.db")) as base, base:
        base.execute(f"update runs set config = json_remove(config, {paths})")


def test_luck_is_by_the_rules_of_the_run(work: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    code, before, err = run(capsys, "kb", "luck", work["screened"], "--json")
    assert code == 0, err
    assert "alphaglow.toml" not in err
    edit()
    code, after, err = run(capsys, "kb", "luck", work["screened"], "--json")
    assert code == 0, err
    assert says_which(err), err
    assert json.loads(after) == json.loads(before)


@pytest.mark.parametrize(("command", "which"), [("mine", "mined"), ("optimise", "improved")])
def test_a_resumed_run_keeps_its_rules(
    work: dict[str, str], capsys: pytest.CaptureFixture[str], command: str, which: str
) -> None:
    edit()
    code, out, err = run(capsys, command, "--resume", work[which], "--rounds", "2", "--json")
    assert code == 0, err
    assert says_which(err), err
    assert json.loads(out.splitlines()[-1])["status"] == "finished"
    assert costs_of(capsys, work[which]) == {(1, 6.0)}


def test_a_given_factor_is_compared_under_the_rules_of_the_run_that_improves_it(
    work: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    edit()
    # It was scored before, under other rules, and is not scored again as an attempt.
    found = as_json(capsys, "optimise", IDEAS[1], "--llm", "mock", "--rounds", "1", "--candidates", "2")
    assert rules_of(found["improvement"]["given"]["evaluation"]["scorecard"]) == (24, 55.0)


@pytest.mark.parametrize("what", [("report", "mined"), ("report", "factor"), ("pool", "report", "even")])
def test_a_report_is_by_the_rules_of_what_it_is_of(
    work: dict[str, str], capsys: pytest.CaptureFixture[str], what: tuple[str, ...]
) -> None:
    argv = [*what[:-1], work.get(what[-1], what[-1])]
    before = Path(as_json(capsys, *argv, "-o", "before.html")["report"]).read_text()
    edit()
    code, _, err = run(capsys, *argv, "-o", "after.html")
    assert code == 0, err
    assert says_which(err), err
    assert Path("after.html").read_text() == before


def test_what_a_factor_adds_to_a_pool_is_by_the_rules_of_the_pool(
    work: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = as_json(capsys, "pool", "add", "even", IDEAS[2], "--look")
    edit()
    assert as_json(capsys, "pool", "add", "even", IDEAS[2], "--look") == before
    new = as_json(capsys, "pool", "add", "even", IDEAS[2], "--as", "more")["pool"]
    assert rules_of(new["scorecard"]) == (1, 6.0)
    assert new["spec"]["rules"]["backtest"]["fee_bp"] == 1.0
    # A new pool is fitted under the rules of now, and is another one.
    fresh = as_json(capsys, "pool", "fit", "-f", IDEAS[0], "-f", IDEAS[1], "--method", "equal")["pools"][0]
    assert fresh["new"]
    assert rules_of(fresh["scorecard"]) == (24, 55.0)


def test_an_export_says_whose_rules_it_follows(work: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    pool, factor = ("export", "--pool", "even", "--to", "pandas"), ("export", work["factor"], "--to", "pandas")
    pool_before, factor_before = (run(capsys, *argv)[1] for argv in (pool, factor))
    edit()
    _, out, err = run(capsys, *pool)
    assert out == pool_before
    assert says_which(err), err
    # A factor is traded as alphaglow.toml says, by design; that its run had other rules is said.
    _, out, err = run(capsys, *factor)
    assert out != factor_before
    assert "goes by the rules of alphaglow.toml" in " ".join(err.split())
    assert says_which(err), err


def test_a_signal_says_whose_rules_it_follows(work: dict[str, str]) -> None:
    def signals() -> tuple[Any, Any]:
        workspace = Workspace(Path.cwd())
        panel = open_data(workspace).whole
        with workspace.knowledge() as knowledge:
            return (
                open_signal(workspace, knowledge, "toy", panel, pool="even"),
                open_signal(workspace, knowledge, "toy", panel, factors=[work["factor"]]),
            )

    pool_before, factor_before = signals()
    assert not says_which(" ".join(factor_before.notes))
    edit()
    pool, factor = signals()
    assert pool.id == pool_before.id
    assert pool.spec.holding == 1
    assert says_which(" ".join(pool.notes))
    assert factor.spec.holding == 24
    assert says_which(" ".join(factor.notes))


@pytest.mark.parametrize("what", ["factor", "even"])
def test_the_holdout_opens_under_the_rules_of_the_run(
    work: dict[str, str], capsys: pytest.CaptureFixture[str], what: str
) -> None:
    first = as_json(capsys, "holdout", work.get(what, what), "--yes")
    # Another split would make a holdout of bars that the run was shown.
    Path("alphaglow.toml").write_text(AFTER + "[split]\ntrain = 0.5\nvalidation = 0.2\n")
    code, out, err = run(capsys, "holdout", work.get(what, what), "--yes", "--again", "--json")
    assert code == 0, err
    assert says_which(err), err
    assert "split.train = 0.6 (now 0.5)" in " ".join(err.split())
    second = json.loads(out)
    assert {k: v for k, v in second.items() if k != "number"} == {k: v for k, v in first.items() if k != "number"}


def test_changed_data_are_refused_by_name(work: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "data", "synth", "--bars", "2500", "--seed", "9", "--name", "toy", "--replace")
    for argv in (("mine", "--resume", work["mined"]), ("screen", "--resume", work["screened"])):
        assert "the data toy are not what run" in " ".join(refused(capsys, *argv).split())


def test_a_screening_is_not_mined_on(work: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    said = " ".join(refused(capsys, "mine", "--resume", work["screened"]).split())
    assert f"{work['screened']} is no mining run" in said
    assert "alphaglow screen --resume RUN" in said


def learn_something(workspace: Workspace, name: str, seed: int) -> Path:
    """Store a field as `alphaglow learn` does, for the panel as it is cut now."""
    panel = open_data(workspace, gate=False, learned=False).study.panel
    workspace.folder("learned")
    values = np.random.default_rng(seed).standard_normal(panel.shape)
    return store_field(workspace.learned, name, panel, values, {})


def test_a_run_keeps_the_learned_factors_that_it_had(work: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace(Path.cwd())
    first = learn_something(workspace, "learned_a_00000001", 1)
    opened = open_data(workspace, "toy", CurrentRules())
    recorded = opened.recorded()
    assert set(opened.study.learned) == {"learned_a_00000001"}
    learn_something(workspace, "learned_b_00000002", 2)
    rules = RecordedRules(read_rules(json.loads(json.dumps(recorded.to_dict()))), "toy", "run 1", opened.whole.id)
    assert set(open_data(workspace, rules=rules).study.learned) == {"learned_a_00000001"}
    assert len(open_data(workspace).study.learned) == 2
    learn_something(workspace, "learned_a_00000001", 3)
    with pytest.raises(InputError, match="learned_a_00000001 was replaced since run 1"):
        _ = open_data(workspace, rules=rules).study
    first.unlink()
    with pytest.raises(InputError, match="learned_a_00000001 is gone since run 1"):
        _ = open_data(workspace, rules=rules).study
    # The mined run knew no learned factor, and goes on without.
    code, out, err = run(capsys, "mine", "--resume", work["mined"], "--rounds", "2", "--json")
    assert code == 0, err
    assert "learned_b" not in out


def test_a_replaced_gate_is_refused_by_name(
    work: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("alphaglow.toml").write_text(GATED)
    as_json(capsys, "flow", "fit")
    gated = as_json(capsys, "mine", "--llm", "mock", "--rounds", "1", "--candidates", "2")["run"]
    workspace = Workspace(Path.cwd())
    gate = gate_path(workspace, "toy")
    # Regimes that are found later are none of the run's; its rules are read again as they are.
    as_json(capsys, "flow", "regimes", "--method", "features", "--count", "2")
    with workspace.knowledge() as knowledge:
        record = knowledge.get_run(gated)
    then = open_data(workspace, rules=RecordedRules.of_run(record)).study
    assert not then.clusters
    assert open_data(workspace).study.clusters
    own = gate.read_bytes()
    Path("alphaglow.toml").write_text(GATED.replace("epochs = 2", "epochs = 1"))
    as_json(capsys, "flow", "fit")
    assert gate.read_bytes() != own
    err = " ".join(refused(capsys, "mine", "--resume", gated, "--rounds", "2").split())
    assert "toy.gate.npz was replaced since run" in err
    assert "put the old file back" in err
    code, _, err = run(capsys, "report", gated)
    assert code == 0, err
    assert "was replaced since run" in " ".join(err.split())
    gate.write_bytes(own)
    assert as_json(capsys, "mine", "--resume", gated, "--rounds", "2")["status"] == "finished"
    forget("inputs")
    code, _, err = run(capsys, "mine", "--resume", gated, "--rounds", "3", "--json")
    assert code == 0, err
    assert "did not record which gate" in " ".join(err.split())
    # A text that is refused is refused before the gate is asked.
    monkeypatch.setattr(opening, "with_gate", None)
    assert "ts_mean" in refused(capsys, "eval", "ts_meen(close, 3)")
    gate.unlink()
    assert "is gone since run" in " ".join(refused(capsys, "mine", "--resume", gated, "--rounds", "4").split())


def test_regimes_are_on_scorecards_beside_a_learned_factor(
    work: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    as_json(capsys, "flow", "fit")
    workspace = Workspace(Path.cwd())
    learn_something(workspace, "learned_a_00000001", 1)
    found = as_json(capsys, "flow", "regimes", "--method", "features", "--count", "2")
    names = {f"flow: {row['regime']}" for row in found["regimes"]}
    said: list[str] = []
    study = open_data(workspace, note=said.append).study
    assert names <= set(study.target.regimes)
    # A neutral portfolio is not put behind the gate, and this is said; what is about the gate itself is.
    assert study.exposures is None
    assert any("neutral = true" in sentence for sentence in said)
    assert open_data(workspace, neutral=True).study.exposures is not None
    learn_something(workspace, "learned_b_00000002", 2)
    study = open_data(workspace).study
    assert len(study.learned) == 2
    assert names <= set(study.target.regimes)


def test_rules_are_named_with_their_values_then_and_now() -> None:
    then = Settings.model_validate({"backtest": {"max_risk": 0.5}, "loop": {"rounds": 9, "blind": False}})
    assert rule_differences.differences(then, Settings()) == [
        "backtest.max_risk = 0.5 (now unset)",
        "loop.blind = false (now true)",
    ]
