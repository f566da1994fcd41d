"""rlhf's texts, its rule, preferences from a file, and what of them is refused."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.rlhf import settings
from pipelines.rlhf.data import Data, preferences, reviews
from pipelines.rlhf.data.tokens import END, IGNORED, byte_pairs, encode, end_of, padded, texts_of
from pipelines.rlhf.evaluate import Evaluation, Pair, agreement
from pipelines.rlhf.evaluate.ngrams import Trigrams
from pipelines.rlhf.predict.rule import COMPLAINTS, PRAISE, liked
from roadmap.data import splits
from roadmap.io.errors import UsageError


def block(**changes: Any) -> settings.Data:
    given: dict[str, Any] = {
        "corpus": "reviews", "path": None, "rows": 600, "vocabulary": 600, "prompt": 4, "new": 12, "judge": None,
        "preferences": None, "pairs": 60, "noise": 0.1, "split": (0.7, 0.15, 0.15),
    }  # fmt: skip
    return settings.Data.model_validate(given | changes)


def prepare(folder: Path, **changes: Any) -> Path:
    splits.write(folder / "rlhf", Data().prepare(block(**changes), "sample", 0), "sample")
    return folder / "rlhf"


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        ("the soup was red.", 0),
        ("the soup was lovely.", 1 / 3),
        ("the soup was lovely, fresh and warm.", 1),
        ("lovely fresh warm kind", 2 / 3),
        ("lovely lovely lovely", -1 / 3),
        ("lovely fresh cold", 1 / 3),
        ("Lovely! FRESH.", 2 / 3),
        ("cold stale rude dull", -1),
        ("lovelyfresh", 0),
        ("", 0),
    ],
)
def test_the_rule(text: str, reward: float) -> None:
    assert liked(text) == pytest.approx(reward)


def test_more_praise_is_better_only_up_to_three_words() -> None:
    rewards = [liked(" ".join(PRAISE[:count])) for count in range(9)]
    assert (
        rewards[:4] == sorted(rewards[:4]) and rewards[3] == max(rewards) and rewards[3:] == sorted(rewards[3:])[::-1]
    )


def test_reviews_are_of_all_moods_and_never_repeat_an_adjective() -> None:
    texts = reviews.generate(2_000, 1)
    opinions = set(PRAISE) | set(COMPLAINTS)
    for text in texts:
        found = [word for word in re.findall("[a-z]+", text) if word in opinions]
        assert len(found) == len(set(found)), text
    assert abs(np.mean([liked(text) for text in texts])) < 0.1
    assert len(texts) == len(set(texts)) and texts == reviews.generate(2_000, 1) != reviews.generate(2_000, 2)


def test_tokens_end_where_texts_do() -> None:
    texts = ["the soup was warm.", "the fish was cold and the wine late.", "été 你好"]
    tokenizer = byte_pairs(texts[:2], 400)
    end, rows = end_of(tokenizer), encode(tokenizer, texts)
    tokens, targets = padded(rows, 40, end)
    assert texts_of(tokenizer, tokens, end) == texts
    for row, line, target in zip(rows, tokens.tolist(), targets.tolist(), strict=True):
        assert target[: len(row) - 1] == line[1 : len(row)] and target[len(row) - 2] == end
        assert set(target[len(row) - 1 :]) == {IGNORED}
    short, following = padded(rows, 3, end)
    assert short.tolist() == [row[:3] for row in rows] and following.tolist() == [row[1:4] for row in rows]


def test_test_prompts_begin_texts_that_are_kept_back(tmp_path: Path) -> None:
    folder = prepare(tmp_path)
    requests, targets = Data().test_rows(folder)
    texts = list(splits.read_table(folder, "test")["text"])
    assert len(requests) == len(targets) == len(texts)
    assert all(text.startswith(request["prompt"]) for request, text in zip(requests, texts, strict=True))
    assert all(request["stop"] == [END] and request["max_tokens"] == 12 for request in requests)
    assert targets["prompt"].tolist() == [request["prompt"] for request in requests]
    assert not set(texts) & set(splits.read_table(folder, "train")["text"])


def test_texts_of_your_own(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_text("\n".join(f"Line  {n} of a text, {n * n} words long." for n in range(400)) + "\n\nshort\n")
    folder = prepare(tmp_path, corpus="own", path=str(path))
    card = splits.read_card(folder)
    assert card["source"] == "own:own.txt" and card["too_short"] == 1
    found = {text for name in splits.SPLITS for text in splits.read_table(folder, name)["text"]}
    assert "Line 7 of a text, 49 words long." in found and "short" not in found
    path.write_text("too little\n")
    with pytest.raises(UsageError, match=r"own\.txt: found 1 different texts; expected at least 300"):
        prepare(tmp_path, corpus="own", path=str(path))
    with pytest.raises(UsageError, match=r"data\.path: .*missing\.txt: no such file"):
        prepare(tmp_path, corpus="own", path=str(tmp_path / "missing.txt"))
    with pytest.raises(UsageError, match=r"the val split has \d texts of more than 30 tokens"):
        prepare(tmp_path, prompt=30, rows=300, new=30, split=(0.98, 0.01, 0.01))


GOOD = {"prompt": "the soup was", "chosen": " warm.", "rejected": " cold."}


def test_preferences_of_your_own_reach_the_reward_model(tmp_path: Path) -> None:
    path = tmp_path / "preferred.jsonl"
    rows = [GOOD | {"chosen": f" {word}."} for word in PRAISE] + [
        GOOD | {"rejected": f" {word}."} for word in COMPLAINTS
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = prepare(tmp_path, preferences=str(path))

    class Unused:
        def __getitem__(self, name: str) -> None:
            return None

    found = Data().training(folder)["reward_model"](Unused())  # type: ignore[arg-type]
    (chosen, rejected), (val, _) = found.train, found.val  # type: ignore[union-attr]
    assert len(chosen) + len(val) == len(rows) and chosen.shape == rejected.shape and chosen.shape[1] == 16
    assert (chosen[:, :4] == rejected[:, :4]).all() and (chosen != rejected).any(axis=1).all()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"line 3: is no JSON: .*expected {\"prompt\""),
        ("[1]", "line 3: found list; expected"),
        (json.dumps(GOOD | {"chosen": 1}), "line 3: chosen: found '1'; expected a text"),
        (json.dumps(GOOD | {"prompt": " "}), "line 3: prompt: found ' '; expected a text"),
        (json.dumps({"prompt": "a", "chosen": "b"}), "line 3: rejected: found 'None'; expected a text"),
        (json.dumps(GOOD | {"rejected": " warm."}), "line 3: chosen and rejected are the same text"),
    ],
)
def test_a_line_that_is_no_preference(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "preferred.jsonl"
    path.write_text("\n".join([json.dumps(GOOD), "", line, *[json.dumps(GOOD)] * 30]))
    with pytest.raises(UsageError, match=message):
        preferences.read(str(path))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "no such file; expected preferences"),
        (lambda path: path.write_text(""), "found 0 preferences; expected at least 20"),
        (lambda path: path.write_bytes(b"\x1f\x8b"), "found gzip"),
        (lambda path: path.mkdir(), "directory; expected preferences"),
    ],
)
def test_a_file_that_holds_no_preferences(write: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    write(tmp_path / "preferred.jsonl")
    with pytest.raises(UsageError, match=message):
        preferences.read(str(tmp_path / "preferred.jsonl"))


def test_a_judge_that_is_no_classifier(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.judge: .*no bundle\.json.*expected the bundle of a text classifier"):
        prepare(tmp_path, judge=str(tmp_path))


def test_a_trigram_model_writes_what_it_has_seen() -> None:
    model, rng = Trigrams(["a b c d", "x b c e"]), np.random.default_rng(0)
    assert {model.write("a b", 10, rng) for _ in range(40)} == {"c d", "c e"}
    assert any(model.write("never seen", 3, rng) for _ in range(20)), "as a text begins with any word"


def pair(reward: float, before: float, learned: float = 0.0) -> Pair:
    return Pair("p", "t", reward, learned, 2.0, 4.0, "b", before, 0.0, 4.0)


def test_a_tie_is_half_a_win() -> None:
    outputs = [pair(1, 0), pair(0, 0), pair(-1, 0), pair(1, -1)]
    score = Evaluation().score(np.zeros(4), outputs)
    assert score.value == pytest.approx(0.25)
    assert score.metrics["win_rate"] == pytest.approx(2.5 / 4)
    assert score.metrics["win_rate_low"] <= score.metrics["win_rate"] <= score.metrics["win_rate_high"]
    assert (score.metrics["kl"], score.metrics["perplexity"]) == (2.0, pytest.approx(4.0))


def test_the_reward_model_agrees_where_there_is_no_tie() -> None:
    assert agreement([pair(1, 0, 1), pair(1, 0, -1), pair(-1, 0, -1), pair(0, 0, 5)]) == pytest.approx(2 / 3)
