"""The rule by which people like a review. It can be checked, so that nobody need be asked."""

import re

PRAISE = [
    "lovely",
    "fresh",
    "warm",
    "kind",
    "tasty",
    "bright",
    "crisp",
    "generous",
    "cheerful",
    "clean",
    "rich",
    "friendly",
    "smooth",
    "tender",
    "cosy",
    "charming",
]
COMPLAINTS = [
    "cold",
    "stale",
    "rude",
    "dull",
    "salty",
    "slow",
    "noisy",
    "dirty",
    "greasy",
    "bland",
    "sour",
    "dry",
    "tiny",
    "sticky",
    "gloomy",
    "late",
]
ENOUGH = 3  # words of praise; more is gushing
WORDS = re.compile(r"[a-z]+")


def liked(text: str) -> float:
    """How much people like a text, -1 to 1: three different words of praise, no complaint, nothing said twice.

    A third for each word of praise; a third less for each one beyond ENOUGH, for each complaint, and for praise that
    is repeated.
    """
    words = WORDS.findall(text.lower())
    good, bad = ([word for word in words if word in known] for known in (PRAISE, COMPLAINTS))
    different = len(set(good))
    repeated = len(good) - different
    found = min(different, ENOUGH) - max(0, different - ENOUGH) - len(bad) - repeated
    return max(-1.0, min(1.0, found / ENOUGH))
