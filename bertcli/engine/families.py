"""The architectures that run without torch: where their settings and their weights are found.

They all compute the same thing, a post-norm transformer encoder over absolute positions (Devlin et
al. 2019); they differ in names, in where positions start, and in whether there are token types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

Config = Mapping[str, object]

TOKEN_TYPES, CAPITALS = "token_types", "capitals"
"""A setting of our own in config.json: what the token types of a single text stand for."""
PRECISION = "bertcli_precision"
"""A setting of our own: the precision in which the checkpoint runs where none is asked for."""
TEXT_PAIRS = "text_pairs"
"""A setting of our own: the classifier was trained on pairs of texts."""


class Head(StrEnum):
    """What a checkpoint computes on top of its encoder."""

    BASE = "base"
    MASKED_LM = "masked-lm"
    SEQUENCE = "sequence-classification"
    TOKEN = "token-classification"
    QA = "question-answering"


@dataclass(frozen=True, slots=True)
class LayerNames:
    """The parts of one encoder layer, below `layers.format(i)`."""

    query: str
    key: str
    value: str
    attention_out: str
    attention_norm: str
    inner: str
    outer: str
    norm: str


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture: the prefix of its encoder's weights, their names, and its config's keys."""

    prefix: str
    layers: str
    names: LayerNames
    token_types: bool = True
    positions_after_padding: bool = False
    sizes: Mapping[str, str] | None = None

    def setting(self, config: Config, key: str, default: object = None) -> object:
        """Return a setting by BERT's name for it."""
        return config.get((self.sizes or {}).get(key, key), default)


BERT_LAYER = LayerNames(
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attention_out="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    inner="intermediate.dense",
    outer="output.dense",
    norm="output.LayerNorm",
)
DISTILBERT_LAYER = LayerNames(
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    attention_out="attention.out_lin",
    attention_norm="sa_layer_norm",
    inner="ffn.lin1",
    outer="ffn.lin2",
    norm="output_layer_norm",
)
DISTILBERT_SIZES = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
}

BERT = Family("bert", "encoder.layer.{}", BERT_LAYER)
ROBERTA = Family("roberta", "encoder.layer.{}", BERT_LAYER, positions_after_padding=True)
ELECTRA = Family("electra", "encoder.layer.{}", BERT_LAYER)
DISTILBERT = Family(
    "distilbert",
    "transformer.layer.{}",
    DISTILBERT_LAYER,
    token_types=False,
    sizes=DISTILBERT_SIZES,
)

FAMILIES: Mapping[str, Family] = {
    "bert": BERT,
    "distilbert": DISTILBERT,
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
    "electra": ELECTRA,
}

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}

HEAD_SUFFIXES = {
    "ForMaskedLM": Head.MASKED_LM,
    "ForPreTraining": Head.MASKED_LM,
    "ForSequenceClassification": Head.SEQUENCE,
    "ForTokenClassification": Head.TOKEN,
    "ForQuestionAnswering": Head.QA,
    "Model": Head.BASE,
}


def head_of(config: Config) -> Head:
    """Return which head a checkpoint's `architectures` name; the bare encoder when they name none.

    ELECTRA's pre-training head tells replaced tokens from real ones and fills no masks: it counts
    as a bare encoder.
    """
    names = config.get("architectures")
    name = str(names[0]) if isinstance(names, list) and names else "Model"
    if name == "ElectraForPreTraining":
        return Head.BASE
    found = (head for suffix, head in HEAD_SUFFIXES.items() if name.endswith(suffix))
    return next(found, Head.BASE)


def runs_on_onnx(config: Config) -> bool:
    """Tell whether the graph can express this checkpoint; everything else goes to torch."""
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None:
        return False
    activation = str(family.setting(config, "hidden_act", "gelu"))
    absolute = config.get("position_embedding_type", "absolute") in ("absolute", None)
    plain = not config.get("is_decoder") and not config.get("add_cross_attention")
    sinusoidal = bool(config.get("sinusoidal_pos_embds"))
    return activation in ACTIVATIONS and absolute and plain and not sinusoidal
