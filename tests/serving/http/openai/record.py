"""Writes recorded.json: the requests that clients of OpenAI's API send, caught from the running clients.

Not part of the tests, which read its output; run it again to meet newer clients, in environments of its own:

    python -m venv clients && clients/bin/pip install openai langchain-openai litellm \
        llama-index-llms-openai-like llama-index-embeddings-openai-like
    npm install --prefix clients @continuedev/openai-adapters @ai-sdk/openai@1 ai@4
    clients/bin/python tests/serving/http/openai/record.py clients

The texts are of the letters that the model of tests/support/letters.py knows, so that it answers them. Open WebUI is a
whole application and is not run here: its bodies are in test_recorded.py, after its source.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

FOLDER = Path(__file__).parent
MODEL, KEY = "mini_gpt", "none"
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
TURNS: list[Any] = [("system", "j"), ("human", "abc"), ("ai", "d"), ("human", "e")]
ROLES = {"system": "system", "human": "user", "ai": "assistant"}
MESSAGES: list[Any] = [{"role": ROLES[who], "content": text} for who, text in TURNS]
SETTINGS: dict[str, Any] = {"temperature": 0.7, "top_p": 0.9, "max_tokens": 8}


# ---------------------------------------------------------------- a server that answers anything


class Recorder(BaseHTTPRequestHandler):
    requests: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.requests.append({"path": self.path, "body": body})
        answer = text(self.path, body)
        streams = bool(body.get("stream"))
        lines = [f"data: {json.dumps(one)}\n\n" for one in answer] + ["data: [DONE]\n\n"]
        content = "".join(lines) if streams else json.dumps(answer[0])
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if streams else "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content.encode())

    def log_message(self, *_: Any) -> None:
        pass


def text(path: str, body: Any) -> list[Any]:
    """One answer, or the chunks of a stream."""
    head = {"id": "1", "created": 1, "model": MODEL}
    if path.endswith("/embeddings"):
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [{"object": "embedding", "index": place, "embedding": [0.0]} for place, _ in enumerate(texts)]
        return [{"object": "list", "data": data, "model": MODEL, "usage": USAGE}]
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "logprobs": None}
    if not path.endswith("/chat/completions"):
        prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
        choices = [{**choice, "index": place, "text": "a"} for place, _ in enumerate(prompts)]
        return [{**head, "object": "text_completion", "choices": choices, "usage": USAGE}]
    message = {"role": "assistant", "content": '{"a": 1}'}
    if body.get("stream"):
        return [{**head, "object": "chat.completion.chunk", "choices": [{**choice, "delta": message}]}]
    return [{**head, "object": "chat.completion", "choices": [{**choice, "message": message}], "usage": USAGE}]


@contextmanager
def recorder() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()


# ---------------------------------------------------------------- clients


def openai_python(address: str) -> None:
    from openai import OpenAI

    client = OpenAI(base_url=address, api_key=KEY)
    chat, write = client.chat.completions.create, client.completions.create
    chat(model=MODEL, messages=MESSAGES, **SETTINGS)
    list(chat(model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}, seed=1))
    write(model=MODEL, prompt=["abc", "j"], max_tokens=8, logprobs=1, echo=True)
    list(write(model=MODEL, prompt="abc", stream=True, max_tokens=8, stop=["a"]))
    client.embeddings.create(model=MODEL, input=["abc", "j"])
    client.embeddings.create(model=MODEL, input="abc", encoding_format="float")


def langchain(address: str) -> None:
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
    from pydantic import BaseModel

    @tool
    def look(text: str) -> str:
        """Looks it up."""
        return text

    class Found(BaseModel):
        a: int

    at: dict[str, Any] = {"base_url": address, "api_key": KEY, "model": MODEL}
    chat = ChatOpenAI(**at, temperature=0.7, top_p=0.9, max_tokens=8)
    chat.invoke(TURNS)
    list(chat.stream(TURNS))
    ChatOpenAI(**at, stream_usage=True, seed=1, stop_sequences=["a"], presence_penalty=0.0, n=1).invoke("abc")
    ChatOpenAI(**at, logprobs=True, top_logprobs=2).invoke("abc")
    list(ChatOpenAI(**at, stream_usage=True).stream([("human", [{"type": "text", "text": "abc"}])]))
    chat.bind_tools([look]).invoke("abc")
    chat.bind_tools([look], tool_choice="none").invoke("abc")
    chat.with_structured_output(Found).invoke("abc")
    write = OpenAI(**at, max_tokens=8)
    write.generate(["abc", "j"])
    list(write.stream("abc"))
    OpenAIEmbeddings(**at, check_embedding_ctx_length=False).embed_documents(["abc", "j"])
    OpenAIEmbeddings(**at, check_embedding_ctx_length=False).embed_query("abc")
    OpenAIEmbeddings(**at, check_embedding_ctx_length=False, dimensions=8).embed_query("abc")
    with bytes_as_tokens():
        OpenAIEmbeddings(**at).embed_documents(["abc", "j"])


@contextmanager
def bytes_as_tokens() -> Iterator[None]:
    """OpenAI's tokenizer without its download: by default LangChain sends token ids."""
    import tiktoken

    encoding = tiktoken.Encoding(
        "bytes", pat_str=".", mergeable_ranks={bytes([i]): i for i in range(256)}, special_tokens={}
    )
    known = tiktoken.encoding_for_model, tiktoken.get_encoding
    tiktoken.encoding_for_model = tiktoken.get_encoding = lambda name: encoding
    yield
    tiktoken.encoding_for_model, tiktoken.get_encoding = known


