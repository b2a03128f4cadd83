"""Bars in the shapes of brokers, exchanges, central banks and spreadsheets of many countries, written before any was tried."""

# ruff: noqa: E501, E702, E731, SIM905, UP031 - a table
# fmt: off
from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pandas as pd

from tests.market.foreign_texts import DAY, HOUR, MINUTE, MONTHS, QUARTERS, WEEKS, point, two
from tests.market.own_shapes import bars, comma

F = ["open", "high", "low", "close"]
H = "date,open,high,low,close,volume\n"
YEARS, HALF, DAYS60 = bars("YS", 25, "1995-01-01"), bars("6MS", 24, "2010-01-01"), bars("1D", 48, "2020-01-20")
Bars = pd.DataFrame
Add = Callable[..., None]
# What is right: bars of each asset ("" for any name), or None for a file that must be refused.
File = tuple[str, bytes, dict[str, Bars] | None]


def money(f: Bars) -> Bars:
    """Bars with money."""
    return f.assign(amount=(f["volume"] * f["close"]).round(2))


def closes(f: Bars) -> Bars:
    """Closes alone."""
    return f[["ts", "close"]]


def alone(f: Bars) -> dict[str, Bars]:
    """One asset of any name."""
    return {"": f}


def rows(f: Bars, form: Callable[..., str], number: Callable[[float], str] = two, rev: bool = False) -> str:
    """Return lines: of each bar by its values, how numbers are written, its place from 1, and its money."""
    given = f[::-1] if rev else f
    return "".join(form(r, number, n, getattr(r, "amount", r.volume * r.close)) for n, r in enumerate(given.itertuples(index=False), 1))


def row_of(form: Callable[[pd.Timestamp], str]) -> Callable[..., str]:
    """Return what writes a plain row with times as `form` writes them."""
    return lambda r, p, i, a: f"{form(r.ts)},{p(r.open)},{p(r.high)},{p(r.low)},{p(r.close)},{r.volume:.0f}\n"


def files() -> list[File]:
    """Return every file."""
    out: list[File] = []

    def add(name: str, data: str, truth: dict[str, Any] | None = None, enc: str = "utf-8") -> None:
        out.append((name, data.encode(enc), truth))

    for part in (terminals, statistics, dates, layouts, answers):
        part(add)
    return out


