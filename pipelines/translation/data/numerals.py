"""Generates Chinese numbers, dates and times with the English words for them. Both sides follow from the value alone,
so that a translation is right or wrong, whichever way it goes.

number  三千零五             three thousand and five
date    三月五日             the fifth of March; with a year or a day of the week: 一九九八年三月五日, 三月五日星期三
time    下午三点一刻         a quarter past three in the afternoon
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from roadmap.data.splits import split_indices

DIGITS = "零一二三四五六七八九"
BELOW_20 = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
    "twenty": "twentieth",
    "thirty": "thirtieth",
}
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November"),
    "December",
)
DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
PARTS = {  # of the day: its words, its hours
    "凌晨": ("at night", range(1, 6)),
    "上午": ("in the morning", range(6, 12)),
    "下午": ("in the afternoon", range(1, 6)),
    "晚上": ("in the evening", range(6, 12)),
}
YEARS = range(1900, 2100)
DIGITS_OF_NUMBERS = (0.05, 0.15, 0.2, 0.3, 0.3)  # in training: shares of those with 1 to 5 digits
LONGER, EACH = (6, 7), 50  # digits of numbers beyond training, how many of either
KINDS = {"number": 0.4, "date": 0.35, "time": 0.25}

Pair = tuple[str, str]  # Chinese, English


def chinese(n: int) -> str:
    """Below a hundred million: 12 -> 十二, 20_305 -> 两万零三百零五"""
    if n >= 10_000:
        rest = n % 10_000
        zero = "零" if 0 < rest < 1_000 else ""
        return _two(chinese(n // 10_000)) + "万" + (zero + _below_10_000(rest) if rest else "")
    words = _below_10_000(n) or "零"
    return words[1:] if words.startswith("一十") else words


def _below_10_000(n: int) -> str:
    words, gap = "", False
    for place, unit in ((1_000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = n // place % 10
        if digit:
            number = "两" if digit == 2 and unit == "千" else DIGITS[digit]
            words += ("零" if gap and words else "") + number + unit
        gap = not digit
    return words


def _two(words: str) -> str:
    return "两" if words == "二" else words


def english(n: int) -> str:
    """Below a thousand million, as in Britain: 3_005 -> three thousand and five"""
    if n < 20:
        return BELOW_20[n]
    if n < 100:
        return TENS[n // 10] + (f"-{BELOW_20[n % 10]}" if n % 10 else "")
    if n < 1_000:
        return f"{BELOW_20[n // 100]} hundred" + (f" and {english(n % 100)}" if n % 100 else "")
    unit, name = (1_000_000, "million") if n >= 1_000_000 else (1_000, "thousand")
    rest = n % unit
    return f"{english(n // unit)} {name}" + (f" {'and ' if rest < 100 else ''}{english(rest)}" if rest else "")


def ordinal(n: int) -> str:
    """21 -> twenty-first"""
    head, hyphen, last = english(n).rpartition("-")
    return head + hyphen + ORDINALS.get(last, f"{last}th")


def spoken_year(year: int) -> str:
    """1905 -> nineteen oh five, 1998 -> nineteen ninety-eight, 2005 -> two thousand and five"""
    if 2000 <= year < 2010:
        return english(year)
    rest = year % 100
    return f"{english(year // 100)} " + (
        "hundred" if not rest else f"oh {english(rest)}" if rest < 10 else english(rest)
    )


def date(month: int, day: int, year: int | None = None, weekday: int | None = None) -> Pair:
    """month, day from 1; weekday: 0 for Monday"""
    said = f"{chinese(month)}月{chinese(day)}日", f"the {ordinal(day)} of {MONTHS[month - 1]}"
    if year is not None:
        return "".join(DIGITS[int(digit)] for digit in str(year)) + "年" + said[0], f"{said[1]} {spoken_year(year)}"
    if weekday is not None:
        return f"{said[0]}星期{'一二三四五六日'[weekday]}", f"{WEEK[weekday]} {said[1]}"
    return said


def time(part: str, hour: int, minute: int) -> Pair:
    """part: of PARTS"""
    words = PARTS[part][0]
    clock = f"{part}{_two(chinese(hour))}点"
    if not minute:
        return f"{clock}整", f"{english(hour)} o'clock {words}"
    named = {15: ("一刻", "a quarter"), 30: ("半", "half"), 45: ("三刻", "a quarter")}
    minutes = f"{'零' if minute < 10 else ''}{chinese(minute)}分"
    shown, said = named.get(minute, (minutes, english(min(minute, 60 - minute))))
    side = f"past {english(hour)}" if minute <= 30 else f"to {english(hour + 1)}"
    return f"{clock}{shown}", f"{said} {side} {words}"


def draw(kind: str, rng: np.random.Generator, digits: int | None = None) -> Pair:
    """digits: of a number; None for as many as in training"""
    if kind == "number":
        digits = digits or 1 + int(rng.choice(len(DIGITS_OF_NUMBERS), p=DIGITS_OF_NUMBERS))
        n = int(rng.integers(10 ** (digits - 1) if digits > 1 else 0, 10**digits))
        return chinese(n), english(n)
    if kind == "date":
        month = int(rng.integers(12))
        day, extra = 1 + int(rng.integers(DAYS[month])), rng.random()
        year = int(rng.choice(YEARS)) if extra < 0.7 else None
        return date(month + 1, day, year, int(rng.integers(7)) if extra > 0.8 else None)
    part = str(rng.choice(list(PARTS)))
    return time(part, int(rng.choice(PARTS[part][1])), int(rng.integers(60)))


def generate(rows: int, shares: tuple[float, float, float], seed: int) -> dict[str, pd.DataFrame]:
    """Tables of `source`, `target` and `kind` by split: values in both directions, one behind the other.

    Values are drawn with repetition, for there are few short ones; what is in one split is in no other, and twice in
    train alone. The test split has numbers of more digits than in training besides, of the kind `longer`. The same
    seed gives the same pairs.
    """
    rng = np.random.default_rng(seed)
    drawn = [(draw(str(kind), rng), str(kind)) for kind in rng.choice(list(KINDS), rows // 2, p=list(KINDS.values()))]
    values = list(dict.fromkeys(drawn))
    parts = {name: [values[at] for at in index] for name, index in split_indices(len(values), shares, seed).items()}
    known = set(parts["train"])
    parts["train"] = [value for value in drawn if value in known]
    parts["test"] += [(draw("number", rng, digits), "longer") for digits in LONGER for _ in range(EACH)]
    columns = ["source", "target", "kind"]
    return {name: pd.DataFrame(both(part), columns=columns) for name, part in parts.items()}


def both(values: list[tuple[Pair, str]]) -> Iterator[tuple[str, str, str]]:
    for (zh, en), kind in values:
        yield zh, en, kind
        yield en, zh, kind
