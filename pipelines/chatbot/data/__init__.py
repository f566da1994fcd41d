"""Conversations: a generated shop's (sample), Alpaca's instructions (full), or a file of your own."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from tokenizers import Tokenizer

from pipelines.chatbot import settings
from pipelines.chatbot.data import shop, tokens
from roadmap import project
from roadmap.data import splits, weights
from roadmap.data.conversations import Conversation, messages_of, read_conversations
from roadmap.data.download import fetch
from roadmap.data.splits import PreparedData, split_indices
from roadmap.data.training_set import TrainingSet
from roadmap.inference.language.templates import Template
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject
from roadmap.project import Request

# hiyouga's LLaMA-Factory, Apache-2.0: 1,000 Chinese instructions, and 91 questions about who the assistant is.
DEMO = "https://raw.githubusercontent.com/hiyouga/LLaMA-Factory/main/data/"
ALPACA = {
    "alpaca_zh_demo.json.xz": "c63594c5b64cb46f4750ea07cdcc5568b22743d97a04bf95d735f8c62dd0292f",
    "identity.json": "fd029da7dd3df283ed034c82375d16d125a7b07cf1cb0316d03fb8743057d5f2",
}
WHO = {"{{name}}": "Roadmap", "{{author}}": "Roadmap"}  # placeholders of identity.json
TURNS = 8  # of a shop's conversation
ANSWER = 64  # tokens of an answer at most
FIELDS = [("answer", "U400"), ("kind", "U8"), ("language", "U2")]  # of a test row
TESTED = {"fact": 0.4, "unknown": 0.3, "memory": 0.3}  # kinds of answers in the test split


class Data(project.Data[settings.Data]):
    def prepare(self, data: settings.Data, profile: str, seed: int) -> PreparedData:
        """Splits of one conversation a row; those of test end with the answer that is tested."""
        files: dict[str, Path] = {}
        notes: JsonObject = {}
        if data.weights.path:
            found = weights.find(data.weights.path, data.weights.sha256)
            files, notes["weights"] = found.files, found.card
            print(f"weights: {found.source}, sha256 {found.sha256[:12]}, licence {found.licence}")
        if data.set == "shop":
            parts, source, licence = shop_of(data, seed), "a generated shop", "ours"
        else:
            parts, source, licence, broken = read(data, seed)
            notes["broken"] = broken
        template, tokenizer = template_of(files), tokenizer_of(files, parts["train"], data.vocabulary)
        kept, notes["too_long"] = fitting(parts, template, tokenizer, data.block)
        for name in splits.SPLITS:
            if kept[name].empty:
                long = f"{len(parts[name])} conversations, none of at most {data.block} tokens"
                raise UsageError(f"{source}: {name}: found {long}; expected some; raise data.block or data.rows")
        notes |= {"template": template, "tokenizer": json.loads(tokenizer.to_str())}
        schema: JsonObject = {"task": "chat", "set": data.set, "tokenizer": "bpe"}
        schema |= {"vocab": tokenizer.get_vocab_size(), "block": data.block}
        return PreparedData(kept, source, licence, schema, notes, files)

    def training(self, folder: Path) -> TrainingSet:
        """Tokens, places in their conversation and targets, int32 [n, block] each."""
        card = splits.read_card(folder)
        schema, template, tokenizer = card["schema"], Template(card["template"]), tokenizer_in(card)

        def packed(name: str) -> tokens.Rows:
            encoded = [tokens.encode(one, template, tokenizer) for one in conversations(folder, name)]
            return tokens.pack(encoded, schema["block"])

        model: JsonObject = {"vocab": schema["vocab"], "block": schema["block"]}
        if found := card.get("weights"):
            config = json.loads((folder / "config.json").read_bytes())
            model["start"] = {"config": config, "state": weights.load(folder / weights.WEIGHTS, found["sha256"])}
        requests, _ = self.test_rows(folder)
        assets = {
            "example.json": requests[:2],
            "schema.json": schema,
            "tokenizer.json": card["tokenizer"],
            "chat_template.jinja": card["template"].encode(),
        }
        return TrainingSet(train=packed("train"), val=packed("val"), model=model, assets=assets)

    def test_rows(self, folder: Path, split: str = "test") -> tuple[list[Request], np.ndarray]:
        """Conversations up to the last answer, and FIELDS of that answer, [n].

        A call of a tool is an answer too, as the template writes it.
        """
        table, template = splits.read_table(folder, split), Template(splits.read_card(folder)["template"])
        requests, targets = [], np.zeros(len(table), FIELDS)
        for row, one in enumerate(conversations(folder, split)):
            *before, last = tokens.openai_messages(one)
            tools = {"tools": list(one.tools)} if one.tools else {}
            requests.append({"messages": before, **tools, "max_tokens": ANSWER, "temperature": 0.0})
            said = tokens.written(before, last, one.tools, template) if "tool_calls" in last else last["content"]
            targets[row] = (said, table["kind"][row], table["language"][row])
        return requests, targets


def shop_of(data: settings.Data, seed: int) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    sizes = dict(zip(splits.SPLITS, np.round(np.array(data.split) * data.rows).astype(int), strict=True))
    parts = {}
    for name, size in sizes.items():
        rows = []
        for number in range(size):
            found, turns = shop.draw_turns(rng, TURNS, whole=name == "test")
            if name == "test":
                turns = ending(turns, list(TESTED)[np.searchsorted(np.cumsum(list(TESTED.values())), number / size)])
            rows.append(row_of(shop.conversation(found, turns), turns[-1].kind, turns[-1].language))
        parts[name] = pd.DataFrame(rows)
    return parts


def ending(turns: list[shop.Turn], kind: str) -> list[shop.Turn]:
    """Up to the last answer of that kind; all of them, if there is none."""
    places = [place for place, turn in enumerate(turns, 1) if turn.kind == kind]
    return turns[: places[-1]] if places else turns


def read(data: settings.Data, seed: int) -> tuple[dict[str, pd.DataFrame], str, str, list[str]]:
    """Splits, source, licence, and a line about each broken conversation."""
    if data.path:
        paths, source, licence = [Path(data.path)], f"own:{Path(data.path).name}", "yours"
    else:
        paths = [fetch("chatbot", DEMO + name, f"sha256:{sha256}") for name, sha256 in ALPACA.items()]
        source, licence = "Alpaca's instructions of LLaMA-Factory", "Apache-2.0"
    found, broken = list[Conversation](), list[str]()
    for path in paths:
        whole, parts = read_conversations(path)
        found += whole
        broken += parts
    for line in broken[:5]:
        print(line)
    frame = pd.DataFrame([row_of(one) for one in found])
    if not data.path:
        for mark, word in WHO.items():
            frame["conversation"] = frame["conversation"].str.replace(mark, word, regex=False)
    frame = frame.drop_duplicates("conversation").iloc[: data.rows]
    rows = split_indices(len(frame), data.split, seed)
    return {name: frame.iloc[index].reset_index(drop=True) for name, index in rows.items()}, source, licence, broken


def row_of(conversation: Conversation, kind: str = "", language: str = "") -> dict[str, str]:
    content = {"messages": tokens.openai_messages(conversation), "tools": list(conversation.tools)}
    return {"conversation": json.dumps(content, ensure_ascii=False), "kind": kind, "language": language}


def conversations(folder: Path, split: str) -> list[Conversation]:
    return parsed(splits.read_table(folder, split)["conversation"])


def parsed(texts: Iterable[str]) -> list[Conversation]:
    return [Conversation(*messages_of(json.loads(text))) for text in texts]


def fitting(
    parts: dict[str, pd.DataFrame], template: str, tokenizer: Tokenizer, block: int
) -> tuple[dict[str, pd.DataFrame], dict[str, int]]:
    """The conversations of at most `block` tokens, and how many are longer."""
    kept, left_out = {}, {}
    write = Template(template)
    for name, part in parts.items():
        texts = [
            write.prompt(tokens.openai_messages(one), one.tools, answer=False) for one in parsed(part["conversation"])
        ]
        sizes = np.array([len(one.ids) for one in tokenizer.encode_batch(texts, add_special_tokens=False)])
        kept[name], left_out[name] = part[sizes <= block].reset_index(drop=True), int((sizes > block).sum())
    return kept, left_out


def template_of(files: dict[str, Path]) -> str:
    """That of the weights, or tokens.TEMPLATE.

    Raises:
        UsageError: the weights have none.
    """
    if not files:
        return tokens.TEMPLATE
    if weights.TEMPLATE in files:
        return files[weights.TEMPLATE].read_text(encoding="utf-8")
    path = files.get("tokenizer_config.json")
    found = json.loads(path.read_bytes()).get("chat_template") if path else None
    if not isinstance(found, str):
        raise UsageError("weights: found no chat template; expected those of a chat model")
    return found


def tokenizer_of(files: dict[str, Path], train: pd.DataFrame, vocabulary: int) -> Tokenizer:
    """That of the weights, or one that is trained on the training conversations."""
    if files:
        return Tokenizer.from_file(str(files["tokenizer.json"]))
    texts = [message.content for one in parsed(train["conversation"]) for message in one.messages]
    return tokens.train_tokenizer(texts, vocabulary)


def tokenizer_in(card: JsonObject) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(card["tokenizer"]))
