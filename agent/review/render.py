"""From a `Review` or `RunReview` to one self-contained HTML file.

The page refers to nothing outside itself, and its only script sorts and filters tables (a content security policy
in the page says so to the browser too, which runs no other); everything that a model or a file supplied is escaped.
"""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from agent.drawing.axes import format_number
from agent.review import factor_tables, findings_page, run_page, views
from agent.review.answers import answers, shown_segment
from agent.review.chart_registry import CHARTS
from agent.review.findings import Findings
from agent.review.pool_page import PoolReview, pool_context
from agent.review.review_records import Review, RunReview
from agent.review.trade_details import LAST_TRADES, TRADE_FIGURES, trade_details
from agent.untrusted.showing import displayable
from market.errors import InputError

MAX_FACTORS = 200
MAX_LESSONS = 100
MAX_TURNS = 30


def render_factor(review: Review) -> str:
    """Return the review of one factor as an HTML document (text, under 2 MB)."""
    page = _environment().get_template("factor.html")
    notes = views.simulated_notes(review.simulated_market, review.simulated_llm)
    return page.render(f=_factor_context(review), title=f"Factor review: {review.name}", notes=notes)


def render_run(run: RunReview) -> str:
    """Return the report of a run as an HTML document (under 2 MB), its best factor's review embedded."""
    shown = run_page.factor_rows(run.factors[:MAX_FACTORS])
    # A second table for one or two more rows would be longer than they are.
    best = len(shown) if len(shown) <= run_page.BEST + 2 else run_page.BEST
    last_round, last_lessons = run_page.grouped_lessons(run.lessons)
    return render_page(
        "run.html",
        run=run,
        title=f"Run report: {run.title}",
        notes=views.simulated_notes(run.simulated_market, run.simulated_llm),
        sentence=run_page.run_sentence(run),
        tiles=run_page.run_tiles(run),
        payoff_plot=Markup(run_page.payoff_plot(run.factors)),
        learning_plot=Markup(run_page.learning_plot(run.factors)),
        columns=run_page.COLUMNS,
        factors=shown[:best],
        others=shown if len(shown) > best else [],
        hidden_factors=max(0, len(run.factors) - MAX_FACTORS),
        last_round=last_round,
        last_lessons=last_lessons,
        lessons=run.lessons[:MAX_LESSONS],
        hidden_lessons=max(0, len(run.lessons) - MAX_LESSONS),
        widest=max((step.count for step in run.funnel), default=0),
        ledger=run_page.ledger_rows(run),
        f=None if run.best is None else _factor_context(run.best),
    )


def render_pool(pool: PoolReview) -> str:
    """Return the review of a pool as an HTML document: its members, and its signal like any factor's."""
    page = _environment().get_template("pool.html")
    review = pool.review
    return page.render(
        pool=pool,
        title=f"Pool review: {review.name}",
        notes=views.simulated_notes(review.simulated_market, review.simulated_llm),
        f=_factor_context(review),
        **pool_context(pool),
    )


def render_findings(found: Findings) -> str:
    """Return what a command about the flow found, as an HTML document."""
    lead, rest = findings_page.first_sentence(found.lead)
    return render_page(
        "findings.html",
        found=found,
        # Charts escape their own text.
        charts=[(heading, Markup(chart), caption) for heading, chart, caption in found.charts],
        title=found.title,
        notes=views.simulated_notes(found.simulated, False),
        lead=lead,
        rest=rest,
        sentences=[findings_page.capital(sentence) for sentence in found.sentences],
        laid=findings_page.lay_out(found.grids),
    )


def render_page(template: str, **context: object) -> str:
    """Return a template of this folder filled in, as an HTML document."""
    return _environment().get_template(template).render(**context)


def write_report(html: str, path: Path) -> Path:
    """Write the page whole or not at all, and return `path`; its folder is made when missing.

    Raises
    ------
    InputError
        When the folder or file cannot be written (read-only, full, a folder of that name).
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_bytes(html.encode("utf-8"))
        scratch.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot write the report {path}: {reason}", "is the disk full or read-only?") from error
    finally:
        _discard(scratch)
    return path


def _discard(scratch: Path) -> None:
    """Remove what a failed write left; a folder that can't be written can't be tidied either."""
    try:
        scratch.unlink(missing_ok=True)
    except OSError:
        return


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    script = (Path(__file__).parent / "page.js").read_text(encoding="utf-8").strip()
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals.update(
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        verdict_words=views.verdict_words,
        number=format_number,
        months=views.month_names(),
    )
    return environment


def _shown(value: object) -> object:
    """Clean every text that a template prints; markup made here is already clean."""
    return displayable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _factor_context(review: Review) -> dict[str, object]:
    """Return what the factor templates lay out."""
    sentence, gate_css = views.gate_conclusion(review)
    # Each chart escapes its own text; nothing in it comes from a template.
    drawn = {name: Markup(chart.draw(review)) for name, chart in CHARTS.items()}
    profile = review.profiles.get("train")
    return {
        "review": review,
        "verdict": views.verdict_words(review.verdict),
        "headline": views.headline(review),
        "answers": answers(review),
        "shown": shown_segment(review)[0],
        "scorecard": views.scorecard_rows(review),
        "admission": views.admission_rows(review),
        "slices": [("By year", views.slice_rows(review, "years")), ("By regime", views.slice_rows(review, "regimes"))],
        "loadings": views.loading_rows(review),
        "spans": (views.segment_span(review.train), views.segment_span(review.validation)),
        "gate_rows": views.gate_rows(review),
        "gate_facts": views.gate_facts(review),
        "gate_sentence": sentence,
        "gate_css": gate_css,
        "monthly": views.monthly_returns(review),
        "falls": factor_tables.drawdown_rows(review),
        "rules": factor_tables.rule_rows(review),
        "correlated": factor_tables.correlation_rows(review),
        "expected": factor_tables.expectation_rows(review),
        "tested": factor_tables.tested_rows(review),
        "trades": trade_details(review),
        "heads": {
            "trades": TRADE_FIGURES,
            "last": LAST_TRADES,
            "falls": factor_tables.FALLS,
            "rules": factor_tables.RULES,
            "tests": factor_tables.TESTS,
        },
        "decays": profile is not None and bool(profile.decay),
        "turns": review.critiques[-MAX_TURNS:],
        "charts": drawn,
        "added_charts": [(CHARTS[name].heading, drawn[name], CHARTS[name].caption) for name in CHARTS.added],
    }
