"""Runs that are killed again and again: what must come of it is what an unbroken run writes.

pytest tests/slow
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from bertcli.outputs.journal import journal_of

BERTCLI = (sys.executable, "-m", "bertcli")
KILLS = 50
SECONDS = 6.0
COMMANDS = {
    "classify": ["classify", "-o", "answers.csv.gz"],
    "embed": ["embed", "-o", "answers.npy"],
    "ner": ["ner", "-o", "answers.parquet"],
    "fill-mask": ["fill-mask", "-o", "answers.jsonl", "--field", "masked"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_at_random_moments(name: str, tmp_path: Path) -> None:
    """Fifty kills of each task, 200 in all; then one run to the end, and nothing else is left."""
    rng = random.Random(name)
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "read", "old", "news", "paris"]
    rows = (" ".join(rng.choices(words, k=rng.randint(3, 40))) for _ in range(60_000))
    lines = (json.dumps({"text": row, "masked": f"{row} [MASK]"}) for row in rows)
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    task, o, output, *more = COMMANDS[name]
    line = [*BERTCLI, task, "-i", "rows.jsonl", "-q", *more, "--limit"]
    target, whole = tmp_path / output, tmp_path / f"whole-{output}"
    kills = 0
    for count in range(3_000, 60_001, 1_000):
        resumed = [*line, str(count), o, output, "--resume"]
        while kills < KILLS:
            with subprocess.Popen(resumed, cwd=tmp_path) as running:
                time.sleep(rng.uniform(0.0, SECONDS))
                if running.poll() is not None:
                    break
                running.kill()
                kills += 1
            if target.exists():  # it was complete, and the kill came before the end of the process
                break
        subprocess.run(resumed, cwd=tmp_path, check=True)
        subprocess.run([*line, str(count), o, whole.name], cwd=tmp_path, check=True)
        assert target.read_bytes() == whole.read_bytes()
        assert not journal_of(str(target)).exists()
        target.unlink()
        if kills >= KILLS:
            break
    assert kills >= KILLS


TRAINED = 25


def test_a_training_is_killed_at_random_moments(tmp_path: Path) -> None:
    """However often it is killed, it ends up with the weights of an unbroken run.

    The folder looks unfinished until the end: no command takes it for a checkpoint.
    """
    rng = random.Random("train")
    words = {"good": ["fine", "lovely", "great"], "bad": ["poor", "awful", "dull"]}
    rows = [
        {"text": f"a {rng.choice(words[label])} {rng.choice(['film', 'book'])} {n}", "label": label}
        for n in range(600)
        for label in words
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "valid.jsonl").write_text("\n".join(map(json.dumps, rows[:40])))
    line = [*BERTCLI, "train", "classify", "rows.jsonl", "--valid", "valid.jsonl", "--rank", "8"]
    line += ["--epochs", "6", "--evaluations", "4", "--batch-tokens", "512", "-o"]
    target, kills = tmp_path / "killed", 0
    while kills < TRAINED:
        again = ["--resume"] if (target / ".training").exists() else []
        with subprocess.Popen([*line, target.name, *again], cwd=tmp_path) as running:
            time.sleep(rng.uniform(0.0, 3 * SECONDS))
            if running.poll() is None:
                running.kill()
                kills += 1
            elif running.returncode == 0:
                break
        assert not (target / "config.json").exists()
    if not (target / "config.json").exists():
        subprocess.run([*line, target.name, "--resume"], cwd=tmp_path, check=True)
    subprocess.run([*line, "whole"], cwd=tmp_path, check=True)
    one, other = (
        load_file(tmp_path / n / "adapter_model.safetensors") for n in ("killed", "whole")
    )
    assert one.keys() == other.keys()
    for name, weights in one.items():
        np.testing.assert_allclose(weights, other[name], rtol=2e-3, atol=1e-4, err_msg=name)
    assert not list(target.glob(".*"))
