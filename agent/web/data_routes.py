"""Pages of what is worked on: data sets and their health, the flow and its gate, and pools of factors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse

from agent.study.gates import gate_path
from agent.study.workspace import Workspace
from agent.web.factor_series import plain_values, thinned
from agent.web.guard import REPORT_POLICY
from agent.web.site import site_of
from market.manifest import read_manifest
from market.panel_facts import describe_panel
from market.panel_store import load_panel

router = APIRouter()
_SHOWN_ASSETS, _SHOWN_FINDINGS = 25, 60


@router.get("/data")
def data(request: Request) -> HTMLResponse:
    """Show every data set: where it came from, and whether a gate was fitted on it."""
    site = site_of(request)
    sets = []
    for name in site.workspace.data_names():
        path = site.workspace.data_path(name)
        sets.append((name, read_manifest(path), gate_path(site.workspace, name).is_file()))
    return site.page("data.html", "data", sets=sets)


@router.get("/data/{name}")
def data_set(request: Request, name: str) -> HTMLResponse:
    """Show what a data set holds, its gaps, and what funding covers."""
    site = site_of(request)
    path = _known(site.workspace, name)
    panel = load_panel(path)
    facts: dict[str, Any] = describe_panel(panel, name)
    holed = sorted(facts["per_asset"], key=lambda row: -int(row["missing_inside"]))
    cover = []
    for field in sorted(set(panel.fields) - {"open", "high", "low", "close", "volume", "vwap", "amount", "returns"}):
        known, priced = np.isfinite(panel[field]), np.isfinite(panel["close"])
        cover.append((field, float(known[priced].mean()) if priced.any() else math.nan, int(known.any(axis=0).sum())))
    return site.page(
        "data_set.html",
        "data",
        name=name,
        facts=facts,
        manifest=read_manifest(path),
        assets=holed[:_SHOWN_ASSETS],
        hidden=max(0, len(holed) - _SHOWN_ASSETS),
        cover=cover,
    )


@router.get("/data/{name}/check")
def check(request: Request, name: str) -> HTMLResponse:
    """Run the checks over a data set, and show what they found, worst first, as a piece of a page or a page."""
    from market.checks.source import check_file

    site = site_of(request)
    report, _ = check_file(_known(site.workspace, name))
    hidden = max(0, len(report.findings) - _SHOWN_FINDINGS)
    shown = [(x.severity, x.kind, x.asset, str(x.start)[:16], x.sentence) for x in report.findings[:_SHOWN_FINDINGS]]
    facts = {"name": name, "findings": shown, "hidden": hidden, "bars": report.bars}
    return site.piece(request, "check.html", "data", **facts)


@router.get("/flow")
def flow(request: Request) -> HTMLResponse:
    """Show which data sets have a flow, its regimes, and the pages that the flow's commands wrote."""
    from agent.web.flow_summary import summarise_flow

    site = site_of(request)
    names = [name for name in site.workspace.data_names() if gate_path(site.workspace, name).is_file()]
    missing = [name for name in site.workspace.data_names() if name not in names]
    written = _written(site.workspace)
    fitted = [summarise_flow(site.workspace, name, written) for name in names]
    shown = {page.file for one in fitted for page in one.pages}
    others = [file for file in written if file not in shown]
    return site.page("flow.html", "flow", fitted=fitted, missing=missing, written=others)


@router.get("/curves/flow/{name}")
def flow_curves(request: Request, name: str) -> JSONResponse:
    """Return likelihood and mean exposure of train and validation over time."""
    from agent.flow.opened import open_flow
    from agent.review.collect import mean_exposure

    site = site_of(request)
    _known(site.workspace, name)
    notes: list[str] = []
    with site.series.lock:
        opened = open_flow(site.workspace, name, notes.append)
        study = opened.study
        exposure, likelihood = mean_exposure(study), study.log_likelihood
    assert exposure is not None
    seconds = study.panel.times.astype("datetime64[s]").astype(np.int64)
    rows = thinned(len(seconds))
    split = study.split
    return JSONResponse(
        {
            "name": name,
            "times": seconds[rows].tolist(),
            "curves": [
                {"key": "exposure", "label": "mean exposure", "values": plain_values(exposure, rows)},
                *(
                    [
                        {
                            "key": "likelihood",
                            "label": "what the gate judges, nats, median",
                            "values": plain_values(_median(likelihood), rows),
                        }
                    ]
                    if likelihood is not None
                    else []
                ),
            ],
            "gate": None,
            "spans": {
                "train": (int(seconds[0]), int(seconds[split.train.stop - 1])),
                "validation": (int(seconds[split.validation.start]), int(seconds[-1])),
            },
            "sentence": " ".join(notes),
        }
    )


def _median(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the median over assets of each bar; NaN where nothing is known. One value a bar stays as it is."""
    if values.ndim == 1:
        return values
    ordered = np.sort(values, axis=1)
    count = np.isfinite(ordered).sum(axis=1)
    found = ordered[np.arange(len(ordered)), np.maximum(count - 1, 0) // 2]
    return np.where(count > 0, found, np.nan)


@router.get("/written/{name}")
def written(request: Request, name: str) -> FileResponse:
    """Return a page that a command wrote into the folder of reports; only what that folder lists is opened."""
    site = site_of(request)
    if name not in _written(site.workspace):
        raise HTTPException(404, "there is no such report")
    path = site.workspace.root / "reports" / name
    return FileResponse(path, media_type="text/html", headers={"content-security-policy": REPORT_POLICY})


def _written(workspace: Workspace) -> list[str]:
    """Return the names of the written pages, newest first; a link that leads elsewhere is none."""
    pages = [path for path in (workspace.root / "reports").glob("*.html") if path.is_file() and not path.is_symlink()]
    return [path.name for path in sorted(pages, key=lambda path: -path.stat().st_mtime)]


@router.get("/pools")
def pools(request: Request) -> HTMLResponse:
    """Show every pool, newest first."""
    site = site_of(request)
    with site.workspace.knowledge() as knowledge:
        found = knowledge.pools()
    return site.page("pools.html", "pools", pools=found[::-1])


@router.get("/pools/{pool_id}")
def pool(request: Request, pool_id: str) -> HTMLResponse:
    """Show a pool: its members with their weights, and its figures."""
    site = site_of(request)
    with site.workspace.knowledge() as knowledge:
        found = knowledge.get_pool(pool_id)
    members = sorted(found.members, key=lambda one: -abs(one.weight) if math.isfinite(one.weight) else 0.0)
    most = max((abs(one.weight) for one in members if math.isfinite(one.weight)), default=0.0) or 1.0
    return site.page("pool.html", "pools", pool=found, members=members, most=most)


def _known(workspace: Workspace, name: str) -> Any:  # noqa: ANN401 - a path
    """Return the path of a data set that the workspace lists; any other name is refused."""
    if name not in workspace.data_names():
        raise HTTPException(404, f"there is no data set {name!r}")
    return workspace.stored_path(name)
