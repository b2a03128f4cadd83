"""What the commands that run the loops share: their options, how they are driven, what they print."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.cluster_option import cluster_of, cluster_option
from agent.cli.common import Command, graceful_stop, living, panel_option, require_positive, stderr, with_options
from market.errors import InputError

if TYPE_CHECKING:
    from agent.cli.events import Lines
    from agent.cli.live_table import LiveTable
    from agent.knowledge.knowledge_base import KnowledgeBase
    from agent.knowledge.records import NewCall
    from agent.knowledge.run_config import Bounds
    from agent.mining.session import MineRequest, Session
    from agent.study.workspace import Workspace

Note = Callable[[str], None]
_OPTIONS = (
    panel_option,
    click.option(
        "--llm",
        metavar="NAME",
        help="Provider of models. mock: simulated, offline. openai: any OpenAI-compatible server. Others may be added.",
    ),
    click.option("--model", help="Model name to ask the server for."),
    click.option("--judge-model", metavar="MODEL", help="Another model to judge."),
    click.option("--writer", "writers", multiple=True, metavar="MODEL", help="Another model to write, too."),
    click.option("--fallback", multiple=True, metavar="MODEL", help="Ask this one when a model can no longer answer."),
    click.option("--base-url", help="Server, such as http://localhost:11434/v1 (default: OpenAI's)."),
    click.option(
        "--api", type=click.Choice(["chat", "responses"]), help="How the server is asked (default: chat, all know it)."
    ),
    click.option("--rounds", type=click.IntRange(min=1), help="Outer rounds."),
    click.option("--candidates", type=click.IntRange(min=1), help="Candidates a round."),
    click.option("--proposals", type=click.IntRange(1, 50), help="Candidates that one call asks for."),
    click.option("--seed", type=click.IntRange(min=0), help="Seed of the run (and of the mock model)."),
    click.option("--budget-usd", type=float, help="Stop before a call could spend more than this."),
    click.option(
        "--budget-tokens", type=click.IntRange(min=1), help="Stop before a call could take more tokens than this."
    ),
    click.option("--budget-calls", type=click.IntRange(min=1), help="Stop before making more calls than this."),
    click.option("--budget-minutes", type=float, help="Stop after this long."),
    click.option(
        "--record", type=click.Path(dir_okay=False, path_type=Path), help="Write every exchange to a cassette."
    ),
    click.option("--no-judge", is_flag=True, help="Score what can be read and is new, unjudged."),
    cluster_option,
    click.option("--no-gate", is_flag=True, help="Without a regime gate."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object an event; the last is the summary."),
)


def loop_options(command: Command) -> Command:
    """Add the options of a command that runs the loops; it gets them as keywords, for `Asked.of`."""
    return with_options(command, _OPTIONS)


@dataclass(frozen=True)
class Asked:
    """The options of `loop_options`, as they were given."""

    data_name: str | None
    llm: str | None
    model: str | None
    judge_model: str | None
    writers: tuple[str, ...]
    fallback: tuple[str, ...]
    base_url: str | None
    api: str | None
    rounds: int | None
    candidates: int | None
    proposals: int | None
    seed: int | None
    budget_usd: float | None
    budget_tokens: int | None
    budget_calls: int | None
    budget_minutes: float | None
    record: Path | None
    no_judge: bool
    no_gate: bool
    cluster: str | None
    as_json: bool

    @classmethod
    def nothing(cls, *, as_json: bool) -> Asked:
        """Return what is asked where all was said before: of a run that goes on."""
        said: dict[str, Any] = {field.name: None for field in fields(cls)}
        said |= {"writers": (), "fallback": (), "no_judge": False, "no_gate": False, "as_json": as_json}
        return cls(**said)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Asked:
        """Read the keywords of a command."""
        asked = cls(**{field.name: options[field.name] for field in fields(cls)})
        require_positive("--budget-usd", asked.budget_usd)
        require_positive("--budget-minutes", asked.budget_minutes)
        return asked

    def bounds(self) -> Bounds:
        """Return the budgets that were given."""
        from agent.knowledge.run_config import Bounds

        seconds = None if self.budget_minutes is None else 60.0 * self.budget_minutes
        return Bounds(self.budget_calls, self.budget_usd, self.budget_tokens, seconds)

    def request(self, **more: Any) -> MineRequest:  # noqa: ANN401 - fields of the request
        """Return what is asked of a new run."""
        from agent.llm.providers import DEFAULT
        from agent.mining.session import MineRequest

        return MineRequest(
            data=self.data_name,
            llm=self.llm or DEFAULT,
            model=self.model,
            judge_model=self.judge_model,
            writers=self.writers,
            fallback=self.fallback,
            base_url=self.base_url,
            api=self.api,
            rounds=self.rounds,
            candidates=self.candidates,
            proposals=self.proposals,
            seed=self.seed,
            bounds=self.bounds(),
            gate=not self.no_gate,
            judge=False if self.no_judge else None,
            record=self.record,
            **more,
        )

    def require_model(self, workspace: Workspace) -> None:
        """Refuse a new run that names no model, before anything is loaded for it."""
        from agent.llm.providers import DEFAULT, model_for, provider_named

        model_for(provider_named(self.llm or DEFAULT), self.model, workspace.settings.llm.model)

    def refuse_all_but(self, allowed: tuple[str, ...], where: str, hint: str, also: tuple[str, ...] = ()) -> None:
        """Refuse, as an `InputError`, what was given (and `also` that) and cannot change where a run goes on."""
        names = {"data_name": "data", "writers": "writer"}
        given = [f.name for f in fields(self) if f.name not in allowed]
        given = [name for name in given if getattr(self, name) not in (None, False, ())]
        refused = [f"--{names.get(name, name).replace('_', '-')}" for name in given] + list(also)
        if refused:
            raise InputError(f"{', '.join(refused)} cannot change on {where}", hint)


# What may be said where a recorded run goes on.
GOING_ON = ("cluster", "rounds", "record", "as_json", "budget_usd", "budget_tokens", "budget_calls", "budget_minutes")


def say(text: str) -> None:
    """Say something on stderr, as it stands; a terminal's lines are broken between words."""
    err = stderr()
    err.print(text, soft_wrap=not err.is_terminal, markup=False)


