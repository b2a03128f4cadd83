"""Which assets a text speaks of: tickers and names, matched so that ordinary words are not coins."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from market.errors import InputError
from market.panel import Panel
from market.table_files import read_table

# Ticker -> names under which texts speak of it. Facts, not advice; add your own with a map file.
NAMES: Mapping[str, tuple[str, ...]] = {
    "BTC": ("Bitcoin", "bitcoins"), "ETH": ("Ethereum", "Ether"), "BNB": ("Binance Coin", "BNB Chain"),
    "XRP": ("Ripple",), "ADA": ("Cardano",), "SOL": ("Solana",), "DOGE": ("Dogecoin",), "DOT": ("Polkadot",),
    "AVAX": ("Avalanche",), "SHIB": ("Shiba Inu",), "MATIC": ("Polygon",), "LTC": ("Litecoin",),
    "TRX": ("Tron",), "LINK": ("Chainlink",), "ATOM": ("Cosmos",), "XMR": ("Monero",), "BCH": ("Bitcoin Cash",),
    "ETC": ("Ethereum Classic",), "XLM": ("Stellar Lumens", "Stellar"), "ALGO": ("Algorand",),
    "NEAR": ("NEAR Protocol",), "VET": ("VeChain",), "FIL": ("Filecoin",), "ICP": ("Internet Computer",),
    "HBAR": ("Hedera",), "EOS": ("EOS",), "XTZ": ("Tezos",), "AAVE": ("Aave",), "UNI": ("Uniswap",),
    "SUSHI": ("SushiSwap",), "MKR": ("MakerDAO",), "COMP": ("Compound Finance",), "CRV": ("Curve Finance",),
    "YFI": ("Yearn Finance", "yearn.finance"), "SNX": ("Synthetix",), "GRT": ("The Graph",),
    "SAND": ("The Sandbox", "Sandbox"), "MANA": ("Decentraland",), "AXS": ("Axie Infinity",), "ENJ": ("Enjin",),
    "FTM": ("Fantom",), "ONE": ("Harmony",), "THETA": ("Theta Network",), "CHZ": ("Chiliz",), "ZEC": ("Zcash",),
    "DASH": ("Dash",), "NEO": ("Neo",), "WAVES": ("Waves",), "ZIL": ("Zilliqa",), "CELO": ("Celo",),
    "KSM": ("Kusama",), "LUNA": ("Terra", "Terra Luna"), "UST": ("TerraUSD",), "FTT": ("FTX Token",),
    "SRM": ("Serum",), "CAKE": ("PancakeSwap",), "RUNE": ("THORChain",), "GALA": ("Gala Games",),
    "APE": ("ApeCoin",), "LDO": ("Lido",), "OP": ("Optimism",), "ARB": ("Arbitrum",), "APT": ("Aptos",),
    "BTT": ("BitTorrent",), "CRO": ("Cronos",), "FLOW": ("Flow",), "HNT": ("Helium",), "ROSE": ("Oasis Network",),
    "QNT": ("Quant Network",), "STX": ("Stacks",), "GMT": ("STEPN",), "TORN": ("Tornado Cash",), "ENS": (
        "Ethereum Name Service",), "ANC": ("Anchor Protocol",), "MIR": ("Mirror Protocol",), "LUNA2": ("Terra 2.0",),
}  # fmt: skip
# Longer names that begin like an asset's and are none of it.
_OTHERS = (
    "Bitcoin SV", "Bitcoin Gold", "Bitcoin Cash", "Ethereum Classic", "EthereumPoW", "Ethereum Name Service",
    "Ripple effect", "Ripple effects", "Terra 2.0", "Solana Beach", "Shiba Inu dog",
)  # fmt: skip
# Names that are words: they count only before one of the words of `_AFTER`.
_WORDS_TEXT = (
    "avalanche cosmos stellar polygon harmony helium flow waves dash neo terra sandbox optimism serum fantom stacks "
    "compound curve lido ripple tron ether"
)
_WORDS = frozenset(_WORDS_TEXT.split())
# Of those, the ones that news about coins hardly ever mean otherwise.
_PLAIN = frozenset(["polygon", "terra", "tron", "ether", "lido", "ripple", "cosmos", "avalanche", "fantom"])
_AFTER = r"\s+(?i:network|protocol|blockchain|foundation|labs|chain|token|tokens|coin|price|ecosystem|finance)"
# Tickers that are words or abbreviations even in capitals: only "$OP" and "(OP)" are the coin.
_COMMON_TEXT = (
    "A AI AN API APT AR ART ATM BAR BAT BEL BOND CAKE CELL CITY COMP CREAM DAR DATA DENT DIA DOCK EDU EPS ETC FIRM "
    "FIS FLOW FOR FUN GAS GMT GO GTC HARD HIGH HOT ICP ID IDEX IQ JOE KEY LINA LINK LIT LOOM MASK MBL MC MIR NEAR "
    "NFT ONE OP ORN PEOPLE PERP PHA POLY POND PROM QUICK RAD RARE REI REN REP RIF ROSE RUNE SAND SC SPELL SSV STORM "
    "SUN SUPER SYS T TIME TRU TRIBE TV UNI VITE WAN WAVES WIN WING WOO ANC GAL SPA"
)
_COMMON = frozenset(_COMMON_TEXT.split())
_QUOTES = ("USDT", "USDC", "BUSD", "TUSD", "FDUSD", "USD", "EUR", "PERP")


@dataclass(frozen=True)
class Matcher:
    """A compiled search for assets; made by `matcher_for`."""

    pattern: re.Pattern[str]
    exact: Mapping[str, str]
    folded: Mapping[str, str]

    def assets_in(self, text: str) -> tuple[str, ...]:
        """Return the assets that `text` speaks of, in the order of their first mention."""
        found: dict[str, None] = {}
        for hit in self.pattern.finditer(text):
            word = next(group for group in hit.groups() if group is not None)
            asset = self.exact.get(word) or self.folded.get(word.lower())
            if asset:
                found[asset] = None
        return tuple(found)


def base_of(asset: str) -> str:
    """Return an asset's ticker without the currency it is quoted in: BTCUSDT, BTC/USDT and BTC-USD are BTC."""
    first = re.split(r"[/\-_:]", asset)[0].upper()
    for quote in _QUOTES:
        if first.endswith(quote) and len(first) > len(quote) + 1:
            first = first.removesuffix(quote)
            break
    return re.sub(r"^10{2,6}(?=[A-Z])", "", first)


