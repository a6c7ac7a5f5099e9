"""What the machine and strangers may do to a run: one clear line, bounded time and memory."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bertcli.engine.families import Head
from tiny import make_checkpoint

from .conftest import Run

BERTCLI = (sys.executable, "-m", "bertcli")
MB = 1 << 20


@pytest.mark.parametrize("megabytes", [150, 200, 250, 290, 310, 330, 350, 400])
def test_a_memory_limit_is_told(classifier: Path, megabytes: int) -> None:
    """Whichever library meets the limit first, the run answers or ends with a line, not a core."""
    ran = _within(megabytes, "classify", "-m", str(classifier), "some words here")
    assert ran.returncode in (0, 1)
    if ran.returncode:
        last = ran.stderr.splitlines()[-1].lower()
        assert "memory" in last
        assert "Traceback" not in ran.stderr
    else:
        assert json.loads(ran.stdout)["label"]


@pytest.mark.parametrize("megabytes", [440, 490, 540])
def test_a_memory_limit_is_told_in_bulk(here: Path, megabytes: int) -> None:
    """Threads that meet the limit in a library end the run with the line as well."""
    Path("a.txt").write_text("".join(f"{'some words here ' * n}\n" for n in range(1, 60)))
    ran = _within(megabytes, "embed", "-i", "a.txt", "-f", "csv")
    assert ran.returncode in (0, 1)
    assert ran.returncode == 0 or "memory" in ran.stderr.splitlines()[-1].lower()


@pytest.mark.parametrize("megabytes", [400, 500, 600])
def test_a_library_that_crashes_at_a_memory_limit_is_told(here: Path, megabytes: int) -> None:
    """OpenBLAS runs into nothing, and Rust aborts, where they are loaded beside each other."""
    Path("a.txt").write_text("some words here\n")
    assert _within(8_000, "index", "build", "./notes", "a.txt").returncode == 0
    ran = _within(megabytes, "search", "words", "--index", "./notes")
    assert ran.returncode in (0, 1)
    assert ran.returncode == 0 or "memory" in ran.stderr.splitlines()[-1].lower()


@pytest.mark.parametrize("megabytes", [430, 450, 470])
def test_clusters_do_not_wait_for_memory(here: Path, megabytes: int) -> None:
    """OpenBLAS asks without end for what a limit keeps from it: it is not left to."""
    Path("a.txt").write_text("".join(f"some {n} words of {n * n} here\n" for n in range(200)))
    ran = _within(megabytes, "cluster", "-i", "a.txt", timeout=60)
    assert ran.returncode in (0, 1)
    assert ran.returncode == 0 or "memory" in ran.stderr.splitlines()[-1].lower()


def test_a_child_that_does_not_heed_is_killed() -> None:
    """Within a limit of memory the work is a child's, which in a library may hear no signal."""
    deaf = """
import resource, signal, time
from bertcli.cli import memory
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
memory.PATIENCE_SECONDS = 1
memory.work_within_little_memory()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.readline()
        running.terminate()
        assert running.wait(20) == -signal.SIGKILL


def _within(
    megabytes: int, *arguments: str, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process with so much address space."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes * MB, megabytes * MB))

    return subprocess.run(
        [*BERTCLI, *arguments], capture_output=True, text=True, preexec_fn=limited, timeout=timeout
    )


def test_nothing_is_sent_anywhere(classifier: Path, tmp_path: Path) -> None:
    """ONNX Runtime keeps no telemetry of a run: neither its files nor its device id appear."""
    homes = {name: str(tmp_path / name) for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
    line = [*BERTCLI, "classify", "-m", str(classifier), "some words here"]
    kept = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    subprocess.run(line, env=kept | homes, check=True, capture_output=True)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in written if path.parent.name != "bertcli"] == []


@pytest.mark.parametrize(
    "environment",
    [
        {"HOME": "/nonexistent"},
        {"HOME": None},
        {"HOME": "/dev/null"},
        {"HF_HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none"},
        {"LC_ALL": "C", "LANG": "C"},
        {"PYTHONIOENCODING": "ascii"},
    ],
)
def test_a_strange_environment_does_not_matter(
    classifier: Path, environment: dict[str, str | None]
) -> None:
    """No home, caches that cannot be written, a locale that knows ASCII alone."""
    kept = {**os.environ, **environment}
    line = [*BERTCLI, "classify", "-m", str(classifier), "Zoë 中文"]
    ran = subprocess.run(
        line,
        capture_output=True,
        env={name: value for name, value in kept.items() if value is not None},
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["text"] == "Zoë 中文"


def test_a_tokenizer_that_is_made_to_do_harm(
    run: Run, classifier: Path, own_copy: Any, here: Path
) -> None:
    """An expression that is tried without end stops by itself, and the line says whose it is."""
    folder = own_copy(classifier)
    settings = json.loads((folder / "tokenizer.json").read_text())
    split = {"type": "Split", "pattern": {"Regex": "(a|aa)+$"}}
    settings["pre_tokenizer"] = {**split, "behavior": "Isolated", "invert": False}
    (folder / "tokenizer.json").write_text(json.dumps(settings))
    ran = run("classify", "a" * 60 + "!", "-m", folder)
    assert ran.code == 1
    assert "a library gave up (" in ran.err
    assert "report" not in ran.err


def test_a_user_that_the_system_does_not_know(
    classify: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container may run as a number that has neither a name nor a home."""
    import pwd

    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert classify("text").code == 0
    assert classify("text", "-m", "~none/here").said("~none/here")


