"""BERT and its relatives as an ONNX graph over weights in memory.

The graph is written in the operators that ONNX Runtime has fused for transformers, so that nothing
is left to optimise when a session starts. Weights stay where they are, usually a memory-mapped
file, and reach the session as external initializers; the graph itself is about ten kilobytes.

A session takes a tenth of a second to copy and repack weights, and merging a LoRA adapter as long.
For a few short texts neither pays: a *brief* graph takes its weights as inputs, with every run, and
keeps the adapter's two factors apart.

Inputs: `ids` (n, length) int64, no padding, for attention is quicker without a mask; `types`
(n, length) int64 where the architecture has token types, and `positions` (k, 2) int64, the (row,
column) of each mask, for masked language modelling.

Output `out`, float32: hidden states (n, length, d) for a bare encoder, logits (n, labels) for
sequences, (n, length, labels) for tokens and answers, (k, vocabulary) for masks.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bertcli.engine import protobuf
from bertcli.engine.batching import Batch
from bertcli.engine.choices import Precision
from bertcli.engine.families import ACTIVATIONS, FAMILIES, Config, Family, Head
from bertcli.engine.weights import Weights
from bertcli.errors import CheckpointError

MICROSOFT = "com.microsoft"
OPSETS = {"": 17, MICROSOFT: 1}


@dataclass(frozen=True, slots=True)
class _Codes:
    """A tensor (…, columns) as whole numbers of eight bits: `codes · step + shift` for each token.

    `step` is (…, 1), `shift` (tokens, 1).
    """

    codes: str
    step: str
    shift: str


@dataclass(frozen=True, slots=True)
class _Range:
    """What is known of a tensor's values beforehand: which code zero has, and the least maximum.

    With the zero a constant a product takes 0.9 of the time, with the minimum known as well less.
    """

    zero: int
    least: float
    below: bool
    """Whether values may reach further below zero than `least` allows for."""


_BOTH_SIDES = _Range(128, 1e-9, below=True)
"""Of a layer norm, where its product bears the coarser steps: query, key and value do not."""
_GELU = _Range(40, 0.92, below=False)
"""GELU does not come below -0.17, and 40 steps of 0.92 / 215 reach as far."""
_RELU = _Range(0, 1e-9, below=False)


@dataclass(frozen=True, slots=True)
class Graph:
    """A serialised model, the arrays it refers to by name, and whether it reads token types.

    The arrays are initializers, or `inputs` of each run.
    """

    model: bytes
    arrays: Mapping[str, NDArray[Any]]
    token_types: bool
    inputs: bool


@dataclass(slots=True)
class _Builder:
    """Collects nodes; each method returns the name of what it computes."""

    config: Config
    family: Family
    weights: Weights
    prefix: str
    int8: bool
    brief: bool
    inputs: bool
    nodes: list[bytes] = field(default_factory=list)
    constants: list[bytes] = field(default_factory=list)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    coded: dict[str, _Codes] = field(default_factory=dict)

    def op(
        self, kind: str, *inputs: str, domain: str = "", **attributes: protobuf.Attribute
    ) -> str:
        return self.ops(kind, *inputs, domain=domain, outputs=1, **attributes)[0]

    def ops(
        self,
        kind: str,
        *inputs: str,
        domain: str = "",
        outputs: int = 1,
        **attributes: protobuf.Attribute,
    ) -> list[str]:
        names = [f"n{len(self.nodes)}.{i}" for i in range(outputs)]
        self.nodes.append(protobuf.node(kind, inputs, names, domain, attributes))
        return names

    def constant(self, values: list[int]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(protobuf.small_tensor(name, np.array(values, dtype=np.int64)))
        return name

    def array(self, name: str, values: NDArray[Any]) -> str:
        self.arrays.setdefault(name, values)
        return name

    def size(self, key: str) -> int:
        found = self.family.setting(self.config, key)
        if type(found) is not int or found < 1:
            raise CheckpointError(f"config.json has no {key} that is a number: {found}")
        return found

    @property
    def epsilon(self) -> float:
        found = self.config.get("layer_norm_eps", 1e-12)
        if type(found) not in (int, float):
            raise CheckpointError(f"config.json has no layer_norm_eps that is a number: {found}")
        return float(cast(float, found))

    @property
    def activation(self) -> str:
        return ACTIVATIONS[str(self.family.setting(self.config, "hidden_act", "gelu"))]

    def raw(self, name: str, *shape: int, merged: bool = True) -> NDArray[Any]:
        """Return one weight as float32, checked against the shape that config.json implies."""
        if name not in self.weights:
            raise CheckpointError(f"the weights lack {name}, which config.json calls for")
        found = self.weights[name] if merged else self.weights.unchanged(name)
        if shape and found.shape != shape:
            raise CheckpointError(
                f"{name} has the shape {list(found.shape)}, but config.json implies {list(shape)}"
            )
        if found.dtype.kind != "f":
            raise CheckpointError(f"{name} has whole numbers ({found.dtype}), expected weights")
        return found.astype(np.float32, copy=False)

    def weight(self, name: str, *shape: int) -> str:
        return self.array(name, self.raw(name, *shape))

    def encoder_name(self, name: str) -> str:
        return f"{self.prefix}{name}"

    def linear(
        self, x: str, module: str, rows: int, columns: int, known: _Range | None = None
    ) -> str:
        """Return `x · weightᵀ + bias` for a torch-style weight (out, in).

        In int8 `x` is `codes · step + shift`, see `codes`, so that its product is the whole
        numbers' times `step`, and `shift` times the total of each column of the weight. Where its
        range is `known`, the product of `codes - zero` times `step` is all.
        """
        name = f"{module}.weight"
        matrix = self.raw(name, rows, columns, merged=not self.brief)
        bias = self.weight(f"{module}.bias", rows)
        if not self.int8:
            product = self.op("Add", self.times(x, name, matrix), bias)
            change = self.weights.change(name) if self.brief else None
            if change is None:
                return product
            inner = self.times(x, f"{module}.lora_A", change.a)
            return self.op("Add", product, self.times(inner, f"{module}.lora_B", change.b))
        quantised, scale = quantise(matrix)
        right, scales = self.array(f"{name}.int8", quantised), self.array(f"{name}.scale", scale)
        whole = partial(self.op, "MatMulIntegerToFloat", domain=MICROSOFT)
        if known:
            codes, step, zero = self.codes_about(x, columns, known)
            product = whole(codes, right, self.number(1), scales, zero)
            return self.op("Add", self.op("Mul", product, step), bias)
        totals = quantised.sum(axis=0, dtype=np.float32) * scale
        one = self.codes(x, columns)
        product = whole(one.codes, right, self.number(1), scales)
        moved = self.op("Gemm", one.shift, self.array(f"{name}.totals", totals[None]), bias)
        moved = self.op("Reshape", moved, self.op("Shape", product))
        return self.op("Add", self.op("Mul", product, one.step), moved)

    def codes(self, x: str, columns: int) -> _Codes:
        """Return `x` (…, columns) as whole numbers of eight bits, made once for all its products.

        Each token has a range of its own, from its smallest value to its largest: then what a token
        becomes does not depend on what is beside it, nor the precision of the many on the few that
        reach far. Zero is one of the numbers.
        """
        if x not in self.coded:
            high = self.op("Max", self.op("ReduceMax", x, axes=[-1], keepdims=1), self.number(1e-9))
            low = self.op("Min", self.op("ReduceMin", x, axes=[-1], keepdims=1), self.number(0))
            step = self.op("Mul", self.op("Sub", high, low), self.number(1 / 255))
            zero = self.op("Round", self.op("Div", self.op("Neg", low), step))
            shift = self.op("Neg", self.op("Mul", step, zero))
            zeros = self.op("Cast", zero, to=protobuf.ELEMENT_TYPES["uint8"])
            self.coded[x] = _Codes(
                self.coded_by_rows(x, columns, step, zeros),
                step,
                self.op("Reshape", shift, self.constant([-1, 1])),
            )
        return self.coded[x]

    def codes_about(self, x: str, columns: int, known: _Range) -> tuple[str, str, str]:
        """Return `x` (…, columns) as whole numbers, their step (…, 1) and the code of zero."""
        most = self.op("ReduceMax", x, axes=[-1], keepdims=1)
        most = self.op("Max", most, self.number(known.least))
        step = self.op("Mul", most, self.number(1 / (255 - known.zero)))
        if known.below:
            low = self.op("ReduceMin", x, axes=[-1], keepdims=1)
            step = self.op("Max", step, self.op("Mul", low, self.number(-1 / known.zero)))
        zero = self.array(f"zero {known.zero}", np.array(known.zero, np.uint8))
        zeros = self.op("Expand", zero, self.op("Shape", step))
        return self.coded_by_rows(x, columns, step, zeros), step, zero

    def coded_by_rows(self, x: str, columns: int, steps: str, zeros: str) -> str:
        """Return `x / steps + zeros` (…, columns), rounded, as eight bits.

        QuantizeLinear goes row by row, which spares a copy of `x` divided by the steps.
        """
        flat = self.op("Reshape", x, self.constant([-1, columns]))
        steps, zeros = (self.op("Reshape", one, self.constant([-1])) for one in (steps, zeros))
        codes = self.op("QuantizeLinear", flat, steps, zeros, axis=0)
        return self.op("Reshape", codes, self.op("Shape", x))

    def number(self, value: float) -> str:
        return self.array(f"number {value}", np.array(value, np.float32))

    def times(self, x: str, name: str, matrix: NDArray[np.float32]) -> str:
        """Return `x · matrixᵀ`."""
        right = self.array(name, matrix)
        return self.op("FusedMatMul", x, right, domain=MICROSOFT, transB=1)

    def activate(self, x: str, activation: str | None = None) -> str:
        kind = activation or self.activation
        if kind == "relu":
            return self.op("Relu", x)
        return self.op("Gelu" if kind == "gelu" else "FastGelu", x, domain=MICROSOFT)

    def norm(self, x: str, module: str, width: int) -> str:
        scale, shift = (self.weight(f"{module}.{part}", width) for part in ("weight", "bias"))
        return self.op("LayerNormalization", x, scale, shift, epsilon=self.epsilon, axis=-1)

    def first_token(self, hidden: str) -> str:
        """Return the hidden state of every sequence's first token, (n, 1, d)."""
        return self.op("Gather", hidden, self.constant([0]), axis=1)


