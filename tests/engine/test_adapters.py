"""LoRA adapters: merged by us, they answer as PEFT does."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertcli.checkpoints.layout import Checkpoint, read_checkpoint, with_adapter
from bertcli.checkpoints.load import LoadOptions, load_encoder, load_weights
from bertcli.engine.choices import Precision
from bertcli.engine.encoder import Encoder
from bertcli.engine.families import Head
from bertcli.engine.torch_encoder import TorchEncoder, TorchSource
from bertcli.errors import CheckpointError
from tiny import AUTO

from .windows import assert_close, outputs_of, ragged_windows, tokenizer_of

TARGETS = {"distilbert": ["q_lin", "v_lin"]}
HEADS_SAVED = {
    Head.SEQUENCE: ["classifier", "pre_classifier"],
    Head.TOKEN: ["classifier"],
    Head.QA: ["qa_outputs"],
    Head.MASKED_LM: ["cls.predictions.transform"],
    Head.BASE: [],
}
VARIANTS = {
    "plain": {},
    "bias": {"bias": "all"},
    "rslora": {"use_rslora": True, "lora_alpha": 3},
    "patterns": {
        "rank_pattern": {"query": 2},
        "alpha_pattern": {r"layer\.1\.attention\.self\.query": 11, "value": 1},
    },
    "embeddings": {
        "target_modules": ["query", "word_embeddings", "position_embeddings"],
        "rank_pattern": {"word_embeddings": 2},
    },
}


def adapted(base: Path, head: Head, folder: Path, **settings: Any) -> Any:
    """Save an adapter with random factors and head, and return the PEFT model itself."""
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model

    model = getattr(transformers, AUTO[head]).from_pretrained(base)
    kind = model.config.model_type
    config = LoraConfig(
        **{
            "r": 4,
            "lora_alpha": 6,
            "target_modules": TARGETS.get(kind, ["query", "value"]),
            "modules_to_save": HEADS_SAVED[head],
        }
        | settings
    )
    wrapped = get_peft_model(model, config)
    torch.manual_seed(1)
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter.data, std=0.3)
    wrapped.save_pretrained(folder)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    return wrapped


def on_onnx(checkpoint: Checkpoint, head: Head, brief: bool = False) -> Encoder:
    """Return the engine that merges by itself, or keeps the factors apart for a few texts."""
    return load_encoder(checkpoint, head, LoadOptions("cpu", Precision.FP32, 200, brief))


def on_torch(checkpoint: Checkpoint, head: Head) -> Encoder:
    """Return the engine for all architectures."""
    source = TorchSource(checkpoint.folder, dict(checkpoint.config), load_weights(checkpoint))
    return TorchEncoder(source, head, "cpu", Precision.FP32, 200)


@pytest.mark.parametrize("variant", VARIANTS)
def test_merged_lora_answers_as_peft_does(
    variant: str, tiny_checkpoint: Any, tmp_path: Path
) -> None:
    """Biases, rank-stabilised scaling and patterns of rank and alpha, with a new head."""
    base = tiny_checkpoint("bert", Head.TOKEN)
    model = adapted(base, Head.TOKEN, tmp_path, **VARIANTS[variant])
    windows = ragged_windows(tokenizer_of(base))
    expected = outputs_of(model, Head.TOKEN, windows)
    checkpoint = with_adapter(read_checkpoint(base), tmp_path)
    assert_close(on_onnx(checkpoint, Head.TOKEN).encode(windows), expected)
    assert_close(on_onnx(checkpoint, Head.TOKEN, brief=True).encode(windows), expected)
    assert_close(on_torch(checkpoint, Head.TOKEN).encode(windows), expected)


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "roberta"])
def test_changed_embeddings_are_not_the_output(
    model_type: str, tiny_checkpoint: Any, tmp_path: Path
) -> None:
    """PEFT leaves the tied output matrix as it was; on torch, where the two are one, it is told."""
    base = tiny_checkpoint(model_type, Head.MASKED_LM)
    settings = {"target_modules": ["word_embeddings"], "modules_to_save": []}
    model = adapted(base, Head.MASKED_LM, tmp_path, **settings)
    windows = ragged_windows(tokenizer_of(base))
    expected = outputs_of(model, Head.MASKED_LM, windows)
    checkpoint = with_adapter(read_checkpoint(base), tmp_path)
    assert_close(on_onnx(checkpoint, Head.MASKED_LM).encode(windows), expected)
    assert_close(on_onnx(checkpoint, Head.MASKED_LM, brief=True).encode(windows), expected)
    with pytest.raises(CheckpointError, match="use --engine onnxruntime"):
        on_torch(checkpoint, Head.MASKED_LM)


@pytest.mark.parametrize(
    ("model_type", "head"),
    [
        ("bert", Head.MASKED_LM),
        *product(("bert", "distilbert", "roberta"), (Head.SEQUENCE, Head.QA, Head.BASE)),
    ],
)
def test_adapters_with_a_head_on_a_bare_base(
    model_type: str, head: Head, tiny_checkpoint: Any, tmp_path: Path
) -> None:
    """The built-in checkpoints' way: the base's file has no head, the adapter brings it."""
    base = tiny_checkpoint(model_type)
    model = adapted(base, head, tmp_path, **({"bias": "all"} if head is Head.MASKED_LM else {}))
    windows = ragged_windows(tokenizer_of(base))
    expected = outputs_of(model, head, windows)
    checkpoint = with_adapter(read_checkpoint(base), tmp_path)
    assert checkpoint.head is head
    assert_close(on_onnx(checkpoint, head).encode(windows), expected)
    assert_close(on_onnx(checkpoint, head, brief=True).encode(windows), expected)
    assert_close(on_torch(checkpoint, head).encode(windows), expected)


def test_an_adapter_trained_on_the_bare_encoder_of_a_model_with_a_head(
    tiny_checkpoint: Any, tmp_path: Path
) -> None:
    """AutoModel's names have no `bert.`, the base's file has: the layers are found all the same."""
    base = tiny_checkpoint("bert", Head.MASKED_LM)
    model = adapted(base, Head.BASE, tmp_path, bias="all")
    windows = ragged_windows(tokenizer_of(base))
    expected = outputs_of(model, Head.BASE, windows)
    checkpoint = with_adapter(read_checkpoint(base), tmp_path)
    assert_close(on_onnx(checkpoint, Head.BASE).encode(windows), expected)
    assert_close(on_onnx(checkpoint, Head.BASE, brief=True).encode(windows), expected)
    assert_close(on_torch(checkpoint, Head.BASE).encode(windows), expected)


def test_the_bare_encoder_below_an_adapters_head(tiny_checkpoint: Any, tmp_path: Path) -> None:
    """Embedding with a classifier's adapter uses its changed layers, in both engines."""
    base = tiny_checkpoint("bert")
    adapted(base, Head.TOKEN, tmp_path)
    windows = ragged_windows(tokenizer_of(base))
    checkpoint = with_adapter(read_checkpoint(base), tmp_path)
    changed = list(on_onnx(checkpoint, Head.BASE).encode(windows))
    assert_close(on_torch(checkpoint, Head.BASE).encode(windows), changed)
    plain = list(on_onnx(read_checkpoint(base), Head.BASE).encode(windows))
    assert float(np.abs(changed[0] - plain[0]).max()) > 0.1


