"""The README's commands do what it shows.

Its `console` blocks are run in their order, in one folder, on a terminal of 80 columns. Numbers may
differ in their last digits between processors. `UPDATE_README=1 pytest tests/test_docs.py` writes
what the commands print now. Its `sh` blocks are run too, where a name on the hub stands for a tiny
checkpoint of the same kind in the cache; their output is not shown.
"""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bertcli.engine.families import Head
from tiny import make_checkpoint

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"```(console|sh)\n(.*?)```", re.DOTALL)
HUB = {
    "dslim/bert-base-NER": Head.TOKEN,
    "deepset/minilm-uncased-squad2": Head.QA,
    "distilbert/distilbert-base-uncased-finetuned-sst-2-english": Head.SEQUENCE,
    "BAAI/bge-small-en-v1.5": Head.BASE,
}
NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*(?:e-?\d+)?")
TOLERANCE = 0.02
UPDATE = bool(os.environ.get("UPDATE_README"))


def steps(block: str) -> list[tuple[str, str]]:
    """Return a block's commands, each with the output that the README shows."""
    found: list[tuple[str, str]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        else:
            command, output = found[-1]
            if command.endswith("\\"):
                found[-1] = (f"{command}\n{line}", output)
            else:
                found[-1] = (command, f"{output}{line}\n")
    return found


def on_terminal(command: str, folder: Path, environment: dict[str, str]) -> str:
    """Run a command on a pseudo-terminal and return what it showed."""
    master, slave = pty.openpty()
    subprocess.run(["stty", "rows", "50", "cols", "80"], stdin=slave, check=True)
    child = subprocess.Popen(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        close_fds=True,
    )
    os.close(slave)
    shown = bytearray()
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        ready, _, _ = select.select([master], [], [], 0.2)
        if ready:
            try:
                shown += os.read(master, 65536)
                continue
            except OSError:
                break
        if child.poll() is not None:
            break
    os.close(master)
    assert child.wait(timeout=60) == 0, shown.decode()
    lines = shown.decode().replace("\r\n", "\n").split("\n")
    kept = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line.rsplit("\r", 1)[-1]) for line in lines]
    return "\n".join(line.rstrip() for line in kept).strip("\n")


def alike(expected: str, found: str) -> bool:
    """Tell whether two outputs say the same, numbers within a small tolerance."""
    if NUMBER.sub("#", " ".join(expected.split())) != NUMBER.sub("#", " ".join(found.split())):
        return False
    pairs = zip(NUMBER.findall(expected), NUMBER.findall(found), strict=True)
    numbers = ((float(a.replace(",", "")), float(b.replace(",", ""))) for a, b in pairs)
    return all(abs(a - b) <= TOLERANCE * max(1.0, abs(a)) for a, b in numbers)


def fill_cache(home: Path) -> None:
    """Put a tiny checkpoint of the right kind under every hub name that the README uses."""
    for name, head in HUB.items():
        folder = home / "hub" / f"models--{name.replace('/', '--')}"
        make_checkpoint(folder / "snapshots" / "abc", "bert", head)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("abc")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The program on the path, no colour, and a home of its own."""
    home = tmp_path_factory.mktemp("home")
    fill_cache(home / "huggingface")
    scripts = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "HF_HOME": str(home / "huggingface"),
        "HF_HUB_OFFLINE": "1",
        "NO_COLOR": "1",
        "TERM": "xterm",
        "COLUMNS": "80",
        "LC_ALL": "C.UTF-8",
    }


def test_readme_commands(
    tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]
) -> None:
    """Whoever types what the README shows sees what it shows."""
    folder = tmp_path_factory.mktemp("readme")
    text = README.read_text(encoding="utf-8")
    for kind, block in BLOCK.findall(text):
        if kind == "sh":
            for command in block.strip().splitlines():
                on_terminal(command, folder, environment)
            continue
        shown = ""
        for command, expected in steps(block):
            found = on_terminal(command, folder, environment)
            shown += f"$ {command}\n" + (f"{found}\n" if found else "")
            same = UPDATE or alike(expected, found)
            assert same, f"$ {command}\n{found}\n--- README says\n{expected}"
        text = text.replace(block, shown)
    if UPDATE:
        README.write_text(text, encoding="utf-8")


def test_install_commands_are_those_of_ci() -> None:
    """The README's two commands install what the tests ran with."""
    text = README.read_text(encoding="utf-8")
    main_job = 'bertcli fill-mask "Paris is the [MASK] of France."'
    assert f"pip install -c constraints.txt . && {main_job}" in text
    assert 'pip install -c constraints.txt ".[dev]" && pytest' in text
