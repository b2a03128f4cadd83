"""What can become of a request that gets no answer, whoever provides the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from agent.llm.patience import RetryRules
from market.errors import InputError

# passing: trying again may help; form: the server may accept the request put otherwise; long: it may accept a shorter
# prompt; final: none of these.
Kind = Literal["passing", "form", "long", "final"]
Words = Callable[[RetryRules], InputError]


class CallFault(Exception):
    """A request that got no answer.

    Parameters
    ----------
    words
        What a person is to read and can do about it; without the key. A function of the patience where it depends on
        how long may be waited.
    kind
        Whether to try again, to put the request in another form or more briefly, or to give up.
    billed
        Whether it may have been paid for: it was sent, and not refused.
    wait_s
        Seconds that the server asks to wait; None: it does not say.
    names_bound
        Whether a refused form is about the name of the bound on a reply's tokens.
    names_schema
        Whether a refused form is about what the schema holds, and not about schemas as such.
    address
        Whether it is of the kind that a wrong address brings about: while the server has answered nothing yet, trying
        again does not help.
    """

    def __init__(
        self,
        words: InputError | Words,
        kind: Kind = "final",
        *,
        billed: bool = True,
        wait_s: float | None = None,
        names_bound: bool = False,
        names_schema: bool = False,
        address: bool = False,
    ) -> None:
        super().__init__(str(words) if isinstance(words, InputError) else "a request got no answer")
        self._words = words
        self.kind = kind
        self.billed = billed
        self.wait_s = wait_s
        self.names_bound = names_bound
        self.names_schema = names_schema
        self.address = address

    def words(self, patience: RetryRules) -> InputError:
        """Return what a person is to read."""
        return self._words if isinstance(self._words, InputError) else self._words(patience)
