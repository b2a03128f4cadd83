"""What the two agents must answer, as schemas that the server has to keep to."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from agent.untrusted.showing import displayable

# A model may write what a terminal, a page or a prompt would take for a command.
Text = Annotated[str, AfterValidator(displayable)]


def _text(most: int, written: int, description: str, **more: Any) -> Any:  # noqa: ANN401 - as pydantic's Field
    """Declare a text: at most `most` characters are read, and `written` are asked for."""
    return Field(max_length=most, description=description, json_schema_extra={"maxLength": written}, **more)


class Proposal(BaseModel):
    """One factor proposed by the writer: a model commits in this order, so the reason comes before the formula."""

    model_config = ConfigDict(extra="forbid")
    # The order in which the mock's draws are seeded by the fields.
    SEEDED_ORDER: ClassVar = ("name", "expression", "rationale", "mechanism", "horizon", "fails_when", "parents")

    rationale: Text = _text(4000, 500, "why it should predict returns, in two or three sentences")
    mechanism: Text = _text(
        1000, 300, "who loses what the factor earns, and why they go on doing so, in a sentence", default=""
    )
    name: Text = _text(120, 80, "a short name in plain words")
    expression: Text = _text(4000, 600, "the factor as one expression of the language, such as -ts_returns(close, 5)")
    horizon: int | None = Field(default=None, ge=1, le=100_000, description="bars over which it should pay most")
    fails_when: Text = _text(1000, 200, "the market in which it should lose, in a sentence", default="")
    # Not bounded here: small models miss the unit, and a good factor is not to be lost for that.
    expected_ic: float | None = Field(default=None, description="expected mean rank IC a bar, from -1 to 1")
    expected_turnover: float | None = Field(default=None, description="expected share of the capital traded a bar")
    expected_holding: float | None = Field(default=None, description="bars for which a position should be kept")
    parents: list[Text] = Field(
        description="texts of the known factors it builds on; empty if none",
        json_schema_extra={"maxItems": 3, "items": {"type": "string", "maxLength": 300}},
    )


# What each expected figure can be: turnover is a share of the capital a bar, holding is in bars.
EXPECTED_BOUNDS = {"ic": (-1.0, 1.0), "turnover": (0.0, 4.0), "holding": (1.0, 100_000.0)}


def possible_expectations(said: BaseModel) -> tuple[dict[str, float], list[str]]:
    """Return what a reply expects of its factor, without figures that cannot be, and a note on each of those."""
    kept: dict[str, float] = {}
    notes = []
    for name, (least, most) in EXPECTED_BOUNDS.items():
        value = getattr(said, f"expected_{name}")
        if value is not None and least <= value <= most:
            kept[name] = value
        elif value is not None:
            notes.append(f"an expected {name} of {value:g} cannot be (it lies in {least:g} to {most:g}): left out")
    return kept, notes


class Proposals(BaseModel):
    """Several factors proposed in one reply, in the order in which they were asked for."""

    model_config = ConfigDict(extra="forbid")

    proposals: list[Proposal] = Field(max_length=100, description="one for each candidate, in order")


class JudgeReply(BaseModel):
    """The judge's verdict on one proposal: what is weak comes before the figures, and the decision last."""

    model_config = ConfigDict(extra="forbid")
    SEEDED_ORDER: ClassVar = (
        "decision", "score", "novelty", "mechanism", "testability", "cost", "overfitting", "passes", "critique",
        "suggestion",
    )  # fmt: skip

    critique: Text = _text(4000, 500, "what is weak, concretely, in two or three sentences")
    novelty: float | None = Field(default=None, ge=0, le=10, description="10: nothing like it is known")
    mechanism: float | None = Field(default=None, ge=0, le=10, description="10: a sound reason that fits the formula")
    testability: float | None = Field(default=None, ge=0, le=10, description="10: it can clearly be seen to fail")
    cost: float | None = Field(default=None, ge=0, le=10, description="10: trades so little that costs do not matter")
    overfitting: float | None = Field(default=None, ge=0, le=10, description="10: nothing in it is fitted to the past")
    passes: float | None = Field(default=None, ge=0, le=1, description="probability that the backtest lets it through")
    score: float = Field(ge=0, le=10, description="0 (worthless) to 10, overall")
    suggestion: Text = _text(4000, 300, "the one change that would help most; may be empty")
    decision: Literal["accept", "revise", "refuse"] = Field(
        description="accept: worth a backtest; revise: one change would make it so; refuse: nothing would"
    )

    def scores(self) -> dict[str, float]:
        """Return what it said beside its score."""
        axes = ("novelty", "mechanism", "testability", "cost", "overfitting", "passes")
        return {name: value for name in axes if (value := getattr(self, name)) is not None}
