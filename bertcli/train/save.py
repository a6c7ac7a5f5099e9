"""A trained checkpoint on disk: weights, config, tokenizer and card, complete or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertcli.checkpoints.catalog import BASE_NAME
from bertcli.checkpoints.layout import Checkpoint
from bertcli.errors import OutputError

if TYPE_CHECKING:
    from bertcli.train.masked_lm import MaskedLm

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
HUB_BASE = f"sentence-transformers/{BASE_NAME}"


@dataclass(frozen=True, slots=True)
class Card:
    """What the model card says: front matter for the hub, and the text below."""

    metadata: dict[str, Any]
    body: str

    def text(self) -> str:
        """Return the README.md; JSON is YAML, and needs no further library to write."""
        lines = [f"{key}: {json.dumps(value)}" for key, value in self.metadata.items()]
        return "---\n" + "\n".join(lines) + f"\n---\n\n{self.body}"


def save_masked_lm(model: MaskedLm, base: Checkpoint, folder: Path, card: Card) -> None:
    """Write a trained model: a PEFT adapter in float16, or all of it where all was trained."""

    def write(into: Path) -> None:
        if model.peft is None:
            model.plain.save_pretrained(into)
        else:
            _write_adapter(model.peft, base, into)
        config = _masked_lm_config(base)
        (into / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        _copy_tokenizer(base, into)
        (into / "README.md").write_text(card.text(), encoding="utf-8")

    write_whole(folder, write)


def write_whole(folder: Path, write: Callable[[Path], None]) -> None:
    """Fill a folder by way of a temporary one beside it; raises OutputError when it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as name:
            write(Path(name))
            # config.json last: without it the folder is no checkpoint.
            for path in sorted(Path(name).iterdir(), key=lambda path: path.name == "config.json"):
                path.replace(folder / path.name)
    except OSError as error:
        raise OutputError(
            f"{folder}: the checkpoint cannot be written ({error.strerror})"
        ) from error


def _write_adapter(peft: Any, base: Checkpoint, into: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    peft.peft_config["default"].base_model_name_or_path = _name_of_base(base)
    peft.save_pretrained(into, save_embedding_layers=False)
    card = into / "README.md"
    card.unlink(missing_ok=True)
    weights = into / "adapter_model.safetensors"
    tensors = load_file(weights)
    save_file({key: tensor.to(torch.float16) for key, tensor in tensors.items()}, weights)


def _name_of_base(base: Checkpoint) -> str:
    """Return the name under which the base is found again, by bertcli and by PEFT."""
    if base.adapter:
        return str(base.adapter.config["base_model_name_or_path"])
    return HUB_BASE if base.name == BASE_NAME else str(base.folder.resolve())


def _masked_lm_config(base: Checkpoint) -> dict[str, Any]:
    names = {
        "bert": "BertForMaskedLM",
        "distilbert": "DistilBertForMaskedLM",
        "roberta": "RobertaForMaskedLM",
        "xlm-roberta": "XLMRobertaForMaskedLM",
        "camembert": "CamembertForMaskedLM",
        "electra": "ElectraForMaskedLM",
    }
    config = {key: value for key, value in base.config.items() if not key.startswith("_")}
    return config | {"architectures": [names[str(base.config["model_type"])]]}


def _copy_tokenizer(base: Checkpoint, into: Path) -> None:
    for name in TOKENIZER_FILES:
        source = base.tokenizer.with_name(name)
        if source.is_file():
            shutil.copyfile(source, into / name)
