"""Every architecture and head computes what transformers computes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bertcli.checkpoints.layout import read_checkpoint
from bertcli.checkpoints.load import LoadOptions, load_encoder
from bertcli.engine.choices import Engine, Precision
from bertcli.engine.families import Head, head_of, runs_on_onnx
from bertcli.engine.onnx_encoder import OnnxEncoder
from bertcli.engine.torch_encoder import TorchEncoder
from tiny import FAMILY_TYPES, HEADS, change_config

from .windows import assert_close, onnx, ragged_windows, reference, tokenizer_of, torch


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("model_type", FAMILY_TYPES)
def test_onnx_and_torch_agree_with_transformers(
    model_type: str, head: Head, tiny_checkpoint: Any
) -> None:
    """Both engines give transformers' numbers to 1e-4, whatever is batched together; so does what
    starts sooner for a few texts."""
    folder = tiny_checkpoint(model_type, head)
    windows = ragged_windows(tokenizer_of(folder))
    expected = reference(folder, head, windows)
    assert np.ptp(np.concatenate([one.ravel() for one in expected])) > 1, "the test can tell"
    on_onnx = onnx(folder, head)
    assert isinstance(on_onnx, OnnxEncoder)
    assert_close(on_onnx.encode(windows), expected)
    assert_close(onnx(folder, head, brief=True).encode(windows), expected)
    assert_close(torch(folder, head).encode(windows), expected)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("model_type", ["albert", "mpnet"])
def test_other_architectures_run_on_torch(
    model_type: str, head: Head, tiny_checkpoint: Any
) -> None:
    """An architecture that the graph cannot express runs on torch without being asked to."""
    folder = tiny_checkpoint(model_type, head)
    windows = ragged_windows(tokenizer_of(folder))
    encoder = onnx(folder, head)
    assert isinstance(encoder, TorchEncoder)
    assert_close(encoder.encode(windows), reference(folder, head, windows))


@pytest.mark.parametrize("model_type", FAMILY_TYPES)
def test_the_bare_encoder_of_a_checkpoint_with_a_head(
    model_type: str, tiny_checkpoint: Any
) -> None:
    """Any checkpoint can embed: its encoder is found below the head's prefix."""
    folder = tiny_checkpoint(model_type, Head.MASKED_LM)
    windows = ragged_windows(tokenizer_of(folder))
    expected = reference(folder, Head.BASE, windows)
    assert_close(onnx(folder, Head.BASE).encode(windows), expected)
    assert_close(torch(folder, Head.BASE).encode(windows), expected)


