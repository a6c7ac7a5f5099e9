"""A trained checkpoint on disk: weights, config, tokenizer and card, complete or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertcli.checkpoints.layout import HEAD_CONFIG, NO_ANSWER_THRESHOLD, THRESHOLDS, Checkpoint
from bertcli.checkpoints.resolve import name_of_base
from bertcli.engine.families import PRECISION, TEXT_PAIRS, TOKEN_TYPES, Head
from bertcli.engine.tokens import tokenizer_settings
from bertcli.engine.torch_encoder import AUTO_CLASSES
from bertcli.errors import OutputError

if TYPE_CHECKING:
    from bertcli.train.trainee import Trainee

TOKENIZER_CONFIG = "tokenizer_config.json"
TOKENIZER_FILES = ("tokenizer.json", TOKENIZER_CONFIG, "special_tokens_map.json")
READABLE = 0o644
OF_ITS_OWN = (
    *(TEXT_PAIRS, TOKEN_TYPES, THRESHOLDS, NO_ANSWER_THRESHOLD, PRECISION),
    *("problem_type", "id2label", "label2id", "num_labels"),
)
"""Settings that were true of the base's own training and measuring, and not of the next one's."""
LAST = ("config.json", HEAD_CONFIG)


@dataclass(frozen=True, slots=True)
class Card:
    """A model card: what the checkpoint is for, what it was trained on and how, what it scored.

    `task` is the hub's name of it, `text-classification` and so on. `scores` are those on the
    held-out data, the first the one that counts; `library` is what loads it.
    """

    base: Checkpoint
    task: str
    command: str
    learnt: str
    data: str
    recipe: str
    scores: Mapping[str, float]
    library: str

    @property
    def metadata(self) -> dict[str, Any]:
        """The front matter, as the hub reads it."""
        metrics = [
            {"type": name.lower().replace(" ", "_"), "name": name, "value": round(value, 4)}
            for name, value in self.scores.items()
        ]
        dataset = {"name": "held-out data", "type": "held-out"}
        result = {"task": {"type": self.task}, "dataset": dataset, "metrics": metrics}
        base = name_of_base(self.base)
        named = {} if Path(base).is_absolute() else {"base_model": base}  # or it is on the hub
        return named | {
            "library_name": self.library,
            "pipeline_tag": self.task,
            "model-index": [{"name": self.command, "results": [result]}],
        }

    def text(self) -> str:
        """Return the README.md; JSON is YAML, and needs no further library to write."""
        front = [f"{key}: {json.dumps(value)}" for key, value in self.metadata.items()]
        names = " | ".join(self.scores)
        values = " | ".join(f"{value:.4f}" for value in self.scores.values())
        lines = "|".join("---" for _ in self.scores)
        return "\n".join(
            [
                *("---", *front, "---", ""),
                *(f"# {self.task} on {self.base.name}", ""),
                *(self.learnt, ""),
                *("## Data", "", self.data, ""),
                *("## Recipe", "", f"`{self.command}`: {self.recipe}.", ""),
                *("## Scores on the held-out data", ""),
                *(f"| {names} |", f"|{lines}|", f"| {values} |", ""),
            ]
        )


def save(model: Trainee, base: Checkpoint, folder: Path, card: Card, merge: bool = False) -> None:
    """Write a trained model: a PEFT adapter in float16, or all of it where all was trained.

    `merge` writes all of it with the adapter merged, in float32; the model is of no use afterwards.
    """

    def write(into: Path) -> None:
        adapter = model.peft is not None and not merge
        if adapter:
            _write_adapter(model.peft, base, into)
        else:
            whole = model.plain if model.peft is None else model.peft.merge_and_unload()
            whole.save_pretrained(into)
            if model.head is Head.BASE:
                _copy_sentence_settings(base, into)
        config = json.dumps(_config(model, base), indent=2)
        (into / "config.json").write_text(config + "\n", encoding="utf-8")
        _copy_tokenizer(base, into, model.window)
        usage = _usage(model.head, name_of_base(base) if adapter else None)
        (into / "README.md").write_text(card.text() + usage, encoding="utf-8")

    write_whole(folder, write)


def _usage(head: Head, base: str | None) -> str:
    """Return how to load a checkpoint in Python; an adapter on a `base`."""
    auto = AUTO_CLASSES[head]
    lines = [f"from transformers import {auto}", "", f'model = {auto}.from_pretrained(".")']
    if base is not None:
        lines = [
            "from peft import PeftModel",
            f"from transformers import AutoConfig, {auto}",
            "",
            'config = AutoConfig.from_pretrained(".")  # the head\'s labels are here',
            f"base = {auto}.from_pretrained({base!r}, config=config)",
            'model = PeftModel.from_pretrained(base, ".")',
        ]
    return "\n".join(["## In Python", "", "From this folder:", "", "```python", *lines, "```", ""])


def write_whole(folder: Path, write: Callable[[Path], None]) -> None:
    """Fill a folder by way of a temporary one beside it; raises OutputError when it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".saving-*"):  # by a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as name:
            write(Path(name))
            # The settings last: without them the folder is no checkpoint.
            for path in sorted(Path(name).iterdir(), key=lambda path: path.name in LAST):
                if path.is_file():  # safetensors writes for the owner's eyes only
                    path.chmod(READABLE)
                elif (folder / path.name).is_dir():  # by a run that was killed while it moved
                    shutil.rmtree(folder / path.name)
                path.replace(folder / path.name)
    except OSError as error:
        raise _not_written(folder, error.strerror or str(error)) from error
    except Exception as error:
        if type(error).__name__ != "SafetensorError":
            raise
        raise _not_written(folder, str(error)) from error


