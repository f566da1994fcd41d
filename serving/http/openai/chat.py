"""POST /v1/chat/completions: OpenAI's chat completions, with the model's own chat template."""

import asyncio
import json
from typing import Annotated, Any, Literal

from fastapi import Body, FastAPI
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from starlette.requests import Request
from starlette.responses import Response

from roadmap.bundle import CallFormat
from roadmap.inference.language.grammars import json_of
from roadmap.inference.language.tool_calls import calls_grammar
from roadmap.io.json import JsonObject
from serving.auth.callers import require
from serving.errors import Place, Refusal
from serving.http import stream
from serving.http.answering import answer
from serving.http.openai import api as openai
from serving.http.openai.chat_answers import ChatCompletionResponse, events, logprobs
from serving.http.openai.fields import CHAT, SAMPLING, lacking, off
from serving.http.openai.messages import Message
from serving.http.openai.tools import MAX_TOOLS, Answer, ChosenTool, FunctionName, Tool
from serving.runtime.models import Model
from serving.runtime.store import ModelStore

MAX_TOKENS = 256  # default
MAX_MESSAGES = 256


class JsonSchema(BaseModel):
    """The JSON schema that the answer follows."""

    model_config = ConfigDict(protected_namespaces=())

    name: FunctionName
    description: str | None = None
    given: JsonObject | None = Field(default=None, alias="schema", description="null: any object")
    strict: bool | None = Field(default=None, description="every schema is enforced")


