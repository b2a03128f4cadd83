"""Bars in the shapes of other countries' sites, terminals, databases and programs: a row as a form, filled for each bar."""

# ruff: noqa: E501 - a table
# fmt: off
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from tests.market.own_shapes import bars, comma

DAY, HOUR, MINUTE = bars("B", 40, "2020-01-20"), bars("1h", 60, "2020-01-20"), bars("1min", 60, "2020-01-21 14:30")
# Bonds: around 130 points, in whole parts of 64.
BOND = DAY.assign(**{name: (DAY[name] / 10 * 32).round() / 32 for name in ("open", "high", "low", "close")})
HALVES = DAY.assign(**{name: (DAY[name] / 10 * 64).round() / 64 for name in ("open", "high", "low", "close")})
MONTHS, QUARTERS, WEEKS = bars("MS", 30, "2018-01-01"), bars("QS", 20, "2015-01-01"), bars("7D", 30, "2020-01-06")
FRAMES = {"day": DAY, "hour": HOUR, "minute": MINUTE, "bond": BOND, "halves": HALVES, "month": MONTHS, "quarter": QUARTERS, "week": WEEKS}
BAR, MONEY = ("open", "high", "low", "close", "volume"), ("open", "high", "low", "close", "volume", "amount")
NAMES = "date,open,high,low,close,volume\n"
PLAIN = "{o},{h},{l},{c},{v}\n"


def two(value: float) -> str:
    """12.50."""
    return f"{value:.2f}"


def point(value: float) -> str:
    """12,50."""
    return f"{value:.2f}".replace(".", ",")


def parts(mark: str, *, halves: bool = False) -> Callable[[float], str]:
    """129-18, 129'185: points and parts of 32."""
    def written(value: float) -> str:
        whole = int(value)
        half = ("5" if value * 64 % 2 else "0") if halves else ""
        return f"{whole}{mark}{int((value - whole) * 32):02d}{half}"
    return written


@dataclass(frozen=True)
class Text:
    """A table as a text: its head, a row, how its numbers are written, and what must come out.

    Attributes
    ----------
    row
        With t, o, h, l, c, v, m (money), s (epoch), n (row), d (day), y, mon (month's number) and their like.
    asset
        Of a column; empty is the file's name.
    late
        What the file's times are later than the bars'.
    """

    name: str
    head: str
    row: str
    kind: str = "day"
    number: Callable[[float], str] = two
    fields: tuple[str, ...] = BAR
    asset: str = ""
    encoding: str = "utf-8"
    tail: str = ""
    newest_first: bool = False
    late: str = "0h"

    @property
    def data(self) -> bytes:
        """The file."""
        frame = FRAMES[self.kind][::-1] if self.newest_first else FRAMES[self.kind]
        rows = [self._row(n, bar) for n, bar in enumerate(frame.itertuples(index=False), 1)]
        return (self.head + "".join(rows) + self.tail).encode(self.encoding)

    @property
    def truth(self) -> pd.DataFrame:
        """The bars."""
        frame = FRAMES[self.kind]
        return frame.assign(amount=(frame["volume"] * frame["close"]).round(2))[["ts", *self.fields]]

    def _row(self, number: int, bar) -> str:  # type: ignore[no-untyped-def] # noqa: ANN001 - a named tuple of pandas
        at = bar.ts + pd.Timedelta(self.late)
        put, money, size = self.number, round(bar.volume * bar.close, 2), int(bar.volume)
        return self.row.format(
            t=at, o=put(bar.open), h=put(bar.high), l=put(bar.low), c=put(bar.close), v=size, m=f"{money:.2f}", m5=f"{money / 1e5:.7f}",
            lots=f"{size // 100:,}", vk=f"{size / 1000:.2f}K".replace(".", "," if "," in put(1.5) else "."), vc=f"{size:,}", mc=f"{money:,.2f}",
            mg=comma(money), vd=f"{size:,}".replace(",", "."), s=int(at.timestamp()), n=number, d=at.day, mo=at.month, y=at.year, q=at.quarter,
            roc=at.year - 1911, wd="一二三四五六日"[at.weekday()], w=at.isocalendar()[1], de=("Januar", "Februar", "März")[(at.month - 1) % 3],
            fr=("janv.", "févr.", "mars")[(at.month - 1) % 3], es=("enero", "febrero", "marzo")[(at.month - 1) % 3],
            us=f"{at.month}/{at.day}/{at.year}" + (f" {at:%H:%M}" if at.hour else ""),
            th={1: "st", 2: "nd", 3: "rd"}.get(at.day if at.day < 4 else at.day % 10 if at.day > 20 else 0, "th"),
        )


