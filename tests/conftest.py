"""What all tests share: no network, caches of their own, and tiny checkpoints made once."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_HOME = tempfile.TemporaryDirectory(prefix="bertcli-tests-")
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "XDG_CACHE_HOME": _HOME.name,
    "XDG_DATA_HOME": str(Path(_HOME.name) / "data"),
    "HF_HOME": str(Path(_HOME.name) / "huggingface"),
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
for _name in ("HF_HUB_CACHE", "TRANSFORMERS_CACHE", "HF_TOKEN"):
    os.environ.pop(_name, None)


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Every attempt to reach another machine fails the test that makes it."""
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family == socket.AF_UNIX:
            return connect(self, address)
        raise AssertionError(f"a test tried to reach {address}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket.socket, "connect_ex", refuse)
        patch.setattr(socket, "getaddrinfo", lambda *host, **_: refuse(socket.socket(), host))
        yield


@pytest.fixture(autouse=True, scope="session")
def the_same_training_everywhere() -> Iterator[None]:
    """Tiny models train in float32, whatever the processor has: what they learn is then known."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bertcli.train.trainee._bf16_is_fast", lambda: False)
        yield


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that gives the folder of a tiny checkpoint, made at the first call.

    The folders are shared: a test that changes files copies them first.
    """
    from tiny import make_checkpoint

    made: dict[str, Path] = {}

    def folder(model_type: str = "bert", head: Any = None, **config: Any) -> Path:
        from bertcli.engine.families import Head

        head = head or Head.BASE
        key = f"{model_type} {head} {sorted(config.items(), key=str)}"
        if key not in made:
            where = tmp_path_factory.mktemp(f"{model_type}-{head}")
            made[key] = make_checkpoint(where, model_type, head, **config)
        return made[key]

    return folder


@pytest.fixture
def own_copy(tmp_path: Path) -> Any:
    """Return a function that copies a folder, so that a test may damage it."""
    import shutil

    def copy(folder: Path, name: str = "copy") -> Path:
        return Path(shutil.copytree(folder, tmp_path / name))

    return copy
