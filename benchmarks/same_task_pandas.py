"""The task of `same_task` as users of pandas, alphalens, vectorbt and Qlib write it: ten factors, judged on train."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

FEE_BP = 5.0
TRAIN = 0.6


def rank(x: pd.DataFrame) -> pd.DataFrame:
    """Return the share of a day's assets that are not larger: ties share the mean rank, NaN stays."""
    return x.rank(axis=1, pct=True)


# What the ten formulas are in pandas: each is given the frames of the bars.
THEIRS: Mapping[str, Callable[[Any], pd.DataFrame]] = {
    "012": lambda b: np.sign(b.volume.diff()) * -b.close.diff(),
    "006": lambda b: -b.open.rolling(10).corr(b.volume),
    "003": lambda b: -rank(b.open).rolling(10).corr(rank(b.volume)),
    "004": lambda b: -rank(b.low).rolling(9).rank(pct=True),
    "013": lambda b: -rank(rank(b.close).rolling(5).cov(rank(b.volume))),
    "033": lambda b: rank(b.open / b.close - 1),
    "044": lambda b: -b.high.rolling(5).corr(rank(b.volume)),
    "053": lambda b: -((b.close - b.low - (b.high - b.close)) / (b.close - b.low)).diff(9),
    "054": lambda b: -(b.low - b.close) * b.open**5 / ((b.low - b.high) * b.close**5),
    "101": lambda b: (b.close - b.open) / (b.high - b.low + 0.001),
}


class Bars:
    """Frames of dates by assets, one a field."""

    def __init__(self, path: Path) -> None:
        long = pd.read_parquet(path)
        for name in ("open", "high", "low", "close", "volume"):
            setattr(self, name, long.pivot(index="ts", columns="symbol", values=name))


def with_alphalens(path: Path) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Return a row a factor, and what each fifth of each earns a day; costs and Sharpe ratios are made by hand."""
    import alphalens

    bars = Bars(path)
    opens: pd.DataFrame = bars.open  # type: ignore[attr-defined]
    prices = opens.shift(-1)
    train = prices.index[: int(TRAIN * len(prices))]
    rows, quantiles = {}, {}
    for name, formula in THEIRS.items():
        values = formula(bars).replace([np.inf, -np.inf], np.nan).loc[train]
        data = alphalens.utils.get_clean_factor_and_forward_returns(
            values.stack(), prices, quantiles=5, periods=(1,), max_loss=1.0
        )
        ic = alphalens.performance.factor_information_coefficient(data)["1D"]
        mean, error = alphalens.performance.mean_return_by_quantile(data, demeaned=False)
        fifth = data["factor_quantile"].unstack()
        top, bottom = fifth == 5, fifth == 1
        weights = 0.5 * top.div(top.sum(axis=1), axis=0) - 0.5 * bottom.div(bottom.sum(axis=1), axis=0)
        gross = (weights * data["1D"].unstack()).sum(axis=1)
        turnover = weights.diff().abs().sum(axis=1)
        net = gross - turnover * FEE_BP / 1e4
        rows[name] = {
            "rank_ic": ic.mean(),
            "turnover": turnover.mean(),
            "sharpe_gross": gross.mean() / gross.std() * np.sqrt(252),
            "sharpe_net": net.mean() / net.std() * np.sqrt(252),
        }
        quantiles[name] = pd.DataFrame({"mean": mean["1D"], "error": error["1D"]})
    return pd.DataFrame.from_dict(rows, orient="index"), quantiles


def fifths_weights(values: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the fifth of each asset at each day, 0 to 4, and weights of the top fifth against the bottom one."""
    fifth = np.ceil(rank(values) * 5) - 1
    top, bottom = fifth == 4, fifth == 0
    return fifth, 0.5 * top.div(top.sum(axis=1), axis=0) - 0.5 * bottom.div(bottom.sum(axis=1), axis=0)


def _mean_by_fifth(fifth: pd.DataFrame, forward: pd.DataFrame) -> pd.DataFrame:
    means = [forward.where(fifth == k).mean(axis=1).mean() for k in range(5)]
    return pd.DataFrame({"mean": means}, index=range(1, 6))


