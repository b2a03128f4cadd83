"""What methods and functions of pandas and numpy mean in our operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

# method of a column -> operator of ours, for those that take the column alone
PLAIN_METHODS: Mapping[str, str] = {
    "abs": "abs",
    "isna": "is_nan",
    "isnull": "is_nan",
    "cumsum": "cum_sum",
    "cumprod": "cum_product",
    "cummax": "cum_max",
    "cummin": "cum_min",
}
# method of a column -> operator of two operands
PAIR_METHODS: Mapping[str, str] = {
    "add": "add", "radd": "add", "sub": "sub", "subtract": "sub", "mul": "mul", "multiply": "mul", "div": "div",
    "divide": "div", "truediv": "div", "pow": "power", "mod": "mod",
    "gt": "gt", "ge": "ge", "lt": "lt", "le": "le", "eq": "eq", "ne": "ne",
}  # fmt: skip
# statistic of a rolling window -> operator of ours
ROLLING: Mapping[str, str] = {
    "mean": "ts_mean", "sum": "ts_sum", "std": "ts_std", "var": "ts_var", "min": "ts_min", "max": "ts_max",
    "median": "ts_median", "skew": "ts_skew", "kurt": "ts_kurt", "quantile": "ts_quantile", "corr": "ts_corr",
    "cov": "ts_cov", "rank": "ts_rank", "argmax": "ts_argmax", "argmin": "ts_argmin",
}  # fmt: skip
EXPANDING: Mapping[str, str] = {"mean": "cum_mean", "sum": "cum_sum", "max": "cum_max", "min": "cum_min"}
# Body of a lambda across assets, without blanks -> operator of ours.
LAMBDAS_ACROSS: Mapping[str, str] = {
    "(x-x.mean())/x.std()": "cs_zscore",
    "x-x.mean()": "cs_demean",
    "x.rank(pct=True)": "cs_rank",
    "x/x.abs().sum()": "cs_scale",
    "x.mean()": "cs_mean",
}
ALONG_COLUMNS: Mapping[str, str] = {"max": "max", "min": "min", "sum": "add", "mean": "add"}
NUMPY_PLAIN: Mapping[str, str] = {
    "log": "log", "log1p": "log1p", "sign": "sign", "abs": "abs", "absolute": "abs", "fabs": "abs", "sqrt": "sqrt",
    "exp": "exp", "tanh": "tanh", "arctan": "atan", "atan": "atan", "floor": "floor", "negative": "neg",
    "reciprocal": "inverse", "logical_not": "not_", "ceil": "ceil", "rint": "round", "isnan": "is_nan",
}  # fmt: skip
NUMPY_PAIR: Mapping[str, str] = {
    "maximum": "max", "minimum": "min", "power": "power", "divide": "div",
    "true_divide": "div", "multiply": "mul", "add": "add", "subtract": "sub", "logical_and": "and_",
    "logical_or": "or_", "greater": "gt", "less": "lt", "mod": "mod", "remainder": "mod",
    "greater_equal": "ge", "less_equal": "le", "equal": "eq", "not_equal": "ne",
}  # fmt: skip
# Methods refused, each with the reason and what to do.
REFUSED: Mapping[str, tuple[str, str]] = {
    "dropna": ("dropna takes bars away, which shifts windows", "leave it out: what is missing stays so"),
    "interpolate": ("interpolate looks at later bars", "use .ffill(limit=n)"),
    "bfill": ("bfill looks at later bars", "use .ffill(limit=n)"),
    "backfill": ("backfill looks at later bars", "use .ffill(limit=n)"),
    "resample": ("resample changes the bar size", "use a longer window"),
    "iloc": ("rows cannot be picked by number", "use .shift(n)"),
    "loc": ("rows cannot be picked", "use np.where(condition, x, y)"),
    "at": ("cells cannot be picked", "use .shift(n)"),
    "iat": ("cells cannot be picked", "use .shift(n)"),
    "iterrows": ("loops are not read", "use .rolling(n)"),
    "itertuples": ("loops are not read", "use .rolling(n)"),
    "T": ("this is not turned", "use axis=1"),
    "shape": ("the size of a table is not read", "write x.count(axis=1) for the assets of a bar"),
    "ta": ("the indicator is missing", "write df.ta.rsi(length=14)"),
    "corrwith": ("it takes in the whole column, its future included", "write x.rolling(n).corr(y)"),
    "query": ("query runs text", "use np.where(condition, x, y)"),
}
# Statistics of a whole column see its future.
WHOLE_COLUMN = frozenset({
    "mean", "sum", "std", "var", "min", "max", "median", "skew", "kurt", "quantile", "corr", "cov", "mode", "nunique",
    "describe", "sem", "prod", "autocorr",
})  # fmt: skip
CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e}
ASSET_KEYS = frozenset({"symbol", "asset", "ticker", "code", "instrument", "stock", "coin", "ts_code", "order_book_id"})
TIME_KEYS = frozenset({"date", "time", "datetime", "timestamp", "ts", "trade_date", "day", "bar"})
NODE_WORDS: Mapping[str, tuple[str, str]] = {
    "Import": ("imports are not read", "np and pd are known"),
    "ImportFrom": ("imports are not read", "np and pd are known"),
    "For": ("loops are not read", "use .rolling(n), .shift(n) and np.where"),
    "AsyncFor": ("loops are not read", "use .rolling(n), .shift(n) and np.where"),
    "While": ("loops are not read", "use .rolling(n), .shift(n) and np.where"),
    "ListComp": ("comprehensions are loops, which are not read", "use .rolling(n)"),
    "SetComp": ("comprehensions are loops, which are not read", "use .rolling(n)"),
    "DictComp": ("comprehensions are loops, which are not read", "use .rolling(n)"),
    "GeneratorExp": ("comprehensions are loops, which are not read", "use .rolling(n)"),
    "If": ("if statements are not read", "use np.where(condition, x, y)"),
    "Try": ("try statements are not read", "division by 0 gives a missing value here"),
    "With": ("with statements are not read", "leave it out"),
    "Lambda": ("a lambda is only read in groupby(asset).transform(lambda x: ...)", "write the steps out"),
    "JoinedStr": ("f-strings are not read", "name the column as it is"),
    "ClassDef": ("classes are not read", "write one function"),
    "Global": ("global is not read", "leave it out"),
    "Delete": ("del is not read", "leave it out"),
    "Raise": ("raise is not read", "leave it out"),
    "Assert": ("assert is not read", "leave it out"),
    "NamedExpr": ("assignments inside expressions are not read", "assign on a line of its own"),
    "Await": ("await is not read", "leave it out"),
    "Yield": ("yield is not read", "return the factor"),
    "Starred": ("stars are not read", "write the arguments out"),
    "Dict": ("dictionaries are not read", "write the steps out"),
}
OPERATOR_WORDS: Mapping[str, str] = {
    "Add": "add", "Sub": "sub", "Mult": "mul", "Div": "div", "Pow": "power", "BitAnd": "and_", "BitOr": "or_",
    "Mod": "mod", "Lt": "lt", "LtE": "le", "Gt": "gt", "GtE": "ge", "Eq": "eq", "NotEq": "ne",
}  # fmt: skip
FOLD: Mapping[str, Callable[[float, float], float]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
}
