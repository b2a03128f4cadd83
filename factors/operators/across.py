"""Operators across assets at one bar, over all of them or within groups. Only the universe takes part."""

from __future__ import annotations

from functools import partial

from factors.operators.row import Operator, row

_cs = partial(row, "cross-section")
_group = partial(row, "group")
_cs_free = partial(row, "cross-section", dimension="ratio", scale_free=(0,))
_group_free = partial(row, "group", dimension="ratio", scale_free=(0,))


def rows() -> list[Operator]:
    """Return the rows of this family."""
    return [*_across(), *_within()]


def _across() -> list[Operator]:
    return [
        _cs_free("cs_rank(x)", "average rank over the assets of the bar / count, in (0, 1]",
            "the rank among assets of {x}"),
        _cs_free("cs_zscore(x)", "(x - mean) / std over the assets of the bar, ddof 1",
            "how far {x} is above the average asset, in standard deviations", parity="odd"),
        _cs("cs_mean(x)", "mean over the assets of the bar", "the average over assets of {x}", parity="odd"),
        _cs("cs_demean(x)", "x minus the mean over assets", "{x} compared with the average asset", parity="odd"),
        _cs_free("cs_scale(x)", "x / sum of abs(x) over assets", "{x} scaled so that sizes sum to one over assets",
            parity="odd"),
        _cs("cs_winsorize(x, k)", "x limited to mean +- k std over assets", "{x} cut at {k} deviations", parity="odd",
            check=lambda n: None if n[0] > 0 else "k must be above 0"),
        _cs("cs_quantile(x, level)", "quantile over the assets of the bar, linear; level in [0, 1]",
            "the {level} quantile over assets of {x}",
            check=lambda n: None if 0 <= n[0] <= 1 else "level lies in [0, 1]"),
        _cs_free("cs_top_bottom(x, share)",
            "1 for the top share of assets by rank, -1 for the bottom share, 0 between; share in (0, 0.5]",
            "one for the top {share} of assets by {x}, minus one for the bottom",
            check=lambda n: None if 0 < n[0] <= 0.5 else "share lies in (0, 0.5]"),
        _cs("cs_resid(y, x)", "y less its least-squares fit on x and a constant over the assets of the bar",
            "{y} beyond what {x} explains across assets", parity="odd"),
    ]  # fmt: skip


def _within() -> list[Operator]:
    return [
        _group("group_neutralize(x, g)", "x minus its group mean at the bar", "{x} compared with its {g}",
               parity="odd"),
        _group("group_mean(x, g)", "mean of x in its group at the bar", "the mean of {x} in its {g}", parity="odd"),
        _group("group_sum(x, g)", "sum of x over its group at the bar", "the sum of {x} in its {g}",
               formula="group_mean(x, g) * group_count(x, g)"),
        _group("group_count(x, g)", "how many assets of the group have a value of x", "how many of {g} have {x}",
               dimension="ratio", parity="even", scale_free=(0,)),
        _group("group_std(x, g)", "standard deviation of x in its group, ddof 1", "the deviation of {x} in its {g}",
               parity="even"),
        _group("group_max(x, g)", "largest x of the group", "the largest {x} in its {g}"),
        _group("group_min(x, g)", "smallest x of the group", "the smallest {x} in its {g}"),
        _group("group_scale(x, g)", "(x - min) / (max - min) within the group", "where {x} lies in its {g}, 0 to 1",
               formula="(x - group_min(x, g)) / (group_max(x, g) - group_min(x, g))"),
        _group_free("group_rank(x, g)", "average rank within the group / count", "the rank of {x} within its {g}"),
        _group_free("group_zscore(x, g)", "(x - mean) / std within the group, ddof 1",
               "how far {x} is above its {g}, in standard deviations", parity="odd"),
        _group_free("bucket(x, n)", "group of x: which of n equal-sized parts of the bar's assets it falls into",
               "bucket of {x} ({n} parts)", result="group"),
        _group("group_cross(g, h)", "groups of assets that share both g and h", "{g} and {h}", result="group",
               dimension="ratio"),
    ]  # fmt: skip
