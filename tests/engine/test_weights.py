"""Damaged, dishonest and unusual weight files; adapters merged by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from bertcli.engine.weights import Weights, merge_adapter, read_weights
from bertcli.errors import CheckpointError

TENSORS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array([1, 2], np.int64),
    "scalar": np.array(2.5, np.float32),
    "empty": np.zeros((0, 4), np.float32),
    "half": np.array([0.5, -1.5], np.float16),
}


def written(path: Path, header: Any, data: bytes = b"\0" * 24) -> Path:
    """Write a file with a header of our own making."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data)
    return path


def entry(shape: Any = (2, 3), offsets: Any = (0, 24), dtype: Any = "F32") -> dict[str, Any]:
    """Return a header's entry."""
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_what_safetensors_writes_is_read(tmp_path: Path) -> None:
    """Types, shapes and values come back, scalars and empty tensors too."""
    save_file(TENSORS, tmp_path / "model.safetensors", metadata={"format": "pt"})
    found = read_weights([tmp_path / "model.safetensors"])
    assert set(found) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype
        np.testing.assert_array_equal(found[name], tensor)


def test_bfloat16_is_the_upper_half_of_float32(tmp_path: Path) -> None:
    """0x3FC0 is 1.5 and 0xC000 is −2."""
    data = bytes.fromhex("c03f") + bytes.fromhex("00c0")
    file = written(tmp_path / "m.safetensors", {"w": entry([2], [0, 4], "BF16")}, data)
    found = read_weights([file])["w"]
    assert found.dtype == np.float32
    assert found.tolist() == [1.5, -2.0]


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (b"not json", "header is not JSON"),
        (b"[" * 200_000, "header is not JSON"),
        (b"\xff\xfe", "header is not JSON"),
        (["a list"], "header is not an object"),
        ({"w": entry(offsets=[0, 48], shape=[4, 3])}, "past the end"),
        ({"w": entry(offsets=[2**40, 2**40 + 24])}, "past the end"),
        ({"w": entry(shape=[2**40, 2**40])}, "does not fit"),
        ({"w": entry(shape=[-2, -3])}, "does not fit"),
        ({"w": entry(offsets=[-24, 0])}, "does not fit"),
        ({"w": entry(offsets=[24, 0])}, "does not fit"),
        ({"w": entry(shape=[2, 2])}, "does not fit"),
        ({"w": entry(offsets=[0])}, "malformed"),
        ({"w": entry(offsets="ab")}, "malformed"),
        ({"w": entry(shape=None)}, "malformed"),
        ({"w": entry(shape=["x"])}, "malformed"),
        ({"w": entry(shape=["2", "3"])}, "malformed"),
        ({"w": entry(shape=[2, True, 3])}, "malformed"),
        ({"w": entry(shape=[6, *[1] * 101])}, "malformed"),
        ({"w": entry(offsets=[0.5, 24.5])}, "malformed"),
        (b'{"w": {"dtype": "F32", "shape": [Infinity], "data_offsets": [0, 24]}}', "malformed"),
        ({"w": [1, 2]}, "malformed"),
        ({"w": {}}, "malformed"),
        ({"v": entry(), "w": entry([1], [20, 24])}, "overlap"),
        ({"w": entry(dtype="F8_E4M3", shape=[24])}, "data type F8_E4M3"),
    ],
)
def test_headers_that_lie(header: Any, why: str, tmp_path: Path) -> None:
    """A header is believed only where the file bears it out; the message names the file."""
    file = written(tmp_path / "model.safetensors", header)
    with pytest.raises(CheckpointError, match=why) as caught:
        read_weights([file])
    assert "model.safetensors" in str(caught.value)


