"""`alphaglow data import` of files that are larger than what is read whole: in pieces, into a data set by field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.common import progress_bar, stderr
from agent.cli.data_show import free_path, missing_sessions, remove_other, show_data, stated
from agent.cli.reading_options import ReadingOptions
from agent.untrusted.showing import printable
from market.errors import InputError

if TYPE_CHECKING:
    from agent.study.workspace import Workspace
    from market.panel import Calendar
    from market.reading.conventions import FileConventions

# What is packed is some four times as large when it is not.
_PACKED = {".gz": 4, ".zip": 4, ".xz": 4, ".bz2": 4}


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What `data import` was asked for."""

    files: tuple[Path | str, ...]
    name: str | None
    calendar: tuple[Calendar | None, str]
    preview: bool
    repair: bool
    replace: bool
    as_json: bool
    reading: ReadingOptions


def needs_pieces(paths: Sequence[Path], whole_gb: float) -> bool:
    """Whether files are together too large to be read whole."""
    sizes = [path.stat().st_size * _PACKED.get(path.suffix.lower(), 1) for path in paths if path.is_file()]
    return sum(sizes) > whole_gb * 1e9


def import_large(
    workspace: Workspace, asked: ImportOptions, files: Sequence[Path], how: FileConventions, name: str
) -> None:
    """Import files in pieces, store them by field, and show what was stored; `asked` says where they came from."""
    from market.manifest import Origin
    from market.sorting_rows import import_in_pieces

    if asked.repair:
        raise InputError(
            "--repair is not for files that are read in pieces",
            "correct the file, or raise whole_gb in alphaglow.toml [data]",
        )
    path = free_path(workspace, name, overwrite=asked.replace)
    workspace.folder("data")
    calendar, code = asked.calendar
    origin = Origin("file", {"files": [str(one) for one in asked.files], **stated(how)})
    with progress_bar() as bar:
        task = bar.add_task("rows", total=None)
        done = import_in_pieces(
            files, how, path.with_suffix(".panel"), calendar=calendar, name=name, origin=origin,
            show=lambda rows: bar.update(task, description=f"{rows:,} rows", completed=rows),
        )  # fmt: skip
    remove_other(path)
    for line in (*done.said, *missing_sessions(done.panel, code)):
        stderr().print(printable(line), soft_wrap=True, markup=False, highlight=False)
    stderr().print("read in pieces and stored by field: see docs/large-panels.md", soft_wrap=True, highlight=False)
    show_data(done.panel, name, as_json=asked.as_json, manifest=done.manifest)
