"""Text from a language model: how tokens are drawn, batches that do not mix, streams, and OpenAI's client."""

import asyncio
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import uvicorn
from fastapi.testclient import TestClient
from scipy import stats

from models.gpt import GPT
from pipelines.common.decoding import Decoder
from pipelines.common.export import export
from pipelines.common.generation import Generator, Writer
from pipelines.common.sampling import Sampling, distribution, draw, log_softmax
from pipelines.mini_gpt import tokens
from serving import stream
from serving.app import create_app
from serving.bundle import Bundle, load_predictor, seal
from serving.settings import Settings

LETTERS = "abcdefghij \n.é你"
BLOCK = 24
LOGITS = np.array([2.0, 1.0, 0.5, -1.0, 0.0, -3.0])


# ---------------------------------------------------------------- drawing


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_come_as_often_as_their_probability_says(temperature: float) -> None:
    rng = np.random.default_rng(0)
    exact = np.exp(LOGITS / temperature) / np.exp(LOGITS / temperature).sum()
    counts = Counter(draw(distribution(LOGITS, Sampling(temperature)), rng) for _ in range(20_000))
    observed = [counts[token] for token in range(len(LOGITS))]
    assert stats.chisquare(observed, exact * 20_000).pvalue > 0.001


def test_temperature_zero_takes_the_likeliest_and_a_tiny_one_too() -> None:
    for temperature in (0, 1e-300):
        assert distribution(LOGITS, Sampling(temperature)).tolist() == [1, 0, 0, 0, 0, 0]


def test_top_k_keeps_k_even_among_equals() -> None:
    assert (distribution(LOGITS, Sampling(top_k=3)) > 0).tolist() == [True, True, True, False, False, False]
    assert (distribution(np.zeros(6), Sampling(top_k=2)) > 0).sum() == 2
    assert (distribution(LOGITS, Sampling(top_k=100)) > 0).all()


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.8, 0.9, 0.99])
def test_top_p_keeps_the_fewest_tokens_that_suffice(top_p: float) -> None:
    whole = distribution(LOGITS, Sampling())
    kept = np.flatnonzero(distribution(LOGITS, Sampling(top_p=top_p)))
    assert whole[kept].sum() >= top_p
    assert np.sort(whole)[::-1][: len(kept) - 1].sum() < top_p, "fewer would do"
    np.testing.assert_allclose(distribution(LOGITS, Sampling(top_p=top_p))[kept], whole[kept] / whole[kept].sum())


def test_top_p_of_exactly_what_some_tokens_have() -> None:
    logits = np.log([0.4, 0.3, 0.2, 0.1])
    assert (distribution(logits, Sampling(top_p=0.7)) > 0).sum() == 2


def test_the_repetition_penalty_makes_what_was_said_less_likely() -> None:
    seen = np.array([True, False, False, True, False, False])
    before, after = distribution(LOGITS, Sampling()), distribution(LOGITS, Sampling(repetition_penalty=1.5), seen)
    assert (after[seen] < before[seen]).all() and (after[~seen] > before[~seen]).all()


@pytest.mark.filterwarnings("error")
def test_the_smallest_temperature_is_greedy() -> None:
    assert (
        distribution(LOGITS, Sampling(temperature=5e-324)).tolist()
        == distribution(LOGITS, Sampling(temperature=0)).tolist()
    )


def test_log_softmax_of_large_logits() -> None:
    np.testing.assert_allclose(log_softmax(np.array([1e4, 1e4 - 1])), np.log([1 / (1 + np.e**-1), 1 / (1 + np.e)]))


# ---------------------------------------------------------------- decoding