def llamaindex(address: str) -> None:
    from llama_index.core.llms import ChatMessage
    from llama_index.embeddings.openai_like import OpenAILikeEmbedding
    from llama_index.llms.openai_like import OpenAILike

    at: dict[str, Any] = {"api_base": address, "api_key": KEY, "model": MODEL}
    messages = [ChatMessage(role=one["role"], content=one["content"]) for one in MESSAGES]
    chat = OpenAILike(**at, is_chat_model=True)
    chat.chat(messages)
    list(chat.stream_chat(messages))
    OpenAILike(**at, is_chat_model=True, max_tokens=8, temperature=0.5, additional_kwargs={"seed": 1}).complete("abc")
    write = OpenAILike(**at, is_chat_model=False, max_tokens=8)
    write.complete("abc")
    list(write.stream_complete("abc"))
    embed = OpenAILikeEmbedding(model_name=MODEL, api_base=address, api_key=KEY)
    embed.get_text_embedding_batch(["abc", "j"])
    embed.get_query_embedding("abc")


def litellm(address: str) -> None:
    import litellm

    at: dict[str, Any] = {"api_base": address, "api_key": KEY}
    for provider in ("openai", "hosted_vllm"):
        model = f"{provider}/{MODEL}"
        litellm.completion(model=model, messages=MESSAGES, **SETTINGS, **at)
        list(litellm.completion(model=model, messages=MESSAGES, stream=True, **at))
        list(
            litellm.completion(
                model=model, messages=MESSAGES, stream=True, stream_options={"include_usage": True}, **at
            )
        )
        litellm.embedding(model=model, input=["abc", "j"], **at)
    off: dict[str, Any] = {"n": 1, "presence_penalty": 0, "frequency_penalty": 0, "logit_bias": {}, "user": "me"}
    litellm.completion(model=f"openai/{MODEL}", messages=MESSAGES, seed=1, stop=["a"], **off, **SETTINGS, **at)
    litellm.completion(model=f"openai/{MODEL}", messages=MESSAGES, response_format={"type": "json_object"}, **at)
    litellm.completion(model=f"hosted_vllm/{MODEL}", messages=MESSAGES, reasoning_effort="low", **at)
    litellm.text_completion(model=f"text-completion-openai/{MODEL}", prompt=["abc", "j"], max_tokens=8, **at)
    list(litellm.text_completion(model=f"text-completion-openai/{MODEL}", prompt="abc", stream=True, **at))


PYTHON = {
    "openai": (openai_python, "openai"),
    "LangChain": (langchain, "langchain-openai"),
    "LlamaIndex": (llamaindex, "llama-index-llms-openai-like"),
    "LiteLLM": (litellm, "litellm"),
}
NODE = {"Continue": "@continuedev/openai-adapters", "Vercel's AI SDK": "@ai-sdk/openai"}


def main(clients: Path) -> None:
    found: list[dict[str, Any]] = []

    def keep(name: str, number: str) -> None:
        found.extend({"client": name, "version": number, **one} for one in Recorder.requests)
        Recorder.requests.clear()

    with recorder() as address:
        for name, (ask, package) in PYTHON.items():
            ask(address)
            keep(name, version(package))
        for name, package in NODE.items():
            script = (FOLDER / "record.mjs").read_text()
            arguments = ["node", "--input-type=module", "-", name, address]
            subprocess.run(arguments, input=script, text=True, check=True, cwd=clients)
            keep(name, json.loads((clients / "node_modules" / package / "package.json").read_text())["version"])
    lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in found)
    (FOLDER / "recorded.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
