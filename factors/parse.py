"""Text to a checked `Expression`, or a `Rejection` that helps."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from factors.canonical import canonical
from factors.degenerate import check_degenerate
from factors.dialects.alphaagent import ALPHAAGENT, FACTORMINER
from factors.dialects.alphagen import ALPHAGEN, read_prefix
from factors.dialects.base import Dialect
from factors.dialects.brain import BRAIN
from factors.dialects.from_qlib import QLIB
from factors.dialects.gtja import GTJA
from factors.dialects.loose import AUTO
from factors.dialects.worldquant import WORLDQUANT
from factors.dimensions import dimension_of
from factors.limits import Limits
from factors.measure import cell_cost, fields_of, measure
from factors.printing import number_text, to_text
from factors.pycode.statements import looks_like_python, read_python
from factors.resolve import Resolver, kind_of
from factors.script import is_script, read_script, without_comments
from factors.syntax import Fault, Raw, read_tree
from factors.table import GROUP_FIELDS, OPERATORS, STANDARD_FIELDS
from factors.tree import Expression, Node, Number
from market.errors import Rejection

if TYPE_CHECKING:
    import numpy as np

_NAMED = re.compile(r"\s*([A-Za-z_]\w*)\s*(?::=|=(?!=)|:(?!=))\s*", re.ASCII)
_FIELD_LIKE = frozenset({*STANDARD_FIELDS, *GROUP_FIELDS})
DialectName = Literal[
    "native", "auto", "worldquant", "gtja", "qlib", "alphagen", "brain", "alphaagent", "factorminer", "python"
]
DIALECTS: Mapping[DialectName, Dialect] = {
    "native": Dialect(folds_case=False),
    "auto": AUTO,
    "worldquant": WORLDQUANT,
    "gtja": GTJA,
    "qlib": QLIB,
    "alphagen": ALPHAGEN,
    "brain": BRAIN,
    "alphaagent": ALPHAAGENT,
    "factorminer": FACTORMINER,
    "python": AUTO,
}


def parse(
    text: str,
    *,
    fields: Collection[str] | None = None,
    bar: np.timedelta64 | Callable[[], np.timedelta64] | None = None,
    limits: Limits | None = None,
    dialect: DialectName = "auto",
    blocks: Mapping[str, str] | None = None,
    strict: bool = False,
    session: int | Callable[[], int | None] | None = None,
) -> Expression | Rejection:
    """Read a factor.

    Parameters
    ----------
    text
        The expression. It is read, never executed.
    fields
        Names the panel offers; None allows the standard ones. ``adv{d}`` is always known.
    bar
        Length of a bar, by which durations such as ``20d`` become bars; without it they are refused. A function is
        called when a duration is met.
    dialect
        ``native`` is our language alone; ``auto`` adds the loose forms that models write, pandas code among them; the
        others read published dialects. What a translation changed is in the expression's `notes`.
    blocks
        Names of known factors with their texts in our language; each may be used like a field. They are looked up when
        a name is met that is no field.
    strict
        Refuse what otherwise is a warning: quantities that do not fit, added or compared.
    session
        Bars of a usual session of the exchange (`Panel.session_bars`), by which sessions such as ``5s`` become bars;
        without it they are refused. A function is called when one is met.

    Returns
    -------
    Expression or Rejection
        Never raises for anything that `text` may hold.
    """
    setting = _Setting(
        frozenset(STANDARD_FIELDS if fields is None else fields), bar, limits or Limits(), blocks, strict, session
    )
    found = _parsed(text, setting, dialect)
    if dialect == "auto" and isinstance(found, Expression):
        return _with_money_said(found, setting)
    if dialect == "auto" and isinstance(found, Rejection) and found.code in _MAY_BE_ANOTHER:
        return _in_another(text, setting, found)
    return found


_AVERAGE_MONEY = re.compile(r"adv\d+")


def _with_money_said(found: Expression, setting: _Setting) -> Expression:
    """Add which average `adv20` is, where the text is not in our language: in BRAIN's it is one of shares."""
    names = [name for name in sorted(found.fields) if _AVERAGE_MONEY.fullmatch(name) and name not in setting.fields]
    if not names or isinstance(_parsed(found.source, setting, "native"), Expression):
        return found
    shares = f"ts_mean(volume, {names[0][3:]})"
    said = f"{names[0]} is an average of money here; in shares, as --from brain reads it, it is {shares}"
    return replace(found, notes=(*found.notes, said))