def build_graph(
    config: Config,
    weights: Weights,
    head: Head,
    precision: Precision = Precision.FP32,
    brief: bool = False,
    inputs: bool = False,
) -> Graph:
    """Return the graph of one of the families for a head; int8 is never brief.

    Its weights are initializers, or `inputs`, as those of a brief one always are. Raises
    CheckpointError when a weight is missing or its shape contradicts config.json.
    """
    family = FAMILIES[str(config["model_type"])]
    brief = brief and precision is not Precision.INT8
    builder = _Builder(
        config=config,
        family=family,
        weights=weights,
        prefix=_encoder_prefix(family, weights),
        int8=precision is Precision.INT8,
        brief=brief,
        inputs=inputs or brief,
    )
    hidden = _embeddings(builder)
    last = builder.size("num_hidden_layers") - 1
    for number in range(last):
        hidden = _layer(builder, hidden, number)
    hidden = _layer(builder, hidden, last, needed_by=head)
    out = builder.op("Identity", _HEADS[head](builder, hidden))
    return Graph(_serialise(builder, head, out), builder.arrays, family.token_types, builder.inputs)


def feed(batch: Batch, head: Head, token_types: bool) -> dict[str, NDArray[Any]]:
    """Return a batch as the inputs of a graph, by their names."""
    inputs = {"ids": batch.ids}
    if token_types:
        inputs["types"] = batch.types
    if head is Head.MASKED_LM:
        inputs["positions"] = batch.positions
    return inputs


