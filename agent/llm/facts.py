"""What a prompt says, as data: a simulated model works from it, and a real model never gets it.

Every type here is frozen and `dataclasses.asdict` turns it into plain JSON types. Texts are as they were written;
who shows them quotes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FactorShown:
    """A known factor: train figures, of validation the verdict's word, and its own trading rule if it has one."""

    text: str
    verdict: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    rule: str = ""


@dataclass(frozen=True)
class LessonFacts:
    """A lesson: its kind (see `agent.mining.lessons`), its sentence, and its figures and names by what they are.

    Where nothing but the sentence is known, the kind is empty.
    """

    kind: str
    text: str
    figures: Mapping[str, str | float] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, raw: Mapping[str, object]) -> LessonFacts:
        """Read what `asdict` made of one."""
        figures = raw["figures"]
        assert isinstance(figures, Mapping)
        return cls(str(raw["kind"]), str(raw["text"]), dict(figures))


@dataclass(frozen=True)
class TaskFacts:
    """What one candidate is to be; `about` and `words` explain theme and operation."""

    operation: str
    theme: str = ""
    about: str = ""
    words: str = ""
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """One candidate that is asked for: its slot, its task, and the known factors that bear on it."""

    slot: int
    task: TaskFacts | None = None
    related: tuple[FactorShown, ...] = ()


@dataclass(frozen=True)
class TurnFacts:
    """One exchange before this one: what was proposed, what came back, and what the judge suggested, if it spoke."""

    expression: str
    answer: str
    suggestion: str = ""


@dataclass(frozen=True)
class AskedFacts:
    """What a factor has to keep to: type, longest look-back in bars (0: any), fields, topics, most nodes (0: any)."""

    kind: str = ""
    longest: int = 0
    fields: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    size: int = 0


@dataclass(frozen=True)
class RequestFacts:
    """What somebody asks one factor for: bounds, the language of the answer (``en``), and what was proposed before."""

    asked: AskedFacts
    language: str = "en"
    words: str = ""
    cross_section: bool = True
    before: tuple[str, ...] = ()
    turns: tuple[TurnFacts, ...] = ()


@dataclass(frozen=True)
class NoteFacts:
    """A part of a note that hypotheses are drawn from: its text, and the fields that expressions may use."""

    text: str
    fields: tuple[str, ...]
    most: int
    language: str = "en"
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class RoomFacts:
    """How much of a theme the factors found so far have taken, by train alone.

    Attributes
    ----------
    scored
        Factors of the theme that were scored.
    explained
        Mean share of the variance of their payoff that the found factors explain, themselves left out; NaN where
        nothing is found, or nothing is known of their returns.
    best
        The largest score of a payoff before costs among them; NaN where none is known.
    dead
        Whether many were tried and none predicts.
    turned, turned_sharpe
        A factor that pays the other way, and the net Sharpe ratio on train that it would have turned around; empty
        where there is none.
    """

    theme: str
    scored: int
    explained: float
    best: float
    dead: bool = False
    turned: str = ""
    turned_sharpe: float = float("nan")

    @classmethod
    def from_dict(cls, raw: Mapping[str, object]) -> RoomFacts:
        """Read what `asdict` made of one."""
        known = {name: value for name, value in raw.items() if value is not None}
        return cls(**{"explained": float("nan"), "best": float("nan"), **known})  # type: ignore[arg-type]


@dataclass(frozen=True)
class WriterFacts:
    """What the writer is asked. `longest` is the longest look-back in bars, 0 where it is not known.

    `rules` says how the trading rule of each factor is chosen; it is empty where all are traded alike.
    """

    round: int
    goal: str
    market: str
    longest: int
    fields: tuple[str, ...]
    blocks: Mapping[str, str]
    operators: str
    successes: tuple[FactorShown, ...]
    failures: tuple[FactorShown, ...]
    crowded: tuple[str, ...]
    lessons: tuple[LessonFacts, ...]
    left: str
    wanted: tuple[Wanted, ...]
    turns: tuple[TurnFacts, ...] = ()
    asked: AskedFacts | None = None
    room: tuple[RoomFacts, ...] = ()
    rules: str = ""


@dataclass(frozen=True)
class FactorFacts:
    """A proposed factor as it was read."""

    text: str
    lookback: int
    dimension: str
    size: int
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProposalFacts:
    """What the writer says of its proposal."""

    name: str
    rationale: str
    mechanism: str = ""
    horizon: int | None = None
    fails_when: str = ""


@dataclass(frozen=True)
class JudgeFacts:
    """What the judge is asked.

    `turnover` (share of the capital a bar) and `yearly_cost` (share of the capital) are NaN where they are unknown;
    `rule` is the trading rule that they are forecast under, where it is chosen for each factor, and `in_full` the
    turnover under that of the settings; `copied` says that the factor is known already, or puts assets in the order of
    a known one.
    """

    market: str
    factor: FactorFacts
    proposal: ProposalFacts
    reading: str
    novelty: tuple[str, ...]
    copied: bool
    related: tuple[FactorShown, ...]
    successes: tuple[FactorShown, ...]
    turnover: float = float("nan")
    yearly_cost: float = float("nan")
    rule: str = ""
    in_full: float = float("nan")


@dataclass(frozen=True)
class TextFacts:
    """One text of a batch, cut to what a prompt shows; `about` names its assets."""

    number: int
    title: str
    body: str
    about: str


@dataclass(frozen=True)
class ReaderFacts:
    """What the reader of news is asked; `events` are the names that it may choose from."""

    texts: tuple[TextFacts, ...]
    events: tuple[str, ...]


@dataclass(frozen=True)
class RepairFacts:
    """The reply that could not be read, what was wrong with it, and the fields of the form that is asked for again."""

    reply: str
    fault: str
    fields: tuple[str, ...]


Facts = WriterFacts | JudgeFacts | ReaderFacts
# What people ask for by themselves, outside of the loops.
AskFacts = RequestFacts | NoteFacts
