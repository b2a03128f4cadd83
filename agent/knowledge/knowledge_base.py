"""`KnowledgeBase`: the one door to a knowledge base, in a SQLite file or a PostgreSQL database.

Every method is one transaction. Writers take a lock when they begin, so several processes may work on one
knowledge base: they queue, on a server behind those alone who write to the same trials, or the same run. What can
befall it (locked, full, read-only, damaged, gone) is an `InputError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from sqlalchemy import Connection, select

from agent.knowledge.database import schema
from agent.knowledge.database.turns import MOST_TRIALS, turn_of_run, turn_of_trials
from agent.knowledge.dataset_records import SAME_DATA
from agent.knowledge.factor_records import Found
from agent.knowledge.library_records import NewLibraryEntry
from agent.knowledge.lineage_access import LineageAccess
from agent.knowledge.listing import Ask, list_attempts
from agent.knowledge.looking_up import LookingUp, list_lessons
from agent.knowledge.pool_records import PoolRecord
from agent.knowledge.reassessments import Reassessments
from agent.knowledge.recalling import Recalling
from agent.knowledge.records import (
    AttemptRecord,
    CallRecord,
    Content,
    ExportFormat,
    LessonRecord,
    NewAttempt,
    NewCall,
    NewLesson,
    RoundRecord,
    RunRecord,
    RunStatus,
    Totals,
)
from agent.knowledge.related_returns import RelatedReturns
from agent.knowledge.remarks import Remarks
from agent.knowledge.run_config import RunConfig
from agent.knowledge.run_journal import RunJournal
from agent.knowledge.run_queue import RunQueue
from agent.knowledge.score_documents import Document
from agent.knowledge.tables import attempts, datasets, pools, runs
from agent.knowledge.tables import novelty_index as novelty
from agent.knowledge.tables.convert import call_record, plain_dict
from agent.knowledge.tables.row_cache import load_attempts
from agent.knowledge.watch_keeping import Watches
from market.errors import InputError

if TYPE_CHECKING:
    from agent.knowledge.transfer import merging
    from agent.knowledge.transfer.table_rows import KnowledgeSource
    from factors.overlap import Novelty
    from factors.tree import Expression


def _silent(_what: str, _done: int) -> None:
    """Show nothing of the progress."""


class KnowledgeBase(LineageAccess, RelatedReturns, Reassessments, Recalling, Remarks, Watches, RunQueue, LookingUp):
    """An open knowledge base; use `open`, and close it or use it as a context manager."""

    @contextmanager
    def asking(self) -> Iterator[Ask]:
        """Lend what runs a SELECT in one transaction."""
        with self._reading() as session:
            yield attempts.ask_of(session)

    @property
    def on_server(self) -> bool:
        """Whether it lies on a server."""
        return self.place.on_server

    # Data sets, runs and rounds

    def create_run(self, panel_id: str, config: RunConfig, seed: int) -> RunRecord:
        """Record a new run on a registered panel, status ``running``."""
        with self._writing() as session:
            return runs.add_run(session, panel_id, config, seed)

    def set_run_status(self, run_id: str, status: RunStatus) -> None:
        """Set a run's status and, unless it is ``running``, the time at which it stopped."""
        self._write(lambda session: runs.set_status(session, run_id, status), turn_of_run(run_id))

    @overload
    def start_round(
        self, run_id: str, number: int, brief: Document | Callable[[], Document]
    ) -> RoundRecord[Document]: ...

    @overload
    def start_round(
        self,
        run_id: str,
        number: int,
        brief: Document | Callable[[], Document],
        read: Callable[[Document], Content],
    ) -> RoundRecord[Content]: ...

    def start_round(
        self,
        run_id: str,
        number: int,
        brief: Document | Callable[[], Document],
        read: Callable[[Document], Any] = dict,
    ) -> RoundRecord[Any]:
        """Start a round, or return it with its stored brief when it has started before.

        A callable brief is only called for a round that has not started. The brief that comes back is what `read` makes
        of the stored document. It has been through JSON in either case, so that a resumed round reads just what the
        first one read.
        """
        with self._reading() as session:
            found = runs.get_round(session, run_id, number, read)
        if found is not None:
            return found
        given = brief() if callable(brief) else brief
        return self._write(lambda session: runs.add_round(session, run_id, number, given, read), turn_of_run(run_id))

    def finish_round(self, run_id: str, number: int, lessons: Sequence[NewLesson]) -> None:
        """Finish a round and store its lessons, in one transaction; doing it again changes nothing."""
        self._write(lambda session: runs.close_round(session, run_id, number, lessons), turn_of_run(run_id))

    # Attempts and factors

    def record_attempt(self, attempt: NewAttempt) -> int:
        """Record an attempt whole; return its id, or the first one's where its place is taken.

        The disk is not waited for: after a power cut, what is lost of it is made again from the replies, which are.
        """
        turn = turn_of_trials([attempt])
        return self._record(lambda session: attempts.add_attempt(session, attempt, self._memory), turn)

    def record_attempts(self, new: Sequence[NewAttempt]) -> None:
        """Record several attempts in one transaction, on a server a few in each; see `record_attempt`."""
        most = MOST_TRIALS if self.place.on_server else max(len(new), 1)
        for start in range(0, len(new), most):
            some = new[start : start + most]
            with self._recording(turn_of_trials(some)) as session:
                for attempt in some:
                    attempts.add_attempt(session, attempt, self._memory)

    def attempts(
        self,
        run_id: str | None = None,
        round: int | None = None,
        *,
        panel_id: str | None = None,
        related: Literal["none", "earlier", "all"] = "none",
    ) -> list[AttemptRecord]:
        """Return attempts, oldest first; of a panel, with those of `related` ones.

        ``earlier`` are related panels that begin and end no later: what was train there is not validation here.

        Those of a panel are remembered: asked again, only new ones are read. They are shared, so change none. A panel
        may have very many: a search asks for `recalled`.
        """
        with self._memory.reading(), self._reading() as session:
            if run_id is not None or panel_id is None:
                found = list_attempts(attempts.ask_of(session), run_id, round)
                return [attempt for attempt in found if panel_id is None or attempt.panel_id == panel_id]
            panels = datasets.chosen_ids(session, panel_id, related)
            found = [a for one in panels for a in self._memory.attempts(session, one)]
        if len(panels) > 1:
            found.sort(key=lambda attempt: attempt.id)
        return [attempt for attempt in found if round is None or attempt.round == round]

    def index_factors(self) -> int:
        """Index what older versions or other programs wrote; return the newest sequence number (see `novelty`).

        No number below it is given later: on a server, those who write on other data are waited for.
        """
        latest = self._index()
        if not self.place.on_server:
            return latest
        with self._writing() as session:
            return novelty.newest(session.connection())[0]

    def _index(self) -> int:
        with self.lend() as connection:
            latest = self._indexed(connection)
        if latest is not None:
            return latest
        with self._writing() as session:
            novelty.catch_up(session)
            return novelty.newest(session.connection())[0]

    def _indexed(self, connection: Connection) -> int | None:
        """Return the newest sequence number, or None where something is not indexed."""
        with self._memory.reading():
            latest, written = novelty.newest(connection)
            if written != self._memory.indexed and novelty.is_behind(connection, self._memory.indexed):
                return None
            self._memory.indexed = written
            return latest

    def novelty(self, expression: Expression, *, until: int | None = None) -> Novelty:
        """Return what is known of a factor already, across all data sets and the published ones.

        `until` is a sequence number that `index_factors` gave: what became known later is left out.
        """
        print_ = self._memory.fingerprint(expression)
        with self._asking_directly() as connection:
            latest = self._indexed(connection) if until is None else until
            if latest is not None:
                return novelty.look(connection, print_, expression.id, latest)
        latest = self._index()
        with self._asking_directly() as connection:
            return novelty.look(connection, print_, expression.id, latest)

    def scored_twin(
        self,
        expression: Expression,
        *,
        panel_id: str,
        ranks_alike: bool,
        until: int | None = None,
        covered: float = 1.0,
    ) -> AttemptRecord | None:
        """Return the first attempt that scored this factor on a panel, or None.

        With `ranks_alike`, a factor that puts assets in the same order counts as well; `until` is the newest attempt
        that may be found. With `covered` below 1, an attempt on related data that have this share of the panel's cells
        counts as well.
        """
        print_ = self._memory.fingerprint(expression) if ranks_alike else None
        with self._asking_directly() as connection:
            panels = (panel_id,) if covered >= 1.0 else datasets.related_ids(connection, panel_id, covered=covered)
            number = attempts.scored_twin(connection, expression.id, print_, panels, until)
            return None if number is None else load_attempts(connection, [number])[0]

    def evaluated(
        self, factor_id: str, panel_id: str, *, rules: str | None = None, code: str | None = None
    ) -> list[AttemptRecord]:
        """Return what was scored of a factor on a panel, oldest first: under these rules, by this code."""
        with self._reading() as session:
            return attempts.evaluated(session, factor_id, panel_id, rules, code)

    def alike(self, expression: Expression, panel_id: str | None = None, limit: int = 10) -> list[Found]:
        """Return attempts at other factors that share parts with an expression, the most alike first."""
        self._index()
        with self._reading() as session:
            return attempts.alike(session, expression, panel_id, limit)

    def lessons(
        self,
        *,
        panel_id: str | None = None,
        run_id: str | None = None,
        limit: int | None = 50,
        related: Literal["none", "earlier", "all"] = "none",
    ) -> list[LessonRecord]:
        """Return lessons, the newest round's first, in each round the most useful first; `related` as of `attempts`."""
        with self._reading() as session:
            panels = None if panel_id is None else datasets.chosen_ids(session, panel_id, related)
            return list_lessons(attempts.ask_of(session), panels, run_id, limit)

    # Pools

    def record_pool(self, pool: PoolRecord) -> PoolRecord:
        """Record a fitted pool, which counts as a trial; one of the same content is left as it was recorded first."""
        with self._writing() as session:
            return pools.add_pool(session, pool)

    def pools(
        self, panel_id: str | None = None, *, related: Literal["none", "earlier", "all"] = "none"
    ) -> list[PoolRecord]:
        """Return pools, oldest first; `related` as of `attempts`."""
        with self._reading() as session:
            panels = None if panel_id is None else datasets.chosen_ids(session, panel_id, related)
            return pools.panel_pools(session, panels)

    def find_pool(self, what: str) -> PoolRecord | None:
        """Return the pool of this name, id or unique beginning of an id, or None; ambiguous: `InputError`."""
        with self._reading() as session:
            return pools.find_pool(session, what)

    def get_pool(self, what: str) -> PoolRecord:
        """Return the pool of this name, id or unique beginning of an id; none is an `InputError`."""
        found = self.find_pool(what)
        if found is None:
            raise InputError(f"no pool {what!r}", "list them: alphaglow pool list")
        return found

    def factors_with_verdict(self, panel_id: str, verdicts: Sequence[str]) -> list[AttemptRecord]:
        """Return the newest full score of each factor of a panel that has one of these verdicts, oldest first.

        Where the panel grew, or shares nearly all its bars with others, factors that were scored there count too.
        """
        with self._reading() as session:
            panels = datasets.related_ids(session.connection(), panel_id, covered=SAME_DATA)
            return pools.factors_with_verdict(session, panels, verdicts)

    # Model calls

    def journal_call(self, call: NewCall) -> CallRecord:
        """Journal a call; a call under a taken key moves the older one aside, and both still count."""
        with self._writing(turn=turn_of_run(call.run_id)) as session:
            return runs.add_call(session, call)

    def journal_lost(self, run_id: str, key: str, role: str, model: str, request: str) -> None:
        """Journal a call that was sent and got no answer; see `RunJournal.lose`."""
        with self._writing(turn=turn_of_run(run_id)) as session:
            runs.add_lost(session, run_id, key, role, model, request)

    def find_call(self, run_id: str, key: str) -> CallRecord | None:
        """Return the newest call of a run under `key`, or None."""
        with self._reading() as session:
            return runs.get_call(session, run_id, key)

    def calls(self, run_id: str) -> list[CallRecord]:
        """Return a run's calls, oldest first."""
        query = select(schema.LLMCall).where(schema.LLMCall.run_id == run_id).order_by(schema.LLMCall.id)
        with self._reading() as session:
            return [call_record(row) for row in session.scalars(query)]

    def known_modes(self, base_url: str, api: str = "chat") -> dict[str, str]:
        """Return by which form each model of a server answered last: how it is asked first."""
        with self._reading() as session:
            return runs.newest_modes(session, base_url, api)

    def calls_total(self, run_id: str) -> Totals:
        """Return what a run's calls add up to."""
        with self._reading() as session:
            return runs.total_calls(session, run_id)

    def journal(self, run_id: str) -> RunJournal:
        """Return the journal of one run."""
        return RunJournal(self, run_id)

    # Library, export

    def library_add(self, entries: Sequence[NewLibraryEntry]) -> None:
        """Add published factors; one of the same source and name is replaced."""
        with self._writing() as session:
            for entry in entries:
                same = (schema.LibraryEntry.source == entry.source, schema.LibraryEntry.name == entry.name)
                row = session.scalar(select(schema.LibraryEntry).where(*same)) or schema.LibraryEntry()
                for name, value in plain_dict(entry.to_dict()).items():
                    setattr(row, name, value)
                session.add(row)
                session.flush()
            novelty.catch_up(session)

    def library_copy(self, starter: Path) -> None:
        """Take the published factors over from a starter file, where this base has none; see `starter_copy`."""
        from agent.knowledge.transfer.starter_copy import copy_library

        with self._writing() as session:
            copy_library(session, starter)

    def take_in(self, source: KnowledgeSource, show: merging.Show = _silent) -> merging.Merged:
        """Add what another knowledge base has and this one has not, all or nothing; see `transfer.merging`."""
        from agent.knowledge.transfer import merging

        with self._writing() as session:
            return merging.take_in(session, source, show)

    @contextmanager
    def as_source(self) -> Iterator[KnowledgeSource]:
        """Lend all that it holds, as of one moment."""
        from agent.knowledge.transfer.table_rows import StoredSource

        with self._reading() as session:
            yield StoredSource(session)

    def export(self, form: ExportFormat = "json") -> str:
        """Return everything as JSON text, or the attempts with their scores as CSV text."""
        from agent.knowledge.transfer import dump as export

        with self._reading() as session:
            return export.to_csv(session) if form == "csv" else export.to_json(session)