@pytest.mark.parametrize(
    "activation", ["gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "relu"]
)
@pytest.mark.parametrize("model_type", FAMILY_TYPES)
def test_activations(model_type: str, activation: str, tiny_checkpoint: Any) -> None:
    """config.json's activation is used in the layers and, where the family does so, in the head."""
    key = "activation" if model_type == "distilbert" else "hidden_act"
    folder = tiny_checkpoint(model_type, Head.MASKED_LM, **{key: activation})
    windows = ragged_windows(tokenizer_of(folder))[:4]
    expected = reference(folder, Head.MASKED_LM, windows)
    assert_close(onnx(folder, Head.MASKED_LM).encode(windows), expected)


def test_an_unknown_activation_goes_to_torch(tiny_checkpoint: Any) -> None:
    """What the graph lacks an operator for is not approximated."""
    folder = tiny_checkpoint("bert", Head.BASE, hidden_act="silu")
    assert not runs_on_onnx(read_checkpoint(folder).config)
    windows = ragged_windows(tokenizer_of(folder))[:3]
    encoder = onnx(folder, Head.BASE)
    assert_close(encoder.encode(windows), reference(folder, Head.BASE, windows))


@pytest.mark.parametrize("model_type", FAMILY_TYPES)
def test_untied_output_matrix(model_type: str, tiny_checkpoint: Any) -> None:
    """A masked-LM head with an output matrix of its own uses it, not the embeddings."""
    folder = tiny_checkpoint(model_type, Head.MASKED_LM, tie_word_embeddings=False)
    windows = ragged_windows(tokenizer_of(folder))[:4]
    expected = reference(folder, Head.MASKED_LM, windows)
    assert_close(onnx(folder, Head.MASKED_LM).encode(windows), expected)


def test_layer_norm_epsilon_is_the_checkpoints_own(tiny_checkpoint: Any) -> None:
    """An epsilon of a size that matters changes the answers as it does in transformers."""
    folder = tiny_checkpoint("roberta", Head.TOKEN, layer_norm_eps=0.3)
    windows = ragged_windows(tokenizer_of(folder))[:4]
    expected = reference(folder, Head.TOKEN, windows)
    assert_close(onnx(folder, Head.TOKEN).encode(windows), expected)


def test_old_names_of_layer_norms(tiny_checkpoint: Any, own_copy: Any) -> None:
    """Checkpoints from the TensorFlow days say gamma and beta; they answer the same."""
    folder = own_copy(tiny_checkpoint("bert", Head.MASKED_LM))
    windows = ragged_windows(tokenizer_of(folder))
    expected = list(onnx(folder, Head.MASKED_LM).encode(windows))
    file = folder / "model.safetensors"
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in load_file(file).items()
    }
    assert any(name.endswith("gamma") for name in old)
    save_file(old, file, metadata={"format": "pt"})
    assert_close(onnx(folder, Head.MASKED_LM).encode(windows), expected, 1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_stored_in_half(dtype: str, tiny_checkpoint: Any, own_copy: Any) -> None:
    """Half-precision files are widened and computed in float32."""
    import torch as pytorch
    from safetensors.torch import load_file, save_file

    folder = own_copy(tiny_checkpoint("bert", Head.SEQUENCE))
    file = folder / "model.safetensors"
    halves = {name: one.to(getattr(pytorch, dtype)) for name, one in load_file(file).items()}
    windows = ragged_windows(tokenizer_of(folder))
    save_file({name: one.float() for name, one in halves.items()}, file, {"format": "pt"})
    expected = reference(folder, Head.SEQUENCE, windows)
    save_file(halves, file, {"format": "pt"})
    assert_close(onnx(folder, Head.SEQUENCE).encode(windows), expected)
    assert_close(torch(folder, Head.SEQUENCE).encode(windows), expected)


@pytest.mark.parametrize("padding", [1, 3, 6])
def test_tensors_at_odd_offsets(padding: int, tiny_checkpoint: Any, own_copy: Any) -> None:
    """A header of odd length leaves the tensors unaligned in memory; the answers are the same."""
    folder = own_copy(tiny_checkpoint("bert", Head.SEQUENCE))
    windows = ragged_windows(tokenizer_of(folder))
    expected = list(onnx(folder, Head.SEQUENCE).encode(windows))
    data = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length] + b" " * padding
    (folder / "model.safetensors").write_bytes(
        len(header).to_bytes(8, "little") + header + data[8 + length :]
    )
    assert_close(onnx(folder, Head.SEQUENCE).encode(windows), expected, 1e-6)


def test_sharded_weights(tiny_checkpoint: Any, own_copy: Any) -> None:
    """A checkpoint in several files is one checkpoint."""
    folder = own_copy(tiny_checkpoint("bert", Head.QA))
    windows = ragged_windows(tokenizer_of(folder))
    expected = list(onnx(folder, Head.QA).encode(windows))
    shard(folder)
    assert len(read_checkpoint(folder).weights) == 3
    assert_close(onnx(folder, Head.QA).encode(windows), expected, 1e-6)


@pytest.mark.parametrize("model_type", FAMILY_TYPES)
def test_int8_is_close_to_fp32(model_type: str, tiny_checkpoint: Any) -> None:
    """Eight-bit matrices keep the direction of the hidden states and of the logits."""
    for head in (Head.BASE, Head.MASKED_LM):
        folder = tiny_checkpoint(model_type, head)
        windows = ragged_windows(tokenizer_of(folder))
        exact = list(onnx(folder, head).encode(windows))
        quick = list(onnx(folder, head, Precision.INT8).encode(windows))
        assert any(not np.array_equal(a, b) for a, b in zip(exact, quick, strict=True))
        a, b = (np.concatenate([one.ravel() for one in every]) for every in (exact, quick))
        assert float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) > 0.95


@pytest.mark.parametrize("model_type", FAMILY_TYPES)
def test_int8_answers_a_text_alone_as_among_others(model_type: str, tiny_checkpoint: Any) -> None:
    """No text has a part in the rounding of another: not where several are computed at once."""
    for head in (Head.BASE, Head.MASKED_LM, Head.SEQUENCE):
        folder = tiny_checkpoint(model_type, head)
        encoder = onnx(folder, head, Precision.INT8)
        windows = ragged_windows(tokenizer_of(folder))
        alone = [next(iter(encoder.encode([window]))) for window in windows]
        assert_close(encoder.encode(windows * 2), alone * 2, 1e-6)


