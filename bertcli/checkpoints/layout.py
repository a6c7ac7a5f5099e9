"""A checkpoint as it lies in a folder: which files there are, and what they say it can do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from bertcli.checkpoints.cache import PICKLED
from bertcli.engine.choices import Pooling
from bertcli.engine.families import CAPITALS, FAMILIES, TOKEN_TYPES, Head, head_of
from bertcli.errors import CheckpointError
from bertcli.home import expanded

PICKLES = (PICKLED, "pytorch_model.bin.index.json", "model.bin", "adapter_model.bin")
WEIGHTS = "model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
HEAD_CONFIG = "head_config.json"
THRESHOLDS = "thresholds"
NO_ANSWER_THRESHOLD = "no_answer_threshold"
USUAL_THRESHOLD = 0.5
UNFINISHED = ".training"
"""In the folder of a checkpoint that is being trained."""
HEAD_SETTINGS: Mapping[str, type] = {
    "base_model_name_or_path": str,
    "pooling": str,
    "normalize": bool,
    "labels": list,
    "multi_label": bool,
}
AFTER_PADDING = ("mpnet", "longformer", "data2vec-text", "roberta-prelayernorm", "xlm-roberta-xl")
"""Architectures outside the families whose positions, like RoBERTa's, start behind the padding."""
TASK_TYPES = {
    "SEQ_CLS": Head.SEQUENCE,
    "TOKEN_CLS": Head.TOKEN,
    "QUESTION_ANS": Head.QA,
    "FEATURE_EXTRACTION": Head.BASE,
}
ARCHITECTURES = {
    Head.MASKED_LM: "ForMaskedLM",
    Head.SEQUENCE: "ForSequenceClassification",
    Head.TOKEN: "ForTokenClassification",
    Head.QA: "ForQuestionAnswering",
}
TASKS = {
    Head.MASKED_LM: ("fill-mask",),
    Head.SEQUENCE: ("classify",),
    Head.TOKEN: ("ner",),
    Head.QA: ("qa",),
    Head.BASE: ("embed", "index", "search"),
}

Setting = TypeVar("Setting")


