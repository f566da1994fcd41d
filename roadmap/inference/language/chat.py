"""Chat templates: a conversation as one prompt."""

from collections.abc import Sequence
from typing import Any

from roadmap.bundle import Bundle

FILE = "chat_template.json"
# For base models: a transcript, in which a blank line ends a turn.
PLAIN = {
    "system": "{content}\n\n",
    "user": "User:\n{content}\n\n",
    "assistant": "Assistant:\n{content}\n\n",
    "answer": "Assistant:\n",
    "stop": ["\n\n"],
}


class ChatTemplate:
    """The text around the messages of each role, the beginning of an answer, and its stop texts.

    A bundle has it in chat_template.json as format strings, not as Jinja: bundles hold data, never programs, and
    serving needs one dependency less.
    """

    def __init__(self, roles: dict[str, str], answer: str, stop: list[str]) -> None:
        self.roles, self.answer, self.stop = roles, answer, stop

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> "ChatTemplate":
        fields: dict[str, Any] = dict(bundle.json(FILE) if FILE in bundle.manifest.files else PLAIN)
        return cls(answer=fields.pop("answer"), stop=fields.pop("stop"), roles=fields)

    def prompt(self, messages: Sequence[tuple[str, str]]) -> str:
        """messages: (role, content) pairs"""
        turns = [self.roles[role].replace("{content}", content) for role, content in messages]
        return "".join([*turns, self.answer])
