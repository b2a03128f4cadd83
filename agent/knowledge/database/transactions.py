"""An open database: how transactions begin and end, and what becomes of what goes wrong."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from agent.knowledge.database import connection, schema
from agent.knowledge.database.connection import (
    BESIDE,
    for_claiming,
    for_reading,
    for_writing,
    make_engine,
    migrate,
    revision_of,
    use_wal,
)
from agent.knowledge.database.database_errors import Unreachable, in_words
from agent.knowledge.database.direct_connection import DirectConnection
from agent.knowledge.database.location import BaseLocation, place_of
from agent.knowledge.database.turns import Turn, wait_turn
from agent.knowledge.file_query import is_sealed
from agent.knowledge.tables.row_cache import Memory
from market.errors import InputError

# Seconds between tries to reach a server that answered before; over two minutes, then it is given up.
WAITS = (1, 2, 4, 8, 15, 30, 30, 30)
_SLICE = 0.25
Result = TypeVar("Result")
Given = TypeVar("Given")


def _to_stderr(said: str) -> None:
    sys.stderr.write(f"{said}\n")
    sys.stderr.flush()


class Handle:
    """An open database; use `open`, and close it or use it as a context manager.

    A server that does not answer any more is tried again for two minutes. `announce` is handed a line for each wait,
    and `stopping` is asked whether to give up before.
    """

    def __init__(self, place: BaseLocation, engine: Engine, *, is_new: bool = False) -> None:
        self.place = place
        self.is_new = is_new
        self._engine = engine
        self._memory = Memory(None if place.path is None else place.path.with_name(f"{place.path.name}.draws"))
        self._reader = for_reading(engine)
        self._writer = for_writing(engine)
        self._relaxed = for_writing(engine, relaxed=True)
        self._claimer = for_claiming(engine)
        self.announce: Callable[[str], None] = _to_stderr
        self.stopping: Callable[[], bool] = lambda: False
        # Figures that follow from what never changes here, for whoever will compute them again; lost with this object.
        self.computed: dict[object, dict[object, float]] = {}
        self._given_up = False

    @classmethod
    def open(cls, where: Path | str, *, create: bool = True, forward: bool = True) -> Self:
        """Open the file or URL, made if missing (unless `create` is false) and brought to the newest revision.

        Without `forward`, one of an older revision is refused instead.

        Raises
        ------
        InputError
            When it is missing, no knowledge base, of a newer revision, locked, read-only, out of reach, or the disk
            is full.
        """
        place = place_of(where)
        if place.path is not None and place.path.is_dir():
            raise InputError(f"{place} is a folder, not a knowledge base", "name the file")
        if not create and place.path is not None and not place.path.is_file():
            raise InputError(f"there is no knowledge base {place}", "make a workspace: alphaglow init DIR")
        engine = make_engine(place)
        try:
            with in_words(place):
                revision = schema.HEAD if create and forward else revision_of(engine, place)
                if revision is None:
                    raise InputError(f"there is no knowledge base in {place}", "name another one")
                if not forward and revision != schema.HEAD:
                    raise InputError(
                        f"the knowledge base {place} has revision {revision}, and not {schema.HEAD}",
                        "open it once in its own workspace: alphaglow kb list",
                    )
                is_new = migrate(engine, place)
                if place.path is not None and not is_sealed(place.path):
                    use_wal(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(place, engine, is_new=is_new)

    def _answers(self) -> None:
        """Return when the server answers, waiting for it, and saying so; one that was given up is waited for no more.

        Of a connection that broke in the pool the next is a new one.
        """
        if not self.place.on_server:
            return
        for seconds in (*WAITS, 0):
            try:
                with in_words(self.place), self._engine.connect():
                    self._given_up = False
                    return
            except Unreachable as error:
                if self._given_up or not seconds:
                    self._given_up = True
                    raise
                self.announce(f"{error.message}: trying again in {seconds} s")
                self._wait(seconds)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.stopping():
                self._given_up = True
                return
            time.sleep(_SLICE)

    def _write(self, work: Callable[[Session], Result], turn: Turn | None = None) -> Result:
        """Do work that changes nothing when it is done twice; again where the connection broke in the midst of it."""
        return self._twice(lambda: self._writing(turn=turn), work)

    def _record(self, work: Callable[[Session | Connection], Result], turn: Turn) -> Result:
        """Do work as `_write` does, without waiting for the disk; see `_recording`."""
        return self._twice(lambda: self._recording(turn), work)

    def _twice(self, begin: Callable[[], AbstractContextManager[Given]], work: Callable[[Given], Result]) -> Result:
        try:
            with begin() as given:
                return work(given)
        except Unreachable:
            if self._given_up:
                raise
        with begin() as given:
            return work(given)

    @contextmanager
    def _recording(self, turn: Turn) -> Iterator[Session | Connection]:
        """Lend a transaction that writes without waiting for the disk, in the quickest way, for what is often written.

        What an error breaks off is rolled back when the connection is given back.
        """
        if self.place.on_server:
            with self._writing(relaxed=True, turn=turn) as session:
                yield session
            return
        try:
            with in_words(self.place), closing(self._engine.raw_connection()) as borrowed:
                driver = borrowed.driver_connection
                assert isinstance(driver, sqlite3.Connection)
                driver.execute(f"PRAGMA synchronous={connection.RELAXED}")
                driver.execute("BEGIN IMMEDIATE")
                yield cast(Connection, DirectConnection(driver, self._engine.dialect))
                driver.execute("COMMIT")
        except BaseException:
            self._memory.forget_uncommitted()
            raise

    @contextmanager
    def lend(self) -> Iterator[Connection]:
        """Lend a connection that reads one state of the database and cannot write, for whatever may be asked of it."""
        self._answers()
        with in_words(self.place), self._reader.connect() as lent:
            yield lent

    @contextmanager
    def _asking_directly(self) -> Iterator[Connection]:
        """Lend what reads one state of the database in the quickest way, for what is asked at each attempt."""
        if self.place.on_server:
            with self.lend() as lent:
                yield lent
            return
        with in_words(self.place), closing(self._engine.raw_connection()) as borrowed:
            driver = borrowed.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            driver.execute("BEGIN")
            yield cast(Connection, DirectConnection(driver, self._engine.dialect))

    def require_writable(self, table: str = "attempts") -> None:
        """Refuse, as an `InputError`, what may be read and not be written, before work is spent on it.

        That is a file that is read-only, or a server's table into which its user may not write.
        """
        if self.place.on_server:
            with self.lend() as connection:
                right = connection.exec_driver_sql("SELECT has_table_privilege(%s, 'INSERT'), current_user", (table,))
                may, user = right.one()
            if not may:
                raise InputError(
                    f"the user {user} of the knowledge base {self.place} may not write into {table}",
                    "ask its owner for a role that may: alphaglow kb roles",
                )
        if self.place.path is not None and is_sealed(self.place.path):
            raise InputError(
                f"the knowledge base {self.place} is read-only",
                "make the file and its folder writable, or work on a copy",
            )

    def close(self) -> None:
        """Close every connection; the last one out folds the write-ahead log into the file."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        self._answers()
        with in_words(self.place), Session(self._reader) as session, session.begin():
            yield session

    @contextmanager
    def _claiming(self) -> Iterator[Session]:
        """Lend a transaction that changes rows which it locks itself; on a server, other writers go on meanwhile."""
        self._answers()
        with in_words(self.place), Session(self._claimer) as session, session.begin():
            yield session

    @contextmanager
    def _writing(self, *, relaxed: bool = False, turn: Turn | None = None) -> Iterator[Session]:
        """Lend a transaction of a writer, who waits for all others or, on a server, for those of the same `turn`."""
        self._answers()
        engine = self._relaxed if relaxed else self._writer
        beside = turn if self.place.on_server else None
        if beside is not None:
            engine = engine.execution_options(immediate=BESIDE)
        try:
            with in_words(self.place), Session(engine) as session, session.begin():
                if beside is not None:
                    wait_turn(session.connection(), beside)
                yield session
        except BaseException:
            self._memory.forget_uncommitted()
            raise