def bundle_of(folder: Path, tokenizer: Any, kind: str) -> Path:
    """A sealed bundle of an untrained network with lively logits."""
    torch.manual_seed(0)
    recipe = {"dropout": 0.0, "lr": 1e-2, "final_lr": 0.1, "warmup": 2, "weight_decay": 0.1, "beta2": 0.99}
    size = {"vocab": tokenizer.get_vocab_size(), "block": BLOCK, "layers": 2, "heads": 2, "width": 32}
    model = GPT(**size, **recipe, positions="rotary", bias=False).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(10)
    bundle = folder / "mini_gpt" / "bundle"
    bundle.mkdir(parents=True)
    export(model, (np.zeros((2, BLOCK), np.int32),), bundle)
    schema = {"task": "corpus", "tokenizer": kind, "vocab": size["vocab"], "block": BLOCK}
    example = [{"prompt": "abc", "max_tokens": 5, "seed": 1}, {"prompt": "j", "max_tokens": 3, "seed": 2}]
    assets = {"schema.json": schema, "example.json": example, "tokenizer.json": json.loads(tokenizer.to_str())}
    for name, content in assets.items():
        (bundle / name).write_text(json.dumps(content))
    lineage = {"source": "none", "created": "2026-11-24T07:00:00+00:00", "git_commit": None, "run": "3" * 32}
    digests = {"data_sha256": "1" * 64, "params_sha256": "2" * 64}
    seal(bundle, project="mini_gpt", predictor="pipelines.mini_gpt.predict", profile="sample", **lineage, **digests)
    return folder


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(tmp_path_factory.mktemp("artifacts"), tokens.characters(LETTERS), "char")


