"""Texts that follow a grammar: whatever an untrained model would rather write, the JSON is of its schema."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from roadmap.bundle import Bundle, CallFormat, load_predictor
from roadmap.inference.language.generation import Generator
from roadmap.inference.language.grammars import json_of
from roadmap.inference.language.tool_calls import Call, CallReader, calls_grammar
from tests.support.letters import ask

NAMES = st.sampled_from(["a", "b c", 'd"', "你", "e\n"])
NUMBERS = st.tuples(st.integers(-50, 50), st.integers(0, 60)).map(lambda n: {"minimum": n[0], "maximum": n[0] + n[1]})
LEAVES = st.one_of(
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["boolean", "null"]}]),
    st.lists(NAMES | st.integers(-5, 5) | st.none(), min_size=1, max_size=3).map(lambda values: {"enum": values}),
    (NAMES | st.booleans()).map(lambda value: {"const": value}),
    NUMBERS.map(lambda bounds: {"type": "integer", **bounds}),
    st.integers(0, 4).map(lambda n: {"type": "string", "minLength": n // 2, "maxLength": n}),
    st.sampled_from(["[ab]{1,3}", "^x+y?$"]).map(lambda one: {"type": "string", "pattern": one, "maxLength": 4}),
    st.just({"type": "string", "format": "date"}),
)


def deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.tuples(inner, st.integers(0, 2)).map(lambda one: {"type": "array", "items": one[0], "maxItems": one[1]}),
        st.tuples(st.dictionaries(NAMES, inner, max_size=3), st.integers(0, 3)).map(
            lambda one: {
                "type": "object",
                "properties": one[0],
                "required": sorted(one[0])[: one[1]],
                "additionalProperties": False,
            }
        ),
        st.lists(inner, min_size=1, max_size=2).map(lambda schemas: {"anyOf": schemas}),
    )


FORMS = [CallFormat(), CallFormat("<|call|>", "", "f", "x")]
SCHEMAS = st.recursive(LEAVES, deeper, max_leaves=4)


@pytest.fixture(scope="module")
def bundle(chatml: Path) -> Bundle:
    """An untrained model of single bytes."""
    return Bundle(chatml / "mini_gpt" / "bundle")


@pytest.fixture(scope="module")
def chatty(bundle: Bundle) -> Any:
    return load_predictor(bundle)


def written(predictor: Generator, grammar: str, **settings: Any) -> Any:
    return ask(predictor, {"prompt": "a", "grammar": grammar, "max_tokens": 400, **settings})[0]


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(schema=SCHEMAS, seed=st.integers(0, 9), temperature=st.sampled_from([0.0, 1.0, 9.0]))
def test_the_text_is_of_the_schema(chatty: Generator, schema: Any, seed: int, temperature: float) -> None:
    found = written(chatty, f"start: {json_of(schema)}", seed=seed, temperature=temperature, repetition_penalty=1.2)
    assert found.finish_reason == "stop"
    Draft202012Validator(schema).validate(json.loads(found.text))


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(inner=SCHEMAS, seed=st.integers(0, 9), form=st.sampled_from(FORMS))
def test_a_call_is_of_a_tool(chatty: Generator, inner: Any, seed: int, form: CallFormat) -> None:
    schema = {"type": "object", "properties": {"a": inner}, "required": ["a"], "additionalProperties": False}
    grammar = "start: calls\n" + calls_grammar(form, {"look": schema}, several=False)
    reader = CallReader(form, ["look"])
    (call,) = [*reader.read(written(chatty, grammar, seed=seed).text), *reader.close()]
    assert isinstance(call, Call)
    Draft202012Validator(schema).validate(json.loads(call.arguments))


def test_references_stay_within_the_schema(chatty: Generator) -> None:
    node = {"type": "object", "properties": {"of": {"$ref": "#/$defs/node"}}, "additionalProperties": False}
    schema = {"$ref": "#/$defs/node", "$defs": {"node": node}}
    Draft202012Validator(schema).validate(json.loads(written(chatty, f"start: {json_of(schema)}", seed=1).text))


def test_a_text_alone_is_as_among_others(chatty: Generator) -> None:
    schema = {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 5, "maxItems": 9}
    bodies = [{"prompt": "abc"[: 1 + seed % 3], "seed": seed, "max_tokens": 90} for seed in range(6)]
    for number in (1, 4):
        bodies[number]["grammar"] = f"start: {json_of(schema)}"
    together = ask(chatty, *bodies)
    assert [one.text for one in together] == [ask(chatty, body)[0].text for body in bodies]


def test_a_text_that_could_go_on_ends_by_the_models_own_mark(chatty: Generator) -> None:
    texts = {written(chatty, "start: /[0-9]+/", seed=seed, temperature=9).text for seed in range(8)}
    assert all(text.isdigit() for text in texts) and {len(text) for text in texts} > {1, 2}


def test_log_probabilities_are_the_models_own(chatty: Generator) -> None:
    free = ask(chatty, {"prompt": "a", "max_tokens": 1, "logprobs": True, "top_logprobs": 20, "seed": 1})[0]
    bound = written(chatty, 'start: "Z"', logprobs=True, top_logprobs=20)
    assert bound.logprobs.top_logprobs == free.logprobs.top_logprobs
    assert bound.text == "Z" and bound.logprobs.token_logprobs[0] < -1


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "object", "not": {}}, 'Unimplemented keys: \\["not"\\]$'),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"if": {"type": "null"}}, '"if"'),
        ({"type": "string", "pattern": "(?=a)b"}, "enforced: pattern: .*look-ahead"),
        ({"type": "string", "format": "frob"}, "Unknown format: frob$"),
        ({"$ref": "#/$defs/none"}, r"enforced: \$ref: .*does not exist$"),
        ({"$ref": "http://127.0.0.1/"}, r"enforced: \$ref: .*does not fetch"),
        ({"type": "strin"}, "Invalid type: strin$"),
        ({"oneOf": [{"type": "string"}, {"maxLength": 3}]}, "oneOf constraints are not supported$"),
        ({"minLength": 3, "maxLength": 1, "type": "string"}, "Unsatisfiable schema: minLength"),
    ],
)
def test_a_keyword_that_cant_be_enforced_is_named(chatty: Generator, schema: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        chatty.enforceable(f"start: {json_of(schema)}")


def test_a_broken_grammar_is_refused(chatty: Generator) -> None:
    with pytest.raises(ValueError, match="Expected token"):
        chatty.enforceable("start: (")


def test_letters_are_not_enough(writer: Generator) -> None:
    with pytest.raises(ValueError, match="vocabulary is not one of bytes"):
        writer.enforceable('start: "a"')


def test_without_the_library_one_line_says_so(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    predictor = load_predictor(bundle)
    with pytest.raises(ValueError, match="llguidance is not installed"):
        predictor.enforceable('start: "a"')  # type: ignore[attr-defined]
