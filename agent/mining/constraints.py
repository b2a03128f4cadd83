"""What a factor has to keep to, as somebody asked for it; each proposal is checked against it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from agent.llm.facts import AskedFacts
from agent.mining.factor_types import TYPES, type_fault
from factors.tree import Expression
from market.errors import Rejection

STAGE = "request"
PRICES = ("open", "high", "low", "close", "vwap")
# What a topic is measured by; one of these fields has to be used where the topic was asked for.
TOPICS: Mapping[str, tuple[str, ...]] = {
    "volume": ("volume", "amount", "adv"),
    "funding": ("funding",),
    "open_interest": ("open_interest",),
    "sentiment": ("sentiment",),
}


@dataclass(frozen=True)
class Constraints:
    """Bounds of a request; empty or 0 is no bound.

    Attributes
    ----------
    kind
        Type of factor, a key of `TYPES`.
    lookback, longest
        The longest look-back as it was said, and in bars of the data.
    fields
        The only fields that may be used; what is derived of them alone (``returns``, ``adv20``) may be used, too.
    uses, avoids
        Topics (keys of `TOPICS`) that a factor has to use, or must not.
    size
        Most nodes of a factor's tree.
    context, asset
        The request in the person's own words, and the class of assets: not checked, shown to the model.
    """

    kind: str = ""
    lookback: str = ""
    longest: int = 0
    fields: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    avoids: tuple[str, ...] = ()
    size: int = 0
    context: str = ""
    asset: str = ""

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return self != Constraints()

    def sentences(self) -> tuple[str, ...]:
        """Return what is checked, each in a sentence that a model is shown."""
        said = []
        if self.kind:
            said.append(f"Type {self.kind}: its value is {_relation(self.kind)}.")
        if self.longest:
            bars = f"{self.longest} bar{'s' if self.longest > 1 else ''}"
            as_said = "" if self.lookback in ("", str(self.longest)) else f" ({self.lookback})"
            said.append(f"It looks back at most {bars}{as_said}, over all its nested windows together.")
        if self.fields:
            said.append(f"Of fields it uses only these: {', '.join(self.fields)}.")
        said += [f"It uses {topic.replace('_', ' ')} ({' or '.join(TOPICS[topic])})." for topic in self.uses]
        said += [f"It does not use {topic.replace('_', ' ')}." for topic in self.avoids]
        if self.size:
            said.append(f"Its tree has at most {self.size} nodes: each operator, field and number is one.")
        return tuple(said)

    def allowed(self, fields: Collection[str]) -> tuple[str, ...]:
        """Return those of a data set's fields that a factor may use, in their order."""
        return tuple(name for name in fields if not self._field_fault(name))

    def fault(self, expression: Expression) -> Rejection | None:
        """Return the first bound that a factor breaks, with what to do, or None."""
        wrong = sorted(name for name in expression.fields if self._field_fault(name))
        if wrong:
            return _broken("field", f"it uses {', '.join(wrong)}, {self._field_fault(wrong[0])}", self._field_hint())
        if self.longest and expression.lookback > self.longest:
            return _broken(
                "lookback",
                f"it looks back {expression.lookback} bars, the request allows {self.longest}",
                "shorten its windows: nested windows add up, and averages that fade (ts_ema, rsi) reach far back",
            )
        if self.size and expression.size > self.size:
            what = f"its tree has {expression.size} nodes, the request allows {self.size}"
            return _broken("complexity", what, "leave out a part")
        for topic in self.uses:
            if not any(_is_of(name, TOPICS[topic]) for name in expression.fields):
                needed = " or ".join(TOPICS[topic])
                return _broken("uses", f"it does not use {topic.replace('_', ' ')}", f"let it depend on {needed}")
        wrong_kind = _type_fault(self.kind, expression) if self.kind else ""
        if wrong_kind:
            return _broken("type", wrong_kind, f"the value has to be {_relation(self.kind)}")
        return None

    def facts(self, fields: Collection[str]) -> AskedFacts:
        """Return the bounds as data, for a simulated model; `fields` are those that may be used."""
        return AskedFacts(self.kind, self.longest, tuple(fields), self.uses, self.size)

    def to_dict(self) -> dict[str, object]:
        """Return what is asked for, as plain JSON types."""
        raw = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in raw.items() if v}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any] | None) -> Constraints:
        """Read what `to_dict` wrote; None: nothing was asked for."""
        said = raw or {}

        def words(name: str) -> tuple[str, ...]:
            return tuple(map(str, said.get(name, ())))

        return cls(
            kind=str(said.get("kind", "")),
            lookback=str(said.get("lookback", "")),
            longest=int(said.get("longest", 0)),
            fields=words("fields"),
            uses=words("uses"),
            avoids=words("avoids"),
            size=int(said.get("size", 0)),
            context=str(said.get("context", "")),
            asset=str(said.get("asset", "")),
        )

    def _field_fault(self, name: str) -> str:
        """Return why a field may not be used; empty where it may."""
        for topic in self.avoids:
            # A price weighted by volume is made of volume.
            if _is_of(name, TOPICS[topic]) or (topic == "volume" and name == "vwap"):
                return f"and the request is one without {topic.replace('_', ' ')}"
        if not self.fields or name in self.fields or all(part in self.fields for part in _made_of(name)):
            return ""
        return "which the request does not allow"

    def _field_hint(self) -> str:
        if self.fields:
            return f"use only {', '.join(self.fields)}"
        return "leave it out"


def _relation(kind: str) -> str:
    about = TYPES[kind].about
    return f"one that {about}" if about.startswith("goes") else about


@lru_cache(maxsize=2_048)
def _type_fault(kind: str, expression: Expression) -> str:
    return type_fault(kind, expression)


def _broken(code: str, message: str, hint: str) -> Rejection:
    return Rejection(STAGE, code, f"the proposal breaks the request: {message}", hint)


def _is_of(name: str, fields: Collection[str]) -> bool:
    stem = "adv" if name[:3] == "adv" and name[3:].isdecimal() else name
    return stem in fields or (stem == "liquidity_group" and "volume" in fields)


def _made_of(name: str) -> tuple[str, ...]:
    """Return the fields that a derived one is computed from; of one that data carry, itself."""
    if name == "returns" or name in ("beta_group", "volatility_group"):
        return ("close",)
    if name == "amount" or name == "liquidity_group" or (name[:3] == "adv" and name[3:].isdecimal()):
        return ("close", "volume")
    if name == "market_close":
        return ("close",)
    if name == "market_open":
        return ("open", "close")
    return (name,)