@pytest.fixture(scope="module")
def predictor(artifacts: Path) -> Generator:
    return load_predictor(Bundle(artifacts / "mini_gpt" / "bundle"))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def byte_predictor(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    folder = bundle_of(tmp_path_factory.mktemp("bytes"), tokens.byte_pairs("abc " * 100, 300), "bpe")
    return load_predictor(Bundle(folder / "mini_gpt" / "bundle"))  # type: ignore[return-value]


def ask(predictor: Generator, *requests: dict[str, Any]) -> list[Any]:
    return predictor.predict([predictor.Request.model_validate(request) for request in requests])


def naive(decoder: Decoder, text: list[int], steps: int) -> list[int]:
    """Greedy, the whole context read again for every token."""
    context, written = list(text), []
    for _ in range(steps):
        written.append(int(decoder.read([context])[0][-1].argmax()))
        context.append(written[-1])
        if len(context) > decoder.block:
            context = context[-(decoder.block // 2) :]
    return written


def test_the_cache_changes_nothing_also_where_the_context_is_full(predictor: Generator) -> None:
    answer = ask(predictor, {"prompt": "abc", "max_tokens": 70, "temperature": 0})[0]
    assert predictor.encode(answer.text) == naive(predictor.decoder, predictor.encode("abc"), 70)


def test_each_text_forgets_when_its_own_context_is_full(predictor: Generator) -> None:
    """Prompts of all lengths fill their contexts at different steps; each goes on as if it were alone."""
    prompts = [(LETTERS * 3)[start : start + length] for start, length in enumerate((1, BLOCK - 1, 5, BLOCK, 9))]
    lengths = (90, 40, 75, 90, 3)
    asked = [
        {"prompt": prompt, "max_tokens": length, "temperature": 0}
        for prompt, length in zip(prompts, lengths, strict=True)
    ]
    for prompt, length, answer in zip(prompts, lengths, ask(predictor, *asked), strict=True):
        assert predictor.encode(answer.text) == naive(predictor.decoder, predictor.encode(prompt), length)


def test_an_answer_does_not_depend_on_its_batch_mates(predictor: Generator) -> None:
    rng = np.random.default_rng(0)
    requests = [
        {
            "prompt": "".join(rng.choice(list(LETTERS), rng.integers(1, BLOCK + 1))),
            "max_tokens": int(rng.integers(0, 60)),
            "seed": number,
            "logprobs": True,
            "echo": bool(number % 2),
            "repetition_penalty": 1.2 if number % 3 else 1.0,
            "stop": ["a"] if number % 4 == 0 else [],
        }
        for number in range(40)
    ]
    together = ask(predictor, *requests)
    for request, answer in zip(requests, together, strict=True):
        alone = ask(predictor, request)[0]
        assert alone.model_dump(exclude={"logprobs"}) == answer.model_dump(exclude={"logprobs"})
        given = [0 if value is None else value for value in answer.logprobs.token_logprobs]
        wanted = [0 if value is None else value for value in alone.logprobs.token_logprobs]
        np.testing.assert_allclose(given, wanted, atol=1e-4)


def test_the_same_seed_gives_the_same_answer_and_another_another(predictor: Generator) -> None:
    asked = [{"prompt": "abc", "max_tokens": 40, "temperature": 1.5, "seed": seed} for seed in (7, 7, 8)]
    first, second, third = (answer.text for answer in ask(predictor, *asked))
    assert first == second != third


def test_echo_gives_the_probabilities_of_the_prompt_itself(predictor: Generator) -> None:
    answer = ask(predictor, {"prompt": "abcdefg", "max_tokens": 0, "echo": True, "logprobs": True})[0]
    assert answer.text == "abcdefg" and answer.usage.completion_tokens == 0
    ids = predictor.encode("abcdefg")
    for place in range(1, len(ids)):
        logits = predictor.decoder.read([ids[:place]])[0][-1]
        assert answer.logprobs.token_logprobs[place] == pytest.approx(log_softmax(logits)[ids[place]], abs=1e-4)
    assert answer.logprobs.token_logprobs[0] is None and answer.logprobs.tokens == list("abcdefg")


def test_of_a_long_prompt_the_model_sees_the_end(predictor: Generator) -> None:
    prompt = (LETTERS * 10)[: 3 * BLOCK + 1]
    asked = {"max_tokens": 20, "temperature": 0}
    long, short = ask(predictor, {"prompt": prompt, **asked}, {"prompt": prompt[-BLOCK:], **asked})
    assert long.text == short.text and long.usage.prompt_tokens == 3 * BLOCK + 1


@pytest.mark.parametrize("length", [1, 2, BLOCK, BLOCK + 1, BLOCK + 2, 3 * BLOCK - 1, 3 * BLOCK + 1])
def test_each_token_of_a_long_echo_is_judged_by_half_a_context_or_more(predictor: Generator, length: int) -> None:
    prompt = (LETTERS * 10)[:length]
    asked = {"prompt": prompt, "max_tokens": 0, "echo": True, "logprobs": True, "top_logprobs": 5}
    logprobs = ask(predictor, asked)[0].logprobs
    assert logprobs.tokens == list(prompt) and logprobs.text_offset == list(range(length))
    assert len(logprobs.token_logprobs) == len(logprobs.top_logprobs) == length
    ids = predictor.encode(prompt)
    for place, (own, top) in enumerate(zip(logprobs.token_logprobs, logprobs.top_logprobs, strict=True)):
        if place == 0:
            assert own is None and top is None
            continue
        # Some context between half and all of the block, ending here, gives the same figure.
        shortest, longest = min(place, BLOCK // 2 + 1), min(place, BLOCK)
        figures = [
            log_softmax(predictor.decoder.read([ids[place - size : place]])[0][-1])[ids[place]]
            for size in range(shortest, longest + 1)
        ]
        assert np.abs(np.array(figures) - own).min() < 1e-4
        assert len(top) == 5 and own <= max(top.values()) + 1e-9


def test_tokens_of_the_stop_sequence_have_no_logprobs(byte_predictor: Generator) -> None:
    for seed in range(10):
        asked = {"prompt": "abc", "max_tokens": 60, "temperature": 2, "seed": seed, "logprobs": True}
        whole = ask(byte_predictor, asked)[0]
        stop = whole.text[7:10]
        cut = ask(byte_predictor, {**asked, "stop": [stop]})[0]
        assert cut.finish_reason == "stop" and whole.text.startswith(cut.text) and stop not in cut.text
        count = len(cut.logprobs.tokens)
        assert cut.logprobs.tokens == whole.logprobs.tokens[:count]
        assert all(offset < len(cut.text) for offset in cut.logprobs.text_offset)
        assert cut.usage.completion_tokens >= count


# ---------------------------------------------------------------- text and streams


@pytest.mark.parametrize("stop", [["e"], ["gh", "x"], ["efgh", "g"], ["cd"]])
def test_the_text_ends_before_a_stop_sequence(stop: list[str]) -> None:
    """The writer is fed one letter at a time: 'abcdefghij'."""
    tokenizer = tokens.characters(LETTERS)
    request = _request(stop=stop)
    writer, pieces = Writer(request, tokenizer), []
    for letter in "abcdefghij":
        more = writer.choose(np.where(np.arange(len(LETTERS)) == tokenizer.token_to_id(letter), 50.0, 0.0))
        pieces.append(writer.take())
        if more is None:
            break
    whole = "abcdefghij"
    expected = whole[: min(whole.find(one) for one in stop if one in whole)]
    if stop == ["efgh", "g"]:  # 'g' is complete before 'efgh' is
        expected = "abcdef"
    assert "".join(pieces) == writer.text == expected
    assert writer.finish_reason == "stop"


def _request(**changes: Any) -> Any:
    from pipelines.common.generation import Request

    class Asked(Request):
        prompt: str = ""

    return Asked(temperature=0, max_tokens=100, **changes)


@pytest.mark.parametrize("kind", ["predictor", "byte_predictor"])
def test_the_pieces_of_a_stream_are_the_answer(kind: str, request: pytest.FixtureRequest) -> None:
    predictor = request.getfixturevalue(kind)
    for seed in range(8):
        asked = {"prompt": "abc", "max_tokens": 50, "seed": seed, "temperature": 2, "stop": ["ab", "\n"], "echo": True}
        *pieces, last = predictor.stream(predictor.Request.model_validate(asked))
        assert last == ask(predictor, asked)[0]
        assert "".join(pieces) == last.text


def test_half_a_character_is_not_sent(byte_predictor: Generator) -> None:
    request = byte_predictor.Request(prompt="a", max_tokens=3, temperature=0)
    writer, pieces = Writer(request, byte_predictor.tokenizer), []
    for token in byte_predictor.encode("你"):
        writer.choose(np.where(np.arange(300) == token, 50.0, 0.0))
        pieces.append(writer.take())
    assert pieces == ["", "", "你"]


def test_closing_a_stream_stops_the_decoding(predictor: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    step = predictor.decoder._step
    monkeypatch.setattr(predictor.decoder, "_step", lambda *given: steps.append(1) or step(*given))
    source = predictor.stream(predictor.Request(prompt="abc", max_tokens=1000, seed=1))

    async def two_pieces() -> None:
        events = stream.pieces(source)
        async for _ in events:
            if len(steps) > 2:
                break
        await events.aclose()  # what Starlette does when the client has gone

    asyncio.run(two_pieces())
    assert len(steps) < 10


# ---------------------------------------------------------------- HTTP


@pytest.fixture(scope="module")
def client(artifacts: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(bundles=str(artifacts))), raise_server_exceptions=False) as client:
        yield client


BAD: list[tuple[dict[str, Any], str]] = [
    ({"prompt": ""}, "at least 1 character"),
    ({"prompt": "a" * 20_001}, "at most 20000 characters"),
    ({"prompt": "abß"}, "'ß'"),
    ({"prompt": 3}, "string"),
    ({"prompt": None}, "string"),
    ({}, "missing"),
    ({"prompt": "a", "max_tokens": -1}, "greater than or equal to 0"),
    ({"prompt": "a", "max_tokens": 10**9}, "less than or equal to 1024"),
    ({"prompt": "a", "temperature": -1}, "greater than or equal to 0"),
    ({"prompt": "a", "temperature": 1e308}, "less than or equal to 10"),
    ({"prompt": "a", "top_p": 0}, "greater than 0"),
    ({"prompt": "a", "stop": [""]}, "at least 1 character"),
    ({"prompt": "a", "stop": list("abcde")}, "at most 4"),
    ({"prompt": "a", "seed": -1}, "greater than or equal to 0"),
    ({"prompt": "a", "seed": 2**64}, "less than"),
    ({"prompt": "a", "temprature": 1}, "not a known field"),
]


@pytest.mark.parametrize(("body", "said"), BAD, ids=lambda value: str(value)[:40])
def test_bad_requests_are_answered_in_words(client: TestClient, body: dict[str, Any], said: str) -> None:
    headers = {"content-type": "application/json"}
    for path, content in (("predict", {"inputs": [body]}), ("stream", body)):
        answer = client.post(f"/models/mini_gpt/{path}", content=json.dumps(content), headers=headers)
        assert answer.status_code == 422 and answer.headers["content-type"] == "application/problem+json"
        assert said in answer.text


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"model": "mini_gpd", "prompt": "a"}, 404, "did you mean 'mini_gpt'?"),
        ({"model": "mini_gpt", "prompt": []}, 422, "prompt"),
        ({"model": "mini_gpt", "prompt": "ß"}, 422, "does not know the character 'ß'"),
        ({"model": "mini_gpt", "prompt": [1, 2]}, 422, "prompt"),
        ({"model": "mini_gpt", "prompt": "a", "n": 2}, 422, "n"),
        ({"model": "mini_gpt", "prompt": "a", "logprobs": 6}, 422, "logprobs"),
        ({"model": "mini_gpt", "prompt": "a", "presence_penalty": 0.5}, 422, "presence_penalty"),
        ({"model": "mini_gpt", "prompt": "a", "stream": True, "logprobs": 1}, 422, "do not go together"),
        ({"model": "mini_gpt", "prompt": ["a"] * 65}, 422, "at most 64"),
        ({"model": "mini_gpt", "prompt": "a", "best_of": 2}, 422, "best_of"),
        ({"model": "mini_gpt", "prompt": "a", "max_tokens": 10**6}, 422, "max_tokens"),
        ({"model": "mini_gpt", "prompt": "a", "stream": True, "temperature": -1}, 422, "temperature"),
    ],
)
def test_bad_completions_are_answered_in_words(
    client: TestClient, body: dict[str, Any], status: int, said: str
) -> None:
    answer = client.post("/v1/completions", json=body)
    assert answer.status_code == status and answer.headers["content-type"] == "application/problem+json"
    assert said in answer.text


