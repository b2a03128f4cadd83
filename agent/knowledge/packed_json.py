"""Documents as a file stores them: JSON, compressed, and read when they are first asked for.

A scorecard is some sixty names and figures for each split: the names are in a dictionary that compression begins with,
so that little more than the figures is stored. What is stored with it can only be read with it: it never changes, and
a better one is another, beside it. Each document says which it needs.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import ItemsView, Iterator, KeysView, Mapping

from market.errors import InputError

# The names and the order of the first version that packed documents.
_SEGMENT = (
    *("n_bars", "start", "end", "rank_ic", "ic", "ic_ir", "ic_tstat", "sharpe_gross", "sharpe_net", "sharpe_error"),
    *("sharpe_gated", "sharpe_vol_gated", "sharpe_random_gated", "shift_percentile", "sortino", "calmar"),
    *("max_drawdown", "drawdown_bars", "turnover", "hit_rate", "profit_factor", "tail_ratio", "var_95", "cvar_95"),
    *("annual_return_net", "annual_return_gated", "cost_year", "funding_year", "mean_exposure", "mean_bias", "trades"),
    *("duration", "autocorrelation", "monotonicity", "beta", "alpha", "alpha_tstat", "r_squared", "break_even_bp"),
    *("capacity", "per_bar_sharpe_net", "skew", "kurt", "payoff", "payoff_error", "payoff_z", "net_z"),
)
_TESTED = ("bars", "mean", "error", "z", "p", "adjusted_p", "hurdle", "control", "decided_on", "among", "rules")
_SLICE = ("name", "bars", "rank_ic", "ic_tstat", "sharpe_net", "annual_return_net", "sharpe_error")


def _frame(names: tuple[str, ...], value: str) -> str:
    return "{" + ", ".join(f'"{name}": {value}' for name in names) + "}"


_FIRST = (
    '{"accepted": false, "verdict": "promising", "verdict": "untested", "verdict": "rejected", "reasons": ["'
    'payoff on train before costs not above chance"], "dsr": null, "psr": null, "trials": 0, "audits": [], '
    '"sharpe_error": null, "min_bars": null, "bars": 0, "gates": [{"gate": "predicts", "passed": false, "numbers": '
    '{"z": 0.}, "bar": "", "words": [""]}], "effective_trials": 0, "dsr_effective": null, "predicts": '
    f'{_frame(_TESTED, "null")[:-1]}, "plain_z": null}}, "earns": {_frame(_TESTED, "0")[:-1]}, "plain_z": 0.}}}}'
    f'"profiles": {{"train": {{"horizons": [{{"horizon": 1, "mean": 0.0, "tstat": -1.}}], "quantiles": [-0.0], '
    f'"years": [{_frame(_SLICE, "0.")}], "regimes": [{_frame(_SLICE, "-0.0")}], "loadings": {{"market": 0.}}, '
    '"assets": [{"asset": "", "ic": 0.0}], "decay": [{"lag": 1, "payoff": 0.0, "error": 0.0, "z": -0.}], '
    '"half_life": null}, "validation": {"horizons": []}}'
    f'"train": {_frame(_SEGMENT, "-0.")}, "validation": {_frame(_SEGMENT, "null")}, "bars_per_year": 8760.0, '
    '"weighting": "rank", "holding": 1, "cost_bp": 10.0, "fill": "open", "rebalance": 1, "profiles": null, '
    '"after_cutoff": null, "rate": 1.0, "band": 0.0, "volatility_scaled": false, "rules": []}'
).encode()


def _nearly_empty(names: tuple[str, ...], known: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'"{name}": {known.get(name, "null")}' for name in names) + "}"


# What a quick score knows; most attempts are left at it, so its documents are there whole.
_QUICK = (
    *("rank_ic", "ic", "ic_ir", "ic_tstat", "sharpe_gross", "sharpe_net", "turnover"),
    *("payoff", "payoff_error", "payoff_z", "net_z"),
)
_SPAN = {"n_bars": "5000", "start": '"2021-01-01T00:00:00Z"', "end": '"2023-01-01T00:00:00Z"'}
_NO_SPAN = {"n_bars": "0", "start": '""', "end": '""'}
_UNTESTED = _nearly_empty(
    (*_TESTED, "plain_z"), {"bars": "0", "control": '""', "decided_on": '""', "among": "0", "rules": "0"}
)
_DICTIONARY = (
    _FIRST
    + (
        '{"accepted": false, "verdict": "rejected", "reasons": [""], "dsr": null, "psr": null, "trials": 0, '
        '"audits": [], "sharpe_error": null, "min_bars": null, "bars": 0, "gates": [], "effective_trials": 0, '
        f'"dsr_effective": null, "predicts": {_UNTESTED}, "earns": {_UNTESTED}}}'
        f'{{"train": {_nearly_empty(_SEGMENT, _SPAN | dict.fromkeys(_QUICK, "-0."))}, "validation": '
        f'{_nearly_empty(_SEGMENT, _NO_SPAN)}, "bars_per_year": 8760.0, "weighting": "rank", "holding": 1, '
        '"cost_bp": null, "fill": "open", "rebalance": 1, "profiles": null, "after_cutoff": null, "rate": 1.0, '
        '"band": 0.0, "volatility_scaled": false, "rules": [], "market_neutral": false, "liquid_half": false}'
    ).encode()
)
# By the four bytes after the first two, which say what a document was packed with (RFC 1950).
_DICTIONARIES = {zlib.adler32(one).to_bytes(4, "big"): one for one in (_FIRST, _DICTIONARY)}


def pack_json(document: object) -> bytes:
    """Return a JSON document as a file stores it; NaN is a `ValueError`."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
    squeezer = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, 0, _DICTIONARY)
    return squeezer.compress(text) + squeezer.flush()


