"""Run every benchmark and write benchmarks/RESULTS.md; best on a machine that does nothing else.

python benchmarks/run.py
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
from datetime import UTC, datetime
from importlib.metadata import version
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
)
QUICK = {
    "cold.py": ["--rounds", "1", "--texts", "50"],
    "embed.py": ["--rounds", "1", "--count", "100"],
    "embed_peers.py": ["--rounds", "1", "--count", "20"],
    "pipelines.py": ["--rounds", "1", "--count", "50"],
    "lengths.py": ["--rounds", "1", "--tokens", "512"],
    "scaling.py": ["--records", "20", "50", "--labels", "2", "5", "--windows", "1", "2"],
    "limit.py": ["--rounds", "1"],
    "memory.py": ["--megabytes", "5"],
}
PLANS = {
    "One answer from a cold process": "cold.py",
    "Bulk embedding": "embed.py",
    "Bulk embedding beside other tools": "embed_peers.py",
    "Bulk classify and ner": "pipelines.py",
    "By the length of the texts": "lengths.py",
    "As the input grows": "scaling.py",
    "How far from what the processor can do": "limit.py",
    "Peak memory on a stream": "memory.py",
}


def main() -> None:
    """Run the benchmarks one after another; the file is rewritten after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drift", nargs=2, action="append", default=[], metavar=("MODEL", "FILE"))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see it run")
    parser.add_argument("--only", nargs="+", default=list(QUICK), help="scripts to run")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "RESULTS.md")
    given = parser.parse_args()
    parts = ["# Measurements", machine()]
    for title, script in PLANS.items():
        if script in given.only:
            print(f"{title} …", file=sys.stderr)
            options = QUICK[script] if given.quick else []
            command = [sys.executable, str(HERE / script), *options]
            parts.append(
                section(title, command, shlex.join(["python", f"benchmarks/{script}", *options]))
            )
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
        *([name, version(name)] for name in PACKAGES),
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
    done = subprocess.run(
        command, env=environment(), stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    said = done.stdout.strip()
    failed = f"\n\n**Exit code {done.returncode}.**" if done.returncode else ""
    return f"## {title}\n\n    {shown}\n\n{said}{failed}"


if __name__ == "__main__":
    main()