@pytest.mark.parametrize("claim", [10_000_000_000, 2**63, 2**64 - 1, 200])
def test_a_header_longer_than_the_file(claim: int, tmp_path: Path) -> None:
    """A claim of gigabytes is refused without reserving them."""
    file = tmp_path / "model.safetensors"
    file.write_bytes(claim.to_bytes(8, "little") + b"{}" * 10)
    with pytest.raises(CheckpointError, match=f"claims {claim:,} bytes of a file of 28"):
        read_weights([file])


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    """Wherever a download stopped, the file is refused."""
    whole = tmp_path / "whole.safetensors"
    save_file(TENSORS, whole)
    data = whole.read_bytes()
    for length in {0, 1, 7, 8, 9, 100, len(data) // 2, len(data) - 1}:
        cut = tmp_path / f"{length}.safetensors"
        cut.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match="damaged or truncated"):
            read_weights([cut])


def test_a_missing_file(tmp_path: Path) -> None:
    """A file that vanished is a failure in words."""
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_weights([tmp_path / "gone.safetensors"])


def test_old_layer_norm_names() -> None:
    """gamma is the weight and beta the bias, of layer norms only."""
    old = {"x.LayerNorm.gamma": np.ones(1), "x.LayerNorm.beta": np.zeros(1), "beta": np.ones(1)}
    assert set(Weights(old)) == {"x.LayerNorm.weight", "x.LayerNorm.bias", "beta"}


BASE = Weights(
    {
        "embeddings.word_embeddings.weight": np.zeros((3, 2), np.float32),
        "layer.query.weight": np.eye(2, dtype=np.float32),
        "layer.query.bias": np.zeros(2, np.float32),
    }
)
LORA = {
    "base_model.model.layer.query.lora_A.weight": np.array([[1, 2]], np.float32),
    "base_model.model.layer.query.lora_B.weight": np.array([[1], [3]], np.float32),
}


LONG = "encoder.layer.11.attention.output.dense"


def merged(config: dict[str, Any], more: dict[str, Any] | None = None) -> Weights:
    """Return the base with the sample adapter, and maybe more of it."""
    return merge_adapter(BASE, Weights(LORA | (more or {})), config)


def test_lora_by_hand() -> None:
    """B·A is [[1, 2], [3, 6]]; with alpha 2 and rank 1 it is added twice."""
    found = merged({"lora_alpha": 2})
    assert found["layer.query.weight"].tolist() == [[3, 4], [6, 13]]
    assert BASE["layer.query.weight"].tolist() == [[1, 0], [0, 1]], "the base is left alone"


def test_lora_of_a_table_by_hand() -> None:
    """Of an embedding the factors stand the other way round: Aᵀ·Bᵀ is added to its rows."""
    factors = {
        "base_model.model.embeddings.word_embeddings.lora_embedding_A": np.array([[1, 0, 2]]),
        "base_model.model.embeddings.word_embeddings.lora_embedding_B": np.array([[3], [4]]),
    }
    found = merged({"lora_alpha": 1}, factors)
    assert found["embeddings.word_embeddings.weight"].tolist() == [[3, 4], [0, 0], [6, 8]]


def test_a_pattern_that_would_be_tried_without_end() -> None:
    """An adapter that somebody sent does not hold a command up."""
    base = Weights({f"{LONG}.weight": np.eye(2, dtype=np.float32)})
    factors = {
        f"base_model.model.{LONG}.lora_A.weight": np.ones((1, 2), np.float32),
        f"base_model.model.{LONG}.lora_B.weight": np.ones((2, 1), np.float32),
    }
    nested, many = "([a-z0-9.]+)+!", "(.*?)" * 8 + "[^a-z.0-9]"
    found = merge_adapter(base, Weights(factors), {"lora_alpha": 1, "alpha_pattern": {nested: 4}})
    assert found[f"{LONG}.weight"].tolist() == [[2, 1], [1, 2]]
    with pytest.raises(CheckpointError, match="without end"):
        merge_adapter(base, Weights(factors), {"alpha_pattern": {many: 4}})


@pytest.mark.parametrize("pattern", ["query", "layer.query", r"layer\.q.*", r".*\.query"])
def test_alpha_patterns_are_expressions(pattern: str) -> None:
    """As in PEFT, a pattern matches a whole name or the end of one after a point."""
    found = merged({"lora_alpha": 100, "alpha_pattern": {"ery": 9, pattern: 1}})
    assert found["layer.query.weight"].tolist() == [[2, 2], [3, 7]]


