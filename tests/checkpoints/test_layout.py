"""Checkpoints as they lie in folders, whole and damaged."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertcli.checkpoints.catalog import BUILTINS, Builtin
from bertcli.checkpoints.layout import read_checkpoint, with_adapter
from bertcli.checkpoints.load import LoadOptions, load_encoder, load_tokenizer
from bertcli.checkpoints.resolve import ModelChoice, resolve
from bertcli.engine.choices import Precision
from bertcli.engine.families import Head
from bertcli.engine.windows import Window
from bertcli.errors import CheckpointError, UsageError
from tiny import change_config, change_json, make_checkpoint


@pytest.fixture
def folder(tiny_checkpoint: Any, own_copy: Any) -> Path:
    """Return a classifier that a test may damage."""
    copied: Path = own_copy(tiny_checkpoint("bert", Head.SEQUENCE))
    return copied


def refusal(folder: Path, head: Head = Head.SEQUENCE) -> str:
    """Return the message with which a folder is refused."""
    with pytest.raises(CheckpointError) as caught:
        load_encoder(read_checkpoint(folder), head)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_what_a_checkpoint_says_of_itself(folder: Path) -> None:
    """Head, labels in order, window and files come from config.json and the folder."""
    checkpoint = read_checkpoint(folder, "a name")
    assert (checkpoint.name, checkpoint.head, checkpoint.window) == ("a name", Head.SEQUENCE, 64)
    assert checkpoint.labels == ["contradiction", "neutral", "entailment"]
    assert checkpoint.files == (folder / "model.safetensors",)


def test_labels_are_sorted_by_number(folder: Path) -> None:
    """Ten comes after nine, not after one."""
    labels = {str(i): f"label{i}" for i in reversed(range(12))}
    change_config(folder, id2label=labels)
    assert read_checkpoint(folder).labels == [f"label{i}" for i in range(12)]


def test_labels_without_names(folder: Path) -> None:
    """transformers calls them LABEL_0 and so on."""
    change_config(folder, id2label=None, label2id=None, num_labels=3)
    assert read_checkpoint(folder).labels == ["LABEL_0", "LABEL_1", "LABEL_2"]


@pytest.mark.parametrize("model_type", ["roberta", "xlm-roberta", "camembert", "mpnet"])
def test_positions_behind_the_padding_shorten_the_window(
    model_type: str, tiny_checkpoint: Any
) -> None:
    """RoBERTa's 66 positions read 64 tokens; MPNet, on torch, counts the same way."""
    assert read_checkpoint(tiny_checkpoint(model_type)).window == 64


def test_no_such_folder(tmp_path: Path) -> None:
    """A folder without config.json is no checkpoint."""
    assert "no config.json" in refusal(tmp_path)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\0", "[1]", '"text"'])
def test_a_broken_config(text: str, folder: Path) -> None:
    """config.json must be a JSON object."""
    (folder / "config.json").write_text(text)
    assert "config.json" in refusal(folder)


def test_no_model_type(folder: Path) -> None:
    """Without a model type nobody knows how to compute."""
    change_config(folder, model_type=None)
    assert "names no model_type" in refusal(folder)


def test_an_unknown_model_type(folder: Path) -> None:
    """An architecture that transformers lacks is refused in one line."""
    change_config(folder, model_type="never-heard-of")
    assert "never-heard-of" in refusal(folder)


def test_remote_code_is_refused(folder: Path) -> None:
    """A checkpoint that brings Python is never run."""
    change_config(folder, model_type="their_own", auto_map={"AutoModel": "model.TheirModel"})
    (folder / "model.py").write_text("raise SystemExit('it was run')")
    assert "needs Python code" in refusal(folder)


def test_pickled_weights_are_refused(folder: Path) -> None:
    """Pickles can run code; the message says what there is instead."""
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    message = refusal(folder)
    assert "pickled weights (pytorch_model.bin)" in message
    assert "safetensors" in message
    assert "--allow-pickle" in message


def test_no_weights(folder: Path) -> None:
    """A folder without weights is incomplete."""
    (folder / "model.safetensors").unlink()
    assert "no model.safetensors" in refusal(folder)


def test_a_missing_shard(folder: Path) -> None:
    """The absent file is named."""
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-1.safetensors", "b": "../../etc/model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model-2.safetensors").write_bytes(b"")
    assert "model-1.safetensors is missing" in refusal(folder)


@pytest.mark.parametrize("index", ["{}", '{"weight_map": []}', '{"weight_map": {}}', "{"])
def test_a_broken_shard_index(index: str, folder: Path) -> None:
    """An index without a map of weights is refused."""
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(index)
    assert "index.json" in refusal(folder)


