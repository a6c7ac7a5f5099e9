"""What bertcli's time and memory do as its input grows: records, labels, windows.

python benchmarks/scaling.py
python benchmarks/scaling.py --records 1000 1000000

Whole processes of `bertcli`, start-up included; each row is one run. Records are short texts that
all differ, since equal ones are computed once. Labels are those of a zero-shot classification of
200 texts; windows are those of one question's context.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from timing import BERTCLI, SEED, cost, read_texts, table

WINDOW_WORDS = 250
TEXTS = 200


def main() -> None:
    """Print a table for each thing that grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--labels", type=int, nargs="+", default=[2, 20, 200, 2_000])
    parser.add_argument("--windows", type=int, nargs="+", default=[1, 8, 64, 512])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        print("The target is /dev/null; memory is the peak of the process.\n")
        for title, count, command in (
            ("records", given.records, records),
            ("labels", given.labels, labels),
            ("windows", given.windows, windows),
        ):
            rows = [measured(number, command(place, number)) for number in count]
            print(table([title, "seconds", f"{title}/s", "peak MB"], rows), end="\n\n", flush=True)


def records(place: Path, count: int) -> list[str]:
    """Return the command that labels so many records."""
    source = place / "records.jsonl"
    with source.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in short_texts(count))
    return ["classify", "-i", str(source), "-f", "jsonl", "-q"]


def labels(place: Path, count: int) -> list[str]:
    """Return the command that gives texts one of so many labels."""
    source, choices = place / "texts.txt", place / "labels.txt"
    source.write_text("\n".join(read_texts(None, TEXTS)), encoding="utf-8")
    choices.write_text("\n".join(short_texts(count)), encoding="utf-8")
    return ["classify", "-i", str(source), "--labels-file", str(choices), "-f", "jsonl", "-q"]


def windows(place: Path, count: int) -> list[str]:
    """Return the command that answers a question on a context of so many windows."""
    context = place / "context.txt"
    context.write_text(" ".join(short_texts(count * WINDOW_WORDS // 6)), encoding="utf-8")
    return ["qa", "What is it called?", "-i", str(context), "-f", "jsonl", "-q"]


def short_texts(count: int) -> Iterator[str]:
    """Yield texts of six words, hardly any of them twice."""
    rng = random.Random(SEED)
    words = sorted({word for text in read_texts(None, 2_000) for word in text.split()})
    plain = [word.lower() for word in words if word.isalpha() and len(word) > 2]
    for _ in range(count):
        yield " ".join(rng.choices(plain, k=6))


def measured(number: int, command: Sequence[str]) -> list[str]:
    """Return the number, the seconds, the rate and the peak memory of one run."""
    took = cost([BERTCLI, *command])
    rate = number / took.seconds
    return [f"{number:,}", f"{took.seconds:.1f}", f"{rate:,.1f}", f"{took.megabytes:,.0f}"]


if __name__ == "__main__":
    main()
