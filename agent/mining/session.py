"""Starting and resuming a mining run: from what was asked to a running loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from agent.cluster.full_work import Ahead
from agent.cluster.spreading import Machines
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import NewCall, RunRecord
from agent.knowledge.run_config import Bounds, RunConfig, ScoringRules, read_run_config
from agent.knowledge.score_documents import Document
from agent.llm.addresses import check_server, warnings_about
from agent.llm.budget import Budget, StopRequested
from agent.llm.cassette import Cassette, Recorder, load_cassette, start_recording
from agent.llm.client import Halt, LanguageModel, ModelName, Speaking
from agent.llm.patience import RetryRules
from agent.llm.prompt_room import Room, find_room
from agent.llm.providers import Connection, Provider, ProviderAddress, model_for, provider_named
from agent.llm.providers.nothing import NoConnection
from agent.mining.briefing import write_brief
from agent.mining.feedback import COST
from agent.mining.inner_loop import Agents
from agent.mining.optimising import given_factor
from agent.mining.outer_loop import Event, Mine, Outcome, run_rounds
from agent.mining.request import FactorRequest, understand
from agent.mining.screening import require_cross_section
from agent.mining.spending import CostEstimate, count_spent, estimate_cost, make_budget, model_chain
from agent.study.detectable import detectable
from agent.study.gates import gate_path
from agent.study.lineage_notes import meet_data, say_left_out
from agent.study.opening import CurrentRules, Note, OpenData, RecordedRules, no_note, open_data
from agent.study.settings import LlmSettings, LoopSettings, Settings, loop_of
from agent.study.study import Study, remarks
from agent.study.workspace import Workspace
from backtest.warm_backtest import warm_backtest
from factors.warm_engine import warming
from market.errors import InputError

MOCK_MODEL = "mock"
# What goes on with a run of another kind.
_GO_ON = {
    "screen": "go on with: alphaglow screen --resume RUN",
    "learn": "learn it again: alphaglow learn",
    "eval": "it holds what people evaluated: alphaglow eval adds to it",
}


@dataclass(frozen=True)
class MineRequest:
    """What the command line asked for; None means: as the workspace's settings say."""

    data: str | None
    llm: str
    model: str | None = None
    base_url: str | None = None
    api: str | None = None
    rounds: int | None = None
    candidates: int | None = None
    seed: int | None = None
    bounds: Bounds = field(default_factory=Bounds)
    fallback: tuple[str, ...] = ()
    writers: tuple[str, ...] = ()
    judge_model: str | None = None
    gate: bool = True
    judge: bool | None = None
    proposals: int | None = None
    improve: str | None = None
    asked: FactorRequest | None = None
    record: Path | None = None
    replay: Path | None = None


@dataclass(frozen=True, eq=False)
class Session:
    """A run that is ready to go; `replay` answers in the place of a server, `record` keeps every exchange.

    `machines` score its candidates, where they are given.

    `config` is the run's own, or with the rounds that it was resumed for.
    """

    run: RunRecord
    study: Study
    knowledge: KnowledgeBase
    settings: Settings
    config: RunConfig
    budget: Budget
    simulated: bool
    expected: CostEstimate | None = None
    replay: Cassette | None = None
    record: Recorder | None = None
    machines: Machines | None = None

    @property
    def total(self) -> int:
        """Candidates of the whole run."""
        loop = loop_of(self.config)
        return loop.rounds * loop.candidates

    @property
    def done(self) -> int:
        """Candidates that are recorded already."""
        return self.knowledge.count_attempts(self.run.id)

    async def go(
        self,
        stop: Callable[[], bool],
        show: Callable[[Event, int], None],
        on_call: Callable[[NewCall], None] = lambda _call: None,
    ) -> Outcome:
        """Run the loops to their end, a stop or the budget; `on_call` is called with each exchange once it is kept."""
        loop, total = loop_of(self.config), self.total
        client = NoConnection() if self.replay is not None else _connect(self.config, self.settings)
        ahead = None if self.machines is None else Ahead(self.machines, self.study)
        try:

            def note(text: str) -> None:
                show(Event("note", 0, text=text), total)

            names = [model.name for model in _models(self.settings, self.config)]
            llm = self.settings.llm
            room = Room(None, llm.reply_tokens)
            if not self.simulated:
                room = await find_room(client, names, llm.prompt_tokens, llm.reply_tokens, note)
            agents = self._agents(client, room, stop, note, on_call)
            mine = Mine(
                self.study, self.knowledge, agents, self.run, loop, stop, lambda event: show(event, total), ahead
            )
            if self.simulated:
                return await run_rounds(mine)
            # While the first reply is on its way, the engine is compiled.
            with warming(warm_backtest):
                return await run_rounds(mine)
        finally:
            if ahead is not None:
                ahead.close()
            await client.close()

    def _agents(
        self,
        client: Connection,
        room: Room,
        stop: Callable[[], bool],
        note: Callable[[str], None],
        on_call: Callable[[NewCall], None],
    ) -> Agents:
        """Return who writes and who judges: models that share one budget and one journal."""
        llm, config, halt = self.settings.llm, self.config, Halt()
        modes = self.knowledge.known_modes(config.base_url, config.api)

        def speaking(name: str) -> LanguageModel:
            speech = Speaking(
                models=model_chain(self.settings, name, config.fallback),
                budget=self.budget,
                journal=self.knowledge.journal(self.run.id),
                reply_tokens=room.reply,
                prompt_tokens=room.prompt,
                halt=halt,
                before_call=partial(_refuse_when, stop),
                patience=RetryRules(tries=llm.tries),
                replay=self.replay,
                record=self.record,
                deadline_s=5 * llm.timeout_s,
                modes=modes,
                note=note,
                on_call=on_call,
                seed=self.run.seed,
            )
            return LanguageModel(client, speech)

        writers = {name: speaking(name) for name in (config.model, *config.writers)}
        judge = config.judge or config.model
        return Agents(writers, (writers.get(judge) or speaking(judge)) if loop_of(config).judge else None)


