"""Tools that evaluate: each evaluation is recorded as a trial, and shows what train shows."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from agent.mcp.served import Served, data_arguments, refusing, text_argument
from agent.mcp.train_view import HIDDEN, view_of_evaluation
from market.errors import InputError

_MOST_TEXTS = 1_000
_LARGEST_TABLE = 20_000_000
_OF_PROPOSAL = ("name", "text", "canonical", "factor", "lookback", "reading", "rationale", "mechanism", "risk_factors")


@dataclass(frozen=True, eq=False)
class EvaluatingTools:
    """Tools that run commands of this program on the workspace."""

    served: Served

    async def evaluate(self, text: str, data: str = "") -> dict[str, Any]:
        """Backtest one factor and record it as a trial: figures of train, after costs, under its own trading rule.

        The same factor on the same data is counted once. Every trial raises what all later factors have to reach:
        evaluate ideas, not variants. `payoff_z` and `net_z` are normal scores before and after costs; below 2 is as
        good as chance. Validation, the holdout and the verdict are for people.
        """
        with refusing():
            arguments = ["eval", *data_arguments(data)]
            with self.served.spent.one_evaluation():
                return view_of_evaluation(await self.served.command([*arguments, *_before(text)]))

    async def screen(self, texts: list[str], data: str = "", keep: int = 10) -> dict[str, Any]:
        """Quick-score many factors on train, and score the best in full; every one is recorded as a trial."""
        with refusing():
            wanted = [" ".join(text.split()) for text in texts if text.strip()]
            if not 1 <= len(wanted) <= _MOST_TEXTS:
                raise InputError(f"{len(wanted)} expressions cannot be screened", f"give 1 to {_MOST_TEXTS}")
            self.served.spent.evaluate(len(wanted))
            arguments = ["screen", "-", *data_arguments(data), "--keep", str(max(0, min(keep, len(wanted))))]
            document = await self.served.command(arguments, stdin="\n".join(wanted).encode())
            return await self._screened(document)

    async def _screened(self, document: dict[str, Any]) -> dict[str, Any]:
        from agent.mcp.train_view import view_of_attempt

        with self.served.workspace.knowledge() as knowledge:
            attempts = knowledge.attempts(run_id=document["run"])
        scored = [one for one in attempts if one.evaluation is not None]
        return {
            "run": document["run"],
            "recorded": len(attempts),
            "scored": [view_of_attempt(one) for one in scored],
            "hidden": HIDDEN,
        }

    async def propose(self, request: str, data: str = "", count: int = 1, usd: float | None = None) -> dict[str, Any]:
        """Ask the language model that the workspace is set to for factors, in your own words.

        It costs money or calls, so it needs a server that allows runs, and takes `usd` of its budget. Nothing is
        scored: evaluate what you like.
        """
        with refusing():
            options = self.served.spent.reserve(usd, None if usd is not None else count * 3)
            arguments = ["propose", "--count", str(max(1, min(count, 20))), *options]
            document = await self.served.command([*arguments, *_before(request)])
            rows = [{name: one.get(name) for name in _OF_PROPOSAL} for one in document["factors"]]
            cost = {name: document[name] for name in ("model", "simulated", "calls", "tokens", "usd")}
            return {"factors": rows, "refused": document["refused"], **cost}

    async def data_check(self, data: str) -> Any:  # noqa: ANN401 - JSON
        """Look for what is wrong with a data set: gaps, stale prices, spikes, survivors, adjusted prices, clocks."""
        with refusing():
            name = data_arguments(data)
            return {"checked": await self.served.command(["data", "check", *name[1:]])}

    async def signal_now(self, pool: str = "", factors: list[str] | None = None, data: str = "") -> Any:  # noqa: ANN401
        """Return the target weights of a pool, or of factors by id, at the newest bar, with their reasons.

        No order is sent, here or anywhere.
        """
        with refusing():
            if bool(pool) == bool(factors):
                raise InputError("which signal?", "name a pool, or factors by their ids")
            chosen = ["--pool", pool] if pool else []
            arguments = ["signal", *chosen, *data_arguments(data)]
            return await self.served.command([*arguments, *(["--", *factors] if factors else [])])

    async def verify(
        self,
        csv: str,
        data: str = "",
        kind: Literal["signals", "weights", "trades", "returns"] | None = None,
        trials: int | None = None,
    ) -> dict[str, Any]:
        """Judge signals, weights, trades or returns (the text of a CSV) by both tests, on the bars of train alone.

        One column an asset, or a row a time and asset. `trials`: how many were tried until this one was found; without
        it the answer says what each number would mean. Counts as an evaluation.
        """
        with refusing():
            if len(csv) > _LARGEST_TABLE:
                raise InputError(f"{len(csv):,} characters are too many", f"at most {_LARGEST_TABLE:,} are read")
            options = ["--until", self._train_ends(data)] if kind != "returns" or data else []
            options += ["--kind", kind] if kind else []
            options += ["--trials", str(trials)] if trials is not None else []
            with self.served.spent.one_evaluation(), tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "claim.csv"
                path.write_text(csv, encoding="utf-8")
                named = data_arguments(data) if options else []
                document: dict[str, Any] = await self.served.command(["verify", str(path), *named, *options])
            return {**document, "hidden": "bars after train: the owner of the server can judge on those"}

    def _train_ends(self, data: str) -> str:
        """Return when train ends: bars from then on are not shown here."""
        # A client that starts this server waits for it: what only one tool needs is imported with it.
        import numpy as np

        from agent.study.opening import open_data

        opened = open_data(self.served.workspace, data or None, gate=False)
        return str(np.datetime_as_string(opened.whole.times[opened.split.train.stop], unit="m"))


def _before(text: str) -> list[str]:
    if not text.strip():
        raise InputError("the text is empty", "write an expression, or a request")
    return text_argument(text)
