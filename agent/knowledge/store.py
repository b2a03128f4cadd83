"""`KnowledgeBase`: the one door to a knowledge base file.

Every method is one transaction. Writers take SQLite's write lock when they begin, so several processes may
work on one file: they queue, for up to ten seconds. What can befall the file (locked, full, read-only,
damaged) is an `InputError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from agent.knowledge import attempts, bets, export, novelty, pools, runs, schema
from agent.knowledge.convert import (
    call_record,
    holdout_record,
    lesson_record,
    library_record,
    now,
    plain_dict,
    run_record,
)
from agent.knowledge.engine import in_words, make_engine, migrate, use_wal
from agent.knowledge.records import (
    AttemptRecord,
    CallRecord,
    DatasetRecord,
    ExportFormat,
    FactorRecord,
    HoldoutRecord,
    LessonRecord,
    LibraryRecord,
    Nearest,
    NewAttempt,
    NewCall,
    NewLesson,
    NewLibraryEntry,
    PoolRecord,
    RoundRecord,
    RunRecord,
    RunStatus,
    Totals,
    TrialCount,
)
from factors.novelty import Novelty, fingerprint
from factors.tree import Expression
from market.errors import InputError
from market.panel import FloatArray, Panel


class KnowledgeBase:
    """An open knowledge base; use `open`, and close it or use it as a context manager."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self.path = path
        self._reader = engine
        self._writer = engine.execution_options(immediate=True)

    @classmethod
    def open(cls, path: Path | str, *, create: bool = True) -> Self:
        """Open the file, made if missing (unless `create` is false) and brought to the newest revision.

        Raises
        ------
        InputError
            When it is missing, no knowledge base, of a newer revision, locked, read-only or the disk is full.
        """
        path = Path(path)
        if path.is_dir():
            raise InputError(f"{path} is a folder, not a knowledge base", "name the file")
        if not create and not path.is_file():
            raise InputError(f"there is no knowledge base {path}", "make a workspace: alphaglow init DIR")
        engine = make_engine(path)
        try:
            with in_words(path):
                migrate(engine, path)
                use_wal(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(path, engine)

    def close(self) -> None:
        """Close every connection; the last one out folds the write-ahead log into the file."""
        self._reader.dispose()

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
        with in_words(self.path), Session(self._reader) as session, session.begin():
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with in_words(self.path), Session(self._writer) as session, session.begin():
            yield session

    # Data sets, runs and rounds

    def register_dataset(self, panel: Panel) -> DatasetRecord:
        """Record a panel by its content id; known content keeps its first name."""
        with self._writing() as session:
            return runs.add_dataset(session, panel)

    def create_run(self, panel_id: str, config: Mapping[str, object], seed: int) -> RunRecord:
        """Record a new run on a registered panel, status ``running``."""
        with self._writing() as session:
            return runs.add_run(session, panel_id, config, seed)

    def runs(self, panel_id: str | None = None) -> list[RunRecord]:
        """Return runs, oldest first."""
        query = select(schema.Run).order_by(schema.Run.seq)
        if panel_id is not None:
            query = query.where(schema.Run.panel_id == panel_id)
        with self._reading() as session:
            return [run_record(row) for row in session.scalars(query)]

    def find_run(self, what: str) -> RunRecord | None:
        """Return the run with this id or unique beginning of one, or None; ambiguous: `InputError`."""
        with self._reading() as session:
            return runs.find_run(session, what)

    def get_run(self, what: str) -> RunRecord:
        """Return the run with this id or unique beginning of one; none is an `InputError`."""
        with self._reading() as session:
            return runs.get_run(session, what)

    def set_run_status(self, run_id: str, status: RunStatus) -> None:
        """Set a run's status and, unless it is ``running``, the time at which it stopped."""
        with self._writing() as session:
            runs.set_status(session, run_id, status)

    def start_round(
        self, run_id: str, number: int, brief: Mapping[str, object] | Callable[[], Mapping[str, object]]
    ) -> RoundRecord:
        """Start a round, or return it with its stored brief when it has started before.

        A callable brief is only called for a round that has not started. The brief that comes back has been
        through JSON in either case, so that a resumed round reads just what the first one read.
        """
        with self._reading() as session:
            found = runs.get_round(session, run_id, number)
        if found is not None:
            return found
        given = brief() if callable(brief) else brief
        with self._writing() as session:
            return runs.add_round(session, run_id, number, given)

    def finish_round(self, run_id: str, number: int, lessons: Sequence[NewLesson]) -> None:
        """Finish a round and store its lessons, in one transaction; doing it again changes nothing."""
        with self._writing() as session:
            runs.close_round(session, run_id, number, lessons)

    # Attempts and factors

    def record_attempt(self, attempt: NewAttempt) -> int:
        """Record an attempt whole; return its id, or the first one's where its place is taken."""
        with self._writing() as session:
            return attempts.add_attempt(session, attempt)

    def record_attempts(self, new: Sequence[NewAttempt]) -> None:
        """Record several attempts in one transaction; see `record_attempt`."""
        if new:
            leaders: dict[str, bets.Leaders] = {}
            with self._writing() as session:
                for attempt in new:
                    attempts.add_attempt(session, attempt, leaders)

    def attempts(
        self, run_id: str | None = None, round: int | None = None, *, panel_id: str | None = None, after: int = 0
    ) -> list[AttemptRecord]:
        """Return attempts, oldest first; with `after`, those that were recorded since the attempt of that id."""
        with self._reading() as session:
            return attempts.list_attempts(session, run_id, round, panel_id, after)

    def index_factors(self) -> int:
        """Index what older versions or other programs wrote; return the newest sequence number (see `novelty`)."""
        with self._reading() as session:
            complete = not novelty.missing(session)
            latest = novelty.newest(session)
        if complete:
            return latest
        with self._writing() as session:
            novelty.catch_up(session)
            return novelty.newest(session)

    def novelty(self, expression: Expression, *, until: int | None = None) -> Novelty:
        """Return what is known of a factor already, across all data sets and the published ones.

        `until` is a sequence number that `index_factors` gave: what became known later is left out.
        """
        latest = self.index_factors() if until is None else until
        with self._reading() as session:
            return novelty.look(session, fingerprint(expression.root), expression.id, latest)

    def scored_twin(
        self, expression: Expression, *, panel_id: str, ranks_alike: bool, until: int | None = None
    ) -> AttemptRecord | None:
        """Return the first attempt that scored this factor on a panel, or None.

        With `ranks_alike`, a factor that puts assets in the same order counts as well; `until` is the newest attempt
        that may be found.
        """
        print_ = fingerprint(expression.root) if ranks_alike else None
        with self._reading() as session:
            return attempts.scored_twin(session, expression.id, print_, panel_id, until)

    def get_factor(self, what: str, *, run_id: str | None = None, panel_id: str | None = None) -> FactorRecord:
        """Return a factor by its id or a unique beginning of it, with verdicts, scores, parents and children.

        `run_id` and `panel_id` narrow down which attempt is shown. Unknown or ambiguous: `InputError`.
        """
        with self._reading() as session:
            return attempts.get_factor(session, what, run_id, panel_id)

    def successes(self, panel_id: str, limit: int = 10) -> list[AttemptRecord]:
        """Return scored attempts that earned on train: accepted first, then the highest Sharpe ratio."""
        with self._reading() as session:
            return attempts.best(session, panel_id, limit)

    def failures(self, panel_id: str, limit: int = 10) -> list[AttemptRecord]:
        """Return attempts that were refused or earned nothing on train, newest first."""
        with self._reading() as session:
            return attempts.worst(session, panel_id, limit)

    def trials(self, panel_id: str) -> TrialCount:
        """Count all attempts and pools on a panel, with the variance of their per-bar Sharpe ratios."""
        with self._reading() as session:
            return attempts.count_trials(session, panel_id)

    def nearest_accepted(self, panel_id: str, sketch: FloatArray, *, but: str = "") -> Nearest:
        """Return the accepted factor whose returns on a panel correlate most with a sketch; `but` is left out."""
        with self._reading() as session:
            return bets.nearest_accepted(session, panel_id, sketch, but)

    def lessons(
        self, *, panel_id: str | None = None, run_id: str | None = None, limit: int | None = 50
    ) -> list[LessonRecord]:
        """Return lessons, the newest round's first, in each round the most useful first."""
        with self._reading() as session:
            return [lesson_record(row) for row in runs.list_lessons(session, panel_id, run_id, limit)]

    # Pools

    def record_pool(self, pool: PoolRecord) -> PoolRecord:
        """Record a fitted pool, which counts as a trial; one of the same content is left as it was recorded first."""
        with self._writing() as session:
            return pools.add_pool(session, pool)

    def pools(self, panel_id: str | None = None) -> list[PoolRecord]:
        """Return pools, oldest first."""
        with self._reading() as session:
            return pools.list_pools(session, panel_id)

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

    def standing_factors(self, panel_id: str, verdicts: Sequence[str]) -> list[AttemptRecord]:
        """Return the newest full score of each factor of a panel that has one of these verdicts, oldest first."""
        with self._reading() as session:
            return pools.standing_factors(session, panel_id, verdicts)

    # Model calls

    def journal_call(self, call: NewCall) -> CallRecord:
        """Journal a call; a call under a taken key moves the older one aside, and both still count."""
        with self._writing() as session:
            return runs.add_call(session, call)

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

    # Library, holdout, export

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

    def library(self) -> list[LibraryRecord]:
        """Return the published factors in the order in which they were added."""
        with self._reading() as session:
            rows = session.scalars(select(schema.LibraryEntry).order_by(schema.LibraryEntry.id))
            return [library_record(row) for row in rows]

    def holdout_openings(self, factor_id: str, panel_id: str) -> list[HoldoutRecord]:
        """Return every time that this factor saw the panel's holdout, oldest first."""
        row = schema.HoldoutOpening
        query = select(row).where(row.factor_id == factor_id, row.panel_id == panel_id).order_by(row.number)
        with self._reading() as session:
            return [holdout_record(found) for found in session.scalars(query)]

    def require_unopened(self, factor_id: str, panel_id: str) -> None:
        """Refuse, as an `InputError`, a factor that has seen this panel's holdout."""
        found = self.holdout_openings(factor_id, panel_id)
        if found:
            raise _opened(found[-1].factor_id, found[-1].opened_at)

    def record_holdout(
        self,
        factor_id: str,
        panel_id: str,
        result: Mapping[str, object],
        *,
        opened_by: str,
        rules: Mapping[str, object],
        again: bool = False,
    ) -> HoldoutRecord:
        """Record that a factor saw a panel's holdout; a second time is refused, as an `InputError`, unless `again`."""
        row = schema.HoldoutOpening
        with self._writing() as session:
            query = select(row).where(row.factor_id == factor_id, row.panel_id == panel_id).order_by(row.number)
            known = list(session.scalars(query))
            if known and not again:
                raise _opened(factor_id, known[-1].opened_at)
            new = schema.HoldoutOpening(
                factor_id=factor_id,
                panel_id=panel_id,
                number=len(known) + 1,
                opened_at=now(),
                opened_by=opened_by,
                rules=plain_dict(rules),
                result=plain_dict(result),
            )
            session.add(new)
            session.flush()
            return holdout_record(new)

    def export(self, form: ExportFormat = "json") -> str:
        """Return everything as JSON text, or the attempts with their scores as CSV text."""
        with self._reading() as session:
            return export.to_csv(session) if form == "csv" else export.to_json(session)


class RunJournal:
    """The calls of one run: what was paid for is kept, and found again by key."""

    def __init__(self, knowledge: KnowledgeBase, run_id: str) -> None:
        self._knowledge = knowledge
        self.run_id = run_id

    def find(self, key: str) -> CallRecord | None:
        """Return the newest call under `key`, or None."""
        return self._knowledge.find_call(self.run_id, key)

    def record(self, call: NewCall) -> CallRecord:
        """Journal a call under this run, whatever run it names."""
        return self._knowledge.journal_call(replace(call, run_id=self.run_id))


def _opened(factor_id: str, when: str) -> InputError:
    return InputError(
        f"the holdout was opened for {factor_id} at {when}, and it opens once",
        "see the recorded result with `alphaglow kb export`; --again opens it once more, which every report then shows",
    )
