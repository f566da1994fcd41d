"""Every field of OpenAI's reference, of vLLM's and of llama.cpp's is known: a newer client's new field fails here."""

import typing
from typing import Any

import pytest
from openai.types import completion_create_params, embedding_create_params
from openai.types.chat import (
    ChatCompletionAssistantMessageParam,
    ChatCompletionContentPartRefusalParam,
    ChatCompletionContentPartTextParam,
    ChatCompletionDeveloperMessageParam,
    ChatCompletionMessageParam,
    ChatCompletionStreamOptionsParam,
    ChatCompletionSystemMessageParam,
    ChatCompletionToolMessageParam,
    ChatCompletionUserMessageParam,
)
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.chat.chat_completion_content_part_param import ChatCompletionContentPartParam
from pydantic import BaseModel

from serving.http.openai.api import StreamOptions
from serving.http.openai.chat import ChatCompletionRequest
from serving.http.openai.completions import CompletionRequest
from serving.http.openai.embeddings import EmbeddingRequest
from serving.http.openai.messages import ContentPart, Message

# vllm/entrypoints/openai/{chat_completion,completion}/protocol.py and pooling/embed/protocol.py, of November 2026.
VLLM_SAMPLING = """
    model frequency_penalty logit_bias logprobs max_tokens n presence_penalty response_format seed stop stream
    stream_options temperature top_p user use_beam_search top_k min_p repetition_penalty watermarking length_penalty
    stop_token_ids include_stop_str_in_output ignore_eos min_tokens skip_special_tokens spaces_between_special_tokens
    truncate_prompt_tokens truncation_side prompt_logprobs logprob_token_ids allowed_token_ids bad_words echo
    add_special_tokens structured_outputs priority request_id session_id return_tokens_as_token_ids return_token_ids
    routed_experts_prompt_start return_token_offsets return_mm_kwargs cache_salt kv_transfer_params
    ec_transfer_params vllm_xargs repetition_detection thinking_token_budget stream_interval
"""
VLLM_CHAT = f"""{VLLM_SAMPLING}
    messages top_logprobs max_completion_tokens tools tool_choice reasoning_effort include_reasoning parallel_tool_calls
    add_generation_prompt continue_final_message documents chat_template chat_template_kwargs media_io_kwargs
    mm_processor_kwargs return_prompt_text
"""
VLLM_COMPLETION = f"{VLLM_SAMPLING} prompt suffix prompt_embeds"
VLLM_EMBEDDING = """
    model input encoding_format dimensions user truncate_prompt_tokens truncation_side request_id priority
    add_special_tokens cache_salt mm_processor_kwargs embed_dtype endianness use_activation normalize
"""
# tools/server/server-schema.cpp, of November 2026.
LLAMA_CPP = """
    verbose timings_per_token stream stream_options cache_prompt return_tokens return_progress sse_ping_interval
    n_predict n_indent n_keep n_discard n_cmpl n n_cache_reuse t_max_predict_ms response_fields top_k top_p min_p
    top_n_sigma xtc_probability xtc_threshold typical_p temperature dynatemp_range dynatemp_exponent repeat_last_n
    repeat_penalty frequency_penalty presence_penalty dry_multiplier dry_base dry_allowed_length dry_penalty_last_n
    mirostat mirostat_tau mirostat_eta adaptive_target adaptive_decay seed min_keep backend_sampling
    post_sampling_probs lora dry_sequence_breakers json_schema grammar grammar_type grammar_lazy chat_format
    reasoning_format generation_prompt parse_tool_calls chat_parser preserved_tokens grammar_triggers
    reasoning_control reasoning_budget_tokens reasoning_budget_start_tag reasoning_budget_end_tags
    reasoning_budget_end_tag reasoning_budget_message logit_bias ignore_eos stop samplers echo
"""


def fields(kind: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in kind.model_fields.items()}


@pytest.mark.parametrize(
    ("ours", "reference"),
    [
        (ChatCompletionRequest, chat_create_params.CompletionCreateParamsStreaming),
        (ChatCompletionRequest, chat_create_params.CompletionCreateParamsNonStreaming),
        (CompletionRequest, completion_create_params.CompletionCreateParamsStreaming),
        (CompletionRequest, completion_create_params.CompletionCreateParamsNonStreaming),
        (EmbeddingRequest, embedding_create_params.EmbeddingCreateParams),
        (StreamOptions, ChatCompletionStreamOptionsParam),
        (Message, ChatCompletionSystemMessageParam),
        (Message, ChatCompletionDeveloperMessageParam),
        (Message, ChatCompletionUserMessageParam),
        (Message, ChatCompletionAssistantMessageParam),
        (Message, ChatCompletionToolMessageParam),
        (ContentPart, ChatCompletionContentPartTextParam),
        (ContentPart, ChatCompletionContentPartRefusalParam),
    ],
)
def test_every_field_of_openais_reference_is_known(ours: type[BaseModel], reference: Any) -> None:
    assert set(typing.get_type_hints(reference)) <= fields(ours) | {"name", "prompt_cache_breakpoint"}


def test_every_kind_of_message_and_part_of_openais_reference_is_known() -> None:
    """Those that are none of ours are refused by their `role` or `type`."""
    roles = {
        typing.get_args(typing.get_type_hints(one)["role"])[0] for one in typing.get_args(ChatCompletionMessageParam)
    }
    assert roles == {"system", "developer", "user", "assistant", "tool", "function"}
    parts = typing.get_args(ChatCompletionContentPartParam)
    types = {typing.get_args(typing.get_type_hints(one)["type"])[0] for one in parts}
    assert types == {"text", "image_url", "input_audio", "file"}


@pytest.mark.parametrize(
    ("ours", "reference"),
    [
        (ChatCompletionRequest, VLLM_CHAT),
        (CompletionRequest, VLLM_COMPLETION),
        (EmbeddingRequest, VLLM_EMBEDDING),
        (ChatCompletionRequest, LLAMA_CPP),
        (CompletionRequest, f"{LLAMA_CPP} n_probs"),
        (EmbeddingRequest, "embd_normalize"),
    ],
)
def test_every_field_of_vllm_and_llama_cpp_is_known(ours: type[BaseModel], reference: str) -> None:
    assert set(reference.split()) - fields(ours) == set()
