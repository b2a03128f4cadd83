"""What the clients of a server may still use: evaluations, which are trials, and the budget of runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from market.errors import InputError


@dataclass(frozen=True)
class Allowance:
    """What a server allows: evaluations in all, whether runs may be started, and what they may spend in all.

    `usd` and `calls` are of all runs and questions to models together; None is nothing allowed of that kind.
    """

    evaluations: int = 200
    runs: bool = False
    usd: float | None = None
    calls: int | None = None
    llm: str = ""
    model: str = ""

    def __post_init__(self) -> None:
        """Refuse runs without a budget."""
        if self.runs and self.usd is None and self.calls is None:
            raise InputError("--allow-runs needs a budget", "say --budget-usd or --budget-calls, for all runs together")


@dataclass(eq=False)
class Spent:
    """What was used of an allowance; what a run reserves is not given back."""

    allowance: Allowance
    evaluations: int = 0
    usd: float = 0.0
    calls: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def evaluate(self, count: int = 1) -> None:
        """Count evaluations, or refuse them."""
        with self._lock:
            left = self.allowance.evaluations - self.evaluations
            if count > left:
                raise InputError(
                    f"{count} evaluations are asked for and {left} are left of {self.allowance.evaluations}",
                    "each is a trial that raises the hurdle for all; whoever runs the server may raise --evaluations",
                )
            self.evaluations += count

    @contextmanager
    def one_evaluation(self) -> Iterator[None]:
        """Count one evaluation; what is refused is no trial, and is not counted."""
        self.evaluate()
        try:
            yield
        except InputError:
            with self._lock:
                self.evaluations -= 1
            raise

    def reserve(self, usd: float | None, calls: int | None) -> list[str]:
        """Reserve a part of the budget, all that is left where none is said, and return it as options of a command."""
        with self._lock:
            if not self.allowance.runs:
                raise InputError(
                    "this server is read-only: it starts no run and asks no model",
                    "whoever runs it may say --allow-runs with a budget",
                )
            options: list[str] = []
            if self.allowance.usd is not None:
                asked_usd = self._part("usd", usd, self.allowance.usd - self.usd)
                self.usd += asked_usd
                options += ["--budget-usd", f"{asked_usd:g}"]
            if self.allowance.calls is not None:
                asked_calls = int(self._part("calls", calls, self.allowance.calls - self.calls))
                self.calls += asked_calls
                options += ["--budget-calls", str(asked_calls)]
            options += ["--llm", self.allowance.llm] if self.allowance.llm else []
            return options + (["--model", self.allowance.model] if self.allowance.model else [])

    @staticmethod
    def _part(name: str, asked: float | None, left: float) -> float:
        part = left if asked is None else asked
        if part <= 0 or part > left:
            raise InputError(f"a budget of {part:g} {name} is asked for and {left:g} are left", "ask for less")
        return part
