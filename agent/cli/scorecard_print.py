"""What the commands print of a scorecard and of a verdict: figures of train and validation, profiles, gates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from agent.cli.common import format_number, stdout, text_table

if TYPE_CHECKING:
    from backtest.result_types import Evidence, HorizonIC, Scorecard, SliceScore


def record_sentence(evidence: Evidence, bars_per_year: float) -> str:
    """Say how exact the Sharpe ratio is, and how long a record would make it believable."""
    error = format_number(evidence.sharpe_error * math.sqrt(bars_per_year))
    if math.isfinite(evidence.min_bars):
        enough = f"{evidence.min_bars:,.0f} bars like these would make it believable"
    else:
        enough = "no number of such bars would make it believable"
    return f"Sharpe ratio a year +- {error} (one standard error); {evidence.bars:,} bars were evaluated, {enough}"


SCORECARD_ROWS: tuple[tuple[str, str, int, bool], ...] = (
    ("rank IC", "rank_ic", 4, False),
    ("IC", "ic", 4, False),
    ("ICIR (per bar)", "ic_ir", 3, False),
    ("IC t-stat (Newey-West)", "ic_tstat", 2, False),
    ("Sharpe gross", "sharpe_gross", 2, False),
    ("Sharpe net, ungated", "sharpe_net", 2, False),
    ("standard error of it", "sharpe_error", 2, False),
    ("Sharpe net, gated", "sharpe_gated", 2, False),
    ("Sharpe net, volatility gate", "sharpe_vol_gated", 2, False),
    ("Sharpe net, random gate", "sharpe_random_gated", 2, False),
    ("shifted gates beaten", "shift_percentile", 0, True),
    ("Sortino", "sortino", 2, False),
    ("Calmar", "calmar", 2, False),
    ("max drawdown", "max_drawdown", 1, True),
    ("longest drawdown, bars", "drawdown_bars", 0, False),
    ("return a year, net", "annual_return_net", 1, True),
    ("return a year, gated", "annual_return_gated", 1, True),
    ("costs a year", "cost_year", 1, True),
    ("funding a year", "funding_year", 1, True),
    ("break-even cost, bp", "break_even_bp", 1, False),
    ("capacity, money", "capacity", 0, False),
    ("turnover a bar", "turnover", 2, True),
    ("positions opened", "trades", 0, False),
    ("bars held", "duration", 1, False),
    ("rank autocorrelation", "autocorrelation", 3, False),
    ("monotonicity of quantiles", "monotonicity", 2, False),
    ("hit rate, by bar", "hit_rate", 1, True),
    ("profit factor, by bar", "profit_factor", 2, False),
    ("tail ratio", "tail_ratio", 2, False),
    ("VaR 95 % a bar", "var_95", 3, True),
    ("CVaR 95 % a bar", "cvar_95", 3, True),
    ("beta to the market", "beta", 3, False),
    ("alpha a year to known factors", "alpha", 1, True),
    ("its t-stat", "alpha_tstat", 2, False),
    ("mean exposure", "mean_exposure", 1, True),
    ("mean net exposure", "mean_bias", 1, True),
    ("bars", "n_bars", 0, False),
)
_GATED = {"sharpe_gated", "sharpe_vol_gated", "sharpe_random_gated", "shift_percentile", "annual_return_gated"}


def print_scorecard(card: Scorecard, *, gated: bool | None = None, validation: bool = True) -> None:
    """Print train, beside it validation if that was looked at.

    A row of the gate is printed only where there is one (None: where train has its figures).
    """
    late = {} if card.after_cutoff is None else {"after cutoff": card.after_cutoff}
    parts = {"train": card.train, **({"validation": card.validation} if validation else {}), **late}
    shown = math.isfinite(card.train.sharpe_gated) if gated is None else gated
    rows = [
        [label, *(format_number(getattr(part, key), digits, percent=percent) for part in parts.values())]
        for label, key, digits, percent in SCORECARD_ROWS
        if shown or key not in _GATED
    ]
    from backtest.trade_figures import total_return

    place = next(i for i, row in enumerate(rows) if row[0] == "return a year, net")
    for kind in ("net", *(("gated",) if shown else ())):
        total = [total_return(part, card.bars_per_year, gated=kind == "gated") for part in parts.values()]
        rows.insert(place, [f"total return, {kind}", *(format_number(one, 1, percent=True) for one in total)])
    stdout().print(text_table("Scorecard", ["", *parts], rows))


def print_rule(card: Scorecard) -> None:
    """Print the rules that were tried and what the chosen one did, and how long the signal lasts: all on train."""
    from backtest.rule_words import chosen_rule, decay_sentence, rule_of, rule_sentence

    out, chosen = stdout(), chosen_rule(card)
    if chosen is not None:
        rows = [
            [
                f"{'* ' if rule_of(one) == chosen else ''}{rule_of(one)}",
                *(format_number(value, 2) for value in (one.net_z, one.sharpe_net)),
                format_number(one.turnover, 1, percent=True),
            ]
            for one in card.rules
        ]
        out.print(text_table("Trading rules, on train", ["rule", "score", "net Sharpe", "turnover"], rows))
        out.print(rule_sentence(card), soft_wrap=True, markup=False)
    train = None if card.profiles is None else card.profiles.get("train")
    if train is None or not train.decay:
        return
    rows = [
        [str(one.lag), format_number(one.payoff, 4), format_number(one.error, 4), format_number(one.z, 2)]
        for one in train.decay
    ]
    out.print(text_table("Payoff by age, train", ["age, bars", "payoff", "error", "score"], rows))
    if decay_sentence(train):
        out.print(decay_sentence(train), soft_wrap=True)


_PARTS = ("train", "validation")


def print_profile(card: Scorecard) -> None:
    """Print the scorecard by horizon, year and regime, train beside validation."""
    profiles = card.profiles
    if profiles is None or not all(part in profiles for part in _PARTS):
        return
    horizons = {p: {one.horizon: one for one in profiles[p].horizons} for p in _PARTS}
    rows = [
        [f"{h} bars", *(_cell(horizons[p].get(h), k, d) for p in _PARTS for k, d in (("mean", 4), ("tstat", 2)))]
        for h in horizons["train"]
    ]
    if rows:
        stdout().print(text_table("Rank IC by horizon", ["ahead", "train", "t", "validation", "t"], rows))
    years, regimes = {p: profiles[p].years for p in _PARTS}, {p: profiles[p].regimes for p in _PARTS}
    for title, slices in (("By year", years), ("By regime", regimes)):
        found = {p: {one.name: one for one in slices[p]} for p in _PARTS}
        names = list(dict.fromkeys(name for p in _PARTS for name in found[p]))
        # A line a segment: both in one line are wider than a terminal.
        lines = [
            [name, p, *(_cell(found[p][name], k, d) for k, d in _SLICE)]
            for name in names
            for p in _PARTS
            if name in found[p]
        ]
        stdout().print(text_table(title, ["", "segment", "bars", "rank IC", "t", "net Sharpe"], lines, left=2))


_SLICE = (("bars", 0), ("rank_ic", 4), ("ic_tstat", 2), ("sharpe_net", 2))


def _cell(row: HorizonIC | SliceScore | None, key: str, digits: int) -> str:
    if row is not None and key == "sharpe_net":
        return _with_error(row)
    return format_number(None if row is None else getattr(row, key), digits)


def _with_error(row: HorizonIC | SliceScore) -> str:
    """Return a Sharpe ratio with its standard error; of few bars, which older scorecards have ratios of, none."""
    from backtest.metrics import LEAST_BARS
    from backtest.result_types import SliceScore

    if not isinstance(row, SliceScore) or row.bars < LEAST_BARS:
        return format_number(None)
    error = f" ± {format_number(row.sharpe_error)}" if math.isfinite(row.sharpe_error) else ""
    return format_number(row.sharpe_net) + error


def print_gates(evidence: Evidence) -> None:
    """Print each gate of the admission policy with its numbers and its bar."""
    if not evidence.gates:
        return
    rows = []
    for gate in evidence.gates:
        numbers = ", ".join(f"{name} {format_number(value, 3)}" for name, value in gate.numbers.items())
        rows.append([gate.gate, "passed" if gate.passed else "failed", numbers, gate.bar])
    stdout().print(text_table("Admission", ["gate", "", "numbers", "bar"], rows, left=4))
    effective = evidence.effective_trials
    if effective:
        deflated = format_number(evidence.dsr_effective, 3)
        stdout().print(
            f"By their returns, the scored trials are {effective} effective trials; deflated by those: {deflated}"
        )