def test_a_stream_ends_with_the_answer(client: TestClient, predictor: Generator) -> None:
    body = {"prompt": "abc", "max_tokens": 30, "seed": 5}
    answer = client.post("/models/mini_gpt/stream", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [dict(line.split(": ", 1) for line in event.splitlines()) for event in answer.text.strip().split("\n\n")]
    *pieces, last = [(event["event"], json.loads(event["data"])) for event in events]
    assert last == ("done", ask(predictor, body)[0].model_dump())
    assert "".join(piece["text"] for _, piece in pieces) == last[1]["text"]


def test_a_model_that_writes_no_text_has_no_stream(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert [path for path in paths if path.endswith("/stream")] == ["/models/mini_gpt/stream"]


@pytest.fixture(scope="module")
def openai_client(artifacts: Path) -> Iterator[Any]:
    """OpenAI's own client against a server on a free port."""
    from openai import OpenAI

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(create_app(Settings(bundles=str(artifacts))), port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
    server.should_exit = True
    thread.join(10)


def test_openais_client_completes(openai_client: Any, predictor: Generator) -> None:
    asked = {"max_tokens": 20, "temperature": 0.7, "seed": 3}
    found = openai_client.completions.create(model="mini_gpt", prompt=["abc", "j"], logprobs=0, stop="a", **asked)
    expected = ask(predictor, *({"prompt": prompt, "stop": ["a"], **asked} for prompt in ("abc", "j")))
    assert [choice.text for choice in found.choices] == [answer.text for answer in expected]
    assert [choice.finish_reason for choice in found.choices] == [answer.finish_reason for answer in expected]
    assert found.usage.completion_tokens == sum(answer.usage.completion_tokens for answer in expected)
    logprobs = found.choices[0].logprobs
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.text_offset)


def test_openais_client_streams(openai_client: Any, predictor: Generator) -> None:
    asked = {"prompt": "abc", "max_tokens": 20, "temperature": 0.7, "seed": 3}
    chunks = list(openai_client.completions.create(model="mini_gpt", stream=True, **asked))
    assert "".join(chunk.choices[0].text for chunk in chunks) == ask(predictor, asked)[0].text
    assert chunks[-1].choices[0].finish_reason == "length" and len(chunks) > 5


def test_openais_client_understands_refusals(openai_client: Any) -> None:
    import openai

    with pytest.raises(openai.NotFoundError, match="did you mean 'mini_gpt'"):
        openai_client.completions.create(model="minigpt", prompt="a")
    with pytest.raises(openai.UnprocessableEntityError, match="does not know the character"):
        openai_client.completions.create(model="mini_gpt", prompt="ß")


def test_openais_client_lists_the_models(openai_client: Any) -> None:
    import openai

    assert [model.id for model in openai_client.models.list()] == ["mini_gpt"]
    assert openai_client.models.retrieve("mini_gpt").owned_by
    with pytest.raises(openai.NotFoundError):
        openai_client.models.retrieve("titanic")


def test_openais_client_scores_a_text_as_evaluation_harnesses_do(openai_client: Any, predictor: Generator) -> None:
    neutral = {"n": 1, "best_of": 1, "presence_penalty": 0, "frequency_penalty": 0, "logit_bias": {}, "user": "me"}
    found = openai_client.completions.create(
        model="mini_gpt", prompt="abcdef", max_tokens=0, echo=True, logprobs=1, temperature=0, **neutral
    )
    logprobs = found.choices[0].logprobs
    assert logprobs.tokens == list("abcdef") and logprobs.text_offset == [0, 1, 2, 3, 4, 5]
    greedy = ask(predictor, {"prompt": "abc", "max_tokens": 1, "temperature": 0})[0].text
    assert list(logprobs.top_logprobs[3]) == [greedy]


def test_openais_client_is_told_the_usage_of_a_stream(openai_client: Any) -> None:
    *_, last = openai_client.completions.create(
        model="mini_gpt", prompt=["ab", "c"], max_tokens=7, stream=True, stream_options={"include_usage": True}
    )
    assert last.choices == [] and (last.usage.prompt_tokens, last.usage.completion_tokens) == (3, 14)


def test_a_client_that_hangs_up_ends_the_decoding(
    openai_client: Any, artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    step = Decoder._step

    def slow(*given: Any) -> Any:
        steps.append(1)
        time.sleep(0.01)
        return step(*given)

    monkeypatch.setattr(Decoder, "_step", slow)
    answer = openai_client.completions.create(model="mini_gpt", prompt="abc", max_tokens=1000, stream=True)
    next(iter(answer))
    answer.close()
    time.sleep(0.5)
    before = len(steps)
    time.sleep(0.3)
    assert len(steps) == before < 200


def test_a_request_brings_at_most_64_prompts(client: TestClient) -> None:
    asked = {"prompt": "a", "max_tokens": 1}
    assert client.post("/models/mini_gpt/predict", json={"inputs": [asked] * 64}).status_code == 200
    answer = client.post("/models/mini_gpt/predict", json={"inputs": [asked] * 65})
    assert answer.status_code == 422 and "at most 64" in answer.text
