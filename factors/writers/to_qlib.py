"""A factor as a Qlib expression, where Qlib has the operators."""

from __future__ import annotations

from collections.abc import Mapping

from factors.operator_plugin import as_operator
from factors.printing import number_text
from factors.table import OPERATORS
from factors.tree import Call, Expression, Field, Node, Number
from market.errors import InputError
from market.plugins import Registry

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==",
          "ne": "!=", "and_": "&", "or_": "|"}  # fmt: skip
_WORDS = {
    "abs": "Abs", "sign": "Sign", "log": "Log", "power": "Power", "not_": "Not", "if_else": "If", "max": "Greater",
    "min": "Less", "ts_delay": "Ref", "ts_delta": "Delta", "ts_sum": "Sum", "ts_mean": "Mean", "ts_std": "Std",
    "ts_var": "Var", "ts_skew": "Skew", "ts_kurt": "Kurt", "ts_min": "Min", "ts_max": "Max", "ts_median": "Med",
    "ts_mad": "Mad", "ts_rank": "Rank", "ts_quantile": "Quantile", "ts_slope": "Slope", "ts_rsquare": "Rsquare",
    "ts_resid": "Resi", "ts_corr": "Corr", "ts_cov": "Cov", "ts_ema": "EMA", "cum_sum": "Sum", "cum_mean": "Mean",
    "cum_max": "Max", "cum_min": "Min",
}  # fmt: skip
# What Qlib has no word for but can say; arguments in braces, by place.
_BUILT_PHRASES: Mapping[str, str] = {
    "neg": "(0-{0})",
    "sqrt": "Power({0}, 0.5)",
    "log1p": "Log(1+{0})",
    "signed_power": "Sign({0})*Power(Abs({0}), {1})",
    "ts_returns": "({0}/Ref({0}, {1})-1)",
    "ts_log_return": "Log({0}/Ref({0}, {1}))",
    "ts_zscore": "(({0}-Mean({0}, {1}))/Std({0}, {1}))",
    "ts_ir": "(Mean({0}, {1})/Std({0}, {1}))",
    "ts_scale": "(({0}-Min({0}, {1}))/(Max({0}, {1})-Min({0}, {1})))",
    "ts_count": "Sum(If({0}, 1, 0), {1})",
    "ts_sumif": "Sum(If({2}, {0}, 0), {1})",
    "ts_beta": "(Cov({0}, {1}, {2})/Var({1}, {2}))",
    "ts_autocorr": "Corr({0}, Ref({0}, {2}), {1})",
    "ts_argmax": "({1}-IdxMax({0}, {1}))",
    "ts_argmin": "({1}-IdxMin({0}, {1}))",
    "clip": "Less(Greater({0}, {1}), {2})",
}
_PHRASES = Registry("operators", _BUILT_PHRASES, lambda value: as_operator(value).qlib or None)
_FIELDS = {"returns": "($close/Ref($close, 1)-1)"}


def to_qlib(expression: Expression) -> str:
    """Return the factor as a Qlib expression.

    Qlib fills the warm-up from the first bar on, so values agree once every window is full; windows with gaps differ.

    Raises
    ------
    InputError
        When an operator has no form there: Qlib's expressions see one instrument at a time.
    """
    return _write(expression.root)


def _write(node: Node) -> str:
    if isinstance(node, Number):
        return number_text(node.value)
    if isinstance(node, Field):
        if node.name.startswith("adv") and node.name[3:].isdecimal():
            return f"Mean($amount, {node.name[3:]})"
        return _FIELDS.get(node.name, f"${node.name}")
    return _call(node)


def _call(call: Call) -> str:
    args = [_write(arg) for arg in call.args]
    if call.op in _INFIX:
        return f"({args[0]}{_INFIX[call.op]}{args[1]})"
    if call.op in _PHRASES:
        return _PHRASES[call.op].format(*args)
    if call.op not in _WORDS:
        family = OPERATORS[call.op].family
        across = family in ("cross-section", "group")
        why = "its expressions see one instrument at a time" if across else "it has no such operator"
        raise InputError(f"Qlib cannot say {call.op}: {why}", "write it as pandas: --to pandas")
    if call.op.startswith("cum_"):
        args.append("0")
    return f"{_WORDS[call.op]}({', '.join(args)})"
