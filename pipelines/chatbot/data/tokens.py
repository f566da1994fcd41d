"""Conversations as tokens: which of them are the assistant's, and several conversations packed into one row."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from roadmap.data.conversations import Conversation
from roadmap.inference.language.templates import Template
from roadmap.io.json import JsonObject

IGNORED = -100  # as of models/decoders/chat.py
# The template of a model without published weights; calls of tools as Hermes and Qwen write them. Nobody can write its
# marks: those in a text are taken apart.
TEMPLATE = """\
{%- macro text(words) %}{{ words | replace('<|', '< |') }}{% endmacro %}
{%- if tools %}{{ '<|tools|>' + text(tools | tojson) + '<|end|>' }}{% endif %}
{%- for message in messages %}
    {{- '<|' + message.role + '|>' + text(message.content or '') }}
    {%- for call in message.tool_calls or [] %}
        {{- '<tool_call>\\n' + text(call.function | tojson) + '\\n</tool_call>' }}
    {%- endfor %}
    {{- '<|end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"""
MARKS = ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|tool|>", "<|tools|>"]
# A number is a token, and so may be what a fact is about: two words ("Salt costs"), or a run of Chinese characters.
# Tokens across words are Liu et al., "SuperBPE" (2025); what is asked for then stands behind one token.
WORDS = (
    r" ?\d+|[A-Z][a-z]+ (?:[A-Z](?![a-z]):?|[a-z]+)|\p{Han}+(?:[A-Z](?![a-z])：?)?"
    r"| ?\p{Latin}+|[^\w\s]\n?|[\s\S]"
)
PROBE = "qzjx"  # a text that no template writes by itself
NEAR = 400  # open rows that are tried for a conversation


Rows: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]  # see `pack`


@dataclass(frozen=True)
class Encoded:
    """tokens: int [t]; answered: bool [t], True for what the assistant says, its end mark included"""

    tokens: np.ndarray
    answered: np.ndarray


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Byte-level byte-pair encoding within WORDS: frequent words are one token, and any text can be encoded."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(WORDS), "isolated")
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=MARKS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def openai_messages(conversation: Conversation) -> list[JsonObject]:
    """As templates read them."""
    found = []
    for message in conversation.messages:
        calls = [{"type": "function", "function": call} for call in message.tool_calls]
        found.append({"role": message.role, "content": message.content, **({"tool_calls": calls} if calls else {})})
    return found


def encode(conversation: Conversation, template: Template, tokenizer: Tokenizer) -> Encoded:
    """The answer to messages 0 to i is what the template adds to them behind the beginning of an answer.

    Raises:
        ValueError: the template writes a turn anew when others follow, so that an answer has no one place.
    """
    messages = openai_messages(conversation)
    text = template.prompt(messages, conversation.tools, answer=False)
    answered = list[tuple[int, int]]()
    for number, message in enumerate(messages, 1):
        if message["role"] == "assistant":
            begun = template.prompt(messages[: number - 1], conversation.tools, answer=True)
            whole = template.prompt(messages[:number], conversation.tools, answer=False)
            if not (whole.startswith(begun) and text.startswith(whole)):
                raise ValueError(f"chat template: turn {number} is written otherwise once the next turn is there")
            answered.append((len(begun), len(whole)))
    encoding = tokenizer.encode(text, add_special_tokens=False)
    starts = np.array([start for start, _ in encoding.offsets])
    inside = np.zeros(len(starts), bool)
    for start, end in answered:
        inside |= (starts >= start) & (starts < end)
    return Encoded(np.array(encoding.ids, np.int32), inside)


def written(before: list[JsonObject], answer: JsonObject, tools: Sequence[JsonObject], template: Template) -> str:
    """The answer's text in the template, without what ends a turn."""
    begun = template.prompt(before, tools, answer=True)
    plain = template.prompt([*before, {"role": "assistant", "content": PROBE}], tools, answer=False)
    whole = template.prompt([*before, answer], tools, answer=False)
    return whole.removeprefix(begun).removesuffix(plain.rpartition(PROBE)[2])


def pack(conversations: Sequence[Encoded], block: int) -> Rows:
    """Rows of at most `block` tokens, in the given order, each in the first row that it fits into.

    -> tokens, places in their conversation, targets (the next token, IGNORED unless the assistant says it);
    int32 [rows, block] each. The rest of a row is filled with 0, each a conversation of its own without targets.
    """
    rows: list[list[int]] = []
    free: list[int] = []
    for one, found in enumerate(conversations):
        need = len(found.tokens) - 1
        recent = range(max(0, len(free) - NEAR), len(free))
        row = next((row for row in recent if free[row] >= need), None)
        if row is None:
            rows.append([])
            free.append(block)
            row = len(rows) - 1
        rows[row].append(one)
        free[row] -= need
    tokens, places = np.zeros((len(rows), block), np.int32), np.zeros((len(rows), block), np.int32)
    targets = np.full((len(rows), block), IGNORED, np.int32)
    for row, members in enumerate(rows):
        at = 0
        for one in members:
            found = conversations[one]
            end = at + len(found.tokens) - 1
            tokens[row, at:end] = found.tokens[:-1]
            places[row, at:end] = np.arange(end - at)
            targets[row, at:end] = np.where(found.answered[1:], found.tokens[1:], IGNORED)
            at = end
    return tokens, places, targets
