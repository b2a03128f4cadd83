"""The pages of `alphaglow ui`: what they show, who may ask, and what a form may do."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from agent.drawing.axes import format_number as number
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.remarks import Remark
from agent.study.workspace import Workspace
from agent.web.event_stream import stream_events
from agent.web.factor_search import FactorSearch, find_factors
from agent.web.guard import Access
from agent.web.run_processes import StartedRun, started_run
from agent.web.run_state import read_state
from backtest.trade_figures import total_return
from market.errors import InputError
from tests.agent.commands import prepare, refused
from tests.agent.web_client import Browser, text_of


@pytest.fixture(scope="module")
def mined(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one run of the mock."""
    folder = tmp_path_factory.mktemp("web") / "w"
    shutil.copytree(prepared, folder)
    place = str(folder)
    prepare("-w", place, "mine", "--llm", "mock", "--rounds", "2", "--candidates", "4", "--no-gate")
    return folder


@pytest.fixture
def browser(mined: Path) -> Browser:
    return Browser(mined)


def best_of(home: Path) -> str:
    with KnowledgeBase.open(home / "knowledge.db") as kb:
        return next(a.factor_id for a in kb.attempts() if a.evaluation is not None and a.factor_id)


def test_every_page_of_the_menu_opens_and_says_where_it_is(browser: Browser) -> None:
    menu = re.findall(r'<a href="(/[a-z]*)"(?: aria-current="page")?>', browser.get("/").text)
    assert len(menu) >= 8
    for address in dict.fromkeys(menu):
        answer = browser.get(address)
        assert answer.status_code == 200, address
        if address != "/":
            assert f'<a href="{address}" aria-current="page">' in answer.text
        # Nothing that a browser would run, and no style, stands in a page.
        assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=", answer.text), address


