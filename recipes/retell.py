"""The same questions with other names, years and sentences: what must be read, not remembered.

    python recipes/retell.py contexts train.jsonl |
        bertcli ner -i - --input-format jsonl -f jsonl > names.jsonl
    python recipes/retell.py vary SEED names.jsonl train.jsonl [SHARE] > varied.jsonl

In a context and its question a name gives way to another of its kind, wherever it stands, and all
years move by the same number; sentences that hold no answer go, and sentences of other contexts
come; a question loses a word, or its capitals and its question mark. Answers stay answers, since
what replaces a name replaces it in them too. A quarter of the questions is left as it is. Of each
source so many are taken as SHARES says, times SHARE.
"""

import json
import random
import re
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

from bertcli.train.unanswerable import SENTENCE_START

AS_IT_IS, NAMES, YEARS, FEWER, MORE, WORD, SEARCHED = 0.25, 0.5, 0.4, 0.4, 0.4, 0.3, 0.3
MOST_NAMES, MOST_YEARS, LONGEST, READ = 3, 20, 1400, 4000
SHARES = {"new_wiki": 1.8, "qed": 2.4, "fairytaleqa": 0.7, "qamr_paragraph": 0.33}
SHARES |= {"qamr_sentence": 0.12, "covidqa": 0.2}
YEAR = re.compile(r"\b1[5-9]\d\d\b|\b20[0-2]\d\b")
ASKED = re.compile(r"wh|how|name|not?$|never$|first|last|most|\d", re.I)

Span = tuple[int, int]
Edit = tuple[int, int, str]
Told = tuple[str, list[Span]]
"""A context, and where the answers are in it."""
Asked = tuple[str, str, list[Span]]
"""A question, its context, and where the answers are in that."""


def rows(file: str) -> list[dict]:
    """Return the rows of a file of JSON lines."""
    return [json.loads(line) for line in Path(file).read_text(encoding="utf-8").split("\n") if line]


def contexts(file: str) -> None:
    """Print each context once, without those that are very long."""
    for text in dict.fromkeys(row["context"] for row in rows(file)):
        if len(text) > READ:
            continue
        print(json.dumps({"text": text}, ensure_ascii=False))


def edited(text: str, spans: list[Span], edits: list[Edit]) -> tuple[str, list[Span]]:
    """Return a text with some parts exchanged, and where spans of it are then."""
    edits = sorted(edits)
    parts, end = [], 0
    for begin, stop, new in edits:
        parts += [text[end:begin], new]
        end = stop

    def moved(at: int) -> int:
        return at + sum(len(new) - (stop - begin) for begin, stop, new in edits if stop <= at)

    return "".join([*parts, text[end:]]), [(moved(a), moved(b)) for a, b in spans]


def apart(spans: list[Span], begin: int, stop: int) -> bool:
    """Return whether no span is cut by the ends of a part: each holds it all, or none of it."""
    return all(stop <= a or b <= begin or (a <= begin and stop <= b) for a, b in spans)


def other_names(row: dict, known: dict, pools: dict, dice: random.Random) -> dict[str, str]:
    """Return some of the context's names, each with another that is to replace it."""
    names = {name: kind for name, kind in known.get(row["context"], ()) if len(name) > 3}
    asked = [name for name in names if name.lower() in row["question"].lower()]
    some = dice.sample(sorted(names), min(len(names), dice.randint(1, MOST_NAMES)))
    if asked and dice.random() < 0.7:
        some[0] = dice.choice(asked)
    return {name: dice.choice(pools[names[name]]) for name in some}


def found(text: str, old: str, new: str, flags: int = 0) -> list[Edit]:
    """Return the exchanges of a word or name of a text."""
    whole = rf"(?<!\w){re.escape(old)}(?!\w)"
    return [(*one.span(), new) for one in re.finditer(whole, text, flags)]


def renamed(row: dict, spans: list[Span], known: dict, pools: dict, dice: random.Random) -> Asked:
    """Return question, context and answers with other names, or as they are where that cuts one."""
    question, context = row["question"], row["context"]
    for old, new in other_names(row, known, pools, dice).items():
        edits = found(context, old, new)
        parts = [word for word in old.split() if len(word) > 3]
        loose = any(
            one.start() < a or one.end() > b
            for word in parts
            for one in re.finditer(re.escape(word), context)
            for a, b in [next(((x, y) for x, y, _ in edits if x <= one.start() < y), (0, 0))]
        )
        if loose or new in context or not all(apart(spans, a, b) for a, b, _ in edits):
            continue  # a part of the name stands alone: "Curie" for "Marie Curie"
        asked = found(question, old, new if old in question else new.lower(), re.I)
        if not asked and any(word.lower() in question.lower() for word in parts):
            continue
        question, _ = edited(question, [], asked)
        context, spans = edited(context, spans, edits)
    return question, context, spans


