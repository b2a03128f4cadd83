"""A workspace: one folder with settings, data, models, reports and the knowledge base."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from market.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.knowledge.knowledge_base import KnowledgeBase
    from agent.knowledge.looking_up import LookingUp
    from agent.study.settings import Settings
    from market.panel import Panel
    from market.panel_part import PanelPart

FOLDERS = ("data", "models", "reports", "runs")
MARKER = "alphaglow.toml"
# A learned factor's name begins so, and so does that of its file.
LEARNED_PREFIX = "learned_"
_LONGEST_NAME = 100
# Of data sets: a file, or a folder of files by year; a folder of files by field.
_ENDINGS = (".parquet", ".panel")
# Windows takes these for devices, whatever follows the first dot.
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{k}" for port in ("COM", "LPT") for k in range(10))}
KNOWLEDGE_VARIABLE = "ALPHAGLOW_KNOWLEDGE"


@dataclass(frozen=True)
class Workspace:
    """Paths of a workspace; nothing is read until it is asked for."""

    root: Path

    @cached_property
    def settings(self) -> Settings:
        """The workspace's settings."""
        from agent.study.settings import load_settings

        return load_settings(self.root / MARKER)

    @property
    def knowledge_place(self) -> str:
        """Where the knowledge base lies: a path, or a URL, which may hold a password."""
        return os.environ.get(KNOWLEDGE_VARIABLE) or self.configured_place

    @property
    def configured_place(self) -> str:
        """Where the settings say that it lies."""
        named = self.settings.knowledge.url or "knowledge.db"
        return named if "://" in named else str(self.root / named)

    def knowledge(self) -> KnowledgeBase:
        """Open the knowledge base, creating or migrating it as needed; a new one knows the published factors."""
        from agent.knowledge.knowledge_base import KnowledgeBase

        knowledge = KnowledgeBase.open(self.knowledge_place)
        if knowledge.is_new and starter_path().is_file():
            knowledge.library_copy(starter_path())
        return knowledge

    @contextmanager
    def listing(self) -> Iterator[LookingUp]:
        """Lend what lists and looks up: the file itself where it is up to date, else the knowledge base, opened."""
        from agent.knowledge.file_query import current_file

        file = current_file(self.knowledge_place)
        if file is not None:
            from agent.knowledge.file_listing import FileListing

            yield FileListing(file)
            return
        with self.knowledge() as knowledge:
            yield knowledge

    def folder(self, name: str) -> Path:
        """Return a folder of the workspace, made if missing."""
        path = self.root / name
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make {path}: {error.strerror}", "is the disk full or read-only?") from error
        return path

    @property
    def learned(self) -> Path:
        """Where learned factors lie."""
        return self.root / "learned"

    def data_names(self) -> list[str]:
        """Names of the data sets, sorted."""
        folder = self.root / "data"
        return sorted({path.stem for ending in _ENDINGS for path in folder.glob(f"*{ending}")})

    def data_path(self, name: str) -> Path:
        """Path of the data set `name`, whether or not it exists; a name may not leave the folder."""
        if not is_name(name):
            raise InputError(f"{name!r} is no name for a data set", "use letters, digits, - and _")
        return self.root / "data" / f"{name}.parquet"

    def stored_path(self, name: str) -> Path:
        """Path of the data set `name` as it is stored: one file, or a folder by year or by field."""
        whole = self.data_path(name)
        by_field = whole.with_suffix(".panel")
        return by_field if by_field.exists() and not whole.exists() else whole

    def resolve_data(self, given: str | None) -> Path:
        """Return the data set meant by `--data`: a name, a path, or the only one there is."""
        names = self.data_names()
        known = f"there is {', '.join(names)}" if names else "import some: alphaglow data import FILE"
        if given is None:
            if len(names) == 1:
                return self.stored_path(names[0])
            raise InputError("which data? say --data NAME", known)
        if given in names:
            return self.stored_path(given)
        path = Path(given)
        if path.suffix in _ENDINGS and path.exists():
            if not is_name(path.stem):
                raise InputError(f"{path.stem!r} is no name for a data set", "rename the file")
            return path
        raise InputError(f"no data set {given!r} in {self.root / 'data'}", known)

    def is_by_field(self, given: str) -> bool:
        """Whether the data set meant by `--data` is stored by field, for data larger than memory."""
        return self.resolve_part(given)[0].suffix == _ENDINGS[1]

    def resolve_part(self, given: str | None) -> tuple[Path, PanelPart]:
        """Return the data set meant by `--data`, and which part of it: `given` may be ``NAME@SINCE..UNTIL@ASSETS``."""
        from market.panel_part import WHOLE, read_part

        if given is None or "@" not in given or given in self.data_names() or Path(given).exists():
            return self.resolve_data(given), WHOLE
        name, part = read_part(given)
        return self.resolve_data(name or None), part

    def load_panel(self, given: str | None) -> Panel:
        """Load the data set meant by `--data`, to show or change the data themselves.

        Work under rules opens it by `agent.study.opening.open_data`.
        """
        from market.panel_store import load_panel

        return load_panel(self.resolve_data(given))


def is_name(text: str) -> bool:
    """Whether a text can name a file on any system, and be seen for what it is wherever it is shown."""
    whole = text.isprintable() and not any(sign in text for sign in '/\\:*?"<>|')
    ends = text[:1] not in ("", ".", "-", " ") and text[-1] not in (".", " ")
    return whole and ends and len(text) <= _LONGEST_NAME and text.split(".")[0].rstrip().upper() not in _DEVICES


def starter_path() -> Path:
    """Return where the starter knowledge base lies, installed or in a checkout (it may be absent)."""
    installed = Path(__file__).resolve().with_name("starter.db")
    return installed if installed.is_file() else Path(__file__).resolve().parents[2] / "knowledge.db"


def init_workspace(root: Path) -> Workspace:
    """Make a workspace in `root`, which must not hold one; other files there are left alone."""
    if (root / MARKER).exists():
        raise InputError(f"{root} is already a workspace", "use it, or choose another folder")
    from agent.study.settings_text import default_toml

    try:
        for name in FOLDERS:
            (root / name).mkdir(parents=True, exist_ok=True)
        # The marker comes last: a folder without it is not a workspace, so a failed init leaves none.
        if not (root / "knowledge.db").exists() and starter_path().is_file():
            shutil.copyfile(starter_path(), root / "knowledge.db")
        (root / MARKER).write_text(default_toml(), encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"cannot make a workspace in {root}: {error.strerror}", "choose a folder you may write"
        ) from error
    return Workspace(root)


def find_workspace(given: str | None, start: Path) -> Workspace:
    """Return the workspace named by `given`, or the nearest one at or above `start`."""
    if given is not None:
        root = Path(given)
        if not (root / MARKER).is_file():
            raise InputError(f"{root} is not a workspace (no {MARKER})", f"make one: alphaglow init {root}")
        return Workspace(root)
    for folder in (start, *start.parents):
        if (folder / MARKER).is_file():
            return Workspace(folder)
    raise InputError(
        "no workspace here or above", "make one with `alphaglow init DIR`, or name one with --workspace DIR"
    )
