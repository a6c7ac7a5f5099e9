"""Run every benchmark and write benchmarks/RESULTS.md; best on a machine that does nothing else.

python benchmarks/run.py --python PEERS/bin/python --onnx-python OTHER/bin/python
python benchmarks/run.py --quick
python benchmarks/run.py --drift sentiment reviews.jsonl --drift fill-mask dev.txt.gz
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import distributions, version
from pathlib import Path

from timing import BERTCLI, environment, table

HERE = Path(__file__).parent
PACKAGES = (
    "bertcli",
    "onnxruntime",
    "tokenizers",
    "numpy",
    "torch",
    "transformers",
    "sentence-transformers",
    "peft",
    "openvino",
)
"""Those of them that are installed are named with their versions."""


@dataclass(frozen=True, slots=True)
class Contest:
    """A script, its options for about an hour in all on 2 cores, and those to see it run."""

    title: str
    script: str
    full: str
    quick: str
    peers: bool = False


CONTESTS = (
    Contest("One answer from a cold process", "cold.py", "--rounds 3", "--rounds 1 --texts 50"),
    Contest("Bulk embedding", "embed.py", "--rounds 3 --count 400", "--rounds 1 --count 100"),
    Contest(
        "Bulk embedding beside other tools",
        "embed_peers.py",
        "--rounds 3 --count 200",
        "--rounds 1 --count 20",
        peers=True,
    ),
    Contest(
        "Bulk classify and ner", "pipelines.py", "--rounds 3 --count 300", "--rounds 1 --count 50"
    ),
    Contest(
        "By the length of the texts",
        "lengths.py",
        "--rounds 2 --tokens 8192",
        "--rounds 1 --tokens 512",
    ),
    Contest(
        "As the input grows",
        "scaling.py",
        "--records 1000 10000 100000",
        "--records 20 50 --labels 2 5 --windows 1 2",
    ),
    Contest("How far from what the processor can do", "limit.py", "--rounds 3", "--rounds 1"),
    Contest(
        "What the hot paths are set to", "settings.py", "--rounds 3", "--rounds 1 --only PARTS"
    ),
    Contest(
        "Peak memory on a stream", "memory.py", "--megabytes 200 --allowed 20", "--megabytes 5"
    ),
    Contest("Search", "search.py", "--sizes 1000 10000 100000", "--sizes 1000"),
    Contest(
        "Search beside other tools",
        "search_peers.py",
        "--texts 1000 --rounds 3",
        "--texts 50 --rounds 1",
        peers=True,
    ),
    Contest(
        "Search beside other tools, vectors given",
        "search_given.py",
        "--sizes 100000 --rounds 3",
        "--sizes 100 --rounds 1",
        peers=True,
    ),
)


def main() -> None:
    """Run the benchmarks one after another; the file is rewritten after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drift", nargs=2, action="append", default=[], metavar=("MODEL", "FILE"))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see it run")
    scripts = [contest.script for contest in CONTESTS]
    parser.add_argument("--only", nargs="+", default=scripts, help="scripts to run")
    parser.add_argument("--python", help="Python of the peers; see embed_peers.py, search_peers.py")
    parser.add_argument("--onnx-python", help="Python with optimum-onnx; see embed_peers.py")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "RESULTS.md")
    given = parser.parse_args()
    parts = ["# Measurements", machine()]
    for contest in CONTESTS:
        if contest.script not in given.only:
            continue
        print(f"{contest.title} …", file=sys.stderr)
        options = (contest.quick if given.quick else contest.full).split()
        shown = shlex.join(["python", f"benchmarks/{contest.script}", *options])
        if contest.peers and given.python:
            options += ["--python", given.python]
            shown += " --python …"
        if contest.script == "embed_peers.py" and given.onnx_python:
            options += ["--onnx-python", given.onnx_python]
            shown += " --onnx-python …"
        command = [sys.executable, str(HERE / contest.script), *options]
        parts.append(section(contest.title, command, shown))
        given.output.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    for model, file in given.drift:
        options = ["quantize", model, "--check", file]
        shown = shlex.join(["bertcli", *options[:-1], Path(file).name])
        parts.append(section(f"int8: {model}", [BERTCLI, *options], shown))
        given.output.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def machine() -> str:
    """Return what the numbers depend on, as a table."""
    cores, load = os.cpu_count(), os.getloadavg()[0]
    rows = [
        ["date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"],
        ["processor", f"{processor()}, {cores} cores, load {load:.1f} at the start"],
        ["system", f"{platform.system()} {platform.machine()}"],
        ["python", platform.python_version()],
        *([name, version(name)] for name in PACKAGES if any(distributions(name=name))),
    ]
    note = "Written by `python benchmarks/run.py`. Contestants take turns; ratios are of medians."
    return f"{note}\n\n{table(['', 'on this machine'], rows)}"


def processor() -> str:
    """Return the model name of the processor, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def section(title: str, command: list[str], shown: str) -> str:
    """Return one benchmark's heading, its exact command and what it printed."""
    began = time.monotonic()
    done = subprocess.run(
        command, env=environment(), stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    said = done.stdout.strip()
    failed = f"\n\n**Exit code {done.returncode}.**" if done.returncode else ""
    at = f"{datetime.now(UTC):%H:%M} UTC, after {time.monotonic() - began:.0f} s"
    return f"## {title}\n\n    {shown}\n\n{said}{failed}\n\n{at}; load {os.getloadavg()[0]:.1f}."


if __name__ == "__main__":
    main()
