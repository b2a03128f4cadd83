"""Starting and resuming a mining run: from what was asked to a running loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import NewCall, RunRecord, is_simulated
from agent.llm.addresses import check_server
from agent.llm.budget import Bounds, Budget, StopRequested
from agent.llm.cassette import Cassette, Recorder, load_cassette, start_recording
from agent.llm.client import LanguageModel, ModelName, Speaking
from agent.llm.patience import Patience
from agent.llm.providers import Connection, Place, model_for, provider_named
from agent.llm.providers.nothing import NoConnection
from agent.mining.briefing import write_brief
from agent.mining.inner_loop import Agents
from agent.mining.optimising import given_factor
from agent.mining.outer_loop import Event, Mine, Outcome, run_rounds
from agent.mining.spending import Estimate, count_spent, estimate, make_budget, model_chain
from agent.study.opening import CurrentRules, Note, OpenData, RecordedRules, open_data, silent
from agent.study.settings import LlmSettings, LoopSettings, Settings
from agent.study.study import Study, remarks
from agent.study.workspace import Workspace
from backtest.warm_backtest import warm_backtest
from factors.warm_engine import warming
from market.errors import InputError

MOCK_MODEL = "mock"


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
    record: Path | None = None
    replay: Path | None = None


@dataclass(frozen=True, eq=False)
class Session:
    """A run that is ready to go; `replay` answers in the place of a server, `record` keeps every exchange."""

    run: RunRecord
    study: Study
    knowledge: KnowledgeBase
    settings: Settings
    config: dict[str, object]
    budget: Budget
    simulated: bool
    expected: Estimate | None = None
    replay: Cassette | None = None
    record: Recorder | None = None

    @property
    def total(self) -> int:
        """Candidates of the whole run."""
        loop = LoopSettings.model_validate(self.config["loop"])
        return loop.rounds * loop.candidates

    @property
    def done(self) -> int:
        """Candidates that are recorded already."""
        return len(self.knowledge.attempts(run_id=self.run.id))

    async def go(
        self,
        stop: Callable[[], bool],
        show: Callable[[Event, int], None],
        on_call: Callable[[NewCall], None] = lambda _call: None,
    ) -> Outcome:
        """Run the loops to their end, a stop or the budget; `on_call` is called with each exchange once it is kept."""
        loop = LoopSettings.model_validate(self.config["loop"])
        total = self.total
        client = NoConnection() if self.replay is not None else _connect(self.config, self.settings)
        try:
            agents = self._agents(client, loop, stop, lambda text: show(Event("note", 0, text=text), total), on_call)
            mine = Mine(self.study, self.knowledge, agents, self.run, loop, stop, lambda event: show(event, total))
            if self.simulated:
                return await run_rounds(mine)
            # While the first reply is on its way, the engine is compiled.
            with warming(warm_backtest):
                return await run_rounds(mine)
        finally:
            await client.close()

    def _agents(
        self,
        client: Connection,
        loop: LoopSettings,
        stop: Callable[[], bool],
        note: Callable[[str], None],
        on_call: Callable[[NewCall], None],
    ) -> Agents:
        """Return who writes and who judges: models that share one budget and one journal."""
        llm = self.settings.llm
        modes = self.knowledge.known_modes(str(self.config["base_url"]), _api(self.config))
        fallback = _names(self.config, "fallback")

        def speaking(name: str) -> LanguageModel:
            speech = Speaking(
                models=model_chain(self.settings, name, fallback),
                budget=self.budget,
                journal=self.knowledge.journal(self.run.id),
                reply_tokens=llm.reply_tokens,
                before_call=partial(_refuse_when, stop),
                patience=Patience(tries=llm.tries),
                replay=self.replay,
                record=self.record,
                deadline_s=5 * llm.timeout_s,
                modes=modes,
                note=note,
                on_call=on_call,
                seed=self.run.seed,
            )
            return LanguageModel(client, speech)

        writers = {name: speaking(name) for name in [str(self.config["model"]), *_names(self.config, "writers")]}
        judge = str(self.config.get("judge") or self.config["model"])
        return Agents(writers, (writers.get(judge) or speaking(judge)) if loop.judge else None)


def _refuse_when(stop: Callable[[], bool]) -> None:
    if stop():
        raise StopRequested


def start_run(
    workspace: Workspace, knowledge: KnowledgeBase, request: MineRequest, *, note: Callable[[str], None]
) -> Session:
    """Record a new run and return it ready to go; everything that can be refused is refused before."""
    replay = None if request.replay is None else load_cassette(request.replay)
    # What was recorded was scored, and shown, by the rules of then.
    settings = workspace.settings if replay is None else workspace.settings.under(replay.config)
    asked = {name: getattr(request, name) for name in ("rounds", "candidates", "seed", "judge", "proposals")}
    loop = settings.loop.model_copy(update={name: value for name, value in asked.items() if value is not None})
    opened = _open_new(workspace, request, replay, loop, note)
    if request.gate and opened.gate_file is None:
        note(f"no gate for {opened.name}: mining ungated (fit one: alphaglow flow fit --data {opened.name})")
    # A replay asks nobody: what its cassette is of decides, whether or not its provider is here.
    provider = None if replay is not None else provider_named(request.llm)
    simulated = is_simulated(replay.config) if replay is not None else provider is not None and provider.simulated
    model = str(request.model) if provider is None else model_for(provider, request.model, settings.llm.model)
    asked_url = request.base_url or ("" if provider is None else settings.llm.base_url)
    config: dict[str, object] = {
        "data": str(request.data or opened.name),
        "llm": request.llm,
        "model": model,
        "simulated": simulated,
        **_others(request, settings, alone=simulated or replay is not None),
        "base_url": asked_url if provider is None else provider.address(asked_url),
        "api": request.api or settings.llm.api,
        "gate": opened.gate_file is not None,
        **settings.rules(),
        "loop": loop.model_dump(),
        "bounds": asdict(request.bounds),
    }
    if replay is not None:
        config["replay"] = str(request.replay)
    models = _models(settings, config)
    check_server(str(config["base_url"]), tuple(one.name for one in models))
    if provider is not None:
        provider.check(_place(config, settings))
    budget = Budget(Bounds()) if replay is not None else make_budget(models, request.bounds, simulated=simulated)
    whole, study = opened.whole, opened.study
    config["inputs"] = opened.inputs()
    if request.improve is not None:
        config["improve"] = given_factor(request.improve, study, knowledge).text
    for remark in remarks(study):
        note(remark)
    knowledge.register_dataset(whole)
    run = knowledge.create_run(whole.id, config, loop.seed)
    expected = None
    if not simulated and replay is None:
        brief = write_brief(study, knowledge, run, 1)
        expected = estimate(brief, loop, models[0], settings.llm.reply_tokens)
    record = None if request.record is None else start_recording(request.record, _recorded(config))
    return Session(run, study, knowledge, settings, config, budget, simulated, expected, replay, record)


def replay_request(path: Path) -> MineRequest:
    """Return the request of the run that a cassette is of."""
    config = load_cassette(path).config
    try:
        return MineRequest(
            data=str(config["data"]),
            llm=str(config["llm"]),
            model=str(config["model"]),
            base_url=str(config["base_url"]),
            api="responses" if config.get("api") == "responses" else "chat",
            improve=config.get("improve"),
            fallback=tuple(str(name) for name in config["fallback"]),
            writers=tuple(str(name) for name in config["writers"]),
            judge_model=str(config["judge"]),
            bounds=Bounds(**config["bounds"]),
            gate=bool(config["gate"]),
            replay=path,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} does not say what it is a cassette of", "record the run again") from error


def _recorded(config: Mapping[str, object]) -> dict[str, object]:
    """Return what a cassette holds of a run's configuration: what decides its prompts, and where it asked."""
    return {key: value for key, value in config.items() if key != "replay"}


