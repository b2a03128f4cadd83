"""What a model answers to a request or a note, as schemas: small, and the reason before the formula."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from agent.untrusted.showing import displayable

# A model may write what a terminal, a page or a prompt would take for a command.
_Text = Annotated[str, AfterValidator(displayable)]


class AskedFactor(BaseModel):
    """One factor for a request."""

    model_config = ConfigDict(extra="forbid")

    rationale: _Text = Field(max_length=4000, description="why it should predict returns, in two or three sentences")
    mechanism: _Text = Field(max_length=2000, description="who loses what it earns, and why they go on doing so")
    risk_factors: list[_Text] = Field(
        max_length=12, description="the markets in which it should fail, each in a phrase"
    )
    name: _Text = Field(max_length=120, description="a short name in plain words")
    expression: _Text = Field(max_length=4000, description="the factor in the language described")
    # Not bounded here: small models miss the unit, and a good factor is not to be lost for that.
    expected_ic: float | None = Field(description="expected mean rank IC a bar, from -1 to 1, such as 0.02")
    expected_turnover: float | None = Field(description="expected share of the capital traded a bar, from 0 to 4")
    expected_holding: float | None = Field(description="bars for which a position should be kept, 1 or more")


class NoteHypothesis(BaseModel):
    """One hypothesis, the sentence of the text that it rests on, and expressions that would show it."""

    model_config = ConfigDict(extra="forbid")

    quote: _Text = Field(max_length=1200, description="one sentence of the text, copied word for word")
    hypothesis: _Text = Field(max_length=1500, description="what should predict returns, and why")
    expressions: list[_Text] = Field(max_length=6, description="one to three factors in the language described")


class NoteHypotheses(BaseModel):
    """The hypotheses of one part of a text."""

    model_config = ConfigDict(extra="forbid")

    hypotheses: list[NoteHypothesis] = Field(max_length=40, description="an empty list where the text holds none")
