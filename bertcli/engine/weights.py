"""Weights as arrays: memory-mapped safetensors files, with LoRA adapters merged on the way."""

from __future__ import annotations

import json
import math
import mmap
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertcli.errors import CheckpointError, first_line

DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "<i1",
    "U8": "<u1",
    "BOOL": "<u1",
}
HEADER_LIMIT = 100_000_000
PATTERN_SECONDS = 1.0
MOST_DIMENSIONS = 32  # as numpy has had it for long
PEFT_PREFIX = "base_model.model."
TIED_OUTPUTS = ("predictions.decoder", "lm_head.decoder", "vocab_projector", "generator_lm_head")
WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"
PREFIXES = ("bert", "roberta", "distilbert", "electra")
ENCODER_PARTS = ("embeddings", "embeddings_project", "encoder", "transformer", "pooler")


@dataclass(frozen=True, slots=True)
class LowRank:
    """A change `B·A` of a matrix (out, in): `a` is (r, in); `b`, with the scale in it, (out, r)."""

    a: NDArray[np.float32]
    b: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int]:
        """Return the shape of the matrix that it changes."""
        return len(self.b), self.a.shape[1]


class Weights(Mapping[str, NDArray[Any]]):
    """The tensors of a checkpoint by name, as views of its memory-mapped files.

    Old names of layer-norm parameters (`gamma`, `beta`) answer to the new ones. bfloat16, which
    numpy lacks, is widened to float32, and LoRA's changes are added, when a tensor is asked for.
    """

    def __init__(
        self,
        tensors: Mapping[str, NDArray[Any]],
        changes: Mapping[str, LowRank] | None = None,
    ) -> None:
        self._tensors = {_modern_name(name): tensor for name, tensor in tensors.items()}
        self._changes = dict(changes or {})

    def __getitem__(self, name: str) -> NDArray[Any]:
        tensor = self.unchanged(name)
        if (change := self._changes.get(name)) is None:
            return tensor
        merged = change.b @ change.a
        merged += tensor  # in place: fresh memory for every matrix costs a cold start more
        return merged

    def unchanged(self, name: str) -> NDArray[Any]:
        """Return a tensor without LoRA's change of it."""
        tensor = self._tensors[name]
        return _widened(tensor) if tensor.dtype == DTYPES["BF16"] else tensor

    def change(self, name: str) -> LowRank | None:
        """Return LoRA's change of a tensor, if there is one."""
        return self._changes.get(name)

    def changes_words(self) -> bool:
        """Tell whether LoRA changes the word embeddings."""
        return any(name.endswith(WORD_EMBEDDINGS) for name in self._changes)

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def adapted(
        self, tensors: Mapping[str, NDArray[Any]], changes: Mapping[str, LowRank]
    ) -> Weights:
        """Return these weights with some of them replaced or added, and some changed by LoRA."""
        return Weights({**self._tensors, **tensors}, changes)


def read_weights(files: list[Path]) -> Weights:
    """Return the tensors of one or several safetensors files, or of a pickle that has no more.

    Raises CheckpointError when a file is truncated, or its header contradicts its size.
    """
    tensors: dict[str, NDArray[Any]] = {}
    for file in files:
        tensors.update(_read_pickle(file) if file.suffix == ".bin" else _read_file(file))
    return Weights(tensors)


def merge_adapter(base: Weights, adapter: Weights, config: Mapping[str, Any]) -> Weights:
    """Return the base with a PEFT LoRA adapter: `W + B·A·alpha/r` (Hu et al. 2021, eq. 3).

    Parameters that the adapter carries in full (heads, biases, layer norms) replace the base's.
    """
    _refuse_unknown_variants(config)
    _refuse_odd_settings(config)
    rank = None if config.get("rank_pattern") else config.get("r")  # of all modules
    replaced: dict[str, NDArray[Any]] = {}
    changes: dict[str, LowRank] = {}
    for name in adapter:
        plain = name.removeprefix(PEFT_PREFIX).replace(".base_layer", "")
        if plain.endswith((".lora_A.weight", ".lora_embedding_A")):
            module = plain.rpartition(".lora_")[0]
            a, b = (_float32(adapter, one) for one in (name, _second(name)))
            if plain.endswith(".lora_embedding_A"):  # a table is the transpose of a matrix
                a, b = b.T, a.T
            if a.ndim != 2 or b.ndim != 2 or not len(a) or len(a) != b.shape[1]:
                shapes = f"{list(a.shape)} and {list(b.shape)}"
                raise CheckpointError(
                    f"the factors {shapes} of {module} make no product; copy the adapter again"
                )
            if rank not in (None, len(a)):
                raise _odd(f"r is {rank}, but the weights of {module} have {len(a)}")
            change = LowRank(a, b * np.float32(_scale(config, module, len(a))))
            weight = _base_weight(base, f"{module}.weight")
            if change.shape != weight.shape:
                shapes = f"{list(change.shape)} and {list(weight.shape)}"
                raise CheckpointError(f"the adapter and its base differ in {module}: {shapes}")
            target = _name_in(base, f"{module}.weight")
            replaced[target], changes[target] = weight, change
        elif not plain.endswith((".lora_B.weight", ".lora_embedding_B")):
            _refuse_unknown_parameter(plain)
            target = _name_in(base, plain.replace(".modules_to_save", ""))
            replaced[target] = _float32(adapter, name)
    return base.adapted(replaced, changes)


