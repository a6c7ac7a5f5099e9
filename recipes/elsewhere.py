"""Questions put to passages of other articles that are nearest to them, where they have no answer.

    python elsewhere.py SEED FILE... > elsewhere.jsonl

`qa --index` reads such passages for every question. Each question of the files that has an answer
is given one of the nearest passages that does not hold it.
"""

import json
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bertcli.inputs.labelled import read_questions

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
rows = list(read_questions(sys.argv[2:]))
titles = {}
for row in rows:
    titles.setdefault(row.context, row.group)
contexts = list(titles)
texts = [plain(context) for context in contexts]
passages = vectors([" ".join(context.split()[:FIRST_WORDS]) for context in contexts])
asked = [row for row in rows if row.answers]
for row, question in zip(asked, vectors([row.question for row in asked]), strict=True):
    answers = [plain(answer) for answer, _ in row.answers]
    nearest = np.argsort(-(passages @ question))[:NEAREST]
    fit = [
        contexts[number]
        for number in nearest
        if titles[contexts[number]] != row.group
        and not any(answer in texts[number] for answer in answers)
    ]
    if fit:
        context = fit[min(len(fit) - 1, rng.choice(RANKS))]
        none = {"text": [], "answer_start": []}
        moved = {"title": titles[context], "context": context, "answers": none}
        print(json.dumps({"question": row.question, **moved}))