class ResponseFormat(BaseModel):
    """What the answer is."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = Field(default=None, validate_default=True)

    @field_validator("json_schema")
    @classmethod
    def _with_schema(cls, given: JsonSchema | None, info: ValidationInfo) -> JsonSchema | None:
        if given is None and info.data.get("type") == "json_schema":
            raise ValueError("needs json_schema")
        return given


@lacking(SAMPLING, CHAT)
class ChatCompletionRequest(openai.GenerationRequest):
    """A conversation to be continued."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_tokens: int | None = Field(default=None, description=f"default {MAX_TOKENS}; -1: the model's maximum")
    max_completion_tokens: int | None = Field(default=None, description="newer name of max_tokens")
    continue_final_message: bool | None = Field(default=None, description="continue the last assistant message")
    add_generation_prompt: bool | None = Field(default=None, description="true, or false with continue_final_message")
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    response_format: ResponseFormat | None = Field(default=None, description="enforced while decoding")
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ChosenTool | None = Field(
        default=None, description="required, or a named function: enforced while decoding"
    )
    parallel_tool_calls: bool | None = Field(default=None, description="false: at most one call; default true")

    @model_validator(mode="before")
    @classmethod
    def _no_tools(cls, body: Any) -> Any:
        """Drops tools that must not be called."""
        if not isinstance(body, dict):
            return body
        unused = {"tools": body.get("tool_choice") == "none", "functions": body.get("function_call") == "none"}
        return {name: value for name, value in body.items() if not unused.get(name)}

    @field_validator("response_format", "tools", "tool_choice", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return None if off(value) else value

    @field_validator("tool_choice")
    @classmethod
    def _offered(cls, choice: Any, info: ValidationInfo) -> Any:
        names = [tool.function.name for tool in info.data.get("tools") or []]
        if "tools" in info.data and choice == "required" and not names:
            raise ValueError('found "required"; expected tools to choose from')
        if "tools" in info.data and isinstance(choice, ChosenTool) and choice.function.name not in names:
            raise ValueError(f"found a function that is none of the tools; expected {' or '.join(names) or 'tools'}")
        return choice

    @field_validator("top_logprobs")
    @classmethod
    def _with_logprobs(cls, top: int | None, info: ValidationInfo) -> int | None:
        if top and not info.data.get("logprobs") and "logprobs" in info.data:
            raise ValueError("top_logprobs needs logprobs: true")
        return top

    @field_validator("continue_final_message")
    @classmethod
    def _begun(cls, continues: bool | None, info: ValidationInfo) -> bool | None:
        messages = info.data.get("messages")
        if continues and messages and messages[-1].role != "assistant":
            raise ValueError(f"the final message is of role {messages[-1].role}; only an assistant's is continued")
        return continues

    @field_validator("add_generation_prompt")
    @classmethod
    def _one_of_both(cls, adds: bool | None, info: ValidationInfo) -> bool | None:
        continues = bool(info.data.get("continue_final_message"))
        if adds is not None and adds == continues and "continue_final_message" in info.data:
            raise ValueError(f"found {str(adds).lower()}; expected the opposite of continue_final_message, or nothing")
        return adds

    def to_native(self, model: Model) -> BaseModel:
        """The model's own request, its prompt written by the model's template.

        Raises:
            Refusal: 422.
        """
        assert model.chats is not None
        if self.tools and model.chats.calls is None:
            raise openai.invalid(("tools",), "the model calls no tools: its chat template has no place for them")
        turns = [message.for_template() for message in self.messages]
        begun = turns.pop()["content"] if self.continue_final_message else ""
        try:
            tools = [tool.model_dump(exclude_none=True) for tool in self.tools or []]
            prompt, ends = model.chats.chat(turns, tools)
        except ValueError as error:
            raise openai.invalid(("messages",), str(error)) from None
        given = self.sampling_fields(max_tokens=MAX_TOKENS)
        logprobs = {"logprobs": bool(self.logprobs), "top_logprobs": self.top_logprobs or 0}
        grammar = self.to_grammar(model.chats.calls)
        stop = given["stop"] if grammar else [*given["stop"], *ends]  # a grammar has its own end
        fields = {**given, **logprobs, "stop": stop, "grammar": grammar}
        places: dict[str, Place] = {field: (name,) for field, name in self.names_used().items()}
        places |= {"prompt": ("messages",), "grammar": self._place_of_grammar()}
        try:
            return openai.validated(model, {**fields, "prompt": prompt + begun}, places)
        except Refusal as refusal:
            blamed = refusal.members["errors"][0]
            if blamed["pointer"] == "#/messages":
                self._blame(model, fields, blamed["detail"])
            if blamed["pointer"] == "#/tools":
                self._blame_tool(model, {**fields, "prompt": prompt})
            raise

    @property
    def constrained(self) -> bool:
        """Whether the answer follows a grammar, which takes a while to compile."""
        return self.response_format is not None or self._forced

    @property
    def _forced(self) -> bool:
        return bool(self.tools) and (self.tool_choice == "required" or isinstance(self.tool_choice, ChosenTool))

    @property
    def _schema(self) -> JsonObject | None:
        """That of the answer, if it has one."""
        wanted = self.response_format
        if wanted is None or wanted.type == "text":
            return None
        return (wanted.json_schema.given if wanted.json_schema else None) or {"type": "object"}

    def callable_tools(self) -> dict[str, JsonObject]:
        """Names of the tools that may be called -> the schemas of their arguments."""
        chosen = self.tool_choice.function.name if isinstance(self.tool_choice, ChosenTool) else None
        functions = [tool.function for tool in self.tools or []]
        return {one.name: one.schema_of_arguments for one in functions if chosen in (None, one.name)}

    @property
    def most_calls(self) -> int | None:
        """How many calls an answer may have; None: any number."""
        return 1 if self.parallel_tool_calls is False or isinstance(self.tool_choice, ChosenTool) else None

    def to_grammar(self, form: CallFormat | None) -> str | None:
        """In Lark: a required call, or an answer of the schema, in place of which tools may be called."""
        rules = [] if self._schema is None or self._forced else [f"answer: {json_of(self._schema)}"]
        starts = ["answer"] if rules else []
        if self._forced or (rules and self.tools):
            assert form is not None
            rules.append(calls_grammar(form, self.callable_tools(), several=self.most_calls is None))
            starts.append("calls")
        return "\n".join([f"start: {' | '.join(starts)}", *rules]) if rules else None

    def _place_of_grammar(self) -> Place:
        if self._forced or self.tools:
            return ("tools",)
        named = self.response_format and self.response_format.json_schema
        return ("response_format", "json_schema", "schema") if named and named.given else ("response_format",)

    def _blame_tool(self, model: Model, fields: JsonObject) -> None:
        """Raises: Refusal: 422 that points at the schema that can't be enforced."""
        schemas: list[tuple[Place, JsonObject]] = [
            (("tools", number, "function", "parameters"), tool.function.schema_of_arguments)
            for number, tool in enumerate(self.tools or [])
        ]
        if self._schema is not None:
            schemas.append((("response_format", "json_schema", "schema"), self._schema))
        for place, schema in schemas:
            openai.validated(model, {**fields, "grammar": f"start: {json_of(schema)}"}, {"grammar": place})

    def _blame(self, model: Model, fields: JsonObject, detail: str) -> None:
        """Raises: Refusal: 422 that points at the message that is rejected for the same reason on its own."""
        for number, message in enumerate(self.messages):
            place: Place = ("messages", number, "content")
            try:
                openai.validated(model, {**fields, "prompt": message.text or " "}, {"prompt": place})
            except Refusal as refusal:
                if refusal.members["errors"][0]["detail"] == detail:
                    raise


def chats(model: Model) -> bool:
    """Whether it continues conversations."""
    return model.generates_text and model.chats is not None


def add_chat(app: FastAPI, store: ModelStore) -> None:
    """POST /v1/chat/completions."""

    @openai.post(app, "/v1/chat/completions", ChatCompletionResponse, "Create a chat completion")
    async def chat_completions(request: Request, body: Annotated[ChatCompletionRequest, Body()]) -> Response:
        """Generates the next message of a conversation. With `stream`, sends it as server-sent events."""
        require(request.scope, body.model)
        model = await openai.find_model(store, body.model, chats, "chats")
        # A big grammar takes up to a second to compile: in a thread, others don't wait for it.
        native = await asyncio.to_thread(body.to_native, model) if body.constrained else body.to_native(model)
        assert model.chats is not None
        message = Answer(model.chats.calls, list(body.callable_tools()), body.most_calls)
        if body.stream:
            head = openai.response_head("chat.completion.chunk", "chatcmpl", model, body)
            pieces = events(stream.stream_outputs(request, model, [native]), message, head, body.wants_usage)
            return await stream.start_stream(pieces, model.headers, openai.error_event)
        (output,) = await answer(request, model, [native])
        for _ in (*message.read(output["text"]), *message.close()):
            pass
        choice = {"index": 0, "message": message.message(), "finish_reason": message.reason(output["finish_reason"])}
        content = {
            **openai.response_head("chat.completion", "chatcmpl", model, body),
            "choices": [{**choice, "logprobs": logprobs(output["logprobs"])}],
            "usage": output["usage"],
        }
        return Response(json.dumps(content, ensure_ascii=False), media_type="application/json", headers=model.headers)
