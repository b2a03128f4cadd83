"""Alerts: what they say, how often, and what never leaves."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.cli import running
from agent.cli import signal as signal_command
from agent.live.alerts import VARIABLE, Alert, send_alerts
from agent.study.workspace import Workspace, init_workspace
from market.errors import InputError
from tests.agent.commands import refused, run

# Of what apprise itself imports.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
AGING = Alert("aging", "factor:1 aging", "factor 1 on toy is aging: it pays less")


class Service:
    """A service on this machine that takes what apprise posts."""

    def __init__(self) -> None:
        self.taken: list[dict[str, str]] = []
        taken, refuse = self.taken, self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response(500 if refuse.down else 200)
                self.end_headers()
                if not refuse.down:
                    taken.append(json.loads(body))

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self.down = False
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    pytest.importorskip("apprise")
    found = Service()
    monkeypatch.setenv(VARIABLE, f"json://user:hush-hush@127.0.0.1:{found.server.server_port}/")
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return init_workspace(tmp_path / "w")


def test_the_same_is_said_once_a_day_and_one_check_is_one_message(workspace: Workspace, service: Service) -> None:
    said: list[str] = []
    stale = Alert("data stale", "toy", "the data toy are stale")
    assert send_alerts(workspace, [AGING, stale], said.append, now=NOW) == 2
    assert send_alerts(workspace, [AGING], said.append, now=NOW + timedelta(hours=23)) == 0
    assert send_alerts(workspace, [AGING], said.append, now=NOW + timedelta(hours=25)) == 1
    assert [one["title"] for one in service.taken] == ["alphaglow: aging, data stale", "alphaglow: aging"]
    assert service.taken[0]["message"] == f"{AGING.text}\n{stale.text}"
    assert said == []
    # What is kept of it holds no address.
    assert "hush-hush" not in (workspace.root / "alerts.json").read_text()


def test_a_flood_is_held_back_and_said(workspace: Workspace, service: Service) -> None:
    said: list[str] = []
    for number in range(30):
        send_alerts(workspace, [Alert("aging", str(number), "x")], said.append, now=NOW + timedelta(minutes=number))
    assert len(service.taken) == 20
    assert len(said) == 10
    assert "kept back" in said[0]


def test_a_service_that_is_down_is_a_sentence_without_its_address(
    workspace: Workspace, service: Service, capfd: pytest.CaptureFixture[str]
) -> None:
    service.down, said = True, []
    assert send_alerts(workspace, [AGING], said.append, now=NOW) == 0
    assert said == [f"the alert did not reach service 1 of 1 in {VARIABLE}"]
    assert "hush" not in "".join(capfd.readouterr())
    service.down = False
    # It is said when the service is back.
    assert send_alerts(workspace, [AGING], said.append, now=NOW) == 1


def test_nowhere_to_send_is_no_error_and_no_package_is_a_sentence(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    monkeypatch.delenv(VARIABLE, raising=False)
    assert send_alerts(workspace, [AGING], said.append) == 0
    assert VARIABLE in refused(capsys, "-w", str(workspace.root), "watch", "--test-alert")
    monkeypatch.setenv(VARIABLE, "json://127.0.0.1:1/")
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert send_alerts(workspace, [AGING], said.append) == 0
    assert "alphaglow[alerts]" in said[0]
    assert "alphaglow[alerts]" in refused(capsys, "-w", str(workspace.root), "watch", "--test-alert")


def test_a_run_that_ends_by_its_budget_is_said(
    home: Path, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("mine", "--llm", "mock", "--rounds", "2", "--candidates", "2", "--budget-calls", "3", "--no-gate")
    code, _, err = run(capsys, *asked)
    assert code in (0, 3), err
    (one,) = service.taken
    assert one["title"].startswith("alphaglow: run ended, budget spent")
    assert "the budget of run r" in one["message"]


def test_a_run_that_ends_by_an_error_is_said_without_the_error(
    workspace: Workspace, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise InputError("http://user:hush@server refused", "wait")

    session = SimpleNamespace(run=SimpleNamespace(id="r1"), config=SimpleNamespace(data="toy"), expected=None)
    monkeypatch.setattr(running, "drive", fail)
    asked = SimpleNamespace(cluster=None, as_json=False)
    with pytest.raises(InputError):
        running.conduct(workspace, lambda _note: session, asked)  # type: ignore[arg-type,return-value]
    (one,) = service.taken
    assert one["message"] == "run r1 on toy was stopped by an error; go on with --resume r1"


def test_a_gate_that_is_shut_is_said_without_a_weight(workspace: Workspace, service: Service) -> None:
    for through in (0.8, None, 0.01):
        document = {"gate_exposure": through, "weights": [{"asset": "BTC", "weight": 0.1234}]}
        signal_command._alert_gate(workspace, "toy", document)
    assert [one["message"] for one in service.taken] == ["the gate on toy is shut"]


def test_a_test_alert_arrives(workspace: Workspace, service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "-w", str(workspace.root), "watch", "--test-alert")[0] == 0
    assert len(service.taken) == 1