def test_a_low_rank_change_of_a_tied_output_matrix(tiny_checkpoint: Any, tmp_path: Path) -> None:
    """The output matrix alone changes; the input embeddings that it was tied to stay."""
    base = tiny_checkpoint("bert", Head.MASKED_LM)
    model = adapted(
        base,
        Head.MASKED_LM,
        tmp_path,
        target_modules=r".*query|.*predictions\.decoder",
        rank_pattern={"decoder": 2},
        alpha_pattern={"decoder": 2},
    )
    windows = ragged_windows(tokenizer_of(base))
    expected = outputs_of(model, Head.MASKED_LM, windows)
    checkpoint = with_adapter(read_checkpoint(base), tmp_path)
    assert_close(on_onnx(checkpoint, Head.MASKED_LM).encode(windows), expected)
    assert_close(on_onnx(checkpoint, Head.MASKED_LM, brief=True).encode(windows), expected)
    assert_close(on_torch(checkpoint, Head.MASKED_LM).encode(windows), expected)


def test_adapters_of_other_architectures(tiny_checkpoint: Any, tmp_path: Path) -> None:
    """What runs on torch takes adapters too."""
    base = tiny_checkpoint("mpnet", Head.TOKEN)
    model = adapted(base, Head.TOKEN, tmp_path, target_modules=["q", "v"], bias="all")
    windows = ragged_windows(tokenizer_of(base))
    checkpoint = with_adapter(read_checkpoint(base), tmp_path)
    encoder = on_onnx(checkpoint, Head.TOKEN)
    assert isinstance(encoder, TorchEncoder)
    assert_close(encoder.encode(windows), outputs_of(model, Head.TOKEN, windows))


def test_the_head_follows_from_the_task_type(tiny_checkpoint: Any, tmp_path: Path) -> None:
    """PEFT saves no config.json beside an adapter; its task type says which head it has."""
    base = tiny_checkpoint("bert", Head.BASE, num_labels=2)
    model = adapted(base, Head.SEQUENCE, tmp_path, task_type="SEQ_CLS")
    (tmp_path / "config.json").unlink()
    windows = ragged_windows(tokenizer_of(base))
    checkpoint = with_adapter(read_checkpoint(base), tmp_path)
    assert checkpoint.head is Head.SEQUENCE
    expected = outputs_of(model, Head.SEQUENCE, windows)
    assert_close(on_onnx(checkpoint, Head.SEQUENCE).encode(windows), expected)