def unpack_json(packed: bytes) -> object:
    """Return what `pack_json` packed; what was tampered with is a `zlib.error` or a `ValueError`."""
    return json.loads(unsqueezed(packed))


def unsqueezed(packed: bytes) -> bytes:
    """Return the text that `pack_json` packed, before it is read."""
    opener = zlib.decompressobj(zlib.MAX_WBITS, _DICTIONARIES.get(packed[2:6], _DICTIONARY))
    text = opener.decompress(packed) + opener.flush()
    if not opener.eof:
        raise zlib.error("it is cut short")
    return text


class StoredDocument(Mapping[str, object]):
    """A document as it was stored; each look at it reads it, and nothing of it is kept.

    What reads several parts of it reads `whole` first.
    """

    __slots__ = ("_packed",)

    def __init__(self, packed: bytes) -> None:
        self._packed = packed

    @property
    def packed(self) -> bytes:
        """It as it is stored."""
        return self._packed

    def read(self) -> dict[str, object]:
        """Return it all; what cannot be read is an `InputError`."""
        try:
            found = unpack_json(self._packed)
            if not isinstance(found, dict):
                raise ValueError("it is no document")
        except (zlib.error, ValueError) as error:
            raise InputError(
                f"the knowledge base holds a scorecard that cannot be read ({error})",
                "find what is damaged: alphaglow kb verify",
            ) from error
        return found

    def __getitem__(self, name: str) -> object:
        """Return one part."""
        return self.read()[name]

    def __iter__(self) -> Iterator[str]:
        """Return the names of its parts."""
        return iter(self.read())

    def __len__(self) -> int:
        """Return how many parts it has."""
        return len(self.read())

    def items(self) -> ItemsView[str, object]:
        """Return its parts, read once."""
        return self.read().items()

    def keys(self) -> KeysView[str]:
        """Return the names of its parts."""
        return self.read().keys()

    def __eq__(self, other: object) -> bool:
        """Whether another document says the same."""
        return isinstance(other, Mapping) and self.read() == whole(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Return it as a dictionary is shown."""
        return repr(self.read())


def whole(document: Mapping[str, object]) -> Mapping[str, object]:
    """Return a document that is read already."""
    return document.read() if isinstance(document, StoredDocument) else document
