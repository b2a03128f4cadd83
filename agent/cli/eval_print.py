"""What `alphaglow eval` prints: the verdict, dates, cost and rule in ten lines; with --full all figures; trades."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from agent.cli.common import format_number, headed, stdout, text_table
from agent.cli.scorecard_print import (
    print_gates,
    print_profile,
    print_rule,
    print_scorecard,
    record_sentence,
)

if TYPE_CHECKING:
    from rich.table import Table

    from agent.study.looking import Look
    from agent.study.study import Study
    from agent.study.trade_frame import TradeTable
    from backtest.result_types import Scorecard, SegmentScore
    from backtest.shrunk_sharpe import ShrunkSharpe
    from backtest.trade_figures import TradeFigures
    from factors.overlap import Novelty
    from factors.tree import Expression

# The last trades are shown in a terminal; a file gets all.
_LISTED = 20


def print_short(expression: Expression, seen: Look, study: Study, novelty: Novelty) -> None:
    """Print what a person decides by: verdict, dates, what was earned in them, cost, rule; then tests and remarks."""
    from agent.study.study import remarks
    from backtest.policy import counted, train_words
    from backtest.verdict_words import verdict_sentence
    from factors.plain_words import read_aloud

    card, evidence = seen.scorecard, seen.evidence
    say_line(expression.text, f": {read_aloud(expression)}")
    if evidence is None:
        say_line("not recorded", f": {train_words(card.train.payoff_z)}")
    else:
        why = f" after {counted(evidence.trials)} on these data: {'; '.join(evidence.reasons)}"
        say_line(evidence.verdict, why)
    _print_segments(card, study, validation=evidence is not None)
    say_line("cost: ", cost_words(card))
    say_line("rule: ", _rule_words(card, study))
    tests = "" if evidence is None else verdict_sentence(evidence, card, study.policy.level)
    if tests:
        say_line("tests: ", tests)
    # Of what was scored before, the nearest known factor is itself.
    known = (*(() if seen.repeated else novelty.sentences()), *(() if seen.copy is None else (seen.copy.message,)))
    if known:
        say_line("known: ", f"{known[0]}{f' (and {len(known) - 1} more)' if len(known) > 1 else ''}")
    for label, sentences in (("warning", expression.warnings), ("note", expression.notes), ("data", remarks(study))):
        for sentence in sentences:
            say_line(f"{label}: ", sentence)
    if seen.note:
        say_line("", seen.note)
    if evidence is None:
        say_line("", "without --no-record it is a trial, and gets a verdict")
    say_line("", f"All figures: --full. Trades: --trades. Its id: {expression.id}")


def say_line(head: str, rest: str) -> None:
    """Print a line that begins in bold; in a terminal it is broken between words, elsewhere it is not broken."""
    out = stdout()
    out.print(headed(head, rest), soft_wrap=not out.is_terminal)


def _print_segments(card: Scorecard, study: Study, *, validation: bool) -> None:
    """Print a line a segment: its dates and what it earned in them, as it would be traded."""
    capital = study.spec.costs.capital
    parts = {"train": card.train, **({"validation": card.validation} if validation else {})}
    if card.after_cutoff is not None:
        parts["after cutoff"] = card.after_cutoff
    rows = [[name, *_segment_cells(part, card.bars_per_year, capital)] for name, part in parts.items()]
    said = "Net, behind the gate; drawdown without it" if math.isfinite(card.train.sharpe_gated) else ""
    if capital > 0:
        said = f"{said or 'Net'}; each segment begins with {money(capital)}"
    columns = ["", "dates", "return" if capital <= 0 else "profit", "a year", "Sharpe", "drawdown"]
    stdout().print(plain_table(columns, rows, title=said, left=2))


def _segment_cells(part: SegmentScore, bars_per_year: float, capital: float) -> list[str]:
    from backtest.trade_figures import total_return

    gated = math.isfinite(part.sharpe_gated)
    total = total_return(part, bars_per_year, gated=gated)
    sharpe = part.sharpe_gated if gated else part.sharpe_net
    error = f" ± {format_number(part.sharpe_error)}" if math.isfinite(part.sharpe_error) else ""
    return [
        f"{part.start[:10]} to {part.end[:10]}" if part.n_bars else "no bars",
        format_number(total, 1, percent=True) if capital <= 0 else money(total * capital),
        format_number(part.annual_return_gated if gated else part.annual_return_net, 1, percent=True),
        f"{format_number(sharpe)}{error}",
        format_number(part.max_drawdown, 1, percent=True),
    ]


def plain_table(columns: list[str], rows: list[list[str]], *, title: str = "", left: int = 1) -> Table:
    """Return a table without lines, for few rows among sentences."""
    from rich.table import Table

    drawn = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns):
        drawn.add_column(name, justify="left" if index < left else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    return drawn


def money(value: float) -> str:
    """Write an amount of money; an unknown one is a dash."""
    return f"{value:,.0f}" if math.isfinite(value) else "–"


def cost_words(card: Scorecard) -> str:
    """Say what trading costs on train, and at which cost nothing would be left."""
    train = card.train
    said = (
        f"{format_number(train.cost_year, 1, percent=True)} a year on train, {card.cost_bp:g} bp of "
        f"{format_number(train.turnover, 1, percent=True)} turnover a bar"
    )
    if train.break_even_bp <= 0:
        return f"{said}; it loses before costs"
    if math.isfinite(train.break_even_bp):
        said += f"; break-even at {train.break_even_bp:.1f} bp"
    if math.isfinite(train.capacity):
        said += f"; impact halves its Sharpe ratio at {train.capacity:,.0f}"
    return said


def _rule_words(card: Scorecard, study: Study) -> str:
    from backtest.rule_words import chosen_rule, rule_of

    chosen = chosen_rule(card)
    how = f"{rule_of(card)}" if chosen is None else f"{chosen}, the best of {len(card.rules)} rules on train"
    gate = "behind the gate" if study.exposures is not None else "no gate"
    return f"{card.weighting} weights, {how}; filled at the next {card.fill}; {gate}"


def print_full(
    expression: Expression, seen: Look, study: Study, novelty: Novelty, forward: ShrunkSharpe | None
) -> None:
    """Print all that was found out about a factor."""
    from agent.study.expectations import forward_sentence

    card, evidence, out = seen.scorecard, seen.evidence, stdout()
    print_short(expression, seen, study, novelty)
    for sentence in novelty.sentences()[1:]:
        out.print(f"known: {sentence}", soft_wrap=True, markup=False)
    out.print(f"look-back {expression.lookback} bars")
    if forward is not None:
        out.print(forward_sentence(forward), soft_wrap=True)
    print_scorecard(card, gated=study.exposures is not None, validation=evidence is not None)
    print_rule(card)
    if study.exposures is None:
        out.print("No gate is used: see [gate] neutral, or fit one with `alphaglow flow fit`.")
    if evidence is None:
        return
    print_profile(card)
    print_gates(evidence)
    out.print(record_sentence(evidence, card.bars_per_year), soft_wrap=True)
    if seen.could is not None:
        out.print(seen.could.sentence(), soft_wrap=True)


def print_trades(table: TradeTable) -> None:
    """Print the figures of the trades by segment, and the last trades."""
    out, capital = stdout(), table.capital
    unit = "money" if capital > 0 else "% of capital"
    rows = [[label, *(_figure(one, key, capital) for one in table.figures.values())] for label, key in _TRADE_ROWS]
    out.print(text_table(f"By trade, amounts in {unit}", ["", *table.figures], rows))
    frame = table.frame.tail(_LISTED)
    lines = [
        [
            str(row.asset), str(row.side), str(row.entry)[:16], str(row.exit)[:16].replace("NaT", "open"),
            str(row.bars), _amount(float(str(row.cost)), capital),
            _amount(float(str(row.net)), capital),
        ]
        for row in frame.itertuples()
    ]  # fmt: skip
    more = f"The last {len(frame)} of {len(table.frame):,} trades" if len(table.frame) > len(frame) else "Trades"
    out.print(plain_table(["asset", "side", "entry", "exit", "bars", "cost", "profit"], lines, title=more, left=4))


_TRADE_ROWS = (
    ("trades opened", "trades"), ("still open", "open"), ("win rate", "win_rate"), ("profit factor", "profit_factor"),
    ("mean duration, bars", "mean_bars"), ("mean winner", "mean_win"), ("mean loser", "mean_loss"),
    ("before costs", "gross"), ("costs", "cost"), ("profit", "net"),
)  # fmt: skip
_AMOUNTS = ("mean_win", "mean_loss", "gross", "cost", "net")


def _figure(one: TradeFigures, key: str, capital: float) -> str:
    value = getattr(one, key)
    if key in _AMOUNTS:
        return _amount(value, capital)
    if key == "win_rate":
        return format_number(value, 1, percent=True)
    return f"{value:,}" if isinstance(value, int) else format_number(value)


def _amount(value: float, capital: float) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:,.2f}" if capital > 0 else f"{100 * value:.3f}"
