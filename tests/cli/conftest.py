"""Running the whole program in this process: a command line in, exit code and both streams out."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bertcli.checkpoints.catalog import base_folder
from bertcli.cli.app import main
from bertcli.engine.families import Head

os.environ["XDG_CONFIG_HOME"] = "/nonexistent"  # what the developer has set must not matter


@dataclass(frozen=True)
class Ran:
    """What became of one command line."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """The answers, where they are JSON lines."""
        return [json.loads(line) for line in self.out.split("\n") if line]

    def said(self, *parts: str) -> bool:
        """Tell whether stderr is one line of bertcli's with all these parts, and no traceback."""
        (line,) = self.err.splitlines()
        return line.startswith("bertcli: ") and all(part in line for part in parts)


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command line, with bytes for its stdin."""

    def ran(*arguments: object, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = main([str(one) for one in arguments])
        sys.stdout.flush()
        shown = capsys.readouterr()
        return Ran(code, shown.out, shown.err)

    return ran


@pytest.fixture
def classifier(tiny_checkpoint: Any) -> Path:
    """A tiny checkpoint with three labels."""
    return Path(tiny_checkpoint("bert", Head.SEQUENCE))


@pytest.fixture
def classify(run: Run, classifier: Path) -> Run:
    """Return a function that classifies with the tiny checkpoint."""
    return lambda *arguments, **more: run("classify", "-m", classifier, *arguments, **more)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@contextmanager
def without_privileges() -> Iterator[None]:
    """Within the block permissions count, also for a test that root runs.

    Where only root may read the installation itself, as in an environment under /root, there is
    nothing to be tested so.
    """
    if os.geteuid() != 0:
        yield
        return
    folder = base_folder()
    os.setresuid(65534, 65534, 0)
    try:
        if not os.access(folder, os.R_OK, effective_ids=True):
            pytest.skip("the installation is readable for root only")
        yield
    finally:
        os.setresuid(0, 0, 0)
