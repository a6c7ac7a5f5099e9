"""What an update costs, against building the same index: whole processes of `bertcli index`.

python benchmarks/update.py --files 2000 --share 0.01
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timing import BERTCLI, environment, read_texts, table

PARAGRAPHS = 6


def main() -> None:
    """Print seconds of building, of updating without a change, and after some files changed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--share", type=float, default=0.01, help="share of files that change")
    arguments = parser.parse_args()
    texts = read_texts(None)
    with tempfile.TemporaryDirectory() as temporary:
        folder, index = Path(temporary) / "files", Path(temporary) / "index"
        folder.mkdir()
        for number in range(arguments.files):
            write(folder, texts, number, 0)
        building = seconds("index", "build", str(index), str(folder), "-q")
        nothing = seconds("index", "update", str(index), "-q")
        changed = max(1, round(arguments.files * arguments.share))
        for number in range(0, arguments.files, arguments.files // changed):
            write(folder, texts, number, 1)
        updating = seconds("index", "update", str(index), "-q")
    rows = [
        [name, f"{spent:.1f} s", f"{spent / building:.1%}"]
        for name, spent in (
            (f"build, {arguments.files:,} files", building),
            ("update, nothing changed", nothing),
            (f"update, {changed:,} files changed", updating),
        )
    ]
    print(table(["", "seconds", "of the build"], rows))


def write(folder: Path, texts: list[str], number: int, version: int) -> None:
    """Write a file of some paragraphs, none of which another file or version has."""
    chosen = (texts[(number * PARAGRAPHS + i) % len(texts)] for i in range(PARAGRAPHS))
    paragraphs = (f"{text} ({number}.{i}.{version})" for i, text in enumerate(chosen))
    (folder / f"{number}.txt").write_text("\n\n".join(paragraphs), encoding="utf-8")


def seconds(*arguments: str) -> float:
    """Return how long a command takes as a process."""
    began = time.perf_counter()
    done = subprocess.run([BERTCLI, *arguments], env=environment(), capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
