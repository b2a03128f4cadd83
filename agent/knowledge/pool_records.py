"""A pool as the knowledge base holds it: members, weights and rules as frozen types, and how those are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from agent.knowledge.run_config import ScoringRules, read_inputs, read_rules
from agent.knowledge.score_documents import Document, read_figure, read_flat, read_strings
from backtest.result_types import Evidence, Figures, Scorecard, to_json_types


@dataclass(frozen=True)
class Missing:
    """What an unknown member adds, the least share of the weight that must know an asset, and decimals of a signal."""

    adds: float
    least_share: float
    decimals: int


@dataclass(frozen=True)
class Label:
    """What weights were fitted on: the return over this many bars, from fill to fill."""

    bars: int
    fill: str


@dataclass(frozen=True)
class FittedOn:
    """The bars of train that the weights come from: how many, and the time of the first and the last."""

    bars: int
    first: str
    last: str


@dataclass(frozen=True)
class PoolSpec:
    """How a pool's members are normalised and combined, what the weights were fitted on, and under which rules.

    Attributes
    ----------
    split
        Rows of each segment, and the embargo between them.
    rules
        The rules that it was fitted under; older pools have no inputs.
    hyperparameters, tried
        What was chosen on train, and what was tried for it.
    in_sample
        Figures of the kept weights on train, where they were fitted; None in pools that did not record them.
    returns_fingerprint
        Of its gross returns on train, packed and in base64: by it, it is one of the trials whose largest score decides.
        Empty in pools that did not record it, which count as trials that go with no other.
    """

    normalise: str
    missing: Missing
    label: Label
    data: str
    fitted_on: FittedOn
    rules: ScoringRules
    hyperparameters: Mapping[str, float] = field(default_factory=dict)
    split: Document = field(default_factory=dict)
    tried: Document = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    in_sample: Figures | None = None
    returns_fingerprint: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types, NaN as None."""
        rules = replace(self.rules, gate=None, inputs=None).to_dict()
        raw = {**asdict(self), "notes": list(self.notes), "rules": rules, "gate": bool(self.rules.gate)}
        # Older pools have none of these.
        if self.in_sample is None:
            del raw["in_sample"]
        if not self.returns_fingerprint:
            del raw["returns_fingerprint"]
        if self.rules.inputs is not None:
            raw["inputs"] = self.rules.inputs.to_dict()
        return _plain(raw)

    @classmethod
    def from_dict(cls, stored: Document) -> PoolSpec:
        """Read what `to_dict` wrote, or an older form of it."""
        missing, label, fitted = (_part(stored, name) for name in ("missing", "label", "fitted_on"))
        flattered = stored.get("in_sample")
        return cls(
            normalise=str(stored.get("normalise") or ""),
            missing=Missing(
                missing.get("adds", 0), read_figure(missing.get("least_share")), int(missing.get("decimals") or 0)
            ),
            label=Label(int(label.get("bars") or 0), str(label.get("fill") or "")),
            data=str(stored.get("data") or ""),
            fitted_on=FittedOn(
                int(fitted.get("bars") or 0), str(fitted.get("first") or ""), str(fitted.get("last") or "")
            ),
            rules=replace(
                read_rules(_part(stored, "rules")),
                gate=bool(stored.get("gate")),
                inputs=read_inputs(stored.get("inputs")),
            ),
            hyperparameters={name: read_figure(value) for name, value in _part(stored, "hyperparameters").items()},
            split=_part(stored, "split"),
            # Pools of revision 0006 and before call it `told`.
            tried=_part(stored, "tried" if "tried" in stored else "told"),
            notes=read_strings(stored.get("notes")),
            in_sample=read_flat(Figures, flattered) if isinstance(flattered, Mapping) else None,
            returns_fingerprint=str(stored.get("returns_fingerprint") or ""),
        )


def _part(stored: Document, name: str) -> Mapping[str, Any]:
    part = stored.get(name)
    return part if isinstance(part, Mapping) else {}


def _plain(raw: dict[str, Any]) -> dict[str, object]:
    found = to_json_types(raw)
    assert isinstance(found, dict)
    return found


@dataclass(frozen=True)
class PoolMember:
    """A factor of a pool: its weight, its figures by itself, and how its returns on train go with the others'.

    `verdict` is what was said of it when the pool was fitted; `simulated` whether a simulated model wrote it.
    """

    factor_id: str
    text: str
    name: str
    verdict: str
    weight: float
    train: Figures
    validation: Figures
    correlations: tuple[float, ...] = ()
    simulated: bool = False

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types, NaN as None."""
        return _plain(asdict(self))

    @classmethod
    def from_dict(cls, stored: Document) -> PoolMember:
        """Read what `to_dict` wrote, or an older form of it."""
        near = stored.get("correlations")
        return cls(
            factor_id=str(stored.get("factor_id") or ""),
            text=str(stored.get("text") or ""),
            name=str(stored.get("name") or ""),
            verdict=str(stored.get("verdict") or ""),
            weight=read_figure(stored.get("weight")),
            train=read_flat(Figures, stored.get("train")),
            validation=read_flat(Figures, stored.get("validation")),
            correlations=tuple(map(read_figure, near)) if isinstance(near, (list, tuple)) else (),
            simulated=bool(stored.get("simulated")),
        )


@dataclass(frozen=True)
class PoolRecord:
    """Factors of a panel combined into one signal: weights that never change, and what became of them.

    Attributes
    ----------
    id
        Hash of what the pool is: members, weights and the rules that they were fitted under.
    sharpe_per_bar
        Before costs, on train: it feeds the trial variance, as an attempt's does.
    """

    id: str
    panel_id: str
    name: str
    method: str
    spec: PoolSpec
    members: tuple[PoolMember, ...]
    scorecard: Scorecard
    evidence: Evidence
    sharpe_per_bar: float | None
    created: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return the fields as plain JSON types."""
        return {
            "id": self.id,
            "panel_id": self.panel_id,
            "name": self.name,
            "method": self.method,
            "spec": self.spec.to_dict(),
            "members": [member.to_dict() for member in self.members],
            "scorecard": self.scorecard.to_dict(),
            "evidence": self.evidence.to_dict(),
            "sharpe_per_bar": self.sharpe_per_bar,
            "created": self.created,
        }