def test_a_line_of_200_mb_is_a_bad_record(classify: Run, here: Path) -> None:
    """It is passed over without being held, and the rest is answered."""
    with Path("big.txt").open("wb") as file:
        file.write(b"first\n")
        for _ in range(200):
            file.write(b"word " * (MB // 5))
        file.write(b"\nlast\n")
    classify("a cat")  # what every run takes
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ran = classify("-i", "big.txt")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert ran.code == 3
    first, big, last = ran.records
    assert (first["text"], last["text"]) == ("first", "last")
    assert "more than 32 MB" in big["error"]
    assert grown < 150_000  # KB
    assert "more than 32 MB" in classify("-i", "big.txt", "--whole-file").err


def test_a_csv_line_of_40_mb_is_told(classify: Run, here: Path) -> None:
    """A row that cannot be held is bad; what follows it is answered."""
    Path("big.csv").write_bytes(b"text\nfirst\n" + b"x" * (40 * MB) + b"\nlast\n")
    ran = classify("-i", "big.csv")
    assert ran.code == 3
    assert "more than 32 MB" in ran.err


def test_a_million_empty_lines_are_no_records(classify: Run, here: Path) -> None:
    """They are passed over, and the one text behind them keeps its line number."""
    Path("empty.txt").write_text("\n" * 1_000_000 + "a cat\n\xff")
    ran = classify("-i", "empty.txt", "--limit", 1)
    assert [one["text"] for one in ran.records] == ["a cat"]


def test_a_million_combining_characters(classify: Run, here: Path) -> None:
    """One letter with a million accents is one text of few tokens."""
    Path("a.txt").write_text("e" + "\u0301" * 1_000_000 + " cat\n")
    (found,) = classify("-i", "a.txt").records
    assert found["tokens"] < 10


@pytest.mark.parametrize("kept", [True, False])
def test_a_hundred_thousand_labels(run: Run, tiny_checkpoint: Any, here: Path, kept: bool) -> None:
    """Of a checkpoint or given, they are all weighed, in bounded memory."""
    labels = [f"label {n}" for n in range(100_000)]
    if kept:
        folder = make_checkpoint(here / "many", "bert", Head.SEQUENCE, labels=labels)
        asked = ["-m", str(folder)]
    else:
        Path("labels.txt").write_text("\n".join(labels))
        asked = ["-m", str(tiny_checkpoint("bert", Head.BASE)), "--labels-file", "labels.txt"]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ran = run("classify", *asked, "some words here", "-k", 100_000)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    (found,) = ran.records
    scores = [one["score"] for one in found["labels"]]
    assert {one["label"] for one in found["labels"]} == set(labels)
    assert scores == sorted(scores, reverse=True)
    assert grown < 400_000  # KB


def test_too_many_labels_to_learn_are_told(run: Run, here: Path) -> None:
    """Before anything is computed, with what to do instead."""
    rows = [f"text {n},label {n // 2}" for n in range(20_000)]
    Path("a.csv").write_text("\n".join(["text,label", *rows]))
    ran = run("train", "classify", "a.csv", "--method", "head", "-o", "h")
    assert ran.code == 1
    assert "18,000 texts times 10,000 labels are more than 50,000,000" in ran.err
    assert " and 9,900 more\n" in ran.err
    assert not Path("h").exists()


def test_utf16_without_a_mark_is_told(classify: Run, here: Path) -> None:
    """With the command that converts it."""
    for name in ("utf-16-le", "utf-16-be"):
        Path("a.txt").write_bytes("a cat sat here\n".encode(name))
        spelled = name.upper().replace("16-", "16")
        assert classify("-i", "a.txt").said("a.txt", spelled, f"iconv -f {spelled} -t UTF-8")
