"""A killed writer loses nothing that it had committed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bertcli.errors import IndexFolderError
from bertcli.index import folder
from bertcli.index.folder import IndexFolder

from .samples import build, entry, texts

BATCH = 4
WRITER = Path(__file__).with_name("endless_writer.py")
# The child imports the bertcli that is under test, installed or not.
HERE = os.environ | {"PYTHONPATH": str(Path(folder.__file__).parents[2])}


def kill_while_adding(path: Path, seconds: float, *, overwrite: bool = False) -> int:
    """Let a child add to the index, kill it after a while, return what it had said to be safe."""
    command = [sys.executable, str(WRITER), str(path), str(BATCH), str(int(overwrite))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=HERE) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(seconds)
        child.kill()
        said = (first + child.stdout.read()).splitlines(keepends=True)
    return int([line for line in said if line.endswith("\n")][-1])


def test_killed_while_adding(tmp_path: Path) -> None:
    """After each of many kills: whole commits only, all of them found, and adding goes on."""
    path, chance = build(tmp_path / "i", []), random.Random(7)
    for kill in range(1, 16):
        safe = kill_while_adding(path, chance.uniform(0, 0.06))
        with IndexFolder.open(path) as index:
            info = index.info()
            assert info.chunks >= safe
            # Each round has added one document here and whole batches there.
            assert (info.chunks - (kill - 1)) % BATCH == 0
            assert len(texts(index, [0, 1, 0, 0], info.chunks + 1)) == info.chunks
            index.add([entry("here", [1, 0, 0, 0])])
            assert texts(index, [1, 0, 0, 0])[0] == "here"
            assert index.info().complete


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.05])
def test_killed_while_overwriting(tmp_path: Path, seconds: float) -> None:
    """The old index is there as it was, and the remains of the new one go."""
    path = build(tmp_path / "i", [entry("old", [1, 0, 0, 0])])
    kill_while_adding(path, seconds, overwrite=True)
    with IndexFolder.open(path) as index:
        assert texts(index, [1, 0, 0, 0]) == ["old"]
        index.add([])
    assert len(list(path.iterdir())) == 4


def test_a_new_build_killed_at_any_file_operation(tmp_path: Path) -> None:
    """Stopped before its n-th call to the system, a build is no index, or a whole one so far."""
    for steps in range(0, 18, 3):
        path = tmp_path / str(steps)
        command = [sys.executable, str(WRITER), str(path), str(BATCH), "0", str(steps)]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=False, env=HERE)
        try:
            with IndexFolder.open(path) as index:
                assert index.info().chunks % BATCH == 0
                assert not index.info().complete
                index.add([entry("here", [1, 0, 0, 0])])
                assert texts(index, [1, 0, 0, 0])[0] == "here"
        except IndexFolderError as error:
            assert "bertcli index build" in str(error)
            build(path, [entry("here", [1, 0, 0, 0])])
