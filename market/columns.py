"""How the columns and times of a file are understood: names, units, zones."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

# In the order in which they count where a table has several.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "ts": (
        "ts", "timestamp", "unix", "time", "datetime", "date", "open_time", "opentime", "open time",
        "bar_time",
        "timeopen", "window_start", "start", "start_at", "start_time", "starttime", "snapshot_date",
        "snapped_at",
        "day",
        "trade_date", "tradedate", "trading_date", "price_date", "date_time", "date time", "gmt time",
        "local time",
        "utc time", "utc", "dt", "dttm", "calc_time", "trade_time", "eob", "bob", "ts_event", "timestamp_ms",
        "unixtime",
        "unix timestamp", "unix_timestamp", "published", "published_at", "close_time", "timeclose",
        "closetime",
        "datum", "zeit", "fecha", "data", "t", "日期", "时间", "交易日期", "交易时间", "日時", "日付", "일자",
        "날짜", "дата",
        "日付け", "tarih", "dates", "time_period_start", "time_key", "created_at",
        "started_at", "begin", "ticks", "_time", "dtyyyymmdd",
        "trddt", "traddt", "date1", "datadate", "candle_date_time_utc", "week", "month", "quarter",
        "datenum", "ngay",
        "tanggal", "التاريخ", "ημερομηνια", "วันที่", "time_period",
        "datums", "paivamaara", "dato", "날자", "tidspunkt", "kuupaev", "trade_date_", "islem_tarihi",
        "observation_date",
    ),
    "symbol": (
        "symbol", "ticker", "tic", "asset", "pair", "instrument", "code", "ts_code", "order_book_id",
        "stock_code",
        "stkcd", "permno", "sid", "secid", "act_symbol", "asset_id", "coin", "sym", "ric", "tckrsymb", "name",
        "isin", "股票代码", "代码",
        "证券代码",
        "コード", "종목코드", "тикер", "securitiescode", "securities_code", "銘柄コード", "ativo", "series_key", "key",
        "instrument_series_code", "islem kodu", "nev", "合约", "合约代码", "contract", "codneg",
    ),
    "open": (
        "open", "o", "open_price",
        "startprice", "start_price",
        "openprice", "px_open", "op", "eroeffnung", "eroffnung", "erster", "apertura",
        "abertura", "ouverture", "ouv", "开盘", "开盘价", "今开", "始値", "시가", "открытие", "откр.", "откр",
        "eroffn.", "otwarcie", "acılıs", "開盤價", "開市價",
        "price_open", "opening_price", "opnprc", "opnpric", "openprc",
        "first_trade_price", "prcod", "open_prc", "mo cua", "pembukaan", "oppningskurs", "oteviraci",
        "apning",
        "avaus", "nyito", "الافتتاح", "ανοιγμα", "ราคาเปิด", "เปิด", "開市",
        "opening price", "oppning", "oppnas", "acilis fiyati", "acilis", "otevreni", "nyito ar",
        "deschidere", "opp", "første", "abning", "відкриття",
    ),
    "high": (
        "high", "h", "high_price",
        "maxprice", "max_price",
        "highprice", "px_high", "hi", "hoch", "tageshoch", "maximo", "maxima", "massimo",
        "plus haut", "haut", "+haut", "最高", "最高价", "高値", "고가", "максимум", "макс.", "макс", "high_1",
        "高", "najwyzszy", "yuksek", "hoog", "最高價", "price_high", "hiprc", "hghpric", "askhi",
        "high_trade_price", "prchd", "max.", "en yuksek", "cao nhat", "tertinggi", "hogsta",
        "maximum", "ylin", "الأعلى", "υψηλο", "ราคาสูงสุด", "สูงสุด",
        "highest price", "hogst", "hoyest", "høy", "høj", "en yuksek fiyat", "maximum ar", "maxim", "maks",
        "najvyssi", "максимум ціни",
    ),
    "low": (
        "low", "l", "low_price",
        "minprice", "min_price",
        "lowprice", "px_low", "lo", "tief", "tagestief", "minimo", "minima", "plus bas", "bas",
        "+bas", "最低", "最低价", "安値", "저가", "минимум", "мин.", "мин", "low_1",
        "低", "najnizszy", "dusuk", "laag", "最低價", "price_low", "loprc", "lwpric", "bidlo", "low_trade_price",
        "prcld", "min.", "en dusuk", "thap nhat", "terendah", "lagsta", "minimum", "alin", "الأدنى",
        "χαμηλο", "ราคาต\u0e48\u0e4d\u0e32สุด",
        "lowest price", "lagst", "lavest", "lav", "en dusuk fiyat", "minimum ar", "minim", "ต่ําสุด",
    ),
    "close": (
        "close", "c", "close_price",
        "endprice", "end_price",
        "closeprice", "px_last", "cl", "last", "close/last", "close*", "last price",
        "last_price", "schluss", "schlusskurs", "cierre", "ultimo", "chiusura", "fechamento", "cloture",
        "clot",
        "dernier", "收盘", "收盘价", "終値", "종가", "закрытие", "закр.", "закр", "цена", "zuletzt", "trdprc_1",
        "zamkniecie", "ostatnio", "simdi", "laatste", "slot", "收盤價", "收市價",
        "price_close", "closing_price", "clsprc",
        "clspric", "last_trade_price", "prccd", "prc", "kapanıs", "kapanis", "đong cua", "penutupan",
        "stangningskurs", "zaver", "paatos", "zaro", "الإغلاق", "κλεισιμο", "ราคาปิด", "ปิด", "収市", "收市",
        "closing price", "현재가", "stang", "stangkurs", "slutkurs", "senast", "luk", "slutt",
        "kapanis fiyati", "zaverecna", "zaverecny kurz", "zavreni", "zaviraci", "utolso ar", "zaro ar",
        "inchidere", "paatoskurssi", "terakhir",
    ),
    "volume": (
        "volume", "v", "vol",
        "tradedvolume", "traded_volume",
        "vol.", "base_volume", "tottrdqty", "tickvol", "tick_volume", "volumefrom", "volumen",
        "volumen.", "volum", "turnover_vol", "trade_volume", "shares_traded", "total traded quantity",
        "deliverable volume", "stuck", "stuecke", "成交量", "交易量", "出来高", "거래량", "объем", "объём", "px_volume",
        "wolumen", "wol.", "hac.", "成交股數", "总手", "total_volume", "volume_traded", "number_of_shares",
        "no_of_shares", "ttl_trd_qnty", "ttltradgvol", "dnshrtrd", "cshtrd", "base_token_volume",
        "candle_acc_trade_volume", "tickqty", "last_traded_volume", "売買高", "acvol_uns", "acvol_1",
        "quantita", "quantidade", "quantite", "cantidad", "hacim", "khoi luong", "omsatt antal", "objem",
        "vaihto", "forgalom", "الحجم", "ογκος", "ปริมาณ",
        "total traded volume", "volym", "toplam islem adedi", "forgalom (db)", "umsatz stuck", "q tits",
        "totalvolume", "volumul",
    ),
    "amount": (
        "amount", "quote_volume", "quote_asset_volume", "quote asset volume", "turnover", "money",
        "tottrdval",
        "volumeto",
        "quotevolume", "total_turnover", "dollar_volume", "成交额", "成交金额", "売買代金", "거래대금", "umsatz",
        "成交金額", "金额", "total_turnover_rs", "turnover_lacs", "ttltrfval", "dnvaltrd", "usd_volume",
        "candle_acc_trade_price", "omsattning", "omsattning sek", "turnovervalue",
        "total traded value", "toplam islem hacmi", "forgalom (huf ertek)", "volumeusd", "volume_usd",
        "volume_in_usd", "quantity_usd",
    ),
}  # fmt: skip
# Words in brackets behind a name that say a unit, and names that hold one: what a figure has to be multiplied by.
_SCALES: Mapping[str, float] = {
    "手": 100.0, "百股": 100.0, "千股": 1e3, "千元": 1e3, "千": 1e3, "万股": 1e4, "万元": 1e4, "万": 1e4, "亿元": 1e8,
    "亿": 1e8, "萬": 1e4, "萬股": 1e4, "萬元": 1e4, "百万股": 1e6, "百萬股": 1e6, "百萬元": 1e6, "億元": 1e8,
    "k": 1e3, "thousand": 1e3, "thousands": 1e3, "in thousands": 1e3, "000": 1e3, "000s": 1e3, "'000": 1e3,
    "tsd.": 1e3, "mio": 1e6, "mio.": 1e6, "mn": 1e6, "mm": 1e6, "mln": 1e6, "million": 1e6, "millions": 1e6, "bn": 1e9,
    "lacs": 1e5, "lakh": 1e5, "lakhs": 1e5, "crore": 1e7, "crores": 1e7, "cr": 1e7,
}  # fmt: skip
_BRACKETS = re.compile(r"[(（](.*?)[)）]")
# Words in brackets that say whether a turnover is of money or of pieces: "Umsatz (€)", "Umsatz (Stück)".
_OF_MONEY = frozenset(
    {"€", "$", "£", "¥", "₽", "₹", "₩", "eur", "usd", "gbp", "jpy", "rub", "inr", "chf", "元", "円", "원"}
)
_OF_PIECES = frozenset({"stuck", "stk", "stk.", "shares", "pieces", "titres", "株", "股", "주", "шт", "шт."})
# A last resort, where nothing is called a close.
PRICE_WORDS = (
    "price",
    "adj close",
    "adj_close",
    "adjclose",
    "value",
    "nav",
    "kurs",
    "precio",
    "prix",
    "prezzo",
    "obs_value",
)
# Words of languages whose dates begin with the day.
DAY_FIRST = frozenset(
    [
        "datum",
        "zeit",
        "schluss",
        "schlusskurs",
        "eroeffnung",
        "eroffnung",
        "hoch",
        "tief",
        "fecha",
        "apertura",
        "cierre",
        "ultimo",
        "minimo",
        "maximo",
        "abertura",
        "fechamento",
        "ouverture",
        "cloture",
        "dernier",
        "plus_haut",
        "chiusura",
        "massimo",
        "дата",
        "открытие",
        "закрытие",
        "hoog",
        "laag",
        "slot",
        "tarih",
        "otwarcie",
        "ngay",
        "tanggal",
        "откр",
        "закр",
    ]
)
KEYS = ("ts", "symbol")
# Binance's bulk klines come without a header, twelve columns.
KLINES = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades",
    "taker_buy_volume", "taker_buy_amount", "ignore",
)  # fmt: skip
# What never is a figure of its own: a second time, or Binance's last column.
_NOISE = frozenset(
    {"ignore", "close_time", "close time", "unix", "unnamed", "unix timestamp", "unix_timestamp", "timeclose",
     "timeopen", "timehigh", "timelow", "timestamp", "sno", "per", "confirm", "closetime"}
)  # fmt: skip
# What a file name says beside the symbol: BTCUSDT_1h, AAPL_data, Binance_BTCUSDT_d, BTCUSDT-1h-2024-01.
_SUFFIX = re.compile(
    r"(_(\d+(s|m|min|h|d|w|mo)|[dh]|minute|daily|hourly|data|ohlcv|candles|bars|prices)"
    r"|_Candlestick_\d+_[A-Za-z]+_(BID|ASK)(_[-.\d]+)?|-\d+(s|m|h|d|w|mo)-\d{4}(-\d{2}){0,2}|-\d+(m|h|d|w|M)-(funding_rate|futures|mark|spot)|-fundingRate-\d{4}(-\d{2}){0,2})$",
    re.IGNORECASE,
)
# TradingView: "BINANCE_BTCUSDT, 60"; HistData: "DAT_ASCII_EURUSD_M1_2012".
_INSIDE = re.compile(r"[A-Z0-9]+_([A-Za-z0-9.!]+), ?\d*[A-Za-z]*(?: .*)?|DAT_[A-Z]+_([A-Z]+)_\w+")
# CryptoDataDownload: "Volume BTC" is in coins, "Volume USDT" in money.
_VOLUME_OF = re.compile(r"volume[ _]+\(?([a-z0-9]+)\)?$", re.IGNORECASE)


def plain_name(name: object) -> str:
    """Return a column name in lower case, without blanks, brackets, quotes and accents around its letters."""
    text = str(name).strip().strip("<>[]$#*\"'").strip().lower()
    if text.isascii():
        return text
    parts = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFC", "".join(c for c in parts if not "\u0300" <= c <= "\u036f")).strip("\ufeff")


def _bare(plain: str) -> str:
    """Return a plain name without brackets, blanks, dots and hyphens: "open price (eur)" is openprice."""
    return re.sub(r"[\s_.\-/]+", "", _BRACKETS.sub("", plain))


_BARE_ALIASES = {ours: tuple(dict.fromkeys(map(_bare, names))) for ours, names in ALIASES.items()}


def scale_of(name: object) -> float:
    """Return the factor that a name says: "Volume (k)", "成交量(手)", "TURNOVER_LACS"; 1 where it says none."""
    plain = plain_name(name)
    if plain == "总手":
        return _SCALES["手"]
    hit = _BRACKETS.search(str(name).strip().lower())
    # "Turnover (₹ Cr)": the money comes before the scale.
    word = (
        re.sub(r"^(?:[^\w\s']|rs\.?|inr|usd|eur)\s+", "", hit[1].strip())
        if hit is not None
        else re.split(r"[_ ]", plain)[-1]
    )
    return _SCALES.get(word, 1.0) if hit is not None or word in ("lacs", "lakhs", "crore", "crores") else 1.0


def find(frame: pd.DataFrame, ours: str, mapping: Mapping[str, str]) -> str | None:
    """Return the frame's column for `ours`: as mapped, or by a usual name."""
    if ours in mapping and mapping[ours] in frame.columns:
        return mapping[ours]
    lowered = {plain_name(column): str(column) for column in reversed(frame.columns)}
    # Where t and T are two columns, t is meant.
    lowered |= {str(column): str(column) for column in frame.columns if str(column) in lowered}
    found = next((lowered[alias] for alias in ALIASES[ours] if alias in lowered), None)
    if found is None:
        pairs = {str(c) for c in frame.columns if (hit := _VOLUME_OF.match(str(c).strip())) and hit[1] not in _SCALES}
        bare = {_bare(plain): column for plain, column in reversed(lowered.items()) if column not in pairs}
        found = next((bare[alias] for alias in _BARE_ALIASES[ours] if alias in bare), None)
    if found is None and ours == "close":
        return next((lowered[word] for word in PRICE_WORDS if word in lowered), None)
    return found


