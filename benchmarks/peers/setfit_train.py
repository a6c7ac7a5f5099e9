"""Train setfit on labelled texts and measure it: TRAIN.jsonl TEST.jsonl STEPS.

With its defaults, but for so many steps at most (-1: no bound): pairs grow with the square of the
texts, 190,000 for eight examples of each of 77 labels.
"""

import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments

from bertcli.checkpoints.catalog import base_folder


def rows(name):
    """Return the labelled texts of a file of JSON lines."""
    with Path(name).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


train, test = map(rows, sys.argv[1:3])
began = time.perf_counter()
labels = sorted({row["label"] for row in train})
model = SetFitModel.from_pretrained(str(base_folder()), labels=labels)
with TemporaryDirectory() as folder:
    how = TrainingArguments(folder, show_progress_bar=False, max_steps=int(sys.argv[3]))
    Trainer(model, how, Dataset.from_list(train)).train()
seconds = time.perf_counter() - began
given = model.predict([row["text"] for row in test], show_progress_bar=False)
right = sum(str(one) == row["label"] for one, row in zip(given, test, strict=True))
print(json.dumps({"accuracy": right / len(test), "seconds": seconds}))
