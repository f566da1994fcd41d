"""The sizes of a LLaMA-like network."""

from dataclasses import dataclass

from models.decoders.rotary import Scaling


@dataclass(frozen=True)
class Shape:
    """The hyperparameters.

    Args:
        vocab, block, layers, heads, width: as of GPT.
        kv_heads: each serves heads / kv_heads queries (Ainslie et al., "GQA", 2023, section 2.2).
        hidden: width inside the MLP, of each expert where there are several.
        d: of a head; None is width / heads.
        eps: of RMSNorm.
        base, scaling: of rotary positions.
        window: sliding window: a token attends to so many, itself included (Mistral 7B, section 2); None is no window.
        period: every so many layers, one has no window (Gemma 3, section 2.1); 0 is never.
        window_base: rotary base of the layers with a window, which need no scaling (Gemma 3); None is `base`.
        tied: whether embedding and output share their matrix.
        qkv_bias: whether queries, keys and values have biases (Qwen 1 to 2.5).
        qk_norm: whether queries and keys are normalised by head (Qwen3 report, section 2; Gemma 3, section 2).
        gelu: GEGLU instead of SwiGLU (Shazeer, "GLU Variants Improve Transformer", 2020; Gemma, section 2).
        offset: RMSNorm multiplies by 1 + weight, embeddings by sqrt(width) (Gemma's code).
        post_norm: RMSNorm after each part as well (Gemma 2, section 2).
        experts, active: experts of a layer, and how many process a token (Mixtral, section 2.1); 0 is one dense MLP.
    """

    vocab: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    hidden: int
    block: int
    d: int | None = None
    eps: float = 1e-5
    base: float = 10_000.0
    scaling: Scaling | None = None
    window: int | None = None
    period: int = 0
    window_base: float | None = None
    tied: bool = False
    qkv_bias: bool = False
    qk_norm: bool = False
    gelu: bool = False
    offset: bool = False
    post_norm: bool = False
    experts: int = 0
    active: int = 0

    @property
    def head(self) -> int:
        """Values per head."""
        return self.d or self.width // self.heads

    def window_of(self, layer: int) -> int | None:
        return None if self.period and (layer + 1) % self.period == 0 else self.window
