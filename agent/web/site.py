"""The web application: its routes put together, its pages drawn, and what goes wrong said in a sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from agent.drawing.axes import format_number
from agent.review.views import verdict_words
from agent.study.workspace import Workspace
from agent.untrusted.showing import displayable
from agent.web.factor_series import SeriesCache
from agent.web.guard import Access, Guard
from backtest.trade_figures import total_return
from market.errors import InputError

_HERE = Path(__file__).parent
# A form of ours is far smaller.
_LONGEST_FORM = 64_000
PAGES = (
    ("now", "/", "Now"),
    ("factors", "/factors", "Factors"),
    ("pools", "/pools", "Pools"),
    ("watch", "/watch", "Watch"),
    ("data", "/data", "Data"),
    ("flow", "/flow", "Flow"),
    ("live", "/live", "Live"),
    ("knowledge", "/knowledge", "Knowledge"),
    ("spend", "/spend", "Spend"),
)


@dataclass(frozen=True)
class Site:
    """What every route works with: the workspace, who may ask, the curves that were computed, and the templates."""

    workspace: Workspace
    access: Access = field(default_factory=Access)
    series: SeriesCache = field(default_factory=SeriesCache)

    @cached_property
    def templates(self) -> Environment:
        """The templates; every text that they print is escaped and cleaned."""
        environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_shown,
        )
        environment.globals.update(
            number=format_number, verdict_words=verdict_words, total_return=total_return, pages=PAGES
        )
        return environment

    def piece(self, request: Request, template: str, here: str, **facts: Any) -> HTMLResponse:  # noqa: ANN401
        """Return a piece of a page where our script asks for one, and a page of its own for a browser without it."""
        asked = request.headers.get("hx-request") == "true"
        return self.page(template, here, layout="piece.html" if asked else "base.html", whole=not asked, **facts)

    def page(self, template: str, here: str = "", status: int = 200, **facts: Any) -> HTMLResponse:  # noqa: ANN401
        """Return a page; `here` is the name of the place in the menu that it belongs to."""
        text = self.templates.get_template(template).render(
            here=here,
            workspace=self.workspace.root.name or str(self.workspace.root),
            read_only=self.access.read_only,
            form_token=self.access.form_token,
            **facts,
        )
        return HTMLResponse(text, status_code=status)


def _shown(value: object) -> object:
    return displayable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


async def _read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form of ours: of the right size, and with the token of this process."""
    if request.headers.get("content-length", "0").isdigit() and int(request.headers.get("content-length", "0")) > (
        _LONGEST_FORM
    ):
        raise HTTPException(413, "this form is too long")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST_FORM:
            raise HTTPException(413, "this form is too long")
    fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=100))
    site: Site = request.app.state.site
    if fields.pop("form_token", "") != site.access.form_token:
        raise HTTPException(403, "this form is of an earlier start of the server: load the page again")
    return fields


FormFields = Annotated[dict[str, str], Depends(_read_form)]


def site_of(request: Request) -> Site:
    """Return the site that a request is for."""
    site: Site = request.app.state.site
    return site


def make_app(workspace: Workspace, access: Access) -> FastAPI:
    """Return the application for a workspace."""
    from agent.web import data_routes, factor_routes, insight_routes, run_routes, watch_routes

    app = FastAPI(title="alphaglow", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.site = Site(workspace, access)
    for routes in (run_routes, factor_routes, data_routes, insight_routes, watch_routes):
        app.include_router(routes.router)
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
    app.add_exception_handler(InputError, _refused)
    app.add_exception_handler(HTTPException, _refused_form)
    app.add_exception_handler(404, _nowhere)
    app.add_middleware(Guard, access=access)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    site = site_of(request)
    if request.headers.get("accept", "").startswith("application/json"):
        return PlainTextResponse(displayable(str(error)), status_code=400)
    return site.page("refused.html", status=400, sentence=str(error))


async def _refused_form(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return site_of(request).page("refused.html", status=error.status_code, sentence=str(error.detail))


async def _nowhere(request: Request, _error: Exception) -> Response:
    return site_of(request).page("refused.html", status=404, sentence="There is no such page.")