def test_answers_forbid_what_pages_do_not_need(browser: Browser) -> None:
    headers = browser.get("/").headers
    policy = headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    report = browser.get(f"/reports/{best_of(browser.app.state.site.workspace.root)}")
    assert report.status_code == 200
    assert "script-src" not in report.headers["content-security-policy"]
    assert "default-src 'none'" in report.headers["content-security-policy"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", ""])
def test_a_page_elsewhere_that_points_here_is_not_answered(browser: Browser, host: str) -> None:
    answer = browser.get("/", host=host)
    assert answer.status_code == 421
    assert "alphaglow_run" not in answer.text


def test_a_form_is_taken_from_our_own_pages_alone(browser: Browser) -> None:
    good = browser.access.form_token
    mine = {"origin": f"http://{browser.host}"}
    for headers, token in (({"origin": "http://evil.example"}, good), ({}, good), (mine, "wrong"), (mine, "")):
        answer = browser.ask("POST", "/runs/start", headers, f"form_token={token}&llm=mock")
        assert answer.status_code == 403
    assert not list((browser.app.state.site.workspace.root / "runs").glob("ui-*"))
    assert browser.ask("POST", "/runs/start", mine, "a=" + "x" * 100_000).status_code == 413


def test_another_address_wants_the_token_once(mined: Path) -> None:
    browser = Browser(mined, Access(("192.0.2.7", "127.0.0.1"), token="sesame"))
    assert browser.get("/").status_code == 401
    assert browser.get("/?token=wrong").status_code == 401
    assert browser.get("/static/app.css").status_code == 401
    first = browser.get("/?token=sesame")
    assert first.status_code == 200
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert browser.get("/factors", cookie=cookie.split(";")[0]).status_code == 200


def test_a_server_that_only_shows_writes_nothing(mined: Path) -> None:
    browser = Browser(mined, Access(read_only=True))
    factor = best_of(mined)
    assert browser.post(f"/factors/{factor}/remarks", kind="note", text="no").status_code == 403
    assert browser.post("/runs/start", llm="mock").status_code == 403
    assert "Keep it" not in browser.get(f"/factors/{factor}").text
    assert "What would it take?" not in browser.get("/").text


def test_a_factor_is_found_searched_sorted_and_turned_by_pages(mined: Path, browser: Browser) -> None:
    with KnowledgeBase.open(mined / "knowledge.db") as kb:
        scored = [a for a in kb.attempts() if a.evaluation is not None]
        refused_ones = [a for a in kb.attempts() if a.evaluation is None]
        assert [a.id for a in find_factors(kb, FactorSearch()).attempts] == [a.id for a in scored[::-1]]
        every = find_factors(kb, FactorSearch(refused=True, sort="oldest"))
        assert [a.id for a in every.attempts] == sorted(a.id for a in (*scored, *refused_ones))
        by_score = find_factors(kb, FactorSearch(sort="predicts")).attempts
        tests = [a.evaluation.evidence.predicts for a in by_score if a.evaluation is not None]
        scores = [test.z for test in tests if test.decided_on != "train"]
        assert scores == sorted(scores, reverse=True)
        # What train alone refused was never tested on what it is compared by: it comes last.
        assert all(test.decided_on == "train" for test in tests[len(scores) :])
        one = scored[0]
        word = (one.canonical or "").split("(")[0].strip("-")
        hits = find_factors(kb, FactorSearch(words=word)).attempts
        assert one.id in [a.id for a in hits]
        assert all(word in (a.canonical or a.text).lower() or word in a.name.lower() for a in hits)
        assert find_factors(kb, FactorSearch(words="%")).count == 0
        assert find_factors(kb, FactorSearch(words="no_such_thing")).attempts == ()
        for verdict in ("accepted", "promising", "untested", "rejected"):
            found = find_factors(kb, FactorSearch(verdict=verdict)).attempts
            wanted = [a for a in scored if a.evaluation is not None and a.evaluation.verdict == verdict]
            assert sorted(a.id for a in found) == sorted(a.id for a in wanted)
        assert find_factors(kb, FactorSearch(run="nobody")).count == 0
    page = text_of(browser.get("/factors?sort=predicts&refused=1&page=1"))
    assert f"{len(scored) + len(refused_ones)} found" in page
    assert browser.get("/factors?page=x&sort=;drop&verdict='&words=%27%22").status_code == 200


def test_a_factor_page_has_what_the_base_has_and_curves_end_before_the_holdout(mined: Path, browser: Browser) -> None:
    factor = best_of(mined)
    said = text_of(browser.get(f"/factors/{factor}"))
    with KnowledgeBase.open(mined / "knowledge.db") as kb:
        record = kb.get_factor(factor)
    assert record.canonical in said.replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">").replace(
        "&amp;", "&"
    )
    drawn = browser.get(f"/curves/{factor}").json()
    from market.panel_store import load_panel

    panel = load_panel(mined / "data" / "toy.parquet")
    last = panel.times.astype("datetime64[s]").astype(int)[-1]
    assert drawn["spans"]["train"][1] < drawn["spans"]["validation"][0]
    # The last 15 % of the bars are sealed.
    assert drawn["times"][-1] <= last - 0.14 * (last - drawn["times"][0])
    net = next(curve["values"] for curve in drawn["curves"] if curve["key"] == "net")
    assert len(net) == len(drawn["times"])
    beside = browser.get(f"/compare?id={factor}&id={factor}")
    assert beside.status_code == 200
    assert record.canonical.split("(")[0] in beside.text


def test_what_people_say_is_kept_beside_the_verdict_of_the_tests(mined: Path, browser: Browser) -> None:
    factor = best_of(mined)
    with KnowledgeBase.open(mined / "knowledge.db") as kb:
        before = kb.get_factor(factor).attempt
    for kind, text in (("note", "<b>seen</b>\nin January"), ("tag", "carry"), ("tag", "carry"), ("retire", "crowded")):
        answer = browser.post(f"/factors/{factor}/remarks", kind=kind, text=text, author="Ann")
        assert answer.status_code == 303
    page = browser.get(f"/factors/{factor}").text
    assert "<b>seen</b>" not in page
    assert "&lt;b&gt;seen&lt;/b&gt;" in page
    assert "By hand: retire" in text_of(browser.get(f"/factors/{factor}"))
    with KnowledgeBase.open(mined / "knowledge.db") as kb:
        assert kb.tags() == ["carry"]
        assert kb.decisions([factor]) == {factor: "retire"}
        assert kb.get_factor(factor).attempt == before
        assert [a.factor_id for a in find_factors(kb, FactorSearch(tag="carry")).attempts] == [factor]
        with pytest.raises(InputError, match="says nothing"):
            kb.add_remark(Remark(factor, "accept", "  ", "Ann"))
        with pytest.raises(InputError, match="no kind"):
            kb.add_remark(Remark(factor, "love", "x", "Ann"))  # type: ignore[arg-type]
    assert browser.post(f"/factors/{factor}/remarks", kind="untag", text="carry").status_code == 303
    with KnowledgeBase.open(mined / "knowledge.db") as kb:
        assert kb.tags() == []
    empty = browser.post(f"/factors/{factor}/remarks", kind="accept", text=" ", author="Ann")
    assert empty.status_code == 400
    assert "give a reason" in text_of(empty)


