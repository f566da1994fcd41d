"""Published weights: transformers' names and settings, and ours."""

from collections.abc import Mapping

from torch import Tensor

from models.bert.encoder import Bert, Shape

# Our names of parts, and those of transformers' classes; longer ones first.
NAMES = {
    "attention.project": "attention.output.dense",
    "attention.q": "attention.self.query",
    "attention.k": "attention.self.key",
    "attention.v": "attention.self.value",
    "norm_1": "attention.output.LayerNorm",
    "expand": "intermediate.dense",
    "contract": "output.dense",
    "norm_2": "output.LayerNorm",
}
OUTER = {
    "bert.tokens": "bert.embeddings.word_embeddings",
    "bert.positions": "bert.embeddings.position_embeddings",
    "bert.types": "bert.embeddings.token_type_embeddings",
    "bert.norm": "bert.embeddings.LayerNorm",
    "bert.pooler": "bert.pooler.dense",
    "transform": "cls.predictions.transform.dense",
    "norm": "cls.predictions.transform.LayerNorm",
    "head": "classifier",
}
SETTINGS = {  # of a config.json
    "vocab": "vocab_size",
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "hidden": "intermediate_size",
    "context": "max_position_embeddings",
    "types": "type_vocab_size",
    "eps": "layer_norm_eps",
    "dropout": "hidden_dropout_prob",
}
FIXED = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
OURS, OUTER_OURS = ({theirs: ours for ours, theirs in names.items()} for names in (NAMES, OUTER))


def to_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a Task under the names of transformers' BertForMaskedLM or BertForSequenceClassification; of
    its `bert` alone, those of BertModel behind "bert."."""
    renamed = {}
    for name, value in state.items():
        part, _, leaf = name.rpartition(".")
        if name == "bias":
            renamed["cls.predictions.bias"] = renamed["cls.predictions.decoder.bias"] = value
        elif part.startswith("bert.blocks."):
            index, _, inner = part.removeprefix("bert.blocks.").partition(".")
            renamed[f"bert.encoder.layer.{index}.{NAMES[inner]}.{leaf}"] = value
        else:
            renamed[f"{OUTER[part]}.{leaf}"] = value
    return renamed


def from_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The way back. Buffers, and the output matrix, which is the embedding's, have no place here."""
    renamed = {}
    for name, value in state.items():
        part, _, leaf = name.rpartition(".")
        if name == "cls.predictions.bias":
            renamed["bias"] = value
        elif part.startswith("bert.encoder.layer."):
            index, _, inner = part.removeprefix("bert.encoder.layer.").partition(".")
            renamed[f"bert.blocks.{index}.{OURS[inner]}.{leaf}"] = value
        elif part in OUTER_OURS:
            renamed[f"{OUTER_OURS[part]}.{leaf}"] = value
    return renamed


def shape_of(config: Mapping[str, object]) -> Shape:
    """The hyperparameters in a config.json.

    Raises:
        ValueError: it is not BERT, or a variant of it that this network isn't.
    """
    for key, value in FIXED.items():
        if (found := config.get(key, value)) != value:
            raise ValueError(f"config.json: {key}: found {found!r}; expected {value!r}")
    try:
        return Shape(**{ours: config[theirs] for ours, theirs in SETTINGS.items()})  # type: ignore[arg-type]
    except KeyError as error:
        raise ValueError(f"config.json: found no {error}; expected the settings of a BertModel") from None


def config_of(shape: Shape) -> dict[str, object]:
    """The way back: what a config.json says of a network of this shape."""
    return {**FIXED, **{theirs: getattr(shape, ours) for ours, theirs in SETTINGS.items()}}


def build(config: Mapping[str, object], state: Mapping[str, Tensor]) -> Bert:
    """The encoder with published weights. A pooler is kept as initialised where they have none.

    Args:
        config: of config.json.
        state: tensors by transformers' names, of BertModel or of a model with one; older files call a norm's weight
            gamma and its bias beta.

    Raises:
        ValueError: the settings are not of BERT, or a tensor is missing or has another shape.
    """
    bert = Bert(shape_of(config))
    modern = {name.replace(".gamma", ".weight").replace(".beta", ".bias"): value for name, value in state.items()}
    inside = any(name.startswith("bert.") for name in modern)
    named = from_transformers(modern if inside else {f"bert.{name}": value for name, value in modern.items()})
    own = {name.removeprefix("bert."): value.float() for name, value in named.items() if name.startswith("bert.")}
    for name, parameter in bert.state_dict().items():
        if name not in own and name.startswith("pooler."):
            continue
        found = tuple(own[name].shape) if name in own else None
        if found != tuple(parameter.shape):
            raise ValueError(f"weights: {name}: found {found or 'none'}; expected {tuple(parameter.shape)}")
    bert.load_state_dict(own, strict=False)
    return bert
