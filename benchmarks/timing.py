"""What the benchmarks share: contestants timed in turn, child processes, texts, and tables."""

from __future__ import annotations

import ast
import os
import random
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from bertcli.engine.choices import Precision
from bertcli.engine.graph import cpu_flags

BERTCLI = str(Path(sys.executable).with_name("bertcli"))
PEERS = Path(__file__).parent / "peers"
TEXTS = 1_200
LONGEST = 900
SEED = 0


@dataclass(frozen=True, slots=True)
class Timed:
    """The seconds of every run of one contestant."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle run, which a single disturbance does not move."""
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        """The quickest run."""
        return min(self.seconds)

    @property
    def worst(self) -> float:
        """The slowest run."""
        return max(self.seconds)


@dataclass(frozen=True, slots=True)
class Cost:
    """The seconds of a run, and the most memory it held at once."""

    seconds: float
    megabytes: float


def alternate(
    contestants: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1
) -> list[Timed]:
    """Return the time of each contestant, run in turn so that a busy machine is busy for all.

    Every other round goes backwards; the first `warm_up` rounds are not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(warm_up + rounds):
        for name in list(contestants)[:: 1 if number % 2 == 0 else -1]:
            began = time.perf_counter()
            contestants[name]()
            spent = time.perf_counter() - began
            if number >= warm_up:
                seconds[name].append(spent)
        print(f"round {number + 1} of {warm_up + rounds}", file=sys.stderr)
    return [Timed(name, tuple(spent)) for name, spent in seconds.items()]


def run(command: Sequence[str]) -> str:
    """Return what a command writes to stdout; see `environment`."""
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, encoding="utf-8"
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed with exit code {done.returncode}:\n{done.stderr}")
    return done.stdout


def cost(command: Sequence[str], stdin: int | IO[bytes] = subprocess.DEVNULL) -> Cost:
    """Return what one run of a command takes, its output thrown away.

    The kernel counts the peak of a process from before it became the command, so who measures
    memory must stay small: it imports nothing heavy.
    """
    began = time.perf_counter()
    child = subprocess.Popen(command, stdin=stdin, stdout=subprocess.DEVNULL, env=environment())
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(command)} failed with exit code {child.returncode}")
    kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return Cost(seconds, kilobytes / 1024)


def environment() -> dict[str, str]:
    """Return the environment of a child: no network for either side, and modules kept compiled."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"HF_HUB_OFFLINE": "1"}


def peer(script: str, *arguments: str) -> list[str]:
    """Return the command of one of the scripts in `peers/`."""
    return [sys.executable, str(PEERS / script), *arguments]


def read_texts(file: Path | None, count: int = TEXTS) -> list[str]:
    """Return the lines of a file or, without one, paragraphs of Python's own manual.

    The manual comes with every interpreter (`pydoc_data`); its 1,323 paragraphs have 53 tokens on
    average, one in ten under 18 and one in ten over 100, much like Wikipedia's. Where more are
    asked for, those of the docstrings of Python's own library follow.
    """
    if file is not None:
        lines = file.read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line.strip()][:count]
    from pydoc_data.topics import topics

    texts = paragraphs(topics.values())
    if len(texts) < count:
        known = set(texts)
        texts += [text for text in paragraphs(docstrings()) if text not in known]
    return texts[:count]


def paragraphs(documents: Iterable[str]) -> list[str]:
    """Return the paragraphs of prose of these documents, each once, in an order of chance."""
    found = (" ".join(part.split()) for one in documents for part in one.split("\n\n"))
    texts = sorted({text for text in found if 40 <= len(text) <= LONGEST and is_prose(text)})
    random.Random(SEED).shuffle(texts)
    return texts


def docstrings() -> Iterator[str]:
    """Yield what the modules of Python's own library say of themselves, their classes and all."""
    library = Path(sysconfig.get_paths()["stdlib"])
    for file in sorted(library.rglob("*.py")):
        if {"site-packages", "test", "lib2to3"} & set(file.relative_to(library).parts):
            continue
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                yield ast.get_docstring(node) or ""


def is_prose(text: str) -> bool:
    """Tell a paragraph from a program listing or a ruled table: most of it is letters."""
    return sum(letter.isalpha() or letter == " " for letter in text) > 0.8 * len(text)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, its first column to the left and the others to the right."""
    ruler = [":---", *["---:"] * (len(headings) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [headings, ruler, *rows])


def precisions() -> tuple[Precision, ...]:
    """Return fp32, int8, and bf16 where OpenVINO and the processor have it."""
    quick = find_spec("openvino") and not cpu_flags().isdisjoint(("avx512_bf16", "amx_bf16"))
    return (Precision.FP32, Precision.INT8, *((Precision.BF16,) if quick else ()))