@dataclass(frozen=True, slots=True)
class _Setting:
    """What a text is read against, whatever its language."""

    fields: frozenset[str]
    bar: np.timedelta64 | Callable[[], np.timedelta64] | None
    limits: Limits
    blocks: Mapping[str, str] | None
    strict: bool
    session: int | Callable[[], int | None] | None


def _parsed(
    text: str, setting: _Setting, dialect: DialectName, *, as_code: bool = True, stands_in: bool = True
) -> Expression | Rejection:
    notes: list[str] = []
    bounds = setting.limits
    try:
        raw, name = _read(text, bounds, dialect, notes, as_code=as_code)
        blocks = {} if setting.blocks is None else setting.blocks
        language = DIALECTS[name] if stands_in else replace(DIALECTS[name], stands_in=False)
        node = Resolver(setting.fields, setting.bar, bounds, language, blocks, notes, session=setting.session).node(
            raw, 1
        )
        _check_root(node)
        root = canonical(node)
        _check_root(root)
        check_degenerate(root)
        expression = _measured(root, text, bounds, tuple(dict.fromkeys(notes)))
        if setting.strict and expression.warnings:
            raise Fault("dimension", expression.warnings[0], "divide each by its own mean first, or leave out --strict")
        return expression
    except Fault as fault:
        return fault.rejection(text)


# With these a text may still be one of another language.
_MAY_BE_ANOTHER = frozenset({
    "unknown_operator", "unknown_field", "arity", "dialect", "syntax", "python", "bad_character",
})  # fmt: skip
# By the first refusal, with which another language has got further.
_KNOWS_THE_WORDS: Mapping[str, frozenset[str]] = {
    "unknown_operator": frozenset({"dialect", "arity", "look_ahead", "unknown_field"}),
    "arity": frozenset({"dialect", "unknown_field"}),
}
_NUMBER = re.compile(r"\d+(\.\d*)?([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?", re.ASCII)
_INFIX = re.compile(r"[*/+<>&|]|[\w)]\s*-", re.ASCII)
_CALLED = re.compile(r"([A-Za-z_]\w*)\s*\(", re.ASCII)
_NAMES: Mapping[DialectName, str] = {
    "brain": "WorldQuant BRAIN's", "alphaagent": "AlphaAgent's", "factorminer": "FactorMiner's", "qlib": "Qlib's",
    "alphagen": "AlphaGen's", "gtja": "GTJA's",
}  # fmt: skip


def _candidates(text: str) -> tuple[tuple[DialectName, ...], ...]:
    """Return the languages that a text may be in, the likeliest first, by how the words are written that it calls."""
    words = [word for word in _CALLED.findall(text) if any(sign.isalpha() for sign in word)]
    if words and all(word.isupper() for word in words):
        return ("alphaagent",), ("gtja",)
    if words and all(word[0].isupper() for word in words):
        # FactorMiner's factors are calls alone: Add and Mul are words there.
        return (("qlib",) if _INFIX.search(_NUMBER.sub("1", text)) else ("qlib", "factorminer")), ("alphagen",)
    return (("brain",),)


