"""Peak memory of `bertcli` on a small and on a large stream of JSON lines.

python benchmarks/memory.py --megabytes 1000

A gigabyte of prose would take two cores half a day, so every record has a short text and a long
column of its own, which is read, held and written like any other but costs the model nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from timing import BERTCLI, Cost, cost, read_texts, table

SMALL = 1
TASKS = {
    "classify": ["classify", "--labels", "programming,mathematics,files,time", "-f", "jsonl"],
    "embed": ["embed", "-f", "jsonl"],
}


def main() -> None:
    """Print a table of peaks; leaves with exit code 1 where a large stream costs 100 MB more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1_000, help="size of the large stream")
    parser.add_argument("--column", type=int, default=20_000, help="letters in its long column")
    parser.add_argument("--letters", type=int, default=60, help="letters in a record's text")
    parser.add_argument("--allowed", type=float, default=100, help="difference to pass, in MB")
    arguments = parser.parse_args()
    rows = []
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small.jsonl", Path(folder) / "large.jsonl"
        write_stream(small, SMALL, arguments.letters, arguments.column)
        count = write_stream(large, arguments.megabytes, arguments.letters, arguments.column)
        for task, command in TASKS.items():
            for way in ("file", "pipe"):
                little, much = (peak(command, stream, way) for stream in (small, large))
                difference = much.megabytes - little.megabytes
                worst = max(worst, difference)
                sizes = [f"{each.megabytes:.0f}" for each in (little, much)]
                more = [f"{difference:+.0f}", f"{much.seconds:.0f}"]
                rows.append([f"`bertcli {task}`, {way}", *sizes, *more])
                print(*rows[-1], file=sys.stderr)
    print(f"The large stream has {count} records.\n")
    name = f"{arguments.megabytes} MB"
    print(table(["peak MB on", f"{SMALL} MB", name, "difference", f"seconds, {name}"], rows))
    if worst > arguments.allowed:
        sys.exit(f"a difference of {worst:.0f} MB; {arguments.allowed:.0f} MB are allowed")


def write_stream(path: Path, megabytes: int, letters: int, column: int) -> int:
    """Write JSON lines of about this size and return how many there are."""
    texts = [text[:letters] for text in read_texts(None)]
    filler = ("nothing that the model reads " * (column // 29 + 1))[:column]
    count = written = 0
    with path.open("w", encoding="utf-8") as file:
        while written < megabytes * 1_000_000:
            text = texts[count % len(texts)]
            written += file.write(json.dumps({"id": count, "text": text, "filler": filler}) + "\n")
            count += 1
    return count


def peak(command: list[str], stream: Path, way: str) -> Cost:
    """Return the cost of one run over a stream, given by name or through a pipe."""
    if way == "file":
        return cost([BERTCLI, *command, "-i", str(stream)])
    feeder = subprocess.Popen(["cat", str(stream)], stdout=subprocess.PIPE)
    assert feeder.stdout
    with feeder.stdout as pipe:
        found = cost([BERTCLI, *command, "-i", "-", "--input-format", "jsonl"], pipe)
    feeder.wait()
    return found


if __name__ == "__main__":
    main()