@cache
def adds_exactly() -> bool:
    """Tell whether this processor adds products of int8 without saturating.

    x86 without VNNI adds each two in 16 bits, of which 2 · 255 · 64 fills just all.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    return not cpu_flags().isdisjoint(("avx512_vnni", "avx_vnni"))


def cpu_flags() -> set[str]:
    """Return the processor's features where the system tells them without a library."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux: nobody knows
        return set()
    found = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return set(found.partition(":")[2].split())


def quantise(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return a matrix (out, in) as int8 (in, out) and the scale (out,) of each output column.

    Symmetric, so that `matrix ≈ int8ᵀ · scale` with the largest value of a column at ±127, or at
    ±64 on processors whose sums of two products would saturate; see `adds_exactly`.
    """
    largest = 127 if adds_exactly() else 64
    scale = np.maximum(np.abs(matrix).max(axis=1), np.float32(1e-12)) / np.float32(largest)
    whole = np.rint(matrix / scale[:, None]).astype(np.int8)
    return np.ascontiguousarray(whole.T), scale.astype(np.float32)


def _encoder_prefix(family: Family, weights: Weights) -> str:
    prefix = f"{family.prefix}."
    return prefix if f"{prefix}embeddings.word_embeddings.weight" in weights else ""


def _embeddings(b: _Builder) -> str:
    narrow = b.family.prefix == "electra" and b.config.get("embedding_size")
    width = b.size("embedding_size" if narrow else "hidden_size")
    name = b.encoder_name("embeddings")
    summed = b.op("Add", _words(b, f"{name}.word_embeddings", width), _positions(b, name, width))
    if b.family.token_types:
        kinds = int(cast(int, b.config.get("type_vocab_size", 2)))
        types = b.weight(f"{name}.token_type_embeddings.weight", kinds, width)
        summed = b.op("Add", summed, b.op("Gather", types, "types"))
    normed = b.norm(summed, f"{name}.LayerNorm", width)
    if width == b.size("hidden_size"):
        return normed
    return b.linear(normed, b.encoder_name("embeddings_project"), b.size("hidden_size"), width)


def _words(b: _Builder, module: str, width: int) -> str:
    """Return the word vectors (n, length, d).

    LoRA's factors stay apart: their product would take the memory of another table.
    """
    name = f"{module}.weight"
    table = b.array(name, b.raw(name, b.size("vocab_size"), width, merged=False))
    found = b.op("Gather", table, "ids")
    if (change := b.weights.change(name)) is None:
        return found
    inner = b.op("Gather", b.array(f"{module}.lora_B", change.b), "ids")
    return b.op("Add", found, b.op("MatMul", inner, b.array(f"{module}.lora_A", change.a)))


def _positions(b: _Builder, name: str, width: int) -> str:
    """Return the position vectors (length, d) of a text: the first ones of the table.

    RoBERTa's positions start behind the padding token's id.
    """
    count = b.size("max_position_embeddings")
    table = b.weight(f"{name}.position_embeddings.weight", count, width)
    padding = b.config.get("pad_token_id")
    after = 1 if padding is None else int(cast(int, padding))
    first = after + 1 if b.family.positions_after_padding else 0
    length = b.op("Shape", "ids", start=1, end=2)
    end = b.op("Add", length, b.constant([first]))
    return b.op("Slice", table, b.constant([first]), end, b.constant([0]))


def _layer(b: _Builder, x: str, number: int, needed_by: Head = Head.BASE) -> str:
    """Return the states after a layer, from those before it; of the last layer what a head needs.

    A sequence head needs the first token alone, (n, 1, d), a masked-LM head the masks, (k, d): of
    six layers that saves an eighth of the work.
    """
    width, inner = b.size("hidden_size"), b.size("intermediate_size")
    heads = b.size("num_attention_heads")
    if width % heads:
        raise CheckpointError(
            f"config.json's hidden_size {width} is not a multiple of {heads} heads"
        )
    base, names = b.encoder_name(b.family.layers.format(number)), b.family.names
    asking = b.first_token(x) if needed_by is Head.SEQUENCE else x
    query = b.linear(asking, f"{base}.{names.query}", width, width)
    key, value = (b.linear(x, f"{base}.{part}", width, width) for part in (names.key, names.value))
    attended = b.op("MultiHeadAttention", query, key, value, domain=MICROSOFT, num_heads=heads)
    if needed_by is Head.MASKED_LM:
        attended, asking = (b.op("GatherND", one, "positions") for one in (attended, asking))
    out, norm = f"{base}.{names.attention_out}", f"{base}.{names.attention_norm}"
    x = _residual(b, attended, asking, (out, norm), width)
    up = f"{base}.{names.inner}"
    activated = b.activate(b.linear(x, up, inner, width, _BOTH_SIDES))
    outer = (f"{base}.{names.outer}", f"{base}.{names.norm}")
    known = _RELU if b.activation == "relu" else _GELU
    return _residual(b, activated, x, outer, inner, known)


def _residual(
    b: _Builder,
    x: str,
    skip: str,
    modules: tuple[str, str],
    columns: int,
    known: _Range | None = None,
) -> str:
    """Return `LayerNorm(x · Wᵀ + bias + skip)` for a linear layer of `columns` and its norm.

    On the CPU ONNX Runtime's SkipLayerNormalization takes four times as long as these single steps.
    """
    width, (module, norm) = b.size("hidden_size"), modules
    product = b.linear(x, module, width, columns, known)
    return b.norm(b.op("Add", product, skip), norm, width)


def _base_head(b: _Builder, hidden: str) -> str:
    return hidden


def _labels(b: _Builder, module: str) -> int:
    """Return how many outputs a head has; config.json's labels must be as many."""
    rows = len(b.raw(f"{module}.weight"))
    named = b.config.get("id2label")
    labels = len(named) if isinstance(named, dict) else b.config.get("num_labels", 2)
    if labels != rows:
        raise CheckpointError(f"{module} has {rows} outputs, but config.json {labels} labels")
    return rows


def _sequence_head(b: _Builder, hidden: str) -> str:
    width = b.size("hidden_size")
    first = b.op("Squeeze", hidden, b.constant([1]))
    if b.family.prefix == "bert":
        pooler = b.encoder_name("pooler.dense")
        pooled, out = b.op("Tanh", b.linear(first, pooler, width, width)), "classifier"
    elif b.family.prefix == "distilbert":
        pooled = b.op("Relu", b.linear(first, "pre_classifier", width, width))
        out = "classifier"
    else:
        dense = b.linear(first, "classifier.dense", width, width)
        electra = b.family.prefix == "electra"
        pooled = b.activate(dense, "gelu") if electra else b.op("Tanh", dense)
        out = "classifier.out_proj"
    return b.linear(pooled, out, _labels(b, out), width)


def _token_head(b: _Builder, hidden: str) -> str:
    return b.linear(hidden, "classifier", _labels(b, "classifier"), b.size("hidden_size"))


def _qa_head(b: _Builder, hidden: str) -> str:
    return b.linear(hidden, "qa_outputs", 2, b.size("hidden_size"))


@dataclass(frozen=True, slots=True)
class _MaskedHead:
    """Names of a masked-LM head: the dense layer, its norm, the output matrix and its bias.

    Of several names for the bias the first that the checkpoint has is the one transformers adds.
    """

    dense: str
    norm: str
    decoder: str
    bias: tuple[str, ...]
    activation: str | None = None


_MASKED_HEADS = {
    "bert": _MaskedHead(
        "cls.predictions.transform.dense",
        "cls.predictions.transform.LayerNorm",
        "cls.predictions.decoder",
        ("cls.predictions.decoder.bias", "cls.predictions.bias"),
    ),
    "distilbert": _MaskedHead(
        "vocab_transform", "vocab_layer_norm", "vocab_projector", ("vocab_projector.bias",)
    ),
    "roberta": _MaskedHead(
        "lm_head.dense",
        "lm_head.layer_norm",
        "lm_head.decoder",
        ("lm_head.decoder.bias", "lm_head.bias"),
        "gelu",
    ),
    "electra": _MaskedHead(
        "generator_predictions.dense",
        "generator_predictions.LayerNorm",
        "generator_lm_head",
        ("generator_lm_head.bias",),
        "gelu",
    ),
}


def _masked_head(b: _Builder, hidden: str) -> str:
    """Return logits over the vocabulary at the masks; the output matrix is usually tied."""
    names, width = _MASKED_HEADS[b.family.prefix], b.size("hidden_size")
    inner = len(b.raw(f"{names.dense}.weight"))
    dense = b.linear(hidden, names.dense, inner, width)
    x = b.norm(b.activate(dense, names.activation), names.norm, inner)
    own = f"{names.decoder}.weight"
    tied = b.encoder_name("embeddings.word_embeddings.weight")
    apart = own in b.weights
    name = own if apart else tied  # PEFT leaves the output as it is where the embeddings change
    table = b.array(name, b.raw(name, b.size("vocab_size"), inner, merged=apart))
    # The table on the left, where ONNX Runtime does not repack it: that took 0.1 s of a cold start.
    logits = b.op("Transpose", b.op("MatMul", table, b.op("Transpose", x)))
    found = next((name for name in names.bias if name in b.weights), names.bias[-1])
    return b.op("Add", logits, b.weight(found, b.size("vocab_size")))


_HEADS: Mapping[Head, Callable[[_Builder, str], str]] = {
    Head.BASE: _base_head,
    Head.MASKED_LM: _masked_head,
    Head.SEQUENCE: _sequence_head,
    Head.TOKEN: _token_head,
    Head.QA: _qa_head,
}


def _serialise(b: _Builder, head: Head, out: str) -> bytes:
    wide: tuple[str | int, ...] = ("n", "length")
    inputs = [("ids", "int64", wide)]
    if b.family.token_types:
        inputs.append(("types", "int64", wide))
    if head is Head.MASKED_LM:
        inputs.append(("positions", "int64", ("k", 2)))
    tensors = []
    if b.inputs:
        inputs += [(name, array.dtype.name, array.shape) for name, array in b.arrays.items()]
    else:
        tensors = [protobuf.external_tensor(name, array) for name, array in b.arrays.items()]
    graph = b"".join(
        [
            *(protobuf.field(1, node) for node in b.nodes),
            protobuf.field(2, "bert"),
            *(protobuf.field(5, tensor) for tensor in b.constants + tensors),
            *(protobuf.field(11, protobuf.value_info(*each)) for each in inputs),
            protobuf.field(12, protobuf.value_info(out, "float32", _OUTPUT_SHAPES[head])),
        ]
    )
    return protobuf.model(graph, OPSETS)


_OUTPUT_SHAPES: Mapping[Head, tuple[str, ...]] = {
    Head.BASE: ("n", "length", "d"),
    Head.MASKED_LM: ("k", "vocabulary"),
    Head.SEQUENCE: ("n", "labels"),
    Head.TOKEN: ("n", "length", "labels"),
    Head.QA: ("n", "length", "2"),
}