def owners_of(symbols: pd.Series, panel: Panel, path: Path, said: list[str]) -> NDArray[np.str_]:
    """Return the panel's asset of each row, empty for none.

    By its name, however it is written (BTC/USDT:USDT is BTCUSDT), else by its ticker where one asset of the panel and
    one symbol of the file alone have it.

    Raises
    ------
    InputError
        Where no symbol is an asset of the panel.
    """
    plain: dict[str, list[str]] = {}
    bases: dict[str, list[str]] = {}
    for asset in panel.assets:
        plain.setdefault(_joined(asset), []).append(asset)
        bases.setdefault(base_of(asset), []).append(asset)
    found: dict[str, str] = {}
    given = [str(one) for one in symbols.unique()]
    for symbol in given:
        same = plain.get(_joined(symbol), [])
        tickers = bases.get(base_of(symbol), [])
        alone = len(tickers) == 1 and sum(base_of(other) == base_of(symbol) for other in given) == 1
        found[symbol] = symbol if symbol in panel.assets else same[0] if len(same) == 1 else tickers[0] if alone else ""
    if not any(found.values()):
        raise InputError(
            f"{path} knows none of the panel's assets",
            f"it has {', '.join(sorted(found)[:5])}, not {', '.join(panel.assets[:5])}; say --column symbol=NAME, "
            f"or --symbol {panel.assets[0]} for a file of one asset",
        )
    renamed = [f"{theirs} is {ours}" for theirs, ours in found.items() if ours and ours != theirs]
    if renamed:
        said.append(f"symbols: {', '.join(renamed[:4])}{f' and {len(renamed) - 4} more' if len(renamed) > 4 else ''}")
    return symbols.map(found).to_numpy(dtype=np.str_)