def resume_run(
    workspace: Workspace,
    knowledge: KnowledgeBase,
    run_id: str,
    *,
    rounds: int | None = None,
    bounds: Bounds | None = None,
    record: Path | None = None,
    note: Note = silent,
) -> Session:
    """Return the run `run_id` ready to go on under its recorded rules. `bounds` that are set replace its own.

    Raises
    ------
    InputError
        When its data, its gate, its regimes or its learned factors were replaced since it started.
    """
    run = knowledge.get_run(run_id)
    config = dict(run.config)
    loop = LoopSettings.model_validate(config["loop"])
    if rounds is not None:
        loop = loop.model_copy(update={"rounds": rounds})
    config["loop"] = loop.model_dump()
    settings = workspace.settings
    models = _models(settings, config)
    check_server(str(config["base_url"]), tuple(one.name for one in models))
    replay = load_cassette(Path(str(config["replay"]))) if config.get("replay") else None
    limits = _bounds(config, bounds)
    calls = knowledge.calls(run.id)
    simulated = run.simulated
    if replay is not None:
        budget = Budget(Bounds())
    else:
        provider = provider_named(str(config["llm"]))
        provider.check(_place(config, settings))
        simulated = provider.simulated
        budget = make_budget(models, limits, simulated=simulated)
        count_spent(budget, calls, models, settings.llm.reply_tokens)
    study = open_data(workspace, None, RecordedRules(config, f"run {run.id}", run.panel_id), note=note).study
    recorder = None if record is None else start_recording(record, _recorded(run.config), calls)
    return Session(run, study, knowledge, settings, config, budget, simulated, None, replay, recorder)