def shifted(question: str, context: str, spans: list[Span], dice: random.Random) -> Asked:
    """Return question, context and answers with all years moved by the same number."""
    by = dice.choice([n for n in range(-MOST_YEARS, MOST_YEARS + 1) if n])

    def edits(text: str) -> list[Edit]:
        return [(*one.span(), str(int(one[0]) + by)) for one in YEAR.finditer(text)]

    if not all(apart(spans, a, b) for a, b, _ in edits(context)):
        return question, context, spans
    question, _ = edited(question, [], edits(question))
    return question, *edited(context, spans, edits(context))


def sentences(text: str) -> list[Span]:
    """Return where the sentences of a text are, each with the space after it."""
    bounds = [0, *(one.end() for one in SENTENCE_START.finditer(text)), len(text)]
    return [(a, b) for a, b in pairwise(bounds) if a < b]


def with_fewer(context: str, spans: list[Span], dice: random.Random) -> Told:
    """Return context and answers without one or two sentences that hold none of these."""
    free = [(a, b) for a, b in sentences(context) if all(y <= a or b <= x for x, y in spans)]
    if len(free) < 2:  # one has to stay: it may say what the answer's "it" is
        return context, spans
    gone = dice.sample(free[1:] if dice.random() < 0.7 else free, 1 + (len(free) > 4))
    return edited(context, spans, [(a, b, "") for a, b in gone])


def with_more(context: str, spans: list[Span], said: list[str], dice: random.Random) -> Told:
    """Return context and answers with one to three sentences of another context before or after."""
    new = " ".join(dice.sample(said, min(len(said), dice.randint(1, 3)))).strip()
    answers = {context[a:b].lower() for a, b in spans}
    if len(context) + len(new) > LONGEST or any(one in new.lower() for one in answers):
        return context, spans
    if dice.random() < 0.5:
        return f"{context} {new}", spans
    return edited(context, spans, [(0, 0, f"{new} ")])


def asked_otherwise(question: str, dice: random.Random) -> str:
    """Return a question with a word left out, or as people type it into a search box."""
    words = question.split()
    free = [i for i, word in enumerate(words) if not ASKED.match(word)]
    if len(words) > 6 and free and dice.random() < WORD:
        del words[dice.choice(free)]
    question = " ".join(words)
    return question.rstrip("? ").lower() if dice.random() < SEARCHED else question


def told_anew(row: dict, known: dict, pools: dict, texts: list[str], dice: random.Random) -> dict:
    """Return a question, its context and its answers changed, where chance wants it."""
    question, context = row["question"], row["context"]
    starts = zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
    spans = [(a, a + len(text)) for text, a in starts]
    if not spans or dice.random() < AS_IT_IS:
        return row
    if dice.random() < NAMES:
        question, context, spans = renamed(row, spans, known, pools, dice)
    if dice.random() < YEARS:
        question, context, spans = shifted(question, context, spans, dice)
    if dice.random() < FEWER:
        context, spans = with_fewer(context, spans, dice)
    if dice.random() < MORE:
        other = dice.choice(texts)
        said = [other[a:b].strip() for a, b in sentences(other)]
        context, spans = with_more(context, spans, said, dice)
    answers = {"text": [context[a:b] for a, b in spans], "answer_start": [a for a, _ in spans]}
    asked = asked_otherwise(question, dice)
    return row | {"question": asked, "context": context, "answers": answers}


def vary(seed: str, names: str, file: str, share: str = "1") -> None:
    """Print the questions of a file, three in four of them told anew."""
    dice = random.Random(seed)
    known, pools = {}, defaultdict(list)
    for row in rows(names):
        one = {row["text"][e["start"] : e["end"]]: e["label"] for e in row.get("entities", ())}
        known[row["text"]] = one.items()
        for name, kind in one.items():
            pools[kind].append(name)
    texts = sorted(known)
    for row in rows(file):
        times = SHARES[row["source"]] * float(share)
        for _ in range(int(times) + (dice.random() < times % 1)):
            changed = told_anew(row, known, pools, texts, dice)
            print(json.dumps(changed, ensure_ascii=False))


if __name__ == "__main__":
    {"contexts": contexts, "vary": vary}[sys.argv[1]](*sys.argv[2:])