@dataclass(frozen=True, eq=False)
class Conducted:
    """A run that came to its end, a stop or the budget, and the lines that report it where JSON was asked for."""

    session: Session
    outcome: str
    lines: Lines | None

    def summary(self, knowledge: KnowledgeBase, command: str, **more: object) -> bool:
        """Say the summary as the last event; False where no JSON was asked for, and nothing is said."""
        if self.lines is None:
            return False
        from agent.cli.attempt_tables import run_summary

        self.lines.say("summary", **run_summary(knowledge, self.session.run.id, self.outcome), **more)
        if self.outcome != "finished":
            say(f"go on with: alphaglow {command} --resume {self.session.run.id}")
        return True


def never() -> bool:
    """Ask for no stop."""
    return False


def conduct(
    workspace: Workspace, begin: Callable[[Note], Session], asked: Asked, stop: Callable[[], bool] = never
) -> Conducted:
    """Begin a run, say which it is and what it is expected to take, and drive it, on a cluster where one is asked for.

    `stop` is asked as well as Ctrl-C and the file STOP.

    A cluster that cannot be joined is refused before anything is recorded.
    """
    with cluster_of(workspace, asked.cluster, say) as cluster:

        def on_cluster(note: Note) -> Session:
            session = begin(note)
            return session if cluster is None else replace(session, machines=cluster)

        return _conduct(workspace, on_cluster, stop, as_json=asked.as_json)


