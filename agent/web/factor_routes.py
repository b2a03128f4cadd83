"""Pages of factors: all of them a page at a time, one with its curves and its family, and what people say of it."""

from __future__ import annotations

import getpass
import math
from pathlib import Path
from typing import cast
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response

from agent.knowledge.attempt_figures import reasons_of, train_of, verdict_of
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.listing import which_factor
from agent.knowledge.remarks import Remark, RemarkKind
from agent.study.workspace import Workspace
from agent.web.factor_family import find_family
from agent.web.factor_search import SORTS, VERDICTS, FactorSearch, find_factors, names_to_choose
from agent.web.guard import REPORT_POLICY
from agent.web.site import FormFields, site_of
from backtest.rule_words import rule_sentence

router = APIRouter()
_MOST_COMPARED = 4


@router.get("/factors")
def factors(request: Request) -> HTMLResponse:
    """Show one page of the factors that were looked for."""
    site = site_of(request)
    search = FactorSearch.of(request.query_params)
    with site.workspace.knowledge() as knowledge:
        found = find_factors(knowledge, search)
        with knowledge.asking() as ask:
            data, runs = names_to_choose(ask)
        ids = sorted({a.factor_id for a in found.attempts if a.factor_id})
        decided, tags = knowledge.decisions(ids), knowledge.tags()
    return site.page(
        "factors.html",
        "factors",
        search=search,
        found=found,
        rows=[(a, verdict_of(a), train_of(a)) for a in found.attempts],
        decided=decided,
        verdicts=VERDICTS,
        sorts=tuple(SORTS),
        data=data,
        runs=runs,
        tags=tags,
    )


@router.get("/factors/{factor_id}")
def factor(request: Request, factor_id: str, beside: str = "") -> HTMLResponse:
    """Show one factor: verdict, curves, family, and what models and people said of it."""
    site = site_of(request)
    with site.workspace.knowledge() as knowledge:
        record = knowledge.get_factor(factor_id)
        one = record.attempt
        run = knowledge.get_run(one.run_id)
        remarks = knowledge.remarks(record.factor_id)
        decided = knowledge.decisions([record.factor_id]).get(record.factor_id, "")
        openings = [x.sentence() for x in knowledge.holdout_openings(record.factor_id, run.panel_id)]
        later = knowledge.later_verdicts().get(one.id)
        watched = knowledge.watch_history(record.factor_id)
        others = _others(knowledge, beside, record.factor_id)
        above, below = find_family(knowledge, one)
    card = None if one.evaluation is None else one.evaluation.scorecard
    return site.page(
        "factor.html",
        "factors",
        record=record,
        attempt=one,
        run=run,
        verdict=verdict_of(one),
        later="" if later is None else later.sentence(),
        reasons=reasons_of(one),
        card=card,
        rule="" if card is None else rule_sentence(card),
        above=above,
        below=below,
        tags=[x for x in remarks if x.kind == "tag"],
        said=[x for x in remarks if x.kind != "tag"],
        decided=decided,
        openings=openings,
        watched=watched[-1].sentence() if watched else "",
        beside=others,
        curves=" ".join(f"/curves/{quote(x)}" for x in (record.factor_id, *others)),
    )


@router.get("/compare")
def compare(request: Request) -> HTMLResponse:
    """Show some factors side by side, with their curves on one axis."""
    site = site_of(request)
    asked = list(dict.fromkeys(request.query_params.getlist("id")))[: _MOST_COMPARED + 1]
    with site.workspace.knowledge() as knowledge:
        found = [knowledge.get_factor(one).attempt for one in asked]
    cards = [one for one in found if one.evaluation is not None and one.factor_id]
    return site.page(
        "compare.html",
        "factors",
        cards=cards,
        curves=" ".join(f"/curves/{quote(one.factor_id or '')}" for one in cards),
    )


def _others(knowledge: KnowledgeBase, beside: str, own: str) -> list[str]:
    """Return the ids of the factors to draw beside one: each must be there."""
    asked = [part for part in beside.replace(",", " ").split() if part][:_MOST_COMPARED]
    with knowledge.asking() as ask:
        return [one for one in dict.fromkeys(which_factor(ask, part) for part in asked) if one != own]


@router.get("/curves/{factor_id}")
def curves(request: Request, factor_id: str) -> JSONResponse:
    """Return the curves of a factor."""
    site = site_of(request)
    return JSONResponse(site.series.curves(site.workspace, factor_id))


@router.get("/reports/{what}")
def report(request: Request, what: str) -> Response:
    """Return the written report of a run, a factor or a pool, made where it is not there yet."""
    from agent.review.collect import report_on
    from agent.review.collect_pool import report_on_pool

    site = site_of(request)
    with site.workspace.knowledge() as knowledge:
        run = knowledge.find_run(what)
        pool = knowledge.get_pool(what) if what.startswith("pool:") else None
        named = run or pool
        known = knowledge.get_factor(what).factor_id if named is None else named.id
        path = site.workspace.root / "reports" / f"{known.replace(':', '-')}.html"
        # What was written before the base changed may say an earlier verdict.
        if not path.is_file() or path.stat().st_mtime < _changed(site.workspace):
            if pool is not None:
                path = report_on_pool(site.workspace, knowledge, pool)
            else:
                path = report_on(site.workspace, knowledge, known, data=None, output=None)
    return FileResponse(path, media_type="text/html", headers={"content-security-policy": REPORT_POLICY})


def _changed(workspace: Workspace) -> float:
    """Return when the knowledge base was written last; of one on a server that is not known: just now."""
    place = Path(workspace.knowledge_place)
    files = [path for path in (place, place.with_name(f"{place.name}-wal")) if path.is_file()]
    return max((path.stat().st_mtime for path in files), default=math.inf)


@router.post("/factors/{factor_id}/remarks")
def remark(request: Request, factor_id: str, form: FormFields) -> Response:
    """Keep a note, a tag, or a decision by hand."""
    site = site_of(request)
    with site.workspace.knowledge() as knowledge:
        known = knowledge.get_factor(factor_id).factor_id
        if form.get("kind") == "untag":
            knowledge.remove_tag(known, form.get("text", ""))
        else:
            author = form.get("author", "").strip()[:60] or getpass.getuser()
            knowledge.add_remark(Remark(known, cast("RemarkKind", form.get("kind", "")), form.get("text", ""), author))
    return RedirectResponse(f"/factors/{quote(known)}", status_code=303)
