"""The generator of reviews has the properties that the sample's figures depend on."""

from collections import Counter

import numpy as np
import pytest

from pipelines.imdb.data import reviews as sample
from pipelines.imdb.data.reviews import KINDS, SHARES, Review, generate


@pytest.fixture(scope="module")
def many() -> list[Review]:
    return generate(8000, seed=1, noise=0.05)


def test_the_same_seed_gives_the_same_reviews() -> None:
    assert generate(50, seed=3) == generate(50, seed=3)
    assert generate(50, seed=3) != generate(50, seed=4)
    assert generate(80, seed=3)[:50] == generate(50, seed=3)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2])
def test_labels_are_wrong_at_the_noise_rate(noise: float) -> None:
    found = generate(4000, seed=5, noise=noise)
    wrong = np.mean([review.label != review.truth for review in found])
    assert wrong == pytest.approx(noise, abs=3 * np.sqrt(noise * (1 - noise) / 4000))
    assert [review.text for review in found[:1]] == [review.text for review in generate(1, seed=5)]


def test_label_noise_is_independent_of_everything_else(many: list[Review]) -> None:
    for tag in ("kind", "language", "truth"):
        for level, count in Counter(getattr(review, tag) for review in many).items():
            wrong = np.mean([r.label != r.truth for r in many if getattr(r, tag) == level])
            assert wrong == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / count))


def test_shares_of_kinds_languages_and_verdicts(many: list[Review]) -> None:
    for kind, share in zip(KINDS, SHARES, strict=True):
        assert np.mean([review.kind == kind for review in many]) == pytest.approx(share, abs=0.02)
        assert np.mean([r.truth for r in many if r.kind == kind]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([review.language == "en" for review in many]) == pytest.approx(0.5, abs=0.02)


def test_the_label_can_be_read_from_the_text(many: list[Review]) -> None:
    """With the patterns known, the label can always be derived, except for the noise."""
    for review in many[:2000]:
        assert verdict(review) == review.truth, review.text


def verdict(review: Review) -> int:
    language = sample.LANGUAGES[review.language]
    sentences = review.text.replace("。", ".").split(".")
    bodies = [
        s.strip() for s in sentences if s.strip() and not any(a.lower() == s.strip().lower() for a in language.asides)
    ]
    assert len(bodies) == 1
    body = bodies[0].lower()
    if review.kind in ("contrast", "both"):
        body = main_clause(body)
    words = [(body.index(word), value, word) for value in (0, 1) for word in language.words[value] if word in body]
    _, value, word = min(words)
    before_it = body[: body.index(word)]
    denials = ("never", "not", "anything but", "nobody", "far from", "can't", "不", "没有")
    return value ^ any(denial in before_it for denial in denials)


def main_clause(body: str) -> str:
    for mark in (", but ", "; still, ", "，但是", "，不过", "，然而"):
        if mark in body:
            return body.split(mark)[1]
    for mark in (", although ", ", even if ", "，尽管"):
        if mark in body:
            return body.split(mark)[0]
    return body.split(", " if "," in body else "，")[1]


def test_single_words_say_little(many: list[Review]) -> None:
    """In a negation the word has the opposite sentiment."""
    for language, known in sample.LANGUAGES.items():
        held = [r for r in many if r.language == language and r.kind == "negation"]
        fooled = np.mean([any(word in r.text.lower() for word in known.words[1 - r.truth]) for r in held])
        assert fooled > 0.95
        plain = [r for r in many if r.language == language and r.kind == "plain"]
        assert not any(word in r.text.lower() for r in plain for word in known.words[1 - r.truth])
