"""Operators on what is missing, and on values that are kept from one bar to a later one."""

from __future__ import annotations

from functools import partial

from factors.operators.row import Operator, ever, row, window_reach

_ts = partial(row, "time series", reach=window_reach)


def rows() -> list[Operator]:
    """Return the rows of this family."""
    return [
        row("logic", "is_nan(x)", "1 where x is missing, 0 where it is not", "{x} is missing", result="bool",
            dimension="ratio", parity="even", scale_free=(0,)),
        row("arithmetic", "fill_nan(x, a)", "x, and a where x is missing", "{x}, or {a} where it is missing",
            formula="if_else(is_nan(x), a, x)",
            differs="During warm-up x is missing and a stands there, as after pandas' fillna"),
        _ts("ts_count_nan(x, d)", "how many of the last d values are missing", "how many of {d} values of {x} lack",
            formula="ts_count(is_nan(x), d)"),
        _ts("bars_since_change(x, d)", "bars since x last changed, at most d", "bars since {x} changed (up to {d})",
            formula="bars_since(ts_delta(x, 1) != 0, d)",
            differs="WorldQuant BRAIN's days_from_last_change counts without end"),
        _ts("keep(x, y, d)", "x while y changed within the last d bars; NaN later",
            "{x} until {d} bars after {y} changed", formula="x / (bars_since(ts_delta(y, 1) != 0, d) < d)"),
        _ts("trade_when(c, x, q, d)",
            "x of the newest of the last d bars where c held, NaN once q holds; what is missing does not hold",
            "{x} as it was when {c}, for {d} bars or until {q}", dimension="second",
            differs="WorldQuant BRAIN's keeps a value without end; here d bounds it, so that any bar is known from d"),
        _ts("group_backfill(x, g, d)", "x; where it is missing, its group's mean of what was known within d bars",
            "{x}, or its {g}'s where it is missing",
            formula="if_else(is_nan(x), group_sum(fill_nan(ts_backfill(x, d), 0), g)"
                    " / group_sum(!is_nan(ts_backfill(x, d)), g), x)",
            differs="WorldQuant BRAIN's takes a winsorised mean of all values of d bars"),
        row("cumulative", "hump(x, k)",
            "its last value until x is k times the bar's sum of abs(x) away, then moved by that much",
            "{x}, moved only in steps of {k}", reach=ever, parity="odd",
            check=lambda n: None if n[0] >= 0 else "k must not be below 0",
            differs="As WorldQuant BRAIN describes its hump; it starts at the first value"),
    ]  # fmt: skip
