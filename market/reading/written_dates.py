"""Dates as people and terminals write them, put into the forms that programs read: words, periods, other calendars."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta

import pandas as pd

from market.columns import plain_name
from market.errors import InputError

_ENGLISH = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# Beginnings of names of months in German, French, Spanish, Italian, Portuguese and Dutch, without accents.
_MONTHS = {
    1: ("januar", "janvier", "janv", "enero", "ene", "gennaio", "gen", "janeiro", "januari"),
    2: ("februar", "fevrier", "fevr", "fev", "febrero", "febbraio", "fevereiro", "februari"),
    3: ("marz", "maerz", "mrz", "mars", "marzo", "marco", "maart", "mrt"),
    4: ("avril", "avr", "abril", "abr", "aprile"),
    5: ("mai", "mayo", "maggio", "mag", "maio", "mei"),
    6: ("juni", "juin", "junio", "giugno", "giu", "junho"),
    7: ("juli", "juillet", "juil", "julio", "luglio", "lug", "julho"),
    8: ("aout", "agosto", "ago", "augustus"),
    9: ("sept", "septembre", "septiembre", "settembre", "set", "setembro"),
    10: ("oktober", "okt", "octobre", "octubre", "ottobre", "ott", "outubro", "out"),
    11: ("novembre", "noviembre", "novembro"),
    12: ("dezember", "dez", "decembre", "diciembre", "dic", "dicembre", "dezembro"),
}
_MONTH_OF = {word: _ENGLISH[number - 1] for number, words in _MONTHS.items() for word in words}
_WORD = re.compile(r"[^\W\d_]{3,12}\.?")
# 2020-02-03,一 and 2020/02/03(月): the day of the week, in Chinese and Japanese.
_DAY_OF_WEEK = re.compile(
    r"(?<=[\d日])(?:[,，\s]+|[,，\s]*周|[,，\s]*星期|\s*[(（])[一二三四五六日月火水木金土][)）]?$"
)
# Before noon and after it, where Korean, Chinese and Japanese say so: in front of the time of day.
_HALF_DAY = re.compile(r"(오전|上午|午前|오후|下午|午後) ?(\d{1,2}:\d\d(?::\d\d)?)")
_BEFORE_NOON = ("오전", "上午", "午前")
# Of Japan's eras, the year before the first.
_ERAS = {"令和": 2018, "平成": 1988, "昭和": 1925, "R": 2018, "H": 1988, "S": 1925}
_ERA = re.compile(r"(令和|平成|昭和|[RHS])(\d{1,2}|元)(?:年|[./-])(\d{1,2})(?:月|[./-])(\d{1,2})日?")
_CHANGES: tuple[tuple[re.Pattern[str], str], ...] = (
    # Mo, 20.01.2020 and lun. 20/01/2020: days of the week in six languages
    (
        re.compile(
            r"^(?:mo|di|mi|do|fr|sa|so|lun|mar|mer|mi[eé]|jue|jeu|ven|vie|s[aá]b|sam|dom|dim|seg|ter|qua|qui|sex|gio"
            r"|ma|wo|vr|za|zo)[a-zçéáìß-]*\.?,? +(?=\d{1,4}[-/.]\d)", re.I),
        "",
    ),
    # 2020년 1월 20일
    (re.compile(r"^(\d{4})년 ?(\d{1,2})월 ?(\d{1,2})일"), r"\1-\2-\3"),
    # 2020- 02- 03, 20. 1. 2020
    (re.compile(r"(?<=\d)([-/.]) +(?=\d)"), r"\1"),
    # 2020.02.03D09:30:00.000000000, of kdb+
    (re.compile(r"^(\d{4})\.(\d\d)\.(\d\d)D(?=\d)"), r"\1-\2-\3 "),
    # 03-FEB-20 09.30.00.000000000 AM, of Oracle
    (re.compile(r" (\d{1,2})\.(\d\d)\.(\d\d)(?:\.0+)? ?([AaPp][Mm])$"), r" \1:\2:\3 \4"),
    # 20230307;143000, of Interactive Brokers
    (re.compile(r"^(\d{8});(?=\d{6}$)"), r"\1 "),
    # 20JAN2020:09:30:00, of SAS; 2020.01.20., of Hungary
    (re.compile(r"^(\d{1,2}[A-Za-z]{3}\d{4}):(?=\d)"), r"\1 "),
    (re.compile(r"^(\d{4}\. ?\d{1,2}\. ?\d{1,2})\.$"), r"\1"),
    (re.compile(r"\b(\d{1,2})(?:st|nd|rd|th|º|er)\b"), r"\1"),
)  # fmt: skip
_DAY_AND_CLOCK = r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?)?"
_NUMERIC_DAY = r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}"
_DIGITS = {"一": "1", "二": "2", "三": "3", "四": "4"}
_PERIODS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    # Of a span its begin: 2020-01-06/2020-01-12 of pandas, {2020-01-06 09:30:00, …} of Spark, [2020-01-06, …).
    (re.compile(rf"[{{(\[]?({_DAY_AND_CLOCK})(?:/|, ?)(?:{_DAY_AND_CLOCK})[}})\]]?"), lambda hit: hit[1]),
    # 20.01.2020 09:00 - 20.01.2020 10:00, of markets of power.
    (
        re.compile(rf"({_NUMERIC_DAY} \d\d:\d\d(?::\d\d)?) ?[-–] ?{_NUMERIC_DAY} \d\d:\d\d(?::\d\d)?"),
        lambda hit: hit[1],
    ),
    (re.compile(r"(\d{4})(?:[- ]?M|年 ?|년 ?)(\d{1,2})[月월]?"), lambda hit: f"{hit[1]}-{int(hit[2]):02d}-01"),
    # 1T20, T1 2020, 1. Quartal 2020, 2020年第1季度: quarters in French, Spanish, Portuguese, German and Chinese.
    (re.compile(r"([1-4])[T][-/ ]?(\d{4}|\d\d)"), lambda hit: _of_quarter(hit[2], hit[1])),
    (re.compile(r"T([1-4])[-/ ](\d{4})"), lambda hit: _of_quarter(hit[2], hit[1])),
    (re.compile(r"(\d{4})[- ]?T([1-4])"), lambda hit: _of_quarter(hit[1], hit[2])),
    (
        re.compile(r"([1-4])(?:\.|er|e|º)? ?(?:Quartal|Trim\w*\.?)(?: de)? (\d{4})", re.I),
        lambda hit: _of_quarter(hit[2], hit[1]),
    ),
    (
        re.compile(r"(\d{4}) ?年 ?第? ?([1-4一二三四]) ?季度?"),
        lambda hit: _of_quarter(hit[1], _DIGITS.get(hit[2], hit[2])),
    ),
    # KW 04/2020, Week 4, 2020, W04 2020; 2020 KW 04, 2020年第4周
    (
        re.compile(r"(?:KW|Week|Wk|W|S|Sem\.?) ?(\d{1,2})[-/, ]+(\d{4})", re.I),
        lambda hit: _of_week(hit[2], hit[1], "1"),
    ),
    (re.compile(r"(\d{4})[-/, ]*(?:KW|Week|Wk|年第) ?(\d{1,2})周?", re.I), lambda hit: _of_week(hit[1], hit[2], "1")),
    (re.compile(r"(\d{4})[- ]?Q([1-4])"), lambda hit: f"{hit[1]}-{3 * int(hit[2]) - 2:02d}-01"),
    (re.compile(r"Q([1-4])[-/ ]?(\d{4})"), lambda hit: f"{hit[2]}-{3 * int(hit[1]) - 2:02d}-01"),
    (re.compile(r"([1-4])Q[-/' ]?(\d{4}|\d\d)"), lambda hit: _of_quarter(hit[2], hit[1])),
    (re.compile(r"Q([1-4])[-/' ]+(\d\d)"), lambda hit: _of_quarter(hit[2], hit[1])),
    (re.compile(r"(\d{4})[- ]?H([12])"), lambda hit: f"{hit[1]}-{6 * int(hit[2]) - 5:02d}-01"),
    (re.compile(r"H([12])[- ]?(\d{4})"), lambda hit: f"{hit[2]}-{6 * int(hit[1]) - 5:02d}-01"),
    (re.compile(r"(\d{4})-?(\d{3})"), lambda hit: _of_year(hit[1], hit[2])),
    (re.compile(r"(\d{4})-?W(\d{1,2})(?:-?([1-7]))?"), lambda hit: _of_week(hit[1], hit[2], hit[3] or "1")),
    (re.compile(r"([A-Za-z]{3})[-/' ](\d{2}|\d{4})"), lambda hit: f"01-{hit[1]}-{hit[2]}"),
    (re.compile(r"([A-Za-z]{4,9})[-/ ](\d{4})"), lambda hit: f"01-{hit[1][:3]}-{hit[2]}"),
)
# Years since 1911, of Taiwan: three digits, which no other date has.
_REPUBLIC = re.compile(r"(1\d\d)([-/.])(\d{1,2})\2(\d{1,2})")
# Years of the Buddhist era, of Thailand: 543 more; and of Iran, whose months are others.
_BUDDHIST = re.compile(
    r"(?:\d{1,2}[-/. ](?:\d{1,2}|[A-Za-z]{3,9})[-/. ])?(25\d\d)(?:[-/.]\d{1,2}[-/.]\d{1,2})?(?: \d.*)?"
)
_IRANIAN = re.compile(r"1[34]\d\d([-/.])(0?[1-9]|1[0-2])\1(0?[1-9]|[12]\d|3[01])(?: \d.*)?")
_FISCAL = re.compile(r"FY'? ?(\d{4}|\d\d)([- ]?[QH]\d)?|[QH]\d[- ]?FY'? ?(\d{4}|\d\d)")
_SAMPLE = 50


def usual_forms(texts: pd.Series, tell: Callable[[str], None]) -> pd.Series:
    """Return dates written in words, as periods, by Taiwan's years or with blanks inside, as programs write them.

    A period is its first day. Texts in any other form stay as they are.
    """
    known = texts.dropna()
    sample = [str(one) for one in known.head(_SAMPLE)]
    if not sample:
        return texts
    periods = [period(_in_english(one)) for one in sample]
    if all(periods):
        first = "" if re.search(r"\d{3}$", sample[0]) and "Q" not in sample[0] else "its first day, "
        tell(f"times such as {sample[0]} are read as {first}{periods[0]}")
        return texts.map(lambda one: period(_in_english(str(one))) or one, na_action="ignore")
    if all(_FISCAL.fullmatch(one) for one in sample):
        raise InputError(
            f"{sample[0]!r} is of a fiscal year, whose first month the file does not say",
            "write dates into the file, such as the first day of each period",
        )
    if all(_IRANIAN.fullmatch(one) for one in sample):
        raise InputError(
            f"{sample[0]!r} is of Iran's calendar, which is not read", "write dates such as 2024-01-31 into the file"
        )
    if all(_BUDDHIST.fullmatch(one) for one in sample):
        texts = texts.map(lambda one: _BUDDHIST.sub(_since_buddha, str(one)), na_action="ignore")
        tell(f"years are counted from 543 before ours: {sample[0]} is {texts.dropna().iloc[0]}")
        return texts
    if all(_ERA.fullmatch(one) for one in sample):
        texts = texts.map(lambda one: _ERA.sub(_of_era, str(one)), na_action="ignore")
        tell(f"years are of Japan's eras: {sample[0]} is {texts.dropna().iloc[0]}")
        return texts
    if all(_REPUBLIC.fullmatch(one) for one in sample):
        texts = texts.map(lambda one: _REPUBLIC.sub(_since_1911, str(one)), na_action="ignore")
        tell(f"years are counted from 1911: {sample[0]} is {texts.dropna().iloc[0]}")
        return texts
    if any(_plain(one) != one for one in sample):
        return texts.map(lambda one: _plain(str(one)), na_action="ignore")
    return texts


def period(text: str) -> str:
    """Return the first day of a month, quarter or week as a text; empty for anything else."""
    for shape, first in _PERIODS:
        hit = shape.fullmatch(text.strip())
        if hit is not None:
            return first(hit)
    return ""


def _of_quarter(year: str, quarter: str) -> str:
    whole = year if len(year) == 4 else f"{'19' if int(year) >= 80 else '20'}{year}"
    return f"{whole}-{3 * int(quarter) - 2:02d}-01"


def _of_year(year: str, day: str) -> str:
    """Return the date of a day of a year, 2023-065; empty where there is none."""
    if not 1900 <= int(year) <= 2100 or not 1 <= int(day) <= 366:
        return ""
    found = date(int(year), 1, 1) + timedelta(days=int(day) - 1)
    return found.isoformat() if found.year == int(year) else ""


def _of_week(year: str, week: str, day: str) -> str:
    try:
        return date.fromisocalendar(int(year), int(week), int(day)).isoformat()
    except ValueError:
        return ""


def _since_1911(hit: re.Match[str]) -> str:
    return f"{int(hit[1]) + 1911}-{int(hit[3]):02d}-{int(hit[4]):02d}"


def _since_buddha(hit: re.Match[str]) -> str:
    return hit[0].replace(hit[1], str(int(hit[1]) - 543), 1)


def _of_era(hit: re.Match[str]) -> str:
    year = _ERAS[hit[1]] + (1 if hit[2] == "元" else int(hit[2]))
    return f"{year}-{int(hit[3]):02d}-{int(hit[4]):02d}"


def _plain(text: str) -> str:
    text = _HALF_DAY.sub(lambda hit: f"{hit[2]} {'AM' if hit[1] in _BEFORE_NOON else 'PM'}", text)
    for shape, form in _CHANGES:
        text = shape.sub(form, text)
    return _in_english(_DAY_OF_WEEK.sub("", text))


def _in_english(text: str) -> str:
    """Return a text with names of months in English, of three letters where they were in another language."""
    found = next((word for word in _WORD.findall(text) if _month(word)), "")
    if not found:
        return text
    text = re.sub(r"\bde\b ?", "", text.replace(found, _month(found)))
    return re.sub(r"^(\d{1,2})\. ", r"\1 ", text)


def _month(word: str) -> str:
    return _MONTH_OF.get(plain_name(word).rstrip("."), "")
