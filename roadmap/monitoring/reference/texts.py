"""Numeric features of a text that don't reveal its content."""

from collections.abc import Callable, Sequence

from roadmap.monitoring.reference.columns import Columns


def share(kind: Callable[[str], bool], text: str) -> float:
    return sum(map(kind, text)) / max(len(text), 1)


def measures(texts: Sequence[str], lengths: bool = True) -> Columns:
    """`lengths`: whether the length of a text is informative."""
    words = [text.split() for text in texts]
    found: Columns = {
        "word length": [sum(map(len, one)) / max(len(one), 1) for one in words],
        "repeated words": [1 - len(set(one)) / max(len(one), 1) for one in words],
        "capitals": [share(str.isupper, text) for text in texts],
        "digits": [share(str.isdigit, text) for text in texts],
        "signs": [share(lambda sign: not sign.isalnum() and not sign.isspace(), text) for text in texts],
        "beyond ASCII": [share(lambda sign: not sign.isascii(), text) for text in texts],
    }
    return {"characters": [float(len(text)) for text in texts], **found} if lengths else found
