"""Starting and resuming a mining run: from what was asked to a running loop."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agent.gating import gate_path
from agent.knowledge.records import RunRecord
from agent.knowledge.store import KnowledgeBase
from agent.llm.budget import Budget, Prices, require_price
from agent.llm.client import LanguageModel
from agent.llm.connect import connect_mock, connect_openai
from agent.loop import Event, Mine, Outcome, StopRequested, run_rounds
from agent.settings import LoopSettings, Settings
from agent.study import Study, open_study, remarks
from agent.workspace import Workspace
from backtest.warm import warm_backtest
from factors.warm import warming
from market.errors import InputError

if TYPE_CHECKING:
    import openai

MOCK_MODEL = "mock"


@dataclass(frozen=True)
class MineRequest:
    """What the command line asked for; None means: as the workspace's settings say."""

    data: str | None
    llm: str
    model: str | None = None
    base_url: str | None = None
    rounds: int | None = None
    candidates: int | None = None
    seed: int | None = None
    budget_usd: float | None = None
    budget_calls: int | None = None
    gate: bool = True


@dataclass(frozen=True, eq=False)
class Session:
    """A run that is ready to go."""

    run: RunRecord
    study: Study
    knowledge: KnowledgeBase
    settings: Settings
    config: dict[str, object]
    budget: Budget
    simulated: bool

    async def go(self, stop: Callable[[], bool], show: Callable[[Event, int], None]) -> Outcome:
        """Run the loops to their end, a stop or the budget."""
        loop = LoopSettings.model_validate(self.config["loop"])
        total = loop.rounds * loop.candidates
        client = _connect(self.config, self.settings)
        try:
            model = LanguageModel(
                client,
                model=str(self.config["model"]),
                budget=self.budget,
                journal=self.knowledge.journal(self.run.id),
                prices=_prices(self.settings, str(self.config["model"])),
                before_call=partial(_refuse_when, stop),
            )
            mine = Mine(self.study, self.knowledge, model, self.run, loop, stop, lambda event: show(event, total))
            if self.simulated:
                return await run_rounds(mine)
            # While the first reply is on its way, the engine is compiled.
            with warming(warm_backtest):
                return await run_rounds(mine)
        finally:
            await client.close()


def _refuse_when(stop: Callable[[], bool]) -> None:
    if stop():
        raise StopRequested


def start_run(
    workspace: Workspace, knowledge: KnowledgeBase, request: MineRequest, *, note: Callable[[str], None]
) -> Session:
    """Record a new run and return it ready to go; everything that can be refused is refused before."""
    settings = workspace.settings
    loop = settings.loop.model_copy(
        update={
            name: value for name in ("rounds", "candidates", "seed") if (value := getattr(request, name)) is not None
        }
    )
    path = workspace.resolve_data(request.data)
    checkpoint = gate_path(workspace, path.stem)
    if request.gate and not checkpoint.is_file():
        note(f"no gate for {path.stem}: mining ungated (fit one: alphaglow flow fit --data {path.stem})")
    model = MOCK_MODEL if request.llm == "mock" else (request.model or settings.llm.model)
    if not model:
        raise InputError("which model? say --model NAME", "or set [llm] model in alphaglow.toml")
    config: dict[str, object] = {
        "data": str(request.data or path.stem),
        "llm": request.llm,
        "model": model,
        "base_url": request.base_url or settings.llm.base_url,
        "gate": request.gate and checkpoint.is_file(),
        **settings.rules(),
        "loop": loop.model_dump(),
        "budget_usd": request.budget_usd,
        "budget_calls": request.budget_calls,
    }
    budget = _budget(settings, model, request.budget_usd, request.budget_calls)
    _require_key(config)
    whole = workspace.load_panel(request.data)
    study = _study(whole_path=path, workspace=workspace, config=config, seed=loop.seed)
    for remark in remarks(study):
        note(remark)
    knowledge.register_dataset(whole)
    run = knowledge.create_run(whole.id, config, loop.seed)
    return Session(run, study, knowledge, settings, config, budget, request.llm == "mock")


def resume_run(
    workspace: Workspace,
    knowledge: KnowledgeBase,
    run_id: str,
    *,
    rounds: int | None = None,
    budget_usd: float | None = None,
    budget_calls: int | None = None,
) -> Session:
    """Return the run `run_id` ready to go on; its data must be unchanged."""
    run = knowledge.get_run(run_id)
    config = dict(run.config)
    loop = LoopSettings.model_validate(config["loop"])
    if rounds is not None:
        loop = loop.model_copy(update={"rounds": rounds})
    config["loop"] = loop.model_dump()
    usd = budget_usd if budget_usd is not None else config.get("budget_usd")
    calls = budget_calls if budget_calls is not None else config.get("budget_calls")
    settings = workspace.settings
    budget = _budget(
        settings,
        str(config["model"]),
        float(usd) if isinstance(usd, (int, float)) else None,
        calls if isinstance(calls, int) else None,
    )
    totals = knowledge.calls_total(run.id)
    budget.already(totals.calls, totals.cost_usd)
    _require_key(config)
    path = workspace.resolve_data(str(config["data"]))
    study = _study(whole_path=path, workspace=workspace, config=config, seed=loop.seed)
    if study.dataset != run.panel_id:
        raise InputError(
            f"the data {config['data']} changed since run {run.id} started ({run.panel_id} then, {study.dataset} now)",
            "start a new run on the new data",
        )
    return Session(run, study, knowledge, settings, config, budget, config["llm"] == "mock")


def _study(*, whole_path: Path, workspace: Workspace, config: dict[str, object], seed: int) -> Study:
    """Open the study under the rules that the run recorded, not those of today's settings file."""
    from market.store import load_panel

    settings = workspace.settings.under({**config, "loop": {**workspace.settings.loop.model_dump(), "seed": seed}})
    gate = gate_path(workspace, whole_path.stem) if config["gate"] else None
    if gate is not None and not gate.is_file():
        raise InputError(f"the gate of this run is gone ({gate})", "fit it again: alphaglow flow fit")
    return open_study(load_panel(whole_path), settings, gate_path=gate)


def _prices(settings: Settings, model: str) -> Prices | None:
    price = settings.prices.get(model)
    return Prices(input_per_million=price.input, output_per_million=price.output) if price else None


def _budget(settings: Settings, model: str, usd: float | None, calls: int | None) -> Budget:
    if model != MOCK_MODEL:
        require_price(model, usd, _prices(settings, model))
    return Budget(max_calls=calls, max_usd=usd)


def _require_key(config: dict[str, object]) -> None:
    if config["llm"] == "openai" and not config["base_url"] and not os.environ.get("OPENAI_API_KEY"):
        raise InputError(
            "no key: the environment variable OPENAI_API_KEY is not set",
            "set it, name a local server with --base-url, or try --llm mock",
        )


def _connect(config: dict[str, object], settings: Settings) -> openai.AsyncOpenAI:
    if config["llm"] == "mock":
        loop = LoopSettings.model_validate(config["loop"])
        return connect_mock(loop.seed)
    return connect_openai(str(config["base_url"]) or None, timeout_s=settings.llm.timeout_s)
