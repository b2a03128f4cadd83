"""Pages of runs: the one under way, live; starting, stopping and going on; and what was run before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from agent.knowledge.attempt_figures import reasons_of, train_of, verdict_of
from agent.knowledge.listing import list_numbered
from agent.study.workspace import Workspace
from agent.web.event_stream import stream_events
from agent.web.run_processes import (
    StartedRun,
    ask_to_stop,
    clear_stop,
    start_process,
    started_run,
    started_runs,
    under_way,
)
from agent.web.run_state import net_of, read_state
from agent.web.site import FormFields, Site, site_of
from market.errors import InputError

router = APIRouter()
_SHOWN_RUNS = 30
# What the form of a new run asks, and the option that says it.
_OPTIONS = {
    "data": "--data",
    "model": "--model",
    "base_url": "--base-url",
    "rounds": "--rounds",
    "candidates": "--candidates",
    "seed": "--seed",
    "budget_usd": "--budget-usd",
    "budget_tokens": "--budget-tokens",
    "budget_calls": "--budget-calls",
    "budget_minutes": "--budget-minutes",
    "type": "--type",
    "lookback": "--lookback",
    "context": "--context",
    "fields": "--fields",
}


@router.get("/")
def now(request: Request) -> HTMLResponse:
    """Show the run under way, or the form of a new one; then the runs before."""
    site = site_of(request)
    running = under_way(site.workspace)
    ended = started_runs(site.workspace)[:1] if running is None else []
    shown = running or (ended[0] if ended else None)
    state, end = read_state(shown.lines()) if shown is not None else (None, 0)
    with site.workspace.listing() as listing:
        runs = listing.runs()[: -_SHOWN_RUNS - 1 : -1]
    return site.page(
        "now.html",
        "now",
        running=running is not None,
        started=shown,
        state=state,
        figures=None if state is None else state.figures(),
        net_of=net_of,
        end=end,
        words=shown.last_words() if running is None and shown is not None and state and state.summary is None else "",
        stopping=(site.workspace.root / "STOP").exists(),
        runs=runs,
        data_names=site.workspace.data_names(),
        loop=site.workspace.settings.loop,
    )


@router.post("/runs/confirm")
def confirm(request: Request, form: FormFields) -> HTMLResponse:
    """Say what a run would take, and ask whether to start it."""
    site = site_of(request)
    arguments = _arguments(form)
    return site.page(
        "confirm.html",
        "now",
        fields={name: value for name, value in form.items() if value},
        command=" ".join(["alphaglow", *(f'"{one}"' if " " in one else one for one in arguments)]),
        most=_most(site, form),
        simulated=form.get("llm", "mock") == "mock",
        bounded=any(form.get(name) for name in ("budget_usd", "budget_tokens", "budget_calls", "budget_minutes")),
    )


@router.post("/runs/start")
def start(request: Request, form: FormFields) -> Response:
    """Start a run as a process of its own."""
    start_process(site_of(request).workspace, _arguments(form))
    return RedirectResponse("/", status_code=303)


@router.post("/runs/resume")
def resume(request: Request, form: FormFields) -> Response:
    """Go on with a run that was stopped."""
    workspace = site_of(request).workspace
    with workspace.listing() as listing:
        run = listing.get_run(form.get("run", ""))
    arguments = ["mine", "--resume", run.id]
    for name in ("budget_usd", "budget_tokens", "budget_calls", "budget_minutes", "rounds"):
        if form.get(name):
            arguments += [_OPTIONS[name], form[name]]
    start_process(workspace, arguments)
    return RedirectResponse("/", status_code=303)


@router.post("/runs/stop")
def stop(request: Request, form: FormFields) -> Response:
    """Ask the run under way to stop after the calls under way."""
    workspace = site_of(request).workspace
    if under_way(workspace) is None:
        raise InputError("no run that was started here is under way", "load the page again")
    ask_to_stop(workspace)
    return RedirectResponse("/", status_code=303)


@router.get("/runs/{name}/events")
def events(request: Request, name: str, start: int = 0) -> StreamingResponse:
    """Stream the events of a run that was started here."""
    site = site_of(request)
    run = _started(site.workspace, name)
    last = request.headers.get("last-event-id", "")
    begin = int(last) if last.isascii() and last.isdigit() else max(start, 0)

    async def streaming() -> AsyncIterator[str]:
        async for text in stream_events(run, begin):
            if await request.is_disconnected():
                return
            yield text
        clear_stop(site.workspace)

    return StreamingResponse(streaming(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})


@router.get("/attempts/{number}")
def attempt(request: Request, number: int) -> HTMLResponse:
    """Return what writer and judge said of an attempt, as a piece of a page or a page."""
    site = site_of(request)
    with site.workspace.listing() as listing, listing.asking() as ask:
        found = list_numbered(ask, [number])
    if not found:
        raise HTTPException(404)
    one = found[0]
    return site.piece(
        request,
        "attempt.html",
        "now",
        attempt=one,
        verdict=verdict_of(one),
        reasons=reasons_of(one),
        train=None if one.evaluation is None else train_of(one),
    )


def _started(workspace: Workspace, name: str) -> StartedRun:
    run = started_run(workspace, name)
    if run is None:
        raise HTTPException(404)
    return run


def _arguments(form: Mapping[str, str]) -> list[str]:
    """Return the command line that a form asks for; the command itself checks what it says."""
    llm = form.get("llm", "mock")
    arguments = ["mine", "--llm", llm]
    for name, option in _OPTIONS.items():
        value = form.get(name, "").strip()
        if value:
            # With "=", a value that begins with a hyphen is no option.
            arguments.append(f"{option}={value}")
    if form.get("no_judge") == "1":
        arguments.append("--no-judge")
    if form.get("no_gate") == "1":
        arguments.append("--no-gate")
    return arguments


def _most(site: Site, form: Mapping[str, str]) -> str:
    """Say in one sentence what a run may take at most, by its rounds, candidates and turns."""
    loop = site.workspace.settings.loop
    rounds = _whole(form, "rounds", loop.rounds)
    candidates = _whole(form, "candidates", loop.candidates)
    judged = 1 if form.get("no_judge") == "1" or not loop.judge else 2
    usual, most = round(judged * 1.5 * rounds * candidates), 2 * judged * loop.turns * rounds * candidates
    return (
        f"{rounds} rounds of {candidates} candidates: {rounds * candidates} backtests, about {usual} calls of a model, "
        f"at most {most}."
    )


def _whole(form: Mapping[str, str], name: str, default: int) -> int:
    text = form.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) <= 100_000:
        raise InputError(f"{name} = {text[:40]!r} is no number from 1 to 100 000", "say a whole number")
    return int(text)
