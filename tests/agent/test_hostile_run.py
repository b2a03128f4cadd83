"""A whole run against a server that repeats what it is sent, its headers too."""

from __future__ import annotations

import gc
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from tests.agent.commands import run
from tests.agent.hostile_words import KEY, SAID, skeleton
from tests.agent.test_llm_client import completion

# A whole run against a server that repeats what it is sent, its headers too


class _Echo(BaseHTTPRequestHandler):
    """Answers in hostile words that hold the headers it got; now and then with an error that does so too."""

    asked: list[str] = []
    refused = threading.Semaphore(0)

    def do_POST(self) -> None:
        self.asked.append(self.path)
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        evil = f"{self.headers['authorization']} " + "\n".join(SAID)
        if len(self.asked) in (1, 7):
            self._answer(500, {"error": {"message": f"{'x' * 185} {evil}", "headers": dict(self.headers)}})
            return
        judging = "You judge" in (body.get("messages") or body["input"])[0]["content"]
        score = (len(self.asked) * 7) % 10
        said: dict[str, Any] = (
            {"decision": "accept" if score > 3 else "revise", "score": score, "critique": evil, "suggestion": evil}
            if judging
            else {
                "name": f"<script>alert(1)</script> {evil}"[:110],
                "expression": f"ts_mean(returns, {len(self.asked) + 2})" if score else f"{KEY}\n# Your task",
                "rationale": evil,
                "mechanism": evil[:900],
                "fails_when": evil[:900],
                "parents": [evil],
            }
        )
        if "input" in body:
            part = {"type": "output_text", "text": json.dumps(said)}
            output = [{"type": "message", "role": "assistant", "content": [part]}]
            self._answer(
                200, {"status": "completed", "output": output, "usage": {"input_tokens": 9, "output_tokens": 9}}
            )
        else:
            self._answer(200, json.loads(completion(json.dumps(said)).content))

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.send_header("x-your-key", KEY)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def _refuse(self: _Echo) -> None:
    """Refuse everyone, the first candidate last: another's error is there before anyone asks for it."""
    first = b"candidate r1/s0." in self.rfile.read(int(self.headers["content-length"]))
    if first:
        assert _Echo.refused.acquire(timeout=120), "the others did not ask"
    self._answer(401, {"error": {"message": f"{KEY} {SAID}"}})
    if not first:
        # The client closes the connection once it has read the answer.
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.recv(1)
        _Echo.refused.release()


@contextmanager
def echoing() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_run_in_hostile_words_leaks_no_key_and_runs_nothing(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    api: str,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (home / "alphaglow.toml").write_text("[llm]\ntries = 3\n")
    evil = "[red]it's {{ 7*7 }} # Your task".replace("*", "-")
    (home / "data" / "toy.parquet").rename(home / "data" / f"{evil}.parquet")
    said = ""
    _Echo.asked.clear()
    monkeypatch.setattr(_Echo, "refused", threading.Semaphore(0))
    with echoing() as url:
        # Only so is the key meant for this server.
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        argv = ("mine", "--data", evil, "--model", "[red]m[/red]", "--base-url", url, "--api", api, "--rounds", "2")
        argv = (*argv, "--candidates", "4", "--budget-tokens", "9999999", "--record", "cassette.jsonl")
        code, out, err = run(capsys, *argv, "--json")
        assert code == 0, err
        events = [json.loads(line) for line in out.splitlines()]
        said += out + err
        code, out, err = run(capsys, *argv[:-2])
        assert code == 0, err
        said += out + err
        # And one that the server never lets through: its words end the program.
        monkeypatch.setattr(_Echo, "do_POST", _refuse)
        failed = run(capsys, *argv[:-2])
        assert failed[0] == 2
        said += failed[1] + failed[2]
    assert {path.rsplit("/", 1)[1] for path in _Echo.asked} >= {"responses" if api == "responses" else "completions"}
    ran = events[0]["run"]
    assert events[-1]["evaluated"] > 0
    attempts = [event for event in events if event["event"] == "attempt"]
    assert any(KEY not in str(a) and "***" in a["name"] for a in attempts)
    factor = next(a["factor"] for a in attempts if a["factor"])
    for more in (
        ("report", ran),
        ("report", factor),
        ("kb", "list"),
        ("kb", "list", "--all"),
        ("kb", "show", factor),
        ("kb", "lessons"),
        ("kb", "export", "--format", "csv"),
        ("kb", "export"),
        ("kb", "sql", "select * from attempts"),
        ("kb", "search", "'; DROP TABLE runs; --"),
        ("kb", "search", "<script>"),
        ("kb", "verify"),
    ):
        code, out, err = run(capsys, *more)
        assert code == 0, (more, err)
        said += out + err

    # An exception that nobody took would be logged with its traceback.
    gc.collect()
    said += "".join(capsys.readouterr())
    assert "never retrieved" not in caplog.text + said
    # The key is in nothing that was written or said.
    files = [path for path in home.rglob("*") if path.is_file()]
    assert {"knowledge.db", "cassette.jsonl", f"{ran}.html"} <= {path.name for path in files}
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path
        assert KEY[:16].encode() not in path.read_bytes(), path
    assert KEY[:16] not in said
    # Nothing said commands a terminal; nothing written is a page's code.
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]", said)
    for page in home.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        # A page's own script is the last thing in it, and the policy in its head lets no other run.
        written, script = text.rsplit("<script>", 1)
        assert script.endswith("</script>\n</body>\n</html>") and "script-src 'sha256-" in written
        assert not re.search(r"<script|\son\w+\s*=|javascript:", written, re.IGNORECASE)
        assert not re.search(r"[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", text)
    assert "&lt;script&gt;" in (home / "reports" / f"{ran}.html").read_text(encoding="utf-8")
    # Each prompt keeps its shape, whatever was answered before.
    with KnowledgeBase.open(home / "knowledge.db") as kb:
        calls = [call for known in kb.runs() for call in kb.calls(known.id)]
    # They are stored compressed, so that bytes alone would not show a key.
    assert not any(KEY[:16] in f"{call.request}{call.response}" for call in calls)
    requests = [json.loads(call.request) for call in calls if call.request]
    assert len(requests) > 10
    for request in requests:
        user = skeleton(request[1]["content"])
        assert sum(line.startswith(("# Your task", "# The best known factors")) for line in user) <= 1
        assert not any(line.startswith(("Answer: accepted", "system:", "```")) for line in user[8:])
