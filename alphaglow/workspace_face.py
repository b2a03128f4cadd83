"""A workspace in Python: its data, its recorded trials, its runs and what they found, as frames and results."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from agent.study.workspace import Workspace as Folder
from agent.study.workspace import find_workspace, init_workspace
from alphaglow import base_frames
from alphaglow.factor_face import Factor, FactorError, unless_refused
from alphaglow.judging import Rules, Sweep, backtest_settings, grid, sweep_frame
from alphaglow.notebook import apart, bar
from alphaglow.results import Result
from alphaglow.run_face import Run
from market.errors import InputError, Rejection
from market.panel import Panel

if TYPE_CHECKING:
    from agent.knowledge.knowledge_base import KnowledgeBase
    from agent.mining.session import Session
    from agent.study.opening import OpenData
    from agent.study.study import Study
    from alphaglow.flow_face import Flow
    from backtest.scorecard import Scored
    from factors.tree import Expression
    from market.panel import FloatArray

_LOG = logging.getLogger("alphaglow")


class Workspace:
    """A folder with settings, data sets, models, reports and a knowledge base.

    What is evaluated here is recorded, and counts as a trial. Notes for people go to the logger ``alphaglow``.

    Parameters
    ----------
    path
        The folder; by default the workspace at or above the current folder.
    """

    def __init__(self, path: str | PathLike[str] | None = None) -> None:
        self.folder: Folder = find_workspace(None if path is None else str(path), Path.cwd())

    @classmethod
    def create(cls, path: str | PathLike[str]) -> Workspace:
        """Make a workspace in a folder that holds none, and return it."""
        init_workspace(Path(path))
        return cls(path)

    # --- data -------------------------------------------------------------------------------------------------------

    @property
    def data(self) -> pd.DataFrame:
        """The data sets: bars, assets, span, fields, source."""
        from market.manifest import read_manifest

        names = ("bars", "assets", "start", "end", "fields", "source")
        found = {name: read_manifest(self.folder.data_path(name)) for name in self.folder.data_names()}
        rows = {name: [getattr(one, key, None) for key in names] for name, one in found.items()}
        return pd.DataFrame.from_dict(rows, orient="index", columns=list(names)).rename_axis("data")

    def panel(self, name: str | None = None) -> Panel:
        """Return a data set, whole; without a name, the only one there is."""
        return self.folder.load_panel(name)

    def add(self, panel: Panel, name: str | None = None, *, replace: bool = False) -> Workspace:
        """Store a panel as a data set; one of the same name is refused unless `replace`."""
        from market.manifest import Origin
        from market.panel_store import save_panel

        path = self.folder.data_path(name or panel.name)
        if path.exists() and not replace:
            raise InputError(f"there is already a data set {path.stem!r}", "choose another name, or say replace=True")
        self.folder.folder("data")
        save_panel(panel, path, Origin("python"))
        return self

    # --- trials -----------------------------------------------------------------------------------------------------

    def evaluate(
        self, factor: str | Factor, data: str | None = None, *, rules: Rules | None = None, gate: bool = True
    ) -> Result:
        """Score a factor on train and validation, record it as a trial, and give its verdict among all trials.

        The same factor on the same data under the same rules is counted once. Names of known factors may be used,
        such as ``alpha101_042``.

        Parameters
        ----------
        rules
            Settings of ``[backtest]`` in the place of the workspace's.
        gate
            Whether the gate is used, where one is fitted.
        """
        opened = self._open(data, rules, gate=gate)
        with self.folder.knowledge() as knowledge:
            return self._look(factor, opened, knowledge)

    def sweep(
        self,
        template: str,
        data: str | None = None,
        *,
        rules: Rules | None = None,
        gate: bool = True,
        progress: bool | None = None,
        **values: Sequence[object],
    ) -> Sweep:
        """Evaluate a factor at every point of a grid, such as ``w=[5, 10, 20]``; each is recorded as a trial."""
        opened, points = self._open(data, rules, gate=gate), grid(template, values)
        shown: list[Result | Rejection] = []
        with self.folder.knowledge() as knowledge, bar(progress) as tick:
            for place, (_, text) in enumerate(points):
                tick(text, place, len(points))
                try:
                    shown.append(self._look(text, opened, knowledge))
                except FactorError as error:
                    shown.append(error.rejection)
        return Sweep(sweep_frame(points, shown), tuple(one for one in shown if isinstance(one, Result)))

    def _open(self, data: str | None, rules: Rules | None, *, gate: bool = True) -> OpenData:
        from agent.study.opening import CurrentRules, open_data

        chosen = None if rules is None else backtest_settings(rules, self.folder.settings)
        return open_data(self.folder, data, CurrentRules(backtest=chosen), gate=gate, note=_LOG.info)

    def _look(self, factor: str | Factor, opened: OpenData, knowledge: KnowledgeBase) -> Result:
        from agent.study.blocks import all_blocks
        from agent.study.lineage_notes import meet_data
        from agent.study.looking import look_at_factor
        from agent.study.study import read_expression

        if not isinstance(factor, (str, Factor)):
            raise InputError(
                "what is recorded as a trial is a factor's text", "values are judged without a record: ag.evaluate"
            )
        knowledge.register_dataset(opened.whole)
        ungated = opened.ungated
        text = str(factor)
        blocks = all_blocks(knowledge, ungated.dataset, ungated.fields)
        expression = unless_refused(read_expression(text, ungated, blocks=blocks))
        meet_data(knowledge, opened.whole, _LOG.info)
        look = unless_refused(look_at_factor(expression, text, opened, knowledge))
        study = opened.study
        assert look.evidence is not None

        notes = (look.note, "" if look.copy is None else look.copy.message)
        return Result(
            name=expression.text,
            study=study,
            scorecard=look.scorecard,
            evidence=look.evidence,
            factor=Factor(expression),
            attempt=look.attempt,
            note="; ".join(note for note in notes if note),
            workspace=self.folder,
            recorded=True,
            _made=partial(_scored_again, expression, study),
        )

    # --- runs -------------------------------------------------------------------------------------------------------

    def mine(
        self,
        data: str | None = None,
        *,
        llm: str = "mock",
        progress: bool | None = None,
        usd: float | None = None,
        tokens: int | None = None,
        calls: int | None = None,
        seconds: float | None = None,
        **asked: Any,  # noqa: ANN401 - the other fields of `MineRequest`
    ) -> Run:
        """Run the two loops, and return the run; an interrupt stops it so that `resume` goes on.

        Parameters
        ----------
        llm
            The provider: ``mock`` (simulated, no cost) or ``openai`` (any server that speaks OpenAI's API).
        usd, tokens, calls, seconds
            The most that may be spent.
        asked
            Further: model, base_url, rounds, candidates, seed, gate, judge, improve, ... as `alphaglow mine` has them.
        """
        from agent.knowledge.run_config import Bounds
        from agent.mining.session import MineRequest, start_run

        known = set(MineRequest.__dataclass_fields__) - {"data", "llm", "bounds"}
        for name in asked:
            if name not in known:
                raise InputError(f"mine has no option {name!r}", f"it has {', '.join(sorted(known))}")
        request = MineRequest(data, llm, bounds=Bounds(calls, usd, tokens, seconds), **asked)
        return self._drive(lambda base: start_run(self.folder, base, request, note=_LOG.info), progress)

    def resume(self, run: str | Run, *, rounds: int | None = None, progress: bool | None = None) -> Run:
        """Go on with a mining run under the rules that it recorded; `rounds` in all take the place of its own."""
        from agent.mining.session import resume_run

        what = run.id if isinstance(run, Run) else run
        return self._drive(lambda base: resume_run(self.folder, base, what, rounds=rounds, note=_LOG.info), progress)

    def _drive(self, begin: Callable[[KnowledgeBase], Session], progress: bool | None) -> Run:
        def work(stop: Callable[[], bool]) -> Run:
            with self.folder.knowledge() as knowledge, bar(progress) as tick:
                session = begin(knowledge)
                done = session.done

                def show(event: Any, total: int) -> None:  # noqa: ANN401 - an `Event`
                    nonlocal done
                    done += event.kind == "attempt"
                    tick(f"run {session.run.id}, round {event.round}", done, total)

                return Run(self, session.run.id, str(asyncio.run(session.go(stop, show))))

        return apart(work)

    def screen(
        self,
        texts: Sequence[str] = (),
        data: str | None = None,
        *,
        random: int = 0,
        keep: int = 20,
        seed: int = 7,
        threads: int = 1,
        progress: bool | None = None,
    ) -> Run:
        """Quick-score many factors on train, and score the `keep` best in full; every one is recorded as a trial.

        Parameters
        ----------
        texts, random
            The factors, or how many are drawn at random.
        """
        from agent.knowledge.run_config import RunConfig
        from agent.mining.screening import Screening, draw_texts, listed, require_cross_section, run_screening
        from agent.study.lineage_notes import meet_data

        if bool(texts) == bool(random):
            raise InputError("what to screen? give texts, or random=N", "one of the two")
        opened = self._open(data, None)
        require_cross_section(opened.study)
        opened.say_dates()
        chosen = list(texts) or draw_texts(opened.study, random, seed)

        def work(stop: Callable[[], bool]) -> Run:
            with self.folder.knowledge() as knowledge, bar(progress) as tick:
                meet_data(knowledge, opened.whole, _LOG.info)
                config = RunConfig(kind="screen", data=opened.name, llm="none", keep=keep, rules=opened.recorded())
                run = knowledge.create_run(opened.study.dataset, config, seed)
                stored = listed(knowledge, run.id, lambda: chosen)
                made = Screening(opened.study, knowledge, run, stored, keep, threads, stop, tick, None, _LOG.info)
                return Run(self, run.id, str(run_screening(made)))

        return apart(work)

    def propose(
        self,
        words: str,
        data: str | None = None,
        *,
        count: int = 1,
        llm: str = "mock",
        model: str | None = None,
        base_url: str | None = None,
        seed: int = 7,
    ) -> pd.DataFrame:
        """Ask a model for factors in your own words; with `data`, each is scored, which counts as a trial.

        Returns
        -------
        A row a factor: text, what it means, why it should work, what the model expects (``expected_ic`` and so on),
        and, with data, what came: ``verdict``, ``ic``, ``turnover``. Refused ones have a text and ``refused``.
        """
        from agent.asking.model_access import ModelChoice
        from agent.asking.proposing import propose_factors
        from agent.mining.request import FactorRequest

        choice = ModelChoice(llm, model, base_url, seed=seed)
        request = FactorRequest(words)
        answer = apart(
            lambda stop: propose_factors(
                self.folder, request, choice, data=data, count=count, note=_LOG.info, stop=stop
            )
        )
        rows: list[Mapping[str, object]] = []
        for one in answer.factors:
            expected = {f"expected_{name}": getattr(one.expected, name) for name in ("ic", "turnover", "holding")}
            came = {} if one.came is None else {name: getattr(one.came, name) for name in ("verdict", "ic", "turnover")}
            about = {"name": one.name, "text": one.canonical, "reading": one.reading, "rationale": one.rationale}
            rows.append({**about, **expected, **came, "refused": one.refused})
        rows += [{"text": one.text, "refused": one.reason.one_line()} for one in answer.refused]
        return pd.DataFrame(rows)

    # --- what is known ----------------------------------------------------------------------------------------------

    @property
    def runs(self) -> pd.DataFrame:
        """The runs, oldest first."""
        with self.folder.listing() as knowledge:
            return base_frames.runs_frame(knowledge)

    def run(self, run: str) -> Run:
        """Return a run by its id, or the first characters of it."""
        with self.folder.listing() as knowledge:
            found = knowledge.get_run(run)
        return Run(self, found.id, found.status)

    def factors(self, run: str | None = None) -> pd.DataFrame:
        """Return the scored factors, of one run or of all, best first; figures are of train."""
        with self.folder.listing() as knowledge:
            which = None if run is None else knowledge.get_run(run).id
            return base_frames.factors_frame(knowledge.attempts(run_id=which))

    @property
    def pools(self) -> pd.DataFrame:
        """The pools."""
        with self.folder.knowledge() as knowledge:
            return base_frames.pools_frame(knowledge)

    @property
    def lessons(self) -> pd.DataFrame:
        """What the runs learned, newest first."""
        with self.folder.knowledge() as knowledge:
            return base_frames.lessons_frame(knowledge, None)

    @property
    def library(self) -> pd.DataFrame:
        """The published factors that are known by name."""
        with self.folder.listing() as knowledge:
            return base_frames.library_frame(knowledge)

    def sql(self, query: str) -> pd.DataFrame:
        """Return what one SELECT on the knowledge base gives; it cannot write."""
        from agent.knowledge.queries import query as ask

        with self.folder.knowledge() as knowledge:
            found = ask(knowledge, query, 100_000)
        return pd.DataFrame(list(found.rows), columns=list(found.columns))

    def report(self, what: str, path: str | PathLike[str] | None = None) -> Path:
        """Write the page of a run or a factor, by id, and return its path."""
        from agent.review.collect import report_on

        output = None if path is None else Path(path)
        with self.folder.knowledge() as knowledge:
            return report_on(self.folder, knowledge, what, data=None, output=output, note=_LOG.info)

    def flow(self, data: str | None = None) -> Flow:
        """Return the flow that was fitted on a data set with its gate; see `fit_flow`."""
        from agent.flow.opened import open_flow
        from alphaglow.flow_face import Flow

        return Flow(open_flow(self.folder, data, _LOG.info))

    def fit_flow(self, data: str | None = None, *, progress: bool | None = None, **gate: object) -> Flow:
        """Fit a flow and its gate on a data set and store both: from now on trials are gated by it."""
        from agent.study.gates import train_gate

        opened = self._open(data, None)
        with bar(progress) as tick:
            train_gate(
                opened.whole, self.folder, opened.name, lambda done, of, *_: tick("flow", done, of), gate, opened.frozen
            )
        return self.flow(data)

    def __repr__(self) -> str:
        """Return the folder and its data sets."""
        return f"Workspace({str(self.folder.root)!r}: data {', '.join(self.folder.data_names()) or 'none yet'})"

    def _repr_html_(self) -> str:
        return f"<div><b>{escape(str(self.folder.root))}</b>{self.data.to_html()}{self.runs.tail(5).to_html()}</div>"


def _scored_again(expression: Expression, study: Study) -> tuple[FloatArray, Scored]:
    """Return the values and the series behind a recorded score, which are not stored."""
    from agent.study.study import backtest_expression

    signal, scored = unless_refused(backtest_expression(expression, study))
    return signal.values, scored