def terminals(add: Add) -> None:
    """Files of brokers, terminals and exchanges of four continents."""
    n = "sierra.txt"; add(n, "Date, Time, Open, High, Low, Last, Volume, NumberOfTrades, BidVolume, AskVolume\n" + rows(MINUTE, lambda r, p, i, a: f"{r.ts.year}/{r.ts.month}/{r.ts.day}, {r.ts:%H:%M:%S}.000000, {p(r.open)}, {p(r.high)}, {p(r.low)}, {p(r.close)}, {r.volume:.0f}, 31, {r.volume*.4:.0f}, {r.volume*.6:.0f}\n"), alone(MINUTE))
    n = "barchart.csv"; add(n, "Symbol,Time,Open,High,Low,Last,Change,%Chg,Volume\n" + rows(DAY, lambda r, p, i, a: f"AAPL,{r.ts:%m/%d/%Y},{p(r.open)},{p(r.high)},{p(r.low)},{p(r.close)},-1.2,-0.10%,{r.volume:.0f}\n", rev=True) + '"Downloaded from Barchart.com as of 03-20-2020 03:00pm CST"\n', {"AAPL": DAY})
    n = "eodhd.csv"; add(n, "Date,Open,High,Low,Close,Adjusted_close,Volume\n" + rows(DAY, lambda r, p, i, a: f"{r.ts:%Y-%m-%d},{p(r.open)},{p(r.high)},{p(r.low)},{p(r.close)},{p(r.close)},{r.volume:.0f}\n") + "40\n", alone(DAY))
    n = "nasdaq.csv"; add(n, "Date,Close/Last,Volume,Open,High,Low\n" + rows(DAY, lambda r, p, i, a: f"{r.ts:%m/%d/%Y},${p(r.close)},{r.volume:.0f},${p(r.open)},${p(r.high)},${p(r.low)}\n", rev=True), alone(DAY))
    n = "kibot.txt"; add(n, rows(MINUTE, lambda r, p, i, a: f"{r.ts:%m/%d/%Y,%H:%M},{p(r.open)},{p(r.high)},{p(r.low)},{p(r.close)},{r.volume:.0f}\n"), alone(MINUTE))
    n = "fidelity.csv"; add(n, "Historical Prices\nSymbol:,AAPL\nDate range:,01/20/2020 to 03/13/2020\n\nDate,Open,High,Low,Close,Volume\n" + rows(DAY, lambda r, p, i, a: f'{r.ts:%m/%d/%Y},{p(r.open)},{p(r.high)},{p(r.low)},{p(r.close)},"{r.volume:,.0f}"\n', rev=True) + '\n"Data and information is provided for informational purposes only, and is not intended for trading purposes."\n"Neither the broker, nor its providers, shall be liable, for errors, or delays."\nDate downloaded 03/14/2020 9:31 PM ET\n', {"AAPL": DAY, })
    up = lambda i: "+" if i % 3 else "-"
    n = "kiwoom.csv"; add(n, "일자,시가,고가,저가,현재가,거래량\n" + rows(DAY, lambda r, p, i, a: f"{r.ts:%Y%m%d},{up(i)}{p(r.open)},{up(i+1)}{p(r.high)},{up(i)}{p(r.low)},{up(i+2)}{p(r.close)},{r.volume:.0f}\n", rev=True), alone(DAY), enc="cp949")
    n = "krx.csv"; add(n, "일자,종가,대비,등락률,시가,고가,저가,거래량,거래대금,시가총액,상장주식수\n" + rows(money(DAY), lambda r, p, i, a: f"\"{r.ts:%Y/%m/%d}\",\"{p(r.close)}\",\"-5\",\"-0.4\",\"{p(r.open)}\",\"{p(r.high)}\",\"{p(r.low)}\",\"{r.volume:.0f}\",\"{a:.2f}\",\"77000000000\",\"59700000\"\n", rev=True), alone(money(DAY)), enc="cp949")
    kor = lambda t: f"{t.year}-{t.month:02d}-{t.day:02d} {'오전' if t.hour < 12 else '오후'} {(t.hour - 1) % 12 + 1}:{t.minute:02d}"
    n = "korean_half_days.csv"; add(n, "날짜,시가,고가,저가,종가,거래량\n" + rows(HOUR, lambda r, p, i, a: f"{kor(r.ts)},{p(r.open)},{p(r.high)},{p(r.low)},{p(r.close)},{r.volume:.0f}\n"), alone(HOUR), enc="cp949")
    zh = lambda t: f"{t.year}/{t.month}/{t.day} {'上午' if t.hour < 12 else '下午'} {(t.hour - 1) % 12 + 1:02d}:{t.minute:02d}:00"
    n = "chinese_half_days.csv"; add(n, "時間,開盤價,最高價,最低價,收盤價,成交量\n" + rows(HOUR, lambda r, p, i, a: f"{zh(r.ts)},{p(r.open)},{p(r.high)},{p(r.low)},{p(r.close)},{r.volume:.0f}\n"), alone(HOUR), enc="big5")
    f = DAY.assign(amount=DAY["volume"] * 1e3)
    n = "wan_yi.csv"; add(n, "日期,开盘价,最高价,最低价,收盘价,成交量(股),成交额(元)\n" + rows(f, lambda r, p, i, a: f"{r.ts:%Y-%m-%d},{p(r.open)},{p(r.high)},{p(r.low)},{p(r.close)},{r.volume/1e4:.1f}万,{a/1e8:.3f}亿\n"), alone(f))
    n = "weekday_zh.csv"; add(n, "日期,开盘,最高,最低,收盘,成交量\n" + rows(DAY, lambda r, p, i, a: f"{r.ts.year}/{r.ts.month}/{r.ts.day} 星期{'一二三四五六日'[r.ts.weekday()]},{p(r.open)},{p(r.high)},{p(r.low)},{p(r.close)},{r.volume:.0f}\n"), alone(DAY), enc="gb18030")
    other = DAY.assign(volume=DAY["volume"] + 7)
    n = "shfe.csv"; body = ""
    for k, fr in (("cu2003", DAY), ("cu2004", other)):
        for i, r in enumerate(fr.itertuples(index=False)):
            body += f"{k if not i else ''},{r.ts:%Y%m%d},{r.open},{r.open},{r.open:.2f},{r.high:.2f},{r.low:.2f},{r.close:.2f},{r.close:.2f},10,20,{r.volume:.0f},9000\n"
    add(n, "上海期货交易所历史数据,,,,,,,,,,,,\n合约,日期,前收盘,前结算,开盘价,最高价,最低价,收盘价,结算价,涨跌1,涨跌2,成交量,持仓量\n" + body + "注:1.报价单位:铜为元/吨。,,,,,,,,,,,,\n", {"cu2003": DAY, "cu2004": other}, enc="gb18030")
    n = "czce.txt"; add(n, "郑州商品交易所每日行情表(20200120)\n品种月份     |昨结算    |今开盘    |最高价    |最低价    |今收盘    |成交量(手)   |持仓量\n" + "".join(f"CF{k}        |{r.open:.2f} |{r.open:.2f} |{r.high:.2f} |{r.low:.2f} |{r.close:.2f} |{r.volume:,.0f} |9,000\n" for k, r in zip((2001, 2003, 2005, 2007, 2009), DAY.itertuples(), strict=False)) + "小计         |          |          |          |          |          |2,000,000 |\n", None, enc="gb18030")
    n = "jp_era.csv"; add(n, "日付,始値,高値,安値,終値,出来高\n" + rows(DAY, lambda r, p, i, a: f"令和{r.ts.year-2018}年{r.ts.month}月{r.ts.day}日,\"{r.open:,.2f}\",\"{r.high:,.2f}\",\"{r.low:,.2f}\",\"{r.close:,.2f}\",\"{r.volume:,.0f}\"\n", rev=True), alone(DAY), enc="cp932")
    n = "jp_era_letters.csv"; add(n, "日付,始値,高値,安値,終値,出来高\n" + rows(DAY, lambda r, p, i, a: f"R{r.ts.year-2018}.{r.ts.month}.{r.ts.day},{p(r.open)},{p(r.high)},{p(r.low)},{p(r.close)},{r.volume:.0f}\n"), alone(DAY), enc="cp932")
    fw = str.maketrans("0123456789.,/", "０１２３４５６７８９．，／")
    n = "fullwidth.csv"; add(n, "日付,始値,高値,安値,終値,出来高\n" + rows(DAY, lambda r, p, i, a: f"{r.ts:%Y/%m/%d}".translate(fw) + "," + ",".join(p(v).translate(fw) for v in (r.open, r.high, r.low, r.close)) + "," + f"{r.volume:.0f}".translate(fw) + "\n"), alone(DAY), enc="cp932")
    n = "7203-T_1m.csv"; add(n, "7203-T トヨタ自動車 1分足\n日付,時刻,始値,高値,安値,終値,出来高,売買代金\n" + rows(money(MINUTE), lambda r, p, i, a: f"{r.ts:%Y-%m-%d,%H:%M},{p(r.open)},{p(r.high)},{p(r.low)},{p(r.close)},{r.volume:.0f},{a:.2f}\n"), {"7203-T_1m": money(MINUTE)}, enc="cp932")
    n = "kabu_all.csv"; add(n, "".join(f"{r.ts.year}/{r.ts.month}/{r.ts.day},{k},11,{k} {nm},{r.open:.2f},{r.high:.2f},{r.low:.2f},{r.close:.2f},{r.volume:.0f},東証１部\n" for r0, r1 in zip(DAY.itertuples(), other.itertuples(), strict=True) for k, nm, r in (("7203", "トヨタ", r0), ("9984", "ソフトバンク", r1))), {"7203": DAY, "9984": other}, enc="cp932")
    n = "nse_quote.csv"; add(n, '\ufeff"Date ","series ","OPEN ","HIGH ","LOW ","PREV. CLOSE ","ltp ","close ","vwap ","52W H ","52W L ","VOLUME ","VALUE ","No of trades "\n' + rows(money(DAY), lambda r, p, i, a: f'"{r.ts:%d-%b-%Y}","EQ","{r.open:,.2f}","{r.high:,.2f}","{r.low:,.2f}","{r.open:,.2f}","{r.low:,.2f}","{r.close:,.2f}","{r.close:,.2f}","1,617.55","875.70","{r.volume:,.0f}","{a:,.2f}","1,234"\n', rev=True), alone(money(DAY)))
    n = "nse_index.csv"; f = DAY.assign(amount=DAY["volume"] * 1e4); add(n, "Date ,Open ,High ,Low ,Close ,Shares Traded ,Turnover (₹ Cr)\n" + rows(f, lambda r, p, i, a: f"{r.ts:%d-%b-%Y}".upper() + f",{p(r.open)},{p(r.high)},{p(r.low)},{p(r.close)},{r.volume:.0f},{a/1e7:.4f}\n", rev=True), alone(f))
    n = "mcx.csv"; add(n, "Date,Instrument Name,Symbol,Expiry Date,Option Type,Strike Price,Open,High,Low,Close,Previous Close,Volume(Lots),Volume(In 000's),Value(Lacs),Open Interest(Lots)\n" + "".join(f"{r.ts:%d %b %Y},FUTCOM,GOLD,{e},-,0.00,{r.open:.2f},{r.high:.2f},{r.low:.2f},{r.close:.2f},{r.open:.2f},{r.volume:.0f},{r.volume:.0f} KGS,99.10,77\n" for r0, r1 in zip(DAY.itertuples(), other.itertuples(), strict=True) for e, r in (("05FEB2020", r0), ("03APR2020", r1))), None)
    inv = lambda r, p, i, a: f'"{r.ts:%d.%m.%Y}","{p(r.close)}","{p(r.open)}","{p(r.high)}","{p(r.low)}","{point(r.volume/1e3)}K","-1,23%"\n'
    n = "inv_br.csv"; add(n, '"Data","Último","Abertura","Máxima","Mínima","Vol.","Var%"\n' + rows(DAY, inv, comma, True), alone(DAY))
    n = "infomoney.csv"; add(n, "DATA;ABERTURA;FECHAMENTO;VARIAÇÃO;MÍNIMO;MÁXIMO;VOLUME\n" + rows(DAY, lambda r, p, i, a: f"{r.ts:%d/%m/%Y};{p(r.open)};{p(r.close)};-0,12;{p(r.low)};{p(r.high)};{f'{r.volume/1e6:.3f}'.replace('.', ',')}M\n", comma, True), alone(DAY))
    gap = DAY.copy(); gap.loc[[5, 17], [*F, "volume"]] = float("nan"); gm = gap.assign(amount=(gap["volume"] * gap["close"]).round(2))
    dash = lambda v, p: "-" if v != v else p(v)
    n = "economatica.csv"; add(n, "PETR4;;;;;;;\nData;Q Negs;Q Títs;Volume$;Fechamento;Abertura;Mínimo;Máximo\n" + rows(gm, lambda r, p, i, a: f"{r.ts:%d/%m/%Y};99;{'-' if r.volume != r.volume else f'{r.volume:.0f}'};{dash(a, point)};{dash(r.close, p)};{dash(r.open, p)};{dash(r.low, p)};{dash(r.high, p)}\n", point), {"PETR4": gm, }, enc="latin-1")
    n = "b3.txt"; cents = lambda v: f"{round(v * 100):013d}"
    add(n, "00COTAHIST.2020BOVESPA 20201230".ljust(245) + "\n" + rows(DAY, lambda r, p, i, a: (f"01{r.ts:%Y%m%d}02{'PETR4':<12}010{'PETROBRAS':<12}{'PN':<10}   R$  {cents(r.open)}{cents(r.high)}{cents(r.low)}{cents(r.close)}{cents(r.close)}{cents(r.close)}{cents(r.close)}00099{round(r.volume):018d}{round(a * 100):018d}").ljust(245) + "\n") + "99COTAHIST.2020BOVESPA 2020123000000000042".ljust(245) + "\n", None)
    n = "bist.csv"; add(n, "TARIH;ISLEM KODU;BULTEN ADI;ACILIS FIYATI;EN DUSUK FIYAT;EN YUKSEK FIYAT;KAPANIS FIYATI;TOPLAM ISLEM HACMI;TOPLAM ISLEM ADEDI\nTRADE DATE;INSTRUMENT SERIES CODE;INSTRUMENT NAME;OPENING PRICE;LOWEST PRICE;HIGHEST PRICE;CLOSING PRICE;TOTAL TRADED VALUE;TOTAL TRADED VOLUME\n" + rows(money(DAY), lambda r, p, i, a: f"{r.ts:%Y-%m-%d};AKBNK.E;AKBANK;{p(r.open)};{p(r.low)};{p(r.high)};{p(r.close)};{a:.2f};{r.volume:.0f}\n"), {"AKBNK.E": money(DAY)})
    n = "tsetmc.csv"; add(n, "<TICKER>,<DTYYYYMMDD>,<FIRST>,<HIGH>,<LOW>,<CLOSE>,<VALUE>,<VOL>,<OPENINT>,<PER>,<OPEN>,<LAST>\n" + rows(money(DAY), lambda r, p, i, a: f"Foolad,{r.ts:%Y%m%d},{p(r.open)},{p(r.high)},{p(r.low)},{p(r.close)},{a:.2f},{r.volume:.0f},99,D,{p(r.open * (.96 if i % 2 else 1.05))},{p(r.low)}\n", rev=True), {"Foolad": money(DAY)})
    n = "jalali.csv"; add(n, "date,open,high,low,close,volume\n" + rows(DAY, lambda r, p, i, a: f"13{98 + i // 41}/{10 + (i - 1) // 30}/{(i - 1) % 30 + 1:02d},{p(r.open)},{p(r.high)},{p(r.low)},{p(r.close)},{r.volume:.0f}\n"), None)
    n = "thai.csv"; add(n, "date,open,high,low,close,volume\n" + rows(DAY, lambda r, p, i, a: f"{r.ts:%d/%m}/{r.ts.year+543},{p(r.open)},{p(r.high)},{p(r.low)},{p(r.close)},{r.volume:.0f}\n"), alone(DAY))
    n = "bet_hu.csv"; add(n, "Név;Dátum;Utolsó ár;Forgalom (db);Forgalom (HUF érték);Kötések száma;Nyitó ár;Minimum ár;Maximum ár;Átlag ár\n" + rows(money(DAY), lambda r, p, i, a: f"OTP;{r.ts:%Y.%m.%d.};{p(r.close)};{r.volume:.0f};{point(a)};99;{p(r.open)};{p(r.low)};{p(r.high)};{p(r.close)}\n", point), {"OTP": money(DAY)})
    n = "czech.csv"; add(n, "Datum;Otevírací;Maximum;Minimum;Závěrečná;Objem\n" + rows(DAY, lambda r, p, i, a: f"{r.ts.day}. {r.ts.month}. {r.ts.year};{p(r.open)};{p(r.high)};{p(r.low)};{p(r.close)};{r.volume:.0f}\n", point), alone(DAY), enc="cp1250")
    n = "swedish.csv"; add(n, "Datum;Öppning;Högst;Lägst;Stäng;Volym;Förändring\n" + rows(DAY, lambda r, p, i, a: f"{r.ts:%Y-%m-%d};{p(r.open)};{p(r.high)};{p(r.low)};{p(r.close)};{f'{r.volume:,.0f}'.replace(',', chr(160))};−0,31 %\n", lambda v: f"{v:,.2f}".replace(",", "\xa0").replace(".", ",")), alone(DAY))
    n = "six.csv"; add(n, "Date;Open;High;Low;Close;TotalVolume\n" + rows(DAY, lambda r, p, i, a: f"{r.ts:%d.%m.%Y};{p(r.open)};{p(r.high)};{p(r.low)};{p(r.close)};{f'{r.volume:,.0f}'.replace(',', '’')}\n", lambda v: f"{v:,.2f}".replace(",", "’")), alone(DAY))
    n = "excel_de.csv"; add(n, "Tag;Eröffnung;Hoch;Tief;Schluss;Umsatz Stück\n" + rows(DAY, lambda r, p, i, a: f"{['Mo','Di','Mi','Do','Fr','Sa','So'][r.ts.weekday()]}, {r.ts:%d.%m.%Y};{p(r.open)} €;{p(r.high)} €;{p(r.low)} €;{p(r.close)} €;{f'{r.volume:,.0f}'.replace(',', '.')} Stk.\n", comma, True), alone(DAY), enc="cp1252")
    n = "boursorama.txt"; add(n, "date\touv\thaut\tbas\tclot\tvol\tdevise\n" + rows(DAY, lambda r, p, i, a: f"{r.ts:%d/%m/%Y} 00:00\t{p(r.open)}\t{p(r.high)}\t{p(r.low)}\t{p(r.close)}\t{r.volume:.0f}\tEUR\t\n"), alone(DAY))