def _conduct(
    workspace: Workspace, begin: Callable[[Note], Session], stop: Callable[[], bool], *, as_json: bool
) -> Conducted:
    from agent.cli.events import Lines
    from agent.cli.live_table import LiveTable

    notes: list[str] = []
    lines = Lines(warn=say) if as_json else None
    table = LiveTable()

    def note(text: str) -> None:
        notes.append(text)
        say(text)

    # From the first second on, since data may take long to open.
    with living(table, as_json=as_json):
        session = begin(note)
    if lines is not None:
        lines.begin(session)
        for text in notes:
            lines.say("note", text=text)
    else:
        stderr().print(f"run {session.run.id}")
        if session.expected is not None:
            stderr().print(session.expected.sentence(), soft_wrap=not stderr().is_terminal)
    try:
        outcome = drive(session, workspace.root / "STOP", lines, table, stop)
    except InputError:
        say(f"What was paid for is kept; go on with --resume {session.run.id}")
        _alert_stopped(workspace, session)
        raise
    _alert_ended(workspace, session, outcome)
    return Conducted(session, outcome, lines)


def _alert_stopped(workspace: Workspace, session: Session) -> None:
    """Say to people's services that a run stopped; not by what, for such a sentence may hold an address."""
    from agent.live.alerts import Alert, send_alerts

    run = session.run.id
    text = f"run {run} on {session.config.data} was stopped by an error; go on with --resume {run}"
    send_alerts(workspace, [Alert("run ended", f"{run} stopped", text)], say)


def _alert_ended(workspace: Workspace, session: Session, outcome: str) -> None:
    """Say to people's services that a run ended, that its budget is spent, and what it admitted."""
    from agent.knowledge.attempt_figures import verdict_of
    from agent.live.alerts import Alert, send_alerts

    run, data = session.run.id, session.config.data
    attempts = session.knowledge.attempts(run_id=run)
    accepted = [one for one in attempts if one.factor_id and verdict_of(one) == "accepted"]
    ended = f"{len(attempts)} attempts on {data}, {len(accepted)} accepted"
    alerts = [Alert("run ended", f"{run} {outcome} {len(attempts)}", f"run {run} {outcome}: {ended}")]
    if outcome == "budget":
        alerts.append(Alert("budget spent", f"{run} {len(attempts)}", f"the budget of run {run} is spent"))
    alerts += [
        Alert("admitted", str(one.factor_id), f"accepted on {data}: {str(one.factor_id)[7:17]}") for one in accepted
    ]
    send_alerts(workspace, alerts, say)


def drive(
    session: Session,
    stop_file: Path | None = None,
    lines: Lines | None = None,
    table: LiveTable | None = None,
    also_stop: Callable[[], bool] = never,
) -> str:
    """Run a mining session; the first Ctrl-C asks it to stop, the second insists.

    A `stop_file` asks as well, as long as it is there, and so do `also_stop` and `lines` that nobody reads any more.
    A terminal shows a table that lives (`table`, which may have begun before the run); elsewhere each event is a line.
    """
    import asyncio

    from agent.cli.live_line import LiveLine
    from agent.cli.live_table import LiveTable
    from agent.mining.outer_loop import Event

    live = LiveLine(session.budget, session.total, before=session.done)
    table = table or LiveTable()
    table.attach(session, live)
    with living(table, as_json=lines is not None) as console, graceful_stop() as asked:
        err = console or stderr()

        def stop() -> bool:
            unread = lines is not None and lines.closed
            return asked() or unread or also_stop() or (stop_file is not None and stop_file.exists())

        def show(event: Event, _total: int) -> None:
            live.take(event)
            if console is not None:
                table.take(event)
            if lines is not None:
                lines.take(event, session)
            if event.kind == "note":
                say(event.text)
            elif console is None:
                live.plain(event, err)

        def heard(call: NewCall) -> None:
            table.heard(call)
            if lines is not None:
                lines.call(call)

        outcome: str = asyncio.run(session.go(stop, show, heard))
    return outcome
