"""`alphaglow kb sql|verify|backup|repair|export|import|merge`: the knowledge base as a whole."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.common import escape_json, json_option, print_json, progress_bar, stdout, text_table, workspace_of
from agent.cli.option_record import recorded
from agent.study.workspace import MARKER, Workspace
from agent.untrusted.showing import printable
from market.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.knowledge.file_query import QueryResult
    from agent.knowledge.transfer.table_rows import KnowledgeSource


@click.command()
@click.argument("text", metavar="QUERY", required=False)
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1, 100_000), help="Rows.")
@json_option
@click.pass_context
def sql(ctx: click.Context, text: str | None, limit: int, as_json: bool) -> None:
    """Run one SELECT on the knowledge base, which cannot write; without a QUERY, list the tables.

    Prompts and replies are stored compressed: read them with `alphaglow kb calls`.
    """
    workspace = workspace_of(ctx)
    if text is None:
        _list_tables(workspace, as_json=as_json)
        return
    found = _select(workspace, text, limit)
    if as_json:
        print_json({"columns": found.columns, "rows": found.rows, "cut": found.cut})
        return
    from rich.text import Text

    drawn = [[Text(str(cell)).plain for cell in row] for row in found.rows]
    stdout().print(
        text_table(f"{len(found.rows)} rows" + (", more were cut" if found.cut else ""), found.columns, drawn)
    )


def _list_tables(workspace: Workspace, *, as_json: bool) -> None:
    from agent.knowledge.queries import tables

    with workspace.knowledge() as knowledge:
        rows = [[name, columns] for name, columns in tables(knowledge)]
    if as_json:
        print_json({name: columns.split(", ") for name, columns in rows})
    else:
        stdout().print(text_table("Tables", ["table", "columns"], rows, left=2))


def _select(workspace: Workspace, text: str, limit: int) -> QueryResult:
    """Ask the file itself where it is up to date; else the knowledge base, which is created or migrated first."""
    from agent.knowledge.file_query import current_file, query_file

    file = current_file(workspace.knowledge_place)
    if file is not None:
        return query_file(file, text, limit)
    from agent.knowledge.queries import query

    with workspace.knowledge() as knowledge:
        return query(knowledge, text, limit)


@click.command()
@json_option
@click.pass_context
def verify(ctx: click.Context, as_json: bool) -> None:
    """Check the file, its links, each factor and each reply's prompt, and count trials and effective trials again."""
    from agent.knowledge.verifying import find_faults

    with workspace_of(ctx).knowledge() as knowledge, progress_bar() as bar:
        task = bar.add_task("checking", total=None)
        faults = find_faults(knowledge, lambda what, done: bar.update(task, description=what, completed=done))
    if as_json:
        print_json({"faults": faults})
    elif not faults:
        stdout().print("nothing is wrong")
    else:
        for fault in faults:
            stdout().print(f"- {fault}", soft_wrap=True, markup=False)
    if faults:
        ctx.exit(1)


@click.command()
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@click.pass_context
def backup(ctx: click.Context, target: Path) -> None:
    """Copy the knowledge base into FILE, as of one moment and compact, even while a run writes into it."""
    from agent.knowledge.transfer.salvage import back_up

    back_up(_file_of(workspace_of(ctx), "copy it with: pg_dump"), target)
    click.echo(printable(str(target)))


@click.command()
@click.argument("target", metavar="NEW", type=click.Path(path_type=Path))
@json_option
@click.pass_context
def repair(ctx: click.Context, target: Path, as_json: bool) -> None:
    """Save what can be read of a damaged knowledge base into NEW; the damaged one is left as it is.

    Rows that cannot be read, or that point at such rows, are left out and counted. Indexes and counts are made again.
    """
    from agent.knowledge.transfer.salvage import repair as salvage

    source = _file_of(workspace_of(ctx), "see the server's log")
    with progress_bar() as bar:
        task = bar.add_task("reading", total=None)
        saved = salvage(source, target, lambda what, done: bar.update(task, description=what, completed=done))
    if as_json:
        print_json({"saved": saved.rows, "lost": saved.lost})
        return
    stdout().print(saved.sentence(), soft_wrap=True)
    stdout().print(f"look at it, then put {target} in the place of {source}", soft_wrap=True, markup=False)


