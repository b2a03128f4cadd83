"""`alphaglow text import`: texts with time stamps into the workspace."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.common import (
    format_number,
    headed,
    json_option,
    print_json,
    stderr,
    stdout,
    target_options,
    text_table,
    workspace_of,
)
from agent.cli.option_record import recorded
from agent.cli.reading_options import ReadingOptions, reading_options
from agent.untrusted.showing import printable
from market.errors import InputError

if TYPE_CHECKING:
    from market.documents import Documents, TextCounts


@dataclass(frozen=True, slots=True)
class TextImportOptions:
    """What `text import` was asked for."""

    files: tuple[Path, ...]
    name: str | None
    data_name: str | None
    assets: tuple[str, ...]
    map_file: Path | None
    reading: ReadingOptions
    shown: int
    replace: bool
    as_json: bool


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@target_options("from the first file", "set of texts")
@click.option("--data", "-d", "data_name", metavar="NAME", help="Data set whose assets are searched for.")
@click.option("--asset", "assets", multiple=True, metavar="NAME", help="An asset to search for; repeat as needed.")
@click.option(
    "--map", "map_file", type=click.Path(path_type=Path), metavar="FILE.csv", help="More terms: columns asset, term."
)
@click.option("--show", "shown", default=0, metavar="N", help="Print the first N texts that were matched.")
@reading_options(but=["recipe", "stamps", "units", "symbol", "wide"])
@json_option
@click.pass_context
@recorded(TextImportOptions)
def import_texts(ctx: click.Context, asked: TextImportOptions) -> None:
    """Import texts (news, posts, filings) from CSV, JSON, Parquet and what else `data import` reads.

    Columns that may be mapped: ts, title, body, source, url, assets. A text is known from its stamp on, a date alone
    from the day's end, and keyed to the assets that it speaks of.
    """
    from market.documents import read_documents, save_documents
    from market.matching import matcher_for, read_map

    workspace = workspace_of(ctx)
    how = asked.reading.conventions()
    name = asked.name or asked.files[0].stem
    workspace.data_path(name)
    path = workspace.folder("texts") / f"{name}.parquet"
    if path.exists() and not asked.replace:
        raise InputError(f"there are already texts {name!r}", "choose another --name, or say --replace")
    wanted = list(asked.assets) or list(workspace.load_panel(asked.data_name).assets)
    matcher = matcher_for(wanted, read_map(asked.map_file) if asked.map_file is not None else ())
    said: list[str] = []
    documents, counts = read_documents(list(asked.files), matcher, how, said)
    for line in said:
        stderr().print(printable(line), soft_wrap=True, markup=False, highlight=False)
    if not len(documents):
        raise InputError(f"{asked.files[0]} has no usable text", "is it the right file?")
    about = {
        "source": "file",
        "query": {"files": [str(file) for file in asked.files], "tz": how.zone or "UTC"},
        "counts": asdict(counts),
    }
    save_documents(documents, path, about)
    if asked.as_json:
        print_json({"name": name, "texts": len(documents), **asdict(counts)})
        return
    _show_imported(name, documents, counts, asked.shown)


def _show_imported(name: str, documents: Documents, counts: TextCounts, shown: int) -> None:
    """Print how many texts were taken in, why others were not, and the assets that they are about."""
    out = stdout()
    out.print(
        headed(
            name,
            f": {len(documents)} of {counts.rows} texts, {str(documents.known[0])[:16]} to "
            f"{str(documents.known[-1])[:16]} UTC\n"
            f"dropped: {counts.repeated_url} repeat an address, {counts.repeated_title} a title within a week, "
            f"{counts.unusable} have no time or no text\n"
            f"{counts.dated} are stamped with a date alone: known at the day's end\n"
            f"{counts.matched} ({format_number(counts.matched / len(documents), 0, percent=True)}) speak of an asset",
        ),
        soft_wrap=True,
    )
    rows = [[asset, str(count)] for asset, count in list(counts.by_asset.items())[:20]]
    if rows:
        out.print(text_table("Most spoken of", ["asset", "texts"], rows))
    else:
        stderr().print("no text speaks of any asset: give terms with --map FILE.csv")
    matched = [place for place, found in enumerate(documents.assets) if found][:shown]
    for place in matched:
        named = ", ".join(documents.assets[place])
        out.print(
            f"{str(documents.known[place])[:16]}  {named}: {documents.title[place]}", markup=False, soft_wrap=True
        )
