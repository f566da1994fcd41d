"""chatbot over HTTP: a conversation in, the next answer out; also at /v1/chat/completions. No torch."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from roadmap.bundle import Bundle
from roadmap.inference.language.generation import MAX_PROMPT, Generator
from roadmap.io.json import JsonObject

MAX_MESSAGES = 256
MAX_TOOLS = 128


class Message(BaseModel):
    """What somebody said."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = Field(default="", max_length=MAX_PROMPT)
    tool_calls: list[JsonObject] = Field(default=[], max_length=MAX_TOOLS, description="as OpenAI has them")


class Predictor(Generator):
    """Its requests have `messages`, or a `prompt` that somebody else's template wrote.

    shop: whether it was trained on the generated shop's conversations
    """

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.shop = bundle.json("schema.json")["set"] == "shop"
        self.Request = create_model(
            self.Request.__name__,
            __base__=self.Request,
            __validators__={"written": model_validator(mode="after")(lambda request: self.written(request))},  # type: ignore[dict-item]
            messages=(list[Message], Field(default=[], max_length=MAX_MESSAGES, description="the conversation so far")),
            tools=(list[JsonObject], Field(default=[], max_length=MAX_TOOLS, description="that the answer may call")),
            prompt=(str, Field(default="", max_length=MAX_PROMPT, description="instead of messages: as text")),
        )

    def written(self, request: Any) -> Any:
        """The request with its messages as prompt, and the template's stop texts.

        Raises:
            ValueError: it has both or neither, they are too long or unreadable, or the template refuses them.
        """
        if not request.messages:
            if not request.prompt:
                raise ValueError("expected messages, or a prompt")
            return request
        prompt, stop = self.chat(
            [message.model_dump(exclude_unset=True) for message in request.messages], request.tools
        )
        if request.prompt not in ("", prompt):
            raise ValueError("found messages and another prompt; expected one of them")
        if len(prompt) > MAX_PROMPT:
            raise ValueError(f"messages: found {len(prompt):,} characters; expected at most {MAX_PROMPT:,}")
        self.readable(prompt)
        request.prompt, request.stop = prompt, list(dict.fromkeys([*request.stop, *stop]))
        return request
