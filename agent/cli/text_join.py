"""`alphaglow text join`: scored texts as fields of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
import numpy as np

from agent.cli.common import (
    data_option,
    format_number,
    headed,
    json_option,
    stderr,
    stdout,
    target_options,
    text_table,
    workspace_of,
)
from agent.cli.option_record import recorded
from agent.cli.text_sources import SCORERS, parse_span, scored_by, texts_path
from market.errors import InputError

if TYPE_CHECKING:
    from market.documents import Documents
    from market.panel import Panel


@dataclass(frozen=True, slots=True)
class TextJoinOptions:
    """What `text join` was asked for."""

    texts: str
    data_name: str | None
    name: str | None
    by: str | None
    half_life: str
    market: bool
    within: bool
    replace: bool
    as_json: bool


@click.command()
@click.argument("texts", metavar="DOCS")
@data_option
@target_options("NAME-texts")
@click.option("--by", type=click.Choice(SCORERS), help="Whose scores (default: those that there are).")
@click.option(
    "--half-life",
    default="24h",
    show_default=True,
    metavar="TIME",
    help="After which a text counts half: 24h, 3d, 12b.",
)
@click.option("--market", is_flag=True, help="Also market_sentiment and market_news_count, of texts about no asset.")
@click.option("--within", is_flag=True, help="Keep only the bars from the first text to the last.")
@json_option
@click.pass_context
@recorded(TextJoinOptions)
def join(ctx: click.Context, asked: TextJoinOptions) -> None:
    """Join the scored texts DOCS to a data set, as fields sentiment, news_count and sentiment_surprise.

    A text counts at the close of the first bar that closes after it was known.
    """
    from agent.cli.data_show import save_data
    from agent.texts.scores import load_scores, scores_path
    from market.documents import load_documents
    from market.manifest import Origin
    from market.news import differs_when_cut, join_news

    by = asked.by

    workspace = workspace_of(ctx)
    path = workspace.resolve_data(asked.data_name)
    whole = workspace.load_panel(asked.data_name)
    documents = load_documents(texts_path(workspace, asked.texts))
    by = by or scored_by(workspace, asked.texts)
    scores = load_scores(scores_path(workspace.folder("texts"), asked.texts, by), documents)
    fade = parse_span(asked.half_life, whole, "--half-life")
    panel = _within(whole, documents) if asked.within else whole
    # A repeated story says as much as is new in it.
    weight = scores.relevance * scores.novelty
    joined = join_news(panel, documents, scores.sentiment, weight, half_life=fade, market=asked.market)
    bars = [round(share * (len(panel.times) - 1)) for share in (0.25, 0.5, 0.75)]
    wrong = differs_when_cut(panel, joined, documents, (scores.sentiment, weight), fade, bars)
    if wrong:
        raise AssertionError(f"{', '.join(wrong)} change when later texts are taken away")
    query = {
        "data": path.stem,
        "texts": asked.texts,
        "scores": scores.by,
        "half_life": asked.half_life,
        "market": asked.market,
    }
    made = Origin("texts", {**query, "within": asked.within}, parent=whole.id)
    new = asked.name or f"{path.stem}-texts"
    save_data(workspace, joined, new, replace=asked.replace, as_json=asked.as_json, origin=made)
    if not asked.as_json:
        _tell(joined, documents, scores.unscored)


def _within(panel: Panel, documents: Documents) -> Panel:
    first = int(np.searchsorted(panel.times, documents.known[0], side="left"))
    last = int(np.searchsorted(panel.times, documents.known[-1], side="right"))
    if last - first < 2:
        raise InputError("no bar lies between the first text and the last", "leave out --within")
    return panel.rows(first, last)


def _tell(joined: Panel, documents: Documents, unscored: int) -> None:
    count = np.nansum(joined["news_count"], axis=0)
    silent = [asset for asset, texts in zip(joined.assets, count, strict=True) if not texts]
    out = stdout()
    after = joined.times[-1] - documents.known[-1]
    out.print(
        headed("texts", f": {int(count.sum())} mentions of {len(joined.assets) - len(silent)} assets; the same without "
               "what came later (checked)"),
        soft_wrap=True,
    )  # fmt: skip
    order = np.argsort(-count, kind="stable")[:10]
    rows = [[joined.assets[n], f"{int(count[n])}", format_number(float(np.nanmean(joined["sentiment"][:, n])), 3)]
            for n in order if count[n]]  # fmt: skip
    out.print(text_table("Most written of", ["asset", "texts", "mean sentiment"], rows))
    if silent:
        stderr().print(f"nothing is written of {', '.join(silent[:12])}: their count and sentiment are 0")
    if unscored:
        stderr().print(f"{unscored} texts have no score: they count in news_count alone")
    if after > np.timedelta64(7, "D"):
        stderr().print(
            f"the texts end {after.astype('timedelta64[D]').astype(int)} days before the bars: from there on all is "
            "silence (--within keeps the bars between the first text and the last)",
            soft_wrap=True,
        )
