"""Pages of what was learned and what it cost: lessons, the judge, luck, spending, and signals on paper."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse

from agent.web.site import site_of

router = APIRouter()
_LESSONS, _ATTEMPTS, _FILLS = 60, 5_000, 30


@router.get("/knowledge")
def knowledge(request: Request) -> HTMLResponse:
    """Show the lessons that stand, and what the judge's forecasts were worth over the newest attempts."""
    from agent.mining.judge_skill import judge_skill
    from agent.mining.lesson_subjects import latest

    site = site_of(request)
    with site.workspace.knowledge() as base:
        panels = {one.id: one.panel_id for one in base.runs()}
        lessons = latest(base.lessons(limit=None), panels)[:_LESSONS]
        with base.asking() as ask:
            counted = [
                (str(row[0]), int(row[1]), int(row[2] or 0))
                for row in ask(
                    "SELECT d.name, sum(t.attempts), sum(t.scored) FROM tallies t "
                    "JOIN datasets d ON d.panel_id = t.panel_id GROUP BY d.name ORDER BY d.name",
                    {},
                )
            ]
        runs = base.runs()
        skill = judge_skill(base.attempts(run_id=runs[-1].id)) if runs else None
    return site.page(
        "knowledge.html",
        "knowledge",
        lessons=lessons,
        counted=counted,
        skill=skill,
        newest=runs[-1].id if runs else "",
        runs=runs[: -_LESSONS - 1 : -1],
    )


@router.get("/luck/{run_id}")
def luck(request: Request, run_id: str) -> HTMLResponse:
    """Evaluate the factors of a run together, as a piece of a page or a page; it takes a while."""
    from agent.evidence.run_luck import DISCOVERY, evaluate_run, open_for_luck

    site = site_of(request)
    with site.workspace.knowledge() as base:
        run = base.get_run(run_id)
        attempts = base.attempts(run_id=run.id)
    found = evaluate_run(attempts, open_for_luck(site.workspace, run))
    return site.piece(request, "luck.html", "knowledge", found=found, run=run, discovery=f"{DISCOVERY:g}")


@router.get("/spend")
def spend(request: Request) -> HTMLResponse:
    """Show what runs took, by run, agent and model; a cost that is not known is said to be unknown."""
    site = site_of(request)
    with site.workspace.knowledge() as base, base.asking() as ask:
        rows = ask(
            "SELECT c.run_id, r.created, c.role, c.model, count(*), sum(coalesce(c.prompt_tokens, 0)), "
            "sum(coalesce(c.completion_tokens, 0)), sum(CASE WHEN c.cost_usd IS NULL THEN 1 ELSE 0 END), "
            "sum(coalesce(c.cost_usd, 0)), sum(c.latency_s) FROM llm_calls c JOIN runs r ON r.id = c.run_id "
            "GROUP BY c.run_id, r.seq, r.created, c.role, c.model ORDER BY r.seq DESC, c.role LIMIT 400",
            {},
        )
    lines: list[dict[str, Any]] = [
        {
            "run": row[0],
            "created": row[1],
            "role": row[2],
            "model": row[3],
            "calls": int(row[4]),
            "prompt": int(row[5]),
            "reply": int(row[6]),
            "cost": None if int(row[7]) else float(row[8]),
            "seconds": float(row[9]),
        }
        for row in rows
    ]
    known = [line["cost"] for line in lines]
    total = None if any(cost is None for cost in known) else sum(known)
    return site.page("spend.html", "spend", lines=lines, total=total)


@router.get("/live")
def live(request: Request) -> HTMLResponse:
    """Show the paper ledgers: weights now and why, and what was filled last."""
    from agent.live.signal_journal import FILE, SignalJournal

    site = site_of(request)
    path = site.workspace.root / FILE
    ledgers: list[dict[str, Any]] = []
    if path.is_file():
        journal = SignalJournal.open(path)
        try:
            for one in journal.ledgers():
                name = str(one["id"])
                newest = journal.last(name)
                document = {} if newest is None else dict(newest.document)
                ledgers.append(
                    {
                        **one,
                        "newest": None if newest is None else str(newest.time)[:16],
                        "document": document,
                        "fills": journal.fills(name, _FILLS),
                        "paid": len(journal.equity(name)),
                    }
                )
        finally:
            journal.close()
    return site.page("live.html", "live", ledgers=ledgers)


@router.get("/curves/ledger/{name}")
def ledger_curve(request: Request, name: str) -> JSONResponse:
    """Return a ledger's capital over time."""
    import numpy as np

    from agent.live.signal_journal import FILE, SignalJournal

    site = site_of(request)
    path = site.workspace.root / FILE
    paid: list[dict[str, Any]] = []
    if path.is_file():
        journal = SignalJournal.open(path)
        try:
            paid = journal.equity(name)
        finally:
            journal.close()
    times = [int(np.datetime64(row["time"], "s").astype(np.int64)) for row in paid]
    return JSONResponse(
        {
            "name": name,
            "times": times,
            "curves": [
                {"key": "net", "label": "capital on paper", "values": [float(row["equity"]) - 1.0 for row in paid]}
            ],
            "gate": None,
            "spans": {},
            "sentence": "" if paid else "No decision has been paid yet.",
        }
    )
