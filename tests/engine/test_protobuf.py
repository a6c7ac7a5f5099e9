"""What we write by hand is what the onnx package reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from bertcli.checkpoints.layout import read_checkpoint
from bertcli.checkpoints.load import load_weights
from bertcli.engine import protobuf
from bertcli.engine.choices import Precision
from bertcli.engine.families import Head
from bertcli.engine.graph import build_graph

SMALL = {
    "a": np.array([[1.5, -2.0]], np.float32),
    "b": np.array([1, 2, 3], np.int64),
    "c": np.array(7, np.int64),
    "d": np.array([-3, 3], np.int8),
}


def sample() -> onnx.ModelProto:
    """Return a model with one node, every kind of attribute, and tensors of several types."""
    attributes: dict[str, protobuf.Attribute] = {
        "alpha": 0.25,
        "axis": -1,
        "mode": "linear",
        "perm": [0, 2, 300, -1],
    }
    node = protobuf.node("Gemm", ["x", "a"], ["y"], "some.domain", attributes)
    tensors = [protobuf.small_tensor(name, array) for name, array in SMALL.items()]
    tensors.append(protobuf.external_tensor("w", np.zeros((3, 300), np.float32)))
    graph = b"".join(
        [
            protobuf.field(1, node),
            protobuf.field(2, "sample"),
            *(protobuf.field(5, tensor) for tensor in tensors),
            protobuf.field(11, protobuf.value_info("x", "float32", ("n", 2))),
            protobuf.field(12, protobuf.value_info("y", "float32", ("n", "m"))),
        ]
    )
    return onnx.load_from_string(protobuf.model(graph, {"": 17, "some.domain": 1}))


def test_a_model_reads_back() -> None:
    """The model's own fields: producer, versions and names."""
    model = sample()
    assert model.ir_version == 8
    assert model.producer_name == "bertcli"
    assert {one.domain: one.version for one in model.opset_import} == {"": 17, "some.domain": 1}
    assert model.graph.name == "sample"


def test_a_node_reads_back() -> None:
    """Inputs, outputs and every type of attribute, negative numbers included."""
    (node,) = sample().graph.node
    assert (node.op_type, node.domain, list(node.input), list(node.output)) == (
        "Gemm",
        "some.domain",
        ["x", "a"],
        ["y"],
    )
    values = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    assert values == {"alpha": 0.25, "axis": -1, "mode": b"linear", "perm": [0, 2, 300, -1]}


@pytest.mark.parametrize("name", SMALL)
def test_small_tensors_read_back(name: str) -> None:
    """A constant keeps its type, its shape and its values."""
    tensor = next(one for one in sample().graph.initializer if one.name == name)
    found = numpy_helper.to_array(tensor)
    assert found.dtype == SMALL[name].dtype
    assert found.shape == SMALL[name].shape
    np.testing.assert_array_equal(found, SMALL[name])


def test_external_tensors_read_back() -> None:
    """A weight in memory is declared with its shape and without its values."""
    tensor = next(one for one in sample().graph.initializer if one.name == "w")
    assert list(tensor.dims) == [3, 300]
    assert tensor.data_location == onnx.TensorProto.EXTERNAL
    assert [(one.key, one.value) for one in tensor.external_data] == [("location", "w")]


def test_inputs_have_free_and_fixed_sizes() -> None:
    """A named size is free, a number is fixed."""
    (given,) = sample().graph.input
    sizes = given.type.tensor_type.shape.dim
    assert (sizes[0].dim_param, sizes[1].dim_value) == ("n", 2)
    assert given.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02")]
)
def test_varints(number: int, expected: str) -> None:
    """The examples of the protocol buffers documentation."""
    assert protobuf.varint(number).hex() == expected


def test_a_negative_varint_takes_ten_bytes() -> None:
    """Negative numbers are written as 64-bit two's complement."""
    assert protobuf.varint(-1).hex() == "ff" * 9 + "01"


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.INT8])
@pytest.mark.parametrize("head", list(Head))
def test_graphs_pass_the_checker(head: Head, precision: Precision, tiny_checkpoint: Any) -> None:
    """onnx's own checker accepts the whole graph of every head, with its weights put in."""
    checkpoint = read_checkpoint(tiny_checkpoint("bert", head))
    graph = build_graph(checkpoint.config, load_weights(checkpoint), head, precision)
    model = onnx.load_from_string(graph.model)
    for tensor in model.graph.initializer:
        if tensor.name in graph.arrays:
            tensor.CopyFrom(numpy_helper.from_array(graph.arrays[tensor.name], tensor.name))
    onnx.checker.check_model(model)
    declared = {one.name for one in model.graph.initializer}
    assert set(graph.arrays) < declared
    wanted = {"ids", "types"} | ({"positions"} if head is Head.MASKED_LM else set())
    assert {one.name for one in model.graph.input} == wanted
    assert len(graph.model) < 40_000