def test_int8_of_small_activations_after_relu(tiny_checkpoint: Any, tmp_path: Path) -> None:
    """They have all codes above zero, however small they are, where GELU's have a least range."""
    errors = []
    for scale in (1.0, 1e-3):
        folder = tmp_path / str(scale)
        shutil.copytree(tiny_checkpoint("bert", Head.BASE, hidden_act="relu"), folder)
        weights = load_file(folder / "model.safetensors")
        for name, tensor in weights.items():
            if ".intermediate.dense." in name:
                tensor *= scale
            elif ".output.dense.weight" in name and ".attention." not in name:
                tensor /= scale
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        windows = ragged_windows(tokenizer_of(folder))
        exact, coarse = (
            np.concatenate(list(onnx(folder, Head.BASE, one).encode(windows)))
            for one in (Precision.FP32, Precision.INT8)
        )
        errors.append(float(np.abs(exact - coarse).mean()))
    assert errors[1] == pytest.approx(errors[0], rel=0.2)


def test_int8_is_never_brief(tiny_checkpoint: Any) -> None:
    """For a few texts int8 computes what it computes for many."""
    folder = tiny_checkpoint("bert", Head.TOKEN)
    windows = ragged_windows(tokenizer_of(folder))
    many, few = (onnx(folder, Head.TOKEN, Precision.INT8, brief) for brief in (False, True))
    assert_close(few.encode(windows), many.encode(windows))


def test_bf16_is_close_to_fp32(tiny_checkpoint: Any) -> None:
    """On torch too, a BERT's hidden states stay where they were in bfloat16."""
    folder = tiny_checkpoint("bert", Head.BASE)
    windows = ragged_windows(tokenizer_of(folder))
    options = LoadOptions("cpu", Precision.BF16, engine=Engine.TORCH)
    exact = onnx(folder, Head.BASE)
    quick = load_encoder(read_checkpoint(folder), Head.BASE, options)
    assert isinstance(quick, TorchEncoder)
    for a, b in zip(exact.encode(windows), quick.encode(windows), strict=True):
        assert float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b)) > 0.98


@pytest.mark.parametrize(
    ("architecture", "head"),
    [
        ("BertModel", Head.BASE),
        ("BertForMaskedLM", Head.MASKED_LM),
        ("BertForPreTraining", Head.MASKED_LM),
        ("ElectraForPreTraining", Head.BASE),
        ("CamembertForTokenClassification", Head.TOKEN),
        ("XLMRobertaForSequenceClassification", Head.SEQUENCE),
        ("DistilBertForQuestionAnswering", Head.QA),
        ("BertForMultipleChoice", Head.BASE),
    ],
)
def test_heads_by_architecture(architecture: str, head: Head) -> None:
    """The head is known from config.json alone, without opening the weights."""
    assert head_of({"architectures": [architecture]}) is head


def test_no_architecture_is_a_bare_encoder() -> None:
    """A config.json that names no architecture still embeds."""
    assert head_of({}) is head_of({"architectures": None}) is Head.BASE


def test_unusual_variants_go_to_torch() -> None:
    """Relative positions and decoders are not what the graph computes."""
    bert = {"model_type": "bert"}
    assert runs_on_onnx(bert)
    assert not runs_on_onnx(bert | {"position_embedding_type": "relative_key"})
    assert not runs_on_onnx(bert | {"is_decoder": True})
    assert not runs_on_onnx({"model_type": "deberta-v2"})


def test_pre_training_checkpoints_fill_masks(tiny_checkpoint: Any, own_copy: Any) -> None:
    """BertForPreTraining has the masked-LM head beside the next-sentence one."""
    folder = own_copy(tiny_checkpoint("bert", Head.MASKED_LM))
    windows = ragged_windows(tokenizer_of(folder))
    expected = list(onnx(folder, Head.MASKED_LM).encode(windows))
    change_config(folder, architectures=["BertForPreTraining"])
    assert_close(onnx(folder, read_checkpoint(folder).head).encode(windows), expected, 1e-6)


def shard(folder: Path) -> None:
    """Split a folder's model.safetensors into three files with an index."""
    file = folder / "model.safetensors"
    tensors = load_file(file)
    names = sorted(tensors)
    weight_map = {}
    for number in range(3):
        shard_name = f"model-{number + 1:05}-of-00003.safetensors"
        part = {name: tensors[name] for name in names[number::3]}
        save_file(part, folder / shard_name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, shard_name)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    file.unlink()
