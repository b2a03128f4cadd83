"""A knowledge base as runs of an MLflow server, which is played by a transport that keeps what it is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agent.knowledge.transfer.mlflow_runs import MlflowServer, export_runs
from agent.study.workspace import Workspace
from market.errors import InputError
from tests.agent.commands import prepare, refused


class Played:
    """An MLflow server as far as it is asked here; `fails_after` requests it refuses all."""

    def __init__(self) -> None:
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.fails_after: float = float("inf")
        self.asked = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        if self.asked > self.fails_after:
            return httpx2.Response(503, json={"message": "out of space"})
        call = request.url.path.removeprefix("/api/2.0/mlflow/")
        document = json.loads(request.content) if request.content else dict(request.url.params)
        status, answer = self.answer(call, document)
        return httpx2.Response(status, json=answer)

    def answer(self, call: str, document: dict[str, Any]) -> tuple[int, Any]:
        if call == "experiments/get-by-name":
            number = self.experiments.get(document["experiment_name"])
            missing = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such experiment"}
            return (404, missing) if number is None else (200, {"experiment": {"experiment_id": number}})
        if call == "experiments/create":
            self.experiments[document["name"]] = number = str(len(self.experiments) + 1)
            return 200, {"experiment_id": number}
        if call == "runs/create":
            name = f"m{len(self.runs)}"
            info = {"run_id": name, "status": "RUNNING", "experiment_id": document["experiment_id"]}
            self.runs[name] = {"info": info, "data": {"tags": document["tags"]}}
            return 200, {"run": self.runs[name]}
        if call == "runs/search":
            first = int(document.get("page_token", 0))
            page = list(self.runs.values())[first : first + 3]
            more = {"next_page_token": str(first + 3)} if first + 3 < len(self.runs) else {}
            return 200, {"runs": page} | more
        run = self.runs[document["run_id"]]
        if call == "runs/log-batch":
            run["data"] |= {"params": document["params"], "metrics": document["metrics"]}
        else:
            run["info"]["status"] = document["status"]
        return 200, {}

    def tags(self, run: dict[str, Any]) -> dict[str, str]:
        return {tag["key"]: tag["value"] for tag in run["data"]["tags"]}

    def ended(self) -> list[dict[str, Any]]:
        return [run for run in self.runs.values() if run["info"]["status"] == "FINISHED"]


@pytest.fixture(scope="module")
def mined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("mlflow") / "w"
    prepare("init", str(home))
    prepare("-w", str(home), "data", "synth", "--bars", "1200", "--assets", "12")
    prepare("-w", str(home), "mine", "--llm", "mock", "--rounds", "1", "--candidates", "3")
    return home


def exported(home: Path, played: Played) -> tuple[int, int]:
    with (
        Workspace(home).knowledge() as knowledge,
        knowledge.as_source() as source,
        MlflowServer("http://127.0.0.1:5000/", httpx2.MockTransport(played)) as server,
    ):
        done = export_runs(source, server, "alphas")
    return done.added, done.present


def test_runs_and_scored_attempts_become_runs_with_their_figures(mined: Path) -> None:
    played = Played()
    added, present = exported(mined, played)
    with Workspace(mined).knowledge() as knowledge:
        (run,) = knowledge.runs()
        scored = [attempt for attempt in knowledge.attempts(run_id=run.id) if attempt.evaluation is not None]
    assert scored
    assert (added, present) == (1 + len(scored), 0)
    assert list(played.experiments) == ["alphas"]
    (parent,) = [one for one in played.runs.values() if played.tags(one)["alphaglow.id"] == run.id]
    children = {played.tags(one)["alphaglow.id"]: one for one in played.runs.values() if one is not parent}
    assert len(played.ended()) == len(played.runs) == added
    for attempt in scored:
        assert attempt.evaluation is not None
        child = children[f"{run.id}/{attempt.id}"]
        assert played.tags(child)["mlflow.parentRunId"] == parent["info"]["run_id"]
        params = {one["key"]: one["value"] for one in child["data"]["params"]}
        assert (params["expression"], params["verdict"]) == (attempt.canonical, attempt.evaluation.verdict)
        metrics = {one["key"]: one["value"] for one in child["data"]["metrics"]}
        assert metrics["train_payoff_z"] == attempt.evaluation.scorecard.train.payoff_z
        assert metrics["validation_turnover"] == attempt.evaluation.scorecard.validation.turnover


def test_an_export_that_was_stopped_goes_on_and_a_second_adds_nothing(mined: Path) -> None:
    whole, played = Played(), Played()
    added, _ = exported(mined, whole)
    played.fails_after = 9
    with pytest.raises(InputError, match=r"refused runs/.*503 out of space"):
        exported(mined, played)
    done = len(played.ended())
    assert 0 < done < added
    played.fails_after = float("inf")
    assert exported(mined, played) == (added - done, done)
    assert exported(mined, played) == (0, added)
    names = [played.tags(run)["alphaglow.id"] for run in played.ended()]
    assert sorted(names) == sorted({played.tags(run)["alphaglow.id"] for run in whole.runs.values()})


def test_what_is_no_server_of_mlflow_is_said(mined: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = ("-w", str(mined), "kb", "export", "--to", "mlflow")
    assert "needs the address of a server" in refused(capsys, *start)
    assert "no address of a server" in refused(capsys, *start, "--url", "ftp://x")
    # Port 9 (discard) is refused on any machine.
    assert "does not answer" in refused(capsys, *start, "--url", "http://127.0.0.1:9")
    page = httpx2.MockTransport(lambda _: httpx2.Response(200, text="<html>"))
    with pytest.raises(InputError, match="did not answer with JSON"), MlflowServer("http://x", page) as server:
        server.experiment("a")