def _refuse_when(stop: Callable[[], bool]) -> None:
    if stop():
        raise StopRequested


def start_run(
    workspace: Workspace, knowledge: KnowledgeBase, request: MineRequest, *, note: Callable[[str], None]
) -> Session:
    """Record a new run and return it ready to go; everything that can be refused is refused before."""
    replay = None if request.replay is None else load_cassette(request.replay)
    # What was recorded was scored, and shown, by the rules of then.
    then = None if replay is None else read_run_config(replay.config)
    settings = workspace.settings if then is None else workspace.settings.under(then.rules)
    asked = {name: getattr(request, name) for name in ("rounds", "candidates", "seed", "judge", "proposals")}
    loop = settings.loop.model_copy(update={name: value for name, value in asked.items() if value is not None})
    opened = _open_new(workspace, request, then, loop, note)
    if request.gate and not gate_path(workspace, opened.name).is_file():
        note(f"no gate for {opened.name}: mining ungated (fit one: alphaglow flow fit --data {opened.name})")
    # A replay asks nobody: what its cassette is of decides, whether or not its provider is here.
    provider = None if replay is not None else provider_named(request.llm)
    simulated = then.simulated if then is not None else provider is not None and provider.simulated
    config = _asked_of(request, settings, opened, provider, simulated=simulated)
    models = _models(settings, config)
    check_server(config.base_url, tuple(one.name for one in models))
    if provider is not None:
        provider.check(_place(config, settings))
    budget = Budget(Bounds()) if replay is not None else make_budget(models, request.bounds, simulated=simulated)
    study = opened.study
    opened.say_dates()
    # What every candidate alike would be refused for is refused before the first call is paid for.
    require_cross_section(study)
    if provider is not None:
        for warning in warnings_about(config.base_url):
            note(warning)
    given = "" if request.improve is None else given_factor(request.improve, study, knowledge).text
    config = replace(config, rules=opened.recorded(), improve=given, request=_request_of(request, then, opened, note))
    for remark in remarks(study):
        note(remark)
    if loop.feedback == "validation":
        note(COST)
    meet_data(knowledge, opened.whole, note)
    say_left_out(knowledge, opened, note)
    note(detectable(study, knowledge, more=loop.rounds * loop.candidates).sentence())
    run = knowledge.create_run(opened.whole.id, config, loop.seed)
    expected = None
    if not simulated and replay is None:
        brief = write_brief(study, knowledge, run, 1)
        expected = estimate_cost(brief, loop, models[0], settings.llm.reply_tokens)
    record = None if request.record is None else start_recording(request.record, _recorded(run))
    return Session(run, study, knowledge, settings, config, budget, simulated, expected, replay, record)


def _request_of(request: MineRequest, then: RunConfig | None, opened: OpenData, note: Note) -> Document | None:
    """Return what each proposal of a new run has to keep to, and say how the request was read; a replay's is its own.

    None: nothing was asked for.
    """
    if then is not None:
        return then.request
    if not request.asked:
        return None
    study = opened.study
    found = understand(request.asked, study.fields, study.panel.bar, longest=study.max_lookback)
    for text in found.notes:
        note(text)
    return found.constraints.to_dict()


