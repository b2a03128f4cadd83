"""Arithmetic and logic, bar by bar."""

from __future__ import annotations

from functools import partial

from factors.operators.row import Operator, row

_one = partial(row, "arithmetic")
_test = partial(row, "logic", result="bool", dimension="compare")


def rows() -> list[Operator]:
    """Return the rows of this family."""
    return [*_arithmetic(), *_logic()]


def _arithmetic() -> list[Operator]:
    return [
        _one("add(x, y)", "x + y", "{x} plus {y}", commutative=True, infix="+", dimension="like"),
        _one("sub(x, y)", "x - y", "{x} minus {y}", infix="-", dimension="like"),
        _one("mul(x, y)", "x * y", "{x} times {y}", commutative=True, infix="*", dimension="product"),
        _one("div(x, y)", "x / y; NaN where y is 0", "{x} divided by {y}", infix="/", dimension="quotient"),
        _one("neg(x)", "-x", "minus {x}"),
        _one("power(x, y)", "x to the power y; NaN where that is not a real number", "{x} to the power {y}",
             dimension="power"),
        _one("signed_power(x, y)", "sign(x) * abs(x)^y", "{x} to the power {y}, keeping its sign",
             dimension="power", parity="odd"),
        _one("abs(x)", "absolute value", "the size of {x}", parity="even"),
        _one("sign(x)", "-1, 0 or 1", "the sign of {x}", dimension="ratio", parity="odd", scale_free=(0,)),
        _one("log(x)", "natural logarithm; NaN for x <= 0", "the logarithm of {x}", dimension="ratio"),
        _one("log1p(x)", "log(1 + x); NaN for x <= -1", "the logarithm of one plus {x}", dimension="pure"),
        _one("exp(x)", "exponential; NaN on overflow", "the exponential of {x}", dimension="pure"),
        _one("sqrt(x)", "square root; NaN for x < 0", "the square root of {x}", dimension="root"),
        _one("tanh(x)", "hyperbolic tangent", "{x} squashed into -1 to 1", dimension="pure", parity="odd"),
        _one("atan(x)", "angle whose tangent is x, in radians, between -pi/2 and pi/2", "the angle of slope {x}",
             dimension="pure", parity="odd"),
        _one("sigmoid(x)", "1 / (1 + exp(-x))", "{x} squashed into 0 to 1", dimension="pure"),
        _one("floor(x)", "largest whole number not above x", "{x} rounded down", dimension="pure"),
        _one("ceil(x)", "smallest whole number not below x", "{x} rounded up", formula="-floor(-x)"),
        _one("round(x)", "the nearest whole number; halves go to the even one", "{x} rounded", dimension="pure",
             parity="odd"),
        _one("mod(x, y)", "what is left of x after whole y, with the sign of y; NaN where y is 0",
             "the remainder of {x} by {y}", dimension="like"),
        _one("inverse(x)", "1 / x; NaN where x is 0", "one over {x}", formula="1 / x"),
        _one("max(x, y)", "the larger of x and y, bar by bar", "the larger of {x} and {y}", commutative=True,
             dimension="like"),
        _one("min(x, y)", "the smaller of x and y, bar by bar", "the smaller of {x} and {y}", commutative=True,
             dimension="like"),
        _one("clip(x, lo, hi)", "x limited to [lo, hi]", "{x} limited to between {lo} and {hi}",
             dimension="bounds", check=lambda n: None if n[0] <= n[1] else "lo must not be above hi"),
    ]  # fmt: skip


def _logic() -> list[Operator]:
    return [
        _test("lt(x, y)", "x < y", "{x} is below {y}", infix="<"),
        _test("le(x, y)", "x <= y", "{x} is at most {y}", infix="<="),
        _test("gt(x, y)", "x > y", "{x} is above {y}", infix=">"),
        _test("ge(x, y)", "x >= y", "{x} is at least {y}", infix=">="),
        _test("eq(x, y)", "x == y", "{x} equals {y}", commutative=True, infix="=="),
        _test("ne(x, y)", "x != y", "{x} differs from {y}", commutative=True, infix="!="),
        _test("and_(p, q)", "both are true", "{p} and {q}", commutative=True, infix="&", dimension="ratio"),
        _test("or_(p, q)", "at least one is true", "{p} or {q}", commutative=True, infix="|", dimension="ratio"),
        _test("not_(p)", "is not true", "not {p}", dimension="ratio"),
        row("logic", "if_else(c, x, y)", "x where c is true, y where it is false; also written c ? x : y",
            "{x} if {c}, otherwise {y}", dimension="branch"),
    ]  # fmt: skip
