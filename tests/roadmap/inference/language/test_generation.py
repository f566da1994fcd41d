"""Text generation: a cache that changes nothing, independent batches, and stopping."""

from typing import Any

import numpy as np
import pytest

from pipelines.mini_gpt.data import tokens
from roadmap.bundle import Bundle, load_predictor
from roadmap.inference.language.decoding import Decoder
from roadmap.inference.language.generation import Generator
from roadmap.inference.language.sampling import log_softmax
from roadmap.inference.language.writing import CompletionState, Request
from tests.support.letters import BLOCK, LETTERS, ask, bundle_of


@pytest.fixture(scope="module")
def predictor(writer: Generator) -> Generator:
    return writer


@pytest.fixture(scope="module")
def byte_predictor(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    folder = bundle_of(tmp_path_factory.mktemp("bytes"), tokens.byte_pairs("abc " * 100, 300), "bpe")
    return load_predictor(Bundle(folder / "mini_gpt" / "bundle"))  # type: ignore[return-value]


def naive(decoder: Decoder, text: list[int], steps: int) -> list[int]:
    """Greedy decoding that reads the whole context for every token."""
    context, written = list(text), []
    for _ in range(steps):
        written.append(int(decoder.read([context])[0][-1].argmax()))
        context.append(written[-1])
        if len(context) > decoder.block:
            context = context[-(decoder.block // 2) :]
    return written


def test_the_kv_cache_changes_nothing_even_with_a_full_context(predictor: Generator) -> None:
    answer = ask(predictor, {"prompt": "abc", "max_tokens": 70, "temperature": 0})[0]
    assert predictor.encode(answer.text) == naive(predictor.decoder, predictor.encode("abc"), 70)


def test_each_text_drops_tokens_when_its_context_is_full(predictor: Generator) -> None:
    """Prompts of all lengths fill their contexts at different steps; each continues as if alone."""
    prompts = [(LETTERS * 3)[start : start + length] for start, length in enumerate((1, BLOCK - 1, 5, BLOCK, 9))]
    lengths = (90, 40, 75, 90, 3)
    requests = [
        {"prompt": prompt, "max_tokens": length, "temperature": 0}
        for prompt, length in zip(prompts, lengths, strict=True)
    ]
    for prompt, length, answer in zip(prompts, lengths, ask(predictor, *requests), strict=True):
        assert predictor.encode(answer.text) == naive(predictor.decoder, predictor.encode(prompt), length)


def test_text_does_not_depend_on_the_batch(predictor: Generator) -> None:
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


def test_the_seed_determines_the_text(predictor: Generator) -> None:
    requests = [{"prompt": "abc", "max_tokens": 40, "temperature": 1.5, "seed": seed} for seed in (7, 7, 8)]
    first, second, third = (answer.text for answer in ask(predictor, *requests))
    assert first == second != third


def test_echo_returns_the_prompts_log_probabilities(predictor: Generator) -> None:
    answer = ask(predictor, {"prompt": "abcdefg", "max_tokens": 0, "echo": True, "logprobs": True})[0]
    assert answer.text == "abcdefg" and answer.usage.completion_tokens == 0
    ids = predictor.encode("abcdefg")
    for place in range(1, len(ids)):
        logits = predictor.decoder.read([ids[:place]])[0][-1]
        assert answer.logprobs.token_logprobs[place] == pytest.approx(log_softmax(logits)[ids[place]], abs=1e-4)
    assert answer.logprobs.token_logprobs[0] is None and answer.logprobs.tokens == list("abcdefg")


def test_long_prompts_are_truncated_on_the_left(predictor: Generator) -> None:
    prompt = (LETTERS * 10)[: 3 * BLOCK + 1]
    request = {"max_tokens": 20, "temperature": 0}
    long, short = ask(predictor, {"prompt": prompt, **request}, {"prompt": prompt[-BLOCK:], **request})
    assert long.text == short.text and long.usage.prompt_tokens == 3 * BLOCK + 1


@pytest.mark.parametrize("length", [1, 2, BLOCK, BLOCK + 1, BLOCK + 2, 3 * BLOCK - 1, 3 * BLOCK + 1])
def test_tokens_of_a_long_echo_have_at_least_half_a_context(predictor: Generator, length: int) -> None:
    prompt = (LETTERS * 10)[:length]
    request = {"prompt": prompt, "max_tokens": 0, "echo": True, "logprobs": True, "top_logprobs": 5}
    logprobs = ask(predictor, request)[0].logprobs
    assert logprobs.tokens == list(prompt) and logprobs.text_offset == list(range(length))
    assert len(logprobs.token_logprobs) == len(logprobs.top_logprobs) == length
    ids = predictor.encode(prompt)
    for place, (own, top) in enumerate(zip(logprobs.token_logprobs, logprobs.top_logprobs, strict=True)):
        if place == 0:
            assert own is None and top is None
            continue
        # Some context between half and all of the block, ending here, gives the same value.
        shortest, longest = min(place, BLOCK // 2 + 1), min(place, BLOCK)
        figures = [
            log_softmax(predictor.decoder.read([ids[place - size : place]])[0][-1])[ids[place]]
            for size in range(shortest, longest + 1)
        ]
        assert np.abs(np.array(figures) - own).min() < 1e-4
        assert len(top) == 5 and own <= max(top.values()) + 1e-9


def test_tokens_of_the_stop_sequence_have_no_logprobs(byte_predictor: Generator) -> None:
    for seed in range(10):
        request = {"prompt": "abc", "max_tokens": 60, "temperature": 2, "seed": seed, "logprobs": True}
        whole = ask(byte_predictor, request)[0]
        stop = whole.text[7:10]
        cut = ask(byte_predictor, {**request, "stop": [stop]})[0]
        assert cut.finish_reason == "stop" and whole.text.startswith(cut.text) and stop not in cut.text
        count = len(cut.logprobs.tokens)
        assert cut.logprobs.tokens == whole.logprobs.tokens[:count]
        assert all(offset < len(cut.text) for offset in cut.logprobs.text_offset)
        assert cut.usage.completion_tokens >= count


# ---------------------------------------------------------------- text


@pytest.mark.parametrize("stop", [["e"], ["gh", "x"], ["efgh", "g"], ["cd"]])
def test_the_text_ends_before_a_stop_sequence(stop: list[str]) -> None:
    """The writer is fed one letter at a time: 'abcdefghij'."""
    tokenizer = tokens.characters(LETTERS)
    request = _request(stop=stop)
    writer, pieces = CompletionState(request, tokenizer), []
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
    class AnyRequest(Request):
        prompt: str = ""

    return AnyRequest(temperature=0, max_tokens=100, **changes)


@pytest.mark.parametrize("kind", ["predictor", "byte_predictor"])
def test_the_pieces_of_a_stream_are_the_text(kind: str, request: pytest.FixtureRequest) -> None:
    predictor = request.getfixturevalue(kind)
    for seed in range(8):
        body = {
            "prompt": "abc",
            "max_tokens": 50,
            "seed": seed,
            "temperature": 2,
            "stop": ["ab", "\n"],
            "echo": True,
        }
        *pieces, last = predictor.stream(predictor.Request.model_validate(body))
        assert last == ask(predictor, body)[0]
        assert "".join(pieces) == last.text


def test_incomplete_characters_are_not_sent(byte_predictor: Generator) -> None:
    request = byte_predictor.Request(prompt="a", max_tokens=3, temperature=0)
    writer, pieces = CompletionState(request, byte_predictor.tokenizer), []
    for token in byte_predictor.encode("你"):
        writer.choose(np.where(np.arange(300) == token, 50.0, 0.0))
        pieces.append(writer.take())
    assert pieces == ["", "", "你"]