def test_truncated_weights(folder: Path) -> None:
    """A download that stopped is named as such."""
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    assert "damaged or truncated" in refusal(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": 64}, r"word_embeddings.weight has the shape [130, 32]"),
        ({"vocab_size": 131}, "word_embeddings.weight has the shape [130, 32]"),
        ({"intermediate_size": 32}, "intermediate.dense.weight has the shape [48, 32]"),
        ({"num_hidden_layers": 3}, "lack bert.encoder.layer.2"),
        ({"max_position_embeddings": 512}, "position_embeddings.weight has the shape [64, 32]"),
        ({"type_vocab_size": 1}, "token_type_embeddings.weight has the shape [2, 32]"),
        ({"id2label": {"0": "a", "1": "b"}}, "classifier has 3 outputs"),
        ({"id2label": None, "label2id": None}, "classifier has 3 outputs"),
        ({"num_attention_heads": 5}, "not a multiple of 5 heads"),
        ({"hidden_size": None}, "no hidden_size"),
        ({"num_hidden_layers": "two"}, "no num_hidden_layers"),
        ({"num_hidden_layers": -1}, "no num_hidden_layers"),
    ],
)
def test_weights_that_contradict_the_config(changes: Any, words: str, folder: Path) -> None:
    """The message names the weight with both shapes, or the setting that makes no sense."""
    change_config(folder, **changes)
    assert words in refusal(folder)


@pytest.mark.parametrize("model_type", ["bert", "albert"])
def test_a_head_that_is_not_in_the_file(
    model_type: str, tiny_checkpoint: Any, own_copy: Any
) -> None:
    """Neither engine makes up a missing head at random."""
    folder = own_copy(tiny_checkpoint(model_type))
    change_config(folder, architectures=["XForTokenClassification"])
    assert "the weights lack classifier" in refusal(folder, Head.TOKEN)


def test_torch_notices_damage_too(tiny_checkpoint: Any, own_copy: Any) -> None:
    """Truncated weights and wrong shapes are one line on torch as well."""
    folder = own_copy(tiny_checkpoint("albert", Head.SEQUENCE))
    change_config(folder, vocab_size=131)
    assert "transformers cannot load it" in refusal(folder)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    assert str(folder) in refusal(folder)


def test_a_missing_tokenizer(folder: Path) -> None:
    """The tokenizer is asked for by its file's name."""
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"no tokenizer\.json"):
        load_tokenizer(read_checkpoint(folder))


def test_the_wrong_head(folder: Path) -> None:
    """A classifier answers no questions, and the message says what it is made for."""
    assert "made for classify, not for qa" in refusal(folder, Head.QA)


def test_what_a_machine_cannot_do(folder: Path) -> None:
    """A device that is not there, and eight bits where only torch runs, are usage errors."""
    checkpoint = read_checkpoint(folder)
    with pytest.raises(UsageError, match="--device"):
        load_encoder(checkpoint, Head.SEQUENCE, LoadOptions("mps"))
    change_config(folder, hidden_act="silu")
    with pytest.raises(UsageError, match="int8"):
        load_encoder(read_checkpoint(folder), Head.SEQUENCE, LoadOptions("cpu", Precision.INT8))


