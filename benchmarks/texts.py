"""Texts to try a reader with: published ones, broken in every way, and hostile ones. Seeded; no file is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from factors.corpora import read_corpus
from factors.drawing import Drawer
from factors.parse import DialectName
from factors.printing import to_text

DIALECTS: tuple[DialectName, ...] = ("auto", "native", "worldquant", "gtja", "qlib", "alphagen", "python")
SEEDS = (
    "(rank(Ts_ArgMax(SignedPower(((returns < 0) ? stddev(returns, 20) : close), 2.), 5)) - 0.5)",
    "-1 * correlation(rank(delta(log(volume), 2)), rank(((close - open) / open)), 6)",
    "SUM(MAX(0,HIGH-DELAY((HIGH+LOW+CLOSE)/3,1)),26)/SUM(MAX(0,DELAY((HIGH+LOW+CLOSE)/3,1)-L),26)*100",
    "REGBETA(FILTER(CLOSE,OPEN<CLOSE),FILTER(VOLUME,OPEN<CLOSE),15)",
    "CLOSE>DELAY(CLOSE,1)?(CLOSE-DELAY(CLOSE,1))/DELAY(CLOSE,1)*SELF:SELF",
    "Sum(Greater($close-Ref($close, 1), 0), 5)/(Sum(Abs($close-Ref($close, 1)), 5)+1e-12)",
    "Mul(Constant(-0.5),Sub(Mean($close,20d),Ref($open,10d)))",
    "Div Mean $close 5d Greater $open $close",
    "group_neutralize(ts_zscore(close, 20), bucket(adv20, 5))",
    "macd_hist(close, 12, 26, 9) / atr(14) + adx(14) - stochastic(14)",
    "close[t-5] / close - 1",
    "def f(df, n=20):\n    r = df['close'].pct_change()\n    return r.rolling(n).mean() / r.rolling(n).std()",
    "df['x'] = np.where(df['close'] > df['open'], df['volume'], 0)\ndf['x'].ewm(span=12, adjust=False).mean()",
    "df.groupby('symbol')['close'].transform(lambda x: x.rolling(3).mean())",
)
HOSTILE = (
    "__import__('os').system('true')",
    "().__class__.__bases__[0].__subclasses__()",
    "df['close'].__class__.__mro__[1].__subclasses__()",
    "eval('1')",
    "exec(open('/etc/passwd').read())",
    "f'{df}'",
    "'%s' % close",
    "'{0.__class__}'.format(close)",
    "lambda: close",
    "[close for _ in range(10**9)]",
    "close\x00open",
    "clоse",
    "ｃlose",
    "close‮",
    "1e999 * close",
    "-1e999",
    "nan",
    "inf + close",
    "0x10 * close",
    "1_000 * close",
    "9" * 400,
    "(" * 1000,
    "-" * 1700 + "close",
    "not " * 400 + "close",
    "!" * 1700 + "close",
    "close" + "^2" * 800,
    "close" + "**-" * 500 + "1",
    "close?" * 250,
    "close?1:" * 200 + "close",
    "abs(" * 400,
    "abs(" * 300 + "close" + ")" * 300,
    "[" * 500,
    "close[t-" * 200,
    "ts_mean(" * 200 + "close",
    "a" * 1799,
    "+".join(["close"] * 299),
    "macd_hist(close,3,9,4)*" * 70 + "close",
    "x=df['close']\n" + "x=x+x\n" * 300 + "x",
    "x=df['close']\n" + "x=x.apply(lambda x: x*x)\n" * 100 + "x",
    "while True: pass",
    "import os",
    "def f(df):\n" + "  " * 50 + "return df",
    "class A: pass",
    "df" + "['close']" * 300,
    "df.close" + ".abs()" * 400,
    "np." * 300 + "log(close)",
    "{" * 300,
    "\\" * 500,
    "#" * 1500,
    "'" * 999,
    '"""',
)  # fmt: skip
_PIECES = (
    "close",
    "$open",
    "HIGH",
    "(",
    ")",
    ",",
    "+",
    "-",
    "*",
    "/",
    "^",
    "**",
    "<",
    ">=",
    "==",
    "=",
    "!",
    "~",
    "&&",
    "|",
    "?",
    ":",
    "[",
    "]",
    "[t-1]",
    "{",
    "}",
    "'",
    '"',
    "\n",
    "\t",
    " ",
    ".",
    ";",
    "@",
    "\\",
    "#",
    "0",
    "1",
    "-1",
    "5",
    "20d",
    "4h",
    "1e5",
    "1e999",
    ".5",
    "10001",
    "0.0000001",
    "99999999999999999999",
    "nan",
    "inf",
    "None",
    "True",
    "ts_mean(",
    "rank(",
    "Ref(",
    "SMA(",
    "if_else(",
    "bucket(",
    "beta_group",
    "sector",
    "adv20",
    "adv99999",
    "SELF",
    "returns",
    "df['close']",
    "df.",
    ".rolling(5)",
    ".mean()",
    ".shift(-1)",
    ".shift(1)",
    "np.log(",
    "lambda x:",
    "def f(df):",
    "return ",
    "import os",
    "__class__",
    "\x00",
    "é",
    "²",
    "−",
    "“",
    "\u202e",
    "٣",
    "𑜰",
    "ｔ",
    "\ud7ff",
    "or",
    "not ",
    "and ",
    "_lag_3",
    "alpha101_001",
)