@dataclass(frozen=True, slots=True)
class SentenceSettings:
    """What sentence-transformers stores beside a model; None where the checkpoint says nothing."""

    pooling: str | None = None
    normalize: bool = False
    max_length: int | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Adapter:
    """A PEFT adapter: its folder and its settings."""

    folder: Path
    config: Mapping[str, Any]

    @property
    def weights(self) -> Path:
        """The file with its tensors."""
        return self.folder / "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class LinearHead:
    """A linear classifier on the embeddings of a base: its folder and its settings.

    The settings name the base, its pooling and normalisation, the labels, and whether a text may
    have several of them.
    """

    folder: Path
    config: Mapping[str, Any]

    @property
    def weights(self) -> Path:
        """The file with its `weight` (labels, d) and its `bias` (labels,)."""
        return self.folder / "head.safetensors"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model on disk, ready to be loaded.

    `folder` holds the base's weights; `tokenizer` may lie in an adapter's folder instead.
    """

    name: str
    folder: Path
    config: Mapping[str, Any]
    weights: tuple[Path, ...]
    tokenizer: Path
    sentence: SentenceSettings = SentenceSettings()
    adapter: Adapter | None = None
    linear: LinearHead | None = None

    @property
    def head(self) -> Head:
        """The head it was trained with."""
        return head_of(self.config)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The commands that it is for."""
        return TASKS[Head.SEQUENCE if self.linear else self.head]

    @property
    def labels(self) -> list[str]:
        """The names of a classifier's outputs, in order; LABEL_0, … where it names none."""
        if self.linear:
            return [str(label) for label in self.linear.config["labels"]]
        named = self.config.get("id2label")
        if named is not None:
            known = (
                {str(key): label for key, label in named.items()} if isinstance(named, dict) else {}
            )
            found = [known.get(str(number)) for number in range(len(known))]
            if not known or not all(isinstance(label, str | int | float) for label in found):
                raise CheckpointError(
                    f"{self.name}: id2label in config.json must give each number from 0 a label"
                )
            return [str(label) for label in found]
        return [f"LABEL_{i}" for i in range(self._number("num_labels", 2))]

    def setting(self, key: str) -> object:
        """Return a setting of config.json by BERT's name for it, None where there is none."""
        family = FAMILIES.get(str(self.config.get("model_type")))
        return family.setting(self.config, key) if family else self.config.get(key)

    @property
    def has_token_types(self) -> bool:
        """Whether it can be told two sorts of tokens apart."""
        family = FAMILIES.get(str(self.config.get("model_type")))
        return bool(family and family.token_types and self._number("type_vocab_size", 2) > 1)

    @property
    def reads_capitals(self) -> bool:
        """Whether its token types say which tokens have capitals, which it does not see itself."""
        return self.config.get(TOKEN_TYPES) == CAPITALS

    @property
    def thresholds(self) -> Mapping[str, float]:
        """The probability from which each label is given; empty where none were chosen."""
        found = (self.linear.config if self.linear else self.config).get(THRESHOLDS)
        if found is None:
            return {}
        numbers = isinstance(found, dict) and all(
            isinstance(one, int | float) for one in found.values()
        )
        if not numbers:
            raise CheckpointError(f"{self.name}: its thresholds are not numbers")
        return {str(label): float(value) for label, value in found.items()}

    @property
    def no_answer_threshold(self) -> float:
        """The probability of no answer above which none is given; 0.5 where none was chosen."""
        found = self.config.get(NO_ANSWER_THRESHOLD, USUAL_THRESHOLD)
        if not isinstance(found, int | float) or not 0 <= found <= 1:
            raise CheckpointError(
                f"{self.name}: {NO_ANSWER_THRESHOLD} in config.json must be a number from 0 to 1"
            )
        return float(found)

    @property
    def window(self) -> int:
        """How many tokens it reads at once, special tokens included."""
        positions = self._number("max_position_embeddings", 512)
        kind = str(self.config.get("model_type"))
        family = FAMILIES.get(kind)
        if kind in AFTER_PADDING or (family and family.positions_after_padding):
            positions -= self._number("pad_token_id", 1) + 1
        return positions

    def _number(self, key: str, otherwise: int) -> int:
        """Return a whole number of config.json, another one where there is none."""
        found = self.config.get(key)
        if found is None:
            return otherwise
        if not isinstance(found, int):
            raise CheckpointError(f"{self.name}: {key} in config.json must be a whole number")
        return found

    @property
    def pickled(self) -> bool:
        """Whether its weights are a pickle."""
        return any(path.name == PICKLED for path in self.weights)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files with its weights."""
        adapter = (self.adapter.weights,) if self.adapter else ()
        return (*self.weights, *adapter, *((self.linear.weights,) if self.linear else ()))

    @property
    def settings(self) -> dict[str, Any]:
        """What decides its answers beside the weights and the tokenizer, as JSON has it."""
        return {
            "config": self.config,
            "sentence": asdict(self.sentence),
            "adapter": self.adapter and self.adapter.config,
            "linear": self.linear and self.linear.config,
        }


def read_checkpoint(
    folder: Path, name: str | None = None, allow_pickle: bool = False
) -> Checkpoint:
    """Return the checkpoint in a folder that holds a whole model, not an adapter.

    With `allow_pickle` pytorch_model.bin will do where there are no safetensors. Raises
    CheckpointError for a folder without config.json, without weights, or one that needs code of
    its own.
    """
    label = name or str(folder)
    missing = "not a checkpoint folder, no config.json"
    if (folder / UNFINISHED).is_dir():
        missing = "an unfinished training: the command that began it goes on with --resume"
    config = read_json(folder / "config.json", f"{label}: {missing}")
    if "auto_map" in config and config.get("model_type") not in FAMILIES:
        raise CheckpointError(
            f"{label}: this checkpoint needs Python code that came with it, "
            "which bertcli never runs; "
            "use a checkpoint of an architecture that transformers has itself"
        )
    if "model_type" not in config:
        raise CheckpointError(f"{label}: config.json names no model_type")
    return Checkpoint(
        name=label,
        folder=folder,
        config=config,
        weights=_weight_files(folder, label, allow_pickle),
        tokenizer=folder / "tokenizer.json",
        sentence=_sentence_settings(folder),
    )


def is_adapter(folder: Path) -> bool:
    """Tell whether a folder holds a PEFT adapter."""
    return (folder / ADAPTER_CONFIG).is_file()


def adapter_config(folder: Path) -> dict[str, Any]:
    """Return an adapter's settings."""
    return read_json(folder / ADAPTER_CONFIG, f"{folder}: no {ADAPTER_CONFIG}")


