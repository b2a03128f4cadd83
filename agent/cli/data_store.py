"""`alphaglow data import` from an object store: a panel's folder is copied, other files are fetched and read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import click

from agent.cli.common import progress_bar, stderr
from agent.cli.data_show import clean_name, free_path, remove_other, show_data
from market.errors import InputError

if TYPE_CHECKING:
    from agent.cli.data_large import ImportOptions
    from agent.study.workspace import Workspace


class FileOrStore(click.Path):
    """A path on this machine, as a `Path`, or a place in an object store, as the text that it is."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:  # type: ignore[override]
        """Return which of them it is."""
        from market.object_store import is_in_store

        return value if is_in_store(value) else Path(str(super().convert(value, param, ctx)))


def name_of(file: Path | str) -> str:
    """Return a data set's name from a file's, or from a place's."""
    return clean_name(Path(PurePosixPath(file).name) if isinstance(file, str) else file)


def panel_in_store(files: Sequence[Path | str]) -> str | None:
    """Return the panel's folder in a store that is to be imported; it comes alone."""
    folders = [one for one in files if isinstance(one, str) and one.rstrip("/").endswith(".panel")]
    if folders and len(files) > 1:
        raise InputError("a panel's folder in a store is imported alone", "name one .panel, or files")
    return folders[0] if folders else None


def import_panel(workspace: Workspace, asked: ImportOptions, url: str, name: str) -> None:
    """Copy a panel's folder from a store into the workspace, and show it."""
    from market.object_store import open_store
    from market.panel_download import copy_panel
    from market.panel_on_disk import open_on_disk

    if asked.preview or asked.repair:
        raise InputError("a panel's folder is copied as it is", "leave out --preview and --repair")
    path = free_path(workspace, name, overwrite=asked.replace)
    workspace.folder("data")
    store, target = open_store(url), path.with_suffix(".panel")
    with progress_bar() as bar:
        task = bar.add_task("bytes", total=sum(store.files.values()))
        manifest = copy_panel(store, target, lambda done: bar.advance(task, done))
    remove_other(path)
    stderr().print("copied, and compared with its hashes: see docs/large-panels.md", soft_wrap=True, highlight=False)
    show_data(open_on_disk(target, verify=False), name, as_json=asked.as_json, manifest=manifest)


@contextmanager
def local_files(files: Sequence[Path | str]) -> Iterator[list[Path]]:
    """Lend files on this machine; those of a store are fetched into a temporary folder for the time."""
    from market.object_store import open_store
    from market.panel_download import copy_file

    if all(isinstance(one, Path) for one in files):
        yield [Path(one) for one in files]
        return
    with tempfile.TemporaryDirectory(prefix="alphaglow-") as folder, progress_bar() as bar:
        found = []
        for number, one in enumerate(files):
            if isinstance(one, Path):
                found.append(one)
                continue
            store = open_store(one)
            if list(store.files) != [""]:
                raise InputError(f"{store.url} is a folder", "name its files, or a folder that ends in .panel")
            # Under its own name, which may be the asset's.
            target = Path(folder) / str(number) / PurePosixPath(store.url).name
            target.parent.mkdir()
            task = bar.add_task(f"fetching {target.name}", total=store.files[""])
            copy_file(store, "", target, partial(bar.advance, task))
            bar.remove_task(task)
            found.append(target)
        yield found
