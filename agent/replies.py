"""What the two agents must answer, as schemas that the server is held to."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Proposal(BaseModel):
    """One factor proposed by the writer."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=120, description="a short name in plain words")
    expression: str = Field(max_length=4000, description="the factor in the language described")
    rationale: str = Field(max_length=4000, description="why it should predict returns, in two or three sentences")
    parents: list[str] = Field(description="names or texts of the known factors it builds on; empty if none")


class JudgeReply(BaseModel):
    """The judge's verdict on one proposal."""

    model_config = ConfigDict(extra="forbid")

    accept: bool = Field(description="true if it is worth a backtest")
    score: float = Field(ge=0, le=10, description="0 (worthless) to 10")
    critique: str = Field(max_length=4000, description="what is weak, concretely")
    suggestion: str = Field(max_length=4000, description="the one change that would help most; may be empty")