def with_adapter(base: Checkpoint, folder: Path, name: str | None = None) -> Checkpoint:
    """Return a base with the adapter in a folder on top.

    The adapter's own config.json and tokenizer.json win over the base's where it has them.
    """
    settings = adapter_config(folder)
    adapter = Adapter(folder, settings)
    if not adapter.weights.is_file():
        raise _no_safetensors(folder, name or str(folder), "adapter_model.safetensors")
    own = folder / "config.json"
    config = read_json(own, "") if own.is_file() else _config_from_task(base, settings)
    tokenizer = folder / "tokenizer.json"
    return Checkpoint(
        name=name or str(folder),
        folder=base.folder,
        config=config,
        weights=base.weights,
        tokenizer=tokenizer if tokenizer.is_file() else base.tokenizer,
        sentence=base.sentence,
        adapter=adapter,
    )


def is_linear_head(folder: Path) -> bool:
    """Tell whether a folder holds a linear head on a base."""
    return (folder / HEAD_CONFIG).is_file()


def head_config(folder: Path) -> dict[str, Any]:
    """Return a linear head's settings; raises CheckpointError where one is missing."""
    path = folder / HEAD_CONFIG
    found = read_json(path, f"{folder}: no {HEAD_CONFIG}")
    for key, kind in HEAD_SETTINGS.items():
        if not isinstance(found.get(key), kind):
            raise CheckpointError(f"{path}: it has no {key}; copy the folder again")
    if found["pooling"] not in [one.value for one in Pooling]:
        raise CheckpointError(f"{path}: its pooling is {found['pooling']!r}; copy the folder again")
    return found


def with_linear_head(base: Checkpoint, folder: Path, name: str | None = None) -> Checkpoint:
    """Return a base with the linear head in a folder on top."""
    head = LinearHead(folder, head_config(folder))
    if not head.weights.is_file():
        raise _no_safetensors(folder, name or str(folder), head.weights.name)
    return replace(base, name=name or str(folder), linear=head)


