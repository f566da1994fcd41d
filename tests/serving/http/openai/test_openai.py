"""The official OpenAI client against /v1."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from roadmap.inference.language.chat import PLAIN, FormatStrings
from roadmap.inference.language.decoding import Decoder
from roadmap.inference.language.generation import Generator
from tests.support.letters import ask, served
from tests.support.waiting import until


@pytest.fixture(scope="module")
def running(letters: Path) -> Iterator[tuple[Any, str]]:
    with served(letters) as (app, address):
        yield app, f"{address}/v1"


@pytest.fixture(scope="module")
def openai_client(running: tuple[Any, str]) -> OpenAI:
    return OpenAI(base_url=running[1], api_key="none", max_retries=0)


def test_the_openai_client_completes(openai_client: Any, writer: Generator) -> None:
    body = {"max_tokens": 20, "temperature": 0.7, "seed": 3}
    found = openai_client.completions.create(model="mini_gpt", prompt=["abc", "j"], logprobs=0, stop="a", **body)
    expected = ask(writer, *({"prompt": prompt, "stop": ["a"], **body} for prompt in ("abc", "j")))
    assert [choice.text for choice in found.choices] == [answer.text for answer in expected]
    assert [choice.finish_reason for choice in found.choices] == [answer.finish_reason for answer in expected]
    assert found.usage.completion_tokens == sum(answer.usage.completion_tokens for answer in expected)
    logprobs = found.choices[0].logprobs
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.text_offset)


def test_the_openai_client_streams(openai_client: Any, writer: Generator) -> None:
    body = {"prompt": "abc", "max_tokens": 20, "temperature": 0.7, "seed": 3}
    chunks = list(openai_client.completions.create(model="mini_gpt", stream=True, **body))
    assert "".join(chunk.choices[0].text for chunk in chunks) == ask(writer, body)[0].text
    assert chunks[-1].choices[0].finish_reason == "length" and len(chunks) > 2


def test_the_openai_client_raises_its_own_errors(openai_client: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="did you mean 'mini_gpt'"):
        openai_client.completions.create(model="minigpt", prompt="a")
    with pytest.raises(openai.UnprocessableEntityError, match="should have only characters"):
        openai_client.completions.create(model="mini_gpt", prompt="ß")


def test_the_openai_client_lists_the_models(openai_client: Any) -> None:
    assert [model.id for model in openai_client.models.list()] == ["mini_gpt"]
    assert openai_client.models.retrieve("mini_gpt").owned_by
    with pytest.raises(openai.NotFoundError):
        openai_client.models.retrieve("titanic")


def test_the_openai_client_scores_a_text_as_evaluation_harnesses_do(openai_client: Any, writer: Generator) -> None:
    neutral = {"n": 1, "best_of": 1, "presence_penalty": 0, "frequency_penalty": 0, "logit_bias": {}, "user": "me"}
    found = openai_client.completions.create(
        model="mini_gpt", prompt="abcdef", max_tokens=0, echo=True, logprobs=1, temperature=0, **neutral
    )
    logprobs = found.choices[0].logprobs
    assert logprobs.tokens == list("abcdef") and logprobs.text_offset == [0, 1, 2, 3, 4, 5]
    greedy = ask(writer, {"prompt": "abc", "max_tokens": 1, "temperature": 0})[0].text
    assert list(logprobs.top_logprobs[3]) == [greedy]


def test_the_openai_client_gets_the_usage_of_a_stream(openai_client: Any) -> None:
    *_, last = openai_client.completions.create(
        model="mini_gpt", prompt=["ab", "c"], max_tokens=7, stream=True, stream_options={"include_usage": True}
    )
    assert last.choices == [] and (last.usage.prompt_tokens, last.usage.completion_tokens) == (3, 14)


def idle(app: Any) -> bool:
    (model,) = app.state.store.ready()
    return not model.loop.running and not model.loop.waiting


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Decoder.run

    def slow(*given: Any) -> Any:
        time.sleep(0.1)
        return run(*given)

    monkeypatch.setattr(Decoder, "run", slow)


@pytest.mark.parametrize("kind", ["completions", "chat"])
def test_closing_a_stream_stops_the_decoding(
    kind: str, running: tuple[Any, str], openai_client: OpenAI, slowly: None
) -> None:
    body: Any = {"model": "mini_gpt", "max_tokens": 1000, "stream": True, "seed": 4}
    answer = (
        openai_client.completions.create(prompt="abc", **body)
        if kind == "completions"
        else openai_client.chat.completions.create(messages=[{"role": "user", "content": "abc"}], **body)
    )
    next(iter(answer))
    answer.close()
    until(lambda: idle(running[0]))


def test_cancelling_an_async_client_stops_the_decoding(running: tuple[Any, str], slowly: None) -> None:
    """Of 100 s of decoding, whether it is streamed or not."""

    async def go(stream: bool) -> None:
        async with AsyncOpenAI(base_url=running[1], api_key="none", max_retries=0) as client:
            call = client.completions.create(model="mini_gpt", prompt="abc", max_tokens=1000, stream=stream)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(read(call), 0.5)

    async def read(call: Any) -> None:
        answer = await call
        async for _ in answer:
            pass

    for stream in (True, False):
        asyncio.run(go(stream))
        until(lambda: idle(running[0]))


def test_concurrent_clients_get_the_same_text_as_alone(running: tuple[Any, str], writer: Generator) -> None:
    async def go() -> list[str]:
        async with AsyncOpenAI(base_url=running[1], api_key="none", max_retries=0) as client:

            async def one(seed: int) -> str:
                prompt = "abcdefghij"[: 1 + seed % 10]
                chunks = await client.completions.create(
                    model="mini_gpt", stream=True, prompt=prompt, max_tokens=10 + seed, seed=seed
                )
                return "".join([chunk.choices[0].text async for chunk in chunks])

            return await asyncio.gather(*(one(seed) for seed in range(40)))

    detail = asyncio.run(go())
    body = [
        {"prompt": "abcdefghij"[: 1 + seed % 10], "max_tokens": 10 + seed, "seed": seed, "temperature": 1}
        for seed in range(40)
    ]
    assert detail == [answer.text for answer in ask(writer, *body)]


TALK: Any = [
    {"role": "system", "content": "j"},
    {"role": "user", "content": [{"type": "text", "text": "ab"}, {"type": "text", "text": "c"}]},
    {"role": "assistant", "content": "d"},
    {"role": "user", "content": "e"},
]
AS_TEXT = "j\naabc\nbd\nae\nb"  # by the template of tests/support/letters.py


def test_the_openai_client_chats(openai_client: OpenAI, writer: Generator) -> None:
    found = openai_client.chat.completions.create(
        model="mini_gpt", messages=TALK, max_completion_tokens=20, seed=3, logprobs=True, top_logprobs=7, stop="i"
    )
    body = {"prompt": AS_TEXT, "max_tokens": 20, "seed": 3, "temperature": 1, "logprobs": True, "top_logprobs": 7}
    expected = ask(writer, {**body, "stop": ["i", "\n"]})[0]
    (choice,) = found.choices
    assert (choice.message.role, choice.message.content) == ("assistant", expected.text)
    assert choice.finish_reason == expected.finish_reason
    assert found.usage is not None and choice.logprobs is not None
    assert found.usage.model_dump(include=set(expected.usage.model_dump())) == expected.usage.model_dump()
    content = choice.logprobs.content
    assert content is not None
    assert "".join(one.token for one in content) == expected.text
    assert [bytes(one.bytes or ()).decode() for one in content] == expected.logprobs.tokens
    np.testing.assert_allclose([one.logprob for one in content], expected.logprobs.token_logprobs, atol=1e-4)
    assert all(len(one.top_logprobs) == 7 for one in content)
    again = [*TALK, choice.message, {"role": "user", "content": "a"}]  # an answer is sent back as it came
    assert openai_client.chat.completions.create(model="mini_gpt", messages=again, max_tokens=1).choices


def test_the_openai_client_streams_a_chat(openai_client: OpenAI) -> None:
    body: Any = {"model": "mini_gpt", "messages": TALK, "max_tokens": 20, "seed": 3}
    whole = openai_client.chat.completions.create(**body)
    chunks = list(openai_client.chat.completions.create(**body, stream=True, stream_options={"include_usage": True}))
    *detail, ended, counted = chunks
    assert detail[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content for chunk in detail) == whole.choices[0].message.content
    assert ended.choices[0].finish_reason == whole.choices[0].finish_reason
    assert counted.choices == [] and counted.usage == whole.usage


def test_without_a_template_a_chat_is_a_transcript() -> None:
    template = FormatStrings(**PLAIN)  # type: ignore[arg-type]
    turns = [("system", "Be kind."), ("user", "Hello"), ("assistant", "Hi"), ("user", "Who?")]
    prompt = template.prompt([{"role": role, "content": content} for role, content in turns])
    assert prompt == "Be kind.\n\nUser:\nHello\n\nAssistant:\nHi\n\nUser:\nWho?\n\nAssistant:\n"
    assert template.stop == ["\n\n"]


def test_the_openai_client_embeds(openai_client: OpenAI, writer: Generator) -> None:
    texts = ["abc", "j", "abcdefghij" * 9]
    found = openai_client.embeddings.create(model="mini_gpt", input=texts)  # asks for base64
    plain = openai_client.embeddings.create(model="mini_gpt", input=texts, encoding_format="float", dimensions=32)
    vectors = np.array([one.embedding for one in found.data])
    np.testing.assert_array_equal(vectors, np.array([one.embedding for one in plain.data], np.float32))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert found.usage.prompt_tokens == 3 + 1 + 24, "only the last 24 tokens are read"
    for text, vector in zip(texts, vectors, strict=True):  # alone as in company
        alone = openai_client.embeddings.create(model="mini_gpt", input=text).data[0].embedding
        np.testing.assert_allclose(alone, vector, atol=1e-5)
    assert np.abs(vectors[0] - vectors[1]).max() > 0.01
