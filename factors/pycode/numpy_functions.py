"""Functions of numpy that work value by value, as formulas of ours, and why others are not read."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from factors.dialects.templates import formula
from factors.pycode.arguments import Arguments
from factors.pycode.methods import NUMPY_PLAIN
from factors.pycode.values import Reader
from factors.syntax import Fault, Raw

_OF_ONE: Mapping[str, str] = {
    "square": "x * x", "expm1": "exp(x) - 1", "isfinite": "!is_nan(x)", "cbrt": "signed_power(x, 1 / 3)",
    "sinh": "(exp(x) - exp(-x)) / 2", "cosh": "(exp(x) + exp(-x)) / 2", "positive": "x",
    # Exact for small x, too, where log(x + sqrt(x * x + 1)) is not.
    "arcsinh": "sign(x) * log1p(abs(x) + x * x / (1 + sqrt(x * x + 1)))",
    "arctanh": "(log1p(x) - log1p(-x)) / 2", "exp2": "exp(x * 0.6931471805599453)",
    # Exact at -1 and 1, too, where x / sqrt(1 - x * x) is missing.
    "arcsin": "2 * atan(x / (1 + sqrt((1 - x) * (1 + x))))",
    "arccos": "1.5707963267948966 - 2 * atan(x / (1 + sqrt((1 - x) * (1 + x))))",
    "trunc": "sign(x) * floor(abs(x))", "fix": "sign(x) * floor(abs(x))",
    "radians": "x * 0.017453292519943295", "deg2rad": "x * 0.017453292519943295",
    "degrees": "x * 57.29577951308232", "rad2deg": "x * 57.29577951308232",
}  # fmt: skip
_OF_TWO: Mapping[str, str] = {
    "hypot": "sqrt(x * x + y * y)", "copysign": "if_else(y < 0, -abs(x), abs(x))",
    "heaviside": "if_else(x == 0, y, if_else(x > 0, 1, 0))", "float_power": "power(x, y)",
    "logaddexp": "max(x, y) + log1p(exp(-abs(x - y)))", "fmod": "sign(x) * mod(abs(x), abs(y))",
    "floor_divide": "floor(x / y)",
    "arctan2": "if_else(y == 0, 1.5707963267948966 * sign(x), "
               "atan(x / y) + if_else(y < 0, if_else(x < 0, -3.141592653589793, 3.141592653589793), 0))",
    # Of a value and a missing one, these take the value.
    "fmax": "if_else(is_nan(x), y, if_else(is_nan(y), x, max(x, y)))",
    "fmin": "if_else(is_nan(x), y, if_else(is_nan(y), x, min(x, y)))",
}  # fmt: skip
_WAVE = ("waves are not in the language", "write np.tanh(x) to squash values, or np.arctan(x) for an angle")
_WHOLE = ("a statistic of a whole column sees its future", "write x.rolling(n).{0}()")
_WHY_NOT: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("sin", "cos", "tan", "angle", "unwrap"), _WAVE),
    **{name: (_WHOLE[0], _WHOLE[1].format(name.removeprefix("nan")))
       for name in ("mean", "std", "var", "sum", "max", "min", "median", "nanmean", "nanstd", "nanvar", "nansum",
                    "nanmax", "nanmin", "nanmedian")},
    **dict.fromkeys(("percentile", "quantile", "nanpercentile", "nanquantile"),
                    (_WHOLE[0], "write x.rolling(n).quantile(0.9)")),
    "cumsum": ("it joins the columns of a table of numbers", "write x.cumsum()"),
    "cumprod": ("it joins the columns of a table of numbers", "write x.cumprod()"),
    "roll": ("it puts the newest values before the oldest", "write x.shift(n)"),
    "gradient": ("it looks at the next bar", "write x.diff()"),
    "convolve": ("it looks at later bars unless cut", "write x.rolling(n).apply(lambda w: np.dot(w, weights))"),
    "argsort": ("it sorts bars of all times", "write x.rank(axis=1, pct=True), or x.rolling(n).rank(pct=True)"),
    "sort": ("it sorts bars of all times", "write x.rolling(n).quantile(0.9), or x.rolling(n).rank(pct=True)"),
    "isinf": ("nothing is found, for what would be infinite is missing here", "write np.isfinite(x), or leave it out"),
    "random": ("chance gives no factor", "leave it out"),
    "corrcoef": (_WHOLE[0], "write x.rolling(n).corr(y)"),
    "vectorize": ("it hides the function", "apply the function to the column"),
    "sliding_window_view": ("it makes windows of an array", "write x.rolling(n).mean(), or another statistic"),
}  # fmt: skip


def value_by_value(reader: Reader, node: ast.Call, name: str, arguments: Arguments) -> Raw | None:
    """Return a function of one or two columns as a formula of ours, None where it is none of these."""
    if name in _OF_ONE:
        return formula(_OF_ONE[name], reader.places.at(node), {"x": arguments.raw("x")})
    if name in _OF_TWO:
        x, y = arguments.raw("x"), arguments.raw("y")
        return formula(_OF_TWO[name], reader.places.at(node), {"x": x, "y": y})
    return None


def refused_numpy(reader: Reader, node: ast.AST, name: str) -> Fault:
    """Return the refusal of a function of numpy, with what to write instead."""
    if name not in _WHY_NOT:
        known = ", ".join((*NUMPY_PLAIN, *_OF_ONE, *_OF_TWO))
        return reader.places.fault(node, f"np.{name[:40]} is not read", f"np has {known}")
    why, hint = _WHY_NOT[name]
    ahead = any(word in why for word in ("future", "later bars", "next bar"))
    return reader.places.fault(node, f"np.{name}: {why}", hint, "look_ahead" if ahead else "python")
