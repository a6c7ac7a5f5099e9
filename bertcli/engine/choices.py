"""What a user may choose about the engine; imports nothing, so that `--help` stays quick."""

from __future__ import annotations

from enum import StrEnum

BATCH_TOKENS = 512
"""Tokens in a batch; larger ones were slower, their activations leave the processor's cache."""


class Engine(StrEnum):
    """What multiplies the matrices."""

    AUTO = "auto"
    ONNX_RUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    TORCH = "torch"


class Precision(StrEnum):
    """In which numbers the matrices are multiplied."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"


class Long(StrEnum):
    """What happens to a text that is longer than the model's window."""

    WINDOW = "window"
    TRUNCATE = "truncate"
    ERROR = "error"


class Pooling(StrEnum):
    """How a window's hidden states become one vector."""

    MEAN = "mean"
    CLS = "cls"
    MAX = "max"


class Aggregate(StrEnum):
    """How the tokens of a word agree on an entity label.

    `none` leaves every token alone, `simple` merges tokens into entities without regard to words;
    the others give each word its first token's label, or the best label by the tokens' mean
    probabilities, or the label of the token that is surest.
    """

    NONE = "none"
    SIMPLE = "simple"
    FIRST = "first"
    AVERAGE = "average"
    MAX = "max"
