"""What somebody brings to be judged, as it was read: signals, weights, trades or returns, each at its time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import pandas as pd

from market.errors import InputError
from market.panel import FloatArray, TimeArray

Kind = Literal["signals", "weights", "trades", "returns"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Sizes of a row of weights that rounding explains.
_ROUNDING = 1e-3


@dataclass(frozen=True, eq=False)
class Claim:
    """What a file or a frame claims.

    Attributes
    ----------
    times
        (R,) ``datetime64[ns]``, UTC, strictly increasing. Of trades, none.
    assets
        A names; of returns one, which is the series' own.
    values
        (R, A): signals, weights as fractions of capital, or simple returns a row; NaN is no opinion.
    trades
        Of trades alone: ``ts``, ``symbol`` (empty where the file names none), ``size`` in units with its sign, and
        ``price`` (NaN where unknown), a row an execution, ordered by time.
    notes
        What was guessed or found out, a sentence each.
    """

    kind: Kind
    times: TimeArray
    assets: tuple[str, ...]
    values: FloatArray
    notes: tuple[str, ...] = ()
    trades: pd.DataFrame | None = field(default=None, repr=False)


def refuse_unusable(claim: Claim, where: str, *, leverage: float, now: np.datetime64) -> None:
    """Refuse what cannot be judged, whatever it is judged on.

    Raises
    ------
    InputError
        For no rows, times in the future, values that are infinite, all missing or all the same, returns below -100 %,
        and weights whose sizes add up to more than `leverage`.
    """
    times = claim.times if claim.trades is None else claim.trades["ts"].to_numpy(dtype="datetime64[ns]")
    if not len(times):
        raise InputError(f"{where} has no rows", "is it the right file?")
    if times[-1] > now:
        count = int((times > now).sum())
        raise InputError(
            f"{where}: {count} of {len(times)} rows lie in the future, the last at {_day(times[-1])}",
            "is the day before the month? say --date-format, or correct the dates",
        )
    if claim.trades is not None:
        return
    if np.isinf(claim.values).any():
        raise InputError(f"{where} has infinite values, the first at {_first(claim, np.isinf(claim.values))}", _LEAVE)
    known = np.isfinite(claim.values)
    if not known.any():
        raise InputError(f"{where}: every value is missing", "were its numbers written as text, or its dates shifted?")
    some = claim.values[known]
    if claim.kind != "weights" and len(some) > 1 and float(some.max()) == float(some.min()):
        raise InputError(f"{where}: all values are {some[0]:g}", "a signal has to differ among assets or in time")
    if claim.kind == "returns" and float(some.min()) < -1.0:
        raise InputError(
            f"{where}: a return of {float(some.min()):g} loses more than everything",
            "write returns as fractions: 0.01 is one per cent",
        )
    if claim.kind == "weights":
        _refuse_large(claim, where, leverage)


_LEAVE = "leave such a cell empty"


def _refuse_large(claim: Claim, where: str, leverage: float) -> None:
    sizes = np.nansum(np.abs(claim.values), axis=1)
    largest = int(np.argmax(sizes))
    if sizes[largest] > leverage + _ROUNDING:
        over = int((sizes > leverage + _ROUNDING).sum())
        raise InputError(
            f"{where}: the sizes of the weights of {_day(claim.times[largest])} add up to {sizes[largest]:.3g}, above "
            f"{leverage:g} ({over} of {len(sizes)} rows do)",
            f"if that leverage is meant, say --leverage {np.ceil(sizes[largest] * 10) / 10:g}; if the values are "
            "signals, say --kind signals",
        )


def _first(claim: Claim, mask: np.ndarray) -> str:
    row, column = np.argwhere(mask)[0]
    return f"{_day(claim.times[row])}, {claim.assets[column]}"


def _day(time: np.datetime64) -> str:
    return str(time)[:16].replace("T", " ").removesuffix(" 00:00")
