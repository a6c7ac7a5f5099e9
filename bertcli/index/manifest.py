"""What an index was made with, in `manifest.json`."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from bertcli.errors import IndexFolderError
from bertcli.index.choices import Kind
from bertcli.index.failures import destroyed
from bertcli.index.places import MANIFEST_NAME, shown

FORMAT_VERSION = 2
DTYPE = "float32"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """The model that made the vectors, and every setting that changes them.

    `prompt` is the prefix that the documents were given, empty for none.
    """

    name: str
    weights_sha256: str
    pooling: str
    normalize: bool
    dimension: int
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Chunking:
    """How long texts were cut: at most `tokens` per chunk, `overlap` of them shared."""

    tokens: int
    overlap: int


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything about an index that does not change while documents come and go.

    `generation` is the number in the names of the two data files: an index that takes the place of
    another is written beside it under the next number, and replacing the manifest is the switch.
    `ann` is how nearest vectors are to be found. `asked` tells what the build was to read, to know
    an interrupted one again; it is empty where nobody noted it.
    """

    model: ModelIdentity
    chunking: Chunking
    created: str = field(default_factory=_now)
    generation: int = 1
    ann: Kind = Kind.AUTO
    dtype: str = DTYPE
    format_version: int = FORMAT_VERSION
    asked: str = ""

    def is_like(self, other: Manifest) -> bool:
        """Tell whether both are of indexes made in the same way, whenever that was.

        The same weights are the same model, whatever they are called.
        """
        model = replace(self.model, name=other.model.name)
        same = replace(self, model=model, created=other.created, generation=other.generation)
        return same == other


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting in which two models differ, and the option that makes them agree, if any."""

    setting: str
    recorded: object
    asked: object
    option: str = ""

    def __str__(self) -> str:
        return f"{self.setting} is {self.recorded!r} there and {self.asked!r} here"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest so that a reader sees the old one or the new one, never a part."""
    draft = folder / f"{MANIFEST_NAME}.tmp"
    with draft.open("w", encoding="utf-8", errors="backslashreplace") as file:
        json.dump(asdict(manifest), file, ensure_ascii=False, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / MANIFEST_NAME)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make names created or replaced in the folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of an index folder.

    Unknown keys are passed over, so that later versions can add some within the same format.
    """
    text = _manifest_text(folder)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise destroyed(folder, f"{MANIFEST_NAME} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise destroyed(folder, f"{MANIFEST_NAME} is not a JSON object")
    _refuse_newer(folder, content)
    try:
        return _parsed(content)
    except ValueError as error:
        raise destroyed(folder, f"{MANIFEST_NAME}: {error}") from error


def differences(recorded: ModelIdentity, asked: ModelIdentity) -> list[Difference]:
    """Return what keeps vectors of the two models from being compared.

    The same weights under another name, a local folder for instance, are the same model.
    """
    found = []
    if recorded.weights_sha256 != asked.weights_sha256:
        option = f"-m {shlex.quote(recorded.name)}" if recorded.name != asked.name else ""
        found.append(Difference("model", _versioned(recorded), _versioned(asked), option))
    elif recorded.dimension != asked.dimension:
        found.append(Difference("dimension", recorded.dimension, asked.dimension))
    if recorded.pooling != asked.pooling:
        option = f"--pooling {shlex.quote(recorded.pooling)}"
        found.append(Difference("pooling", recorded.pooling, asked.pooling, option))
    if recorded.normalize != asked.normalize:
        option = "--normalize" if recorded.normalize else "--no-normalize"
        found.append(Difference("normalisation", recorded.normalize, asked.normalize, option))
    if recorded.prompt != asked.prompt:
        option = f"--prompt {shlex.quote(recorded.prompt)}"
        found.append(Difference("prompt", recorded.prompt, asked.prompt, option))
    return found


def refuse_other_model(folder: Path, recorded: ModelIdentity, asked: ModelIdentity) -> None:
    """Raise when the index is of another model, with the command that mends it."""
    found = differences(recorded, asked)
    if not found:
        return
    # An option can be missing: the same name with other weights is mended only by a new build.
    options = " ".join(one.option for one in found) if all(one.option for one in found) else ""
    use = f"use `{options}`, or " if options else ""
    raise IndexFolderError(
        f"index {shown(folder)} is of another model ({'; '.join(map(str, found))}): {use}embed its "
        f"texts anew with `bertcli index rebuild {shown(folder)} -m {shlex.quote(asked.name)}`"
    )


def _versioned(model: ModelIdentity) -> str:
    return f"{model.name} ({model.dimension} dimensions, weights {model.weights_sha256[:12]})"


def _manifest_text(folder: Path) -> str:
    make = f"make one with `bertcli index build {shown(folder)} FILES`"
    try:
        return (folder / MANIFEST_NAME).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if folder.is_dir():
            message = f"{shown(folder)} is not an index (it has no {MANIFEST_NAME}): {make}"
        else:
            message = f"index {shown(folder)} does not exist: {make}"
        raise IndexFolderError(message) from error
    except NotADirectoryError as error:
        message = (
            f"{shown(folder)} is a file, an index is a folder: "
            f"{make.replace(shown(folder), 'NAME')}"
        )
        raise IndexFolderError(message) from error
    except UnicodeDecodeError as error:
        raise destroyed(folder, f"{MANIFEST_NAME} is not UTF-8 text") from error
    except OSError as error:
        raise IndexFolderError(f"index {shown(folder)} cannot be read: {error.strerror}") from error


def _refuse_newer(folder: Path, content: Mapping[str, object]) -> None:
    version, dtype = content.get("format_version"), content.get("dtype", DTYPE)
    if type(version) is int and (version > FORMAT_VERSION or dtype != DTYPE):
        raise IndexFolderError(
            f"index {shown(folder)} was written by a newer bertcli (format "
            f"{version}, vectors {dtype}; "
            f"this one reads format {FORMAT_VERSION}, {DTYPE}): upgrade bertcli"
        )


def _parsed(content: Mapping[str, object]) -> Manifest:
    model, chunking = _typed(content, "model", dict), _typed(content, "chunking", dict)
    manifest = Manifest(
        format_version=_counted(content, "format_version", FORMAT_VERSION),
        created=_typed(content, "created", str),
        generation=_counted(content, "generation", 1),
        ann=Kind(_typed(content, "ann", str)),
        dtype=_typed(content, "dtype", str),
        asked=_typed(content, "asked", str),
        model=ModelIdentity(
            name=_typed(model, "name", str),
            weights_sha256=_typed(model, "weights_sha256", str),
            pooling=_typed(model, "pooling", str),
            normalize=_typed(model, "normalize", bool),
            dimension=_counted(model, "dimension", 1),
            prompt=_typed(model, "prompt", str),
        ),
        chunking=Chunking(_counted(chunking, "tokens", 1), _counted(chunking, "overlap", 0)),
    )
    if manifest.chunking.overlap >= manifest.chunking.tokens:
        raise ValueError("overlap must be smaller than tokens")
    return manifest


def _typed(content: Mapping[str, object], key: str, kind: type[T]) -> T:
    if key not in content:
        raise ValueError(f"{key!r} is missing")
    value = content[key]
    if type(value) is not kind:  # isinstance would take true for a number
        raise ValueError(f"{key!r} should be of type {kind.__name__}, is {value!r}")
    return value


def _counted(content: Mapping[str, object], key: str, least: int) -> int:
    value = _typed(content, key, int)
    if value < least:
        raise ValueError(f"{key!r} should be at least {least}, is {value}")
    return value
