"""Tools that may be called, and calls in the answer, as OpenAI has them."""

import uuid
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from roadmap.bundle import CallFormat
from roadmap.inference.language.tool_calls import Call, CallReader
from roadmap.io.json import JsonObject

MAX_TOOLS = 128
PIECE = 32  # characters of arguments in a chunk
NOTHING: JsonObject = {"type": "object", "properties": {}, "additionalProperties": False}

FunctionName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class Function(BaseModel):
    """A function that the model may call."""

    name: FunctionName
    description: str | None = None
    parameters: JsonObject | None = Field(default=None, description="JSON schema of its arguments; null: it has none")
    strict: bool | None = Field(default=None, description="calls that are required always follow the schema")

    @property
    def schema_of_arguments(self) -> JsonObject:
        """Of an object, whatever `parameters` leaves open."""
        return {"type": "object", **self.parameters} if self.parameters else NOTHING


class Tool(BaseModel):
    """A function, described to the model."""

    type: Literal["function"]
    function: Function


class ChosenFunction(BaseModel):
    """The name of a tool."""

    name: FunctionName


class ChosenTool(BaseModel):
    """The tool that has to be called."""

    type: Literal["function"]
    function: ChosenFunction


class AnswerFunction(BaseModel):
    """A function, and its arguments as JSON."""

    name: str
    arguments: str


class AnswerCall(BaseModel):
    """A call of a tool."""

    id: str
    type: Literal["function"]
    function: AnswerFunction


def call_object(call: Call) -> JsonObject:
    """A call as OpenAI writes one."""
    return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": call._asdict()}


class Answer:
    """Turns the pieces of a text into OpenAI's deltas.

    Args:
        form, names, most: of CallReader; without names nothing is a call.
    """

    def __init__(self, form: CallFormat | None, names: Sequence[str], most: int | None) -> None:
        self.reader = CallReader(form, names, most) if form and names else None
        self.content = ""
        self.calls: list[JsonObject] = []

    def read(self, piece: str) -> Iterator[JsonObject]:
        """The deltas of one more piece."""
        return self._deltas(self.reader.read(piece) if self.reader else [piece])

    def close(self) -> Iterator[JsonObject]:
        """The deltas of the rest."""
        return self._deltas(self.reader.close() if self.reader else [])

    def message(self) -> JsonObject:
        """The whole message."""
        content = None if self.calls and not self.content else self.content
        calls = {"tool_calls": self.calls} if self.calls else {}
        return {"role": "assistant", "content": content, "refusal": None, **calls}

    def reason(self, finished: str) -> str:
        """Why it ended."""
        return "tool_calls" if self.calls and finished == "stop" else finished

    def _deltas(self, found: Sequence[str | Call]) -> Iterator[JsonObject]:
        for part in found:
            if isinstance(part, str):
                self.content += part
                yield {"content": part}
                continue
            index, call = len(self.calls), call_object(part)
            self.calls.append(call)
            opened = {**call, "function": {"name": part.name, "arguments": ""}}
            yield {"tool_calls": [{"index": index, **opened}]}
            for start in range(0, len(part.arguments), PIECE):
                arguments = part.arguments[start : start + PIECE]
                yield {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}
