"""What a cell says: a number, a level of a category, or a gap. The same at training and at every door that takes text.

Empty cells are gaps, and so are these words in a column of numbers. In a column of text a word that training found as a
level is one. `gaps` in schema.json holds the words that were in force.
"""

import re
from collections.abc import Collection

NEVER_LEVELS = (
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "NaN", "nan"),
)
MAYBE_LEVELS = ("N/A", "NA", "NULL", "None", "n/a", "null")
GAPS = (*NEVER_LEVELS, *MAYBE_LEVELS)  # what pandas takes for gaps

MAX_TEXT = 200  # characters of a category
LARGEST = 1e30  # what features may be made of and still fit float32

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
BOOLEANS = {"true": "True", "false": "False"}  # however they are spelled -> the level


def clean(cell: str) -> str:
    """Without the blanks around it, and with one kind of line end."""
    text = cell.strip()
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def number(text: str, delimiter: str = ",") -> float | None:
    """Of a clean cell; None where it is no number. 3,5 is one where commas don't separate cells."""
    if delimiter != "," and "." not in text:
        text = text.replace(",", ".")
    return float(text) if NUMBER.fullmatch(text) else None


def is_boolean(levels: Collection[str]) -> bool:
    return bool(levels) and set(levels) <= set(BOOLEANS.values())


def level(cell: str, levels: Collection[str], gaps: Collection[str] = GAPS) -> str | None:
    """Of a category: a level, a text that is none, or None for a gap."""
    if cell in levels:
        return cell
    text = clean(cell)
    if text in levels:
        return text
    if not text or text in gaps:
        return None
    return BOOLEANS.get(text.lower(), text) if is_boolean(levels) else text
