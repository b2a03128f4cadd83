"""What was tried, as runs of an MLflow server: a run of ours with a nested run for each attempt that was scored.

The server is asked by its REST interface (2.0), so that MLflow itself need not be installed here. What is there,
known by the tag `alphaglow.id`, is left alone: an export that was stopped goes on, and one of a base that grew adds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx2

from agent.knowledge.records import AttemptRecord, RunRecord
from agent.knowledge.transfer.table_rows import KnowledgeSource
from market.errors import InputError

_API = "/api/2.0/mlflow"
_ID = "alphaglow.id"
# The server's own limits: characters of a parameter, and metrics in one request.
_LONGEST = 500
_MOST_METRICS = 1000
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Exported:
    """How many runs were added to the server, and how many were there."""

    added: int
    present: int


class MlflowServer:
    """An MLflow server by its REST interface.

    Parameters
    ----------
    address : str
        Such as ``"http://127.0.0.1:5000"``.
    transport : httpx2.BaseTransport, optional
        What carries the requests; tests give their own.

    Raises
    ------
    InputError
        From every method: where the server cannot be reached, or refuses.
    """

    def __init__(self, address: str, transport: httpx2.BaseTransport | None = None) -> None:
        if not address.startswith(("http://", "https://")):
            raise InputError(f"{address!r} is no address of a server", "such as http://127.0.0.1:5000")
        self._address = address.rstrip("/")
        self._client = httpx2.Client(transport=transport, timeout=30.0, follow_redirects=False)

    def __enter__(self) -> MlflowServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ask(self, call: str, document: Mapping[str, object]) -> dict[str, Any]:
        """Return the answer to one call, such as ``"runs/create"``."""
        got = self._send(call, document)
        if got.status_code != 200:
            said = _message(got)
            raise InputError(f"{self._address} refused {call}: {got.status_code} {said}", "is it an MLflow server?")
        return _as_object(got, self._address)

    def experiment(self, name: str) -> str:
        """Return the id of the experiment of this name, which is made if there is none."""
        found = self._send("experiments/get-by-name", {"experiment_name": name}, reading=True)
        if found.status_code == 200:
            return str(_as_object(found, self._address)["experiment"]["experiment_id"])
        return str(self.ask("experiments/create", {"name": name})["experiment_id"])

    def known(self, experiment: str) -> dict[str, str]:
        """Return the server's id of each run of ours that it has, by our id."""
        found: dict[str, str] = {}
        token: str | None = None
        while True:
            asked: dict[str, object] = {"experiment_ids": [experiment], "max_results": _PAGE}
            answer = self.ask("runs/search", asked | ({"page_token": token} if token else {}))
            for run in answer.get("runs", []):
                tags = {tag["key"]: tag["value"] for tag in run["data"].get("tags", [])}
                # A run that was begun and not ended by an export that was stopped is made again.
                if _ID in tags and run["info"]["status"] == "FINISHED":
                    found[tags[_ID]] = run["info"]["run_id"]
            token = answer.get("next_page_token")
            if not token:
                return found

    def _send(self, call: str, document: Mapping[str, object], *, reading: bool = False) -> httpx2.Response:
        url = f"{self._address}{_API}/{call}"
        try:
            if reading:
                return self._client.get(url, params={name: str(value) for name, value in document.items()})
            return self._client.post(url, json=document)
        except httpx2.HTTPError as error:
            raise InputError(f"{self._address} does not answer: {error}", "start it with: mlflow server") from error


def export_runs(
    source: KnowledgeSource, server: MlflowServer, experiment: str, show: Callable[[int], None] = lambda _: None
) -> Exported:
    """Write every run, and every attempt that was scored in full, to an experiment of the server.

    Parameters
    ----------
    source : KnowledgeSource
        The knowledge base, or an export of one.
    server : MlflowServer
        Where to.
    experiment : str
        Its name; it is made if there is none.
    show : callable
        Is given the number of attempts that were read.

    Returns
    -------
    Exported
        Of runs and attempts together.
    """
    place = server.experiment(experiment)
    known = server.known(place)
    added = present = 0
    runs = {run.id: run for run in source.runs()}
    for run in runs.values():
        if run.id in known:
            present += 1
        else:
            known[run.id] = _write_run(server, place, run)
            added += 1
    for number, (attempt, _) in enumerate(source.attempts(), start=1):
        show(number)
        if attempt.evaluation is None:
            continue
        key = f"{attempt.run_id}/{attempt.id}"
        if key in known:
            present += 1
        else:
            _write_attempt(server, place, attempt, key, known[attempt.run_id])
            added += 1
    return Exported(added, present)


def _write_run(server: MlflowServer, experiment: str, run: RunRecord) -> str:
    tags = {_ID: run.id, "mlflow.runName": run.id, "alphaglow.panel": run.panel_id, "alphaglow.status": run.status}
    made = _begun(server, experiment, tags, run.created)
    _ended(server, made, run.created)
    return made


def _write_attempt(server: MlflowServer, experiment: str, attempt: AttemptRecord, key: str, parent: str) -> None:
    scored = attempt.evaluation
    assert scored is not None
    name = attempt.name or (attempt.factor_id or key).removeprefix("factor:")[:10]
    tags = {_ID: key, "mlflow.runName": name, "mlflow.parentRunId": parent, "alphaglow.panel": attempt.panel_id}
    made = _begun(server, experiment, tags, attempt.created)
    settings = {
        "expression": attempt.canonical or attempt.text,
        "verdict": scored.verdict,
        "round": str(attempt.round),
        "theme": attempt.claims.theme,
    }
    params = [{"key": name, "value": value[:_LONGEST]} for name, value in settings.items() if value]
    stamp = _milliseconds(attempt.created)
    metrics = [{"key": name, "value": value, "timestamp": stamp, "step": 0} for name, value in _figures(attempt)][
        :_MOST_METRICS
    ]
    server.ask("runs/log-batch", {"run_id": made, "params": params, "metrics": metrics})
    _ended(server, made, attempt.created)


def _figures(attempt: AttemptRecord) -> Iterator[tuple[str, float]]:
    """Yield the finite numbers of a scorecard, by split."""
    scored = attempt.evaluation
    assert scored is not None
    parts = {"train": scored.scorecard.train, "validation": scored.scorecard.validation}
    for part, card in parts.items():
        for name, value in card.to_dict().items():
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                yield f"{part}_{name}", float(value)


def _begun(server: MlflowServer, experiment: str, tags: Mapping[str, str], created: str) -> str:
    document = {
        "experiment_id": experiment,
        "start_time": _milliseconds(created),
        "run_name": tags["mlflow.runName"],
        "tags": [{"key": name, "value": value} for name, value in tags.items()],
    }
    return str(server.ask("runs/create", document)["run"]["info"]["run_id"])


def _ended(server: MlflowServer, run: str, created: str) -> None:
    server.ask("runs/update", {"run_id": run, "status": "FINISHED", "end_time": _milliseconds(created)})


def _milliseconds(stamp: str) -> int:
    return int(datetime.fromisoformat(stamp).timestamp() * 1000)


def _as_object(got: httpx2.Response, address: str) -> dict[str, Any]:
    try:
        document = got.json()
    except ValueError as error:
        raise InputError(f"{address} did not answer with JSON", "is it an MLflow server?") from error
    if not isinstance(document, dict):
        raise InputError(f"{address} did not answer with a JSON object", "is it an MLflow server?")
    return document


def _message(got: httpx2.Response) -> str:
    try:
        document = got.json()
    except ValueError:
        return ""
    return str(document.get("message", ""))[:200] if isinstance(document, dict) else ""
