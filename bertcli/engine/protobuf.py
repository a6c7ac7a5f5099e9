"""Just enough protocol-buffer writing to hand ONNX Runtime a graph.

Importing the `onnx` package costs a quarter of a second of every cold start, and all that is needed
of it is to write one message. Field numbers are those of onnx.proto3 (ONNX IR version 8); a test
compares what is written here with what `onnx` itself reads.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np

Attribute = int | float | str | Sequence[int]

ELEMENT_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7}
EXTERNAL = 1
IR_VERSION = 8


def varint(number: int) -> bytes:
    """Return a number in base 128, lowest group first; a negative one as 64 bits.

    >>> varint(300).hex()
    'ac02'
    """
    if number < 0:
        number += 1 << 64
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, value: bytes | str | int | float) -> bytes:
    """Return one field: bytes and text by length, integers as varints, floats as 32 bits."""
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def attribute(name: str, value: Attribute) -> bytes:
    """Return an AttributeProto."""
    head = field(1, name)
    if isinstance(value, float):
        return head + field(2, value) + field(20, 1)
    if isinstance(value, int):
        return head + field(3, value) + field(20, 2)
    if isinstance(value, str):
        return head + field(4, value) + field(20, 3)
    return head + b"".join(field(8, int(one)) for one in value) + field(20, 7)


def node(
    op: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    domain: str,
    attributes: Mapping[str, Attribute],
) -> bytes:
    """Return a NodeProto."""
    return b"".join(
        [
            *(field(1, name) for name in inputs),
            *(field(2, name) for name in outputs),
            field(3, f"{op}:{outputs[0]}"),
            field(4, op),
            *(field(5, attribute(key, value)) for key, value in attributes.items()),
            field(7, domain),
        ]
    )


def external_tensor(name: str, array: np.ndarray) -> bytes:
    """Return a TensorProto whose values are handed over in memory, under its name."""
    location = field(1, "location") + field(2, name)
    return b"".join(
        [
            *(field(1, size) for size in array.shape),
            field(2, ELEMENT_TYPES[array.dtype.name]),
            field(8, name),
            field(13, location),
            field(14, EXTERNAL),
        ]
    )


def small_tensor(name: str, array: np.ndarray) -> bytes:
    """Return a TensorProto that carries its values; for constants of a few bytes."""
    dims = b"".join(field(1, size) for size in array.shape)
    kind = field(2, ELEMENT_TYPES[array.dtype.name])
    return dims + kind + field(8, name) + field(9, array.tobytes())


def value_info(name: str, dtype: str, shape: Sequence[str | int]) -> bytes:
    """Return a ValueInfoProto; a named size is free, a number is fixed."""
    sizes = (field(1, size) if isinstance(size, int) else field(2, size) for size in shape)
    dims = b"".join(field(1, size) for size in sizes)
    tensor = field(1, ELEMENT_TYPES[dtype]) + field(2, dims)
    return field(1, name) + field(2, field(1, tensor))


def model(graph: bytes, opsets: Mapping[str, int]) -> bytes:
    """Return a ModelProto around a serialised GraphProto."""
    imports = (field(8, field(1, name) + field(2, version)) for name, version in opsets.items())
    return field(1, IR_VERSION) + field(2, "bertcli") + field(7, graph) + b"".join(imports)
