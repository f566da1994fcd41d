"""Chat templates: a conversation as one prompt. A bundle has one in Jinja, as published models, or format strings."""

from collections.abc import Sequence
from typing import Any, Protocol

from tokenizers import Tokenizer

from roadmap.bundle import Bundle, BundleError, CallFormat
from roadmap.inference.language.templates import Template
from roadmap.io.json import JsonObject

JINJA, FORMATS = "chat_template.jinja", "chat_template.json"
CALLS = "tool_calls.json"  # the fields of CallFormat, of a model that writes its calls otherwise
SPECIAL = "special_tokens_map.json"  # Hugging Face's names of special tokens
# For base models: a transcript, in which a blank line ends a turn.
PLAIN = {
    "system": "{content}\n\n",
    "user": "User:\n{content}\n\n",
    "assistant": "Assistant:\n{content}\n\n",
    "answer": "Assistant:\n",
    "stop": ["\n\n"],
}
PROBE = "qzjx"  # an answer that no template writes by itself


class ChatTemplate(Protocol):
    """Writes prompts.

    stop: the texts that end an answer
    calls: how an answer calls tools; None: the template has no place for them
    """

    stop: list[str]
    calls: CallFormat | None

    def prompt(self, messages: Sequence[JsonObject], tools: Sequence[JsonObject] = ()) -> str:
        """The text of OpenAI's messages up to the beginning of an answer.

        Raises:
            ValueError: the template refuses them, or fails.
        """


class FormatStrings:
    """The text around the messages of each role, the beginning of an answer, and its stop texts."""

    calls: CallFormat | None = None

    def __init__(self, answer: str, stop: list[str], **roles: str) -> None:
        self.answer, self.stop, self.roles = answer, stop, roles

    def prompt(self, messages: Sequence[JsonObject], tools: Sequence[JsonObject] = ()) -> str:
        """
        Raises:
            ValueError: a role, a call or a tool that has no place in it.
        """
        turns = list[str]()
        for message in messages:
            if message["role"] not in self.roles:
                raise ValueError(f"chat template: found a {message['role']}; expected {' or '.join(self.roles)}")
            if message.get("tool_calls") or tools:
                raise ValueError("chat template: found tools; expected texts: it has no place for them")
            turns.append(self.roles[message["role"]].replace("{content}", message["content"]))
        return "".join([*turns, self.answer])


class JinjaStrings:
    """A template in Jinja. The stop text is what it writes behind an answer.

    Args:
        special_tokens: bos_token, eos_token, and others by name.
        marks: the texts of all special tokens.
    """

    def __init__(
        self, template: Template, special_tokens: dict[str, str], marks: Sequence[str], calls: CallFormat
    ) -> None:
        self.template, self.special_tokens = template, special_tokens
        self.calls = calls if "tools" in template.source else None
        end, eos = self._end(marks), special_tokens.get("eos_token")
        self.stop = list(dict.fromkeys(filter(None, [end, eos])))

    def prompt(self, messages: Sequence[JsonObject], tools: Sequence[JsonObject] = ()) -> str:
        """
        Raises:
            ValueError: the template refuses these messages, fails, or exceeds a bound.
        """
        return self.template.prompt(messages, tools, True, **self.special_tokens)

    def _end(self, marks: Sequence[str]) -> str:
        said = [{"role": "user", "content": "?"}, {"role": "assistant", "content": PROBE}]
        try:
            text = self.template.prompt(said, (), False, **self.special_tokens)
        except ValueError:  # it wants other messages
            return ""
        behind = text.rpartition(PROBE)[2] if PROBE in text else ""
        found = [mark for mark in marks if behind.lstrip().startswith(mark)]
        return max(found, key=len, default=(behind.strip() or behind)[:100])


def template_of(bundle: Bundle, tokenizer: Tokenizer) -> ChatTemplate:
    """The bundle's template: in Jinja, of format strings, or else PLAIN.

    Raises:
        BundleError: it can't be read.
    """
    files = bundle.manifest.files
    if JINJA not in files:
        return FormatStrings(**(bundle.json(FORMATS) if FORMATS in files else PLAIN))
    try:
        template = Template((bundle.folder / JINJA).read_text(encoding="utf-8"))
    except ValueError as error:
        raise BundleError(f"{bundle.folder / JINJA}: {error}") from None
    named = bundle.json(SPECIAL) if SPECIAL in files else frame(tokenizer)
    special_tokens = {name: text_of(token) for name, token in named.items() if isinstance(token, str | dict)}
    marks = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
    try:
        calls = CallFormat(**(bundle.json(CALLS) if CALLS in files else {}))
    except TypeError as error:
        raise BundleError(f"{bundle.folder / CALLS}: {error}; expected {', '.join(CallFormat._fields)}") from None
    return JinjaStrings(template, special_tokens, marks, calls)


def frame(tokenizer: Tokenizer) -> dict[str, str]:
    """bos_token and eos_token: what the tokenizer itself puts around a text."""
    encoding = tokenizer.encode("a", add_special_tokens=True)
    mask, tokens = encoding.special_tokens_mask, encoding.tokens
    return ({"bos_token": tokens[0]} if mask and mask[0] else {}) | (
        {"eos_token": tokens[-1]} if mask and mask[-1] else {}
    )


def text_of(token: Any) -> str:
    """Of a special token, which may be an object with its `content`."""
    return str(token["content"] if isinstance(token, dict) else token)
