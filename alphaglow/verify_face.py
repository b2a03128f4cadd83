"""Anyone's signal judged from Python: signals, weights, trades or returns in a frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from agent.verify.verification import Verification
    from market.panel import Panel


def verify(
    frame: Any,  # noqa: ANN401 - any frame of pandas, Polars or Arrow
    panel: Any = None,  # noqa: ANN401 - a panel, or such a frame of bars or closes
    *,
    trials: int | None = None,
    kind: Literal["signals", "weights", "trades", "returns"] | None = None,
    expression: str = "",
    recompute: Callable[[Panel], Any] | None = None,
    worlds: int = 100,
    seed: int = 0,
) -> Verification:
    """Judge a signal that was made anywhere, by the same two tests as our own factors.

    Parameters
    ----------
    frame
        Dates by assets, or a long table; `kind` says what its values are where names do not.
    panel
        Prices: bars, or closes alone. Returns can be judged without.
    trials
        How many signals were tried until this one was found; None is unknown, and the answer says what each number
        would mean.
    expression, recompute
        What the signal is said to be, or a function of a panel that makes the frame again: with one of them it is
        tested for look-ahead.
    worlds
        How many worlds without skill of each kind it is tried on; 0: none.

    Returns
    -------
    A `Verification`: `shown`, `sentence` and all figures; `to_dict()` has plain types.

    Raises
    ------
    InputError
        Where it cannot be judged: too few bars, dates in the future, times or assets that are not the panel's.
    """
    from agent.verify.claim_reading import ReadingAs
    from agent.verify.verifying import Terms
    from agent.verify.verifying import verify as judged

    terms = Terms(
        trials=trials,
        worlds=worlds,
        seed=seed,
        expression=expression,
        recompute=recompute,
        reading=ReadingAs(kind=kind),
    )
    return judged(frame, panel, terms)
