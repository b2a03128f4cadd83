"""From click's keywords to one frozen record: how a command with many options receives them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

Record = TypeVar("Record")


def recorded(kind: type[Record]) -> Callable[[Callable[[click.Context, Record], None]], Callable[..., None]]:
    """Turn `command(ctx, asked)` into a callback of click, where `asked` is a `kind` made of all the options.

    `kind` is a frozen dataclass whose fields are the names of the command's parameters. Write it below
    `click.pass_context`.
    """

    def decorate(command: Callable[[click.Context, Record], None]) -> Callable[..., None]:
        @wraps(command)
        def callback(ctx: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - click's own values
            command(ctx, kind(**options))

        return callback

    return decorate