def understand(frame: pd.DataFrame, mapping: Mapping[str, str]) -> dict[str, str]:
    """Return the frame's columns to ours, for those that are recognised or mapped."""
    found = {ours: find(frame, ours, mapping) for ours in ALIASES}
    if found["volume"] is None:
        found |= _turnovers(frame) or _volumes(frame, found["symbol"])
    names = {theirs: ours for ours, theirs in found.items() if theirs is not None}
    return names | {theirs: ours for ours, theirs in mapping.items() if ours not in ALIASES}


def _turnovers(frame: pd.DataFrame) -> dict[str, str | None]:
    """Return volume and amount among columns such as "Umsatz (Stück)" and "Umsatz (€)"; nothing without both."""
    out: dict[str, str | None] = {}
    for column in map(str, frame.columns):
        plain = plain_name(column)
        hit = _BRACKETS.search(plain) or _BRACKETS.search(f"{plain})")
        if hit is not None and _bare(plain.split("(")[0]) in (*_BARE_ALIASES["volume"], *_BARE_ALIASES["amount"]):
            out |= {"amount": column} if hit[1] in _OF_MONEY else {"volume": column} if hit[1] in _OF_PIECES else {}
    return out if len(out) == 2 else {}


def _volumes(frame: pd.DataFrame, symbol: str | None) -> dict[str, str | None]:
    """Return volume and amount among columns such as "Volume BTC" and "Volume USDT"."""
    named = {str(c): hit[1].upper() for c in frame.columns if (hit := _VOLUME_OF.match(str(c).strip()))}
    if not named:
        return {}
    pair = str(frame[symbol].iloc[0]).upper() if symbol is not None and len(frame) else ""
    base = next((c for c, coin in named.items() if pair.startswith(coin)), next(iter(named)))
    return {"volume": base, "amount": next((c for c in named if c != base), None)}


def is_noise(name: object) -> bool:
    """Whether a column is known to say nothing beside the others."""
    return plain_name(name) in _NOISE or plain_name(name).startswith("unnamed:")


def field_name(name: object) -> str:
    """Return a column name as a field name: lower case, letters, digits and underscores."""
    return re.sub(r"\W+", "_", plain_name(name))


def quoted(name: str) -> str:
    """Return a column name as a shell takes it for one word."""
    return f"'{name}'" if re.search(r"[^\w.]", name) else name


def symbol_of(path: Path) -> str:
    """Return the symbol that a file name holds."""
    stem = path.name
    if path.suffix.lower() in (".zip", ".gz", ".xz", ".bz2"):
        stem = path.stem.removesuffix(".csv").removesuffix(".txt").removesuffix(".json")
    else:
        stem = path.stem
    inside = _INSIDE.fullmatch(stem)
    if inside:
        return str(inside[1] or inside[2])
    return _SUFFIX.sub("", stem)


def field_of(path: Path) -> str | None:
    """Return the field that a wide file's name holds: its last word after an underscore."""
    word = path.stem.lower().rsplit("_", 1)[-1]
    return next((ours for ours, names in ALIASES.items() if ours not in KEYS and word in names), None)