def seeds(corpora: Path | None) -> list[str]:
    """Return texts that are well-formed, the published corpora's among them where they are at hand."""
    found = list(SEEDS)
    if corpora is not None and corpora.is_dir():
        for path in sorted(corpora.glob("*")):
            if path.suffix in (".txt", ".json"):
                found += [factor.text for factor in read_corpus(path)]
    return found


def inputs(rng: np.random.Generator, known: Sequence[str]) -> Iterator[tuple[str, DialectName]]:
    """Yield texts without end: broken known ones, broken drawn ones, and piles of pieces, each with a dialect."""
    drawer = Drawer(rng, longest=60)
    while True:
        chance = rng.random()
        if chance < 0.55:
            text = _broken(rng, known[int(rng.integers(len(known)))], known)
        elif chance < 0.75:
            text = _broken(rng, to_text(drawer.tree(int(rng.integers(2, 7)))), known)
        elif chance < 0.85:
            text = _broken(rng, HOSTILE[int(rng.integers(len(HOSTILE)))], known)
        else:
            text = "".join(_piece(rng) for _ in range(int(rng.integers(1, 40))))
        yield text, DIALECTS[int(rng.integers(len(DIALECTS)))]


def _piece(rng: np.random.Generator) -> str:
    return _PIECES[int(rng.integers(len(_PIECES)))]


def _broken(rng: np.random.Generator, text: str, known: Sequence[str]) -> str:
    for _ in range(int(rng.integers(0, 5))):
        at, to = sorted(int(i) for i in rng.integers(0, len(text) + 1, 2))
        match int(rng.integers(9)):
            case 0:
                text = text[:at] + text[to:]
            case 1:
                text = text[:at] + _piece(rng) + text[at:]
            case 2:
                text = text[:to] + text[at:]
            case 3:
                other = known[int(rng.integers(len(known)))]
                text = text[:at] + other[int(rng.integers(len(other) + 1)) :]
            case 4:
                text = text[:at] + chr(int(rng.integers(0, 0x2FF))) + text[at:]
            case 5:
                text = text[:at] + "(" + text[at:to] + ")" + text[to:]
            case 6:
                text = text.swapcase()
            case 7:
                text = text.replace(_piece(rng), _piece(rng))
            case _:
                text = text[:at] + _piece(rng) + text[to:]
        text = text[:6000]
    return text
