"""The page of what was admitted: its state on the bars since, its history, and what verdicts were worth."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from agent.evidence.earned_later import verdict_calibration
from agent.evidence.watching import FALSE_ALARM_YEARS
from agent.web.site import site_of

router = APIRouter()
_MOST = 500
_ORDER = ("failing", "aging", "fresh", "not watched")


@router.get("/watch")
def watched(request: Request) -> HTMLResponse:
    """Show the newest state of all that is watched, the worst first, and how many earned that were admitted."""
    site = site_of(request)
    with site.workspace.knowledge() as knowledge:
        records = knowledge.watches()
    return site.page(
        "watch.html",
        "watch",
        records=sorted(records, key=lambda one: (_ORDER.index(one.state), one.data, one.subject))[:_MOST],
        hidden=max(0, len(records) - _MOST),
        worth=verdict_calibration(records),
        years=FALSE_ALARM_YEARS,
    )


@router.get("/watch/{subject}")
def history(request: Request, subject: str) -> HTMLResponse:
    """Show every state that a factor or pool was found in."""
    site = site_of(request)
    with site.workspace.knowledge() as knowledge:
        pool = knowledge.find_pool(subject)
        known = pool.id if pool is not None else knowledge.get_factor(subject).factor_id
        lines = knowledge.watch_history(known)
    name = pool.name if pool is not None else known
    return site.page("watch_history.html", "watch", subject=known, name=name, is_pool=pool is not None, lines=lines)
