"""Small encoders with random weights, and batches for them."""

from typing import Any

import torch

from models.bert.encoder import Shape

SHAPES = {
    "narrow": Shape(50, 24, 2, 2, 40, context=20, dropout=0.0),
    "many types": Shape(31, 32, 3, 8, 16, context=12, types=4, eps=1e-5, dropout=0.0),
}


def config(shape: Shape) -> Any:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=shape.vocab, hidden_size=shape.width, num_hidden_layers=shape.layers, pad_token_id=0,
        num_attention_heads=shape.heads, intermediate_size=shape.hidden, max_position_embeddings=shape.context,
        type_vocab_size=shape.types, layer_norm_eps=shape.eps, id2label={0: "a", 1: "b", 2: "c"},
    )  # fmt: skip


def shaken(model: Any) -> Any:
    """Norms and biases begin at 1 and 0, which would mask_tokens an exchange of two."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def batch(shape: Shape, n: int = 3, t: int = 11) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, which of them are no padding (each row's own length), types."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(shape.vocab, (n, t), generator=generator)
    types = torch.randint(shape.types, (n, t), generator=generator)
    return tokens, torch.arange(t) < torch.tensor([t, 1, 6])[:n, None], types
