"""`alphaglow pool` as its user meets it: fitting, looking, adding, the page, the holdout, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.study.workspace import Workspace
from tests.agent.commands import as_json, refused, run

NEAR = "cs_rank(ts_mean(volume, 24) / ts_mean(volume, 120))"
TWO = ("-f", NEAR, "-f", "-ts_delta(close, 5) / close")


@pytest.fixture
def free(home: Path) -> Path:
    """A workspace where trading costs nothing."""
    (home / "alphaglow.toml").write_text("[backtest]\nfee_bp = 0.0\nslippage_bp = 0.0\n", encoding="utf-8")
    return home


def test_a_pool_from_fit_to_holdout(free: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = refused(capsys, "pool", "fit")
    assert "--members promising" in nothing
    assert "Nothing was scored in full" in nothing
    found = as_json(capsys, "pool", "fit", *TWO, "--method", "all", "--name", "first")
    assert [p["name"] for p in found["pools"]] == [f"first-{how}" for how in ("aim", "equal", "ic", "ridge", "nonneg")]
    assert found["trials"] == 5
    assert {p["new"] for p in found["pools"]} == {True}
    # The same again is no trial, and says so.
    code, out, err = run(capsys, "pool", "fit", *TWO, "--method", "ridge")
    assert code == 0, err
    assert "fitted before" in out
    assert "not accepted (2 not tried)" in out
    assert "best member on train" in out
    assert as_json(capsys, "pool", "fit", *TWO, "--method", "ridge")["trials"] == 5
    assert [p["method"] for p in as_json(capsys, "pool", "list")] == ["aim", "equal", "ic", "ridge", "nonneg"]
    code, out, err = run(capsys, "pool", "list")
    assert "first-nonneg" in out

    shown = as_json(capsys, "pool", "show", "first-ridge")
    assert shown["holdout"] == []
    code, out, err = run(capsys, "pool", "show", shown["id"][:14])
    assert "weight" in out
    assert "Admission" in out

    path = Path(as_json(capsys, "pool", "report", "first-ridge")["report"])
    page = path.read_text(encoding="utf-8")
    assert "What combining is worth" in page
    assert "Not unseen any more" not in page
    assert "Simulated market" in page

    opened = as_json(capsys, "holdout", "first-ridge", "--yes")
    assert opened["n_bars"] > 0
    assert opened["number"] == 1
    assert "opens once" in refused(capsys, "holdout", "first-ridge", "--yes")
    assert "opens once" in refused(capsys, "holdout", shown["id"], "--yes")
    assert "for this pool" in as_json(capsys, "pool", "show", "first-ridge")["holdout"][0]
    run(capsys, "pool", "report", "first-ridge", "-o", "again.html")
    assert "Not unseen any more" in Path("again.html").read_text(encoding="utf-8")
    # Nothing of the holdout is in what was recorded of the pool.
    assert as_json(capsys, "pool", "show", "first-ridge")["scorecard"] == shown["scorecard"]


def test_adding_a_factor_makes_another_pool(free: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_json(capsys, "pool", "fit", *TWO, "--method", "ic", "--name", "base")
    looked = as_json(capsys, "pool", "add", "base", "ts_mean(volume, 12) / ts_mean(volume, 96)", "--look")
    assert looked["pool"] is None
    assert set(looked["marginal"]) == {"rank_ic", "ic_tstat", "correlation", "keeps"}
    # What it adds is a difference with an error on train, and of validation one word.
    assert looked["payoff"]["error"] > 0
    assert abs(looked["payoff"]["sharpe"]) < 20 * looked["payoff"]["error"]
    assert looked["payoff"]["keeps"] in (True, False)
    added = as_json(capsys, "pool", "add", "base", "-ts_std(returns, 20)", "--as", "wider")
    assert added["pool"]["name"] == "wider"
    assert len(added["pool"]["members"]) == 3
    assert set(added["changes"]) == {
        "rank_ic_before", "rank_ic_after", "sharpe_net_before", "sharpe_net_after", "earns_more_on_validation"
    }  # fmt: skip
    with Workspace(free).knowledge() as knowledge:
        assert len(knowledge.pools()) == 2
        assert knowledge.trials(knowledge.pools()[0].panel_id).count == 2
    code, out, err = run(capsys, "pool", "add", "base", "ts_std(close, 10)", "--look")
    assert code == 0, err
    assert "no trial counted" in out
    assert "member of base already" in refused(capsys, "pool", "add", "base", NEAR)
    exported = json.loads(run(capsys, "kb", "export")[1])
    assert [pool["name"] for pool in exported["pools"]] == ["base", "wider"]


def test_rules_that_changed_do_not_change_a_pool(free: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_json(capsys, "pool", "fit", *TWO, "--method", "equal", "--name", "old")
    (free / "alphaglow.toml").write_text("[backtest]\nfee_bp = 50.0\n[split]\ntrain = 0.5\n", encoding="utf-8")
    found = as_json(capsys, "pool", "fit", *TWO, "--method", "equal", "--name", "dear")["pools"][0]
    old = as_json(capsys, "pool", "show", "old")
    assert found["id"] != old["id"]
    assert found["scorecard"]["train"]["sharpe_net"] < old["scorecard"]["train"]["sharpe_net"]
    added = as_json(capsys, "pool", "add", "old", "-ts_std(returns, 20)")
    assert added["pool"]["spec"]["rules"] == old["spec"]["rules"]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("fit", "-f", "close", "-f", "close"), "named twice"),
        (("fit", "-f", "ts_meen(close, 5)"), "ts_mean"),
        (("fit", "-f", "factor:0123456789abcdef"), "no factor"),
        (("fit", *TWO, "--name", "a b"), "no name"),
        (("fit", *TWO, "--data", "nope"), "no data set"),
        (("fit", "--verdict", "promising"), "--factors"),
        (("fit", "-f", "-" + NEAR, "--method", "nonneg"), "no pool could be fitted"),
        (("show", "nope"), "pool list"),
        (("report", "nope"), "pool list"),
        (("add", "nope", "close"), "pool list"),
    ],
)
def test_bad_input_is_refused_in_words(
    free: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], says: str
) -> None:
    code, _, err = run(capsys, "pool", *argv)
    assert code == 2
    assert says in err
    assert "Traceback" not in err
    with Workspace(free).knowledge() as knowledge:
        assert knowledge.pools() == []


def test_published_factors_are_pooled_from_a_file(free: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("published.txt").write_text(
        "# Alpha#6: (-1 * correlation(open, volume, 10))\n"
        "# Alpha#12: (sign(delta(volume, 1)) * (-1 * delta(close, 1)))\n"
        "# Alpha#12: (sign(delta(volume, 1)) * (-1 * delta(close, 1)))\n# Alpha#56: rank(nowhere)\n"
        "# Alpha#99: correlation(close, volume, 300)\n",
        encoding="utf-8",
    )
    found = as_json(capsys, "pool", "fit", "--file", "published.txt", "--method", "equal", "--name", "public")
    (pool,) = found["pools"]
    assert [m["verdict"] for m in pool["members"]] == ["published"] * 3
    assert "3 of 3 members were not accepted (3 published)" in pool["spec"]["notes"][0]
    assert [one.split(":")[0] for one in found["left_out"]] == ["Alpha#56"]
    # What was published may look back further than what is mined, and its page can be drawn all the same.
    assert Path(as_json(capsys, "pool", "report", "public")["report"]).is_file()
    Path("own.txt").write_text("# mine\nts_mean(volume, 12) / ts_mean(volume, 96)\n", encoding="utf-8")
    (one,) = as_json(capsys, "pool", "fit", "--file", "own.txt", "-f", NEAR, "--method", "equal")["pools"]
    assert len(one["members"]) == 2
    Path("none.txt").write_text("# remarks alone\n", encoding="utf-8")
    assert "no factor that can be read" in refused(capsys, "pool", "fit", "--file", "none.txt")


def test_a_pool_knows_its_data(free: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_json(capsys, "pool", "fit", *TWO, "--method", "equal", "--name", "mine")
    run(capsys, "data", "synth", "--bars", "2500", "--seed", "11", "--name", "other")
    for argv in (("pool", "report", "mine"), ("pool", "add", "mine", "close"), ("holdout", "mine", "--yes")):
        assert "fitted on" in refused(capsys, *argv, "--data", "other")
