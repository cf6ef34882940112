"""Numbers, units, money, times and dates as people write them, and what they mean.

Tables and small functions: `eval.reading` puts them together.
"""

import re
from collections.abc import Mapping
from decimal import Decimal

LONGEST = 30
"""Digits of what is read as a number; anything longer is a code."""

ONES = {
    word: value
    for value, line in enumerate((
        "zero null", "one un une uno una", "two zwei deux dos", "three drei trois tres",
        "four vier quatre cuatro", "five fünf cinq cinco", "six sechs seis", "seven sieben siete",
        "eight acht huit ocho", "nine neun neuf nueve", "ten zehn dix diez", "eleven elf onze",
        "twelve zwölf douze doce", "thirteen dreizehn treize trece",
        "fourteen vierzehn quatorze catorce", "fifteen fünfzehn quinze quince",
        "sixteen sechzehn seize", "seventeen siebzehn", "eighteen achtzehn", "nineteen neunzehn",
    ))
    for word in line.split()
    if word not in ("null", "un", "une", "uno", "una")
}  # fmt: skip
TENS = {
    word: value
    for value, line in zip(
        range(20, 100, 10),
        ("twenty zwanzig vingt veinte", "thirty dreißig dreissig trente treinta",
         "forty vierzig quarante cuarenta", "fifty fünfzig cinquante cincuenta",
         "sixty sechzig soixante sesenta", "seventy siebzig", "eighty achtzig", "ninety neunzig"),
        strict=True,
    )
    for word in line.split()
}  # fmt: skip
SCALES = {
    "thousand": 1_000, "tausend": 1_000, "mille": 1_000, "k": 1_000,
    "million": 1_000_000, "millions": 1_000_000, "millionen": 1_000_000, "mio": 1_000_000,
    "millones": 1_000_000, "billion": 1_000_000_000, "billions": 1_000_000_000,
    "bn": 1_000_000_000, "milliarden": 1_000_000_000, "mrd": 1_000_000_000,
}  # fmt: skip
ORDINALS = {
    word: value
    for value, word in enumerate(
        ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth",
         "tenth", "eleventh", "twelfth"), start=1,
    )
}  # fmt: skip
ORDINAL_ENDINGS = frozenset(("st", "nd", "rd", "th"))
NO_NUMBER_BEFORE = frozenset(
    ("no", "any", "every", "each", "this", "that", "which", "another", "some", "the", "a",
     "his", "her", "its", "our", "your")
)  # fmt: skip
NO_NUMBER_AFTER = frozenset(
    ("of", "another", "must", "can", "may", "might", "should", "could", "would", "will",
     "shall", "has", "is", "who", "cannot", "needs")
)  # fmt: skip
"""Beside these 'one' is a pronoun."""

UNITS = {
    word: line.split()[0]
    for line in (
        "second seconds sec secs sekunde sekunden", "minute minutes min mins minuten",
        "hour hours hr hrs h stunde stunden std", "day days tag tage tagen jour jours",
        "week weeks wk wks woche wochen", "month months mo mos monat monate monaten",
        "year years yr yrs jahr jahre jahren", "km kilometer kilometers kilometre kilometres",
        "kg kilo kilos kilogram kilograms kilogramme", "gb gigabyte gigabytes",
        "mb megabyte megabytes", "mile miles", "person persons people", "time times",
        "point points", "page pages", "employee employees",
    )
    for word in line.split()
}  # fmt: skip
CURRENCIES = {
    word: line.split()[0]
    for line in (
        "usd us$ $ dollar dollars", "eur € euro euros", "gbp £ pound pounds", "cad c$ ca$",
        "jpy ¥ yen 円", "chf fr francs franken sfr", "inr ₹ rupee rupees", "aud a$ au$", "krw ₩ 원",
        "nzd nz$", "hkd hk$", "sgd s$", "brl r$", "cny rmb yuan 元", "rub ₽", "try ₺",
    )
    for word in line.split()
}  # fmt: skip
MONTHS: Mapping[str, str] = {
    word: line.split()[0]
    for line in (
        "january jan januar janvier enero", "february feb februar février febrero",
        "march mar märz mars marzo", "april apr avril abril", "may mai mayo",
        "june jun juni juin junio", "july jul juli juillet julio",
        "august aug août agosto", "september sep sept septembre septiembre",
        "october oct oktober okt octobre octubre", "november nov novembre noviembre",
        "december dec dezember dez décembre diciembre",
    )
    for word in line.split()
}  # fmt: skip
MONTH_NAMES = tuple(dict.fromkeys(MONTHS.values()))