@pytest.mark.parametrize(
    "name",
    [
        "base_model.model.layer.query.bias",
        "base_model.model.layer.query.base_layer.bias",
        "base_model.model.layer.query.modules_to_save.bias",
    ],
)
def test_full_parameters_replace_the_bases(name: str) -> None:
    """What the adapter carries whole takes the place of the base's."""
    found = merged({}, {name: np.array([5, 6], np.float32)})
    assert found["layer.query.bias"].tolist() == [5, 6]


@pytest.mark.parametrize(
    ("config", "more", "why"),
    [
        ({"peft_type": "IA3"}, {}, "IA3"),
        ({"use_dora": True}, {}, "DoRA"),
        ({}, {"layer.query.lora_magnitude_vector.weight": np.ones(2)}, "lora_magnitude_vector"),
        ({}, {"embeddings.word_embeddings.lora_embedding_A": np.ones((1, 3))}, "lora_embedding_B"),
        ({}, {"layer.query.lora_B.bias": np.ones(2)}, r"lora_B\.bias"),
        ({}, {"embeddings.token_adapter.trainable_tokens_delta": np.ones(2)}, "token_adapter"),
        ({}, {"layer.key.lora_A.weight": np.ones((1, 2))}, r"lacks layer\.key\.lora_B"),
        (
            {},
            {
                "layer.key.lora_A.weight": np.ones((1, 2)),
                "layer.key.lora_B.weight": np.ones((2, 1)),
            },
            "changes layer.key.weight",
        ),
    ],
)
def test_what_plain_lora_is_not(config: Any, more: Any, why: str) -> None:
    """Nothing in an adapter is left out silently: what cannot be merged is refused."""
    with pytest.raises(CheckpointError, match=why):
        merged(config, more)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"lora_alpha": None}, "lora_alpha"),
        ({"lora_alpha": "1"}, "lora_alpha"),
        ({"lora_alpha": 0}, "lora_alpha"),
        ({"lora_alpha": float("inf")}, "lora_alpha"),
        ({"alpha_pattern": {".*": "x"}}, "alpha_pattern"),
        ({"alpha_pattern": [1]}, "alpha_pattern"),
        ({"alpha_pattern": {"(": 4}}, "no expression"),
        ({"use_rslora": "false"}, "use_rslora"),
        ({"r": 7}, "r is 7"),
        ({"r": "x"}, "r is x"),
    ],
)
def test_settings_that_peft_does_not_write(config: Any, why: str) -> None:
    """A setting of another type is no guess at what was meant."""
    with pytest.raises(CheckpointError, match=why):
        merged(config)


@pytest.mark.parametrize(
    ("a", "b"), [((2, 3), (2, 1)), ((2, 3), (2,)), ((3,), (2, 1)), ((0, 3), (2, 0)), ((), ())]
)
@pytest.mark.parametrize(
    "names",
    [
        ("layer.key.lora_A.weight", "layer.key.lora_B.weight"),
        (
            "embeddings.word_embeddings.lora_embedding_A",
            "embeddings.word_embeddings.lora_embedding_B",
        ),
    ],
)
def test_factors_that_do_not_fit_each_other(names: Any, a: Any, b: Any) -> None:
    """They are told with their layer when the adapter is read, not by numpy when it runs."""
    factors = dict(zip(names, (np.ones(a), np.ones(b)), strict=True))
    with pytest.raises(CheckpointError, match=r"the factors .* make no product"):
        merged({"r": None}, factors)


def test_an_adapter_of_another_size() -> None:
    """An adapter of a wider model names the layer that does not fit."""
    wide = {name: np.ones((1, 8) if "A" in name else (8, 1), np.float32) for name in LORA}
    with pytest.raises(CheckpointError, match=r"differ in layer\.query"):
        merge_adapter(BASE, Weights(wide), {})
