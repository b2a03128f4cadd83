"""`alphaglow text import`: texts with time stamps into the workspace."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.common import format_number, headed, json_option, print_json, stderr, stdout, text_table, workspace_of
from agent.cli.option_record import recorded
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
    columns: tuple[str, ...]
    zone: str
    date_format: str | None
    day_first: bool | None
    shown: int
    replace: bool
    as_json: bool


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--name", help="Name of the texts (default: from the first file).")
@click.option("--data", "-d", "data_name", metavar="NAME", help="Data set whose assets are searched for.")
@click.option("--asset", "assets", multiple=True, metavar="NAME", help="An asset to search for; repeat as needed.")
@click.option(
    "--map", "map_file", type=click.Path(path_type=Path), metavar="FILE.csv", help="More terms: columns asset, term."
)
@click.option(
    "--column", "columns", multiple=True, metavar="OURS=THEIRS", help="Map a column: ts, title, body and others"
)
@click.option("--tz", "zone", default="UTC", show_default=True, help="Time zone of stamps that state none.")
@click.option("--date-format", metavar="FORMAT", help="Of dates, such as %d.%m.%Y.")
@click.option("--day-first/--month-first", default=None, help="Whether 03/02 is 3 February.")
@click.option("--show", "shown", default=0, metavar="N", help="Print the first N texts that were matched.")
@click.option("--replace", is_flag=True, help="Overwrite texts of the same name.")
@json_option
@click.pass_context
@recorded(TextImportOptions)
def import_texts(ctx: click.Context, asked: TextImportOptions) -> None:
    """Import texts (news, posts, filings) from CSV, Parquet or JSON lines.

    Each is known from its stamp on, a date alone from the day's end, and keyed to the assets that it speaks of.
    """
    from agent.cli.data_show import column_pairs, known_zone
    from market.documents import read_documents, save_documents
    from market.matching import matcher_for, read_map
    from market.reading.conventions import TimeForm

    workspace = workspace_of(ctx)
    known_zone(asked.zone)
    name = asked.name or asked.files[0].stem
    workspace.data_path(name)
    path = workspace.folder("texts") / f"{name}.parquet"
    if path.exists() and not asked.replace:
        raise InputError(f"there are already texts {name!r}", "choose another --name, or say --replace")
    wanted = list(asked.assets) or list(workspace.load_panel(asked.data_name).assets)
    matcher = matcher_for(wanted, read_map(asked.map_file) if asked.map_file is not None else ())
    form = TimeForm(asked.date_format, asked.day_first)
    documents, counts = read_documents(
        list(asked.files), matcher, columns=column_pairs(asked.columns), zone=asked.zone, form=form
    )
    if not len(documents):
        raise InputError(f"{asked.files[0]} has no usable text", "is it the right file?")
    about = {
        "source": "file",
        "query": {"files": [str(file) for file in asked.files], "tz": asked.zone},
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