def _asked_of(
    request: MineRequest, settings: Settings, opened: OpenData, provider: Provider | None, *, simulated: bool
) -> RunConfig:
    """Return whom a new run asks, without its gate and inputs yet; without a provider, it is replayed."""
    model = (request.model or "") if provider is None else model_for(provider, request.model, settings.llm.model)
    # A simulated model has no company; a replay has the company that it had.
    llm = LlmSettings() if simulated or provider is None else settings.llm
    url = request.base_url or ("" if provider is None else settings.llm.base_url)
    return RunConfig(
        data=opened.name if opened.part else str(request.data or opened.name),
        llm=request.llm,
        model=model,
        simulated=simulated,
        writers=tuple(request.writers or llm.writers),
        judge=llm.judge if request.judge_model is None else request.judge_model,
        fallback=tuple(request.fallback or llm.fallback),
        base_url=url if provider is None else provider.address(url),
        api=request.api or settings.llm.api,
        rules=ScoringRules(opened.settings.rules()),
        bounds=request.bounds,
        replay="" if request.replay is None else str(request.replay),
    )


def replay_request(path: Path) -> MineRequest:
    """Return the request of the run that a cassette is of."""
    config = read_run_config(load_cassette(path).config)
    if not (config.data and config.llm and config.model):
        raise InputError(f"{path} does not say what it is a cassette of", "record the run again")
    return MineRequest(
        data=config.data,
        llm=config.llm,
        model=config.model,
        base_url=config.base_url,
        api=config.api,
        improve=config.improve or None,
        fallback=config.fallback,
        writers=config.writers,
        judge_model=config.judge,
        bounds=config.bounds,
        gate=bool(config.rules.gate),
        replay=path,
    )


def _recorded(run: RunRecord) -> Document:
    """Return what a cassette holds of a run's configuration: what decides its prompts, and where it asked."""
    return {key: value for key, value in run.config_document.items() if key != "replay"}


def resume_run(
    workspace: Workspace,
    knowledge: KnowledgeBase,
    run_id: str,
    *,
    rounds: int | None = None,
    bounds: Bounds | None = None,
    record: Path | None = None,
    note: Note = no_note,
) -> Session:
    """Return the run `run_id` ready to go on under its recorded rules. `bounds` that are set replace its own.

    Raises
    ------
    InputError
        When it is no mining run, or its data, its gate, its regimes or its learned factors were replaced since it
        started.
    """
    run = knowledge.get_run(run_id)
    if run.config.kind != "mine":
        raise InputError(f"{run.id} is no mining run", _GO_ON[run.config.kind])
    loop = loop_of(run.config)
    if rounds is not None:
        loop = loop.model_copy(update={"rounds": rounds})
    config = replace(run.config, rules=run.config.rules.with_loop(loop.model_dump()))
    settings = workspace.settings
    models = _models(settings, config)
    check_server(config.base_url, tuple(one.name for one in models))
    replay = load_cassette(Path(config.replay)) if config.replay else None
    calls = knowledge.calls(run.id)
    simulated = run.simulated
    if replay is not None:
        budget = Budget(Bounds())
    else:
        provider = provider_named(config.llm)
        provider.check(_place(config, settings))
        for warning in warnings_about(config.base_url):
            note(warning)
        simulated = provider.simulated
        budget = make_budget(models, _bounds(config, bounds), simulated=simulated)
        count_spent(budget, calls, models, settings.llm.reply_tokens)
    rules = replace(RecordedRules.of_run(run), recorded=config.rules)
    study = open_data(workspace, None, rules, note=note).study
    recorder = None if record is None else start_recording(record, _recorded(run), calls)
    return Session(run, study, knowledge, settings, config, budget, simulated, None, replay, recorder)


def _bounds(config: RunConfig, asked: Bounds | None) -> Bounds:
    """Return a recorded run's bounds with what is asked for now in their place."""
    given = {} if asked is None else {name: value for name, value in asdict(asked).items() if value is not None}
    return replace(config.bounds, **given)


def _models(settings: Settings, config: RunConfig) -> tuple[ModelName, ...]:
    """Return every model that a run may ask, the first writer first."""
    judge = (config.judge,) if config.judge else ()
    others = (*config.writers, *judge, *config.fallback)
    return model_chain(settings, config.model, list(dict.fromkeys(others)))


def _open_new(
    workspace: Workspace, request: MineRequest, then: RunConfig | None, loop: LoopSettings, note: Note
) -> OpenData:
    """Open the data of a new run: under the settings of now, or those of the recording that it repeats."""
    if then is None:
        return open_data(workspace, request.data, CurrentRules(loop), gate=request.gate, note=note)
    # Whoever repeats a recording elsewhere fitted the gate again: it is said, and not refused.
    rules = RecordedRules(then.rules.with_loop(loop.model_dump()), then.data, "the cassette", strict=False)
    return open_data(workspace, request.data, rules, gate=request.gate, note=note)


def _place(config: RunConfig, settings: Settings) -> ProviderAddress:
    """Return where a run asks."""
    return ProviderAddress(
        config.base_url, config.api, settings.llm.timeout_s, loop_of(config).seed, settings.llm.key_env
    )


def _connect(config: RunConfig, settings: Settings) -> Connection:
    return provider_named(config.llm).connect(_place(config, settings))