def _file_of(workspace: Workspace, otherwise: str) -> Path:
    """Return the file of the knowledge base; one on a server has none."""
    place = workspace.knowledge_place
    if "://" in place:
        raise InputError("this knowledge base lies on a server, not in a file", otherwise)
    if not Path(place).is_file():
        raise InputError(f"there is no knowledge base {place}", "make a workspace: alphaglow init DIR")
    return Path(place)


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What `kb export` was asked for."""

    file: Path | None
    form: str | None
    output: Path | None
    to: str | None
    url: str | None
    experiment: str


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--format", "form", type=click.Choice(["json", "csv"]), help="Default: by the name of FILE, else json.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="FILE, as an option.")
@click.option("--to", type=click.Choice(["mlflow"]), help="Write to a server instead, in its own form.")
@click.option("--url", help="Address of the server, such as http://127.0.0.1:5000.")
@click.option("--experiment", default="alphaglow", show_default=True, help="Its experiment; made if there is none.")
@click.pass_context
@recorded(ExportOptions)
def export(ctx: click.Context, asked: ExportOptions) -> None:
    """Export everything to FILE (default: stdout): JSON for `kb import`, or attempts with their scores as CSV.

    With `--to mlflow --url URL`, each run becomes a run of that MLflow server, and each attempt that was scored one
    below it; what is there already is left alone.
    """
    if asked.to is not None:
        _to_mlflow(ctx, asked.url, asked.experiment)
        return
    file, output = asked.file, asked.output
    if file is not None and output is not None:
        raise InputError(f"both {file} and --output {output} are named", "say one of them")
    output = output or file
    form = asked.form or ("csv" if output is not None and output.suffix.lower() == ".csv" else "json")
    with workspace_of(ctx).knowledge() as knowledge:
        text = knowledge.export("csv" if form == "csv" else "json")
    if output is None:
        click.echo(escape_json(text) if form == "json" else printable(text))
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {output}: {error.strerror}", "choose a place you may write") from error
    click.echo(printable(str(output)))


def _to_mlflow(ctx: click.Context, url: str | None, experiment: str) -> None:
    from agent.knowledge.transfer.mlflow_runs import MlflowServer, export_runs

    if not url:
        raise InputError("--to mlflow needs the address of a server", "such as --url http://127.0.0.1:5000")
    with (
        workspace_of(ctx).knowledge() as knowledge,
        knowledge.as_source() as source,
        MlflowServer(url) as server,
        progress_bar() as bar,
    ):
        task = bar.add_task("writing to MLflow", total=None)
        done = export_runs(source, server, experiment, lambda number: bar.update(task, completed=number))
    stdout().print(f"{done.added} runs added to {url}, {done.present} were there already", soft_wrap=True, markup=False)


@click.command("import")
@click.argument("given", metavar="FILE|URL")
@json_option
@click.pass_context
def import_(ctx: click.Context, given: str, as_json: bool) -> None:
    """Take in what `kb export` wrote, or another knowledge base's file or URL; what is known already stays."""
    _take_in(ctx, given, as_json=as_json)


@click.command()
@click.argument("other", metavar="OTHER")
@json_option
@click.pass_context
def merge(ctx: click.Context, other: str, as_json: bool) -> None:
    """Take in OTHER, a workspace or a knowledge base's file or URL, which is left as it is.

    Trials and effective trials are counted again over both; a factor whose holdout was opened in either is opened.
    """
    _take_in(ctx, other, as_json=as_json)


def _take_in(ctx: click.Context, given: str, *, as_json: bool) -> None:
    with workspace_of(ctx).knowledge() as knowledge, _source(given) as source, progress_bar() as bar:
        task = bar.add_task("reading", total=None)
        merged = knowledge.take_in(source, lambda what, done: bar.update(task, description=what, completed=done))
    if as_json:
        print_json({"added": merged.added})
    else:
        stdout().print(merged.sentence())


@contextmanager
def _source(given: str) -> Iterator[KnowledgeSource]:
    from agent.knowledge.transfer.read_only import borrowed
    from agent.knowledge.transfer.table_rows import ExportedSource

    path = Path(given)
    if (path / MARKER).is_file():
        given = Workspace(path).configured_place
    elif path.suffix == ".json" or (path.is_file() and path.read_bytes()[:1] == b"{"):
        yield ExportedSource(path)
        return
    with borrowed(given) as other, other.as_source() as source:
        yield source
