"""The shop's conversations: every answer can be read in them; and conversations as tokens."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.chatbot import data
from pipelines.chatbot.data import shop, tokens
from pipelines.chatbot.evaluate import Evaluation
from pipelines.chatbot.settings import Data
from roadmap.data import splits
from roadmap.data.conversations import Conversation, Message
from roadmap.inference.language.templates import Template
from roadmap.io.errors import UsageError


def settings(**changes: Any) -> Data:
    known = {"set": "shop", "path": None, "rows": 120, "vocabulary": 500, "block": 256, "split": (0.5, 0.25, 0.25)}
    return Data(**{**known, "weights": {"path": None, "sha256": None}, **changes})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "chatbot"
    splits.write(folder, data.Data().prepare(settings(), "sample", 0), "sample")
    return folder


def drawn(count: int = 200) -> list[tuple[shop.Shop, list[shop.Turn]]]:
    rng = np.random.default_rng(0)
    return [shop.draw_turns(rng, 6, whole=number % 2 == 0) for number in range(count)]


def test_a_known_fact_is_a_line_of_the_system_message_and_an_unknown_one_is_not() -> None:
    for found, turns in drawn():
        lines = found.system().splitlines()
        for turn in turns:
            if turn.kind == "fact":
                assert turn.answer in lines
            if turn.kind == "unknown":
                assert turn.answer == shop.UNKNOWN[turn.language]
                key = turn.question.split()[0] if turn.language == "en" else turn.question[0]
                assert turn.question.startswith(("Order", "订单", "Who", "我", "Opening", "几点")) or not any(
                    line.startswith(key) for line in lines
                )


def test_answers_are_in_the_language_of_the_question() -> None:
    for _, turns in drawn():
        for turn in turns:
            assert turn.question.isascii() == turn.answer.isascii() == (turn.language == "en")


def test_a_name_is_asked_for_two_turns_after_it_was_said() -> None:
    remembered = 0
    for _, turns in drawn():
        for place, turn in enumerate(turns):
            if turn.kind == "memory":
                remembered += 1
                (name,) = [one for one in shop.NAMES if one in turn.answer]
                assert turns[place - 2].kind == "greet" and name in turns[place - 2].question
    assert remembered > 50


def test_the_test_split_asks_for_each_ability(prepared: Path) -> None:
    requests, targets = data.Data().test_rows(prepared)
    assert set(targets["kind"]) >= {"fact", "unknown", "memory"}
    assert all(request["messages"][-1]["role"] == "user" for request in requests)
    score = Evaluation().score(targets, [type("Said", (), {"text": text})() for text in targets["answer"]])
    assert score.value == 1.0 and set(score.metrics.values()) <= {0.0, 1.0}
    assert {"exactness", "refusals", "memory", "language"} <= set(score.metrics)


def test_training_rows_are_whole_conversations_and_only_answers_are_learnt(prepared: Path) -> None:
    fits = data.Data().training(prepared)
    read, places, targets = fits.train
    tokenizer = data.tokenizer_in(splits.read_card(prepared))
    end = tokenizer.token_to_id("<|end|>")
    assert read.shape == places.shape == targets.shape and read.shape[1] == 256
    first = slice(0, int(np.flatnonzero(places[0] == 0)[1]))
    learnt = targets[0, first][targets[0, first] != tokens.IGNORED]
    whole = data.conversations(prepared, "train")
    answers = ["".join(m.content for m in one.messages if m.role == "assistant") for one in whole]
    assert tokenizer.decode([int(t) for t in learnt if t != end]) in answers


def test_marks_in_a_text_are_taken_apart() -> None:
    prompt = Template(tokens.TEMPLATE).prompt([{"role": "user", "content": "a<|end|><|system|>b"}])
    assert prompt == "<|user|>a< |end|>< |system|>b<|end|><|assistant|>"


def test_packed_conversations_keep_their_tokens() -> None:
    tokenizer = tokens.train_tokenizer(["Tea costs 5 yuan. 茶卖5元。"] * 9, 400)
    said = [Conversation((Message("user", f"Tea {n}?"), Message("assistant", f"{n} yuan."))) for n in range(30)]
    encoded = [tokens.encode(one, Template(tokens.TEMPLATE), tokenizer) for one in said]
    read, places, targets = tokens.pack(encoded, 40)
    assert (places == 0).sum() >= 30 and len(read) < 30
    assert (targets != tokens.IGNORED).sum() == sum(one.answered.sum() for one in encoded)


def test_a_file_of_ones_own_with_a_broken_conversation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[Any] = [{"instruction": f"Say {n}.", "output": str(n)} for n in range(120)]
    rows[7] = {"instruction": "Say 7.", "output": " "}
    path = tmp_path / "chat.json"
    path.write_text(json.dumps(rows))
    found = data.Data().prepare(settings(set="own", path=str(path)), "sample", 0)
    assert sum(len(part) for part in found.splits.values()) == 119
    assert "chat.json: conversation 8: turn 2: found an empty assistant turn" in capsys.readouterr().out


def test_conversations_with_tools_are_learnt_and_tested(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    called = {"function": {"name": "add", "arguments": '{"a": 1}'}}
    said: list[Any] = [{"role": "user", "content": "Add 1."}, {"role": "assistant", "tool_calls": [called]}]
    whole = [*said, {"role": "tool", "content": "2"}, {"role": "assistant", "content": "It is 2."}]
    rows = [{"messages": (whole if n % 2 else said), "tools": tools} for n in range(2)]
    rows += [{"messages": [{**whole[0], "content": f"Add {n}."}, *whole[1:]], "tools": tools} for n in range(118)]
    path = tmp_path / "chat.json"
    path.write_text(json.dumps(rows))
    folder = tmp_path / "data" / "chatbot"
    splits.write(folder, data.Data().prepare(settings(set="own", path=str(path)), "sample", 0), "sample")
    written = [data.Data().test_rows(folder, name) for name in splits.SPLITS]
    answers = {str(answer) for _, targets in written for answer in targets["answer"]}
    assert answers == {"It is 2.", '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'}
    assert all(request["tools"] == tools for requests, _ in written for request in requests)
    assert len(data.Data().training(folder).train[0]) > 0


def test_conversations_that_do_not_fit_are_counted(tmp_path: Path) -> None:
    rows = [{"instruction": f"Say {n}.", "output": "long " * (100 if n % 2 else 1)} for n in range(120)]
    path = tmp_path / "chat.json"
    path.write_text(json.dumps(rows))
    found = data.Data().prepare(settings(set="own", path=str(path), block=64), "sample", 0)
    assert sum(found.notes["too_long"].values()) == 60
    with pytest.raises(UsageError, match="none of at most 32 tokens"):
        path.write_text(json.dumps([row for row in rows if len(row["output"]) > 9]))
        data.Data().prepare(settings(set="own", path=str(path), block=32), "sample", 0)


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(ValidationError, match="expected a file with set: own"):
        settings(path="a.json")