def _joined(symbol: str) -> str:
    """Return a symbol without marks, and without what a perpetual is settled in: BTC/USDT:USDT is BTCUSDT."""
    # freqtrade writes BTC_USDT_USDT for BTC/USDT:USDT.
    settled = re.sub(r"(:[A-Za-z]+|[-_](PERP|SWAP)|(?<=[/_-]USD[TC])_USD[TC])$", "", symbol)
    return re.sub(r"[^A-Z0-9]", "", settled.upper())


def matcher_for(assets: Sequence[str], extra: Iterable[tuple[str, str]] = ()) -> Matcher:
    """Return a search for `assets`.

    A ticker counts in capitals with a word's boundaries (BTC, not btc), or behind a dollar sign in any case ($btc); one
    that is a word or an abbreviation even so (ONE, OP, AI) only as $ONE or (ONE). A name counts in any case (bitcoin);
    one that is a word (Stellar, Flow) only capitalised before "Network", "Protocol" and the like. The longest name
    wins: Bitcoin Cash is not Bitcoin.

    Parameters
    ----------
    extra
        (asset, term) pairs, as from `read_map`: the term counts in any case when it has a small letter and five
        characters or more, exactly as written otherwise.
    """
    exact: dict[str, str] = {}
    folded: dict[str, str] = {name.lower(): "" for name in _OTHERS}
    strict: dict[str, str] = {}
    for asset in assets:
        base = base_of(asset)
        (strict if base in _COMMON or len(base) < 3 else exact).setdefault(base, asset)
        strict.setdefault(base, asset)
        for name in NAMES.get(base, ()):
            if name.lower() in _WORDS and name.lower() not in _PLAIN:
                strict.setdefault(name, asset)
            elif name.lower() in _PLAIN:
                exact.setdefault(name, asset)
            elif name != base:
                folded[name.lower()] = asset
    for asset, term in extra:
        if term != term.upper() and len(term) >= 5:
            folded[term.lower()] = asset
        else:
            exact[term] = asset
    cash = _either(name for name in strict if name.isupper())
    words = _either(name for name in strict if not name.isupper())
    parts = [f"(?i:{_either(folded)})", _either(exact)]
    # Behind a slash stands a quote currency or an address; behind a hyphen a name may (anti-Bitcoin), a ticker may not.
    before = (r"(?<![\w$./])", r"(?<![\w$./\-])")
    pieces = [rf"{edge}({part})(?!\w)" for edge, part in zip(before, parts, strict=True) if part not in ("", "(?i:)")]
    if cash:
        pieces += [rf"\$((?i:{cash}))(?!\w)", rf"\(({cash})\)"]
    if words:
        pieces.append(rf"(?<!\w)({words}){_AFTER}(?!\w)")
    upper = {name.upper(): asset for name, asset in strict.items() if name.isupper()}
    return Matcher(re.compile("|".join(pieces)), {**strict, **upper, **exact}, {
        **{name.lower(): asset for name, asset in upper.items()}, **folded
    })  # fmt: skip


def read_map(path: Path) -> list[tuple[str, str]]:
    """Read (asset, term) pairs from a CSV with columns asset and term; `InputError` where they are not there."""
    frame = read_table(path)
    if not {"asset", "term"} <= set(frame.columns):
        raise InputError(f"{path} has no columns asset and term", f"it has {', '.join(map(str, frame.columns))}")
    rows = frame[["asset", "term"]].dropna().astype(str)
    return [(asset.strip(), term.strip()) for asset, term in rows.itertuples(index=False) if term.strip()]


def _either(words: Iterable[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(set(words), key=lambda word: (-len(word), word)))
