"""Messages of a conversation, as OpenAI has them."""

import json
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator

from roadmap.io.json import JsonObject
from serving.http.openai.fields import off


class ContentPart(BaseModel):
    """A part of a message."""

    type: Literal["text", "refusal"]
    text: str = ""
    refusal: str = ""

    @field_validator("text", "refusal")
    @classmethod
    def _of_its_type(cls, text: str, info: ValidationInfo) -> str:
        return text if info.field_name == info.data.get("type") else ""


class CalledFunction(BaseModel):
    """A function and its arguments."""

    name: str
    arguments: str = Field(description="a JSON object, as text")

    @field_validator("arguments")
    @classmethod
    def _object(cls, arguments: str) -> str:
        try:
            found = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ValueError("should be a JSON object, as text")
        return arguments


class ToolCall(BaseModel):
    """A call that an assistant made."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(BaseModel):
    """A message of the conversation. Annotations and reasoning are ignored, so a response can be sent back
    unchanged."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = Field(description="null only for assistants")
    refusal: str | None = Field(default=None, description="an assistant's refusal, instead of its content")
    tool_calls: list[ToolCall] | None = Field(default=None, description="an assistant's calls")
    tool_call_id: str | None = Field(default=None, description="the call that a tool answers")
    name: str | None = None
    function_call: Any = None
    audio: Any = None

    @field_validator("content")
    @classmethod
    def _said(cls, content: Any, info: ValidationInfo) -> Any:
        if content is None and info.data.get("role", "assistant") != "assistant":
            raise ValueError("should be a text or a list of parts; null is for assistants")
        return content

    @field_validator("tool_calls")
    @classmethod
    def _of_assistants(cls, calls: list[ToolCall] | None, info: ValidationInfo) -> list[ToolCall] | None:
        if calls and info.data.get("role", "assistant") != "assistant":
            raise ValueError("only an assistant calls tools")
        return calls

    @field_validator("function_call", "audio")
    @classmethod
    def _off(cls, value: Any, info: ValidationInfo) -> Any:
        if not off(value):
            raise ValueError(f"messages are texts here; {info.field_name} can't be read")
        return value

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, body: Any) -> Any:
        """A missing content is null for assistants, and an error for others."""
        return {"content": None, **body} if isinstance(body, dict) and body.get("role") == "assistant" else body

    @property
    def text(self) -> str:
        """The content, of its parts if it has some; else the refusal."""
        if self.content is None:
            return self.refusal or ""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text or part.refusal for part in self.content)

    def for_template(self) -> JsonObject:
        """As chat templates read it: one text, and arguments as objects."""
        found: JsonObject = {"role": "system" if self.role == "developer" else self.role, "content": self.text}
        if self.tool_calls:
            found["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {
                        "name": call.function.name,
                        "arguments": json.loads(call.function.arguments or "{}"),
                    },
                }
                for call in self.tool_calls
            ]
        return found | {
            key: value for key, value in (("tool_call_id", self.tool_call_id), ("name", self.name)) if value
        }
