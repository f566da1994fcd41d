"""A decoder as its paper describes it: how many parameters it has, and what a token costs.

Counts follow Vaswani et al. (2017) with the changes that the fields name; tests hold them against the papers' figures
and against transformers' classes.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Latent:
    """Multi-head latent attention (DeepSeek-V2, 2024, section 2.1): one compressed vector is cached for all heads.

    Args:
        query, key_value: values of the compressed queries (0: they aren't), and of the compressed keys and values.
        plain, rotary: values of a head's queries and keys without and with positions; the latter are shared.
        value: values of a head's output.
    """

    query: int
    key_value: int
    plain: int
    rotary: int
    value: int


@dataclass(frozen=True)
class Architecture:
    """A decoder.

    Args:
        name, source: what it is called, and the paper or model card with its sizes.
        vocab, width, layers, heads, hidden, context: the usual sizes; `hidden` is that of the MLP, or of an expert.
        kv_heads: heads of keys and values; None is `heads`.
        head: values per head; None is width / heads.
        positions: learned positions.
        gated: whether the MLP has a gate, so three matrices and not two.
        bias: whether all layers have biases, LayerNorm among them; without, norms are RMSNorm.
        qkv_bias: whether queries, keys and values alone have biases.
        tied: whether embedding and output share a matrix.
        qk_norm: whether queries and keys are normalised.
        norms: per layer.
        experts, active, shared: MLPs per layer; how many a token passes, and those that every token passes besides.
        dense, dense_hidden: first layers that have one MLP, and its width.
        window, period: tokens that a layer sees; every `period`-th layer sees all (0: none does).
        latent: of multi-head latent attention.
        published: parameters as the source states them, in its own digits ("6.7B"), and those of a token's path.
    """

    name: str
    source: str
    vocab: int
    width: int
    layers: int
    heads: int
    hidden: int
    context: int
    kv_heads: int | None = None
    head: int | None = None
    positions: int = 0
    gated: bool = True
    bias: bool = False
    qkv_bias: bool = False
    tied: bool = False
    qk_norm: bool = False
    norms: int = 2
    experts: int = 0
    active: int = 0
    shared: int = 0
    dense: int = 0
    dense_hidden: int = 0
    window: int | None = None
    period: int = 0
    latent: Latent | None = None
    published: str = ""
    published_active: str = ""

    @property
    def head_width(self) -> int:
        return self.head or self.width // self.heads

    @property
    def groups(self) -> int:
        """Heads of keys and values."""
        return self.kv_heads or self.heads

    def parts(self, active: bool = False) -> dict[str, int]:
        """Parameters by part; `active`: those that one token passes."""
        sparse = self.layers - self.dense if self.experts else 0
        mlps = self.dense * self._mlp(self.dense_hidden) if self.experts else self.layers * self._mlp(self.hidden)
        chosen = (self.active if active else self.experts) + self.shared
        norm = self.width * (2 if self.bias else 1)
        return {
            "embedding": (self.vocab + self.positions) * self.width,
            "attention": self.layers * self._attention(),
            "MLP": mlps + sparse * chosen * self._mlp(self.hidden),
            "router": sparse * self.experts * self.width,
            "norms": (self.layers * self.norms + 1) * norm,
            "output": 0 if self.tied else self.vocab * self.width,
        }

    def parameters(self, active: bool = False) -> int:
        return sum(self.parts(active).values())

    def _mlp(self, hidden: int) -> int:
        biases = (1 if not self.gated else 2) * hidden + self.width if self.bias else 0
        return (3 if self.gated else 2) * self.width * hidden + biases

    def _attention(self) -> int:
        """Parameters of a layer's attention."""
        w, d = self.width, self.head_width
        if self.latent:
            c = self.latent
            queries = self.heads * (c.plain + c.rotary)
            down = w * c.query + c.query + c.query * queries if c.query else w * queries
            shared = w * (c.key_value + c.rotary) + c.key_value
            return down + shared + c.key_value * self.heads * (c.plain + c.value) + self.heads * c.value * w
        queries, keys = self.heads * d, self.groups * d
        biases = (queries + 2 * keys) * (self.bias or self.qkv_bias) + w * self.bias
        return w * (2 * queries + 2 * keys) + biases + 2 * d * self.qk_norm

    def seen(self, context: int) -> list[int]:
        """Tokens that each layer sees at this context."""
        window = self.window or context
        whole = [bool(self.period) and (layer + 1) % self.period == 0 for layer in range(self.layers)]
        return [context if one else min(context, window) for one in whole]

    def flops(self, context: int) -> float:
        """Floating-point operations of a token's forward pass with so many before it; training costs three times that.

        Two for each parameter of a matrix that the token passes (Kaplan et al., "Scaling Laws for Neural Language
        Models", 2020, table 1), and the products of queries, keys and values.
        """
        parts = self.parts(active=True)
        matrices = parts["attention"] + parts["MLP"] + parts["router"] + self.vocab * self.width
        c = self.latent
        # A cached latent is multiplied as it is: the up-projections are absorbed by queries and output (section 2.1.2).
        pair = 2 * c.key_value + c.rotary if c else 2 * self.head_width
        return 2.0 * matrices + 2.0 * self.heads * pair * sum(self.seen(context))

    def cache_values(self, context: int) -> int:
        """Numbers that are kept of so many tokens: keys and values of each layer."""
        each = self.latent.key_value + self.latent.rotary if self.latent else 2 * self.groups * self.head_width
        return each * sum(self.seen(context))

    def weights_read(self, batch: int) -> float:
        """Parameters that one step over `batch` sequences reads: of experts those that any token is expected to choose,
        if they choose alike often."""
        idle = self.parts(active=True)
        total = self.parts()
        lookups = self.width * (self.vocab + self.positions) if not self.tied else self.width * self.positions
        if not self.experts:
            return self.parameters() - lookups
        used = 1 - (1 - self.active / self.experts) ** batch
        always = idle["MLP"] - self.active * self._mlp(self.hidden) * (self.layers - self.dense)
        experts = (total["MLP"] - always) * used
        return self.parameters() - total["MLP"] + always + experts - lookups
