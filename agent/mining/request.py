"""A request for factors, in options and in somebody's own words, becomes constraints that can be checked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from agent.mining.constraints import PRICES, TOPICS, Constraints
from agent.mining.factor_types import TYPES, type_named
from agent.mining.request_words import Words, read_words
from factors.table import STANDARD_FIELDS
from market.errors import InputError

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(b|bars?|m|min|h|d|w)?", re.IGNORECASE)
_SECONDS = {"m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
# Longer requests are notes: `alphaglow ideas` reads those.
LONGEST_REQUEST = 1_400


@dataclass(frozen=True)
class FactorRequest:
    """What was asked for; empty or 0: nothing was said of it.

    Attributes
    ----------
    words
        The request in the person's own words, and `context` what else was said.
    asset, kind, lookback, fields, complexity
        Options: class of assets, type, longest look-back (bars, or a time such as ``5d``), the only fields, most nodes.
    """

    words: str = ""
    asset: str = ""
    kind: str = ""
    lookback: str = ""
    context: str = ""
    fields: tuple[str, ...] = ()
    complexity: int = 0

    @property
    def text(self) -> str:
        """All that was said in words."""
        return ". ".join(part.strip() for part in (self.words, self.context) if part.strip())

    def __bool__(self) -> bool:
        """Whether anything was asked for."""
        return self != FactorRequest()


@dataclass(frozen=True)
class Understood:
    """Constraints, and what a person should know of how a request was read, each in a sentence."""

    constraints: Constraints
    notes: tuple[str, ...] = ()


def understand(
    request: FactorRequest, fields: Collection[str], bar: np.timedelta64, *, longest: int = 0, bar_known: bool = True
) -> Understood:
    """Return what a request binds a factor to, on data with these fields and this bar size.

    Options decide; what the words say beside them is added, and has to agree.

    Parameters
    ----------
    longest
        The longest look-back that the data allow, in bars; 0: not known.
    bar_known
        Whether `bar` is that of data, and not assumed.

    Raises
    ------
    InputError
        For a request that says nothing, contradicts itself, or asks for what the data lack.
    """
    _require_words(request)
    said = read_words(request.text)
    notes: list[str] = []
    kind = _kind(type_named(request.kind), said, notes)
    lookback, bars = _lookback(request.lookback, said, bar, notes, bar_known=bar_known)
    if longest and bars > longest:
        raise InputError(f"a look-back of {lookback} is {bars} bars, these data allow {longest}",
                         "ask for a shorter one, or raise max_lookback in alphaglow.toml [split]")  # fmt: skip
    only = _fields(request.fields, fields)
    uses = tuple(name for name in said.uses if name != "sentiment" or "sentiment" in fields or kind == "sentiment")
    found = Constraints(
        kind=kind,
        lookback=lookback,
        longest=bars,
        fields=only,
        uses=uses,
        avoids=said.avoids,
        size=request.complexity,
        context=request.text,
        asset=request.asset or said.asset,
    )
    _agree(found, fields)
    if uses:
        notes.append(f"read from the words: it uses {', '.join(name.replace('_', ' ') for name in uses)}")
    if said.avoids:
        notes.append(f"read from the words: it does without {', '.join(n.replace('_', ' ') for n in said.avoids)}")
    return Understood(found, tuple(notes))


def _require_words(request: FactorRequest) -> None:
    """Refuse a request that says nothing, or more than a request can."""
    for option, text in (("--context", request.context), ("the request", request.words)):
        if len(text) > LONGEST_REQUEST:
            raise InputError(f"{option} has {len(text)} characters, at most {LONGEST_REQUEST} are read",
                             "say it more briefly; a whole note is read by: alphaglow ideas FILE")  # fmt: skip
    if not (request.text or request.kind or request.lookback or request.fields or request.complexity):
        raise InputError(
            "the request says nothing", "say what is wanted: --type mean_reversion --lookback 5d, or words"
        )


def bar_of(said: str) -> np.timedelta64:
    """Return the size of a bar as people write it: ``1h``, ``15m``, ``1d``.

    Raises
    ------
    InputError
        For what is none.
    """
    found = _SPAN.fullmatch(said.strip())
    seconds = _SECONDS.get((found[2] or "").lower()) if found else None
    if found is None or seconds is None or not 1 <= float(found[1]) * seconds <= 1e8:
        raise InputError(f"--bar {said!r} is no size of a bar", "say minutes, hours, days or weeks: 15m, 1h, 1d, 1w")
    return np.timedelta64(round(float(found[1]) * seconds * 1e9), "ns")


def _kind(given: str, said: Words, notes: list[str]) -> str:
    others = [name for name in said.types if name != given]
    if given in ("momentum", "mean_reversion") and others and others[0] != "volatility" and given not in said.types:
        raise InputError(
            f"--type {given} contradicts the words, which ask for {others[0]}", "change the words, or leave out --type"
        )
    if given:
        return given
    if len(said.types) > 1:
        raise InputError(
            f"the words ask for {' and for '.join(said.types)}, which contradict each other",
            f"say which: --type {said.types[0]}",
        )
    if said.types:
        notes.append(f"read from the words: type {said.types[0]}")
        return said.types[0]
    return ""


def _lookback(given: str, said: Words, bar: np.timedelta64, notes: list[str], *, bar_known: bool) -> tuple[str, int]:
    """Return the longest look-back as it was said, and in bars; nothing and 0 where none is sure."""
    if given:
        bars = _bars(given, bar, "--lookback")
        other = [span for span in said.spans if _bars(span, bar, "the look-back") != bars]
        if len(said.spans) == 1 and other:
            raise InputError(f"--lookback {given} contradicts the words, which say {other[0]}", "leave one of them out")
        chosen = given
    elif len(said.spans) == 1:
        chosen = said.spans[0]
        bars = _bars(chosen, bar, "the look-back")
        notes.append(f"read from the words: it looks back at most {chosen}, which is {bars} bars")
    else:
        if said.spans:
            notes.append(f"the words name several times ({', '.join(said.spans)}): --lookback bounds the look-back")
        return "", 0
    if not bar_known and re.search(r"[mhdw]", chosen, re.I):
        notes.append(f"bars of {_span_words(bar)} are assumed, so {chosen} is {bars} bars; --bar says another size")
    return chosen, bars


def _bars(said: str, bar: np.timedelta64, option: str) -> int:
    """Return a look-back in whole bars."""
    found = _SPAN.fullmatch(said.strip())
    if found is None:
        raise InputError(f"{option} {said!r} is no look-back", "say bars or a time: 20, 5d, 12h, 2w")
    count, unit = float(found[1]), (found[2] or "b").lower()
    seconds = _SECONDS.get(unit)
    bars = count if seconds is None else count * seconds / float(bar / np.timedelta64(1, "s"))
    if bars < 1:
        if seconds is None or count == 0:
            raise InputError(f"{option} {said} is no bar at all", "say 1 or more, or leave it out")
        raise InputError(f"{option} {said} is shorter than a bar, which is {_span_words(bar)}",
                         "ask for a longer look-back, or take data with shorter bars")  # fmt: skip
    if bars > 10_000:
        raise InputError(f"{option} {said} is {bars:.0f} bars, at most 10000 can be looked back to", "shorten it")
    return int(bars)


def _span_words(bar: np.timedelta64) -> str:
    minutes = float(bar / np.timedelta64(1, "m"))
    for size, unit in ((1440, "d"), (60, "h")):
        if minutes % size == 0:
            return f"{minutes / size:g}{unit}"
    return f"{minutes:g} minutes"


def _fields(given: Sequence[str], known: Collection[str]) -> tuple[str, ...]:
    """Return the fields that were named, ``price`` spelled out; one that the data lack is refused."""
    found: list[str] = []
    offered = [*dict.fromkeys((*STANDARD_FIELDS, *known))]
    for name in (part.strip() for one in given for part in one.split(",")):
        if not name:
            continue
        if name.casefold() in ("price", "prices", "ohlc"):
            found += [*PRICES, "returns"]
        elif name in offered or re.fullmatch(r"adv\d+", name):
            found.append(name)
        else:
            near = difflib.get_close_matches(name, offered, n=1, cutoff=0.6)
            guess = f"did you mean {near[0]}? " if near else ""
            raise InputError(f"the data have no field {name!r}", f"{guess}there are: {', '.join(offered)}")
    return tuple(dict.fromkeys(found))


def _agree(asked: Constraints, fields: Collection[str]) -> None:
    """Refuse what nothing could keep to."""
    have = {*STANDARD_FIELDS, *fields}
    kind = TYPES.get(asked.kind)
    needed = list(asked.uses)
    if kind is not None and kind.fields and asked.kind in TOPICS:
        needed.append(asked.kind)
    for topic in dict.fromkeys(needed):
        measures = TOPICS[topic]
        if not have & set(measures):
            raise InputError(
                f"the request is about {topic.replace('_', ' ')}, and the data have no field {' or '.join(measures)}",
                f"join it (alphaglow data join), or ask for what there is: {', '.join(sorted(have))}",
            )
        if topic in asked.avoids or (asked.fields and not asked.allowed(tuple(set(measures) & (have | {"adv"})))):
            raise InputError(
                f"the request contradicts itself: it is about {topic.replace('_', ' ')} and does not allow it",
                f"add one of {', '.join(measures)} to --fields, or leave the topic out",
            )
    of_prices = asked.kind in ("momentum", "mean_reversion", "volatility")
    if of_prices and asked.fields and not set(asked.fields) & {*PRICES, "returns"}:
        raise InputError(
            f"a {asked.kind} factor goes by prices, and --fields allows none: {', '.join(asked.fields)}",
            "add close to --fields, or ask for another --type",
        )
    if asked.size and asked.size < 2 + 2 * len(asked.uses):
        raise InputError(f"--complexity {asked.size} leaves no room for a factor like this", "allow at least 7")
