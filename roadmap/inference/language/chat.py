"""A conversation as one text, for a language model to write on."""

from collections.abc import Sequence
from typing import Any

from roadmap.bundle import Bundle

FILE = "chat_template.json"
# For models that have only read: a transcript, in which a blank line ends a turn.
PLAIN = {
    "system": "{content}\n\n",
    "user": "User:\n{content}\n\n",
    "assistant": "Assistant:\n{content}\n\n",
    "answer": "Assistant:\n",
    "stop": ["\n\n"],
}


class ChatTemplate:
    """What stands around the content of each role's messages, how an answer begins, and what ends it.

    A bundle says it in chat_template.json, as words to fill in, not as Jinja: bundles hold data, never a program, and
    serving needs one library less.
    """

    def __init__(self, roles: dict[str, str], answer: str, stop: list[str]) -> None:
        self.roles, self.answer, self.stop = roles, answer, stop

    @classmethod
    def of(cls, bundle: Bundle) -> "ChatTemplate":
        said: dict[str, Any] = dict(bundle.json(FILE) if FILE in bundle.manifest.files else PLAIN)
        return cls(answer=said.pop("answer"), stop=said.pop("stop"), roles=said)

    def prompt(self, messages: Sequence[tuple[str, str]]) -> str:
        """(role, content) of each"""
        turns = [self.roles[role].replace("{content}", content) for role, content in messages]
        return "".join([*turns, self.answer])
