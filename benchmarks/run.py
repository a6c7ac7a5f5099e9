"""Run every benchmark and write benchmarks/RESULTS.md; best on a machine that does nothing else.

python benchmarks/run.py
python benchmarks/run.py --quick --fill-mask-model DIR
python benchmarks/run.py --drift-on dev.txt.gz news.jsonl.gz
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

from timing import environment, table

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
    "memory.py": ["--megabytes", "5"],
    "int8_drift.py": ["--limit", "30"],
}


def main() -> None:
    """Run the benchmarks one after another; the file is rewritten after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fill-mask-model", help="folder of an adapter; default the built-in one")
    parser.add_argument("--drift-on", nargs="+", default=[], metavar="FILE", help="for drift")
    parser.add_argument("--labels", help="for zero-shot drift")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see it run")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "RESULTS.md")
    given = parser.parse_args()
    adapter = ["--fill-mask-model", given.fill_mask_model] if given.fill_mask_model else []
    labels = ["--labels", given.labels] if given.labels else []
    plans = {
        "One answer from a cold process": ("cold.py", adapter),
        "Bulk embedding": ("embed.py", []),
        "Peak memory on a stream": ("memory.py", []),
        "Drift of int8": ("int8_drift.py", [*given.drift_on, *labels, *adapter]),
    }
    parts = ["# Measurements", machine()]
    for title, (script, options) in plans.items():
        print(f"{title} …", file=sys.stderr)
        parts.append(section(title, script, options + (QUICK[script] if given.quick else [])))
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


def section(title: str, script: str, options: list[str]) -> str:
    """Return one benchmark's heading, its exact command and what it printed."""
    done = subprocess.run(
        [sys.executable, str(HERE / script), *options],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    command = shlex.join(["python", f"benchmarks/{script}", *options])
    said = done.stdout.strip()
    failed = f"\n\n**Failed with exit code {done.returncode}.**" if done.returncode else ""
    return f"## {title}\n\n    {command}\n\n{said}{failed}"


if __name__ == "__main__":
    main()