def _second(name: str) -> str:
    """Return the name of the second factor, by that of the first."""
    before, _, after = name.rpartition("_A")
    return f"{before}_B{after}"


def _modern_name(name: str) -> str:
    if name.endswith("LayerNorm.gamma"):
        return name.removesuffix("gamma") + "weight"
    return name.removesuffix("beta") + "bias" if name.endswith("LayerNorm.beta") else name


def _read_file(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    header, start = _header(path, data)
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    tensors = {name: _tensor(path, data, start, name, entry) for name, entry in entries.items()}
    _refuse_overlaps(path, entries)
    return tensors


def _refuse_overlaps(path: Path, entries: Mapping[str, Any]) -> None:
    """Raise CheckpointError where two tensors claim the same bytes, as no writer makes them."""
    spans = sorted((tuple(entries[name]["data_offsets"]), name) for name in entries)
    for ((_, end), one), ((begin, _), other) in pairwise(spans):
        if begin < end:
            raise _damaged(path, f"{one} and {other} overlap")


def _header(path: Path, data: mmap.mmap | bytes) -> tuple[dict[str, Any], int]:
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > HEADER_LIMIT or 8 + length > len(data):
        raise _damaged(path, f"its header claims {length:,} bytes of a file of {len(data):,}")
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "its header is not JSON") from error
    if not isinstance(header, dict):
        raise _damaged(path, "its header is not an object")
    return header, 8 + length


def _tensor(path: Path, data: mmap.mmap | bytes, start: int, name: str, entry: Any) -> NDArray[Any]:
    try:
        kind, shape = str(entry["dtype"]), list(entry["shape"])
        begin, end = entry["data_offsets"]
        if (
            not all(type(one) is int for one in (begin, end, *shape))
            or len(shape) > MOST_DIMENSIONS
        ):
            raise ValueError
    except (TypeError, KeyError, ValueError) as error:
        raise _damaged(path, f"the entry of {name} is malformed") from error
    if kind not in DTYPES:
        raise CheckpointError(f"{path}: {name} has the data type {kind}, which is not supported")
    dtype = np.dtype(DTYPES[kind])
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if min([begin, *shape], default=0) < 0 or end - begin != count * dtype.itemsize:
        raise _damaged(path, f"{name} of shape {shape} does not fit its {end - begin:,} bytes")
    if start + end > len(data):
        raise _damaged(path, f"{name} ends past the end of the file")
    return np.frombuffer(data, dtype, count, start + begin).reshape(shape)