def sentence(folder: Path, pooling: Any, modules: tuple[str, ...] = ("Pooling",)) -> Path:
    """Add sentence-transformers' files to a folder."""
    listed = [{"type": f"sentence_transformers.models.{name}", "path": name} for name in modules]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "Pooling").mkdir(exist_ok=True)
    (folder / "Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode": "cls", "include_prompt": True}, "cls"),
        ({"pooling_mode": ["mean"]}, "mean"),
    ],
)
def test_sentence_settings(pooling: Any, expected: str, folder: Path) -> None:
    """Pooling in the old and the new spelling, normalisation, length and prompts."""
    sentence(folder, pooling, ("Transformer", "Pooling", "Normalize"))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 48}')
    prompts = {"prompts": {"query": "query: "}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    found = read_checkpoint(folder).sentence
    assert (found.pooling, found.normalize, found.max_length) == (expected, True, 48)
    assert found.prompts == {"query": "query: "}


@pytest.mark.parametrize(
    ("pooling", "modules", "words"),
    [
        ({"pooling_mode_lasttoken": True}, ("Pooling",), "lasttoken"),
        ({"pooling_mode": ["mean", "cls"]}, ("Pooling",), "mean and cls"),
        ({"pooling_mode": "mean", "include_prompt": False}, ("Pooling",), "include_prompt"),
        ({}, ("Pooling", "Dense"), "Dense"),
    ],
)
def test_embeddings_we_cannot_compute(
    pooling: Any, modules: tuple[str, ...], words: str, folder: Path
) -> None:
    """What would give other vectors than sentence-transformers' is refused."""
    assert words in refusal(sentence(folder, pooling, modules))


def test_a_missing_pooling_config(folder: Path) -> None:
    """A file that modules.json promises is named when it is absent."""
    sentence(folder, {})
    (folder / "Pooling" / "config.json").unlink()
    assert "Pooling/config.json" in refusal(folder)


@pytest.mark.parametrize("text", ["{", "[1]", "{}", '[{"type": 1}]', "[" * 100_000])
def test_a_broken_modules_file(text: str, folder: Path) -> None:
    """modules.json must be a list of modules."""
    (folder / "modules.json").write_text(text)
    assert "modules.json" in refusal(folder)


@pytest.mark.parametrize("path", ["/etc", "../other", "a/../../b"])
def test_modules_are_below_the_folder(path: str, folder: Path) -> None:
    """A checkpoint has nothing read outside of it."""
    named = [{"type": "sentence_transformers.models.Pooling", "path": path}]
    (folder / "modules.json").write_text(json.dumps(named))
    assert "is not below" in refusal(folder)


def test_a_pipe_is_no_config(folder: Path) -> None:
    """It is refused, not waited for."""
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    assert "config.json: not readable JSON (it is no file)" in refusal(folder)


@pytest.mark.parametrize(
    "labels",
    [
        {"a": 0, "b": 1, "c": 2},
        {"0": "a", "1": "b", "5": "c"},
        {"0": "a", "1": None, "2": "c"},
        ["a", "b", "c"],
    ],
)
def test_labels_that_are_not_numbered(folder: Path, labels: object) -> None:
    """id2label maps the numbers from 0 to names."""
    change_config(folder, id2label=labels)
    with pytest.raises(CheckpointError, match="id2label"):
        _ = read_checkpoint(folder).labels


def test_an_adapter_with_files_of_its_own(folder: Path, tmp_path: Path) -> None:
    """config.json and the tokenizer in the adapter's folder win over the base's."""
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    base = read_checkpoint(folder)
    plain = with_adapter(base, adapter)
    assert plain.head is Head.SEQUENCE
    assert plain.tokenizer == base.tokenizer
    assert plain.files == (*base.weights, adapter / "adapter_model.safetensors")
    (adapter / "config.json").write_text((folder / "config.json").read_text())
    change_json(adapter / "config.json", architectures=["BertForMaskedLM"])
    (adapter / "tokenizer.json").write_text("{}")
    own = with_adapter(base, adapter)
    assert own.head is Head.MASKED_LM
    assert own.tokenizer == adapter / "tokenizer.json"


def test_an_adapter_without_weights(folder: Path, tmp_path: Path) -> None:
    """An incomplete or a pickled adapter is refused as a whole model would be."""
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    base = read_checkpoint(folder)
    with pytest.raises(CheckpointError, match=r"no adapter_model\.safetensors"):
        with_adapter(base, tmp_path)
    (tmp_path / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"pickled weights \(adapter_model\.bin\)"):
        with_adapter(base, tmp_path)


def test_every_tiny_type_is_complete(tmp_path: Path) -> None:
    """The factory's folders are what transformers saves: nothing else is needed."""
    make_checkpoint(tmp_path, "electra", Head.MASKED_LM)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names


def test_pickled_tensors_are_read_where_they_are_allowed(folder: Path, own_copy: Any) -> None:
    """The same answers as from safetensors, on both engines."""
    import torch
    from safetensors.torch import load_file

    safe = read_checkpoint(folder)
    copy = own_copy(folder, "pickled")
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="--allow-pickle"):
        resolve(ModelChoice(str(copy)))
    pickled = resolve(ModelChoice(str(copy), allow_pickle=True))
    assert pickled.weights[0].name == "pytorch_model.bin"
    window = Window(np.array([2, 5, 6, 3]), np.zeros(4, np.int64), 0, 2, 1)
    for precision in (Precision.FP32, Precision.BF16):
        options = LoadOptions(precision=precision)
        one, two = (
            next(load_encoder(each, each.head, options).encode([window]))
            for each in (safe, pickled)
        )
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_a_pickle_that_runs_code_is_refused(folder: Path, own_copy: Any, tmp_path: Path) -> None:
    """Allowed or not, nothing in it runs."""
    import pickle

    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    copy = own_copy(folder, "bomb")
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Bomb()}))
    checkpoint = resolve(ModelChoice(str(copy), allow_pickle=True))
    with pytest.raises(CheckpointError, match="not a pickle of tensors alone"):
        load_encoder(checkpoint, checkpoint.head)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "one", [each for each in BUILTINS if each.adapter], ids=lambda one: one.name
)
def test_the_catalogue_tells_the_scores_of_the_cards(one: Builtin) -> None:
    """`models list` and the card of a built-in checkpoint say the same."""
    front = (one.folder / "README.md").read_text(encoding="utf-8").split("---")[1]
    index = next(line for line in front.splitlines() if line.startswith("model-index: "))
    (model,) = json.loads(index.removeprefix("model-index: "))
    values = [metric["value"] for result in model["results"] for metric in result["metrics"]]
    known = {f"{value / 100 if value > 1 else value:.3f}" for value in values}
    assert one.scores.split()[-1] in known