def _in_another(text: str, setting: _Setting, first: Rejection) -> Expression | Rejection:
    """Try the other languages; return what they agree on, else the refusal that says most."""
    if len(text) > setting.limits.max_chars:
        return first
    if first.code in ("python", "syntax") and looks_like_python(text):
        plain = _parsed(text, setting, "auto", as_code=False)
        if isinstance(plain, Expression):
            return plain
    best = first
    for group in _candidates(text):
        read: dict[str, tuple[DialectName, Expression]] = {}
        for dialect in group:
            # What the data lack is stood in for only where the language was asked for.
            found = _parsed(text, setting, dialect, stands_in=False)
            if isinstance(found, Expression):
                read.setdefault(found.text, (dialect, found))
            elif found.code in _KNOWS_THE_WORDS.get(first.code, frozenset()):
                best = found
        if len(read) == 1:
            ((dialect, only),) = read.values()
            return replace(only, notes=(f"read in {_NAMES[dialect]} language (--from {dialect})", *only.notes))
        if read:
            meanings = "; ".join(f"{_NAMES[dialect]} is {one}" for one, (dialect, _) in read.items())
            known = " or ".join(f"--from {dialect}" for dialect, _ in read.values())
            return Rejection("parse", "ambiguous", f"the text may be of two languages: {meanings}", f"say {known}")
    return best


def _read(
    text: str, limits: Limits, dialect: DialectName, notes: list[str], *, as_code: bool
) -> tuple[Raw, DialectName]:
    # Our language alone has no comments: what is stored and shown in it is nothing but a factor.
    if dialect != "native" and len(text) <= limits.max_code_chars:
        text = without_comments(text)
    if dialect not in ("native", "python") and len(text) <= limits.max_chars:
        text = _without_name(text)
    may_be_code = as_code and dialect == "auto" and len(text) <= limits.max_code_chars
    if dialect == "python" or (may_be_code and looks_like_python(text)):
        return read_python(text, limits, notes), "python"
    if dialect == "alphagen" and len(text) <= limits.max_chars:
        prefix = read_prefix(text, limits.max_depth)
        if prefix is not None:
            return prefix, dialect
    if dialect != "native" and len(text) <= limits.max_chars and is_script(text):
        return read_script(text, limits, notes), dialect
    return read_tree(text, limits), dialect


def _without_name(text: str) -> str:
    """Blank out a name that the whole expression is given: `alpha = rank(close)`, `factor_1: close / open`."""
    found = _NAMED.match(text)
    return (
        text
        if found is None or is_script(text) or found[1] in _FIELD_LIKE or found[1] in OPERATORS
        else " " * found.end() + text[found.end() :]
    )


def _check_root(node: Node) -> None:
    if isinstance(node, Number):
        raise Fault("type", f"the expression is always {number_text(node.value)}", "use a field, such as close", 0)
    if kind_of(node) == "group":
        raise Fault(
            "type", f"{to_text(node)} names groups; alone it is not a factor", "use it in group_neutralize(x, g)", 0
        )


def _measured(root: Node, source: str, limits: Limits, notes: tuple[str, ...]) -> Expression:
    measures, text = measure(root), to_text(root)
    size, depth = measures.size, measures.depth
    if len(text) > limits.max_chars:
        # What is stored must be readable again.
        why = f"spelled out, the expression has {len(text)} characters, at most {limits.max_chars} are allowed"
        raise Fault("too_long", why, "simplify it")
    if size > limits.max_nodes:
        raise Fault(
            "too_large", f"the expression has {size} nodes, at most {limits.max_nodes} are allowed", "simplify it"
        )
    if depth > limits.max_depth:
        raise Fault(
            "too_deep", f"the expression is {depth} levels deep, at most {limits.max_depth} are allowed", "simplify it"
        )
    dimension, warnings = dimension_of(root)
    return Expression(
        root=root,
        text=text,
        source=source,
        lookback=measures.lookback,
        depth=depth,
        size=size,
        fields=fields_of(root),
        cost=cell_cost(root),
        dimension=str(dimension),
        notes=notes,
        warnings=warnings,
    )