def _read_pickle(path: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a pickle, by torch's loader that builds nothing else."""
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        tensors = {str(name): tensor for name, tensor in dict(found).items()}
        if not all(isinstance(one, torch.Tensor) for one in tensors.values()):
            raise TypeError("it holds more than tensors")
    except Exception as error:  # of pickle, zipfile and torch
        said = f"{path}: refused, not a pickle of tensors alone ({first_line(error)})"
        raise CheckpointError(said) from error
    return {
        name: (one.float() if one.dtype is torch.bfloat16 else one).detach().numpy()
        for name, one in tensors.items()
    }


def _widened(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return bfloat16 bits as float32: the same number with sixteen more zero bits."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _damaged(path: Path, why: str) -> CheckpointError:
    return CheckpointError(f"{path}: damaged or truncated safetensors file ({why}); copy it again")


def _refuse_unknown_variants(config: Mapping[str, Any]) -> None:
    kind = config.get("peft_type", "LORA")
    if kind != "LORA" or config.get("use_dora"):
        raise _unmergeable(f"adapters of type {'DoRA' if config.get('use_dora') else kind}")


def _refuse_odd_settings(config: Mapping[str, Any]) -> None:
    """Raise CheckpointError for settings that PEFT does not write: what they mean is a guess."""
    patterns = config.get("alpha_pattern") or {}
    alphas = [config.get("lora_alpha", 1)]
    alphas += patterns.values() if isinstance(patterns, dict) else [None]
    if not all(type(one) in (int, float) and 0 < one < math.inf for one in alphas):
        raise _odd("lora_alpha and those in alpha_pattern must be numbers above 0")
    if any(config.get(one) not in (None, True, False) for one in ("use_rslora", "use_dora")):
        raise _odd("use_rslora and use_dora must be true or false")
    try:
        list(map(re.compile, patterns))
    except re.error as error:
        raise _odd(f"alpha_pattern has no expression in {error.pattern!r}") from error


def _refuse_unknown_parameter(name: str) -> None:
    """Raise CheckpointError for what plain LoRA does not have: it would be left out silently."""
    if ".lora_" in name or ".token_adapter." in name:
        raise _unmergeable(f"adapters with {name}")


def _unmergeable(what: str) -> CheckpointError:
    return CheckpointError(
        f"{what} are not supported, only plain LoRA: "
        "merge it into its base with PEFT's merge_and_unload() and save that"
    )


def _odd(why: str) -> CheckpointError:
    return CheckpointError(f"adapter_config.json: {why}; copy it again")


def _scale(config: Mapping[str, Any], module: str, rank: int) -> float:
    """Return alpha/r of a module; the first match in `alpha_pattern` (expressions) counts."""
    patterns: Mapping[str, Any] = config.get("alpha_pattern") or {}
    fitting = (value for key, value in patterns.items() if _fits(key, module))
    alpha = next(fitting, config.get("lora_alpha", rank))
    return float(alpha) / (rank**0.5 if config.get("use_rslora") else rank)


def _fits(pattern: str, module: str) -> bool:
    """Tell whether an expression of an adapter's settings is of a module, as PEFT would have it.

    Raises CheckpointError for one that would be tried without end: adapters come from strangers.
    """
    import regex

    try:
        found = regex.match(rf"(.*\.)?({pattern})$", module, timeout=PATTERN_SECONDS)
    except TimeoutError as error:
        raise _odd(f"alpha_pattern has an expression without end in {pattern[:40]!r}") from error
    except regex.error as error:
        raise _odd(f"alpha_pattern has no expression in {pattern[:40]!r}") from error
    return found is not None


def _name_in(base: Weights, name: str) -> str:
    """Return the name under which the base has, or would have, a weight.

    The model with a head says `bert.encoder.layer…` where a bare encoder says `encoder.layer…`;
    the adapter may have been trained on either, and the base's file may be either.
    """
    rest = name.partition(".")[2]
    if name in base or rest in base:
        return name if name in base else rest
    longer = next((one for one in base if one.endswith(f".{name}")), None)
    return longer or _name_of_new(base, name)


def _name_of_new(base: Weights, name: str) -> str:
    """Return the name, in the base's style, of a parameter that only the adapter has."""
    words = next((one for one in base if one.endswith(WORD_EMBEDDINGS)), WORD_EMBEDDINGS)
    prefix = words.removesuffix(WORD_EMBEDDINGS)
    root = name.split(".", 1)[0]
    if not prefix:
        return name.removeprefix(f"{root}.") if root in PREFIXES else name
    return f"{prefix}{name}" if root in ENCODER_PARTS else name


def _base_weight(base: Weights, name: str) -> NDArray[np.float32]:
    """Return the weight that an adapter changes; an output matrix may be the tied embeddings."""
    known = _name_in(base, name)
    if known not in base and name.removesuffix(".weight").endswith(TIED_OUTPUTS):
        known = next((one for one in base if one.endswith(WORD_EMBEDDINGS)), known)
    if known not in base:
        raise CheckpointError(f"the adapter changes {name}, which its base model does not have")
    return base[known]


def _float32(weights: Weights, name: str) -> NDArray[np.float32]:
    found = weights.get(name)
    if found is None:
        raise CheckpointError(f"the adapter lacks {name}; copy it again")
    return found.astype(np.float32)