def statistics(add: Add) -> None:
    """Files of central banks and statistics authorities."""
    n = "bundesbank.csv"; add(n, '"";BBEX3.D.USD.EUR;BBEX3.D.USD.EUR_FLAGS\n"";Euro-Referenzkurs der EZB;\nEinheit;USD;\nDimension;Eins;\nStand vom;14.03.2020 16:00:00;\n' + rows(DAYS60, lambda r, p, i, a: f"{r.ts:%Y-%m-%d};{p(r.close) if r.ts.weekday() < 5 else '.'};{'' if r.ts.weekday() < 5 else 'Kein Wert vorhanden'}\n", point), {"BBEX3.D.USD.EUR": DAYS60.assign(close=DAYS60["close"].where(DAYS60["ts"].dt.day_of_week < 5))[["ts", "close"]]})
    n = "ecb.csv"; add(n, '"DATE","TIME PERIOD","US dollar/Euro (EXR.D.USD.EUR.SP00.A)"\n' + rows(DAY, lambda r, p, i, a: f'"{r.ts:%Y-%m-%d}","{r.ts:%d %b %Y}","{p(r.close)}"\n', rev=True), {"": closes(DAY)})
    n = "rba.csv"; add(n, "F11.1  EXCHANGE RATES\nTitle,A$1=USD,A$1=JPY\nDescription,AUD/USD,AUD/JPY\nFrequency,Daily,Daily\nType,Indicative,Indicative\nUnits,USD,JPY\n\n\nSource,WM/Reuters,RBA\nPublication date,14-Mar-2020,14-Mar-2020\nSeries ID,FXRUSD,FXRJY\n" + rows(DAY, lambda r, p, i, a: f"{r.ts:%d-%b-%Y},{p(r.close)},{p(r.open)}\n"), {"FXRUSD": closes(DAY), "FXRJY": DAY[["ts"]].assign(close=DAY["open"])}, enc="utf-8-sig")
    n = "snb.csv"; add(n, '"CubeId";"devkum"\n"PublishingDate";"2022-07-01 09:00"\n\n"Date";"D0";"D1";"Value"\n' + "".join(f'"{r.ts:%Y-%m}";"M0";"{k}";"{v:.2f}"\n' for r in MONTHS.itertuples() for k, v in (("EUR1", r.close), ("USD1", r.open))), {"EUR1": closes(MONTHS), "USD1": MONTHS[["ts"]].assign(close=MONTHS["open"])})
    n = "oecd.csv"; add(n, '"LOCATION","INDICATOR","SUBJECT","MEASURE","FREQUENCY","TIME","Value","Flag Codes"\n' + "".join(f'"{k}","SHPRICE","TOT","IDX2015","M","{r.ts:%Y-%m}",{v:.2f},\n' for k in ("AUS", "DEU") for r in MONTHS.itertuples() for v in ((r.close if k == "AUS" else r.open),)), {"AUS": closes(MONTHS), "DEU": MONTHS[["ts"]].assign(close=MONTHS["open"])})
    n = "ons.csv"; add(n, '"Title","CPI INDEX 00: ALL ITEMS 2015=100"\n"CDID","D7BT"\n"Source dataset ID","MM23"\n"PreUnit",""\n"Unit","Index, base year = 100"\n"Release date","22-07-2020"\n' + "".join(f'"{y}","{100 + y % 7}.1"\n' for y in range(2010, 2020)) + "".join(f'"{y} Q{q}","{100 + q}.3"\n' for y in range(2010, 2020) for q in (1, 2, 3, 4)) + "".join(f'"{y} {m}","{100 + k}.2"\n' for y in range(2010, 2020) for k, m in enumerate("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split())), None)
    n = "eurostat.tsv"; add(n, "freq,unit,geo\\TIME_PERIOD\t" + "\t".join(f"{t:%Y-%m} " for t in MONTHS["ts"]) + "\n" + "M,I15,DE\t" + "\t".join(f"{v:.2f} " for v in MONTHS["close"]) + "\nM,I15,FR\t" + "\t".join(f"{v:.2f} p" if i > 27 else f"{v:.2f} " for i, v in enumerate(MONTHS["open"])) + "\n", None)
    n = "bcb.csv"; add(n, '"data";"valor"\n' + rows(DAY, lambda r, p, i, a: f'"{r.ts:%d/%m/%Y}";"{p(r.close)}"\n', point), {"": closes(DAY)})
    n = "worldbank.csv"; add(n, '"Data Source","World Development Indicators",\n\n"Last Updated Date","2020-03-18",\n\n"Country Name","Country Code","Indicator Name","Indicator Code",' + ",".join(f'"{t.year}"' for t in YEARS["ts"]) + ",\n" + "".join(f'"{k}","{c}","S&P Global Equity Indices","CM.MKT.INDX.ZG",' + ",".join(f'"{v:.2f}"' for v in vs) + ",\n" for k, c, vs in (("Brazil", "BRA", YEARS["close"]), ("Chile", "CHL", YEARS["open"]))), None)
    n = "fred.csv"; add(n, "observation_date,DEXUSEU\n" + rows(DAYS60, lambda r, p, i, a: f"{r.ts:%Y-%m-%d},{p(r.close) if r.ts.weekday() < 5 else '.'}\n"), {"DEXUSEU": DAYS60.assign(close=DAYS60["close"].where(DAYS60["ts"].dt.day_of_week < 5))[["ts", "close"]]})


def dates(add: Add) -> None:
    """Bars whose times are written in words, periods, counts and digits."""
    plain = row_of
    for n, fr, form in (
        ("kw.csv", WEEKS, lambda t: f"KW {t.isocalendar()[1]:02d}/{t.year}"),
        ("half_years.csv", HALF, lambda t: f"{t.year}H{1 if t.month < 7 else 2}"),
        ("trimestres.csv", QUARTERS, lambda t: f"{t.quarter}T{t:%y}"),
        ("quartale.csv", QUARTERS, lambda t: f"{t.quarter}. Quartal {t.year}"),
        ("meses.csv", MONTHS, lambda t: f"{'jan fev mar abr mai jun jul ago set out nov dez'.split()[t.month-1]}/{t:%y}"),
        ("months6.csv", MONTHS, lambda t: f"{t:%Y%m}"),
        ("months_zh.csv", MONTHS, lambda t: f"{t.year}年{t.month}月"),
        ("years.csv", YEARS, lambda t: f"{t.year}"),
        ("net_ticks.csv", HOUR, lambda t: f"{(t - pd.Timestamp('1970-01-01')).value // 100 + 621355968000000000}"),
        ("stata_days.csv", DAY, lambda t: f"{(t - pd.Timestamp('1960-01-01')).days}"),
        ("r_days.csv", DAY, lambda t: f"{(t - pd.Timestamp('1970-01-01')).days}"),
        ("julian_days.csv", DAY, lambda t: f"{t.to_julian_date():.1f}"),
        ("ddmmyyyy.csv", DAY, lambda t: f"{t:%d%m%Y}"),
        ("yymmdd.csv", DAY, lambda t: f"{t:%y%m%d}"),
        ("dot_net.csv", HOUR, lambda t: f"{t.month}/{t.day}/{t.year} {(t.hour - 1) % 12 + 1}:{t:%M:%S} {'AM' if t.hour < 12 else 'PM'} +00:00"),
    ):
        add(n, H + rows(fr, plain(form)), alone(fr))
    n = "hours_1_24.csv"; add(n, "Date;Hour;Open;High;Low;Close;Volume\n" + rows(bars("1h", 72, "2020-01-20"), lambda r, p, i, a: f"{r.ts:%d.%m.%Y};{r.ts.hour + 1};{p(r.open)};{p(r.high)};{p(r.low)};{p(r.close)};{r.volume:.0f}\n"), alone(bars("1h", 72, "2020-01-20")))
    H3 = bars("1h", 72, "2020-01-20")
    n = "mtu.csv"; loc = pd.Timedelta("1h"); add(n, '"MTU (CET/CEST)","Day-ahead Price [EUR/MWh]","Currency"\n' + rows(H3, lambda r, p, i, a: f'"{r.ts + loc:%d.%m.%Y %H:%M} - {r.ts + 2 * loc:%d.%m.%Y %H:%M}","{p(r.close)}","EUR"\n'), {"": closes(H3)})
    n = "midnight24.csv"; add(n, H + rows(H3.iloc[:-1].assign(), lambda r, p, i, a: (f"{r.ts:%Y-%m-%d %H:%M}" if r.ts.hour else f"{r.ts - pd.Timedelta('1D'):%Y-%m-%d} 24:00") + f",{p(r.open)},{p(r.high)},{p(r.low)},{p(r.close)},{r.volume:.0f}\n"), alone(H3.iloc[:-1]))


def layouts(add: Add) -> None:
    """Tables in parts: below and beside one another, with titles between rows."""
    other = DAY.assign(volume=DAY["volume"] + 7)
    plain = row_of
    a, b = DAY, DAYS60.iloc[3:43].reset_index(drop=True)
    n = "side_by_side.csv"; add(n, "AAPL,,,,,,,MSFT,,,,,\n" + "Date,Open,High,Low,Close,Volume,,Date,Open,High,Low,Close,Volume\n" + "".join(",".join([f"{x.ts:%Y-%m-%d}", *(f"{getattr(x, k):.2f}" for k in [*F, "volume"])]) + ",," + ",".join([f"{y.ts:%Y-%m-%d}", *(f"{getattr(y, k):.2f}" for k in [*F, "volume"])]) + "\n" for x, y in zip(a.itertuples(), b.itertuples(), strict=True)), {"AAPL": a, "MSFT": b})
    sec = lambda k, fr: f"{k}\nDate,Open,High,Low,Close,Volume\n" + rows(fr, plain(lambda t: f"{t:%Y-%m-%d}"))
    n = "stacked.csv"; add(n, sec("AAPL", DAY) + "\n" + sec("MSFT", other), {"AAPL": DAY, "MSFT": other})
    n = "stacked_same.csv"; add(n, sec("AAPL", DAY.iloc[:20]) + "\n" + sec("MSFT", other.iloc[20:]), {"AAPL": DAY.iloc[:20], "MSFT": other.iloc[20:]})
    n = "pages.csv"; d = rows(DAY, plain(lambda t: f"{t:%Y-%m-%d}")).splitlines(True); add(n, "".join(("Page %d,,,,,\n" % (k // 15 + 1) if k % 15 == 0 and k else "") + (H if k % 15 == 0 else "") + x for k, x in enumerate(d)), alone(DAY))
    n = "month_titles.csv"; out, last = H, 0
    for x, r in zip(d, DAY.itertuples(), strict=True):
        if r.ts.month != last:
            out, last = out + f"{r.ts:%B %Y},,,,,\n", r.ts.month
        out += x
    add(n, out, alone(DAY))
    n = "units_row.csv"; add(n, "Time,Open,High,Low,Last,Volume\n[UTC],[EUR/MWh],[EUR/MWh],[EUR/MWh],[EUR/MWh],[MWh]\n" + rows(HOUR, plain(lambda t: f"{t:%Y-%m-%d %H:%M}")), alone(HOUR))
    n = "no_time.csv"; add(n, "open,high,low,close,volume\n" + rows(DAY, lambda r, p, i, a: f"{p(r.open)},{p(r.high)},{p(r.low)},{p(r.close)},{r.volume:.0f}\n"), None)
    n = "pence.csv"; add(n, H.replace("close", "close (GBp)").replace("open", "open (GBp)").replace("high", "high (GBp)").replace("low,", "low (GBp),") + "".join(d), alone(DAY))


def answers(add: Add) -> None:
    """Answers of servers."""
    ms = lambda t: int(t.timestamp() * 1000)
    R = list(HOUR.itertuples())
    n = "bithumb.json"; add(n, json.dumps({"status": "0000", "data": [[ms(r.ts), f"{r.open}", f"{r.close}", f"{r.high}", f"{r.low}", f"{r.volume}"] for r in R]}), alone(HOUR))
    n = "yahoo_chart.json"; add(n, json.dumps({"chart": {"result": [{"meta": {"currency": "USD", "symbol": "AAPL", "exchangeTimezoneName": "America/New_York", "dataGranularity": "1h", "regularMarketPrice": 1301.1}, "timestamp": [int(r.ts.timestamp()) for r in R], "indicators": {"quote": [{k: list(HOUR[k]) for k in [*F, "volume"]}]}}], "error": None}}), {"AAPL": HOUR})
    n = "poloniex.json"; add(n, json.dumps([[f"{r.low}", f"{r.high}", f"{r.open}", f"{r.close}", f"{r.volume * r.close:.2f}", f"{r.volume}", "1.0", "0.1", 99, ms(r.ts) + 3600999, f"{r.close}", "HOUR_1", ms(r.ts), ms(r.ts) + 3599999] for r in R]), alone(money(HOUR)))
    n = "phemex.json"; add(n, json.dumps({"code": 0, "msg": "OK", "data": {"total": -1, "rows": [[int(r.ts.timestamp()), 3600, round(r.open * 1e4), round(r.open * 1e4), round(r.high * 1e4), round(r.low * 1e4), round(r.close * 1e4), int(r.volume), int(r.volume * 7)] for r in R]}}), None)
    n = "nasdaq_link.json"; add(n, json.dumps({"dataset": {"id": 9775409, "dataset_code": "AAPL", "database_code": "EOD", "name": "Apple", "newest_available_date": "2020-03-13", "column_names": ["Date", "Open", "High", "Low", "Close", "Volume", "Dividend", "Split"], "frequency": "daily", "data": [[f"{r.ts:%Y-%m-%d}", r.open, r.high, r.low, r.close, r.volume, 0.0, 1.0] for r in DAY[::-1].itertuples()]}}), {"AAPL": DAY})
    n = "cryptowatch.json"; add(n, json.dumps({"result": {"3600": [[int(r.ts.timestamp()) + 3600, r.open, r.high, r.low, r.close, r.volume, round(r.volume * r.close, 2)] for r in R]}, "allowance": {"cost": 0.015, "remaining": 9.9}}), {"": money(HOUR).assign(ts=HOUR["ts"] + pd.Timedelta("1h"))})
    n = "bitstamp.json"; add(n, json.dumps({"data": {"ohlc": [{"close": f"{r.close}", "high": f"{r.high}", "low": f"{r.low}", "open": f"{r.open}", "timestamp": f"{int(r.ts.timestamp())}", "volume": f"{r.volume}"} for r in R], "pair": "BTC/USD"}}), {"BTC/USD": HOUR})
    n = "finnhub.json"; add(n, json.dumps({k[0]: list(HOUR[k]) for k in [*F, "volume"]} | {"s": "ok", "t": [int(r.ts.timestamp()) for r in R]}), alone(HOUR))
    n = "fmp.json"; add(n, json.dumps({"symbol": "AAPL", "historical": [{"date": f"{r.ts:%Y-%m-%d}", "open": r.open, "high": r.high, "low": r.low, "close": r.close, "adjClose": r.close, "volume": r.volume, "unadjustedVolume": r.volume, "change": .1, "changePercent": .01, "vwap": r.close, "label": f"{r.ts:%B %d, %y}", "changeOverTime": .001} for r in DAY[::-1].itertuples()]}), {"AAPL": DAY})
    n = "graphql.json"; add(n, json.dumps({"data": {"pairHourDatas": [{"hourStartUnix": int(r.ts.timestamp()), "openPrice": f"{r.open}", "highPrice": f"{r.high}", "lowPrice": f"{r.low}", "closePrice": f"{r.close}", "volumeUSD": f"{r.volume * r.close:.2f}", "pair": {"id": "0xabc"}} for r in R]}}), {"": HOUR[["ts", *F]].assign(amount=money(HOUR)["amount"])})
