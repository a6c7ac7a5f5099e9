"""Questions put to passages of other articles that are nearest to them, where they have no answer.

    python elsewhere.py SEED ROWS.jsonl > elsewhere.jsonl

`qa --index` reads such passages for every question. Of rows with `question`, `context`, `title` and
`answers` each that has an answer is given one of the nearest passages that does not hold it.
"""

import json
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

FIRST_WORDS, NEAREST = 150, 40
RANKS = (0, 0, 1, 2, 3, 5, 8)
"""Which of the passages is taken: mostly one of the nearest."""


def vectors(texts):
    """Return the vectors of texts, `(n, 384)`, of length one."""
    with tempfile.TemporaryDirectory() as folder:
        read, written = Path(folder) / "texts.jsonl", Path(folder) / "vectors.npy"
        read.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        subprocess.run(["bertcli", "embed", "-i", read, "-o", written, "-q"], check=True)
        return np.load(written)


def plain(text):
    """Return a text's letters and digits alone."""
    return re.sub(r"\W+", " ", text.lower()).strip()


rng = random.Random(int(sys.argv[1]))
rows = [json.loads(line) for line in Path(sys.argv[2]).read_text("utf-8").splitlines()]
titles = {}
for row in rows:
    titles.setdefault(row["context"], row["title"])
contexts = list(titles)
texts = [plain(context) for context in contexts]
passages = vectors([" ".join(context.split()[:FIRST_WORDS]) for context in contexts])
asked = [row for row in rows if row["answers"]["text"]]
for row, question in zip(asked, vectors([row["question"] for row in asked]), strict=True):
    answers = [plain(answer) for answer in row["answers"]["text"]]
    nearest = np.argsort(-(passages @ question))[:NEAREST]
    fit = [
        number
        for number in nearest
        if titles[contexts[number]] != row["title"]
        and not any(answer in texts[number] for answer in answers)
    ]
    if fit:
        context = contexts[fit[min(len(fit) - 1, rng.choice(RANKS))]]
        none = {"text": [], "answer_start": []}
        moved = {"context": context, "title": titles[context], "answers": none}
        print(json.dumps({**row, **moved}))