def _bounds(config: Mapping[str, object], asked: Bounds | None) -> Bounds:
    """Return a recorded run's bounds with what is asked for now in their place."""
    recorded = config.get("bounds") or {}
    assert isinstance(recorded, dict)
    # Runs of earlier versions kept two of them on their own.
    earlier = {"usd": config.get("budget_usd"), "calls": config.get("budget_calls")}
    given = {} if asked is None else {name: value for name, value in asdict(asked).items() if value is not None}
    return Bounds(**{**earlier, **recorded, **given})


def _others(request: MineRequest, settings: Settings, *, alone: bool) -> dict[str, object]:
    """Return the models beside the first: who else writes, who judges, who stands in."""
    # A simulated model has no company; a replay has the company that it had.
    llm = LlmSettings() if alone else settings.llm
    judge = llm.judge if request.judge_model is None else request.judge_model
    return {
        "writers": list(request.writers or llm.writers),
        "judge": judge,
        "fallback": list(request.fallback or llm.fallback),
    }


def _names(config: Mapping[str, object], what: str) -> list[str]:
    names = config.get(what) or []
    assert isinstance(names, list)
    return [str(name) for name in names]


def _models(settings: Settings, config: Mapping[str, object]) -> tuple[ModelName, ...]:
    """Return every model that a run may ask, the first writer first."""
    judge = [str(config["judge"])] if config.get("judge") else []
    others = [*_names(config, "writers"), *judge, *_names(config, "fallback")]
    return model_chain(settings, str(config["model"]), list(dict.fromkeys(others)))


def _open_new(
    workspace: Workspace, request: MineRequest, replay: Cassette | None, loop: LoopSettings, note: Note
) -> OpenData:
    """Open the data of a new run: under the settings of now, or those of the recording that it repeats."""
    if replay is None:
        return open_data(workspace, request.data, CurrentRules(loop), gate=request.gate, note=note)
    # Whoever repeats a recording elsewhere fitted the gate again: it is said, and not refused.
    config = {**replay.config, "loop": loop.model_dump()}
    rules = RecordedRules(config, "the cassette", strict=False)
    return open_data(workspace, request.data, rules, gate=request.gate, note=note)


def _api(config: Mapping[str, object]) -> str:
    """Return the API that a run asks by; runs of earlier versions knew one."""
    return "responses" if config.get("api") == "responses" else "chat"


def _place(config: Mapping[str, object], settings: Settings) -> Place:
    """Return where a run asks."""
    seed = LoopSettings.model_validate(config["loop"]).seed
    return Place(str(config["base_url"]), _api(config), settings.llm.timeout_s, seed)


def _connect(config: Mapping[str, object], settings: Settings) -> Connection:
    return provider_named(str(config["llm"])).connect(_place(config, settings))
