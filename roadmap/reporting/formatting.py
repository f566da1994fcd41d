"""Formatting of numbers and lists, the same in sentences, tables and figures."""

import math
from collections.abc import Sequence


def number(value: float) -> str:
    """1,234 or 0.1235: four significant digits, or all before the decimal point."""
    if not math.isfinite(value):
        return "–"
    return _minus(f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}")


def tick(value: float, _: object = None) -> str:
    """500k, 1.5M. A matplotlib formatter, hence the unused position."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * (10 if unit == "k" else 1):
            return _minus(f"{value / size:.4g}{unit}")
    return _minus(f"{value:.4g}")


def signed(value: float) -> str:
    """−0.25: two decimals, and no −0.00."""
    return _minus(f"{round(value, 2) + 0.0:.2f}")


def percent(share: float) -> str:
    """73%, 4.2%, and 0% or 100% only where exact."""
    if not math.isfinite(share):
        return "–"
    if 0.1 <= share <= 0.99 or share in (0, 1):
        return f"{100 * share:.0f}%"
    return f"{100 * share:.1f}%" if 0.001 <= share <= 0.999 else ("under 0.1%" if share < 0.5 else "over 99.9%")


def count(amount: int, thing: str) -> str:
    """1 row, 2 rows"""
    return f"{amount:,} {thing}" + "s" * (amount != 1)


def overlap(thing: str, leaked: int, repeated: int, alike: str) -> str:
    """No test image is in train too, pixel for pixel; 2 training images repeat an earlier one."""
    return (
        f"{leaked or 'No'} test {f'{thing} is' if leaked < 2 else f'{thing}s are'} in train too, {alike}; "
        f"{repeated or 'no'} training {f'{thing} repeats' if repeated < 2 else f'{thing}s repeat'} an earlier one."
    )


def join_with_and(names: Sequence[str]) -> str:
    """a, b and c"""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _minus(text: str) -> str:
    return text.replace("-", "−")
