"""What is wrong with features, found on train: copies, constants and atoms, on which no density stays finite.

Where one feature is an exact copy of others, states lie on a surface; where a value comes again and again (no volume,
no shadow, a range's edge), they lie on a line. A flow can pile likelihood up on either without bound, and then it tells
nothing about anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from market.errors import InputError
from market.panel import FloatArray

# A feature of which the others explain all but this share is a copy of them. Those of the usual ones that are closest
# to one have ten times as much.
_UNEXPLAINED = 5e-3
# A value that this share of states has is an atom.
ATOM = 0.005
_ROWS = 50_000


@dataclass(frozen=True)
class Atom:
    """A value that many states share, as a share of them."""

    feature: str
    value: float
    share: float


@dataclass(frozen=True)
class Inspection:
    """What was found among features on train.

    Attributes
    ----------
    kept
        Columns that a flow can learn, in order.
    dropped
        A sentence for each feature that is left out: never known, constant, or a copy.
    atoms
        Values that come often; the noise that states are scored with spreads them.
    """

    kept: tuple[int, ...]
    dropped: tuple[str, ...]
    atoms: tuple[Atom, ...]

    def sentences(self) -> tuple[str, ...]:
        """Return all that was found, in words."""
        spread = tuple(f"{a.feature} is {a.value:.4g} in {a.share:.1%} of states: spread by noise" for a in self.atoms)
        return (*self.dropped, *spread)


def inspect_features(features: FloatArray, names: Sequence[str]) -> Inspection:
    """Inspect (..., D) raw train features, NaN where unknown.

    Raises
    ------
    InputError
        When fewer than two features are left.
    """
    rows = features.reshape(-1, features.shape[-1])
    dropped, candidates = [], []
    for column, name in enumerate(names):
        known = rows[np.isfinite(rows[:, column]), column]
        if len(known) < 2:
            dropped.append(f"{name} is left out: it is never known on train")
        elif np.ptp(known) <= 1e-12 * max(1.0, float(np.abs(known).max())):
            dropped.append(f"{name} is left out: it is constant on train ({known[0]:.4g})")
        else:
            candidates.append(column)
    complete = rows[:, candidates][np.isfinite(rows[:, candidates]).all(axis=1)]
    step = max(1, len(complete) // _ROWS)
    kept: list[int] = []
    forms: list[FloatArray] = []
    for place, column in enumerate(candidates):
        values = complete[::step, place]
        copied = _copied(values, forms)
        if copied is None:
            kept.append(column)
            forms.extend(_forms(values))
        else:
            dropped.append(f"{names[column]} is left out: {copied}")
    if len(kept) < 2:
        raise InputError("fewer than two features are left to learn a density of", "; ".join(dropped))
    atoms = [atom for column in kept if (atom := _atom(rows[:, column], names[column])) is not None]
    return Inspection(tuple(kept), tuple(dropped), tuple(atoms))


def _copied(values: FloatArray, forms: list[FloatArray]) -> str | None:
    """Return why a column adds nothing to the `_forms` of those before it, or None.

    It, or its logarithm, is regressed on the others, their sizes, squares and logarithms: a ratio of two volatilities,
    a compounded sum of returns, and a shadow that is what body and other shadow leave over are copies as well.
    """
    if not forms or len(values) < 10 * (1 + len(forms)):
        return None
    basis = np.stack(forms, axis=1)
    basis = basis - basis.mean(axis=0)
    deviation = basis.std(axis=0)
    basis = basis[:, deviation > 0] / deviation[deviation > 0]
    targets = np.stack([values, _logarithm(values)], axis=1)
    targets = targets - targets.mean(axis=0)
    left = targets - basis @ np.linalg.lstsq(basis, targets, rcond=None)[0]
    with np.errstate(invalid="ignore"):
        unexplained = float(np.nanmin((left**2).sum(axis=0) / (targets**2).sum(axis=0)))
    if unexplained >= _UNEXPLAINED:
        return None
    return f"the features before it explain {1 - unexplained:.2%} of it"


def _forms(x: FloatArray) -> tuple[FloatArray, ...]:
    return (x, np.abs(x), x**2, _logarithm(x))


def _logarithm(x: FloatArray) -> FloatArray:
    """Return log |x|, no smaller than that of a thousandth of its median."""
    size = np.abs(x)
    floor = max(1e-3 * float(np.median(size)), np.finfo(np.float64).tiny)
    return np.log(np.maximum(size, floor))


def _atom(values: FloatArray, name: str) -> Atom | None:
    known = values[np.isfinite(values)]
    found, counts = np.unique(known, return_counts=True)
    best = int(counts.argmax())
    share = counts[best] / len(known)
    return Atom(name, float(found[best]), float(share)) if share >= ATOM and counts[best] > 1 else None