def with_vectorbt(path: Path) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Return a row a factor, and what each fifth earns a day: vectorbt trades the weights; formulas, ICs by hand."""
    import vectorbt

    bars = Bars(path)
    prices: pd.DataFrame = bars.open.shift(-1)  # type: ignore[attr-defined]
    train = prices.index[: int(TRAIN * len(prices))]
    forward, closed = (prices.shift(-1) / prices - 1).loc[train], prices.loc[train].ffill()
    rows, quantiles = {}, {}
    for name, formula in THEIRS.items():
        values = formula(bars).replace([np.inf, -np.inf], np.nan).loc[train].where(forward.notna())
        fifth, weights = fifths_weights(values)
        portfolios = [
            vectorbt.Portfolio.from_orders(
                closed,
                weights.fillna(0.0),
                size_type="targetpercent",
                fees=fee,
                group_by=True,
                cash_sharing=True,
                call_seq="auto",
                freq="1D",
            )
            for fee in (0.0, FEE_BP / 1e4)
        ]
        gross, net = (one.returns() for one in portfolios)
        rows[name] = {
            "rank_ic": rank(values).corrwith(rank(forward.where(values.notna())), axis=1).mean(),
            "turnover": weights.diff().abs().sum(axis=1).mean(),
            "sharpe_gross": gross.mean() / gross.std() * np.sqrt(252),
            "sharpe_net": net.mean() / net.std() * np.sqrt(252),
        }
        quantiles[name] = _mean_by_fifth(fifth, forward)
    return pd.DataFrame.from_dict(rows, orient="index"), quantiles


# What Qlib's language can say of the ten; the others rank across assets, for which it has no operator.
QLIB: Mapping[str, str] = {
    "012": "Sign(Delta($volume, 1)) * (0 - Delta($close, 1))",
    "006": "0 - Corr($open, $volume, 10)",
    "053": "0 - Delta(($close - $low - ($high - $close)) / ($close - $low), 9)",
    "054": "(0 - ($low - $close)) * Power($open, 5) / (($low - $high) * Power($close, 5))",
    "101": "($close - $open) / ($high - $low + 0.001)",
}


def with_qlib(path: Path) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Return a row a factor, and what each fifth earns a day; reads the folder beside the file's name, ``.qlib``.

    Qlib evaluates the five formulas that it can say, and all rank ICs; the others and the costs are made by hand.
    """
    import qlib
    from qlib.contrib.eva.alpha import calc_ic
    from qlib.data import D

    qlib.init(provider_uri=str(path.with_suffix(".qlib")), region="us", kernels=1, logging_level=40)
    names = D.instruments("all")
    bars = Bars.__new__(Bars)
    base = D.features(names, [f"${one}" for one in ("open", "high", "low", "close", "volume")])
    for column in base.columns:
        setattr(bars, column[1:], base[column].unstack("instrument"))
    own = D.features(names, list(QLIB.values()))
    own.columns = list(QLIB)
    prices: pd.DataFrame = bars.open.shift(-1)  # type: ignore[attr-defined]
    train = prices.index[: int(TRAIN * len(prices))]
    forward = (prices.shift(-1) / prices - 1).loc[train]
    rows, quantiles = {}, {}
    for name, formula in THEIRS.items():
        values = own[name].unstack("instrument") if name in QLIB else formula(bars)
        values = values.replace([np.inf, -np.inf], np.nan).loc[train].where(forward.notna())
        fifth, weights = fifths_weights(values)
        gross = (weights * forward).sum(axis=1)
        net = gross - weights.diff().abs().sum(axis=1) * FEE_BP / 1e4
        rows[name] = {
            "rank_ic": calc_ic(values.stack(), forward.stack(), date_col="datetime")[1].mean(),
            "turnover": weights.diff().abs().sum(axis=1).mean(),
            "sharpe_gross": gross.mean() / gross.std() * np.sqrt(252),
            "sharpe_net": net.mean() / net.std() * np.sqrt(252),
        }
        quantiles[name] = _mean_by_fifth(fifth, forward)
    return pd.DataFrame.from_dict(rows, orient="index"), quantiles