INVESTING = '"{t:%d.%m.%Y}","{c}","{o}","{h}","{l}","{vk}","1,23%"\n'
CHINESE = '"{t:%Y-%m-%d}","{c}","{o}","{h}","{l}","{vk}","1.23%"\n'
TEXTS = (
    Text("ariva.csv", "Datum;Erster;Hoch;Tief;Schlusskurs;Stuecke;Volumen\n", "{t:%Y-%m-%d};{o};{h};{l};{c};{vd};{mg}\n", number=comma, fields=MONEY),
    Text("abcbourse.txt", "", "FR0000131104;{t:%d/%m/%y};{o};{h};{l};{c};{v}\n", number=point, asset="FR0000131104"),
    Text("euronext.csv", '"Historical Data"\n"From 2020-01-20"\nFR0000131104\nDate;Open;High;Low;Last;Close;"Number of Shares";"Number of Trades";Turnover;vwap\n',
         "{t:%d/%m/%Y};{o};{h};{l};{c};{c};{v};100;{m};{c}\n", newest_first=True, fields=MONEY),
    Text("SZ000001.txt", "000001 平安银行 日线 不复权\n      日期\t    开盘\t    最高\t    最低\t    收盘\t    成交量\t    成交额\n",
         "{t:%Y/%m/%d}\t{o}\t{h}\t{l}\t{c}\t{v}\t{m}\n", encoding="gb18030", tail="数据来源:通达信\n", fields=MONEY),
    Text("ths.txt", "时间\t开盘\t最高\t最低\t收盘\t涨幅\t振幅\t总手\t金额\n", "{t:%Y-%m-%d},{wd}\t{o}\t{h}\t{l}\t{c}\t1.20%\t2.50%\t{lots}\t{mc}\n", encoding="gb18030", fields=MONEY),
    Text("wind.csv", "代码,简称,日期,前收盘价(元),开盘价(元),最高价(元),最低价(元),收盘价(元),成交量(股),成交金额(元)\n",
         '000001.SZ,平安银行,{t:%Y-%m-%d},{o},{o},{h},{l},{c},"{vc}","{mc}"\n', encoding="gb18030", tail="\n数据来源：Wind\n", asset="000001.SZ", fields=MONEY),
    Text("csmar.csv", "Stkcd,Trddt,Opnprc,Hiprc,Loprc,Clsprc,Dnshrtrd,Dnvaltrd\n", "000001,{t:%Y-%m-%d},{o},{h},{l},{c},{v},{m}\n", asset="000001", fields=MONEY),
    Text("inv_de.csv", '"Datum","Zuletzt","Eröffn.","Hoch","Tief","Vol.","+/- %"\n', INVESTING, number=comma, newest_first=True),
    Text("inv_fr.csv", '"Date","Dernier","Ouv."," Plus Haut","Plus Bas","Vol.","Variation %"\n', INVESTING, number=comma, newest_first=True),
    Text("inv_tr.csv", '"Tarih","Şimdi","Açılış","Yüksek","Düşük","Hac.","Fark %"\n', INVESTING, number=comma, newest_first=True),
    Text("inv_pl.csv", '"Data","Ostatnio","Otwarcie","Max.","Min.","Wol.","Zmiana%"\n', INVESTING, number=comma, newest_first=True),
    Text("inv_nl.csv", '"Datum","Laatste","Open","Hoog","Laag","Vol.","Verschil %"\n', INVESTING, number=comma, newest_first=True),
    Text("inv_cn.csv", '"日期","收盘","开盘","高","低","交易量","涨跌幅"\n', CHINESE, newest_first=True),
    Text("inv_kr.csv", '"날짜","종가","시가","고가","저가","거래량","변동 %"\n', CHINESE.replace("%Y-%m-%d", "%Y- %m- %d"), newest_first=True),
    Text("inv_jp.csv", '"日付け","終値","始値","高値","安値","出来高","変化率 %"\n', CHINESE.replace("%Y-%m-%d", "%Y年%m月%d日"), newest_first=True),
    Text("stooq_pl.csv", "Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen\n", "{t:%Y-%m-%d}," + PLAIN),
    Text("bossa.mst", "<TICKER>,<DTYYYYMMDD>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>\n", "KGHM,{t:%Y%m%d}," + PLAIN, asset="KGHM"),
    Text("metastock.txt", "<TICKER>,<PER>,<DTYYYYMMDD>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n", "KGHM,I,{t:%Y%m%d,%H%M%S},{o},{h},{l},{c},{v},0\n", "minute", asset="KGHM"),
    Text("nordic.csv", "sep=;\nDate;Bid;Ask;Opening price;High price;Low price;Closing price;Average price;Total volume;Turnover;Trades;\n",
         "{t:%Y-%m-%d};{l};{h};{o};{h};{l};{c};{c};{v};{mg};120;\n", number=comma, newest_first=True),
    Text("dutch.csv", "Datum;Open;Hoog;Laag;Slot;Volume\n", "{t:%d-%m-%Y};{o};{h};{l};{c};{v}\n", number=point),
    Text("multicharts.txt", '"Date","Time","Open","High","Low","Close","TotalVolume"\n', "{t:%m/%d/%Y,%H:%M:%S}," + PLAIN, "minute"),
    Text("amibroker.csv", "Ticker,Date/Time,Open,High,Low,Close,Volume,OpenInt\n", "IBM,{t:%Y-%m-%d},{o},{h},{l},{c},{v},0\n", asset="IBM"),
    Text("algoseek.csv", "Date,Ticker,TimeBarStart,FirstTradePrice,HighTradePrice,LowTradePrice,LastTradePrice,VolumeWeightPrice,Volume,TotalTrades\n",
         "{t:%Y%m%d},IBM,{t:%H:%M},{o},{h},{l},{c},{c},{v},44\n", "minute", asset="IBM"),
    Text("tradestation.txt", '"Date","Time","Open","High","Low","Close","Up","Down"\n', "{t:%m/%d/%Y,%H:%M},{o},{h},{l},{c},300,200\n", "minute", late="1min", fields=BAR[:4]),
    Text("jforex.csv", "Time (EET),Open,High,Low,Close,Volume \n", "{t:%Y.%m.%d %H:%M:%S}," + PLAIN, "hour", late="2h"),
    Text("coinapi.csv", "time_period_start;time_period_end;time_open;time_close;price_open;price_high;price_low;price_close;volume_traded;trades_count\n",
         "{t:%Y-%m-%dT%H:%M:%S}.0000000Z;{t:%Y-%m-%dT%H}:59:59.9999999Z;{t:%Y-%m-%dT%H}:00:00.1230000Z;{t:%Y-%m-%dT%H}:59:59.1230000Z;{o};{h};{l};{c};{v};31\n", "hour"),
    Text("markdown.txt", "| date | open | high | low | close | volume |\n|:---|---:|---:|---:|---:|---:|\n", "| {t:%Y-%m-%d} | {o} | {h} | {l} | {c} | {v} |\n"),
    Text("psql.txt", "    date    |  open   |  high   |   low   |  close  | volume \n------------+---------+---------+---------+---------+--------\n",
         " {t:%Y-%m-%d} | {o} | {h} | {l} | {c} | {v}\n", tail="(40 rows)\n\n"),
    Text("mysql.txt", "+-----+-----+-----+-----+-----+-----+\n| date | open | high | low | close | volume |\n+-----+-----+-----+-----+-----+-----+\n",
         "| {t:%Y-%m-%d} | {o} | {h} | {l} | {c} | {v} |\n", tail="+-----+-----+-----+-----+-----+-----+\n40 rows in set (0.01 sec)\n"),
    Text("sqlcmd.txt", "date       open     high     low     close    volume\n---------- -------- -------- ------- -------- -------\n",
         "{t:%Y-%m-%d}  {o}  {h}  {l}  {c}  {v}\n", tail="\n(40 rows affected)\n"),
    Text("mysql_null.csv", NAMES[:-1] + ",note\n", "{t:%Y-%m-%d},{o},{h},{l},{c},{v},\\N\n"),
    Text("oracle.csv", NAMES.upper(), "{t:%d-%b-%y %I.%M.%S}.000000000 {t:%p}," + PLAIN, "hour"),
    Text("influx.csv", "#group,false,false,false,false,false,false,false,false\n#datatype,string,long,dateTime:RFC3339,double,double,double,double,double\n"
         "#default,_result,,,,,,,\n,result,table,_time,open,high,low,close,volume\n", ",,0,{t:%Y-%m-%dT%H:%M:%SZ}," + PLAIN, "hour"),
    Text("kdb.csv", "time,sym,open,high,low,close,volume\n", "{t:%Y.%m.%dD%H:%M:%S}.000000000,BTC," + PLAIN, "hour", asset="BTC"),
    Text("bloomberg.csv", "Start Date,20/01/2020,,,,\nSecurity,AAPL US Equity,,,,\n,,,,,\nDates,PX_OPEN,PX_HIGH,PX_LOW,PX_LAST,PX_VOLUME\n", "{t:%d/%m/%Y}," + PLAIN),
    Text("trth.csv", "#RIC,Alias Underlying RIC,Domain,Date-Time,GMT Offset,Type,Open,High,Low,Last,Volume,No. Trades\n",
         "AAPL.O,,Market Price,{t:%Y-%m-%dT%H:%M:%S}.000000000Z,-5,Intraday 1Hour,{o},{h},{l},{c},{v},31\n", "hour", asset="AAPL.O"),
    Text("crsp.csv", "PERMNO,date,TICKER,BIDLO,ASKHI,PRC,VOL,RET,OPENPRC\n", "14593,{t:%Y%m%d},AAPL,{l},{h},{c},{v},0.001,{o}\n", asset="AAPL"),
    Text("compustat.csv", "gvkey,iid,datadate,tic,ajexdi,cshtrd,prccd,prchd,prcld,prcod\n", "001690,01,{t:%Y%m%d},AAPL,1.0,{v},{c},{h},{l},{o}\n", asset="AAPL"),
    Text("nse_udiff.csv", "TradDt,BizDt,Sgmt,FinInstrmId,ISIN,TckrSymb,SctySrs,OpnPric,HghPric,LwPric,ClsPric,LastPric,PrvsClsgPric,TtlTradgVol,TtlTrfVal\n",
         "{t:%Y-%m-%d},{t:%Y-%m-%d},CM,2885,INE002A01018,RELIANCE,EQ,{o},{h},{l},{c},{l},{o},{v},{m}\n", asset="RELIANCE", fields=MONEY),
    Text("nse_full.csv", "SYMBOL, SERIES, DATE1, PREV_CLOSE, OPEN_PRICE, HIGH_PRICE, LOW_PRICE, LAST_PRICE, CLOSE_PRICE, AVG_PRICE, TTL_TRD_QNTY, TURNOVER_LACS, DELIV_QTY\n",
         "RELIANCE, EQ, {t:%d-%b-%Y}, {o}, {o}, {h}, {l}, {l}, {c}, {c}, {v}, {m5}, 12\n", asset="RELIANCE", fields=MONEY),
    Text("bse.csv", "Date,Open Price,High Price,Low Price,Close Price,WAP,No.of Shares,No. of Trades,Total Turnover (Rs.),Spread High-Low,Spread Close-Open\n",
         "{d}-{t:%B-%Y},{o},{h},{l},{c},{c},{v},99,{m},1.0,0.5\n", newest_first=True, fields=MONEY),
    Text("moex.csv", "history\n\nBOARDID;TRADEDATE;SHORTNAME;SECID;NUMTRADES;VALUE;OPEN;LOW;HIGH;LEGALCLOSEPRICE;WAPRICE;CLOSE;VOLUME\n",
         "TQBR;{t:%Y-%m-%d};Сбербанк;SBER;555;{m};{o};{l};{h};{l};{c};{c};{v}\n", encoding="cp1251", asset="SBER", fields=MONEY),
    Text("twse.csv", '"109年02月 2330 台積電 各日成交資訊"\n"日期","成交股數","成交金額","開盤價","最高價","最低價","收盤價","漲跌價差",\n',
         '"{roc}/{t:%m/%d}","{vc}","{mc}","{o}","{h}","{l}","{c}","+1.50",\n', encoding="big5", tail='"說明:"\n"符號說明:+/-/X表示漲/跌/不比價"\n', fields=MONEY),
    Text("iso_weeks.csv", "week,open,high,low,close,volume\n", "{y}-W{w:02d}," + PLAIN, "week"),
    Text("short_months.csv", NAMES, "{t:%b-%y}," + PLAIN, "month"),
    Text("long_months.csv", NAMES, "{t:%B %Y}," + PLAIN, "month"),
    Text("imf_months.csv", NAMES, "{y}M{mo:02d}," + PLAIN, "month"),
    Text("quarters.csv", NAMES, "{y}-Q{q}," + PLAIN, "quarter"),
    Text("quarters_first.csv", NAMES, "Q{q} {y}," + PLAIN, "quarter"),
    Text("ordinals.csv", NAMES, "{d}{th} {t:%B %Y}," + PLAIN),
    Text("german_words.csv", NAMES.replace(",", ";"), "{d}. {de} {y};{o};{h};{l};{c};{v}\n", number=point),
    Text("french_words.csv", "Date;Ouverture;Plus haut;Plus bas;Clôture;Volume\n", "{d} {fr} {y};{o};{h};{l};{c};{v}\n", number=point, encoding="cp1252"),
    Text("spanish_words.csv", "Fecha;Apertura;Máximo;Mínimo;Cierre;Volumen\n", "{d} de {es} de {y};{o};{h};{l};{c};{v}\n", number=point),
    Text("units.csv", NAMES + ",USD,USD,USD,USD,shares\n", "{t:%Y-%m-%d}," + PLAIN),
    Text("thousands.csv", NAMES + "(UTC),($),($),($),($),(k)\n", "{t:%Y-%m-%d},{o},{h},{l},{c},{v}e-3\n"),
    Text("totals.csv", NAMES, "{t:%Y-%m-%d}," + PLAIN, tail="Total,,,,,17000000\n"),
    Text("averages.csv", NAMES, "{t:%Y-%m-%d}," + PLAIN, tail="Average,1300,1305,1295,1300,450000\nMaximum,1500,1505,1495,1500,900000\n"),
    Text("bonds.csv", NAMES, "{t:%Y-%m-%d}," + PLAIN, "bond", parts("-")),
    Text("bond_ticks.csv", NAMES, "{t:%Y-%m-%d}," + PLAIN, "bond", parts("'")),
    Text("bond_halves.csv", NAMES, "{t:%Y-%m-%d}," + PLAIN, "halves", parts("'", halves=True)),
    Text("american_midnights.csv", NAMES, "{us}," + PLAIN, "hour"),
    Text("parts.csv", "permno;year;month;day;open;high;low;close;volume\n", "10107;{y};{mo};{d};{o};{h};{l};{c};{v}\n", asset="10107"),
    Text("hours.txt", "YEAR MONTH DAY HOUR OPEN HIGH LOW CLOSE VOLUME\n", "{t:%Y %m %d %H} {o} {h} {l} {c} {v}\n", "hour"),
    Text("year_weeks.csv", "year,week,open,high,low,close,volume\n", "{y},{w}," + PLAIN, "week"),
    Text("days_of_year.csv", NAMES, "{t:%Y-%j}," + PLAIN),
    Text("brokers_quarters.csv", NAMES.replace("date", "period"), "{q}Q{t:%y}," + PLAIN, "quarter"),
    Text("spans.csv", NAMES.replace("date", ""), "{t:%Y-%m-%d}/{t:%Y-%m-%d}," + PLAIN, "week"),
    Text("r_named.txt", '"ts" "open" "high" "low" "close" "volume"\n', '"{n}" {t:%Y-%m-%d %H:%M:%S} {o} {h} {l} {c} {v}\n', "minute"),
    Text("r_unnamed.txt", "time open high low close volume\n", "{t:%Y-%m-%d %H:%M:%S} {o} {h} {l} {c} {v}\n", "hour"),
    Text("printed.txt", "            open   high    low  close  volume\nDate\n", "{t:%Y-%m-%d} {o} {h} {l} {c} {v}\n"),
    Text("savetxt.txt", "# ts open high low close volume\n", "{s}.000e+00 {o} {h} {l} {c} {v}\n", "minute"),
    Text("flex.csv", '"Symbol","Date/Time","Open","High","Low","Close","Volume"\n', '"AAPL","{t:%Y%m%d;%H%M%S}","{o}","{h}","{l}","{c}","{v}"\n', "minute", asset="AAPL"),
    Text("iqfeed.csv", "Request ID,Time Stamp,High,Low,Open,Close,Volume,Number of Trades\n", "1,{t:%Y-%m-%d %H:%M:%S},{h},{l},{o},{c},{v},0\n", "minute", tail="1,!ENDMSG!,\n"),
    Text("esignal.csv", "Symbol: ES #F=2  Interval: 60\n\nDate,Time,O,H,L,C,V\n", "{t:%m/%d/%Y,%H:%M:%S}," + PLAIN, "hour", newest_first=True),
    Text("eikon.csv", "AAPL.O,,,,,,,\nExchange Date,Close,Net,%Chg,Open,Low,High,Volume\n", '{t:%d-%b-%Y},{c},1.2,0.65%,{o},{l},{h},"{vc}"\n', newest_first=True),
    Text("lseg.csv", "Date,HIGH_1,LOW_1,OPEN_PRC,TRDPRC_1,ACVOL_UNS\n", "{t:%Y-%m-%d},{h},{l},{o},{c},{v}\n"),
    Text("datastream.csv", "Name,APPLE - OPENING PRICE,APPLE - HIGH,APPLE - LOW,APPLE,APPLE - TURNOVER BY VOLUME\nCode,@AAPL(PO),@AAPL(PH),@AAPL(PL),@AAPL(P),@AAPL(VO)\n",
         "{t:%d/%m/%Y}," + PLAIN, asset="@AAPL"),
    Text("capital_iq.csv", "Pricing Date,Open,High,Low,Close Price,Volume (mm)\n", "{t:%b-%d-%Y},{o},{h},{l},{c},{v}e-6\n"),
    Text("eastmoney.csv", "日期,开盘,收盘,最高,最低,成交量,成交额,振幅,涨跌幅,涨跌额,换手率\n", "{t:%Y-%m-%d},{o},{c},{h},{l},{v}e-2,{m},1.1,2.2,0.3,0.4\n", fields=MONEY),
    Text("frankfurt.csv", "Datum;Eröffnung;Schluss;Tageshoch;Tagestief;Umsatz (€);Umsatz (Stück)\n", "{t:%d.%m.%y};{o};{c};{h};{l};{mg};{vd}\n", number=comma, fields=MONEY),
    Text("uhr.csv", "Datum;Uhrzeit;Eröffnung;Hoch;Tief;Schluss;Stück\n", "{t:%d.%m.%Y;%H:%M:%S} Uhr;{o};{h};{l};{c};{v}\n", "hour", number=point),
    Text("profit.csv", "Ativo;Data;Hora;Abertura;Máximo;Mínimo;Fechamento;Volume;Quantidade\n", "WINJ;{t:%d/%m/%Y;%H:%M:%S};{o};{h};{l};{c};{mg};{v}\n", "hour", comma, MONEY, "WINJ", "latin-1"),
    Text("finam_rus.csv", "<Тикер>;<Период>;<Дата>;<Время>;<Откр>;<Макс>;<Мин>;<Закр>;<Объём>\n", "SBER;60;{t:%d/%m/%y;%H:%M};{o};{h};{l};{c};{v}\n", "hour", asset="SBER", encoding="cp1251"),
    Text("valued.csv", ",open,high,low,close,volume,value\n", "{t:%Y-%m-%d %H:%M:%S},{o},{h},{l},{c},{v},{m}\n", "hour", fields=MONEY),
    Text("closes.csv", NAMES, "{t:%Y-%m-%d} 16:00," + PLAIN),
    Text("viet.csv", "Ngày,Mở cửa,Cao nhất,Thấp nhất,Đóng cửa,Khối lượng\n", '{t:%d/%m/%Y},{o},{h},{l},{c},"{vc}"\n', newest_first=True),
    Text("blank_end.csv", "ACME – Prices,,,,,\n,,,,,\n" + NAMES, "{t:%Y-%m-%d}," + PLAIN, tail=",,,,,\n"),
)