_PLAIN = re.compile(r"\d+")
_GROUPS = re.compile(r"(\d{1,3})(?:[,' ]\d{3})+(?:\.\d+)?|\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?")
_GROUPS_AND_COMMA = re.compile(r"\d{1,3}(?:[.' ]\d{3})+,\d+")
_POINTS = re.compile(r"\d{1,3}(?:\.\d{3}){2,}")
_EITHER = re.compile(r"[1-9]\d{0,2}\.\d{3}")
_DECIMAL = re.compile(r"\d*[.,]\d+")
_FORMS: tuple[tuple[re.Pattern[str], dict[int, int | None]], ...] = (
    (_PLAIN, {}),
    (_GROUPS, str.maketrans("", "", ",' ")),
    (_GROUPS_AND_COMMA, str.maketrans("", "", ".' ")),
    (_POINTS, str.maketrans("", "", ".")),
    (_DECIMAL, {}),
)
"""How a number may be written, and the marks that only part its digits."""
_CLOCK = re.compile(r"(\d{1,2}):([0-5]\d)(?::[0-5]\d)?")
_DATES = (
    re.compile(r"(?P<y>\d{4})-(?P<m>\d{1,2})-(?P<d>\d{1,2})"),
    re.compile(r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})"),
    re.compile(r"(?P<y>\d{4})/(?P<m>\d{1,2})/(?P<d>\d{1,2})"),
)
_SLASHED = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")


def readings(text: str) -> tuple[Decimal, ...]:
    """What a written number can mean; nothing if it is no single number.

    '1,500', "1'500", '1 500' and '1.500,00' are 1500, '12,5' is 12.5. '1.500' is both 1.5 and,
    as in half of Europe, 1500.
    """
    if len(text) > LONGEST or (text[:1] == "0" and not _DECIMAL.fullmatch(text) and len(text) > 2):
        return ()
    if _EITHER.fullmatch(text):
        return (Decimal(text), Decimal(text.replace(".", "")))
    for form, dropped in _FORMS:
        if form.fullmatch(text) and not (dropped and text[0] == "0"):
            return (Decimal(text.translate(dropped).replace(",", ".")),)
    return ()


def clock(text: str) -> int | None:
    """Minutes since midnight of '10:30' or '10:30:00'."""
    found = _CLOCK.fullmatch(text)
    if found is None or int(found[1]) > 24:
        return None
    return int(found[1]) * 60 + int(found[2])


def calendar(text: str) -> tuple[int, str, int] | None:
    """Day, month and year of a date in figures, where their order is certain."""
    for form in _DATES:
        found = form.fullmatch(text)
        if found and _possible(int(found["d"]), int(found["m"])):
            return int(found["d"]), MONTH_NAMES[int(found["m"]) - 1], int(found["y"])
    slashed = _SLASHED.fullmatch(text)
    if slashed is None:
        return None
    first, second, year = map(int, slashed.groups())
    if first == second or first > 12 >= second:
        day, month = first, second
    elif second > 12 >= first:
        day, month = second, first
    else:
        return None
    return (day, MONTH_NAMES[month - 1], year) if _possible(day, month) else None


def _possible(day: int, month: int) -> bool:
    return 1 <= day <= 31 and 1 <= month <= 12