@pytest.mark.parametrize(
    "path",
    [
        "/data/..%2Fknowledge",
        "/written/..%2Fknowledge.db",
        "/written/alphaglow.toml",
        "/runs/..%2F..%2Fetc/events",
        "/runs/ui-20260101000000-1/events",
        "/static/..%2Fsite.py",
        "/attempts/999999",
        "/nowhere",
    ],
)
def test_no_address_leads_out_of_what_is_listed(browser: Browser, path: str) -> None:
    assert browser.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/factors/factor:none", "/reports/none", "/curves/none", "/luck/none", "/pools/none"])
def test_what_is_not_there_is_said_in_a_sentence(browser: Browser, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == 400
    assert "none" in text_of(answer)
    assert "Traceback" not in answer.text


def test_a_data_set_is_checked_on_its_page(browser: Browser) -> None:
    page = text_of(browser.get("/data/toy"))
    assert "bars of 60 minutes" in page
    assert "findings in 30,000 bars" in text_of(browser.get("/data/toy/check"))


def test_a_run_that_is_confirmed_goes_on_by_itself_and_is_seen(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "w")
    browser = Browser(tmp_path / "w")
    form = {"llm": "mock", "data": "toy", "rounds": "1", "candidates": "2", "no_gate": "1", "context": "--help me"}
    asked = browser.post("/runs/confirm", **form)
    assert "1 rounds of 2 candidates: 2 backtests" in text_of(asked)
    assert not list((tmp_path / "w" / "runs").glob("ui-*"))
    assert browser.post("/runs/confirm", **{**form, "rounds": "many"}).status_code == 400
    del form["context"]
    assert browser.post("/runs/start", **form).status_code == 303
    (log,) = (tmp_path / "w" / "runs").glob("ui-*.jsonl")
    run = started_run(Workspace(tmp_path / "w"), log.stem)
    assert run is not None
    second = browser.post("/runs/start", **form)
    if second.status_code == 400:
        assert "is under way" in text_of(second)
    else:
        assert second.status_code == 303
    # The events are streamed until the run has ended, and again from where a browser was cut off.
    streamed = browser.get(f"/runs/{log.stem}/events").text
    assert "event: summary" in streamed
    assert streamed.rstrip().splitlines()[-2] == "event: ended"
    ids = re.findall(r"^id: (\d+)$", streamed, re.MULTILINE)
    again = browser.ask("GET", f"/runs/{log.stem}/events", {"last-event-id": ids[-2]}).text
    assert [line for line in again.splitlines() if line.startswith("event: ")] == [
        "event: summary",
        "event: state",
        "event: ended",
    ]
    # What the page shows at its end is what the stream said last.
    shown = json.loads(streamed.split("event: state\ndata: ")[-1].split("\n")[0])
    state, behind = read_state(run.lines())
    assert (state.done, state.candidates, state.summary is not None) == (2, 2, True)
    assert shown == state.figures()
    assert shown["done"] == 2
    assert behind == log.stat().st_size
    assert not run.alive()
    page = text_of(browser.get("/"))
    assert f"Run {state.run} ended" in page


def test_a_stop_is_asked_by_the_file_that_every_run_heeds(
    mined: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert browser.post("/runs/stop").status_code == 400
    assert not (mined / "STOP").exists()
    monkeypatch.setattr("agent.web.run_routes.under_way", lambda _w: object())
    assert browser.post("/runs/stop").status_code == 303
    assert (mined / "STOP").exists()
    (mined / "STOP").unlink()


def test_half_a_line_is_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "ui-20260101000000-1.jsonl"
    log.write_text(json.dumps({"event": "note", "text": "one"}) + "\n" + '{"event": "no')
    run = StartedRun(log.stem, log, tmp_path / "err", 2**22 + 1)
    assert [json.loads(line)["text"] for _, line in run.lines()] == ["one"]


def test_a_name_of_an_event_cannot_break_the_stream(tmp_path: Path) -> None:
    import asyncio

    log = tmp_path / "ui-20260101000000-1.jsonl"
    log.write_text(json.dumps({"event": "note\ndata: x", "text": "a\n\nevent: ended"}) + "\nnot json\n")
    run = StartedRun(log.stem, log, tmp_path / "err", 2**22 + 1)

    async def taken() -> list[str]:
        return [text async for text in stream_events(run)]

    kinds = [line for text in asyncio.run(taken()) for line in text.splitlines() if line.startswith("event: ")]
    assert kinds == ["event: note", "event: note", "event: state", "event: ended"]


def test_a_taken_port_is_refused_in_a_sentence(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"--port {port + 1}" in refused(capsys, "ui", "--port", str(port))


def test_an_address_can_ask_only_for_what_there_is() -> None:
    search = FactorSearch.of({"page": "3", "words": "x" * 500, "verdict": "loved", "sort": "random"})
    assert (search.page, len(search.words), search.verdict, search.sort) == (3, 200, "", "newest")
    assert FactorSearch.of({"page": "99999999999"}).page <= 400
    assert FactorSearch.of({"page": "-1"}).page == FactorSearch.of({"page": "\u0663"}).page == 1
    there_and_back = FactorSearch(words="a b", verdict="accepted", refused=True, page=2)
    assert FactorSearch.of(dict(parse_qsl(there_and_back.address().partition("?")[2]))) == there_and_back


def test_a_pool_has_its_curves_a_total_return_and_its_report(mined: Path) -> None:
    prepare(
        "-w", str(mined), "pool", "fit", "--data", "toy", "--members", "scored", "--method", "equal", "--name", "p1"
    )
    browser = Browser(mined)
    with KnowledgeBase.open(mined / "knowledge.db") as kb:
        pool = kb.get_pool("p1")
    for page in (f"/pools/{pool.id}", "/pools"):
        total = number(total_return(pool.scorecard.validation, pool.scorecard.bars_per_year), "percent")
        assert total.replace("\u202f", " ") in text_of(browser.get(page)), page
    assert "Total return, net" in browser.get(f"/factors/{best_of(mined)}").text
    found = browser.get(f"/curves/{pool.id}").json()
    assert [one["label"] for one in found["curves"]] == ["this pool", "best member on train"]
    net = found["curves"][0]["values"]
    assert len(net) == len(found["times"]) and net[-1] is not None
    assert found["times"][-1] == found["spans"]["validation"][1]
    assert "What each member adds" in browser.get(f"/reports/{pool.id}").text


def test_what_our_script_puts_into_a_page_is_a_page_without_it(mined: Path, browser: Browser) -> None:
    with KnowledgeBase.open(mined / "knowledge.db") as kb:
        attempt = next(a.id for a in kb.attempts())
        run = kb.runs()[-1].id
    for address in (f"/attempts/{attempt}", "/data/toy/check", f"/luck/{run}"):
        whole, piece = browser.get(address).text, browser.get(address, **{"hx-request": "true"}).text
        assert whole.startswith("<!DOCTYPE html>") and "<h1>" in whole, address
        assert "<html" not in piece and "<nav" not in piece, address
        assert piece.strip()
    # Each is reached by a link, which works in every browser.
    for page in ("/", "/data/toy", "/knowledge"):
        text = browser.get(page).text
        for target in re.findall(r'hx-get="([^"]+)"', text):
            assert f'href="{target}"' in text, page


def test_no_time_is_shown_with_a_letter_between_day_and_hour(browser: Browser) -> None:
    for page in ("/", "/data", "/data/toy", "/data/toy/check", "/knowledge", "/spend", "/live"):
        assert not re.search(r"\d{4}-\d\d-\d\dT\d\d", text_of(browser.get(page))), page
