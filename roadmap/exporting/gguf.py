"""Llama-like weights as GGUF, the file of llama.cpp and Ollama.

The names of tensors and keys are those of ggml's docs/gguf.md and of llama.cpp's convert_hf_to_gguf.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from roadmap.data import weights
from roadmap.exporting.vocabulary import Vocabulary, vocabulary_of
from roadmap.io.atomic import atomic_folder
from roadmap.io.errors import UsageError

if TYPE_CHECKING:
    from gguf import GGUFWriter

Kind = Literal["f32", "f16", "q8_0"]
MODEL, MODELFILE = "model.gguf", "Modelfile"
ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen3": "qwen3"}  # model_type -> llama.cpp's name
WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
PARTS = {  # of a layer
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
UNKNOWN = ("rope_scaling", "attention_bias", "mlp_bias")  # settings that must be off


@dataclass(frozen=True)
class Sizes:
    """Of a config.json."""

    architecture: str
    block: int
    width: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    d: int
    eps: float
    base: float

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Sizes":
        """Raises: UsageError: it is of no network that can be written."""
        kind = str(config.get("model_type"))
        rope = config.get("rope_parameters") or {}
        odd = [name for name in UNKNOWN if config.get(name)] + [
            name for name in ("sliding_window",) if config.get(name) and config.get("use_sliding_window", True)
        ]
        if kind not in ARCHITECTURES or odd or rope.get("rope_type", "default") != "default":
            found = f"model_type {kind!r}" + (f" with {', '.join(odd or [str(rope)])}" if kind in ARCHITECTURES else "")
            raise UsageError(
                f"config.json: found {found}; expected {', '.join(ARCHITECTURES)} without sliding windows, biases and "
                "scaled positions"
            )
        heads = config["num_attention_heads"]
        return cls(
            ARCHITECTURES[kind],
            config["max_position_embeddings"],
            config["hidden_size"],
            config["intermediate_size"],
            config["num_hidden_layers"],
            heads,
            config.get("num_key_value_heads") or heads,
            config.get("head_dim") or config["hidden_size"] // heads,
            config["rms_norm_eps"],
            float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0),
        )


def export(source: str, folder: Path, kind: Kind) -> None:
    """Writes model.gguf and a Modelfile.

    source: weights as `weights.find` finds them; kind: of the matrices, norms stay float32

    Raises:
        UsageError: the library is missing, or the network or its tokenizer can't be written.
    """
    try:
        import gguf
    except ImportError:
        raise UsageError("gguf: the library is missing; `pip install gguf`") from None
    published = weights.find(source, None)
    config = published.json("config.json")
    sizes, words = Sizes.of(config), vocabulary_of(published)
    state = {
        name: value.float().numpy()
        for name, value in weights.load(published.files[weights.WEIGHTS], published.sha256).items()
    }
    with atomic_folder(folder) as draft:
        writer = gguf.GGUFWriter(draft / MODEL, sizes.architecture)
        writer.add_name(Path(source).name)
        writer.add_file_type(
            {"f32": gguf.LlamaFileType.ALL_F32, "f16": gguf.LlamaFileType.MOSTLY_F16}.get(
                kind, gguf.LlamaFileType.MOSTLY_Q8_0
            )
        )
        add_sizes(writer, sizes)
        add_vocabulary(writer, words)
        for name, value in named(state, sizes, bool(config.get("tie_word_embeddings"))).items():
            wanted = gguf.GGMLQuantizationType.F32 if value.ndim == 1 else gguf.GGMLQuantizationType[kind.upper()]
            writer.add_tensor(name, gguf.quants.quantize(value, wanted), raw_dtype=wanted)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        (draft / MODELFILE).write_text(modelfile(sizes, words))


def add_sizes(writer: "GGUFWriter", sizes: Sizes) -> None:
    writer.add_context_length(sizes.block)
    writer.add_embedding_length(sizes.width)
    writer.add_feed_forward_length(sizes.hidden)
    writer.add_block_count(sizes.layers)
    writer.add_head_count(sizes.heads)
    writer.add_head_count_kv(sizes.kv_heads)
    writer.add_key_length(sizes.d)
    writer.add_value_length(sizes.d)
    writer.add_rope_dimension_count(sizes.d)
    writer.add_rope_freq_base(sizes.base)
    writer.add_layer_norm_rms_eps(sizes.eps)


def add_vocabulary(writer: "GGUFWriter", words: Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(words.splitter)
    writer.add_token_list(words.tokens)
    writer.add_token_types(words.types)
    writer.add_token_merges(words.merges)
    writer.add_bos_token_id(words.begin)
    writer.add_eos_token_id(words.end)
    writer.add_add_bos_token(False)
    if words.template:
        writer.add_chat_template(words.template)


def named(state: Mapping[str, np.ndarray], sizes: Sizes, tied: bool) -> dict[str, np.ndarray]:
    """The tensors under llama.cpp's names, queries and keys in its order.

    Raises:
        UsageError: a tensor has no name there.
    """
    found = {}
    for name, value in state.items():
        part, _, what = name.rpartition(".")
        pieces = part.split(".", 3)
        if part in WHOLE and what == "weight":
            if not (tied and part == "lm_head"):
                found[f"{WHOLE[part]}.weight"] = value
        elif pieces[:2] == ["model", "layers"] and len(pieces) == 4 and pieces[3] in PARTS and what == "weight":
            if sizes.architecture == "llama" and pieces[3].endswith(("q_proj", "k_proj")):
                value = paired(value, sizes.d)
            found[f"blk.{pieces[2]}.{PARTS[pieces[3]]}.weight"] = value
        else:
            raise UsageError(f"{weights.WEIGHTS}: {name}: found no such tensor in llama.cpp's {sizes.architecture}")
    return found


def paired(matrix: np.ndarray, d: int) -> np.ndarray:
    """Rotary positions turn values i and i + d/2 of a head as one point; llama.cpp's `llama` turns 2i and 2i + 1.

    matrix: [heads d, width]
    """
    heads = matrix.reshape(-1, 2, d // 2, matrix.shape[1])
    return np.ascontiguousarray(heads.swapaxes(1, 2)).reshape(matrix.shape)


def modelfile(sizes: Sizes, words: Vocabulary) -> str:
    """For `ollama create`. Without a chat template the prompt is continued as it is."""
    lines = [f"FROM ./{MODEL}", f"PARAMETER num_ctx {sizes.block}"]
    if words.template:
        lines.append(f'PARAMETER stop "{words.tokens[words.end]}"')
    else:
        lines.append('TEMPLATE "{{ .Prompt }}"')
    return "\n".join(lines) + "\n"
