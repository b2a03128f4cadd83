"""Copying from an object store: a panel's folder, whose parts are compared with their hashes, or a single file.

What has arrived is kept in a folder beside the target: a copy that was broken off goes on where it was.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from market.errors import InputError
from market.manifest import Manifest, Origin
from market.object_store import ObjectStore
from market.panel_folder import write_manifest
from market.panel_on_disk import FACTS, FolderFacts, read_facts, verify_file

# Bytes that are asked for at once, and files that are read at once.
PIECE, _AT_ONCE = 1 << 24, 4


def copy_panel(store: ObjectStore, path: Path, show: Callable[[int], None] = lambda _bytes: None) -> Manifest:
    """Copy a panel's folder (`market.panel_on_disk`) to `path`, NAME.panel, with a manifest beside it.

    Parameters
    ----------
    show
        Called with the number of bytes of each piece that has arrived.

    Raises
    ------
    InputError
        For a place that is no panel's folder, and a file that is missing, cut or changed, by its name and year.
    """
    partial = path.with_name(f".{path.name}.partial")
    facts = _begin(store, partial)
    names = [f"{name}.arrow" for name in facts.parts]
    if missing := [name for name in names if name not in store.files]:
        raise InputError(
            f"the store lost a part of {store.url}: {missing[0]} is not there", "store the data there again"
        )
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda name: copy_file(store, name, partial / name, show), names))
    for name in names:
        try:
            verify_file(partial / name, facts)
        except InputError as error:
            # Whoever copies it again has to get it again.
            (partial / name).unlink()
            why = error.message.partition(" is damaged: ")[2] or error.message
            raise InputError(f"{store.url}/{name} is damaged: {why}", "store the data there again") from error
    if path.exists():
        shutil.rmtree(path)
    partial.replace(path)
    return write_manifest(path, Origin("object store", {"url": store.url}))


def _begin(store: ObjectStore, partial: Path) -> FolderFacts:
    """Return what the folder says of itself; what was copied of another panel before is removed."""
    if FACTS not in store.files:
        raise InputError(f"{store.url} is no panel's folder: it has no {FACTS}", "name one that ends in .panel")
    said = store.read(FACTS, 0, store.files[FACTS])
    if partial.exists() and not ((partial / FACTS).is_file() and (partial / FACTS).read_bytes() == said):
        shutil.rmtree(partial)
    try:
        partial.mkdir(parents=True, exist_ok=True)
        (partial / FACTS).write_bytes(said)
    except OSError as error:
        raise _no_room(partial, error) from error
    return read_facts(partial)


def copy_file(store: ObjectStore, name: str, target: Path, show: Callable[[int], None] = lambda _bytes: None) -> None:
    """Copy one file of a store, from where an earlier copy ended."""
    size = store.files[name]
    done = target.stat().st_size if target.exists() else 0
    try:
        with target.open("ab" if done <= size else "wb") as stream:
            done = stream.tell()
            show(done)
            while done < size:
                piece = store.read(name, done, min(done + PIECE, size))
                stream.write(piece)
                done += len(piece)
                show(len(piece))
    except OSError as error:
        raise _no_room(target, error) from error


def _no_room(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot write {path}: {error.strerror or error}", "is the disk full or read-only?")
