"""Questions that a text does not answer, but a checkpoint does: what it has to learn.

    python recipes/misled.py make SEED train.jsonl > made.jsonl
    python recipes/misled.py mask SEED train.jsonl > masked.jsonl
    bertcli fill-mask -i masked.jsonl -k 25 -f jsonl |
        python recipes/misled.py fill SEED > swapped.jsonl
    cat made.jsonl swapped.jsonl | bertcli qa -i - --input-format jsonl -m MODEL -f jsonl |
        python recipes/misled.py keep SEED > hard.jsonl

Questions are made in the ways of `train qa --unanswerable`, about a name that stands in another
text, and with one of their words changed for another that fits there. Kept are those that MODEL
answers, and an eighth of the rest. Where another text of the same article is asked, a sure answer
is often right: of those a third is kept, and none that is very sure.
"""

import json
import random
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from bertcli.inputs.labelled import read_questions
from bertcli.records import AnsweredQuestion
from bertcli.train.unanswerable import NAME, WAYS, in_another_context

SHARES = {"fairytaleqa": 0.4, "qamr_paragraph": 0.35, "qamr_sentence": 0.08, "covidqa": 0.05}
SURE, DOUBTFUL, OTHERS, SAME_ARTICLE = 0.5, 0.05, 0.12, 0.35
ALIKE = 0.88
"""Above this cosine a question with another word asks the same, most often."""
EMPTY = frozenset(
    re.findall(
        r"\w+",
        """what which when where whom whose that this these those they them their there then than
        with from have been were will would could should does into about after before during between
        under over also such some many much most more other each both only same first name names
        called used known type kind part year years time people person according""",
    )
)


def chosen(file: str, dice: random.Random) -> list[AnsweredQuestion]:
    """Return the questions with answers of a file, of some sources a part."""
    lines = Path(file).read_text(encoding="utf-8").split("\n")
    sources = [json.loads(line)["source"] for line in lines if line]
    pairs = zip(sources, read_questions([file]), strict=True)
    return [one for source, one in pairs if one.answers and dice.random() < SHARES.get(source, 1)]


def show(way: str, question: str, one: AnsweredQuestion, **more: str) -> None:
    """Print a question, how it was made, and the one that it was made of."""
    row = {"way": way, "question": question, "context": one.context, "title": one.group}
    print(json.dumps(row | {"original": one.question} | more, ensure_ascii=False))


def make(file: str, dice: random.Random, rng: np.random.Generator) -> None:
    """Print questions made in every way that each allows."""
    questions = chosen(file, dice)
    contexts: dict[str, dict[str, None]] = defaultdict(dict)
    for one in questions:
        if one.group:
            contexts[one.group][one.context] = None
    names = [name for texts in contexts.values() for text in texts for name in NAME.findall(text)]
    for one in questions:
        for way in WAYS:
            if found := way(one, list(contexts[one.group]) if one.group else [], rng):
                show(way.__name__, found.question, found, original=one.question)
        there = {name.lower(): name for name in NAME.findall(one.context)}
        for name in sorted(there, key=len, reverse=True):
            new = dice.choice(names)
            if name in one.question.lower() and new.lower() not in one.context.lower():
                at = one.question.lower().index(name)
                show("elsewhere", one.question[:at] + new + one.question[at + len(name) :], one)
                break


def mask(file: str, dice: random.Random) -> None:
    """Print questions with a word masked that says something, best one that is in the text."""
    for one in chosen(file, dice):
        said = " ".join(text for text, _ in one.answers).lower()
        words = list(re.finditer(r"\b[A-Za-z]{4,}\b", one.question))
        words = [w for w in words if w[0].lower() not in EMPTY and w[0].lower() not in said]
        there = [w for w in words if w[0].lower()[:5] in one.context.lower()]
        if use := there if there and dice.random() < 0.8 else words:
            word = dice.choice(use)
            text = f"{one.question[: word.start()]}[MASK]{one.question[word.end() :]}"
            show("swap", one.question, one, text=text, word=word[0].lower())


def fill(dice: random.Random) -> None:
    """Print the questions with another word in place of the mask, which the text has not."""
    rows = []
    for row in map(json.loads, sys.stdin):
        word, text = row["word"], row["context"].lower()
        fits = [
            one
            for one in row["masks"][0]["fills"]
            if one["token"].isalpha()
            and len(one["token"]) > 3
            and one["token"][:4] != word[:4]
            and one["token"] not in EMPTY
            and one["token"][:5] not in text
        ][:8]
        if fits:
            (fit,) = dice.choices(fits, [one["score"] ** 0.5 for one in fits])
            rows.append({**row, "question": fit["text"]})
    changed, original = (vectors([row[key] for row in rows]) for key in ("question", "original"))
    for row, cosine in zip(rows, (changed * original).sum(axis=1), strict=True):
        if cosine < ALIKE:
            kept = ("way", "question", "context", "title", "original")
            print(json.dumps({key: row[key] for key in kept}, ensure_ascii=False))


def vectors(texts: list[str]) -> np.ndarray:
    """Return the vectors of texts (n, d)."""
    with tempfile.TemporaryDirectory() as folder:
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        command = f"bertcli embed -i - --input-format jsonl -o {folder}/vectors.npy"
        subprocess.run(command.split(), input=lines.encode(), check=True)
        return np.load(f"{folder}/vectors.npy")


def keep(dice: random.Random) -> None:
    """Print, of questions that a checkpoint was asked, those that mislead it and some others."""
    for row in map(json.loads, sys.stdin):
        fooled, some = row["no_answer"] < SURE, dice.random() < OTHERS
        if row["way"] == in_another_context.__name__:
            fooled, some = row["no_answer"] > DOUBTFUL and dice.random() < SAME_ARTICLE, False
        if fooled or some:
            shown = {key: row[key] for key in ("question", "context", "title")}
            print(json.dumps({**shown, "answers": []}, ensure_ascii=False))


action, seed = sys.argv[1], int(sys.argv[2])
dice = random.Random(seed)
if action == "make":
    make(sys.argv[3], dice, np.random.default_rng(seed))
elif action == "mask":
    mask(sys.argv[3], dice)
else:
    {"fill": fill, "keep": keep}[action](dice)