def read_json(path: Path, missing: str) -> dict[str, Any]:
    """Return the object in a JSON file; `missing` is the message when there is no such file."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise OSError("it is no file")
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(missing) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not readable JSON ({error})") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: a JSON object was expected")
    return found


def _config_from_task(base: Checkpoint, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    head = TASK_TYPES.get(str(settings.get("task_type")), base.head)
    names = base.config.get("architectures")
    named = str(names[0]) if isinstance(names, list) and names else "BertModel"
    kind = named.split("For")[0].removesuffix("Model")
    suffix = ARCHITECTURES.get(head, "Model")
    return {**base.config, "architectures": [kind + suffix]}


def _weight_files(folder: Path, label: str, allow_pickle: bool) -> tuple[Path, ...]:
    single, index = folder / WEIGHTS, folder / f"{WEIGHTS}.index.json"
    if single.is_file():
        return (single,)
    if allow_pickle and not index.is_file() and (folder / PICKLED).is_file():
        return (folder / PICKLED,)
    if not index.is_file():
        raise _no_safetensors(folder, label, WEIGHTS)
    shards = read_json(index, "").get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise CheckpointError(f"{index}: it names no weight files; copy it again")
    names = sorted({Path(str(shard)).name for shard in shards.values()})
    absent = [name for name in names if not (folder / name).is_file()]
    if absent:
        raise CheckpointError(f"{label}: the weight file {absent[0]} is missing; copy it again")
    return tuple(folder / name for name in names)


def _no_safetensors(folder: Path, label: str, expected: str) -> CheckpointError:
    pickle = next((name for name in PICKLES if (folder / name).is_file()), None)
    if pickle is None:
        hub = expected == WEIGHTS and folder != expanded(label)
        hint = "; or the hub has a pickle alone: try --allow-pickle" if hub else ""
        return CheckpointError(f"{label}: no {expected}; the checkpoint is incomplete{hint}")
    return CheckpointError(
        f"{label}: only pickled weights ({pickle}), which can run code when opened; "
        "give one with safetensors"
        + (", or read nothing but its tensors with --allow-pickle" if pickle == PICKLED else "")
    )


def _sentence_settings(folder: Path) -> SentenceSettings:
    modules = folder / "modules.json"
    if not modules.is_file():
        return SentenceSettings()
    try:
        listed = list(json.loads(modules.read_text(encoding="utf-8")))
        kinds = {str(one["type"]).rsplit(".", 1)[-1]: str(one["path"]) for one in listed}
        if not kinds:
            raise ValueError("it is empty")
        if outside := [one for one in map(Path, kinds.values()) if _leads_out(one)]:
            raise ValueError(f"{outside[0]} is not below the checkpoint's folder")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{modules}: not a list of modules ({error})") from error
    unknown = set(kinds) - {"Transformer", "Pooling", "Normalize"}
    if unknown:
        raise CheckpointError(
            f"{folder}: its sentence embedding needs the module {min(unknown)}, which bertcli lacks"
        )
    pooling: dict[str, Any] = {}
    if "Pooling" in kinds:
        file = folder / kinds["Pooling"] / "config.json"
        pooling = read_json(file, f"{file} is missing, which modules.json calls for")
    return SentenceSettings(
        pooling=_pooling_mode(folder, pooling),
        normalize="Normalize" in kinds,
        max_length=_setting(folder / "sentence_bert_config.json", "max_seq_length", int),
        prompts=_setting(folder / "config_sentence_transformers.json", "prompts", dict) or {},
    )


def _leads_out(path: Path) -> bool:
    return path.is_absolute() or ".." in path.parts


def _setting(file: Path, key: str, kind: type[Setting]) -> Setting | None:
    """Return what a file that may be there says; raises CheckpointError where it is no `kind`."""
    found = read_json(file, "").get(key) if file.is_file() else None
    if found is not None and not isinstance(found, kind):
        raise CheckpointError(f"{file}: {key} is {found!r}, which is no {kind.__name__}")
    return found


def _pooling_mode(folder: Path, config: Mapping[str, Any]) -> str | None:
    if config.get("include_prompt") is False:
        raise CheckpointError(
            f"{folder}: its pooling leaves the prompt out (include_prompt), which bertcli cannot"
        )
    if "pooling_mode" in config:
        named = config["pooling_mode"]
        chosen = [str(one) for one in named] if isinstance(named, list) else [str(named)]
    else:
        names = {"mean_tokens": "mean", "cls_token": "cls", "max_tokens": "max"}
        chosen = [
            names.get(key.removeprefix("pooling_mode_"), key)
            for key, on in config.items()
            if key.startswith("pooling_mode_") and on is True
        ]
    if len(chosen) > 1 or (chosen and chosen[0] not in ("mean", "cls", "max")):
        raise CheckpointError(
            f"{folder}: pooling by {' and '.join(chosen)} is not supported: mean, cls and max are"
        )
    return chosen[0] if chosen else None