def _not_written(folder: Path, why: str) -> OutputError:
    return OutputError(f"{folder}: the checkpoint cannot be written ({why})")


def _write_adapter(peft: Any, base: Checkpoint, into: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    peft.peft_config["default"].base_model_name_or_path = name_of_base(base)
    peft.save_pretrained(into, save_embedding_layers=False)
    card = into / "README.md"
    card.unlink(missing_ok=True)
    weights = into / "adapter_model.safetensors"
    tensors = load_file(weights)
    save_file({key: tensor.to(torch.float16) for key, tensor in tensors.items()}, weights)


def _config(model: Trainee, base: Checkpoint) -> dict[str, Any]:
    """Return the base's settings with what is the trained model's own: its class, its labels."""
    config = {
        key: value
        for key, value in base.config.items()
        if not key.startswith("_") and key not in OF_ITS_OWN
    }
    config["architectures"] = [type(model.plain).__name__]
    if model.head in (Head.SEQUENCE, Head.TOKEN):
        own = model.plain.config
        config["id2label"] = {str(number): label for number, label in own.id2label.items()}
        config["label2id"] = dict(own.label2id)
    return config | dict(model.settings)


def _copy_sentence_settings(base: Checkpoint, into: Path) -> None:
    """Copy what sentence-transformers needs to pool and to normalise, where the base has it."""
    modules = base.folder / "modules.json"
    if not modules.is_file():
        return
    for name in ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"):
        if (base.folder / name).is_file():
            shutil.copyfile(base.folder / name, into / name)
    for one in json.loads(modules.read_text(encoding="utf-8")):
        if one["path"]:
            (into / one["path"]).mkdir()
            settings = base.folder / one["path"] / "config.json"
            if settings.is_file():
                shutil.copyfile(settings, into / one["path"] / "config.json")


def _copy_tokenizer(base: Checkpoint, into: Path, window: int | None = None) -> None:
    for name in TOKENIZER_FILES:
        source = base.tokenizer.with_name(name)
        if source.is_file():
            shutil.copyfile(source, into / name)
    if window is not None:
        settings = into / TOKENIZER_CONFIG
        declared = tokenizer_settings(settings) | {"model_max_length": window}
        settings.write_text(json.dumps(declared, indent=2) + "\n", encoding="utf-8")
