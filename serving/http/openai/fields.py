"""Fields of the OpenAI reference, vLLM and llama.cpp's server that no model here supports.

A field may be off, or have the servers' default; any other value is rejected by name. Hints, which change no output on
any server, are accepted with any value.
Sources: OpenAI's Python client 3.57; vLLM, vllm/entrypoints/openai/*/protocol.py; llama.cpp,
tools/server/server-schema.cpp; Open WebUI 0.12, which also sends Ollama's.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, Field, create_model
from pydantic_core import PydanticCustomError, to_json

from serving.errors import cut

EMPTY: tuple[Any, ...] = (None, "", [], {})  # off, whatever the field

KINDS = ((str, "a text"), (list, "a list"), (dict, "an object"), (object, "something else"))
SETTING = re.compile(r"[a-z0-9_-]{1,20}")

Fields = dict[str, dict[str, tuple[Any, ...]]]  # reason -> field -> what it may say beside EMPTY
M = TypeVar("M", bound=BaseModel)

# Fields of completions and chats.
SAMPLING: Fields = {
    "one completion is generated per prompt": {"n": (1,), "n_cmpl": (1,)},
    "only repetition_penalty is supported": {
        "presence_penalty": (0,),
        "frequency_penalty": (0,),
        "dry_multiplier": (0,),
        "length_penalty": (1,),
        "repetition_detection": (),
    },
    "sampling supports only temperature, top_k, top_p and repetition_penalty": {
        "logit_bias": (),
        "min_p": (0,),
        "typical_p": (1,),
        "tfs_z": (1,),
        "top_n_sigma": (-1,),
        "xtc_probability": (0,),
        "mirostat": (0,),
        "dynatemp_range": (0,),
        "adaptive_target": (-1,),
        "min_keep": (0, 1),
        "use_beam_search": (False,),
        "samplers": (),
        "logits_processors": (),
        "watermarking": (False,),
    },
    "tokens can be neither forced nor forbidden": {
        "min_tokens": (0,),
        "allowed_token_ids": (),
        "bad_words": (),
        "stop_token_ids": (),
        "ignore_eos": (False,),
        "include_stop_str_in_output": (False,),
        "n_indent": (0,),
    },
    "output formats are enforced in chats, by response_format": {
        "response_format": ({"type": "text"},),
        "structured_outputs": (),
        "guided_json": (),
        "guided_regex": (),
        "guided_choice": (),
        "guided_grammar": (),
        "guided_decoding_backend": (),
        "guided_whitespace_pattern": (),
        "grammar": (),
        "grammar_lazy": (False,),
        "grammar_triggers": (),
        "grammar_type": (),
        "preserved_tokens": (),
        "json_schema": (),
        "format": (),
        "chat_format": (0,),
        "chat_parser": (),
    },
    "a response has text, log-probabilities and usage": {
        "prompt_logprobs": (0, False),
        "logprob_token_ids": (),
        "return_tokens_as_token_ids": (False,),
        "return_token_ids": (False,),
        "return_token_offsets": (False,),
        "return_tokens": (False,),
        "return_progress": (False,),
        "return_prompt_text": (False,),
        "timings_per_token": (False,),
        "verbose": (False,),
        "post_sampling_probs": (False,),
        "response_fields": (),
    },
    "prompts are not truncated; the model sees the last tokens": {
        "truncate_prompt_tokens": (-1,),
        "truncation_side": ("left",),
        "n_keep": (0,),
        "num_keep": (0,),
        "num_ctx": (),
        "generation_prompt": (),
        "n_discard": (0,),
    },
    "the model doesn't reason before it answers": {
        "reasoning_effort": ("none",),
        "thinking_token_budget": (-1, 0),
        "reasoning_budget": (-1, 0),
        "reasoning_budget_tokens": (-1, 0),
        "thinking_forced_open": (False,),
        "thinking": (False, {"type": "disabled"}),
        "enable_thinking": (False,),
        "think": (False,),
    },
    "the server has one queue and one tier": {
        "service_tier": ("auto", "default"),
        "priority": (0,),
    },
    "the time limit of a request is the header X-Request-Timeout": {"t_max_predict_ms": (0, -1)},
    "the model is fixed by its bundle": {"lora": (), "vllm_xargs": (), "kv_transfer_params": ()}
    | {"ec_transfer_params": (), "mm_processor_kwargs": (), "media_io_kwargs": (), "image_data": ()},
}

COMPLETION: Fields = {
    "text can be continued, not inserted": {"suffix": ()},
    "one completion is generated per prompt": {"best_of": (1,)},
    "a prompt is text or token ids": {"prompt_embeds": (), "input_prefix": (), "input_suffix": (), "input_extra": ()},
}

CHAT: Fields = {
    "tools are in the field tools": {
        "functions": (),
        "function_call": ("none", "auto"),
        "web_search_options": (),
        "documents": (),
    },
    "the model generates only text": {"audio": (), "modalities": (["text"],), "verbosity": ("medium",)},
    "predicted outputs, storage and moderation are unsupported": {
        "prediction": (),
        "store": (False,),
        "moderation": (),
    },
    "the bundle's own chat template is used": {
        "chat_template": (),
        "chat_template_kwargs": (),
        "echo": (False,),
    },
}

EMBEDDING: Fields = {
    "the model sees the last tokens of a text": {
        "truncate_prompt_tokens": (-1,),
        "truncation_side": ("left",),
    },
    "vectors are float32 of length 1": {
        "embed_dtype": ("float32",),
        "endianness": ("native", "little"),
        "normalize": (True,),
        "use_activation": (True,),
        "embd_normalize": (2,),
    },
    "texts are embedded unchanged": {"input_type": (), "chat_template_kwargs": (), "mm_processor_kwargs": ()},
    "the server has one queue and one tier": {"priority": (0,)},
}

# Whatever they say, the answer is the same: who asks, what a cache may keep, how quickly it is written.
HINTS = (
    "user",
    "safety_identifier",
    "metadata",
    "session_id",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "cache_prompt",
    "cache_salt",
    "n_cache_reuse",
    "id_slot",
    "stream_interval",
    "sse_ping_interval",
    "keep_alive",
    "num_batch",
    "num_gpu",
    "num_thread",
    "use_mlock",
    "use_mmap",
    "backend_sampling",
    "speculative.n_max",
    "speculative.n_min",
    "speculative.p_min",
    "speculative.type",
    # of what is off: parameters of samplers that are refused, of tools, of reasoning and of special tokens
    "repeat_last_n",
    "penalize_nl",
    "dry_base",
    "dry_allowed_length",
    "dry_penalty_last_n",
    "dry_sequence_breakers",
    "xtc_threshold",
    "mirostat_tau",
    "mirostat_eta",
    "dynatemp_exponent",
    "adaptive_decay",
    "parallel_tool_calls",
    "parse_tool_calls",
    "include_reasoning",
    "reasoning_budget_end_tag",
    "reasoning_budget_end_tags",
    "reasoning_budget_message",
    "reasoning_budget_start_tag",
    "reasoning_control",
    "reasoning_format",
    "reasoning_in_content",
    "skip_special_tokens",
    "spaces_between_special_tokens",
    "add_special_tokens",
    "routed_experts_prompt_start",
    "return_mm_kwargs",
)


def lacking(*groups: Fields) -> Callable[[type[M]], type[M]]:
    """Decorator of a request type: adds these fields, which may only be off, and the hints."""

    def add(base: type[M]) -> type[M]:
        known = set(base.model_fields)
        fields: dict[str, Any] = {}
        for group in groups:
            for reason, names in group.items():
                for name, neutral in names.items():
                    description = f"may only be off: {reason}"
                    kind = Annotated[Any, AfterValidator(_neutral(neutral, reason))]
                    fields[name] = (kind, Field(default=None, description=description))
        for name in HINTS:
            fields[name.replace(".", "_")] = (Any, Field(default=None, alias=name, description="without effect"))
        new = {name: field for name, field in fields.items() if name not in known}
        return create_model(base.__name__, __base__=base, __module__=base.__module__, __doc__=base.__doc__, **new)

    return add


def _neutral(neutral: tuple[Any, ...], reason: str) -> Callable[[Any], Any]:
    def check(value: object) -> object:
        if off(value, neutral):
            return value
        expected = f"expected {to_json(neutral[0]).decode()} or nothing" if neutral else "leave it out"
        context = {"found": shown(value), "expected": expected, "reason": reason}
        raise PydanticCustomError("lacking", "found {found}; {expected}: {reason}", context)

    return check


def shown(value: object) -> str:
    """A setting as sent; for possible user text, only its type."""
    if isinstance(value, bool | int | float) or (isinstance(value, str) and SETTING.fullmatch(value)):
        return cut(to_json(value, inf_nan_mode="constants").decode())
    return next(word for kind, word in KINDS if isinstance(value, kind))


def off(value: object, neutral: tuple[object, ...] = ()) -> bool:
    """Whether a field is off, or has one of these values; 1 and true differ."""
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in (*EMPTY, *neutral))
