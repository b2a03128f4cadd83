"""The trades of a factor's page: figures by trade and by bar, total return, and the last trades; money if it is set."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from agent.drawing.axes import DASH, format_number
from agent.review.review_records import Review
from agent.review.views import Row
from agent.study.trade_frame import TradeTable
from backtest.result_types import SegmentScore
from backtest.trade_figures import TradeFigures, total_return

TRADE_FIGURES = ("Trades", "Train", "Validation")
LAST_TRADES = ("Asset", "Side", "Entry", "Exit", "Bars", "Costs", "Profit")
# The last trades that a page lists.
_LISTED = 15
_BY_TRADE = (
    ("Trades opened", "", "trades"),
    ("Still open at the end", "", "open"),
    ("Win rate, by trade", "share of closed trades that earned after costs", "win_rate"),
    ("Profit factor, by trade", "what winners earned over what losers lost", "profit_factor"),
    ("Duration, bars, by trade", "mean of closed trades", "mean_bars"),
    ("Mean winner", "", "mean_win"),
    ("Mean loser", "", "mean_loss"),
    ("Costs of all trades", "", "cost"),
    ("Profit of all trades", "after costs; open ones as they are valued at the end", "net"),
)
_AMOUNTS = ("mean_win", "mean_loss", "cost", "net")


@dataclass(frozen=True)
class TradeDetails:
    """What the section of trades shows: a summary line, rows of figures, rows of the last trades and their caption."""

    summary: str
    figures: list[Row]
    last: list[Row]
    caption: str


def trade_details(review: Review) -> TradeDetails | None:
    """Return the section of trades; None where no trade was made, or none is known."""
    table = review.trades
    if table is None or not len(table.frame):
        return None
    segments = {"train": review.train, "validation": review.validation}
    shown = [(name, one) for name, one in segments.items() if name in table.figures]
    figures = [
        Row("Total return, net", "compounded, ungated", _pad(_total(one, table.bars_per_year) for _, one in shown)),
        *(
            Row(label, note, _pad(_figure(table.figures[name], key, table.capital) for name, _ in shown))
            for label, note, key in _BY_TRADE
        ),
        Row("Win rate, by bar", "", _pad(format_number(one.hit_rate, "percent") for _, one in shown)),
        Row("Profit factor, by bar", "", _pad(format_number(one.profit_factor) for _, one in shown)),
    ]
    unit = f"in money, of a capital of {_count(table.capital)}" if table.capital > 0 else "in % of the capital"
    gate = " without the gate" if review.gate_exposure is not None else ""
    listed = min(_LISTED, len(table.frame))
    return TradeDetails(
        f"{_count(len(table.frame))} trades{gate}, amounts {unit}",
        figures,
        _last(table, listed),
        f"The last {listed} of {_count(len(table.frame))} trades; all: alphaglow eval FACTOR --trades-file trades.csv",
    )


def _pad(cells: Iterable[str]) -> tuple[str, ...]:
    """Return two cells: a page without validation has a dash there."""
    found = tuple(cells)
    return (*found, *(DASH,) * (2 - len(found)))


def _total(score: SegmentScore, bars_per_year: float) -> str:
    return format_number(total_return(score, bars_per_year), "percent", signed=True)


def _figure(one: TradeFigures, key: str, capital: float) -> str:
    value = float(getattr(one, key))
    if key in _AMOUNTS:
        return _amount(value, capital)
    style = {"win_rate": "percent", "trades": "count", "open": "count"}.get(key, "plain")
    return format_number(value, style)


def _amount(value: float, capital: float) -> str:
    if not math.isfinite(value):
        return DASH
    written = f"{value:,.2f}" if capital > 0 else f"{100 * value:.3f} %"
    return written.replace(",", "\u202f").replace("-", "\u2212")


def _count(value: float) -> str:
    return format_number(value, "count")


def _last(table: TradeTable, count: int) -> list[Row]:
    return [
        Row(
            str(row.asset),
            "",
            (
                str(row.side),
                str(row.entry)[:16],
                str(row.exit)[:16].replace("NaT", "open"),
                f"{row.bars:,}",
                _amount(float(str(row.cost)), table.capital),
                _amount(float(str(row.net)), table.capital),
            ),
        )
        for row in table.frame.tail(count).itertuples()
    ]
